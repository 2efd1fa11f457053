// The mix: one sheet of frames from the server, and everything that moves along it.

import { Latest, bitmap, url } from "./api.js";
import { onReturn } from "./connection.js";
import { announce, calm, clamp, find, icon, make, prepare, rove, setIcon } from "./dom.js";
import { complain } from "./faults.js";
import { onLanguage, percent, t } from "./i18n.js";
import { nameOf } from "./names.js";
import { describeSlots } from "./picking.js";
import { drawCell } from "./sheet.js";
import { filled, get, onState, set, shown, weights } from "./state.js";

// About so many frames between the ends, and the slider fades between them: of 40 mixes by two
// models no pixel was further than 3 of 255 from the frame that would be there.
const FINE = 20;
const SECONDS = 3.5; // of playing, one way

const canvas = find("picture");
const small = find("small"); // the same picture beside the parts that are far from the large one
const slider = find("slider");
const request = new Latest();
let model;
let most; // frames at a time
let film = null; // { image, frames }: what is shown
let playing = 0;
let asked = "";

const several = () => get().mode === "several";

/** Frames between two steps of the strip: the strip's pictures are among the slider's. */
function fineness(steps) {
  return Math.max(1, Math.min(Math.round(FINE / (steps - 1)), Math.floor((most - 1) / (steps - 1))));
}

function wanted() {
  const slots = filled();
  const { steps, method } = get();
  if (!slots.length) return null;
  if (slots.length === 1) return url("pictures.png", { model: model(), refs: slots[0] });
  if (several()) {
    return url("blend.png", {
      model: model(), refs: slots.join(","), weights: weights().join(","), method,
    });
  }
  const frames = fineness(steps) * (steps - 1) + 1;
  return url("mix.png", { model: model(), refs: slots.join(","), frames, method });
}

async function update() {
  const address = wanted();
  find("large").classList.toggle("vacant", !address);
  find("empty").hidden = Boolean(address);
  arrange();
  if (!address) {
    request.cancel();
    asked = "";
    show(null);
    return;
  }
  if (address === asked) return;
  asked = address;
  const frames = address.includes("/mix.png")
    ? fineness(get().steps) * (get().steps - 1) + 1 : 1;
  try {
    const image = await request.run((signal) => bitmap(address, { signal }));
    if (!image) return;
    show({ image, frames });
  } catch (error) {
    if (asked !== address) return;
    asked = "";
    show(null);
    complain(error);
  }
}

function show(next) {
  film?.image.close();
  film = next;
  draw();
  drawStrip();
}

/** Draws the frame at a place from 0 to 1: the two next to it, one fading into the other. */
function paint(context, place, width, height) {
  context.clearRect(0, 0, width, height);
  if (!film) return;
  const exact = clamp(place, 0, 1) * (film.frames - 1);
  const first = Math.floor(exact);
  const share = exact - first;
  const put = (frame, alpha) => {
    context.globalAlpha = alpha;
    drawCell(context, film.image, frame, 0, 0, width, height);
  };
  put(first, 1);
  if (share > 0.001) put(first + 1, share);
  context.globalAlpha = 1;
}

function draw() {
  const width = canvas.clientWidth || 1;
  const height = canvas.clientHeight || 1;
  const place = get().t / 1000;
  paint(prepare(canvas, width, height), place, width, height);
  small.hidden = !film;
  if (small.clientWidth) {
    paint(prepare(small, small.clientWidth, small.clientHeight), place, small.clientWidth, small.clientHeight);
  }
  mark(place);
}

function mark(place) {
  const at = Math.round(place * (get().steps - 1));
  find("strip").querySelectorAll("li").forEach((item, i) => {
    const [step, save] = item.children;
    if (i === at) step.setAttribute("aria-current", "true");
    else step.removeAttribute("aria-current");
    // One step is among the page's stops for the Tab key; arrow keys lead to the others.
    step.tabIndex = i === at ? 0 : -1;
    save.tabIndex = step.tabIndex;
  });
  slider.style.setProperty("--place", `${100 * place}%`);
}

