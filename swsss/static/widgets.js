// The widgets of swsss.widgets, drawn in the browser. anywidget gives each widget one module and resolves no import
// between files, so the widgets share this one; the trait `part` says which of them is meant.

const TYPING = "input, textarea, select, [contenteditable=true], [role=slider]";

// What they share

function make(tag, className = "", text = undefined) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function picture(bytes, className = "") {
  const image = make("img", className);
  image.draggable = false;
  image.src = URL.createObjectURL(new Blob([bytes]));
  image.onload = () => URL.revokeObjectURL(image.src);
  return image;
}

// Calls `use` with the explorer that `el` lies in, once the notebook has put it into the page.
function inExplorer(el, signal, use) {
  if (signal.aborted) return;
  const root = el.closest(".swsss-explorer");
  if (root) use(root);
  else requestAnimationFrame(() => inExplorer(el, signal, use));
}

// Draws now and whenever a trait changes; `draws` is {trait: function}.
function redraw(model, signal, draws) {
  for (const [name, draw] of Object.entries(draws)) {
    model.on(`change:${name}`, draw);
    signal.addEventListener("abort", () => model.off(`change:${name}`, draw));
  }
  for (const draw of new Set(Object.values(draws))) draw();
}

// What was pressed, as traits list it: letters in lower case, with Ctrl+ and Shift+ where Ctrl (or Command) is down.
function pressed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(event.ctrlKey || event.metaKey)) return event.altKey ? "" : key;
  return `Ctrl+${event.shiftKey ? "Shift+" : ""}${key}`;
}

// Puts new content into `node`; a focus that the old content had stays in the explorer.
function refill(node, ...content) {
  const had = node.contains(document.activeElement);
  node.replaceChildren(...content);
  if (had) node.closest(".swsss-explorer")?.focus({ preventScroll: true });
}

// Keys for the whole explorer. They are heard wherever the focus is inside it, except in fields that need them, and
// no key without Ctrl or Alt goes on to the notebook, where X cuts a cell and D D deletes one. What is done with the
// mouse gives the focus back to the explorer, so that the next key is heard.

function drawKeys({ model, el, signal }) {
  inExplorer(el, signal, root => {
    const on = (name, act, capture = false) => root.addEventListener(name, act, { signal, capture });
    const focus = () => root.focus({ preventScroll: true });
    let byMouse = false;
    root.tabIndex = -1;
    // Enter and Esc leave a field; ipywidgets' own let no key come up from theirs, so they are heard on the way down.
    const leave = event => {
      byMouse = false;
      if (!event.target.closest(TYPING)) return;
      if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"))) setTimeout(focus);
    };
    on("keydown", leave, true);
    on("keydown", event => {
      const key = pressed(event);
      if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
      if (event.target.closest(TYPING) || !model.get("heard").includes(key)) return;
      event.preventDefault();
      event.stopPropagation();
      model.send({ key, showing: model.get("showing") });
    });
    on("pointerdown", () => {
      byMouse = true;
    });
    on("mousedown", event => {
      if (event.shiftKey) event.preventDefault(); // the notebook would select cells, the browser text
    });
    on("click", event => {
      if (event.detail && !event.target.closest(TYPING)) focus();
    });
    on("change", event => {
      if (byMouse && event.target.matches("select, input[type=range]")) focus();
    });
    const turn = () => {
      if (document.activeElement === document.body || root.contains(document.activeElement)) focus();
    };
    model.on("change:view", turn);
    signal.addEventListener("abort", () => model.off("change:view", turn));
  });
}

// A page of thumbnails. The verdict is a coloured edge with a sign, since colour alone does not reach every eye. A
// click opens a label; Shift, Ctrl, Space or a rectangle drawn with the mouse select several.

const SIGNS = { accepted: "\u2713", rejected: "\u2717" };

function card(item) {
  const node = make("button", "swsss-card");
  node.title = item.error || [item.name, item.tags].filter(Boolean).join("\n");
  node.dataset.name = item.name;
  const frame = make("span", "swsss-frame");
  if (item.error) frame.append(make("span", "swsss-error", "cannot be read"));
  else {
    const image = picture(item.jpeg);
    image.alt = item.name;
    frame.append(image);
  }
  frame.append(make("span", "swsss-sign"));
  if (item.strong) frame.append(make("span", "swsss-mask", "mask"));
  if (item.corrected) frame.append(make("span", "swsss-corrected", "\u270e corrected"));
  node.append(frame, make("span", "swsss-name", item.name), make("span", "swsss-score", item.score));
  return node;
}

