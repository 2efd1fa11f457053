// The gallery: only the rows in view exist, however many pictures there are.

import { ApiError, Latest, json, url } from "./api.js";
import { onReturn } from "./connection.js";
import { find, make, prepare } from "./dom.js";
import { count, onLanguage, t } from "./i18n.js";
import { complain } from "./faults.js";
import { fetchCaptions, nameOf, numberName } from "./names.js";
import { letterOf, pick } from "./picking.js";
import { get, onState, set } from "./state.js";

const GAP = 6;
const WANTED = 72; // CSS pixels that a cell should about have
const NEAREST = 90;

const box = find("gallery");
const sizer = make("div", { class: "sizer", role: "presentation" });
const cells = new Map(); // position -> element
const request = new Latest();
let thumbs;
let model; // () => id
let order = null; // of a filter; without one the whole set
let focus = 0; // position
let shape = { columns: 1, width: 0, height: 0 };

const size = () => (order ? order.length : thumbs.count);
const indexAt = (position) => (order ? order[position] : position);

function measure() {
  const inner = box.clientWidth - 2 * GAP;
  if (inner <= 0) return;
  const columns = Math.max(3, Math.floor((inner + GAP) / (WANTED + GAP)));
  const width = (inner - (columns - 1) * GAP) / columns;
  shape = { columns, width, height: width / thumbs.aspect };
  const rows = Math.ceil(size() / columns);
  sizer.style.height = `${rows * (shape.height + GAP) + GAP}px`;
}

/** Makes the rows in view, and one more on either side, exist; and no others. */
function render() {
  const step = shape.height + GAP;
  if (!shape.width) return;
  const first = Math.max(0, Math.floor(box.scrollTop / step) - 1) * shape.columns;
  const last = Math.min(
    size(), Math.ceil((box.scrollTop + box.clientHeight) / step + 1) * shape.columns);
  const wanted = new Set([focus]); // what has the focus must not vanish from under it
  for (let i = first; i < last; i += 1) wanted.add(i);
  for (const [position, cell] of cells) {
    if (!wanted.has(position) || position >= size()) {
      cell.remove();
      cells.delete(position);
    }
  }
  const indices = [];
  for (const position of [...wanted].sort((a, b) => a - b)) {
    if (position >= size()) continue;
    if (!cells.has(position)) cells.set(position, makeCell(position));
    const cell = cells.get(position);
    place(cell, position);
    indices.push(indexAt(position));
  }
  thumbs.ensure(indices);
  if (indices.length) {
    Promise.all([fetchCaptions(indices[0]), fetchCaptions(indices.at(-1))]).then(label);
  }
  paint();
}

function makeCell(position) {
  const cell = make("div", { role: "option", class: "cell", draggable: "true" },
    make("canvas", { "aria-hidden": "true" }), make("span", { class: "badge", "aria-hidden": "true" }));
  sizer.append(cell);
  describe(cell, position);
  return cell;
}

function place(cell, position) {
  const x = GAP + (position % shape.columns) * (shape.width + GAP);
  const y = GAP + Math.floor(position / shape.columns) * (shape.height + GAP);
  cell.style.transform = `translate(${x}px, ${y}px)`;
  cell.style.width = `${shape.width}px`;
  cell.style.height = `${shape.height}px`;
  cell.dataset.position = position;
  cell.tabIndex = position === focus ? 0 : -1;
}

function describe(cell, position) {
  const index = indexAt(position);
  const letter = letterOf(`p${index}`);
  cell.dataset.index = index;
  cell.setAttribute("aria-label", letter ? `${numberName(index)} (${letter})` : numberName(index));
  cell.setAttribute("aria-posinset", position + 1);
  cell.setAttribute("aria-setsize", size());
  cell.setAttribute("aria-selected", String(Boolean(letter)));
  cell.querySelector(".badge").textContent = letter;
}

const label = () => { for (const [position, cell] of cells) describe(cell, position); };

