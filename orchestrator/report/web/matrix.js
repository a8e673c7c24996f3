// The page of a campaign: the matrix of crash points, and their list.

// SIGNS say an outcome without colour. WORSE orders outcomes by how much a
// reader must see them where several share a place.
const SIGNS = { p: ['✓', 'survived'], f: ['✕', 'failed'], u: ['✕', 'failed, not each time'], i: ['?', 'inconclusive'], b: ['!', 'broken'], d: ['~', 'diverged, as it may'], n: ['–', 'not run'] };
const NAMES = ['n', 'd', 'p', 'i', 'b', 'u', 'f'];
const WORSE = Object.fromEntries(NAMES.map((name, rank) => [name, rank]));
const LANES = { b: 0, d: 1, a: 2 };
const ROW = 30, HEAD = 24;

class Matrix extends Chart {
  constructor(root, data) {
    super();
    Object.assign(this, { root, data, layer: 0, chosen: -1 });
    this.count = data.outcomes.length;
    this.canvas = query('canvas', root);
    this.plot = query('.plot', root);
    this.tip = new Tip(this.plot);
    this.readLayers();
    this.redraw = soon(() => this.draw());
    new ResizeObserver(this.redraw).observe(this.plot);
    dark.addEventListener('change', this.redraw);
    this.plot.addEventListener('scroll', this.redraw, { passive: true });
    this.setLayer(0);
    this.tools();
    this.pointer();
    this.plot.addEventListener('keydown', event => this.key(event));
    this.list = new VirtualList(query('.list', root), {
      fill: (row, index) => this.fill(row, this.visible[index]),
      choose: index => this.choose(this.visible[index], true),
      empty: 'No crash point matches.',
    });
    this.filter();
  }

  // readLayers sorts points into first crashes and those during a recovery.
  // Within a row they stand by operation, then by timing and what was kept.
  readLayers() {
    const { index, object, outcomes, after, timings, kept } = this.data;
    this.layers = [];
    for (const [name, wanted] of [['First crash', false], ['Crash during recovery', true]]) {
      const rows = new Map();
      let columns = 0;
      for (let point = 0; point < this.count; point++) {
        if (after[point] >= 0 !== wanted) continue;
        let row = rows.get(object[point]);
        if (!row) rows.set(object[point], row = { object: object[point], points: [], failed: 0, doubtful: 0 });
        row.points.push(point);
        if ('fu'.includes(outcomes[point])) row.failed++;
        if ('ib'.includes(outcomes[point])) row.doubtful++;
        columns = Math.max(columns, index[point]);
      }
      if (!rows.size) continue;
      const sorted = [...rows.values()];
      for (const row of sorted) {
        row.points.sort((a, b) => index[a] - index[b] || LANES[timings[a]] - LANES[timings[b]] || kept[a] - kept[b] || a - b);
        row.columns = Float64Array.from(row.points, point => index[point]);
      }
      sorted.sort((a, b) => b.failed - a.failed || b.doubtful - a.doubtful || a.columns[0] - b.columns[0]);
      this.layers.push({ name, rows: sorted, columns, prefix: commonFolder(sorted.map(row => this.data.objects[row.object])) });
    }
  }

  get rows() { return this.layers[this.layer].rows; }

  setLayer(layer) {
    this.layer = layer;
    this.row = 0;
    if (this.layers.length) this.setView(0.5, this.layers[layer].columns + 0.5);
    this.plot.scrollTop = 0;
    queryAll('.layers button', this.root).forEach((button, index) => button.setAttribute('aria-pressed', index === layer));
  }

  tools() {
    if (this.layers.length > 1) this.layers.forEach((layer, index) => {
      const button = element('button', '', layer.name);
      button.type = 'button';
      button.setAttribute('aria-pressed', index === 0);
      button.addEventListener('click', () => this.setLayer(index));
      query('.layers', this.root).append(button);
    });
    query('.all', this.root).addEventListener('click', () => this.setView(0.5, this.layers[this.layer].columns + 0.5));
    query('.closer', this.root).addEventListener('click', () => this.zoom(0.5));
    query('.wider', this.root).addEventListener('click', () => this.zoom(2));
    query('.worst', this.root).addEventListener('click', () => this.nextWorst());
    query('.worst', this.root).disabled = !/[fuib]/.test(this.data.outcomes);
    const again = soon(() => this.filter());
    for (const input of queryAll('.filters input, .filters select', this.root)) input.addEventListener('input', again);
  }

