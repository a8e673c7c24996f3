// The timeline of one run, and the list of its events below it.

const seconds = (micro, digits = 3) => (micro / 1e6).toFixed(digits) + ' s';

const KINDS = {
  l: ['·', 'log line'], e: ['!', 'line on standard error'], c: ['▸', 'container'], f: ['◆', 'fault'],
  q: ['≡', 'queue'], o: ['→', 'operation'], r: ['–', 'the run'], x: ['▲', 'trouble or warning'],
};

// DASHES tell lines apart without colour.
const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3]];

class Timeline extends Chart {
  constructor(root, data) {
    super();
    this.root = root;
    this.data = data;
    this.readEvents();
    this.canvas = query('canvas', root);
    this.plot = query('.plot', root);
    this.tip = new Tip(this.plot);
    this.chosen = -1; // an event, by its index
    this.lane = 0; // 0 is all services, else a service's index plus one
    this.view = [...data.view];
    this.redraw = soon(() => this.draw());
    new ResizeObserver(this.redraw).observe(this.plot);
    dark.addEventListener('change', this.redraw);
    this.tools();
    this.pointer();
    this.plot.addEventListener('keydown', event => this.key(event));
    this.list = new VirtualList(query('.list', root), {
      fill: (row, index) => this.fill(row, this.visible[index]),
      choose: index => this.choose(this.visible[index], 'list'),
      empty: 'No event matches.',
    });
    this.filter();
  }

  readEvents() {
    const { at, service } = this.data.events;
    let now = 0;
    this.at = Float64Array.from(at, difference => now += difference);
    this.byService = this.data.services.map(() => []);
    for (let index = 0; index < service.length; index++) if (service[index] >= 0) this.byService[service[index]].push(index);
    this.timesOf = this.byService.map(list => Float64Array.from(list, index => this.at[index]));
    this.all = Uint32Array.from(this.at, (_, index) => index);
  }

  who(index) {
    const { service, life } = this.data.events;
    if (service[index] < 0) return '';
    return this.data.services[service[index]] + (life[index] ? ' #' + life[index] : '');
  }

  // Controls

  tools() {
    const views = query('.views', this.root);
    const add = (label, from, to) => {
      const button = element('button', '', label);
      button.type = 'button';
      button.addEventListener('click', () => this.setView(from, to));
      views.append(button);
    };
    add('Whole run', 0, this.data.end);
    if (this.data.view[0] > 0) add('Work', ...this.data.view);
    for (const fault of this.data.faults.slice(0, 6)) {
      const until = fault.healed < 0 ? fault.fired + this.data.end / 20 : fault.healed;
      const margin = Math.max((until - fault.fired) * 0.4, 20000);
      add('Fault ' + fault.number, fault.fired - margin, until + margin);
    }
    query('.closer', this.root).addEventListener('click', () => this.zoom(0.5));
    query('.wider', this.root).addEventListener('click', () => this.zoom(2));
    const again = soon(() => this.filter());
    for (const input of queryAll('.filters input, .filters select', this.root)) input.addEventListener('input', again);
  }

  setView(from, to) {
    const span = clamp(to - from, 200, this.data.end);
    from = clamp(from, 0, this.data.end - span);
    this.view = [from, from + span];
    this.redraw();
  }

  chosenAt() { return this.at[this.chosen]; }

  pick(index) { this.choose(index, 'plot'); }

  keys() {
    return { ArrowDown: () => this.changeLane(1), ArrowUp: () => this.changeLane(-1), 0: () => this.setView(0, this.data.end) };
  }

  // step goes to the event before or after the chosen one, in its lane.
  step(by) {
    const events = this.lane ? this.byService[this.lane - 1] : this.all;
    const times = this.lane ? this.timesOf[this.lane - 1] : this.at;
    if (events.length === 0) return;
    let place = lowerBound(events, this.chosen);
    if (this.chosen < 0) place = lowerBound(times, this.view[0]) - (by > 0 ? 1 : 0);
    else if (events[place] !== this.chosen && by > 0) place--;
    this.choose(events[clamp(place + by, 0, events.length - 1)], 'plot');
  }

