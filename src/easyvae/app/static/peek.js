// The picture that shows beside a point of the map.

import { find, prepare } from "./dom.js";
import { fetchCaptions, numberName, onCaptions } from "./names.js";

const WIDTH = 96; // CSS pixels
const box = find("peek");
let thumbs;
let shown = -1; // index

function draw() {
  if (shown < 0) return;
  const height = WIDTH / thumbs.aspect;
  const context = prepare(box.firstChild, WIDTH, height);
  context.clearRect(0, 0, WIDTH, height);
  thumbs.draw(context, shown, 0, 0, WIDTH, height);
  box.lastChild.textContent = numberName(shown);
}

/** Shows a picture beside its place in a view, or with -1 none. */
export function peek(index, view, place) {
  shown = index;
  box.hidden = index < 0;
  if (index < 0) return;
  thumbs.ensure([index]);
  fetchCaptions(index);
  draw();
  const [x, y] = view.toScreen(...place);
  const left = x > view.width / 2 ? x - WIDTH - 44 : x + 28;
  const top = y > view.height / 2 ? y - WIDTH / thumbs.aspect - 60 : y + 28;
  box.style.transform = `translate(${left}px, ${top}px)`;
}

export function startPeek(store) {
  thumbs = store;
  thumbs.addEventListener("load", draw);
  onCaptions(draw);
}