  setView(from, to) {
    const most = this.layers[this.layer].columns;
    const span = clamp(to - from, Math.min(8, most), most);
    from = clamp(from, 0.5, most + 0.5 - span);
    this.view = [from, from + span];
    this.redraw();
  }

  nextWorst() {
    for (let step = 1; step <= this.count; step++) {
      const point = (Math.max(this.chosen, -1) + step) % this.count;
      if ('fuib'.includes(this.data.outcomes[point])) return this.choose(point);
    }
  }

  chosenAt() { return this.data.index[this.chosen]; }

  pick(point) { this.choose(point); }

  keys() {
    return { ArrowDown: () => this.stepRow(1), ArrowUp: () => this.stepRow(-1), 0: () => query('.all', this.root).click() };
  }

  step(by) {
    const points = this.rows[this.row].points;
    const place = points.indexOf(this.chosen);
    this.choose(points[clamp(place < 0 ? 0 : place + by, 0, points.length - 1)]);
  }

  stepRow(by) {
    const row = clamp(this.row + by, 0, this.rows.length - 1);
    const { points, columns } = this.rows[row];
    const column = this.chosen < 0 ? 0 : this.data.index[this.chosen];
    this.choose(points[clamp(lowerBound(columns, column), 0, points.length - 1)]);
  }

  // choose shows one point everywhere.
  choose(point, fromList) {
    this.chosen = point;
    const layer = this.layers.length > 1 && this.data.after[point] >= 0 ? 1 : 0;
    if (layer !== this.layer) this.setLayer(layer);
    this.row = this.rows.findIndex(row => row.object === this.data.object[point]);
    const column = this.data.index[point], [from, to] = this.view;
    if (column < from || column > to) this.setView(column - (to - from) / 2, column + (to - from) / 2);
    const top = this.row * ROW, room = this.plot.clientHeight - HEAD - ROW;
    if (top < this.plot.scrollTop) this.plot.scrollTop = top;
    if (top > this.plot.scrollTop + room) this.plot.scrollTop = top - room;
    if (!fromList) {
      const place = lowerBound(this.visible, point);
      this.list.select(this.visible[place] === point ? place : -1, false);
    }
    this.tell(point);
    this.redraw();
  }

  tell(point) {
    const { data } = this;
    const box = query('.selected', this.root);
    const [sign, words] = SIGNS[data.outcomes[point]];
    const head = element('div');
    head.append(element('b', '', `${sign} ${words}`), '  ' + this.describe(point) + this.attempts(point));
    const name = element('div', 'point');
    name.append(element('code', '', this.text(point)));
    box.replaceChildren(head, name);
    for (const before of data.afters[data.after[point]] ?? []) box.insertBefore(element('div', 'soft', 'after a crash at ' + before), name);
    const replay = data.replays[point];
    if (replay) {
      const button = element('button', '', 'Copy the command that replays it');
      button.type = 'button';
      button.dataset.copy = replay;
      name.append(button);
    }
    for (const [kind, text] of data.findings[point] ?? []) {
      const line = element('div');
      line.append(element('span', 'kind', kind), ' ' + text);
      box.append(line);
    }
    if (data.reasons[point]) box.append(element('div', '', data.reasons[point]));
    if (data.reports[point]) box.append(element('div', 'soft', 'saved in ' + data.reports[point]));
  }

  text(point) { return this.data.heads[this.data.head[point]] + this.data.tails[point]; }

  attempts(point) {
    const tried = this.data.attempts[point];
    if (!tried) return '';
    const [failures, attempts, confirmed] = tried;
    return `, failed ${failures} of ${attempts}` + (confirmed ? ', with a real container kill too' : '');
  }

