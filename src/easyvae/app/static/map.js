// The map of the latent space: the layer of pictures, the route above it, and all that moves them.

import { Latest, get as request, url } from "./api.js";
import { onReturn } from "./connection.js";
import { announce, find, prepare } from "./dom.js";
import { complain, explain } from "./faults.js";
import { count, onLanguage, t } from "./i18n.js";
import { gestures } from "./gestures.js";
import { Layer } from "./layer.js";
import { colour, paintFrame, paintThumb } from "./marks.js";
import { numberName } from "./names.js";
import { peek, startPeek } from "./peek.js";
import { pick } from "./picking.js";
import { View } from "./places.js";
import { clearRoute, loadRoute, paintRoute } from "./route.js";
import { onState } from "./state.js";

const HOVERED = 44; // CSS pixels of the picture under the pointer
const canvas = find("map-canvas");
const view = new View();
const loading = new Latest();
let thumbs;
let layer;
let info;
let current; // () => the model, with how far it is
let mapped = null; // the id of the model whose map the layer shows
let hovered = -1;
let framed = 0;
let aiming = false;

function paint() {
  framed = 0;
  const { width, height } = view;
  const context = prepare(canvas, width, height);
  context.clearRect(0, 0, width, height);
  if (!mapped) return;
  layer.paint(context);
  paintRoute(context, thumbs, view);
  if (hovered >= 0) paintHovered(context);
  if (aiming) paintAim(context);
}

/** Draws the frame anew, on the layer as it is. */
const repaint = () => { framed ||= requestAnimationFrame(paint); };

/** Draws all of it anew. */
function redraw() {
  layer.change();
  repaint();
}

function paintHovered(context) {
  const [left, top] = view.toScreen(...layer.at(hovered));
  paintFrame(context, left, top, HOVERED, HOVERED / thumbs.aspect);
  paintThumb(context, thumbs, hovered, left, top, HOVERED);
}

/** What the arrow keys aim at: the middle, and the picture nearest to it. */
function paintAim(context) {
  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(view.width / 2, view.height / 2, 26, 0, 2 * Math.PI);
  context.stroke();
}

function hover(left, top) {
  const index = left === null ? -1 : layer.hit(left, top);
  if (index === hovered) return;
  hovered = index;
  canvas.classList.toggle("over", index >= 0);
  peek(index, view, index < 0 ? null : layer.at(index));
  repaint();
}

const middle = () => layer.hit(view.width / 2, view.height / 2, Infinity);

function onKey(event) {
  const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
  const picks = event.key === "Enter" || event.key === " ";
  if (step) view.pan(...step);
  else if (event.key === "+" || event.key === "=") view.zoom(1.4);
  else if (event.key === "-") view.zoom(1 / 1.4);
  else if (event.key === "0") view.reset();
  else if (!picks) return;
  event.preventDefault();
  aiming = true;
  redraw();
  hovered = middle();
  if (hovered < 0) return;
  if (picks) pick(`p${hovered}`);
  else announce(numberName(hovered));
}

function wait(text) {
  const line = find("map-wait");
  if (line.hidden && text) announce(text); // how far it is would be too much to hear
  line.hidden = !text;
  line.textContent = text;
  find("map").classList.toggle("waiting", Boolean(text));
}

function note() {
  find("map-note").textContent = t("map_note");
  showProgress();
}

export function showProgress() {
  const model = current();
  if (model.failed) wait(t("error_no_latents"));
  else if (!model.ready) wait(t("map_wait", { done: count(model.done), all: count(info.pictures.count) }));
  else wait("");
}

/** Fetches a map; the one before stays until it is here. */
async function fetchMap(model, signal) {
  const response = await request(url("map.bin", { model }), { signal, tries: 900 });
  const places = new Float32Array(await response.arrayBuffer());
  if (signal.aborted) return;
  layer.places = places;
  mapped = model;
  hover(null);
  view.frame(places);
  redraw();
  follow();
  fetchColours();
}

async function fetchColours() {
  if (layer.colours) return;
  try {
    const found = await request(url("colours.bin", { set: info.pictures.id }));
    layer.colours = new Uint8Array(await found.arrayBuffer());
    redraw();
  } catch (error) {
    complain(error);
  }
}

/** Fetches the map of the model that is chosen. */
export async function loadMap() {
  const model = current();
  if (mapped !== model.id) {
    mapped = null;
    hover(null);
    clearRoute();
    redraw();
  }
  note();
  if (!model.ready && !model.failed) return; // called again once it is
  try {
    await loading.run((signal) => fetchMap(model.id, signal));
  } catch (error) {
    if (!mapped) wait(error.code ? explain(error) : "");
    complain(error);
  }
}

/** Draws the route of the mix as it is now. */
function follow() {
  if (mapped) loadRoute(mapped, repaint);
}

export function startMap(store, found, currentModel) {
  thumbs = store;
  layer = new Layer(thumbs, view);
  info = found;
  current = currentModel;
  startPeek(thumbs);
  thumbs.addEventListener("load", redraw);
  new ResizeObserver(() => {
    view.resize(canvas.clientWidth || 1, canvas.clientHeight || 1);
    redraw();
  }).observe(canvas);
  gestures(canvas, {
    hover,
    pan: (dx, dy) => { view.pan(dx, dy); hover(null); redraw(); },
    zoom: (factor, left, top) => { view.zoom(factor, left, top); redraw(); },
    tap: (left, top) => {
      const index = layer.hit(left, top, 20);
      if (index >= 0) pick(`p${index}`);
    },
  });
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("focus", () => { aiming = canvas.matches(":focus-visible"); repaint(); });
  canvas.addEventListener("blur", () => { aiming = false; hovered = -1; repaint(); });
  for (const [id, act] of [
    ["zoom-in", () => view.zoom(1.5)], ["zoom-out", () => view.zoom(1 / 1.5)],
    ["zoom-fit", () => view.reset()],
  ]) find(id).addEventListener("click", () => { act(); redraw(); });
  onLanguage(note);
  onReturn(() => {
    if (!mapped) {
      loadMap();
      return;
    }
    redraw();
    follow();
    fetchColours();
  });
  addEventListener("themechange", repaint);
  onState((_, changed) => {
    if (changed.has("model")) loadMap();
    else if (["slots", "mode", "method", "weights"].some((name) => changed.has(name))) follow();
    else if (changed.has("t")) repaint();
  });
  view.resize(canvas.clientWidth || 1, canvas.clientHeight || 1);
  loadMap();
}
