// Correct a label, in a picture as large as the window. This file is appended to widgets.js in one module and uses what
// that defines. Drawing happens here; Python saves, grows strokes to edges, and runs the network.

const VOID = 255;
const IDLE = 15; // seconds without a hand on mouse or keys that still count as work
const TOOLS = [
  ["region", "c", "Region", "click a region, then choose what it is"],
  ["brush", "b", "Brush", "paint the chosen class"],
  ["eraser", "e", "Eraser", "paint background"],
  ["void", "v", "Void", "paint void: pixels that count nowhere"],
  ["polygon", "p", "Polygon", "click corners; Enter, a double click or the first corner closes it"],
  ["fill", "f", "Fill", "give a connected region the chosen class"],
  ["wand", "w", "Network", "click: the region around this pixel where the network predicts the chosen class"],
  ["move", "h", "Move", "drag the picture; also the middle button, or Space with any tool"],
];
const BRUSHES = ["brush", "eraser", "void"];

async function pack(array) {
  const stream = new Blob([array]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Some pixels of a picture, a byte for each, and the box around them: first and last column and row.
class Selection {
  constructor([width, height], mask = new Uint8Array(width * height)) {
    Object.assign(this, { width, height, mask, box: [Infinity, Infinity, -1, -1] });
    for (let i = mask.indexOf(1); i >= 0; i = mask.indexOf(1, i + 1)) this.add(i % width, Math.floor(i / width));
  }

  get empty() {
    return this.box[2] < 0;
  }

  add(x, y) {
    const [x0, y0, x1, y1] = this.box;
    this.mask[y * this.width + x] = 1;
    this.box = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x), Math.max(y1, y)];
  }

  // Pixels whose middle is nearer than `radius` to the line from a to b, and the one that b lies in.
  addLine(a, b, radius) {
    const clip = (c, side) => Math.min(side - 1, Math.max(0, Math.floor(c)));
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const length = dx * dx + dy * dy || 1;
    const xs = [a.x, b.x].sort((p, q) => p - q);
    const ys = [a.y, b.y].sort((p, q) => p - q);
    for (let y = clip(ys[0] - radius, this.height); y <= clip(ys[1] + radius, this.height); y++) {
      for (let x = clip(xs[0] - radius, this.width); x <= clip(xs[1] + radius, this.width); x++) {
        const along = ((x + 0.5 - a.x) * dx + (y + 0.5 - a.y) * dy) / length;
        const t = Math.min(1, Math.max(0, along));
        const away = Math.hypot(x + 0.5 - a.x - t * dx, y + 0.5 - a.y - t * dy);
        if (away <= radius || (x === Math.floor(b.x) && y === Math.floor(b.y))) this.add(x, y);
      }
    }
  }

  // Pixels whose middle lies inside.
  addPolygon(corners) {
    for (let y = 0; y < this.height; y++) {
      const crossings = corners.flatMap((a, i) => {
        const b = corners[(i + 1) % corners.length];
        if (a.y > y + 0.5 === b.y > y + 0.5) return [];
        return [a.x + ((y + 0.5 - a.y) / (b.y - a.y)) * (b.x - a.x)];
      });
      crossings.sort((p, q) => p - q);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const last = Math.min(this.width - 0.5, crossings[i + 1]);
        for (let x = Math.max(0, Math.ceil(crossings[i] - 0.5)); x + 0.5 < last; x++) this.add(x, y);
      }
    }
  }
}

// The classes of a picture's pixels, with every change to go back to.
class LabelMap {
  constructor(classes, size) {
    [this.width, this.height] = size;
    Object.assign(this, { classes, size, done: [], undone: [] });
  }

  at({ x, y }) {
    return this.classes[Math.floor(y) * this.width + Math.floor(x)];
  }

  // The pixels of one class that hang together with this one.
  region({ x, y }) {
    const { classes, width, height } = this;
    const found = new Selection(this.size);
    const open = [Math.floor(y) * width + Math.floor(x)];
    const wanted = classes[open[0]];
    while (open.length) {
      const i = open.pop();
      if (found.mask[i] || classes[i] !== wanted) continue;
      const [column, row] = [i % width, Math.floor(i / width)];
      found.add(column, row);
      if (column > 0) open.push(i - 1);
      if (column < width - 1) open.push(i + 1);
      if (row > 0) open.push(i - width);
      if (row < height - 1) open.push(i + width);
    }
    return found;
  }

  put(selection, index) {
    const before = this.classes.slice();
    this.draw(selection, index);
    this.keep(selection.box, before);
  }

