// All labels at once: a confusion matrix, tables and a map of photos. This file is appended to widgets.js in one module
// and uses what that defines.

// The matrix: rows are the classes of the masks, columns those of the labels. Every cell is a button; the arrow keys go
// from one to the next, and only one of them is reached by Tab.

class MatrixView {
  constructor({ model, el, signal }) {
    this.model = model;
    this.el = el;
    el.classList.add("swsss-matrix");
    el.addEventListener("click", event => this.choose(event.target.closest("button")), { signal });
    el.addEventListener("keydown", event => this.onKey(event), { signal });
    redraw(model, signal, { counts: () => this.draw() });
  }

  draw() {
    const [names, counts] = [this.model.get("classes"), this.model.get("counts")];
    const at = this.el.querySelector("[tabindex='0']")?.dataset;
    const table = make("table");
    table.setAttribute("aria-label", "Confusion matrix: percent of each class in the masks, by class in the labels");
    const head = table.createTHead().insertRow();
    head.append(
      make("td", "swsss-corner", "mask \u2193  label \u2192"),
      ...names.map(name => this.header(name, "col")),
    );
    const body = table.createTBody();
    counts.forEach((row, r) => {
      const sum = row.reduce((a, b) => a + b, 0);
      body.insertRow().append(this.header(names[r], "row"), ...row.map((n, c) => this.cell(names, r, c, n, n / sum)));
    });
    refill(this.el, table);
    this.reach(this.at(at?.r ?? 0, at?.c ?? 0) ?? this.at(0, 0));
  }

  header(name, scope) {
    const node = make("th");
    node.scope = scope;
    node.title = name;
    node.append(make("span", "", name));
    return node;
  }

  cell(names, r, c, pixels, share) {
    const node = make("td", r === c ? "right" : "wrong");
    const percent = 100 * share;
    const button = make("button", "", percent >= 0.5 ? percent.toFixed(0) : pixels ? "<1" : "\u00b7");
    const text = `${names[r]} labelled ${r === c ? "correctly" : names[c]}`;
    button.title = `${text}: ${pixels ? percent.toPrecision(3) : 0}%, ${pixels.toLocaleString("en")} pixels`;
    button.setAttribute("aria-label", button.title);
    Object.assign(button.dataset, { r, c });
    button.tabIndex = -1;
    button.disabled = !pixels;
    node.style.setProperty("--share", `${Math.min(60, 60 * Math.sqrt(share || 0))}%`);
    node.append(button);
    return node;
  }

  at(r, c) {
    return this.el.querySelector(`button[data-r='${r}'][data-c='${c}']`);
  }

  reach(button) {
    for (const node of this.el.querySelectorAll("[tabindex='0']")) node.tabIndex = -1;
    if (button) button.tabIndex = 0;
  }

  choose(button) {
    if (!button) return;
    this.reach(button);
    for (const node of this.el.querySelectorAll(".chosen")) node.classList.remove("chosen");
    button.classList.add("chosen");
    this.model.send({ cell: [Number(button.dataset.r), Number(button.dataset.c)] });
  }

  onKey(event) {
    const [dr, dc] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [];
    const button = event.target.closest("button");
    if (dr === undefined || !button) return;
    event.preventDefault();
    event.stopPropagation(); // outside of the matrix they turn the page
    let [r, c] = [Number(button.dataset.r), Number(button.dataset.c)];
    let next = button;
    do {
      [r, c] = [r + dr, c + dc];
      next = this.at(r, c);
    } while (next?.disabled);
    this.reach(next ?? button);
    next?.focus();
  }
}

// A table: a click on a column sorts by it, another click reverses the order; a click on a row sends its index.

const MOST_ROWS = 200; // drawn at once, of the order chosen

function numberText(value, column) {
  if (value === null) return "\u2013";
  if (typeof value !== "number" || (Number.isInteger(value) && column !== "change" && Math.abs(value) > 1)) {
    return value.toLocaleString("en");
  }
  if (column === "photos" || column === "weakest in") return String(value);
  const text = (100 * value).toFixed(1);
  if (column !== "change") return text;
  return value > 0 ? `\u25b2 +${text}` : value < 0 ? `\u25bc ${text}` : text;
}

class TableView {
  constructor({ model, el, signal }) {
    Object.assign(this, { model, el, by: -1, up: true });
    el.classList.add("swsss-table");
    el.addEventListener("click", event => this.onClick(event), { signal });
    redraw(model, signal, { rows: () => this.draw() });
  }