  changeLane(by) {
    this.lane = clamp(this.lane + by, 0, this.data.services.length);
    this.say(this.lane ? 'Events of ' + this.data.services[this.lane - 1] + '.' : 'Events of all services.');
    this.redraw();
  }

  // choose shows one event everywhere.
  choose(index, from) {
    this.chosen = index;
    const [start, stop] = this.view;
    if (this.at[index] < start || this.at[index] > stop) {
      const half = (stop - start) / 2;
      this.setView(this.at[index] - half, this.at[index] + half);
    }
    if (from !== 'list') {
      const place = lowerBound(this.visible, index);
      this.list.select(this.visible[place] === index ? place : -1, false);
    }
    const box = this.say('');
    const who = this.who(index);
    box.append(element('b', '', seconds(this.at[index])), '  ' + (who ? who + '  ' : '') + this.data.events.text[index]);
    this.redraw();
  }

  say(text) {
    const box = query('.selected', this.root);
    box.replaceChildren(text);
    return box;
  }

  // The list

  filter() {
    const wanted = query('input[type=search]', this.root).value.toLowerCase();
    const service = Number(query('select', this.root).value);
    const letters = new Set(queryAll('.filters input:checked', this.root).flatMap(input => [...input.value]));
    const { kinds, service: services, text } = this.data.events;
    const visible = [];
    for (let index = 0; index < kinds.length; index++) {
      if (!letters.has(kinds[index]) || service >= 0 && services[index] !== service) continue;
      if (wanted && !text[index].toLowerCase().includes(wanted) && !this.who(index).toLowerCase().includes(wanted)) continue;
      visible.push(index);
    }
    this.visible = Uint32Array.from(visible);
    query('.count', this.root).textContent = visible.length === kinds.length
      ? grouped(kinds.length) + ' events' : grouped(visible.length) + ' of ' + grouped(kinds.length) + ' events';
    this.list.show(visible.length);
    if (this.chosen >= 0) {
      const place = lowerBound(this.visible, this.chosen);
      if (this.visible[place] === this.chosen) this.list.select(place, false);
    }
  }

  fill(row, index) {
    const letter = this.data.events.kinds[index];
    if (letter === 'f' || letter === 'x') row.classList.add('strong');
    const [sign, name] = KINDS[letter];
    const mark = element('span', 'm', sign);
    mark.title = name;
    row.append(element('span', 't', seconds(this.at[index])), element('span', 'w', this.who(index)), mark,
      element('span', 'x', this.data.events.text[index]));
  }

  // Drawing

