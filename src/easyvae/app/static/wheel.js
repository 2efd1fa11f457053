// Three or four pictures with weights: a triangle or a square to drag in, and sliders that do the
// same for the keyboard.

import { Latest, bitmap, url } from "./api.js";
import { onReturn } from "./connection.js";
import { clamp, find, make, prepare } from "./dom.js";
import { onLanguage, percent, t } from "./i18n.js";
import { nameOf } from "./names.js";
import { drawCell } from "./sheet.js";
import { LETTERS, filled, get, onState, set, weights } from "./state.js";

const CORNERS = {
  1: [[0.5, 0.5]],
  2: [[0.1, 0.5], [0.9, 0.5]],
  3: [[0.5, 0.12], [0.1, 0.86], [0.9, 0.86]],
  4: [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]],
};

const pad = find("pad");
const canvas = make("canvas", { role: "presentation" });
const handle = make("span", { class: "handle", "aria-hidden": "true" });
const request = new Latest();
let sprite = null; // { slots, sheet }: the pictures that are here
let model;
let dragging = null; // the pointer that does

const places = () => get().slots.map((slot, i) => (slot ? i : -1)).filter((i) => i >= 0);
const corners = () => CORNERS[filled().length] ?? [];

function shares() {
  const all = weights();
  const total = all.reduce((a, b) => a + b, 0);
  return all.map((weight) => (total ? weight / total : 1 / all.length));
}

/** Gives the weights of a place on the pad: exact at each corner, even in the middle. */
function weigh(x, y) {
  const c = corners();
  if (c.length === 2) {
    const s = clamp((x - c[0][0]) / (c[1][0] - c[0][0]), 0, 1);
    return [1 - s, s];
  }
  if (c.length === 3) {
    const [[ax, ay], [bx, by], [cx, cy]] = c;
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const a = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area;
    const b = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area;
    return [a, b, 1 - a - b].map((weight) => Math.max(0, weight));
  }
  const s = clamp((x - c[0][0]) / (c[1][0] - c[0][0]), 0, 1);
  const r = clamp((y - c[0][1]) / (c[3][1] - c[0][1]), 0, 1);
  return [(1 - s) * (1 - r), s * (1 - r), s * r, (1 - s) * r];
}

/** Keeps shares as percentages, with a decimal: small ones are not to vanish beside a large one. */
function setShares(values) {
  const total = values.reduce((a, b) => a + b, 0);
  const next = [...get().weights];
  places().forEach((slot, i) => { next[slot] = Math.round(1000 * values[i] / total) / 10; });
  set({ weights: next }, { quiet: true });
}

/** Gives one picture its share; the others divide the rest among them as they did before. */
function setShare(chosen, share) {
  const values = shares();
  const others = values.reduce((a, b) => a + b, 0) - values[chosen];
  setShares(values.map((value, i) => {
    if (i === chosen) return share;
    return (1 - share) * (others > 0 ? value / others : 1 / (values.length - 1));
  }));
}

function draw() {
  const count = filled().length;
  const side = pad.clientWidth;
  if (!count || !side || pad.hidden) return;
  const context = prepare(canvas, side, side);
  const style = getComputedStyle(pad);
  context.clearRect(0, 0, side, side);
  context.strokeStyle = style.getPropertyValue("--line-strong");
  context.fillStyle = style.getPropertyValue("--card");
  context.lineWidth = 1.5;
  context.beginPath();
  corners().forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * side, y * side));
  context.closePath();
  context.fill();
  context.stroke();
  const size = Math.min(64, side * 0.2);
  const high = size / parseFloat(style.getPropertyValue("--ratio"));
  corners().forEach(([x, y], i) => {
    const left = clamp(x * side - size / 2, 2, side - size - 2);
    const top = clamp(y * side - size / 2, 2, side - size - 2);
    context.save();
    context.beginPath();
    context.roundRect(left, top, size, size, 8);
    context.clip();
    context.fillRect(left, top, size, size);
    const at = sprite ? sprite.slots.indexOf(filled()[i]) : -1;
    if (at >= 0) drawCell(context, sprite.sheet, at, left, top, size, high);
    context.restore();
  });
  const at = shares().reduce(
    (sum, share, i) => [sum[0] + share * corners()[i][0], sum[1] + share * corners()[i][1]], [0, 0]);
  handle.style.transform = `translate(${at[0] * side}px, ${at[1] * side}px)`;
}

async function fetchCorners() {
  const slots = filled();
  if (!slots.length || get().mode !== "several") return;
  try {
    const sheet = await request.run((signal) => bitmap(
      url("pictures.png", { model: model(), refs: slots.join(",") }), { signal }));
    if (!sheet) return;
    sprite?.sheet.close();
    sprite = { slots, sheet };
    draw();
  } catch {
    // The slots say what is wrong with a picture.
  }
}

function buildRows() {
  const rows = places().map((slot, i) => {
    const range = make("input", { type: "range", min: 0, max: 100, step: 1, "data-slot": slot });
    range.addEventListener("input", () => setShare(i, range.value / 100));
    return make("label", { class: "weight" },
      make("span", { class: "letter", text: LETTERS[slot] }), range,
      make("span", { class: "amount", "aria-hidden": "true", "data-output": i }));
  });
  find("weights").replaceChildren(...rows);
}

function showRows() {
  const values = shares();
  places().forEach((slot, i) => {
    const range = find("weights").querySelector(`[data-slot="${slot}"]`);
    if (!range) return;
    // The weights may be any numbers; as shares of 100 they mean the same.
    range.value = Math.round(100 * values[i]);
    range.setAttribute("aria-label", t("weight_of", {
      letter: LETTERS[slot], name: nameOf(get().slots[slot]),
    }));
    range.setAttribute("aria-valuetext", percent(values[i]));
    find("weights").querySelector(`[data-output="${i}"]`).textContent = percent(values[i]);
  });
}

function arrange() {
  const several = get().mode === "several";
  pad.hidden = !several;
  find("weights").hidden = !several || filled().length < 2;
  handle.hidden = filled().length < 2;
  pad.classList.toggle("vacant", filled().length < 2);
  pad.dataset.hint = t("pad_hint");
  buildRows();
  showRows();
  draw();
}

function drag(event) {
  if (filled().length < 2) return;
  const box = pad.getBoundingClientRect();
  setShares(weigh((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height));
}

export function startWheel(currentModel) {
  model = currentModel;
  pad.append(canvas, handle);
  pad.addEventListener("pointerdown", (event) => {
    if (dragging !== null || event.button !== 0) return;
    dragging = event.pointerId;
    pad.setPointerCapture(event.pointerId);
    drag(event);
  });
  pad.addEventListener("pointermove", (event) => { if (event.pointerId === dragging) drag(event); });
  for (const name of ["pointerup", "pointercancel"]) {
    pad.addEventListener(name, (event) => { if (event.pointerId === dragging) dragging = null; });
  }
  new ResizeObserver(draw).observe(pad);
  addEventListener("themechange", draw);
  onLanguage(arrange);
  onReturn(fetchCorners);
  onState((_, changed) => {
    if (changed.has("slots") || changed.has("mode") || changed.has("model")) {
      arrange();
      fetchCorners();
    } else if (changed.has("weights")) {
      showRows();
      draw();
    }
  });
  arrange();
  fetchCorners();
}