function describe() {
  const slots = filled();
  let text = t("nothing_yet");
  if (slots.length === 1) text = t("one_picture", { name: nameOf(slots[0]) });
  else if (slots.length && several()) {
    const total = weights().reduce((a, b) => a + b, 0);
    text = slots.map((slot, i) => `${percent(weights()[i] / total)} ${nameOf(slot)}`).join(", ");
  } else if (slots.length) {
    text = t("mix_of", {
      a: nameOf(slots[0]), b: nameOf(slots[1]), share: percent(get().t / 1000),
    });
  }
  canvas.setAttribute("aria-label", text);
  slider.setAttribute("aria-valuetext", percent(get().t / 1000));
}

/** Shows what belongs to the mode and to what there is so far. */
function arrange() {
  const { mode, steps, method } = get();
  const slots = filled();
  const pair = mode === "pair";
  const ready = slots.length > 1;
  document.body.dataset.mode = mode;
  find("ride").hidden = !pair;
  find("strip").hidden = !pair;
  find("steps-field").hidden = !pair;
  find("save-strip").hidden = !pair;
  find("save-gif").hidden = !pair;
  find("save-blend").hidden = pair;
  find("ends").hidden = !pair;
  slider.disabled = !ready;
  find("play").disabled = !ready;
  find("swap").disabled = !shown().some(Boolean);
  if (!ready || !pair) stop();
  const query = { model: model(), refs: slots.join(","), method };
  link(find("save-strip"), ready && pair && url("strip.png", { ...query, steps }), "strip.png");
  link(find("save-gif"), ready && pair && url("animation.gif", query), "mix.gif");
  link(find("save-blend"), ready && !pair && url("blend.png", {
    ...query, weights: weights().join(","), scale: 4,
  }), "blend.png");
  describe();
}

function link(anchor, address, name) {
  if (address) {
    anchor.href = address;
    anchor.download = name;
    anchor.removeAttribute("aria-disabled");
  } else {
    anchor.removeAttribute("href");
    anchor.setAttribute("aria-disabled", "true");
  }
}

function buildStrip() {
  const { steps } = get();
  const items = Array.from({ length: steps }, (_, i) => make("li", {},
    make("button", {
      type: "button", class: "step", "data-step": i,
      onclick: () => { stop(); set({ t: Math.round(1000 * i / (steps - 1)) }); },
    }, make("canvas", { "aria-hidden": "true" })),
    make("a", { class: "save" }, icon("save"))));
  find("strip").replaceChildren(...items);
  find("strip").style.setProperty("--steps", steps);
  labelStrip();
  drawStrip();
}

function labelStrip() {
  const { steps, method } = get();
  const refs = filled().join(",");
  const ready = filled().length > 1 && !several();
  find("strip").querySelectorAll("li").forEach((item, i) => {
    const [step, save] = item.children;
    step.disabled = !ready;
    step.setAttribute("aria-label", t("step_of", { n: i + 1, steps }));
    save.setAttribute("aria-label", t("save_step", { n: i + 1 }));
    save.title = t("save_step", { n: i + 1 });
    link(save, ready && url("step.png", { model: model(), refs, method, steps, step: i + 1 }),
      `step-${i + 1}.png`);
  });
}

function drawStrip() {
  const { steps } = get();
  const ready = film && film.frames > 1;
  find("strip").querySelectorAll("canvas").forEach((small, i) => {
    const width = small.clientWidth || 56;
    const height = small.clientHeight || 56;
    const context = prepare(small, width, height);
    if (ready) paint(context, i / (steps - 1), width, height);
    else context.clearRect(0, 0, width, height);
  });
  find("strip").classList.toggle("vacant", !ready);
  mark(get().t / 1000);
}

