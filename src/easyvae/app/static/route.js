// The way of the mix across the map: its ends, the line between them, and where the slider is.

import { Latest, bitmap, json, url } from "./api.js";
import { colour, paintFrame, paintLetter, paintThumb } from "./marks.js";
import { drawCell } from "./sheet.js";
import { LETTERS, bare, filled, get, shown, weights } from "./state.js";

const SIZE = 38; // CSS pixels of the pictures at its ends
const request = new Latest();
let route = null; // { ends, path, slots, letters, sheet }

function put(next) {
  route?.sheet?.close();
  route = next;
}

export function clearRoute() {
  request.cancel();
  put(null);
}

/** Fetches the route of the state as it is; `changed` is called when there is another to draw. */
export async function loadRoute(model, changed) {
  const refs = filled();
  if (!refs.length) {
    clearRoute();
    changed();
    return;
  }
  const { mode, method } = get();
  const shares = mode === "several" && refs.length > 1 ? weights().join(",") : undefined;
  const query = { model, refs: refs.join(",") };
  // The map has no thumbnail of what the set has not; it is shown as the model draws it.
  const strange = refs.some((reference) => !/^p\d+$/.test(bare(reference)));
  const letters = LETTERS.filter((_, i) => shown()[i]);
  try {
    const found = await request.run((signal) => Promise.all([
      json(url("path", { ...query, method, weights: shares }), { signal }),
      strange ? bitmap(url("pictures.png", query), { signal }) : null,
    ]));
    if (!found) return;
    put({ ...found[0], sheet: found[1], slots: refs.map(bare), letters });
  } catch {
    put(null); // the stage tells what is wrong with these pictures
  }
  changed();
}

export function paintRoute(context, thumbs, view) {
  if (!route) return;
  const line = route.path.map(([x, y]) => view.toScreen(x, y));
  if (line.length > 1) paintLine(context, line);
  route.ends.forEach((end, i) => {
    const [left, top] = view.toScreen(...end);
    const height = SIZE / thumbs.aspect;
    paintFrame(context, left, top, SIZE, height);
    const [, number] = /^p(\d+)$/.exec(route.slots[i]) ?? [];
    if (number) {
      thumbs.ensure([Number(number)]);
      paintThumb(context, thumbs, Number(number), left, top, SIZE);
    } else {
      drawCell(context, route.sheet, i, left - SIZE / 2, top - height / 2, SIZE, height);
    }
    paintLetter(context, route.letters[i], left - SIZE / 2, top - height / 2);
  });
  if (line.length) paintPlace(context, line.length === 1 ? line[0] : along(line, get().t / 1000));
}

function paintLine(context, line) {
  context.lineJoin = "round";
  context.lineCap = "round";
  for (const [width, name] of [[6, "--paper"], [2.5, "--accent"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour(name);
    context.beginPath();
    line.forEach(([left, top], i) => context[i ? "lineTo" : "moveTo"](left, top));
    context.stroke();
  }
}

function paintPlace(context, [left, top]) {
  context.fillStyle = colour("--accent");
  context.strokeStyle = colour("--paper");
  context.lineWidth = 3;
  context.beginPath();
  context.arc(left, top, 8, 0, 2 * Math.PI);
  context.fill();
  context.stroke();
}

function along(line, place) {
  const exact = place * (line.length - 1);
  const first = Math.min(Math.floor(exact), line.length - 2);
  const share = exact - first;
  return [0, 1].map((k) => line[first][k] * (1 - share) + line[first + 1][k] * share);
}