class ThumbsView {
  constructor({ model, el, signal }) {
    this.model = model;
    this.el = el;
    this.anchor = ""; // where a range begins
    el.classList.add("swsss-thumbs");
    el.addEventListener("click", event => this.onClick(event), { signal });
    el.addEventListener("keydown", event => this.onKey(event), { signal });
    this.followPointer(signal);
    const mark = () => this.mark();
    redraw(model, signal, { items: () => this.draw(), verdicts: mark, selected: mark });
  }

  get cards() {
    return [...this.el.querySelectorAll(".swsss-card")];
  }

  draw() {
    const items = this.model.get("items");
    refill(this.el, ...(items.length ? items.map(card) : [make("div", "swsss-none", this.model.get("empty"))]));
    this.mark();
  }

  mark() {
    const verdicts = this.model.get("verdicts");
    const selected = new Set(this.model.get("selected"));
    for (const node of this.cards) {
      const verdict = verdicts[node.dataset.name] ?? "";
      node.classList.toggle("accepted", verdict === "accepted");
      node.classList.toggle("rejected", verdict === "rejected");
      node.querySelector(".swsss-sign").textContent = SIGNS[verdict] ?? "";
      node.classList.toggle("selected", selected.has(node.dataset.name));
      node.setAttribute("aria-pressed", selected.has(node.dataset.name));
      node.setAttribute("aria-label", [node.dataset.name, verdict].filter(Boolean).join(", "));
    }
  }

  select(names) {
    this.model.set("selected", [...new Set(names)]);
    this.model.save_changes();
  }

  toggle(name) {
    const selected = this.model.get("selected");
    this.anchor = name;
    this.select(selected.includes(name) ? selected.filter(other => other !== name) : [...selected, name]);
  }

  range(name) {
    const names = this.cards.map(node => node.dataset.name);
    if (!this.model.get("selected").length) this.anchor = name;
    const [first, last] = [Math.max(0, names.indexOf(this.anchor)), names.indexOf(name)].sort((a, b) => a - b);
    this.select([...this.model.get("selected"), ...names.slice(first, last + 1)]);
  }

  onClick(event) {
    const name = event.target.closest(".swsss-card")?.dataset.name;
    if (!name) return;
    if (event.shiftKey) this.range(name);
    else if (event.ctrlKey || event.metaKey) this.toggle(name);
    else {
      this.anchor = name;
      this.model.send({ open: name });
    }
  }

  onKey(event) {
    const name = event.target.closest(".swsss-card")?.dataset.name;
    if (event.key !== " " || !name) return;
    event.preventDefault();
    this.toggle(name);
  }

  // A drag draws a rectangle and selects what it touches, in place of what was selected or, with Shift or Ctrl, beside.
  followPointer(signal) {
    let start = null;
    let frame = null;
    const on = (name, act) => this.el.addEventListener(name, act, { signal });
    const end = () => {
      frame?.remove();
      start = frame = null;
    };
    on("pointerdown", event => {
      if (event.button === 0) start = { x: event.clientX, y: event.clientY };
    });
    on("pointermove", event => {
      if (!start || (!frame && Math.hypot(event.clientX - start.x, event.clientY - start.y) < 6)) return;
      if (!frame) {
        frame = this.el.appendChild(make("div", "swsss-lasso"));
        this.el.setPointerCapture(event.pointerId); // the click that ends the drag opens no label
      }
      const [x, y] = [Math.min(start.x, event.clientX), Math.min(start.y, event.clientY)];
      const box = this.el.getBoundingClientRect();
      const [width, height] = [Math.abs(start.x - event.clientX), Math.abs(start.y - event.clientY)];
      const style = { left: x - box.left, top: y - box.top, width, height };
      for (const [name, value] of Object.entries(style)) frame.style[name] = `${value}px`;
    });
    on("pointerup", event => {
      if (frame) {
        const before = event.shiftKey || event.ctrlKey || event.metaKey ? this.model.get("selected") : [];
        this.select([...before, ...this.touched(frame.getBoundingClientRect())]);
      }
      end();
    });
    on("pointercancel", end);
  }

  touched(box) {
    const touches = node => {
      const at = node.getBoundingClientRect();
      return at.left < box.right && at.right > box.left && at.top < box.bottom && at.bottom > box.top;
    };
    return this.cards.filter(touches).map(node => node.dataset.name);
  }
}

// Panels: a label in detail. What is shown of it, zoom, opacity, outlines and hidden classes, is known here only.

function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// A label map, (H * W) classes, from the bytes of Python's zlib: exact, as a picture read back from a canvas need not be.
async function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// 256 colours as a canvas keeps them; class 0 and hidden classes are transparent.
function lookUp(palette, hidden) {
  const rgb = bytes(palette);
  const colours = new Uint8ClampedArray(4 * 256);
  for (let c = 1; 3 * c < rgb.length; c++) {
    if (!hidden.has(c)) colours.set([rgb[3 * c], rgb[3 * c + 1], rgb[3 * c + 2], 255], 4 * c);
  }
  return new Uint32Array(colours.buffer);
}