  // describe says where the program was killed, in words.
  describe(point) {
    const { data } = this;
    const where = { b: 'before', a: 'after', d: `after ${grouped(data.kept[point])} bytes of` }[data.timings[point]];
    const size = data.size[point] > 0 ? ` (${grouped(data.size[point])} bytes${data.offset[point] >= 0 ? ' at byte ' + grouped(data.offset[point]) : ''})` : '';
    const life = data.life[point] > 1 ? ' in life ' + data.life[point] : '';
    return `${where} ${data.operations[data.operation[point]]} ${data.occurrence[point]} of ${data.objects[data.object[point]]}${size}${life}`;
  }

  // The list

  filter() {
    const { data } = this;
    const wanted = query('input[type=search]', this.root).value.toLowerCase();
    const operation = Number(query('select', this.root).value);
    const letters = new Set(queryAll('.filters input:checked', this.root).flatMap(input => [...input.value]));
    const visible = [];
    for (let point = 0; point < this.count; point++) {
      if (!letters.has(data.outcomes[point]) || operation >= 0 && data.operation[point] !== operation) continue;
      if (wanted && !this.text(point).toLowerCase().includes(wanted) && !this.why(point).toLowerCase().includes(wanted)) continue;
      visible.push(point);
    }
    this.visible = Uint32Array.from(visible);
    query('.count', this.root).textContent = grouped(visible.length) + ' of ' + grouped(this.count) + ' crash points';
    this.list.show(visible.length);
  }

  why(point) {
    const findings = this.data.findings[point];
    return findings ? findings.map(([kind, text]) => kind + ': ' + text).join('; ') : this.data.reasons[point] ?? '';
  }

  fill(row, point) {
    const letter = this.data.outcomes[point];
    const sign = element('span', { f: 'failed', u: 'failed', b: 'failed', i: 'inconclusive', p: 'passed' }[letter] ?? 'soft', SIGNS[letter][0]);
    sign.title = SIGNS[letter][1];
    const { data } = this;
    const place = { b: 'before', a: 'after', d: `+${grouped(data.kept[point])} of ${grouped(data.size[point])}` }[data.timings[point]];
    const object = element('span', 'x', this.short(data.objects[data.object[point]]));
    object.title = this.text(point);
    row.append(sign, element('span', '', `${data.operations[data.operation[point]]} ${grouped(data.occurrence[point])}`),
      element('span', 'soft', place + (data.after[point] >= 0 ? ', again' : '')), object, element('span', 'x soft', this.why(point)));
  }

  // short leaves out the folder that all files are in.
  short(name) {
    const { prefix } = this.layers[this.layer];
    return prefix && name.startsWith(prefix) ? name.slice(prefix.length) : name;
  }

  // Drawing

  draw() {
    const width = this.plot.clientWidth;
    if (!width || !this.layers.length) return;
    const whole = HEAD + this.rows.length * ROW + 6;
    const height = Math.min(whole, 540);
    query('.room', this.root).style.height = whole - height + 'px';
    this.left = narrow.matches ? 110 : 290;
    this.right = width - (narrow.matches ? 44 : 86);
    const pen = this.pen = fit(this.canvas, width, height);
    const ink = this.ink = colours();
    const sans = getComputedStyle(document.body).fontFamily;
    this.font = (size, weight = 400) => { pen.font = `${weight} ${size}px ${sans}`; };
    this.hatched = hatch(pen, ink.warn, 3);
    pen.textBaseline = 'middle';
    const top = this.plot.scrollTop;
    for (let row = Math.floor(top / ROW); row < this.rows.length && HEAD + row * ROW - top < height; row++) this.drawRow(row, HEAD + row * ROW - top);
    pen.fillStyle = ink.card;
    pen.fillRect(0, 0, width, HEAD);
    this.drawHead();
  }

