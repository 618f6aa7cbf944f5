// Panels: a label in detail. This file is appended to widgets.js in one module and uses what is defined there. Zoom,
// opacity, outlines, hidden classes and which pictures are compared are kept here only, not in Python.

class Layer {
  // A label map over a picture: a canvas of colours and, where the colours are those of the classes, one of outlines.
  constructor({ map, confidence, shape: [width, height], palette }) {
    this.fill = make("canvas", "swsss-fill");
    this.line = palette ? null : make("canvas", "swsss-line");
    for (const canvas of this.canvases) [canvas.width, canvas.height] = [width, height];
    const at = values => (x, y) => values[Math.floor(y * height) * width + Math.floor(x * width)];
    this.labels = unpack(map);
    this.classAt = this.confidenceAt = () => undefined; // before the maps are unpacked
    this.labels.then(labels => {
      this.classAt = at(labels);
    });
    if (confidence) {
      unpack(confidence).then(percent => {
        this.confidenceAt = at(percent);
      });
    }
  }

  get canvases() {
    return this.line ? [this.fill, this.line] : [this.fill];
  }

  async paint(colours) {
    const labels = await this.labels;
    for (const canvas of this.canvases) {
      const image = new ImageData(canvas.width, canvas.height);
      const out = new Uint32Array(image.data.buffer);
      if (canvas === this.line) outline(labels, colours, canvas.width, out);
      else for (let i = 0; i < out.length; i++) out[i] = colours[labels[i]];
      canvas.getContext("2d").putImageData(image, 0, 0);
    }
  }
}

function panel(item, layer) {
  const node = make("figure", "swsss-panel");
  node.dataset.title = item.title;
  const caption = make("figcaption", "", item.title);
  if (item.note) caption.append(make("span", "", item.note));
  caption.append(make("span", "swsss-under"));
  const stage = make("div", "swsss-stage");
  if (item.base) {
    const sheet = make("div", "swsss-sheet");
    sheet.append(picture(item.base, "swsss-base"), ...(layer ? layer.canvases : []), make("div", "swsss-cross"));
    stage.append(sheet);
  } else stage.append(make("div", "swsss-wait", item.wait));
  node.append(caption, stage);
  return node;
}

function classSwitch(item, hidden, toggle) {
  const node = make("button", `swsss-class${hidden ? " hidden" : ""}`);
  node.append(swatch(item.colour), make("span", "", item.name));
  node.setAttribute("aria-pressed", !hidden);
  node.title = hidden ? "show this class" : "hide this class";
  node.onclick = toggle;
  return node;
}

function barRow(row) {
  const node = make("div", "swsss-row");
  node.append(make("div", "swsss-rowname", row.name));
  for (const value of row.values) {
    const track = make("div", "swsss-track");
    const bar = make("div", "swsss-barfill");
    bar.style.width = `${100 * value}%`;
    bar.style.background = row.colour;
    track.append(bar, make("span", "", value.toFixed(2)));
    node.append(track);
  }
  return node;
}

function pixelTable(pixel, { message, heads, bars }) {
  pixel.replaceChildren(make("p", "", message));
  pixel.style.setProperty("--columns", heads.length);
  if (!bars.length) return;
  const head = make("div", "swsss-row swsss-heads");
  head.append(make("div"), ...heads.map(text => make("div", "", text)));
  pixel.append(head, ...bars.map(barRow));
}

const ZOOM = { least: 1, most: 16 };
const MODES = {
  one: ["One", "1", "one picture"],
  side: ["Side by side", "S", "two pictures beside one another"],
  swipe: ["Swipe", "W", "one picture over the other, up to a line that can be moved"],
  blink: ["Blink", "B", "one picture and the other in turn; X swaps them"],
};
const LARGE_HELP =
  "A digit or a click puts a picture in the middle, with Shift the one it is compared with \u00b7 S side by side, " +
  "W swipe, B blink, O one, X swaps \u00b7 wheel zooms, drag moves, double click shows all \u00b7 A accept, R reject, " +
  "C correct, \u2190 \u2192 \u00b7 Esc back";