// Where a class meets another, or what is not drawn.
function outline(labels, colours, width, out) {
  const seen = c => (colours[c] ? c : 0);
  for (let i = 0; i < labels.length; i++) {
    const c = seen(labels[i]);
    const x = i % width;
    const inner =
      (x === 0 || seen(labels[i - 1]) === c) &&
      (x === width - 1 || seen(labels[i + 1]) === c) &&
      (i < width || seen(labels[i - width]) === c) &&
      (i + width >= labels.length || seen(labels[i + width]) === c);
    if (!inner) out[i] = colours[c];
  }
}

class Layer {
  // A label map over a picture: a canvas of colours and, where `lined`, one of outlines.
  constructor(packed, [width, height], lined) {
    this.fill = make("canvas", "swsss-fill");
    this.line = lined ? make("canvas", "swsss-line") : null;
    for (const canvas of this.canvases) [canvas.width, canvas.height] = [width, height];
    this.labels = unpack(packed);
    this.classAt = () => undefined; // nothing is known before it is unpacked
    this.labels.then(labels => {
      this.classAt = (x, y) => labels[Math.floor(y * height) * width + Math.floor(x * width)];
    });
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

function swatch(colour) {
  const node = make("span", "swsss-swatch");
  node.style.background = colour;
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

function slider(text, [min, max, step], value, moved) {
  const node = make("label", "swsss-slider", text);
  const input = make("input");
  Object.assign(input, { type: "range", min, max, step, value });
  input.setAttribute("aria-label", text);
  input.oninput = () => moved(Number(input.value));
  node.append(input);
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

const ZOOM = { least: 1, most: 8 };

class PanelsView {
  constructor({ model, el, signal }) {
    this.model = model;
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 };
    this.hidden = new Map(); // index: name
    this.layers = [];
    this.build(el);
    this.followPointer(signal);
    redraw(model, signal, {
      name: () => this.look(1),
      panels: () => this.drawPanels(),
      palette: () => this.paint(),
      classes: () => this.drawClasses(),
      legend: () => this.drawLegend(),
      mark: () => this.drawView(),
      ...Object.fromEntries(["bars", "message"].map(name => [name, this.drawPixel])),
    });
    inExplorer(el, signal, root => root.addEventListener("keydown", event => this.onKey(event, el), { signal }));
  }

  build(el) {
    el.classList.add("swsss-detail");
    [this.bar, this.panels, this.side] = ["swsss-looks", "swsss-panels", "swsss-side"].map(name => make("div", name));
    [this.classes, this.errors, this.pixel] = ["swsss-classes", "swsss-errors", "swsss-pixel"].map(n => make("div", n));
    this.side.append(make("h4", "", "Classes"), this.classes, this.errors, make("h4", "", "Pixel"), this.pixel);
    const style = (name, value) => this.panels.style.setProperty(name, value);
    const lines = make("button", "swsss-toggle", "Outlines");
    lines.onclick = () => {
      const on = lines.getAttribute("aria-pressed") !== "true";
      lines.setAttribute("aria-pressed", on);
      style("--line", on ? 1 : 0);
    };
    lines.click();
    style("--opacity", 0.55);
    this.zoomSlider = slider("Zoom", [ZOOM.least, ZOOM.most, 0.25], 1, zoom => this.look(zoom));
    const opacity = slider("Opacity", [0, 1, 0.05], 0.55, value => style("--opacity", value));
    this.sign = make("button", "swsss-sign-hidden");
    this.sign.title = "classes switched off are not drawn in any label; click to show them again";
    this.sign.onclick = () => this.showAll();
    this.bar.append(opacity, lines, this.zoomSlider, this.sign);
    el.append(this.bar, this.panels);
  }

  look(zoom) {
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, zoom));
    if (this.zoom === 1) this.centre = { x: 0.5, y: 0.5 };
    this.zoomSlider.querySelector("input").value = this.zoom;
    this.drawView();
  }

  onKey(event, el) {
    if (event.target.closest(TYPING) || !el.offsetParent) return;
    const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[pressed(event)];
    if (factor === undefined) return;
    event.preventDefault();
    this.look(this.zoom * factor);
  }

  drawPanels() {
    const [size, items] = [this.model.get("size"), this.model.get("panels")];
    this.panels.style.setProperty("--aspect", size[0] / size[1]);
    this.layers = items.map(item => item.map && new Layer(item.map, item.shape, !item.palette));
    this.panels.replaceChildren(...items.map((item, i) => panel(item, this.layers[i])), this.side);
    this.paint();
    this.drawView();
  }

  paint() {
    const colours = lookUp(this.model.get("palette"), this.hidden);
    this.model.get("panels").forEach((item, i) => {
      this.layers[i]?.paint(item.palette ? lookUp(item.palette, new Map()) : colours);
    });
  }

  drawView() {
    const z = this.zoom;
    const [[w, h], mark] = [this.model.get("size"), this.model.get("mark")];
    const shift = c => Math.min(0, Math.max(1 - z, 0.5 - c * z)) * 100;
    for (const sheet of this.panels.querySelectorAll(".swsss-sheet")) {
      sheet.style.transform = `translate(${shift(this.centre.x)}%, ${shift(this.centre.y)}%) scale(${z})`;
    }
    for (const cross of this.panels.querySelectorAll(".swsss-cross")) {
      cross.style.display = mark.length ? "block" : "none";
      if (!mark.length) continue;
      cross.style.left = `${(100 * (mark[0] + 0.5)) / w}%`;
      cross.style.top = `${(100 * (mark[1] + 0.5)) / h}%`;
      cross.style.transform = `translate(-50%, -50%) scale(${1 / z})`;
    }
    this.panels.classList.toggle("swsss-big", z > 2);
  }

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
    const box = event.target.closest(".swsss-stage")?.querySelector(".swsss-sheet")?.getBoundingClientRect();
    return box && { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, box };
  }