  get order() {
    const rows = this.model.get("rows");
    const order = rows.map((_, i) => i);
    if (this.by < 0) return order;
    const compare = (a, b) => {
      const [x, y] = [rows[a][this.by], rows[b][this.by]];
      if (x === null || y === null) return (x === null) - (y === null); // what is not known comes last, either way
      return (this.up ? 1 : -1) * (typeof x === "string" ? x.localeCompare(y) : x - y);
    };
    return order.sort(compare);
  }

  draw() {
    const [columns, rows, title] = ["columns", "rows", "title"].map(name => this.model.get(name));
    const table = make("table");
    const order = this.order;
    const more = order.length > MOST_ROWS ? `, the first ${MOST_ROWS} of ${order.length.toLocaleString("en")}` : "";
    if (title) table.createCaption().textContent = title + more;
    table
      .createTHead()
      .insertRow()
      .append(...columns.map((name, i) => this.header(name, i)));
    const body = table.createTBody();
    for (const i of order.slice(0, MOST_ROWS)) {
      const row = body.insertRow();
      row.dataset.row = i;
      row.append(...rows[i].map((value, at) => this.cell(value, columns[at], at)));
    }
    refill(this.el, table);
  }

  header(name, i) {
    const node = make("th");
    node.scope = "col";
    node.setAttribute("aria-sort", this.by !== i ? "none" : this.up ? "ascending" : "descending");
    const button = make("button", "", name + (this.by !== i ? "" : this.up ? " \u2191" : " \u2193"));
    button.title = `sort by ${name}`;
    button.dataset.column = i;
    node.append(button);
    return node;
  }

  cell(value, column, at) {
    const node = make(at ? "td" : "th");
    if (!at) {
      node.scope = "row";
      node.append(make("button", "", value));
    } else node.textContent = numberText(value, column);
    if (column === "change" && value) node.className = value > 0 ? "better" : "worse";
    return node;
  }

  onClick(event) {
    const column = event.target.closest("[data-column]")?.dataset.column;
    const row = event.target.closest("[data-row]")?.dataset.row;
    if (column !== undefined) {
      this.up = this.by === Number(column) ? !this.up : true;
      this.by = Number(column);
      this.draw();
    } else if (row !== undefined) this.model.send({ row: Number(row) });
  }
}

// The map: points that are circled are selected, one that is clicked is opened, one under the pointer shows its photo.
// A colour of the legend is a button that selects its points, so that the map can be used without a mouse.

function isInside([x, y], corners) {
  let inside = false;
  corners.forEach(([x0, y0], i) => {
    const [x1, y1] = corners[(i + 1) % corners.length];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
  });
  return inside;
}

const REACH = 8; // pixels around a point that count as on it
const MARGIN = 10;