function stop() {
  if (!playing) return;
  cancelAnimationFrame(playing);
  playing = 0;
  showPlaying();
  set({}, { quiet: true });
}

function showPlaying() {
  const button = find("play");
  setIcon(button, playing ? "pause" : "play");
  const text = t(playing ? "pause" : "play");
  button.setAttribute("aria-label", text);
  button.title = text;
}

/** Runs from A to B and back, until it is stopped. */
function play() {
  let place = get().t / 1000;
  let way = place >= 1 ? -1 : 1;
  let before = performance.now();
  let waited = 0;
  const frame = (now) => {
    const passed = Math.min(0.1, (now - before) / 1000);
    before = now;
    if (calm()) {
      // Without motion: one step of the strip after another, each long enough to look at.
      waited += passed;
      const step = 1 / (get().steps - 1);
      if (waited > 0.8) {
        waited = 0;
        place = Math.round(place / step) * step + way * step;
      }
    } else {
      place += way * passed / SECONDS;
    }
    if (place >= 1 || place <= 0) {
      place = clamp(place, 0, 1);
      way = place >= 1 ? -1 : 1;
    }
    slider.value = Math.round(1000 * place);
    set({ t: Math.round(1000 * place) }, { quiet: true });
    playing = requestAnimationFrame(frame);
  };
  playing = requestAnimationFrame(frame);
  showPlaying();
}

function fillSteps() {
  const options = [5, 7, 9, 11, 13, 16, 21].filter((steps) => steps <= most);
  if (!options.includes(get().steps)) options.push(get().steps);
  find("steps").replaceChildren(...options.sort((a, b) => a - b).map((steps) =>
    make("option", { value: steps, text: String(steps), selected: steps === get().steps })));
}

function swap() {
  const { slots, t: place, mode } = get();
  if (mode === "pair") {
    set({ slots: [slots[1], slots[0], slots[2], slots[3]], t: 1000 - place });
  } else {
    // More than two go round.
    const there = slots.filter(Boolean);
    there.unshift(there.pop());
    let next = 0;
    set({ slots: slots.map((slot) => (slot ? there[next++] : null)) });
  }
  announce(describeSlots());
}

export function startStage(info, currentModel) {
  model = currentModel;
  const { pictures } = info;
  most = info.limits.frames;
  // Another place in the history is not to be played away.
  for (const name of ["popstate", "hashchange"]) addEventListener(name, stop);
  document.documentElement.style.setProperty("--aspect", `${pictures.width} / ${pictures.height}`);
  document.documentElement.style.setProperty("--ratio", pictures.width / pictures.height);
  slider.value = get().t;
  slider.addEventListener("input", () => { stop(); set({ t: Number(slider.value) }, { quiet: true }); });
  find("play").addEventListener("click", () => (playing ? stop() : play()));
  find("swap").addEventListener("click", swap);
  find("strip").addEventListener("keydown", (event) => {
    rove(event, [...find("strip").querySelectorAll(".step")], (next) => next.click());
  });
  find("steps").addEventListener("change", (event) => set({ steps: Number(event.target.value) }));
  new ResizeObserver(() => draw()).observe(canvas);
  new IntersectionObserver(([{ isIntersecting }]) => {
    document.body.classList.toggle("away-from-mix", !isIntersecting);
    draw();
  }).observe(canvas);
  new ResizeObserver(() => drawStrip()).observe(find("strip"));
  onReturn(update);
  onLanguage(() => { labelStrip(); describe(); showPlaying(); });
  onState((_, changed) => {
    if (changed.has("t")) {
      if (Number(slider.value) !== get().t) slider.value = get().t;
      draw();
      describe();
    }
    if (changed.has("steps")) {
      fillSteps();
      buildStrip();
    }
    if (["slots", "mode", "model", "method", "steps", "weights"].some((name) => changed.has(name))) {
      labelStrip();
      update();
    }
  });
  fillSteps();
  buildStrip();
  update();
}
