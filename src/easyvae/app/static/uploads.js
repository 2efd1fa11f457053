// One's own picture: by a button or dropped anywhere. It stays in the server's memory only.

import { Latest, send, url } from "./api.js";
import { onReturn } from "./connection.js";
import { announce, find, make, toast } from "./dom.js";
import { explain } from "./faults.js";
import { onLanguage, t } from "./i18n.js";
import { pick } from "./picking.js";
import { showSheet } from "./sheet.js";
import { onState, set } from "./state.js";

const rows = new Map(); // reference -> its row
let model;
let info;

/** Uploads the first of some files and puts it into a slot: the next one, unless one is named. */
export async function take(files, slot) {
  const [file] = files;
  if (!file) return;
  if (files.length > 1) toast(t("one_at_a_time"));
  if (file.size > info.limits.bytes) {
    toast(t("error_too_large"));
    return;
  }
  find("drop").setAttribute("aria-busy", "true");
  announce(t("uploading"));
  try {
    const reference = await send(file);
    if (!rows.has(reference)) rows.set(reference, makeRow(reference));
    find("own").prepend(rows.get(reference));
    set({ tab: "own" }, { quiet: true });
    label();
    fill();
    pick(reference, slot);
  } catch (error) {
    toast(error.code ? explain(error) : t("error_failed"));
  } finally {
    find("drop").removeAttribute("aria-busy");
  }
}

/** Makes the row of a picture; the texts and pictures in it follow. */
function makeRow(reference) {
  const figures = ["original", "drawn"].map(() => make("figure", {},
    make("canvas", { role: "img" }), make("figcaption")));
  return make("li", { draggable: "true", ondragstart: (event) => {
    event.dataTransfer.setData("text/plain", reference);
  } }, make("div", { class: "views" }, ...figures),
  make("button", { type: "button", class: "button", onclick: () => pick(reference) }));
}

/** Puts the rows' texts right. */
function label() {
  [...rows.values()].forEach((row, i) => {
    const name = `${t("own_picture")} ${i + 1}`;
    ["original", "drawn"].forEach((kind, j) => {
      const figure = row.querySelectorAll("figure")[j];
      figure.firstChild.setAttribute("aria-label", `${t(kind)}: ${name}`);
      figure.lastChild.textContent = t(kind);
    });
    row.lastChild.textContent = t("use");
    row.lastChild.setAttribute("aria-label", `${t("use")}: ${name}`);
  });
}

/** Fetches the pictures that are not there yet. */
function fill() {
  for (const [reference, row] of rows) {
    const addresses = [url("originals.png", { set: info.pictures.id, refs: reference }),
      url("pictures.png", { model: model(), refs: reference })];
    row.querySelectorAll("canvas").forEach((canvas, i) => {
      if (canvas.dataset.shown !== addresses[i]) show(canvas, addresses[i]);
    });
  }
}

async function show(canvas, address) {
  canvas.dataset.shown = address;
  try {
    await showSheet(new Latest(), address, [canvas], 120);
  } catch {
    canvas.dataset.shown = ""; // a picture that is gone again: the slot says so when it is used
  }
}

export function startUploads(found, currentModel) {
  info = found;
  model = currentModel;
  const input = find("file");
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    take(files);
  });
  const isFile = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!isFile(event) || event.defaultPrevented) return; // or a slot has it
    event.preventDefault(); // or the browser would leave the page for the file
    take(event.dataTransfer.files);
  });
  onLanguage(label);
  onReturn(fill);
  onState((_, changed) => { if (changed.has("model")) fill(); });
}
