// The map of the latent space: points in the pictures' own colours, thumbnails where there is room.

import { ApiError, Latest, bitmap, get as request, json, url } from "./api.js";
import { announce, choices, find, prepare } from "./dom.js";
import { complain, explain } from "./faults.js";
import { count, onLanguage, t } from "./i18n.js";
import { gestures } from "./gestures.js";
import { fetchCaptions, numberName } from "./names.js";
import { pick } from "./picking.js";
import { View } from "./places.js";
import { LETTERS, bare, get, onState, set, shown } from "./state.js";

const THUMB = 30; // CSS pixels of a thumbnail when all is in view
const canvas = find("map-canvas");
const view = new View();
const loading = new Latest();
const routing = new Latest();
let thumbs;
let info;
let current; // () => the model, with how far it is
let places = null; // Float32Array of x and y
let colours = null;
let fills = []; // of 4,096 colours, made when they are needed
let route = null; // { ends, path, drawn, slots, image }
let hovered = -1;
let framed = 0;
let aiming = false;

function paint() {
  framed = 0;
  const { width, height } = view;
  const context = prepare(canvas, width, height);
  context.clearRect(0, 0, width, height);
  if (!places) return;
  const visible = inView();
  paintPoints(context, visible);
  paintThumbs(context, chooseThumbs(visible));
  if (route) paintRoute(context);
  if (hovered >= 0) paintOne(context, hovered, 44, null);
  if (aiming) paintAim(context);
}

const repaint = () => { framed ||= requestAnimationFrame(paint); };

function inView() {
  const found = [];
  const margin = THUMB;
  for (let i = 0; i < places.length / 2; i += 1) {
    const [left, top] = view.toScreen(places[2 * i], places[2 * i + 1]);
    if (left > -margin && left < view.width + margin && top > -margin && top < view.height + margin) {
      found.push(i, left, top);
    }
  }
  return found;
}

function fill(index) {
  if (!colours) return "rgb(128 120 110)";
  const [r, g, b] = [0, 1, 2].map((k) => colours[3 * index + k] >> 4);
  const key = (r << 8) | (g << 4) | b;
  fills[key] ??= `rgb(${r * 17} ${g * 17} ${b * 17})`;
  return fills[key];
}

function paintPoints(context, visible) {
  const zoom = view.scale / view.fit;
  const radius = Math.min(5, 1.7 + 0.5 * Math.log2(1 + zoom));
  for (let k = 0; k < visible.length; k += 3) {
    context.fillStyle = fill(visible[k]);
    context.fillRect(visible[k + 1] - radius, visible[k + 2] - radius, 2 * radius, 2 * radius);
  }
}

/** How large thumbnails are: they grow as one comes nearer. */
const thumbSize = () => Math.min(64, THUMB * (view.scale / view.fit) ** 0.3);

/**
 * Chooses pictures that do not hide one another. They stand for a square of the map each, and the
 * squares halve with the zoom, so that panning changes nothing and zooming only adds.
 */
function chooseThumbs(visible) {
  const size = thumbSize();
  const square = 2 ** Math.ceil(Math.log2((1.15 * size) / view.scale));
  const taken = new Map();
  for (let k = 0; k < visible.length; k += 3) {
    const i = visible[k];
    const key = `${Math.floor(places[2 * i] / square)},${Math.floor(places[2 * i + 1] / square)}`;
    if (!taken.has(key)) taken.set(key, [i, visible[k + 1], visible[k + 2]]);
  }
  return [...taken.values()];
}

function paintThumbs(context, chosen) {
  thumbs.ensure(chosen.map(([index]) => index));
  const size = thumbSize();
  for (const [index, left, top] of chosen) paintAt(context, index, left, top, size);
}

function paintAt(context, index, left, top, size) {
  const height = size / thumbs.aspect;
  context.save();
  context.beginPath();
  context.roundRect(left - size / 2, top - height / 2, size, height, size / 8);
  context.clip();
  thumbs.draw(context, index, left - size / 2, top - height / 2, size, height);
  context.restore();
}

function paintOne(context, index, size, letter) {
  const [left, top] = view.toScreen(places[2 * index], places[2 * index + 1]);
  paintMarked(context, left, top, size, letter, index);
}

function style(name) {
  return getComputedStyle(canvas).getPropertyValue(name);
}

/** A picture in a frame, with its letter if it is in a slot. */
function paintMarked(context, left, top, size, letter, index) {
  const height = size / thumbs.aspect;
  const accent = style("--accent");
  context.fillStyle = style("--card");
  context.strokeStyle = accent;
  context.lineWidth = 2.5;
  context.beginPath();
  context.roundRect(left - size / 2 - 2, top - height / 2 - 2, size + 4, height + 4, size / 8 + 2);
  context.fill();
  if (index !== null) paintAt(context, index, left, top, size);
  context.stroke();
  if (!letter) return;
  context.fillStyle = accent;
  context.beginPath();
  context.arc(left - size / 2, top - height / 2, 9, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = style("--on-accent");
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, left - size / 2, top - height / 2 + 0.5);
}