  draw({ mask, box: [x0, y0, x1, y1] }, index) {
    for (let y = y0; y <= y1; y++) {
      for (let i = y * this.width + x0; i <= y * this.width + x1; i++) if (mask[i]) this.classes[i] = index;
    }
  }

  // Makes what was drawn since `before` one step.
  keep(box, before) {
    this.done.push({ box, before: this.cut(before, box), after: this.cut(this.classes, box) });
    this.undone = [];
  }

  cut(classes, [x0, y0, x1, y1]) {
    const rows = [];
    for (let y = y0; y <= y1; y++) rows.push(classes.slice(y * this.width + x0, y * this.width + x1 + 1));
    return rows;
  }

  // Goes a step back, or on again; answers with the box that changed, nothing where there is no step.
  go(from, to, which) {
    const step = from.pop();
    if (!step) return null;
    const [x0, y0] = step.box;
    step[which].forEach((row, i) => {
      this.classes.set(row, (y0 + i) * this.width + x0);
    });
    to.push(step);
    return step.box;
  }

  undo() {
    return this.go(this.done, this.undone, "before");
  }

  redo() {
    return this.go(this.undone, this.done, "after");
  }
}

class EditorView {
  constructor({ model, el, signal }) {
    this.model = model;
    this.view = { x: 0, y: 0, scale: 1 };
    this.index = 1;
    this.opacity = 0.5;
    this.build(el);
    this.followPointer(signal);
    this.dialog.addEventListener("keydown", event => this.onKey(event), { signal });
    this.dialog.addEventListener("keyup", event => this.onKeyUp(event), { signal });
    this.dialog.addEventListener("cancel", event => event.preventDefault(), { signal }); // Esc is ours
    for (const name of ["mousedown", "click", "dblclick"]) {
      this.dialog.addEventListener(name, event => event.stopPropagation(), { signal }); // no cell is selected behind it
    }
    const onMessage = (message, buffers) => this.onMessage(message, buffers);
    model.on("msg:custom", onMessage);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", onMessage);
      clearInterval(this.clock);
    });
    redraw(model, signal, {
      name: () => this.open(),
      palette: () => this.repaint(),
      classes: () => this.drawClasses(),
    });
  }

  build(el) {
    this.dialog = make("dialog", "swsss-editor");
    this.dialog.tabIndex = -1;
    [this.bar, this.stage, this.side, this.status] = ["bar", "stage", "side", "status"].map(name =>
      make("div", `swsss-editor-${name}`),
    );
    this.status.setAttribute("role", "status");
    this.sheet = this.stage.appendChild(make("div", "swsss-editor-sheet"));
    [this.canvas, this.ghost] = ["swsss-editor-label", "swsss-editor-ghost"].map(name => make("canvas", name));
    this.lines = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.lines.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
    this.photo = make("img", "swsss-editor-photo");
    this.photo.draggable = false;
    this.sheet.append(this.photo, this.canvas, this.ghost, this.lines);
    this.cursor = this.stage.appendChild(make("div", "swsss-editor-cursor"));
    this.dialog.append(this.bar, this.stage, this.side, this.status);
    this.buildBar();
    el.append(this.dialog);
  }

  buildBar() {
    const button = (text, title, act) => {
      const node = make("button", "swsss-toggle", text);
      node.title = title;
      node.onclick = event => {
        act();
        if (event.detail) this.dialog.focus();
      };
      return node;
    };
    this.tools = new Map();
    for (const [tool, key, text, title] of TOOLS) {
      this.tools.set(
        tool,
        button(text, `${title} (${key.toUpperCase()})`, () => this.use(tool)),
      );
    }
    this.sizeSlider = slider("Size", [1, 100, 1], 8, value => this.resize(value));
    const opacity = slider("Opacity", [0, 1, 0.05], this.opacity, value => {
      this.opacity = value;
      this.repaint();
    });
    this.snapButton = button("Snap", "grow the last stroke to the photo's edges, to be looked at first (S)", () =>
      this.snap(),
    );
    this.keepButton = button("Keep", "keep what is proposed (Enter)", () => this.accept());
    this.restoreButton = button("Network's own", "put the network's own label back", () => this.restore());
    const newer = "the label as somebody else has saved it since you opened it, in place of yours; Ctrl-Z goes back";
    this.theirsButton = button("Theirs", newer, () => this.showTheirs());
    this.overButton = button("Save over", "save what is shown in place of the newer label, which is kept beside", () =>
      this.save(true),
    );
    this.time = make("span", "swsss-editor-time");
    this.time.title = "time spent on this label; waiting does not count";
    this.bar.append(
      make("b", "swsss-editor-name"),
      ...this.tools.values(),
      this.sizeSlider,
      opacity,
      this.snapButton,
      this.keepButton,
      button("\u21b6", "undo (Ctrl-Z)", () => this.repaint(this.map.undo())),
      button("\u21b7", "redo (Ctrl-Shift-Z)", () => this.repaint(this.map.redo())),
      this.restoreButton,
      button("Save", "save as a corrected label (Ctrl-S)", () => this.save()),
      this.theirsButton,
      this.overButton,
      button("Close", "back without saving (Esc)", () => this.leave()),
      this.time,
    );
  }

  // A label comes and goes

  async open() {
    const name = this.model.get("name");
    clearInterval(this.clock);
    if (!name) {
      this.map = null;
      this.dialog.close();
      return;
    }
    const size = this.model.get("size");
    const classes = await unpack(this.model.get("map"));
    if (this.model.get("name") !== name) return;
    this.map = new LabelMap(classes, size);
    for (const canvas of [this.canvas, this.ghost]) [canvas.width, canvas.height] = size;
    [this.sheet.style.width, this.sheet.style.height] = size.map(side => `${side}px`);
    this.lines.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    const old = this.photo;
    this.photo = picture(this.model.get("base"), "swsss-editor-photo");
    old.replaceWith(this.photo);
    this.bar.querySelector("b").textContent = name;
    this.restoreButton.disabled = !this.model.get("corrected");
    const now = Date.now();
    Object.assign(this, { stroke: null, corners: [], warned: false, worked: 0, active: now, ticked: now });
    this.version = this.model.get("version");
    this.offer(null, false);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.focus();
    this.index = this.model.get("classes").find(item => item.tagged && item.index)?.index ?? 1;
    this.use("region");
    this.drawClasses();
    this.repaint();
    this.propose(null);
    this.resize(Math.max(2, Math.round(Math.min(...size) / 50)));
    this.fit();
    this.clock = setInterval(() => this.tick(), 1000);
    this.tick();
  }

  // Seconds of work on this label, a part of one counts as one; `worked` is in milliseconds.
  get seconds() {
    return Math.ceil(this.worked / 1000);
  }

  tick() {
    const now = Date.now();
    if (now - this.active < 1000 * IDLE) this.worked += Math.min(now - this.ticked, 1000 * IDLE);
    this.ticked = now;
    const total = this.model.get("seconds") + Math.floor(this.worked / 1000);
    this.time.textContent = `${Math.floor(total / 60)}:${String(total % 60).padStart(2, "0")}`;
  }

  // Says which version of the label is known here: where that is not the one that is there, Python changes nothing.
  request(what, more = {}, buffers = []) {
    this.model.send({ do: what, name: this.model.get("name"), version: this.version, ...more }, undefined, buffers);
  }

  showStatus(text) {
    this.status.textContent = text;
  }

  async save(over = false) {
    if (this.replaced && !over) return this.showStatus("The label has changed: see Theirs, then Save over, or Close.");
    const version = this.version; // as it is known now, whatever arrives while this is packed
    this.showStatus("Saving \u2026");
    this.tick();
    this.request("save", { seconds: this.seconds, version }, [await pack(this.map.classes)]);
  }

  // Somebody else has changed the label: shows what can be done about it. What was drawn stays.
  offer(theirs, replaced) {
    Object.assign(this, { theirs, replaced });
    this.overButton.hidden = !replaced;
    this.theirsButton.hidden = !theirs;
  }

  showTheirs() {
    const before = this.map.classes.slice();
    const box = [0, 0, this.map.width - 1, this.map.height - 1];
    this.map.classes.set(this.theirs);
    this.map.keep(box, before);
    this.repaint(box);
    this.showStatus("This is the newer label. Ctrl-Z brings yours back; Save over saves what is shown.");
  }

  leave() {
    if (this.map.done.length && !this.warned) {
      this.warned = true;
      this.showStatus("There are changes that are not saved: Ctrl-S saves them, Esc once more drops them.");
    } else this.request("leave");
  }

  restore() {
    this.request("restore");
  }

  async onMessage(message, buffers) {
    if (message.theirs === this.model.get("name") && this.map) {
      const theirs = buffers.length ? await unpack(buffers[0]) : null;
      if (message.theirs !== this.model.get("name")) return;
      this.offer(theirs, true);
      this.restoreButton.disabled = !this.model.get("corrected");
    }
    if (message.version !== undefined) this.version = message.version;
    if (message.status !== undefined) this.showStatus(message.status);
    if (message.proposal !== this.model.get("name")) return;
    unpack(buffers[0]).then(mask => {
      if (!this.map) return;
      const found = new Selection(this.map.size, mask);
      this.propose(found.empty ? null : found, message.index);
      this.showStatus(
        found.empty ? "Nothing was found there." : "Enter keeps this, Esc drops it; a class makes it that class.",
      );
    });
  }

  // What is drawn

  repaint(box = undefined) {
    if (!this.map || box === null) return;
    const { width, height, classes } = this.map;
    const [x0, y0, x1, y1] = box ?? [0, 0, width - 1, height - 1];
    const [left, top] = [Math.max(0, x0 - 1), Math.max(0, y0 - 1)]; // a border's other side changes too
    const [wide, high] = [Math.min(width - 1, x1 + 1) - left + 1, Math.min(height - 1, y1 + 1) - top + 1];
    const colours = lookUp(this.model.get("palette"), new Set());
    const pale = colours.map(
      colour => ((colour & 0xffffff) | (Math.round((colour >>> 24) * this.opacity) << 24)) >>> 0,
    );
    const image = new ImageData(wide, high);
    const out = new Uint32Array(image.data.buffer);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const i = (top + y) * width + left + x;
        const c = classes[i];
        const edge = (left + x && classes[i - 1] !== c) || (i >= width && classes[i - width] !== c);
        out[y * wide + x] = edge ? colours[c] || colours[classes[left + x ? i - 1 : i]] : pale[c];
      }
    }
    this.canvas.getContext("2d").putImageData(image, left, top);
    if (box) this.warned = false;
  }

  // Shows a selection that may become part of the label; of a region its class is still to be chosen.
  propose(selection, index = undefined) {
    this.proposal = selection && { selection, index };
    this.keepButton.disabled = index === undefined || !selection;
    const { width, height } = this.ghost;
    const image = new ImageData(width, height);
    if (selection) {
      const out = new Uint32Array(image.data.buffer);
      const { mask } = selection;
      for (let i = 0; i < mask.length; i++) {
        if (!mask[i]) continue;
        const stripe = ((i % width) + Math.floor(i / width)) % 8 < 4;
        out[i] = stripe ? 0xd0ffffff : 0xd0000000;
      }
    }
    this.ghost.getContext("2d").putImageData(image, 0, 0);
  }

  drawView() {
    const { x, y, scale } = this.view;
    this.sheet.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.sheet.classList.toggle("swsss-editor-near", scale > 2);
    this.lines.style.setProperty("--thin", `${2 / scale}px`);
    this.drawCursor();
  }

  drawCursor(event = undefined) {
    const box = this.stage.getBoundingClientRect();
    if (event) this.pointer = { x: event.clientX - box.left, y: event.clientY - box.top };
    this.cursor.hidden = !this.pointer || !BRUSHES.includes(this.tool);
    if (this.cursor.hidden) return;
    const side = Math.max(2, 2 * this.radius * this.view.scale);
    const style = { width: side, height: side, left: this.pointer.x - side / 2, top: this.pointer.y - side / 2 };
    for (const [name, value] of Object.entries(style)) this.cursor.style[name] = `${value}px`;
  }

  drawLines(at = undefined) {
    const corners = at && this.corners.length ? [...this.corners, at] : this.corners;
    this.lines.firstChild.setAttribute("points", corners.map(({ x, y }) => `${x},${y}`).join(" "));
  }

  drawClasses() {
    if (!this.model.get("name")) return;
    const items = this.model.get("classes");
    const key = new Map(items.filter(item => item.tagged).map((item, i) => [item.index, i]));
    const choice = item => {
      const node = make("button", "swsss-class swsss-choice");
      node.append(swatch(item.colour), make("span", "", item.name));
      if (key.get(item.index) < 10) node.append(make("kbd", "", String(key.get(item.index))));
      node.setAttribute("aria-pressed", item.index === this.index);
      node.onclick = event => {
        this.choose(item.index);
        if (event.detail) this.dialog.focus();
      };
      return node;
    };
    const others = make("details");
    const rest = items.filter(item => !item.tagged);
    others.open = rest.some(item => item.index === this.index);
    others.append(make("summary", "", `${rest.length} other classes`), ...rest.map(choice));
    const tagged = items.filter(item => item.tagged).map(choice);
    this.side.replaceChildren(make("h4", "", "Classes of this photo"), ...tagged, others);
  }

  // What a person does

  use(tool) {
    this.tool = tool;
    this.corners = [];
    this.drawLines();
    if (this.proposal?.index === undefined) this.propose(null);
    for (const [name, node] of this.tools) node.setAttribute("aria-pressed", name === tool);
    this.stage.dataset.tool = tool;
    this.drawCursor();
    const [, , text, title] = TOOLS.find(([name]) => name === tool);
    this.hint = `${text}: ${title}. Wheel zooms, Shift-wheel or [ ] changes the brush, 0 to 9 choose a class.`;
    this.showStatus(this.hint);
  }

  classOf(index) {
    return this.model.get("classes").find(item => item.index === index)?.name ?? "void";
  }

  choose(index) {
    this.index = index;
    if (this.proposal) this.accept(index);
    else this.showStatus(`${this.classOf(index)} is chosen. ${this.hint}`);
    this.drawClasses();
  }

  accept(index = this.proposal?.index) {
    if (!this.proposal || index === undefined) return;
    this.put(this.proposal.selection, index);
    this.propose(null);
    this.showStatus(`This region is ${this.classOf(index)} now; Ctrl-Z undoes it. ${this.hint}`);
  }

  put(selection, index) {
    if (selection.empty) return;
    this.map.put(selection, index);
    this.stroke = { selection, index };
    this.repaint(selection.box);
  }

  resize(radius) {
    this.radius = Math.min(100, Math.max(1, radius));
    this.sizeSlider.querySelector("input").value = this.radius;
    this.drawCursor();
  }

  async snap() {
    if (!this.stroke) return this.showStatus("Paint or draw something first: Snap grows the last stroke.");
    this.showStatus("Finding edges \u2026");
    this.request("snap", { index: this.stroke.index }, [await pack(this.stroke.selection.mask)]);
  }

  closePolygon() {
    const selection = new Selection(this.map.size);
    if (this.corners.length > 2) selection.addPolygon(this.corners);
    this.corners = [];
    this.drawLines();
    this.put(selection, this.index);
  }

  fit() {
    const { clientWidth, clientHeight } = this.stage;
    const [width, height] = this.map.size;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    this.view = { scale, x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2 };
    this.least = scale;
    this.drawView();
  }

  zoomAt(event, factor) {
    const box = this.stage.getBoundingClientRect();
    const at = this.place(event);
    const scale = Math.min(40, Math.max(this.least, this.view.scale * factor));
    if (scale === this.least) return this.fit();
    this.view = { scale, x: event.clientX - box.left - at.x * scale, y: event.clientY - box.top - at.y * scale };
    this.drawView();
  }

  onKey(event) {
    const key = pressed(event);
    this.active = Date.now();
    if (key !== "Tab") event.stopPropagation();
    if (event.target.matches("summary") && [" ", "Enter"].includes(key)) return;
    const onButton = event.target.matches("button, input") && [" ", "Enter"].includes(key);
    if (onButton) return;
    const act = this.actions()[key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  onKeyUp(event) {
    if (event.key === " ") this.spaceDown = false;
  }

  actions() {
    const tagged = this.model.get("classes").filter(item => item.tagged);
    return {
      ...Object.fromEntries(TOOLS.map(([tool, key]) => [key, () => this.use(tool)])),
      ...Object.fromEntries(tagged.slice(0, 10).map((item, i) => [String(i), () => this.choose(item.index)])),
      "[": () => this.resize(this.radius - Math.max(1, this.radius * 0.2)),
      "]": () => this.resize(this.radius + Math.max(1, this.radius * 0.2)),
      "+": () => this.zoomMiddle(1.5),
      "=": () => this.zoomMiddle(1.5),
      "-": () => this.zoomMiddle(1 / 1.5),
      s: () => this.snap(),
      "Ctrl+s": () => this.save(),
      "Ctrl+z": () => this.repaint(this.map.undo()),
      "Ctrl+Shift+z": () => this.repaint(this.map.redo()),
      "Ctrl+y": () => this.repaint(this.map.redo()),
      Enter: () => (this.corners.length ? this.closePolygon() : this.accept()),
      Backspace: () => {
        this.corners.pop();
        this.drawLines();
      },
      Escape: () => this.escape(),
      " ": () => {
        this.spaceDown = true;
      },
    };
  }

  escape() {
    if (this.corners.length || this.proposal) {
      this.propose(null);
      this.use(this.tool);
    } else this.leave();
  }

  zoomMiddle(factor) {
    const box = this.stage.getBoundingClientRect();
    this.zoomAt({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }, factor);
  }

  // Where in the label the pointer is, in its pixels.
  place(event) {
    const box = this.stage.getBoundingClientRect();
    const { x, y, scale } = this.view;
    return { x: (event.clientX - box.left - x) / scale, y: (event.clientY - box.top - y) / scale };
  }

  isInside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.map.width && y < this.map.height;
  }

  followPointer(signal) {
    const on = (name, act) => this.stage.addEventListener(name, act, { signal, passive: false });
    on("pointerdown", event => this.press(event));
    on("pointermove", event => {
      this.active = Date.now();
      this.drawCursor(event);
      if (this.drag) this.drag(event);
      else if (this.corners.length) this.drawLines(this.place(event));
    });
    on("pointerup", () => {
      this.drop?.();
      this.drag = this.drop = null;
    });
    on("pointercancel", () => {
      this.drop?.();
      this.drag = this.drop = null;
    });
    on("pointerleave", () => {
      this.cursor.hidden = true;
    });
    on("dblclick", () => {
      if (this.tool === "polygon") this.closePolygon();
      else if (this.tool === "move") this.fit();
    });
    on("wheel", event => {
      event.preventDefault();
      this.active = Date.now();
      const up = (event.deltaY || event.deltaX) < 0;
      if (event.shiftKey || event.altKey) this.resize(this.radius * (up ? 1.2 : 1 / 1.2));
      else this.zoomAt(event, up ? 1.25 : 0.8);
    });
  }

  press(event) {
    this.active = Date.now();
    event.preventDefault();
    this.dialog.focus();
    const at = this.place(event);
    if (event.button === 1 || this.spaceDown || this.tool === "move") return this.startMove(event);
    if (event.button !== 0) return;
    if (BRUSHES.includes(this.tool)) return this.startStroke(event, at);
    if (this.tool === "polygon") return this.addCorner(at);
    if (!this.isInside(at)) return;
    if (this.tool === "region") this.pick(at);
    else if (this.tool === "fill") this.put(this.map.region(at), this.index);
    else this.growFromNetwork(at);
  }

  pick(at) {
    this.propose(this.map.region(at));
    this.showStatus(`This is ${this.classOf(this.map.at(at))} now: choose what it is.`);
  }

  growFromNetwork(at) {
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    this.showStatus("Running the network \u2026");
    this.request("wand", { index: this.index, x, y });
  }

  addCorner(at) {
    const [first] = this.corners;
    const near = first && Math.hypot(first.x - at.x, first.y - at.y) * this.view.scale < 8;
    if (near && this.corners.length > 2) return this.closePolygon();
    this.corners.push(at);
    this.drawLines();
  }

  startMove(event) {
    const { x, y } = this.view;
    this.stage.setPointerCapture(event.pointerId);
    this.drag = ({ clientX, clientY }) => {
      Object.assign(this.view, { x: x + clientX - event.clientX, y: y + clientY - event.clientY });
      this.drawView();
    };
  }

  startStroke(event, at) {
    const index = { eraser: 0, void: VOID }[this.tool] ?? this.index;
    const selection = new Selection(this.map.size);
    const before = this.map.classes.slice();
    let last = at;
    this.stage.setPointerCapture(event.pointerId);
    this.drag = moved => {
      const next = this.place(moved);
      const [xs, ys, r] = [[last.x, next.x], [last.y, next.y], this.radius];
      const box = this.clip([Math.min(...xs) - r, Math.min(...ys) - r, Math.max(...xs) + r, Math.max(...ys) + r]);
      selection.addLine(last, next, r);
      last = next;
      if (!box) return;
      this.map.draw({ mask: selection.mask, box }, index);
      this.repaint(box);
    };
    this.drop = () => {
      if (selection.empty) return;
      this.map.keep(selection.box, before);
      this.stroke = { selection, index };
    };
    this.drag(event);
  }

  // A box of whole pixels within the picture; nothing where it lies outside.
  clip([x0, y0, x1, y1]) {
    const box = [Math.max(0, Math.floor(x0)), Math.max(0, Math.floor(y0))];
    box.push(Math.min(this.map.width - 1, Math.ceil(x1)), Math.min(this.map.height - 1, Math.ceil(y1)));
    return box[0] <= box[2] && box[1] <= box[3] ? box : null;
  }
}

PARTS.editor = context => new EditorView(context);