  drawHead() {
    const { pen, ink } = this;
    const prefix = this.layers[this.layer].prefix;
    this.font(11);
    pen.fillStyle = ink.soft;
    if (prefix) pen.fillText(shorten(pen, 'in ' + prefix, this.left - 24), 12, 13);
    pen.textAlign = 'right';
    pen.fillText('failed', this.right + (narrow.matches ? 40 : 76), 13);
    pen.textAlign = 'center';
    const span = this.view[1] - this.view[0];
    const step = [1, 2, 5].flatMap(unit => [...Array(8).keys()].map(power => unit * 10 ** power)).sort((a, b) => a - b)
      .find(size => span / size <= (this.right - this.left) / 70) ?? span;
    for (let column = Math.ceil(this.view[0] / step) * step; column <= this.view[1]; column += step) {
      if (column < 1) continue;
      const x = this.x(column);
      if (x < this.left + 8 || x > this.right - 8) continue;
      pen.fillText(grouped(column), x, 13);
      pen.fillStyle = ink.line;
      pen.fillRect(Math.round(x), HEAD - 4, 1, 4);
      pen.fillStyle = ink.soft;
    }
    pen.textAlign = 'left';
  }

  drawRow(number, y) {
    const { pen, ink } = this;
    const row = this.rows[number];
    const name = this.short(this.data.objects[row.object]);
    pen.fillStyle = ink.line;
    pen.globalAlpha = 0.6;
    pen.fillRect(0, Math.round(y), this.right + 90, 1);
    pen.globalAlpha = 1;
    if (number === this.row && this.chosen >= 0) {
      pen.fillStyle = ink['accent-wash'];
      pen.fillRect(0, y + 1, this.left - 8, ROW - 1);
    }
    this.font(12, row.failed ? 620 : 400);
    pen.fillStyle = ink.ink;
    pen.fillText(shortenLeft(pen, name, this.left - 24), 12, y + ROW / 2);
    pen.textAlign = 'right';
    this.font(11.5, row.failed ? 620 : 400);
    pen.fillStyle = row.failed ? ink.fail : ink.soft;
    const counts = narrow.matches ? grouped(row.failed) : `${grouped(row.failed)} of ${grouped(row.points.length)}`;
    pen.fillText((row.failed ? '✕ ' : '') + counts, this.right + (narrow.matches ? 40 : 76), y + ROW / 2);
    pen.textAlign = 'left';
    this.drawCells(row, y + 3);
  }

  // drawCells draws the worst outcome of each place: a place is a timing in a
  // column or, where columns are narrower than a pixel, in a column of pixels.
  drawCells(row, y) {
    const { index, outcomes, timings } = this.data;
    const wide = (this.right - this.left) / (this.view[1] - this.view[0]);
    const cell = Math.max(wide, 1);
    const places = new Map();
    for (let place = lowerBound(row.columns, Math.floor(this.view[0])); place < row.points.length && row.columns[place] <= this.view[1] + 1; place++) {
      const point = row.points[place];
      const column = wide >= 1 ? index[point] : Math.floor(this.x(index[point]));
      const key = column * 4 + LANES[timings[point]];
      places.set(key, Math.max(places.get(key) ?? 0, WORSE[outcomes[point]]));
    }
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(this.left, 0, this.right - this.left, 1e5);
    this.pen.clip();
    // The worst come last, so that nothing is drawn over them.
    for (const [key, outcome] of [...places].sort((a, b) => a[1] - b[1])) {
      const column = Math.floor(key / 4);
      this.drawPlace(NAMES[outcome], wide >= 1 ? this.x(column - 0.5) : column, y + key % 4 * 8, cell);
    }
    this.drawChosen(row, y, cell);
    this.pen.restore();
  }

