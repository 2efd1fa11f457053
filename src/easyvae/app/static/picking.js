// Which slot the next picture goes to, and putting it there.

import { announce } from "./dom.js";
import { t } from "./i18n.js";
import { nameOf } from "./names.js";
import { LETTERS, bare, get, onState, set, shown } from "./state.js";

let active = 0;
const listeners = new Set();

export const activeSlot = () => active;
export const onActive = (listener) => { listeners.add(listener); };

export function activate(index) {
  active = index;
  for (const listener of listeners) listener();
}

/** The first empty slot, or else the one that is marked. */
function target() {
  const slots = shown();
  const empty = slots.indexOf(null);
  return empty >= 0 ? empty : Math.min(active, slots.length - 1);
}

/** Puts a picture into a slot: the next one, unless one is named. */
export function pick(reference, index = target()) {
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
  activate((index + 1) % places);
  announce(t("picked", { letter: LETTERS[index], name: nameOf(reference) }));
}

/** A picture of the set is shown as chosen wherever it stands, edited or not. */
export function letterOf(reference) {
  const index = shown().findIndex((slot) => slot && bare(slot) === reference);
  return index < 0 ? "" : LETTERS[index];
}

/** Two pictures (or as many as there are slots in use) by chance. */
export function pickRandom(count) {
  const { mode, slots } = get();
  const wanted = Math.min(count, mode === "pair" ? 2 : Math.max(3, slots.filter(Boolean).length));
  const chosen = new Set();
  while (chosen.size < wanted) chosen.add(Math.floor(Math.random() * count));
  const next = [...slots];
  [...chosen].forEach((index, i) => { next[i] = `p${index}`; });
  set({ slots: next });
  activate(0);
  announce(next.filter(Boolean).map((slot, i) => `${LETTERS[i]}: ${nameOf(slot)}`).join("; "));
}

export function startPicking() {
  onState((_, changed) => { if (changed.has("mode")) activate(0); });
}