  // layout gives each row its place from top to bottom.
  layout() {
    const gutter = narrow.matches ? 0 : 132;
    const head = gutter ? 0 : 15; // room for a name above its row
    let y = 22 + (this.data.faults.length ? 20 : 0);
    const rows = [];
    const add = (type, index, height) => {
      rows.push({ type, index, y: y + head, height: height - head, top: y });
      y += height;
    };
    this.data.lanes.forEach((_, index) => add('lane', index, 40 + head));
    this.data.queues.forEach((_, index) => add('queue', index, 38 + head));
    if (this.data.chunks.length) add('chunks', 0, 84 + head);
    return { gutter, rows, bottom: y + 4, height: y + 24 };
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!width) return; // not shown
    const { gutter, rows, bottom, height } = this.layout();
    this.rows = rows;
    this.left = gutter || 8;
    this.right = width - 14;
    const pen = this.pen = fit(this.canvas, width, height);
    const ink = this.ink = colours();
    const sans = getComputedStyle(document.body).fontFamily;
    this.font = (size, weight = 400) => { pen.font = `${weight} ${size}px ${sans}`; };
    pen.textBaseline = 'middle';
    this.drawAxis(bottom);
    this.drawPhases(bottom, height);
    this.clipped(() => this.drawDowntime(bottom));
    for (const row of rows) {
      if (gutter) this.drawName(row);
      this.clipped(() => this['draw_' + row.type](row));
    }
    this.clipped(() => this.drawFaults(bottom));
    if (!gutter) for (const row of rows) this.drawName(row);
    this.clipped(() => this.drawChosen(bottom));
  }

  clipped(draw) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(this.left - 6, 0, this.right - this.left + 12, 1e5);
    this.pen.clip();
    draw();
    this.pen.restore();
  }

  drawAxis(bottom) {
    const { pen, ink } = this;
    const span = this.view[1] - this.view[0];
    const room = (this.right - this.left) / 90;
    const step = [1, 2, 5].flatMap(unit => [...Array(9).keys()].map(power => unit * 10 ** power)).sort((a, b) => a - b)
      .find(size => span / size <= room) ?? span;
    const digits = clamp(6 - Math.floor(Math.log10(step) + 1e-9), 0, 6);
    this.font(11);
    for (let time = Math.ceil(this.view[0] / step) * step; time <= this.view[1]; time += step) {
      const x = Math.round(this.x(time)) + 0.5;
      pen.strokeStyle = ink.line;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(x, 20);
      pen.lineTo(x, bottom);
      pen.stroke();
      pen.fillStyle = ink.soft;
      pen.textAlign = x > this.right - 30 ? 'right' : x < this.left + 20 ? 'left' : 'center';
      pen.fillText(seconds(time, digits), x, 11);
    }
    pen.textAlign = 'left';
  }

  // drawPhases names what the run was doing, below everything.
  drawPhases(bottom, height) {
    const { pen, ink } = this;
    this.font(11);
    this.data.phases.forEach((phase, index) => {
      const from = Math.max(this.x(phase.at), this.left);
      const to = Math.min(this.x(this.data.phases[index + 1]?.at ?? this.data.end), this.right);
      if (to - from < 2) return;
      pen.fillStyle = ink.line;
      pen.fillRect(Math.round(from), bottom + 1, 1, height - bottom - 6);
      const words = phase.text.replace(/^(\w+ing) .*/, '$1');
      pen.fillStyle = ink.soft;
      if (pen.measureText(words).width + 8 < to - from) pen.fillText(words, from + 5, bottom + 10);
    });
  }

  drawDowntime(bottom) {
    for (const fault of this.data.faults) {
      if (fault.healed < 0) continue;
      const from = this.x(fault.fired), to = this.x(fault.healed);
      this.pen.fillStyle = this.ink['accent-wash'];
      this.pen.globalAlpha = 0.55;
      this.pen.fillRect(from, 42, Math.max(to - from, 1), bottom - 42);
      this.pen.globalAlpha = 1;
    }
  }

  drawName(row) {
    const { pen, ink } = this;
    const chosen = row.type === 'lane' && this.lane === row.index + 1;
    this.font(12, chosen ? 650 : row.type === 'lane' ? 560 : 400);
    pen.fillStyle = chosen ? ink.accent : row.type === 'lane' ? ink.ink : ink.soft;
    const name = row.type === 'lane' ? this.data.services[row.index] : row.type === 'queue' ? this.data.queues[row.index].name : 'chunks';
    const narrowRow = this.left < 20;
    if (!narrowRow) {
      pen.fillText(shorten(pen, name, this.left - 26), 14, row.y + 13);
      if (row.type !== 'lane') this.drawNote(row);
    } else {
      // The name stands above its row, over the lines of faults.
      const colour = pen.fillStyle;
      pen.fillStyle = ink.card;
      pen.fillRect(this.left - 2, row.top + 1, pen.measureText(name).width + 6, 14);
      pen.fillStyle = colour;
      pen.fillText(name, this.left, row.top + 8);
    }
    if (row.type === 'chunks') this.drawKey(row, narrowRow);
    pen.strokeStyle = ink.line;
    pen.beginPath();
    pen.moveTo(narrowRow ? 8 : 14, row.top + 0.5);
    pen.lineTo(this.right, row.top + 0.5);
    pen.globalAlpha = 0.6;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  drawNote(row) {
    const { pen, ink } = this;
    this.font(10.5);
    pen.fillStyle = ink.soft;
    const note = row.type === 'queue' ? 'at most ' + grouped(peak(this.data.queues[row.index])) : grouped(this.data.chunks[0].total) + ' sent';
    if (row.type === 'queue') pen.fillText(note, 14, row.y + 28); else pen.fillText(note, 62, row.y + 13);
  }

  // drawKey says which line is whose: beside the row, or above it where there
  // is no room beside.
  drawKey(row, above) {
    const { pen, ink } = this;
    let x = above ? this.left + 60 : 14;
    this.data.chunks.forEach((line, number) => {
      const label = shorten(pen, this.data.services[line.service], above ? 70 : this.left - 50);
      const y = above ? row.top + 8 : row.y + 31 + number * 14;
      if (y > row.y + row.height) return;
      pen.strokeStyle = number % 2 ? ink.accent : ink.ink;
      pen.lineWidth = 1.5;
      pen.setLineDash(DASHES[number % DASHES.length]);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x + 18, y);
      pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = ink.soft;
      pen.fillText(label, x + 23, y);
      if (above) x += pen.measureText(label).width + 36;
    });
  }

  draw_lane(row) {
    const { pen, ink } = this;
    const lane = this.data.lanes[row.index];
    const middle = row.y + 13;
    // Created, but not alive: a dotted line.
    const created = lane.created >= 0 ? lane.created : lane.spans[0]?.from ?? this.data.end;
    pen.strokeStyle = ink.dead;
    pen.setLineDash([1, 4]);
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(Math.max(this.x(created), this.left), middle);
    pen.lineTo(Math.min(this.x(this.data.end), this.right), middle);
    pen.stroke();
    pen.setLineDash([]);
    for (const span of lane.spans) this.drawStretch(span, row.y + 6, 14);
    for (const span of lane.spans) this.drawEnd(span, middle);
    this.drawLog(row.index, row.y + 24, 12);
  }

  drawStretch(span, y, height) {
    const { pen, ink } = this;
    const from = Math.max(this.x(span.from), this.left - 8), to = Math.min(this.x(span.to), this.right + 8);
    if (to < this.left - 7 || from > this.right + 7) return;
    const width = Math.max(to - from, 1.5);
    if (span.state === 'hurt') {
      pen.fillStyle = ink.card;
      pen.fillRect(from, y, width, height);
    }
    pen.fillStyle = span.state === 'up' ? ink.life : hatch(pen, ink.dead);
    pen.fillRect(from, y, width, height);
    pen.strokeStyle = ink.dead;
    pen.lineWidth = 1;
    pen.strokeRect(from + 0.5, y + 0.5, Math.max(width - 1, 0.5), height - 1);
    if (span.state === 'up') {
      this.font(10.5, 560);
      const label = '#' + span.life;
      if (pen.measureText(label).width + 12 < width) {
        pen.fillStyle = ink.ink;
        pen.fillText(label, Math.max(from, this.left) + 6, y + height / 2 + 0.5);
      }
    }
  }

  // drawEnd says by its shape how a life ended: a cross for a death, a square
  // for an exit in order.
  drawEnd(span, middle) {
    if (!span.end || span.swept || span.state === 'hurt') return;
    const { pen, ink } = this;
    const x = this.x(span.to);
    pen.lineWidth = 2.2;
    if (span.bad) {
      pen.strokeStyle = ink.card;
      for (const [colour, width] of [[ink.card, 5.5], [ink.ink, 2.2]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        pen.beginPath();
        pen.moveTo(x - 4.5, middle - 4.5); pen.lineTo(x + 4.5, middle + 4.5);
        pen.moveTo(x + 4.5, middle - 4.5); pen.lineTo(x - 4.5, middle + 4.5);
        pen.stroke();
      }
    } else {
      pen.fillStyle = ink.ink;
      pen.fillRect(x - 3.5, middle - 3.5, 7, 7);
    }
  }

  // drawLog draws a tick for each pixel that has lines, the higher the more.
  drawLog(service, y, height) {
    const { pen, ink } = this;
    const times = this.timesOf[service], events = this.byService[service];
    const kinds = this.data.events.kinds;
    const counts = new Map();
    for (let place = lowerBound(times, this.view[0]); place < times.length && times[place] <= this.view[1]; place++) {
      const kind = kinds[events[place]];
      if (kind !== 'l' && kind !== 'e') continue;
      const x = Math.round(this.x(times[place]));
      const count = counts.get(x) ?? [0, 0];
      count[kind === 'e' ? 1 : 0]++;
      counts.set(x, count);
    }
    for (const [x, [out, err]] of counts) {
      const tall = clamp(3 + 3 * Math.log2(1 + out + err), 4, height);
      pen.fillStyle = ink.soft;
      pen.fillRect(x - 0.5, y, 1.4, tall);
      if (err) {
        pen.fillStyle = ink.warn;
        pen.fillRect(x - 1.5, y + tall - 2, 3.4, 3);
      }
    }
  }

  draw_queue(row) {
    const { pen, ink } = this;
    const queue = this.data.queues[row.index];
    const base = row.y + row.height - 5, height = row.height - 11;
    const most = Math.max(peak(queue), 1);
    const area = (value, fill) => {
      pen.beginPath();
      queue.at.forEach((at, index) => {
        const y = base - value(index) / most * height;
        const until = queue.at[index + 1] ?? this.data.end;
        if (index === 0) pen.moveTo(this.x(at), base);
        pen.lineTo(this.x(at), y);
        pen.lineTo(this.x(until), y);
      });
      pen.lineTo(this.x(this.data.end), base);
      pen.closePath();
      pen.fillStyle = fill;
      pen.fill();
    };
    area(index => queue.ready[index] + queue.unacked[index], hatch(pen, ink.accent, 3));
    area(index => queue.ready[index], ink.card);
    pen.globalAlpha = 0.45;
    area(index => queue.ready[index], ink.accent);
    pen.globalAlpha = 1;
    pen.strokeStyle = ink.soft;
    pen.lineWidth = 1;
    pen.globalAlpha = 0.5;
    pen.beginPath();
    pen.moveTo(this.x(queue.at[0]), base + 0.5);
    pen.lineTo(this.right, base + 0.5);
    pen.stroke();
    pen.globalAlpha = 1;
    // A dot where the broker was asked: between two of them nothing is known.
    pen.fillStyle = ink.accent;
    queue.at.forEach((at, index) => {
      pen.beginPath();
      pen.arc(this.x(at), base - (queue.ready[index] + queue.unacked[index]) / most * height, 2, 0, 7);
      pen.fill();
    });
  }

  // draw_chunks draws, for each service, how many chunks its log has named.
  draw_chunks(row) {
    const { pen, ink } = this;
    const base = row.y + row.height - 8, height = row.height - 20;
    this.data.chunks.forEach((line, number) => {
      pen.strokeStyle = number % 2 ? ink.accent : ink.ink;
      pen.setLineDash(DASHES[number % DASHES.length]);
      pen.lineWidth = 1.5;
      const y = count => base - count / line.total * height;
      let drawn = this.x(line.at[0]);
      pen.beginPath();
      pen.moveTo(drawn, base);
      line.at.forEach((at, index) => {
        const x = this.x(at);
        if (x - drawn < 0.5) return; // one corner a pixel
        pen.lineTo(drawn, y(index));
        pen.lineTo(x, y(index));
        drawn = x;
      });
      pen.lineTo(drawn, y(line.at.length));
      pen.lineTo(this.x(this.data.end), y(line.at.length));
      pen.stroke();
    });
    pen.setLineDash([]);
  }

  drawFaults(bottom) {
    const { pen, ink } = this;
    let free = -Infinity;
    for (const fault of this.data.faults) {
      const x = this.x(fault.fired);
      pen.strokeStyle = ink.accent;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(x, 36);
      pen.lineTo(x, bottom);
      pen.stroke();
      const row = this.rows.find(row => row.type === 'lane' && row.index === fault.service);
      if (row) diamond(pen, x, row.y + 13, fault.exact ? 6 : 4.5, fault.exact ? ink.accent : ink.card, ink.accent);
      this.font(11, 600);
      const label = `${fault.number} · ${fault.text}`;
      const width = pen.measureText(label).width + 12;
      const left = clamp(x - 8, this.left - 4, this.right - width + 8);
      if (left < free) continue; // the line and its tip are enough where there is no room
      free = left + width + 4;
      pen.fillStyle = ink.accent;
      pen.beginPath();
      pen.roundRect(left, 22, width, 16, 4);
      pen.fill();
      pen.fillStyle = ink.card;
      pen.fillText(label, left + 6, 30.5);
    }
  }

  drawChosen(bottom) {
    if (this.chosen < 0) return;
    const { pen, ink } = this;
    const x = this.x(this.at[this.chosen]);
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x, 20);
    pen.lineTo(x, bottom);
    pen.stroke();
    pen.setLineDash([]);
  }

  // Pointing

  rowAt(y) { return this.rows?.find(row => y >= row.top && y < row.y + row.height); }

  // near gives the events under the pointer, the nearest first.
  near(x, y) {
    const row = this.rowAt(y);
    const service = row?.type === 'lane' ? row.index : -1;
    const times = service >= 0 ? this.timesOf[service] : this.at;
    const events = service >= 0 ? this.byService[service] : this.all;
    const from = this.value(x - 4), to = this.value(x + 4), here = this.value(x);
    const found = [];
    for (let place = lowerBound(times, from); place < times.length && times[place] <= to && found.length < 400; place++) {
      if (service < 0 && this.data.events.kinds[events[place]] !== 'f') continue;
      found.push(events[place]);
    }
    return found.sort((a, b) => Math.abs(this.at[a] - here) - Math.abs(this.at[b] - here) || a - b);
  }

  point(x, y) {
    const lines = [];
    const row = this.rowAt(y);
    const here = clamp(this.value(x), 0, this.data.end);
    const near = this.near(x, y);
    for (const index of near.slice(0, 6).sort((a, b) => a - b)) {
      lines.push([seconds(this.at[index]), cut(this.data.events.text[index], 160)]);
    }
    if (near.length > 6) lines.push(['', `and ${near.length === 400 ? 'many' : near.length - 6} more: come closer`]);
    if (!near.length && row?.type === 'lane') lines.push([seconds(here), this.stateAt(row.index, here)]);
    if (row?.type === 'queue') lines.push([seconds(here), this.depthAt(this.data.queues[row.index], here)]);
    if (row?.type === 'chunks') {
      lines.push([seconds(here), 'chunks named in the log of']);
      for (const line of this.data.chunks) lines.push([grouped(lowerBound(line.at, here + 1)), this.data.services[line.service]]);
    }
    if (lines.length) this.tip.show(lines, x, y); else this.tip.hide();
  }

  stateAt(service, time) {
    const lane = this.data.lanes[service], name = this.data.services[service];
    const span = lane.spans.findLast(span => time >= span.from && time <= span.to);
    if (span) return `${name} #${span.life} ${{ up: 'is up', starting: 'is starting', hurt: 'cannot work' }[span.state]}`;
    const before = lane.spans.findLast(span => span.to < time);
    return before ? `${name} is down: #${before.life} ${before.end}` : `${name} has not been started`;
  }

  depthAt(queue, time) {
    const place = lowerBound(queue.at, time + 1) - 1;
    if (place < 0) return queue.name + ': not asked yet';
    return `${queue.name}: ${grouped(queue.ready[place])} ready, ${grouped(queue.unacked[place])} unacknowledged, as of ${seconds(queue.at[place])}`;
  }
}

const peak = queue => queue.at.reduce((most, _, index) => Math.max(most, queue.ready[index] + queue.unacked[index]), 0);

const cut = (text, length) => text.length > length ? text.slice(0, length) + '…' : text;

function diamond(pen, x, y, size, fill, stroke) {
  pen.beginPath();
  pen.moveTo(x, y - size); pen.lineTo(x + size, y); pen.lineTo(x, y + size); pen.lineTo(x - size, y);
  pen.closePath();
  pen.fillStyle = fill;
  pen.fill();
  pen.strokeStyle = stroke;
  pen.lineWidth = 1.5;
  pen.stroke();
}
