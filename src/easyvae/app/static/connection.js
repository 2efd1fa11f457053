// Whether the server answers. While it does not, a line says so; once it does, each part asks again.

import { find } from "./dom.js";

const PAUSE = 10000; // milliseconds between two tries
const parts = new Set();
let timer = 0;

/** Calls back when the server answers again: for what could not be had in the meantime. */
export const onReturn = (part) => { parts.add(part); };

/** Takes note that a request had no answer. */
export function lose() {
  find("away").hidden = false;
  timer ||= setInterval(retry, PAUSE);
}

async function retry() {
  if (!timer) return;
  try {
    if (!(await fetch("/api/info")).ok) return;
  } catch {
    return;
  }
  clearInterval(timer);
  timer = 0;
  find("away").hidden = true;
  for (const part of parts) part();
}

export function startConnection() {
  find("retry").addEventListener("click", retry);
  addEventListener("online", retry);
  addEventListener("focus", retry);
}
