// The slots: what was picked, what the model makes of it, and what one may do with it.

import { Latest, url } from "./api.js";
import { onReturn } from "./connection.js";
import { find, icon, make } from "./dom.js";
import { complain, explain } from "./faults.js";
import { onLanguage, t } from "./i18n.js";
import { fetchCaptions, nameOf, onCaptions } from "./names.js";
import { activate, activeSlot, onActive, pick } from "./picking.js";
import { blank, showSheet } from "./sheet.js";
import { LETTERS, bare, get, isReference, onState, set, setSlot } from "./state.js";
import { take } from "./uploads.js";

const cards = [];
let model;
let pictures;

class Card {
  #requests = { original: new Latest(), drawn: new Latest() };
  #shown = { original: "", drawn: "" };

  constructor(index) {
    this.index = index;
    const letter = LETTERS[index];
    this.original = make("canvas", { role: "img" });
    this.drawn = make("canvas", { role: "img" });
    this.captions = { original: make("figcaption"), drawn: make("figcaption") };
    this.views = make("div", { class: "views" },
      make("figure", { class: "as-it-is" }, this.original, this.captions.original),
      make("figure", {}, this.drawn, this.captions.drawn));
    this.name = make("span", { class: "name" });
    this.next = make("span", { class: "hidden" });
    this.head = make("button", { type: "button", class: "head", onclick: () => activate(index) },
      make("span", { class: "letter", text: letter }), this.name, this.next);
    this.near = this.#button("near", () => set({ near: get().slots[index], tab: "gallery" }));
    this.edit = this.#button("edit", () => this.element.dispatchEvent(
      new CustomEvent("edit-slot", { bubbles: true, detail: index })));
    this.clear = this.#button("clear", () => { setSlot(index, null); activate(index); this.head.focus(); });
    this.tools = make("div", { class: "slot-tools" }, this.near, this.edit);
    this.hint = make("p", { class: "soft hint" });
    this.element = make("article", { class: "slot", "data-letter": letter },
      make("div", { class: "slot-top" }, this.head, this.clear), this.hint, this.views, this.tools);
    this.element.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.element.classList.add("over");
    });
    this.element.addEventListener("dragleave", () => this.element.classList.remove("over"));
    this.element.addEventListener("drop", (event) => this.#drop(event));
  }

  #button(name, act) {
    return make("button", { type: "button", class: "button icon", onclick: act }, icon(name));
  }

  #drop(event) {
    event.preventDefault();
    this.element.classList.remove("over");
    const { files } = event.dataTransfer;
    const reference = event.dataTransfer.getData("text/plain");
    if (files.length) take(files, this.index);
    else if (isReference(reference)) pick(reference, this.index);
  }

  /** Puts texts and buttons right; the pictures follow when they come. */
  describe() {
    const reference = get().slots[this.index];
    const letter = LETTERS[this.index];
    const name = reference ? nameOf(reference) : t("empty_name");
    const active = activeSlot() === this.index;
    const pair = get().mode === "pair";
    this.element.hidden = pair && this.index > 1;
    this.element.classList.toggle("filled", Boolean(reference));
    this.element.classList.toggle("active", active);
    this.element.setAttribute("aria-label", `${letter}: ${name}`);
    this.name.textContent = name;
    this.next.textContent = active ? `, ${t("next_here")}` : "";
    this.head.title = active ? `${name}: ${t("next_here")}` : name;
    this.head.setAttribute("aria-pressed", String(active));
    this.hint.textContent = t("slot_hint");
    this.hint.hidden = Boolean(reference);
    this.views.hidden = !reference;
    this.tools.hidden = !reference;
    this.clear.hidden = !reference;
    for (const [button, key] of [[this.near, "nearest"], [this.edit, "edit"], [this.clear, "clear"]]) {
      button.title = t(key);
      button.setAttribute("aria-label", `${t(key)} (${letter})`);
    }
    const sample = reference && "sg".includes(reference[0]);
    this.original.parentElement.hidden = Boolean(sample);
    this.captions.original.textContent = t("original");
    this.captions.drawn.textContent = t(sample ? "drawn_new" : "drawn");
    this.original.setAttribute("aria-label", `${t("original")}: ${name}`);
    this.drawn.setAttribute("aria-label", `${t("drawn")}: ${name}`);
  }

  async #show(kind, canvas, address, gone) {
    if (this.#shown[kind] === address) return;
    this.#shown[kind] = address;
    try {
      await showSheet(this.#requests[kind], address, [canvas], 160);
    } catch (error) {
      this.#shown[kind] = "";
      blank(canvas);
      gone(error);
    }
  }

  update() {
    this.describe();
    const reference = get().slots[this.index];
    if (!reference) {
      this.#shown = { original: "", drawn: "" };
      Object.values(this.#requests).forEach((request) => request.cancel());
      [this.original, this.drawn].forEach(blank);
      return;
    }
    const gone = (error) => {
      if (error.code === "upload_gone" || error.code === "no_such_picture") {
        // A link may outlive what it names: said kindly, and the slot is free again.
        if (get().slots[this.index] === reference) setSlot(this.index, null, { quiet: true });
        this.hint.textContent = explain(error);
      }
      complain(error);
    };
    if (reference[0] === "p") fetchCaptions(Number(bare(reference).slice(1)));
    if (!"sg".includes(reference[0])) {
      const address = url("originals.png", { set: pictures.id, refs: bare(reference) });
      this.#show("original", this.original, address, gone);
    }
    this.#show("drawn", this.drawn, url("pictures.png", { model: model(), refs: reference }), gone);
  }
}

export function startSlots(info, currentModel) {
  model = currentModel;
  pictures = info.pictures;
  for (const index of LETTERS.keys()) cards.push(new Card(index));
  find("slots").append(...cards.map((card) => card.element));
  const describe = () => cards.forEach((card) => card.describe());
  onActive(describe);
  onCaptions(describe);
  onLanguage(describe);
  const update = () => cards.forEach((card) => card.update());
  onReturn(update);
  onState((_, changed) => {
    if (changed.has("slots") || changed.has("mode") || changed.has("model")) update();
  });
  update();
}
