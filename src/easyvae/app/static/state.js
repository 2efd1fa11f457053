// The whole state of the page, which is also its address: a link reproduces a mix.

import { clamp } from "./dom.js";

export const LETTERS = ["A", "B", "C", "D"];
export const FAR = 3; // standard deviations that a picture can be moved along a direction
const REFERENCE = /^(p\d{1,9}|u[0-9a-f]{16}|[sg]\d{1,9}t\d{1,3})((?:~-?\d(?:\.\d{1,2})?){0,8})$/;
const DEFAULTS = {
  model: "", slots: [null, null, null, null], mode: "pair", t: 500, steps: 11, method: "lerp",
  weights: [1, 1, 1, 1], tab: "gallery", near: "", from: "g", temperature: 80,
  seed: 1,
};
const CHOICES = {
  mode: ["pair", "several"], method: ["lerp", "slerp"], tab: ["gallery", "new", "own"],
  from: ["s", "g"],
};
const RANGES = { t: [0, 1000], steps: [3, 21], temperature: [0, 150], seed: [1, 999999000] };

const listeners = new Set();
let state = structuredClone(DEFAULTS);
let writing = 0;

export const get = () => state;
export const onState = (listener) => { listeners.add(listener); };
export const isReference = (text) => REFERENCE.test(text);

/** The slots that count: two, or as many as there are. */
export const shown = () => (state.mode === "pair" ? state.slots.slice(0, 2) : state.slots);
export const filled = () => shown().filter(Boolean);
export function weights() {
  const found = state.weights.filter((_, i) => state.slots[i]);
  return found.some(Boolean) ? found : found.map(() => 1);
}

export function bare(reference) {
  return reference.split("~")[0];
}

export function amounts(reference) {
  return (reference ?? "").split("~").slice(1).map(Number);
}

/** Returns a reference moved along the directions; amounts of zero leave no trace in it. */
export function moved(reference, values) {
  const rounded = values.map((value) => Math.round(value * 10) / 10);
  while (rounded.length && !rounded.at(-1)) rounded.pop();
  return [bare(reference), ...rounded].join("~");
}

/** Reads a picture's name from a link, with edits as far as the sliders go; null if it is none. */
function readReference(text) {
  if (!isReference(text ?? "")) return null;
  return moved(text, amounts(text).map((value) => clamp(value, -FAR, FAR)));
}

/** Keeps the steps within what the server draws at a time. */
export function limitSteps(most) {
  RANGES.steps[1] = Math.min(RANGES.steps[1], most);
  state.steps = Math.min(state.steps, most);
}

function toHash() {
  const parts = [];
  const put = (name, value) => parts.push(`${name}=${encodeURIComponent(value)}`);
  if (state.model) put("model", state.model);
  state.slots.forEach((slot, i) => { if (slot) put(LETTERS[i].toLowerCase(), slot); });
  if (state.weights.some((weight) => weight !== 1)) put("weights", state.weights.join("-"));
  for (const name of [...Object.keys(CHOICES), ...Object.keys(RANGES), "near"]) {
    if (state[name] !== DEFAULTS[name]) put(name, state[name]);
  }
  return parts.length ? `#${parts.join("&")}` : "";
}

function fromHash() {
  const query = new URLSearchParams(location.hash.slice(1));
  const next = structuredClone(DEFAULTS);
  next.model = query.get("model") ?? "";
  next.slots = LETTERS.map((letter) => readReference(query.get(letter.toLowerCase())));
  const shares = (query.get("weights") ?? "").split("-").map(Number);
  if (shares.length === 4 && shares.every((x) => x >= 0 && x <= 100) && shares.some(Boolean)) {
    next.weights = shares;
  }
  for (const [name, words] of Object.entries(CHOICES)) {
    if (words.includes(query.get(name))) next[name] = query.get(name);
  }
  for (const [name, [low, high]] of Object.entries(RANGES)) {
    const value = Number(query.get(name) ?? NaN);
    if (Number.isInteger(value) && value >= low && value <= high) next[name] = value;
  }
  next.near = readReference(query.get("near")) ?? "";
  return next;
}

function tell(before) {
  const changed = new Set(Object.keys(state).filter(
    (name) => JSON.stringify(state[name]) !== JSON.stringify(before[name])));
  if (changed.size) for (const listener of listeners) listener(state, changed);
}

/**
 * Changes some of the state.
 * With `quiet` the address is brought up to date but no step back is left: for sliders under way,
 * and for what only changes the view.
 */
export function set(patch, { quiet = false } = {}) {
  const before = state;
  state = { ...state, ...patch };
  clearTimeout(writing);
  if (quiet) {
    // Browsers allow only so many changes of the address a minute.
    writing = setTimeout(() => history.replaceState(null, "", address()), 250);
  } else if (toHash() !== location.hash) {
    history.pushState(null, "", address());
  }
  tell(before);
}

export function setSlot(index, reference, options) {
  const slots = [...state.slots];
  slots[index] = reference;
  set({ slots }, options);
}

export const address = () => location.origin + location.pathname + toHash();

export function startState() {
  state = fromHash();
  const reread = () => {
    clearTimeout(writing);
    const before = state;
    state = fromHash();
    tell(before);
  };
  addEventListener("popstate", reread);
  addEventListener("hashchange", reread);
}
