// Small helpers for the document. Data only ever goes in as text, never as markup.

export const find = (id) => document.getElementById(id);

/** Makes an element: make("p", { class: "soft", text: "..." }, child, child). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#i-${name}`);
}

/** Tells a screen reader what has happened. */
export function announce(text) {
  find("live").textContent = text;
}

let hiding = 0;

/** Shows a line for a few seconds, where it will be seen. */
export function toast(text) {
  const line = find("toast");
  line.textContent = text;
  line.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { line.hidden = true; }, 6000);
}

/** Fits a canvas to its place and the screen's density; returns a context in CSS pixels. */
export function prepare(canvas, width, height) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const w = Math.max(1, Math.round(width * ratio));
  const h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  // Small pictures are enlarged with a smooth filter, never in blocks.
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  return context;
}

/** Fills an element with choices of which one holds: radio buttons that arrow keys move among. */
export function choices(element, options, current, choose) {
  // Buttons are kept: one that went while it is being pressed would never be clicked.
  while (element.children.length > options.length) element.lastChild.remove();
  while (element.children.length < options.length) {
    element.append(make("button", { type: "button", role: "radio", class: "option" }));
  }
  const buttons = [...element.children];
  options.forEach(({ value, label, title = "" }, i) => {
    const button = buttons[i];
    button.textContent = label;
    button.title = title;
    button.tabIndex = value === current ? 0 : -1;
    button.setAttribute("aria-checked", String(value === current));
    button.onclick = () => choose(value);
  });
  element.onkeydown = (event) => rove(event, buttons, (button) => button.click());
}

/** Moves the focus among buttons in a row with the arrow keys. */
export function rove(event, buttons, moved) {
  const at = buttons.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (at < 0 || !step) return;
  event.preventDefault();
  const next = buttons[(at + step + buttons.length) % buttons.length];
  next.focus();
  moved?.(next);
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

/** What was chosen on an earlier visit, if anything. */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It then lasts for this visit.
  }
}
