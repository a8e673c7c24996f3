// What all pages of the report share.

const query = (selector, root = document) => root.querySelector(selector);
const queryAll = (selector, root = document) => [...root.querySelectorAll(selector)];

// element makes a node; text is never read as markup.
function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

const narrow = matchMedia('(max-width: 40rem)');
const dark = matchMedia('(prefers-color-scheme: dark)');

// colours reads the sheet's variables, for what is drawn on a canvas.
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ['paper', 'card', 'wash', 'line', 'ink', 'soft', 'accent', 'pass', 'fail', 'warn', 'life', 'dead', 'accent-wash'];
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()]));
}

// hatch is a pattern that tells two areas apart without colour.
function hatch(context, colour, gap = 5) {
  const tile = document.createElement('canvas');
  tile.width = tile.height = gap * 2;
  const pen = tile.getContext('2d');
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  for (const shift of [-gap * 2, 0, gap * 2]) {
    pen.beginPath();
    pen.moveTo(shift, gap * 2);
    pen.lineTo(shift + gap * 2, 0);
    pen.stroke();
  }
  return context.createPattern(tile, 'repeat');
}

// fit gives a canvas its size in real pixels, and a context that draws in
// those of the sheet.
function fit(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = width + 'px';
    canvas.style.height = height + 'px';
  }
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// lowerBound is the first index whose value is not below the wanted one.
function lowerBound(values, wanted) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

const grouped = number => number.toLocaleString('en');
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// shorten cuts a text that is to be drawn to a width.
function shorten(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  while (text.length > 2 && pen.measureText(text + '…').width > width) text = text.slice(0, -1);
  return text + '…';
}

// soon calls a function once before the next frame, however often it is asked.
function soon(call) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; call(); });
  };
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Opened from a disk, some browsers have no clipboard: the old way.
    const field = element('textarea');
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}

document.addEventListener('click', async event => {
  const button = event.target.closest('button[data-copy]');
  if (!button) return;
  const label = button.textContent;
  button.textContent = await copy(button.dataset.copy) ? 'Copied' : 'Select it';
  setTimeout(() => { button.textContent = label; }, 1600);
});

// VirtualList shows any number of rows with as many nodes as fit the view.
class VirtualList {
  constructor(root, { fill, choose, empty }) {
    Object.assign(this, { root, fill, choose, empty, count: 0, current: -1 });
    this.inner = element('div');
    this.inner.style.position = 'relative';
    root.append(this.inner);
    root.tabIndex = 0;
    root.setAttribute('role', 'listbox');
    const draw = soon(() => this.draw());
    root.addEventListener('scroll', draw, { passive: true });
    new ResizeObserver(draw).observe(root);
    root.addEventListener('click', event => {
      const row = event.target.closest('.row');
      if (row) this.select(Number(row.dataset.index), true);
    });
    root.addEventListener('keydown', event => this.key(event));
  }

  get height() { return narrow.matches ? 48 : 26; }

  show(count) {
    this.count = count;
    this.current = -1;
    this.root.scrollTop = 0;
    this.draw();
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || this.count === 0) return;
    event.preventDefault();
    this.select(clamp(this.current + steps[event.key], 0, this.count - 1), true);
  }

  // select marks a row and brings it into view; tell says whether the owner
  // must hear of it.
  select(index, tell) {
    this.current = index;
    if (index >= 0) {
      const top = index * this.height;
      if (top < this.root.scrollTop) this.root.scrollTop = top;
      const bottom = top + this.height - this.root.clientHeight;
      if (bottom > this.root.scrollTop) this.root.scrollTop = bottom;
    }
    this.draw();
    if (tell && index >= 0) this.choose(index);
  }

  draw() {
    const height = this.height;
    this.inner.style.height = Math.max(this.count * height, 48) + 'px';
    this.root.style.height = clamp(this.count * height, 48, 384) + 2 + 'px';
    const first = Math.max(0, Math.floor(this.root.scrollTop / height) - 4);
    const last = Math.min(this.count, first + Math.ceil(this.root.clientHeight / height) + 8);
    const rows = [];
    for (let index = first; index < last; index++) {
      const row = element('div', 'row');
      row.dataset.index = index;
      row.id = this.root.id + '-' + index;
      row.style.top = index * height + 'px';
      row.setAttribute('role', 'option');
      row.setAttribute('aria-setsize', this.count);
      row.setAttribute('aria-posinset', index + 1);
      row.setAttribute('aria-selected', index === this.current);
      this.fill(row, index);
      rows.push(row);
    }
    if (this.count === 0) rows.push(element('div', 'none', this.empty));
    this.inner.replaceChildren(...rows);
    const shown = this.current >= first && this.current < last;
    if (shown) this.root.setAttribute('aria-activedescendant', this.root.id + '-' + this.current);
    else this.root.removeAttribute('aria-activedescendant');
  }
}

// Tip is the box beside the pointer.
class Tip {
  constructor(host) {
    this.host = host;
    this.box = element('div', 'tip');
    this.box.hidden = true;
    host.append(this.box);
  }

  // show takes lines of [strong, plain] text and a place within the host.
  show(lines, x, y) {
    this.box.replaceChildren(...lines.map(([strong, plain]) => {
      const line = element('div');
      line.append(element('b', '', strong), plain ? ' ' + plain : '');
      return line;
    }));
    this.box.hidden = false;
    const width = this.box.offsetWidth, height = this.box.offsetHeight;
    const left = this.host.scrollLeft, top = this.host.scrollTop;
    this.box.style.left = clamp(x + 14, left, Math.max(left, left + this.host.clientWidth - width - 4)) + 'px';
    this.box.style.top = (y + 18 + height > top + this.host.clientHeight && y - height - 10 > top ? y - height - 10 : y + 18) + 'px';
  }

  hide() { this.box.hidden = true; }
}
