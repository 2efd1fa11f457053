// Which slot the next picture goes to, and putting it there.

import { announce, toast } from "./dom.js";
import { t } from "./i18n.js";
import { nameOf } from "./names.js";
import { LETTERS, bare, get, onState, set, shown } from "./state.js";

let chosen = null; // the slot that somebody has pointed at
let turn = 0; // or else, once all are full, the one whose turn it is
const listeners = new Set();

/** The slot that the next picture goes to: it has a frame. */
export function activeSlot() {
  const slots = shown();
  if (chosen !== null && chosen < slots.length) return chosen;
  const empty = slots.indexOf(null);
  return empty >= 0 ? empty : Math.min(turn, slots.length - 1);
}

export const onActive = (listener) => { listeners.add(listener); };

/** Points at a slot, or with null at none. */
export function activate(index) {
  chosen = index;
  for (const listener of listeners) listener();
}

/** Puts a picture into a slot: the one with the frame, unless one is named. */
export function pick(reference, index = activeSlot()) {
  const slots = [...get().slots];
  const weights = [...get().weights];
  if (!slots[index] && index > 1) {
    // A newcomer counts as much as the others do on average.
    const others = weights.filter((_, i) => slots[i]);
    weights[index] = Math.max(1, Math.round(others.reduce((a, b) => a + b, 0) / others.length || 1));
  }
  slots[index] = reference;
  set({ slots, weights });
  const places = get().mode === "pair" ? 2 : slots.filter(Boolean).length;
  turn = (index + 1) % places;
  activate(null);
  announce(t("picked", { letter: LETTERS[index], name: nameOf(reference) }));
  if (get().mode === "pair" && slots[0] === slots[1]) toast(t("same_picture"));
}

/** The letters of a picture's slots, edited or not; none if it is in none. */
export function letterOf(reference) {
  return LETTERS.filter((_, i) => shown()[i] && bare(shown()[i]) === reference).join(" ");
}

/** What is in the slots, in words. */
export function describeSlots() {
  return shown().flatMap((slot, i) => (slot ? [`${LETTERS[i]}: ${nameOf(slot)}`] : [])).join("; ");
}

/** Two pictures (or as many as there are slots in use) by chance. */
export function pickRandom(count) {
  const { mode, slots } = get();
  const all = [...slots.keys()];
  // Those that are in use come first, and then the empty ones.
  const order = mode === "pair" ? [0, 1]
    : [...all.filter((i) => slots[i]), ...all.filter((i) => !slots[i])];
  const wanted = Math.min(count, mode === "pair" ? 2 : Math.max(3, slots.filter(Boolean).length));
  const drawn = new Set();
  while (drawn.size < wanted) drawn.add(Math.floor(Math.random() * count));
  const next = [...slots];
  [...drawn].forEach((index, i) => { next[order[i]] = `p${index}`; });
  set({ slots: next });
  turn = 0;
  activate(null);
  announce(describeSlots());
}

export function startPicking() {
  onState((_, changed) => {
    if (!changed.has("mode")) return;
    turn = 0;
    activate(null);
  });
}