function paintRoute(context) {
  const line = route.path.map(([x, y]) => view.toScreen(x, y));
  if (line.length > 1) {
    context.lineJoin = "round";
    context.setLineDash(route.drawn === "nearest" ? [2, 6] : []);
    for (const [width, colour] of [[6, style("--paper")], [2.5, style("--accent")]]) {
      context.lineWidth = width;
      context.lineCap = "round";
      context.strokeStyle = colour;
      context.beginPath();
      line.forEach(([left, top], i) => context[i ? "lineTo" : "moveTo"](left, top));
      context.stroke();
    }
    context.setLineDash([]);
  }
  const letters = LETTERS.filter((_, i) => shown()[i]);
  route.ends.forEach(([x, y], i) => {
    const slot = route.slots[i];
    const index = /^p\d+$/.test(slot) ? Number(slot.slice(1)) : null;
    if (index !== null) thumbs.ensure([index]);
    const [left, top] = view.toScreen(x, y);
    paintMarked(context, left, top, 38, letters[i], index);
    if (index === null && route.image) paintBrought(context, left, top, 38, i);
  });
  if (!line.length) return;
  const at = line.length === 1 ? line[0] : along(line, get().t / 1000);
  context.fillStyle = style("--accent");
  context.strokeStyle = style("--paper");
  context.lineWidth = 3;
  context.beginPath();
  context.arc(at[0], at[1], 8, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

/** What is not on the map by itself, drawn as the model draws it. */
function paintBrought(context, left, top, size, i) {
  const { width: w, height: h } = info.pictures;
  const height = size / thumbs.aspect;
  context.drawImage(route.image, i * w, 0, w, h, left - size / 2, top - height / 2, size, height);
}

function along(line, place) {
  const exact = place * (line.length - 1);
  const first = Math.min(Math.floor(exact), line.length - 2);
  const share = exact - first;
  return [0, 1].map((k) => line[first][k] * (1 - share) + line[first + 1][k] * share);
}

/** What the arrow keys aim at: the middle, and the picture nearest to it. */
function paintAim(context) {
  context.strokeStyle = style("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(view.width / 2, view.height / 2, 26, 0, 2 * Math.PI);
  context.stroke();
}

/** The picture under a point of the screen, or -1: thumbnails first, since they lie on top. */
function hit(left, top, reach = 12) {
  if (!places) return -1;
  const visible = inView();
  const half = thumbSize() / 2;
  for (const [index, x, y] of chooseThumbs(visible).reverse()) {
    if (Math.abs(left - x) <= half && Math.abs(top - y) <= half / thumbs.aspect) return index;
  }
  let best = -1;
  let least = reach * reach;
  for (let k = 0; k < visible.length; k += 3) {
    const distance = (left - visible[k + 1]) ** 2 + (top - visible[k + 2]) ** 2;
    if (distance < least) [best, least] = [visible[k], distance];
  }
  return best;
}

function hover(left, top) {
  const index = left === null ? -1 : hit(left, top);
  if (index === hovered) return;
  hovered = index;
  canvas.classList.toggle("over", index >= 0);
  const peek = find("peek");
  peek.hidden = index < 0;
  if (index >= 0) {
    const width = 96;
    const height = width / thumbs.aspect;
    const context = prepare(peek.firstChild, width, height);
    context.clearRect(0, 0, width, height);
    thumbs.ensure([index]);
    thumbs.draw(context, index, 0, 0, width, height);
    peek.lastChild.textContent = numberName(index);
    const [x, y] = view.toScreen(places[2 * index], places[2 * index + 1]);
    const right = x > view.width / 2;
    const low = y > view.height / 2;
    peek.style.transform = `translate(${right ? x - width - 44 : x + 28}px, ${low ? y - height - 60 : y + 28}px)`;
    fetchCaptions(index).then(() => {
      if (hovered === index) peek.lastChild.textContent = numberName(index);
    });
  }
  repaint();
}

function onKey(event) {
  const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
  if (step) view.pan(...step);
  else if (event.key === "+" || event.key === "=") view.zoom(1.4);
  else if (event.key === "-") view.zoom(1 / 1.4);
  else if (event.key === "0") view.reset();
  else if (event.key === "Enter" || event.key === " ") {
    const index = hit(view.width / 2, view.height / 2, Infinity);
    if (index >= 0) pick(`p${index}`);
  } else return;
  event.preventDefault();
  aiming = true;
  const index = hit(view.width / 2, view.height / 2, Infinity);
  if (index >= 0 && event.key !== "Enter" && event.key !== " ") announce(numberName(index));
  hovered = index;
  repaint();
}

function wait(text) {
  find("map-wait").hidden = !text;
  find("map-wait").textContent = text;
}

function note() {
  const kind = get().map;
  let text = t(kind === "pca" ? "map_note_pca" : "map_note_tsne");
  if (route && kind === "tsne") text = t("map_note_tsne_path");
  find("map-note").textContent = text;
  find("map-kind").hidden = !info.tsne;
  choices(find("map-kind"), [
    { value: "pca", label: "PCA", title: t("pca_note") },
    { value: "tsne", label: "t-SNE", title: t("tsne_note") },
  ], kind, (map) => set({ map }));
  if (!places) showProgress();
}

export function showProgress() {
  if (places) return;
  const model = current();
  if (model.failed) wait(t("error_no_latents"));
  else if (model.ready) wait(get().map === "tsne" ? t("map_drawing") : "");
  else wait(t("map_wait", { done: count(model.done), all: count(info.pictures.count) }));
}

/** Fetches the map of the model and kind that are chosen. */
export async function loadMap() {
  const model = current();
  const kind = info.tsne ? get().map : "pca";
  places = null;
  route = null;
  hovered = -1;
  repaint();
  note();
  if (!model.ready && !model.failed) return; // called again once it is
  try {
    const data = await loading.run(async (signal) => {
      const response = await request(url("map.bin", { model: model.id, kind }), { signal, tries: 900 });
      return response.arrayBuffer();
    });
    if (!data) return;
    places = new Float32Array(data);
    wait("");
    view.frame(places);
    repaint();
    loadRoute();
    if (!colours) {
      const found = await request(url("colours.bin", { set: info.pictures.id }));
      colours = new Uint8Array(await found.arrayBuffer());
      repaint();
    }
  } catch (error) {
    if (error instanceof ApiError && error.code === "no_tsne") set({ map: "pca" }, { quiet: true });
    wait(error.code ? explain(error) : "");
    complain(error);
  }
}

async function loadRoute() {
  if (!places) return;
  const slots = shown().filter(Boolean);
  if (!slots.length) {
    routing.cancel();
    route = null;
    note();
    repaint();
    return;
  }
  const { mode, method, weights } = get();
  const shares = mode === "several" && slots.length > 1
    ? weights.filter((_, i) => get().slots[i]).join(",") : undefined;
  const kind = info.tsne ? get().map : "pca";
  try {
    const refs = slots.join(",");
    const model = current().id;
    const strange = slots.some((slot) => !/^p\d+$/.test(bare(slot)));
    const found = await routing.run((signal) => Promise.all([
      json(url("path", { model, refs, method, kind, weights: shares }), { signal }),
      strange ? bitmap(url("pictures.png", { model, refs }), { signal }) : null,
    ]));
    if (!found) return;
    route = { ...found[0], image: found[1], slots: slots.map(bare) };
    note();
    repaint();
  } catch {
    // The stage tells what is wrong with these pictures.
  }
}

export function startMap(store, found, currentModel) {
  thumbs = store;
  info = found;
  current = currentModel;
  thumbs.addEventListener("load", repaint);
  new ResizeObserver(() => {
    view.resize(canvas.clientWidth || 1, canvas.clientHeight || 1);
    repaint();
  }).observe(canvas);
  gestures(canvas, {
    hover,
    pan: (dx, dy) => { view.pan(dx, dy); hover(null); repaint(); },
    zoom: (factor, left, top) => { view.zoom(factor, left, top); repaint(); },
    tap: (left, top) => {
      const index = hit(left, top, 20);
      if (index >= 0) pick(`p${index}`);
    },
  });
  canvas.addEventListener("keydown", onKey);
  canvas.addEventListener("focus", () => { aiming = canvas.matches(":focus-visible"); repaint(); });
  canvas.addEventListener("blur", () => { aiming = false; hovered = -1; repaint(); });
  for (const [id, act] of [
    ["zoom-in", () => view.zoom(1.5)], ["zoom-out", () => view.zoom(1 / 1.5)],
    ["zoom-fit", () => view.reset()],
  ]) find(id).addEventListener("click", () => { act(); repaint(); });
  onLanguage(note);
  addEventListener("themechange", repaint);
  onState((_, changed) => {
    if (changed.has("model") || changed.has("map")) loadMap();
    else if (["slots", "mode", "method", "weights"].some((name) => changed.has(name))) loadRoute();
    else if (changed.has("t")) repaint();
  });
  view.resize(canvas.clientWidth || 1, canvas.clientHeight || 1);
  loadMap();
}

