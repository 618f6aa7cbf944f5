// The widgets of swsss.explorer.widgets, drawn in the browser. anywidget gives each widget one module and resolves no
// import between files, so the widgets share this one; the trait `part` selects one of them.

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

// Explorers that were scrolled to. After Run All a notebook shows its last cell, far below; this brings the explorer
// into view, once, when it is there to be seen, and never again: from then on a person scrolls.
const SHOWN = new WeakSet();

function scrollOnce(model, root, signal) {
  if (signal.aborted || SHOWN.has(model)) return;
  const seen = [...root.querySelectorAll("img")].some(image => image.naturalWidth);
  if (!seen && !root.querySelector(".swsss-none")) {
    requestAnimationFrame(() => scrollOnce(model, root, signal));
    return;
  }
  SHOWN.add(model);
  root.scrollIntoView({ block: "start" });
}

// Puts new content into `node`; a focus that the old content had stays in the explorer.
function refill(node, ...content) {
  const had = node.contains(document.activeElement);
  node.replaceChildren(...content);
  if (had) node.closest(".swsss-explorer")?.focus({ preventScroll: true });
}

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

function swatch(colour) {
  const node = make("span", "swsss-swatch");
  node.style.background = colour;
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

// The title on the screen and the version of the label under it; in the grid how often its labels were replaced. They
// are read from the page, not from a trait: traits arrive one by one, and a verdict must be on what was on the screen
// when the key was pressed.
function inSight(root) {
  const title = root.querySelector(".swsss-head b");
  if (title?.getClientRects().length) return { seen: title.textContent, version: title.dataset.version };
  return { seen: "", version: root.querySelector(".swsss-thumbs")?.dataset.drawn };
}

// Keys for the whole explorer. They work wherever the focus is inside it, except in fields that need them, and no key
// without Ctrl or Alt goes on to the notebook, where X cuts a cell and D D deletes one. After a click the explorer gets
// the focus back, so that the next key works. A button with a key sends that key, so that a click, too, is sent with
// what was on the screen.

function drawKeys({ model, el, signal }) {
  inExplorer(el, signal, root => {
    const on = (name, act, capture = false) => root.addEventListener(name, act, { signal, capture });
    const focus = () => root.focus({ preventScroll: true });
    let byMouse = false;
    root.tabIndex = -1;
    scrollOnce(model, root, signal);
    // Notebook 7 acts on keys on their way down, before they come here; this attribute of Lumino's holds it off.
    const holdOff = event => {
      if (!root.contains(event.target)) return;
      const ours = !(event.ctrlKey || event.metaKey || event.altKey) || model.get("handled").includes(pressed(event));
      root.toggleAttribute("data-lm-suppress-shortcuts", ours);
    };
    window.addEventListener("keydown", holdOff, { signal, capture: true });
    // Enter and Esc leave a field; ipywidgets' own let no key come up from theirs, so this listens on the way down.
    const leave = event => {
      byMouse = false;
      if (!event.target.closest(TYPING)) return;
      if (event.key === "Escape" || (event.key === "Enter" && event.target.matches("input"))) setTimeout(focus);
    };
    on("keydown", leave, true);
    on("keydown", event => {
      const key = pressed(event);
      if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
      if (event.target.closest(TYPING) || !model.get("handled").includes(key)) return;
      event.preventDefault();
      event.stopPropagation();
      model.send({ key, ...inSight(root) });
    });
    on("pointerdown", () => {
      byMouse = true;
    });
    on("mousedown", event => {
      if (event.shiftKey) event.preventDefault(); // the notebook would select cells, the browser text
    });
    const judge = event => {
      const button = event.target.closest("button");
      const key = [...(button?.classList ?? [])].find(name => name.startsWith("swsss-key-"))?.at(-1);
      if (!key || button.disabled) return;
      event.stopPropagation();
      model.send({ key, ...inSight(root) });
      if (event.detail) focus();
    };
    on("click", judge, true);
    on("click", event => {
      if (event.detail && !event.target.closest(TYPING)) focus();
    });
    on("change", event => {
      if (byMouse && event.target.matches("select, input[type=range]")) focus();
    });
    // What is hidden loses the focus to the page, where no key is heard.
    on("focusout", event => {
      if (!event.relatedTarget && !event.target.checkVisibility()) focus();
    });
    const turn = () => {
      if (document.activeElement === document.body || root.contains(document.activeElement)) focus();
    };
    model.on("change:view", turn);
    signal.addEventListener("abort", () => model.off("change:view", turn));
  });
}

// A page of thumbnails. The verdict is a coloured edge with a sign, since not everybody can tell the colours apart. A
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
    const count = () => {
      el.dataset.drawn = model.get("drawn");
    };
    const shape = () => el.style.setProperty("--aspect", model.get("aspect"));
    redraw(model, signal, { aspect: shape, items: () => this.draw(), verdicts: mark, selected: mark, drawn: count });
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

const PARTS = {
  keys: drawKeys,
  thumbs: context => new ThumbsView(context),
};

export default {
  render({ model, el }) {
    const controller = new AbortController();
    PARTS[model.get("part")]({ model, el, signal: controller.signal });
    return () => controller.abort();
  },
};
