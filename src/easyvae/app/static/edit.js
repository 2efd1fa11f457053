// Sliders along the principal directions of the set, with a picture of where each end leads.

import { Latest, url } from "./api.js";
import { onReturn } from "./connection.js";
import { choices, find, make } from "./dom.js";
import { complain } from "./faults.js";
import { decimal, onLanguage, t } from "./i18n.js";
import { activate, activeSlot, onActive } from "./picking.js";
import { blank, showSheet } from "./sheet.js";
import { FAR, LETTERS, amounts, get, moved, onState, setSlot, shown } from "./state.js";

const SHOWN = 4;
const request = new Latest();
let model;
let ready; // () => number of directions
let failed; // () => why there will be none, if so
let previewed = "";

const which = () => {
  const slots = shown();
  return slots[activeSlot()] ? activeSlot() : slots.findIndex(Boolean);
};

function build() {
  const count = Math.min(SHOWN, ready());
  find("edits").replaceChildren(...Array.from({ length: count }, (_, i) => {
    const range = make("input", { type: "range", min: -FAR, max: FAR, step: 0.1, "data-edit": i });
    range.addEventListener("input", () => change(i, Number(range.value)));
    range.addEventListener("dblclick", () => change(i, 0));
    return make("div", { class: "edit" },
      make("canvas", { role: "img" }), range, make("canvas", { role: "img" }),
      make("span", { class: "amount", "aria-hidden": "true" }));
  }));
}

function change(direction, value) {
  const index = which();
  const reference = get().slots[index];
  if (!reference) return;
  const values = amounts(reference);
  while (values.length <= direction) values.push(0);
  values[direction] = value;
  setSlot(index, moved(reference, values), { quiet: true });
}

/** Shows what the ends of each slider make of the picture as it is now. */
async function preview(reference) {
  const rows = [...find("edits").children];
  if (!rows.length) return;
  const values = amounts(reference);
  const refs = rows.flatMap((_, i) => [-FAR, FAR].map((end) => {
    const there = rows.map((__, j) => values[j] ?? 0);
    there[i] = end;
    return moved(reference, there);
  }));
  const address = url("pictures.png", { model: model(), refs: refs.join(",") });
  if (address === previewed) return;
  previewed = address;
  const canvases = find("edits").querySelectorAll("canvas");
  try {
    await showSheet(request, address, canvases, 44);
  } catch (error) {
    previewed = "";
    canvases.forEach(blank);
    if (error.code !== "upload_gone") complain(error);
  }
}

let waiting = 0;

function update() {
  const index = which();
  const reference = index < 0 ? null : get().slots[index];
  const card = find("edit-card");
  if (find("edits").children.length !== Math.min(SHOWN, ready())) build();
  card.classList.toggle("vacant", !reference || !ready());
  find("edit-reset").disabled = !reference?.includes("~");
  find("edit-note").textContent = t(failed() ? "error_no_latents"
    : !ready() ? "edit_wait" : reference ? "edit_note" : "edit_empty");
  choices(find("edit-which"), shown().flatMap((slot, i) => (slot
    ? [{ value: i, label: LETTERS[i], title: t("edit_slot", { letter: LETTERS[i] }) }] : [])),
  index, (value) => activate(value));
  const values = reference ? amounts(reference) : [];
  [...find("edits").children].forEach((row, i) => {
    const range = row.querySelector("input");
    const value = values[i] ?? 0;
    range.disabled = !reference;
    range.value = value;
    row.querySelector(".amount").textContent = reference ? decimal(value) : "";
    range.setAttribute("aria-label", t("direction", { n: i + 1 }));
    const [low, high] = row.querySelectorAll("canvas");
    low.setAttribute("aria-label", t("left_end", { n: i + 1 }));
    high.setAttribute("aria-label", t("right_end", { n: i + 1 }));
    range.setAttribute("aria-valuetext", t("deviations", { n: decimal(value) }));
  });
  clearTimeout(waiting);
  if (reference && ready()) waiting = setTimeout(() => preview(reference), 120);
}

export function startEdit(currentModel, directions, fault) {
  model = currentModel;
  ready = directions;
  failed = fault;
  find("edit-reset").addEventListener("click", () => {
    const index = which();
    if (index < 0) return;
    setSlot(index, moved(get().slots[index], []));
    find("edits").querySelector("input").focus({ preventScroll: true }); // the button is off now
  });
  document.addEventListener("edit-slot", (event) => {
    activate(event.detail);
    find("edit-card").scrollIntoView({ block: "nearest" });
    find("edits").querySelector("input")?.focus();
  });
  onActive(update);
  onLanguage(update);
  onReturn(update);
  onState((_, changed) => {
    if (changed.has("slots") || changed.has("mode") || changed.has("model")) update();
  });
  update();
}

export { update as refreshEdit };
