// Chart is a canvas with something that goes from left to right, of which a
// part is in view: it is zoomed, dragged, pointed at and walked through by keys.
// What is drawn is a subclass's: it has plot (the element that has the focus),
// canvas, tip, view (from, to), left and right (of the drawn part, in pixels),
// and setView, chosenAt (where the chosen one stands), keys, near (what is
// under the pointer), point (tells of it) and pick (chooses it).
class Chart {
  x(value) {
    const [from, to] = this.view;
    return this.left + (value - from) / (to - from) * (this.right - this.left);
  }

  value(x) {
    const [from, to] = this.view;
    return from + (x - this.left) / (this.right - this.left) * (to - from);
  }

  // zoom keeps the place where it is done; without one, the chosen one when it
  // is in view, else the middle.
  zoom(factor, around) {
    const [from, to] = this.view;
    const chosen = this.chosen < 0 ? -1 : this.chosenAt();
    const middle = around ?? (chosen >= from && chosen <= to ? chosen : (from + to) / 2);
    this.setView(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  key(event) {
    if (event.target !== this.plot || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = {
      ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1), Home: () => this.step(-Infinity), End: () => this.step(Infinity),
      '+': () => this.zoom(0.5), '=': () => this.zoom(0.5), '-': () => this.zoom(2),
      ...this.keys(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  pointer() {
    let held = null;
    const place = event => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener('pointerdown', event => {
      const [x] = place(event);
      held = { x, view: [...this.view], moved: false };
      if (event.pointerType === 'mouse') this.canvas.setPointerCapture(event.pointerId); // a finger is captured, or scrolls
    });
    this.canvas.addEventListener('pointermove', event => {
      const [x, y] = place(event);
      if (held && Math.abs(x - held.x) > 4) held.moved = true;
      if (held?.moved) {
        const shift = (x - held.x) * (held.view[1] - held.view[0]) / (this.right - this.left);
        this.setView(held.view[0] - shift, held.view[1] - shift);
        this.tip.hide();
      } else this.point(x, y);
    });
    this.canvas.addEventListener('pointerup', event => {
      const near = this.near(...place(event));
      if (held && !held.moved && near.length) this.pick(near[0]);
      held = null;
    });
    this.canvas.addEventListener('pointercancel', () => { held = null; });
    this.canvas.addEventListener('pointerleave', () => this.tip.hide());
    this.canvas.addEventListener('wheel', event => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, this.value(place(event)[0]));
    }, { passive: false });
  }
}