class MapView {
  constructor({ model, el, signal }) {
    Object.assign(this, { model, el, corners: [], near: -1, places: [] });
    el.classList.add("swsss-map");
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "Map of the photos; the buttons beside it select its groups");
    this.card = make("div", "swsss-map-card");
    this.legend = make("div", "swsss-map-legend");
    el.append(this.canvas, this.legend, this.card);
    this.followPointer(signal);
    const draw = () => this.draw();
    redraw(model, signal, { points: draw, groups: draw, selected: draw, legend: () => this.drawLegend() });
    model.on("msg:custom", this.show);
    const sized = new ResizeObserver(draw);
    sized.observe(this.canvas);
    signal.addEventListener("abort", () => {
      sized.disconnect();
      model.off("msg:custom", this.show);
    });
  }

  numbers(name, kind) {
    const view = this.model.get(name);
    return view ? new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : new kind(0);
  }

  draw() {
    const [width, height, ratio] = [this.canvas.clientWidth, this.canvas.clientHeight, devicePixelRatio];
    if (!width) return;
    Object.assign(this.canvas, { width: width * ratio, height: height * ratio });
    const points = this.numbers("points", Float32Array);
    const scale = (f, side) => MARGIN + f * (side - 2 * MARGIN);
    this.places = Array.from({ length: points.length / 2 }, (_, i) => [
      scale(points[2 * i], width),
      scale(1 - points[2 * i + 1], height),
    ]);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.drawPoints(context, getComputedStyle(this.el).color);
    this.drawCircle(context, getComputedStyle(this.el).color);
  }

  drawPoints(context, ink) {
    const [groups, selected] = [this.numbers("groups", Uint8Array), this.numbers("selected", Uint8Array)];
    const colours = this.model.get("legend").map(item => item.colour);
    const some = selected.includes(1);
    const dot = (i, radius) => {
      context.beginPath();
      context.arc(...this.places[i], radius, 0, 2 * Math.PI);
    };
    for (const chosen of [0, 1]) {
      context.globalAlpha = some && !chosen ? 0.35 : 0.9;
      this.places.forEach(([x], i) => {
        if (Number.isNaN(x) || Boolean(selected[i]) !== Boolean(chosen)) return;
        context.fillStyle = colours[groups[i]] ?? ink;
        dot(i, chosen ? 5 : 3.5);
        context.fill();
        context.strokeStyle = ink; // dark colours are seen on a dark page by it
        context.lineWidth = chosen ? 1.5 : 0.4;
        context.stroke();
      });
    }
    context.globalAlpha = 1;
    if (this.near < 0 || !this.places[this.near]) return;
    context.strokeStyle = ink;
    context.lineWidth = 2;
    dot(this.near, 7);
    context.stroke();
  }

  drawCircle(context, ink) {
    if (this.corners.length < 2) return;
    context.beginPath();
    for (const corner of this.corners) context.lineTo(...corner);
    context.closePath();
    context.setLineDash([4, 3]);
    context.strokeStyle = ink;
    context.stroke();
  }

  drawLegend() {
    const items = this.model.get("legend").map((item, group) => {
      const button = make("button", "swsss-class");
      button.append(swatch(item.colour), make("span", "", item.name));
      button.title = "select these";
      button.onclick = event => {
        const groups = this.numbers("groups", Uint8Array);
        this.choose(
          [...groups.keys()].filter(i => groups[i] === group),
          event,
        );
      };
      return button;
    });
    refill(this.legend, ...items);
    this.draw();
  }

  choose(indices, event) {
    this.model.send({ circled: indices, add: event.shiftKey || event.ctrlKey || event.metaKey });
  }

  // Shows the photo that Python sent for the point under the pointer.
  show = (message, buffers) => {
    if (message.near !== this.near) return;
    const parts = buffers[0]?.byteLength ? [picture(buffers[0])] : [];
    this.card.replaceChildren(...parts, make("div", "", message.name));
    const [x, y] = this.places[this.near];
    const left = x > this.canvas.clientWidth / 2;
    const top = y > this.canvas.clientHeight / 2;
    this.card.style.left = `${x + (left ? -12 : 12)}px`;
    this.card.style.top = `${y + (top ? -12 : 12)}px`;
    this.card.style.transform = `translate(${left ? -100 : 0}%, ${top ? -100 : 0}%)`;
  };

  lookAt(at) {
    let [near, least] = [-1, REACH];
    this.places.forEach(([x, y], i) => {
      const away = Math.hypot(x - at[0], y - at[1]);
      if (away < least) [near, least] = [i, away];
    });
    if (near === this.near) return;
    this.near = near;
    this.card.replaceChildren();
    if (near >= 0) this.model.send({ near });
    this.draw();
  }

  followPointer(signal) {
    const on = (name, act) => this.canvas.addEventListener(name, act, { signal });
    const place = event => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    on("pointerdown", event => {
      if (event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      this.corners = [place(event)];
    });
    on("pointermove", event => {
      if (!this.corners.length) return this.lookAt(place(event));
      this.corners.push(place(event));
      this.draw();
    });
    on("pointerup", event => {
      const corners = this.corners;
      this.corners = [];
      this.draw();
      const far = corners.some(([x, y]) => Math.hypot(x - corners[0][0], y - corners[0][1]) > 6);
      if (far)
        this.choose(
          [...this.places.keys()].filter(i => isInside(this.places[i], corners)),
          event,
        );
      else if (corners.length && this.near >= 0) this.model.send({ open: this.near });
    });
    on("pointercancel", () => {
      this.corners = [];
      this.draw();
    });
    on("pointerleave", () => this.lookAt([-REACH, -REACH]));
  }
}

PARTS.matrix = context => new MatrixView(context);
PARTS.table = context => new TableView(context);
PARTS.map = context => new MapView(context);
