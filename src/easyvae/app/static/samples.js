// New pictures, which the model has never seen: from the prior, or from around the set's latents.

import { Latest, url } from "./api.js";
import { onReturn } from "./connection.js";
import { choices, find, make } from "./dom.js";
import { complain } from "./faults.js";
import { decimal, onLanguage, t } from "./i18n.js";
import { nameOf } from "./names.js";
import { letterOf, pick } from "./picking.js";
import { blank, showSheet } from "./sheet.js";
import { get, onState, set } from "./state.js";

const COUNT = 12;
const request = new Latest();
let model;
let drawn = "";
let waiting = 0;

const references = () => {
  const { from, seed, temperature } = get();
  return Array.from({ length: COUNT }, (_, i) => `${from}${seed + i}t${temperature}`);
};

function build() {
  find("samples").replaceChildren(...Array.from({ length: COUNT }, (_, i) => {
    const button = make("button", { type: "button", class: "cell", draggable: "true" },
      make("canvas", { "aria-hidden": "true" }), make("span", { class: "badge", "aria-hidden": "true" }));
    button.addEventListener("click", () => pick(references()[i]));
    button.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/plain", references()[i]);
    });
    return button;
  }));
}

function label() {
  const names = references();
  [...find("samples").children].forEach((button, i) => {
    const letter = letterOf(names[i]);
    button.setAttribute("aria-label", nameOf(names[i]) + (letter ? ` (${letter})` : ""));
    button.querySelector(".badge").textContent = letter;
    button.classList.toggle("chosen", Boolean(letter));
  });
  choices(find("from"), [
    { value: "g", label: t("from_mixture"), title: t("from_mixture_note") },
    { value: "s", label: t("from_prior"), title: t("from_prior_note") },
  ], get().from, (from) => set({ from }));
  find("temperature").value = get().temperature;
  const boldness = decimal(get().temperature / 100, 2).replace("+", "");
  find("temperature-value").textContent = boldness;
  find("temperature").setAttribute("aria-valuetext", boldness);
}

async function draw() {
  label();
  if (get().tab !== "new") return;
  const address = url("pictures.png", { model: model(), refs: references().join(",") });
  if (address === drawn) return;
  drawn = address;
  const canvases = find("samples").querySelectorAll("canvas");
  try {
    await showSheet(request, address, canvases, canvases[0].clientWidth || 88);
  } catch (error) {
    drawn = "";
    canvases.forEach(blank);
    complain(error);
  }
}

export function startSamples(currentModel) {
  model = currentModel;
  build();
  find("draw").addEventListener("click", () => set({ seed: (get().seed + COUNT) % 999000000 }));
  find("temperature").addEventListener("input", (event) => {
    set({ temperature: Number(event.target.value) }, { quiet: true });
  });
  onLanguage(label);
  onReturn(draw);
  onState((_, changed) => {
    if (["from", "seed", "temperature", "tab", "model"].some((name) => changed.has(name))) {
      clearTimeout(waiting);
      waiting = setTimeout(draw, 60);
    }
    if (changed.has("slots") || changed.has("mode")) label();
  });
  draw();
}