class PanelsView {
  constructor({ model, el, signal }) {
    this.model = model;
    this.el = el;
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 };
    this.hidden = new Map(); // index: name
    this.drawn = []; // {item, layer, node} of each picture, the large ones too
    this.compared = { mode: "one", front: "pseudo label", back: "ground truth" };
    this.build();
    this.followPointer(signal);
    redraw(model, signal, {
      name: () => this.look(1),
      panels: () => this.drawPanels(),
      palette: () => this.paint(),
      classes: () => this.drawClasses(),
      legend: () => this.drawLegend(),
      mark: () => this.drawView(),
      ...Object.fromEntries(["bars", "message"].map(name => [name, this.drawPixel])),
      ...Object.fromEntries(["about", "status"].map(name => [name, this.drawAbout])),
    });
    inExplorer(el, signal, root => root.addEventListener("keydown", event => this.onKey(event), { signal }));
    const resized = new ResizeObserver(() => this.drawView());
    resized.observe(this.main);
    signal.addEventListener("abort", () => resized.disconnect());
  }

  build() {
    this.el.classList.add("swsss-detail");
    [this.bar, this.panels, this.main, this.strip, this.side] = ["looks", "panels", "main", "strip", "side"].map(name =>
      make("div", `swsss-${name}`),
    );
    [this.classes, this.errors, this.pixel] = ["swsss-classes", "swsss-errors", "swsss-pixel"].map(n => make("div", n));
    this.side.append(make("h4", "", "Classes"), this.classes, this.errors, make("h4", "", "Pixel"), this.pixel);
    this.panels.append(this.main, this.strip, this.side);
    this.buildBar();
    this.buildLarge();
    this.el.append(this.bar, this.panels, this.dialog);
  }

  buildBar() {
    const button = (text, title, act) => {
      const node = make("button", "swsss-toggle", text);
      node.title = title;
      node.onclick = act;
      return node;
    };
    const style = (name, value) => this.panels.style.setProperty(name, value);
    const lines = button("Outlines", "draw the edges of the classes", () => {
      const on = lines.getAttribute("aria-pressed") !== "true";
      lines.setAttribute("aria-pressed", on);
      style("--line", on ? 1 : 0);
    });
    lines.click();
    style("--opacity", 0.55);
    this.zoomSlider = slider("Zoom", [ZOOM.least, ZOOM.most, 0.25], 1, zoom => this.look(zoom));
    const opacity = slider("Opacity", [0, 1, 0.05], 0.55, value => style("--opacity", value));
    this.sign = button("", "classes switched off are not drawn in any label; click to show them again", () =>
      this.showAll(),
    );
    this.sign.className = "swsss-sign-hidden";
    this.largeButton = button("Large", "as large as the window (L)", () => this.enlarge(!this.dialog.open));
    this.modes = make("span", "swsss-modes");
    for (const [mode, [text, key, title]] of Object.entries(MODES)) {
      const node = this.modes.appendChild(button(text, `${title} (${key})`, () => this.compare({ mode })));
      node.dataset.mode = mode;
    }
    this.bar.append(opacity, lines, this.zoomSlider, this.largeButton, this.modes, this.sign);
  }

  // The large view: the same bar and pictures in a dialog, one or two of them large.
  buildLarge() {
    this.dialog = make("dialog", "swsss-large");
    this.dialog.tabIndex = -1;
    this.about = make("div", "swsss-large-about");
    this.help = make("div", "swsss-large-help swsss-dim", LARGE_HELP);
    this.help.setAttribute("role", "status");
    this.dialog.append(this.about, this.help);
    this.dialog.addEventListener("cancel", event => event.preventDefault()); // Esc is ours
    this.dialog.addEventListener("keydown", event => {
      if (!["Escape", "g"].includes(pressed(event))) return;
      if (event.key === "Escape") event.stopPropagation();
      event.preventDefault();
      this.enlarge(false);
    });
    for (const name of ["mousedown", "click", "dblclick"]) {
      this.dialog.addEventListener(name, event => event.stopPropagation()); // no cell is selected behind it
    }
    this.dialog.addEventListener("pointerup", () => setTimeout(() => this.dialog.focus())); // for the next key
  }

  enlarge(on) {
    if (on === this.dialog.open) return;
    if (on) {
      this.about.after(this.bar, this.panels);
      this.dialog.showModal();
      this.dialog.focus();
    } else {
      this.dialog.before(this.bar, this.panels);
      this.dialog.close();
      this.el.closest(".swsss-explorer")?.focus({ preventScroll: true });
    }
    this.largeButton.setAttribute("aria-pressed", on);
    this.drawPanels();
  }

  // What is large, and what it is compared with.
  compare(change) {
    Object.assign(this.compared, change);
    this.drawMain();
    this.paint();
    this.drawView();
  }

  pick(title, asBack) {
    if (!asBack) this.compare({ front: title });
    else this.compare({ back: title, mode: this.compared.mode === "one" ? "side" : this.compared.mode });
  }

  look(zoom) {
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, zoom));
    if (this.zoom === 1) this.centre = { x: 0.5, y: 0.5 };
    this.zoomSlider.querySelector("input").value = this.zoom;
    this.drawView();
  }

  onKey(event) {
    if (event.target.closest(TYPING) || !this.el.offsetParent) return;
    const key = pressed(event);
    const digit = this.dialog.open && !key.startsWith("Ctrl+") && /^Digit([1-9])$/.exec(event.code)?.[1];
    const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[key];
    const { front, back } = this.compared;
    const modes = { o: "one", s: "side", w: "swipe", b: "blink" };
    const item = digit && this.model.get("panels")[digit - 1];
    if (item) this.pick(item.title, event.shiftKey);
    else if (factor !== undefined) this.look(this.zoom * factor);
    else if (key === "l") this.enlarge(!this.dialog.open);
    else if (this.dialog.open && modes[key]) this.compare({ mode: modes[key] });
    else if (this.dialog.open && key === "x") this.compare({ front: back, back: front });
    else return;
    event.preventDefault();
  }

  picture(item) {
    const layer = item.map && new Layer(item);
    return { item, layer, node: panel(item, layer) };
  }

  drawPanels() {
    const [size, items] = [this.model.get("size"), this.model.get("panels")];
    this.panels.style.setProperty("--aspect", size[0] / size[1]);
    this.drawn = items.map(item => this.picture(item));
    this.strip.replaceChildren(...this.drawn.map(({ node }) => node));
    this.drawMain();
    this.paint();
    this.drawView();
  }

  drawMain() {
    const items = this.model.get("panels");
    const named = title => items.find(item => item.title === title);
    const { mode, front, back } = this.compared;
    const pair = [named(front) ?? items[1] ?? items[0], named(back) ?? items[0]];
    const chosen = this.dialog.open && items.length ? pair.slice(0, mode === "one" ? 1 : 2) : [];
    const large = chosen.map(item => this.picture(item));
    this.drawn = [...this.drawn.filter(({ node }) => this.strip.contains(node)), ...large];
    this.main.replaceChildren(...large.map(({ node }) => node));
    this.main.dataset.mode = mode;
    if (mode === "swipe" && large.length) this.main.append(this.divider());
    for (const node of this.strip.children) {
      const at = chosen.findIndex(item => item.title === node.dataset.title);
      node.dataset.place = ["front", "back"][at] ?? "";
    }
    for (const node of this.modes.children) node.setAttribute("aria-pressed", node.dataset.mode === mode);
  }

  divider() {
    const node = make("input", "swsss-divider");
    Object.assign(node, { type: "range", min: 0, max: 1, step: 0.001, value: 0.5 });
    node.setAttribute("aria-label", "Line between the two pictures");
    node.oninput = () => this.main.style.setProperty("--swipe", node.value);
    node.oninput();
    return node;
  }

  paint() {
    const colours = lookUp(this.model.get("palette"), this.hidden);
    for (const { item, layer } of this.drawn) layer?.paint(item.palette ? lookUp(item.palette, new Map()) : colours);
  }

  // How often the whole picture would fit into its stage: 1 and 1, but where a large stage has another shape.
  room(sheet) {
    const stage = sheet.parentElement;
    return { x: stage.clientWidth / sheet.offsetWidth || 1, y: stage.clientHeight / sheet.offsetHeight || 1 };
  }

  drawView() {
    const z = this.zoom;
    const [[w, h], mark] = [this.model.get("size"), this.model.get("mark")];
    const shift = (c, room) => 100 * (z <= room ? (room - z) / 2 : Math.min(0, Math.max(room - z, room / 2 - c * z)));
    const sheets = [...this.panels.querySelectorAll(".swsss-sheet")];
    const rooms = sheets.map(this.room);
    sheets.forEach((sheet, i) => {
      const [x, y] = [shift(this.centre.x, rooms[i].x), shift(this.centre.y, rooms[i].y)];
      sheet.style.transform = `translate(${x}%, ${y}%) scale(${z})`;
    });
    for (const cross of this.panels.querySelectorAll(".swsss-cross")) {
      cross.style.display = mark.length ? "block" : "none";
      if (!mark.length) continue;
      cross.style.left = `${(100 * (mark[0] + 0.5)) / w}%`;
      cross.style.top = `${(100 * (mark[1] + 0.5)) / h}%`;
      cross.style.transform = `translate(-50%, -50%) scale(${1 / z})`;
    }
    this.panels.classList.toggle("swsss-big", z > 2);
  }

  drawAbout = () => {
    this.about.textContent = this.model.get("about");
    this.help.textContent = this.model.get("status") || LARGE_HELP;
  };

  drawClasses() {
    const toggle = item => () => {
      if (!this.hidden.delete(item.index)) this.hidden.set(item.index, item.name);
      this.drawClasses();
      this.paint();
    };
    const items = this.model.get("classes");
    refill(this.classes, ...items.map(item => classSwitch(item, this.hidden.has(item.index), toggle(item))));
    this.sign.hidden = !this.hidden.size;
    this.sign.textContent = `hidden: ${[...this.hidden.values()].join(", ")} \u00b7 show`;
  }

  showAll() {
    this.hidden.clear();
    this.drawClasses();
    this.paint();
  }

  drawLegend() {
    const nodes = this.model.get("legend").map(item => {
      const node = make("span", "swsss-kind");
      node.append(swatch(item.colour), make("span", "", item.name));
      return node;
    });
    this.errors.replaceChildren(...nodes);
  }

  drawPixel = () => {
    const [message, heads, bars] = ["message", "heads", "bars"].map(name => this.model.get(name));
    pixelTable(this.pixel, { message, heads, bars });
  };

  // Where in the picture the pointer is, 0 to 1 from its left and top; nothing where it is on no picture.
  place(event) {
    const stage = event.target.closest(".swsss-stage");
    const sheet = stage?.querySelector(".swsss-sheet");
    if (!sheet) return null;
    const box = sheet.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return { x, y, box, stage, sheet };
  }

  // Writes the class under the pointer and the network's probability of it beside each title, so that all maps are
  // compared at one place.
  name(at) {
    const names = new Map([[0, "background"], ...this.model.get("classes").map(item => [item.index, item.name])]);
    const inside = at && at.x >= 0 && at.y >= 0 && at.x < 1 && at.y < 1;
    for (const { layer, node } of this.drawn) {
      const known = inside && layer?.line ? names.get(layer.classAt(at.x, at.y)) : undefined;
      const confidence = known && layer.confidenceAt(at.x, at.y);
      const percent = confidence === undefined ? "" : ` ${confidence}%`;
      node.querySelector(".swsss-under").textContent = known ? known + percent : "";
    }
  }

  // Zooms by a factor and keeps what is under the pointer there.
  zoomAt(event, factor) {
    const at = this.place(event);
    if (!at) return;
    const stage = at.stage.getBoundingClientRect();
    const zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor));
    const room = this.room(at.sheet);
    const centre = (part, pixels, side, room) => part + ((0.5 - pixels / side) * room) / zoom;
    const x = centre(at.x, event.clientX - stage.left, stage.width, room.x);
    const y = centre(at.y, event.clientY - stage.top, stage.height, room.y);
    this.moveTo({ x, y }, room, zoom);
    this.look(zoom);
  }

  // Puts the middle of the view there, as far as the picture reaches.
  moveTo(centre, room, zoom = this.zoom) {
    const keep = (c, half) => (half >= 0.5 ? 0.5 : Math.min(1 - half, Math.max(half, c)));
    this.centre = { x: keep(centre.x, room.x / zoom / 2), y: keep(centre.y, room.y / zoom / 2) };
  }

  // A drag moves a zoomed picture, a double click shows it whole, the wheel zooms (in the notebook with Ctrl); a click
  // shows the class probabilities of a pixel, or chooses the large picture.
  followPointer(signal) {
    let drag = null;
    const on = (name, act) => this.panels.addEventListener(name, act, { signal, passive: false });
    on("wheel", event => {
      if (!event.ctrlKey && !(this.dialog.open && this.main.contains(event.target))) return; // the notebook scrolls on
      event.preventDefault();
      this.zoomAt(event, event.deltaY < 0 ? 1.25 : 0.8);
    });
    on("dblclick", event => this.place(event) && this.look(1));
    on("pointerdown", event => {
      const at = this.place(event);
      if (!at || event.button !== 0) return;
      event.preventDefault();
      drag = { x: event.clientX, y: event.clientY, centre: this.centre, box: at.box, room: this.room(at.sheet) };
    });
    on("pointermove", event => {
      this.name(this.place(event));
      if (!drag) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (!drag.moved || this.zoom === 1) return;
      this.moveTo({ x: drag.centre.x - dx / drag.box.width, y: drag.centre.y - dy / drag.box.height }, drag.room);
      this.drawView();
    });
    on("pointerup", event => {
      const clicked = drag && !drag.moved;
      drag = null;
      if (clicked) this.onClick(event);
    });
    on("pointerleave", () => {
      drag = null;
      this.name(null);
    });
  }

  onClick(event) {
    const small = this.dialog.open && this.strip.contains(event.target);
    if (small) return this.pick(event.target.closest(".swsss-panel").dataset.title, event.shiftKey);
    const at = this.place(event);
    if (!at) return;
    const [w, h] = this.model.get("size");
    const [x, y] = [Math.floor(at.x * w), Math.floor(at.y * h)];
    if (x >= 0 && y >= 0 && x < w && y < h) this.model.send({ x, y });
  }
}

PARTS.panels = context => new PanelsView(context);