function paint() {
  for (const [position, cell] of cells) {
    const index = indexAt(position);
    const canvas = cell.firstChild;
    if (canvas.dataset.drawn === `${index}/${shape.width}` || !thumbs.source(index)) continue;
    const context = prepare(canvas, shape.width, shape.height);
    thumbs.draw(context, index, 0, 0, shape.width, shape.height);
    canvas.dataset.drawn = `${index}/${shape.width}`;
  }
}

function rebuild() {
  for (const cell of cells.values()) cell.remove();
  cells.clear();
  focus = Math.min(focus, size() - 1);
  measure();
  render();
}

function moveTo(position) {
  focus = Math.max(0, Math.min(size() - 1, position));
  const step = shape.height + GAP;
  const top = Math.floor(focus / shape.columns) * step;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + step + GAP > box.scrollTop + box.clientHeight) {
    box.scrollTop = top + step + GAP - box.clientHeight;
  }
  render();
  cells.get(focus)?.focus({ preventScroll: true });
}

function onKey(event) {
  const page = shape.columns * Math.max(1, Math.floor(box.clientHeight / (shape.height + GAP)));
  const step = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: shape.columns, ArrowUp: -shape.columns,
    PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity,
  }[event.key];
  if (step) {
    event.preventDefault();
    const next = focus + step;
    // Up and down stay in their column: beyond the edge there is nothing to move to.
    if (Math.abs(step) > 1 && Number.isFinite(step) && (next < 0 || next >= size())) {
      moveTo(next < 0 ? focus % shape.columns : size() - 1);
    } else {
      moveTo(next);
    }
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    pick(`p${indexAt(focus)}`);
  }
}

/** Follows the filter: the pictures nearest to one. */
async function filter() {
  const { near } = get();
  find("show-all").hidden = !near;
  note();
  if (!near) {
    request.cancel();
    if (order) {
      order = null;
      box.scrollTop = 0;
      focus = 0;
      rebuild();
    }
    return;
  }
  try {
    const found = await request.run((signal) => json(
      url("near", { model: model(), refs: near, count: NEAREST }), { signal }));
    if (!found) return;
    order = found;
    box.scrollTop = 0;
    focus = 0;
    rebuild();
  } catch (error) {
    complain(error);
    if (error instanceof ApiError && error.status === 404) set({ near: "" }, { quiet: true });
  }
}

function note() {
  const { near } = get();
  find("gallery-note").textContent = near
    ? t("nearest_to", { name: nameOf(near) })
    : t("gallery_note", { n: count(thumbs.count) });
}

export function startGallery(store, currentModel) {
  thumbs = store;
  model = currentModel;
  box.append(sizer);
  let framed = false;
  box.addEventListener("scroll", () => {
    if (framed) return;
    framed = true;
    requestAnimationFrame(() => { framed = false; render(); });
  }, { passive: true });
  box.addEventListener("keydown", onKey);
  box.addEventListener("click", (event) => {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    moveTo(Number(cell.dataset.position));
    pick(`p${cell.dataset.index}`);
  });
  box.addEventListener("dragstart", (event) => {
    const cell = event.target.closest(".cell");
    if (cell) event.dataTransfer.setData("text/plain", `p${cell.dataset.index}`);
  });
  new ResizeObserver(() => {
    const row = Math.floor(box.scrollTop / (shape.height + GAP || 1)) * shape.columns;
    measure();
    box.scrollTop = Math.floor(row / shape.columns) * (shape.height + GAP);
    render();
  }).observe(box);
  thumbs.addEventListener("load", () => requestAnimationFrame(paint));
  find("show-all").addEventListener("click", () => { set({ near: "" }); moveTo(0); });
  onLanguage(() => { note(); label(); });
  onReturn(() => { render(); if (get().near && !order) filter(); });
  onState((_, changed) => {
    if (changed.has("near") || (changed.has("model") && get().near)) filter();
    if (changed.has("slots") || changed.has("mode")) label();
  });
  measure();
  render();
  filter();
}
