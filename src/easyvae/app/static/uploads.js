// One's own picture: by a button or dropped anywhere. It stays in the server's memory only.

import { bitmap, send, url } from "./api.js";
import { announce, find, make, prepare } from "./dom.js";
import { explain } from "./faults.js";
import { toast } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { pick } from "./picking.js";
import { onState, set } from "./state.js";

const brought = []; // references, the newest first
let model;
let info;

/** Uploads a file and puts it into a slot: the next one, unless one is named. */
export async function take(file, slot) {
  if (file.size > info.limits.bytes) {
    toast(t("error_too_large"));
    return;
  }
  find("drop").setAttribute("aria-busy", "true");
  try {
    const reference = await send(file);
    const at = brought.indexOf(reference);
    if (at >= 0) brought.splice(at, 1);
    brought.unshift(reference);
    set({ tab: "own" }, { quiet: true });
    list();
    pick(reference, slot);
  } catch (error) {
    const text = error.code ? explain(error) : t("error_failed");
    toast(text);
    announce(text);
  } finally {
    find("drop").removeAttribute("aria-busy");
  }
}

function list() {
  find("own").replaceChildren(...brought.map((reference, i) => {
    const canvases = ["original", "drawn"].map((kind) => make("canvas", {
      role: "img", "aria-label": `${t(kind)}: ${t("own_picture")}`,
    }));
    const views = canvases.map((canvas, j) => make("figure", {}, canvas,
      make("figcaption", { text: t(j ? "drawn" : "original") })));
    show(canvases[0], url("originals.png", { set: info.pictures.id, refs: reference }));
    show(canvases[1], url("pictures.png", { model: model(), refs: reference }));
    const button = make("button", {
      type: "button", class: "button", text: t("use"), onclick: () => pick(reference),
      "aria-label": `${t("use")}: ${t("own_picture")} ${brought.length - i}`,
    });
    return make("li", { draggable: "true", ondragstart: (event) => {
      event.dataTransfer.setData("text/plain", reference);
    } }, make("div", { class: "views" }, ...views), button);
  }));
}

async function show(canvas, address) {
  try {
    const image = await bitmap(address);
    const height = 120 * info.pictures.height / info.pictures.width;
    prepare(canvas, 120, height).drawImage(image, 0, 0, 120, height);
    canvas.classList.add("ready");
  } catch {
    // A picture that is gone again: the slot says so when it is used.
  }
}

export function startUploads(found, currentModel) {
  info = found;
  model = currentModel;
  const input = find("file");
  input.addEventListener("change", () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(file);
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
    if (!isFile(event)) return;
    event.preventDefault(); // or the browser would leave the page for the file
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  onLanguage(list);
  onState((_, changed) => { if (changed.has("model")) list(); });
}