  // Writes the class under the pointer beside each panel's title, so that all maps are compared at one place.
  name(at) {
    const names = new Map([[0, "background"], ...this.model.get("classes").map(item => [item.index, item.name])]);
    const inside = at && at.x >= 0 && at.y >= 0 && at.x < 1 && at.y < 1;
    this.panels.querySelectorAll(".swsss-under").forEach((node, i) => {
      const layer = this.layers[i];
      node.textContent = (inside && layer?.line && names.get(layer.classAt(at.x, at.y))) || "";
    });
  }

  // Zooms by a factor and keeps what is under the pointer there.
  zoomAt(event, factor) {
    const at = this.place(event);
    if (!at) return;
    const stage = event.target.closest(".swsss-stage").getBoundingClientRect();
    const zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor));
    const centre = (s, f) => (0.5 - s + f * zoom) / zoom;
    this.moveTo(
      centre((event.clientX - stage.left) / stage.width, at.x),
      centre((event.clientY - stage.top) / stage.height, at.y),
      zoom,
    );
    this.look(zoom);
  }

  // Puts the middle of the view there, as far as the picture reaches.
  moveTo(x, y, zoom = this.zoom) {
    const half = 0.5 / zoom;
    const keep = c => Math.min(1 - half, Math.max(half, c));
    this.centre = { x: keep(x), y: keep(y) };
  }

  // A drag moves a zoomed picture, a double click shows it whole, Ctrl and the wheel zoom; a click asks for the class
  // probabilities of a pixel.
  followPointer(signal) {
    let drag = null;
    const on = (name, act) => this.panels.addEventListener(name, act, { signal, passive: false });
    const place = event => this.place(event);
    on("wheel", event => {
      if (!event.ctrlKey) return; // without it the notebook scrolls on
      event.preventDefault();
      this.zoomAt(event, event.deltaY < 0 ? 1.25 : 0.8);
    });
    on("dblclick", event => place(event) && this.look(1));
    on("pointerdown", event => {
      const at = place(event);
      if (!at) return;
      event.preventDefault();
      drag = { x: event.clientX, y: event.clientY, centre: this.centre, box: at.box };
    });
    on("pointermove", event => {
      this.name(place(event));
      if (!drag) return;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (!drag.moved || this.zoom === 1) return;
      this.moveTo(drag.centre.x - dx / drag.box.width, drag.centre.y - dy / drag.box.height);
      this.drawView();
    });
    on("pointerup", event => {
      const at = drag && !drag.moved && place(event);
      drag = null;
      if (!at) return;
      const [w, h] = this.model.get("size");
      const [x, y] = [Math.floor(at.x * w), Math.floor(at.y * h)];
      if (x >= 0 && y >= 0 && x < w && y < h) this.model.send({ x, y });
    });
    on("pointerleave", () => {
      drag = null;
      this.name(null);
    });
  }
}

const PARTS = {
  keys: drawKeys,
  thumbs: context => new ThumbsView(context),
  panels: context => new PanelsView(context),
};

export default {
  render({ model, el }) {
    const controller = new AbortController();
    PARTS[model.get("part")]({ model, el, signal: controller.signal });
    return () => controller.abort();
  },
};