  drawPlace(outcome, x, top, cell) {
    const { pen, ink } = this;
    const gap = cell > 5 ? Math.min(2, cell * 0.15) : 0;
    const width = Math.max(cell - gap, 1), height = 7;
    switch (outcome) {
      case 'p':
        pen.globalAlpha = 0.45;
        pen.fillStyle = ink.pass;
        pen.fillRect(x, top, width, height);
        pen.globalAlpha = 1;
        break;
      case 'n': case 'd':
        pen.strokeStyle = ink.dead;
        pen.lineWidth = 1;
        pen.globalAlpha = 0.6;
        pen.strokeRect(x + 0.5, top + 2.5, Math.max(width - 1, 0.5), 2);
        pen.globalAlpha = 1;
        break;
      case 'f': case 'u':
        // Taller and never thinner than what can be seen.
        pen.fillStyle = ink.card;
        pen.fillRect(x - 1.5, top - 2, Math.max(width, 3) + 3, height + 4);
        pen.fillStyle = ink.fail;
        pen.fillRect(x, top - 1, Math.max(width, 3), height + 2);
        if (width >= 9) cross(pen, x + width / 2, top + height / 2, 2.6, ink.card);
        if (outcome === 'u' && width >= 6) {
          pen.fillStyle = ink.card;
          pen.fillRect(x + 2, top + height - 1, width - 4, 1);
        }
        break;
      default:
        pen.fillStyle = ink.card;
        pen.fillRect(x, top, Math.max(width, 2), height);
        pen.fillStyle = outcome === 'b' ? ink.warn : this.hatched;
        pen.fillRect(x, top, Math.max(width, 2), height);
        pen.strokeStyle = ink.warn;
        pen.lineWidth = 1;
        if (width > 4) pen.strokeRect(x + 0.5, top + 0.5, width - 1, height - 1);
    }
  }

  drawChosen(row, y, cell) {
    if (this.chosen < 0 || this.rows[this.row] !== row) return;
    const { pen, ink } = this;
    const x = this.x(this.data.index[this.chosen] - 0.5);
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 1.5;
    pen.strokeRect(x - 2, y + LANES[this.data.timings[this.chosen]] * 8 - 2, Math.max(cell, 3) + 3, 11);
  }

  // Pointing

  // near gives the points under the pointer, the worst first.
  near(x, y) {
    const number = Math.floor((y - HEAD + this.plot.scrollTop) / ROW);
    const row = this.rows[number];
    if (!row || y < HEAD || x < this.left || x > this.right) return [];
    const lane = clamp(Math.floor((y - HEAD + this.plot.scrollTop - number * ROW - 3) / 8), 0, 2);
    const reach = Math.max(0.5, 3 * (this.view[1] - this.view[0]) / (this.right - this.left));
    const here = this.value(x);
    const found = [];
    for (let place = lowerBound(row.columns, here - reach); place < row.points.length && row.columns[place] <= here + reach && found.length < 2000; place++) found.push(row.points[place]);
    const { outcomes, timings } = this.data;
    return found.sort((a, b) => (LANES[timings[b]] === lane) - (LANES[timings[a]] === lane) || WORSE[outcomes[b]] - WORSE[outcomes[a]] || a - b);
  }

  point(x, y) {
    const near = this.near(x, y);
    if (!near.length) return this.tip.hide();
    const lines = near.slice(0, 5).map(point => [SIGNS[this.data.outcomes[point]].join(' '), this.describe(point)]);
    const why = this.why(near[0]);
    if (why) lines.splice(1, 0, ['', why]);
    if (near.length > 5) lines.push(['', `and ${near.length === 2000 ? 'many' : near.length - 5} more: come closer`]);
    this.tip.show(lines, x, y + this.plot.scrollTop);
  }
}

// commonFolder is the deepest folder that most of the files are in; it is not
// repeated in each row. Files elsewhere keep their whole names.
function commonFolder(names) {
  const files = names.filter(name => name.startsWith('/'));
  const inside = new Map();
  for (const name of files) {
    for (let end = name.indexOf('/', 1); end > 0; end = name.indexOf('/', end + 1)) {
      const folder = name.slice(0, end + 1);
      inside.set(folder, (inside.get(folder) ?? 0) + 1);
    }
  }
  let deepest = '';
  for (const [folder, count] of inside) if (count > 1 && count * 2 > files.length && folder.length > deepest.length) deepest = folder;
  return deepest;
}

// shortenLeft keeps the end, by which files differ.
function shortenLeft(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  while (text.length > 2 && pen.measureText('…' + text).width > width) text = text.slice(1);
  return '…' + text;
}

function cross(pen, x, y, size, colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  pen.beginPath();
  pen.moveTo(x - size, y - size); pen.lineTo(x + size, y + size);
  pen.moveTo(x + size, y - size); pen.lineTo(x - size, y + size);
  pen.stroke();
}

new Matrix(query('.campaign'), JSON.parse(query('#data').textContent));
