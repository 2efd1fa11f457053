// Starts the page: what there is, the language, and then each part.

import { early, json, url } from "./api.js";
import { startConnection } from "./connection.js";
import { refreshEdit, startEdit } from "./edit.js";
import { choices, find, make, recall, remember, rove, toast } from "./dom.js";
import { startGallery } from "./gallery.js";
import { count, onLanguage, startLanguage, t } from "./i18n.js";
import { loadMap, showProgress, startMap } from "./map.js";
import { startNames } from "./names.js";
import { pickRandom, startPicking } from "./picking.js";
import { startSamples } from "./samples.js";
import { startSheets } from "./sheet.js";
import { startSlots } from "./slots.js";
import { startStage } from "./stage.js";
import { address, get, limitSteps, onState, set, startState } from "./state.js";
import { Thumbs } from "./thumbs.js";
import { startUploads } from "./uploads.js";
import { startWheel } from "./wheel.js";

const TABS = ["gallery", "new", "own"];
let info;

/** The model that is chosen, or the first if a link names one that is not here. */
function current() {
  return info.models.find((model) => model.name === get().model) ?? info.models[0];
}

const modelId = () => current().id;

function showHead() {
  const { kittens, title, count: n } = info.pictures;
  const heading = t(kittens ? "title_kittens" : "title");
  document.title = heading;
  find("title").textContent = heading;
  find("set").textContent = kittens
    ? t("set_kittens", { n: count(n) }) : t("set", { n: count(n), title });
  find("models").hidden = info.models.length < 2;
  find("model").replaceChildren(...info.models.map((model) => make("option", {
    value: model.name, text: model.name, selected: model === current(),
  })));
}

function showTabs() {
  for (const name of TABS) {
    const chosen = get().tab === name;
    const tab = find(`tab-${name}`);
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    find(`panel-${name}`).hidden = !chosen;
  }
}

function showMode() {
  choices(find("mode"), [
    { value: "pair", label: t("two") }, { value: "several", label: t("several") },
  ], get().mode, (mode) => set({ mode }));
  choices(find("method"), [
    { value: "lerp", label: t("straight"), title: t("lerp_note") },
    { value: "slerp", label: t("arc"), title: t("slerp_note") },
  ], get().method, (method) => set({ method }));
}

function startTabs() {
  const tabs = TABS.map((name) => find(`tab-${name}`));
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => set({ tab: TABS[i] }, { quiet: true }));
    tab.addEventListener("keydown", (event) => rove(event, tabs, (next) => next.click()));
  });
}

/** The system's colours, which early.js has set, until others are chosen here. */
function startTheme() {
  const KEY = "easyvae-theme";
  const { dataset } = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = (dark) => {
    dataset.theme = dark ? "dark" : "light";
    find("theme").setAttribute("aria-pressed", String(dark));
    dispatchEvent(new Event("themechange"));
  };
  find("theme").addEventListener("click", () => {
    show(dataset.theme !== "dark");
    remember(KEY, dataset.theme);
  });
  system.addEventListener("change", () => { if (!recall(KEY)) show(system.matches); });
  show(dataset.theme === "dark");
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(address());
    toast(t("link_copied"));
  } catch {
    // Without https or permission there is no clipboard; the address bar has the same link.
    toast(t("link_above"));
  }
}

/** Whether a model's latents are there, or will never be. */
const settled = (model) => model.ready || Boolean(model.failed);

/** Asks how far the models' latents are until there is nothing to wait for. */
async function follow() {
  while (!info.models.every(settled)) {
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    try {
      const before = settled(current());
      info.models = (await json(url("info"))).models;
      showProgress();
      if (!before && settled(current())) {
        loadMap();
        refreshEdit();
      }
    } catch {
      // The server may be busy, or gone; a later try will tell.
    }
  }
}

async function start() {
  startState();
  await startLanguage();
  info = await early("/api/info");
  startConnection();
  limitSteps(info.limits.frames);
  startNames(info);
  startSheets(info);
  const thumbs = new Thumbs(info);
  startTheme();
  startTabs();
  startPicking();
  const shown = () => { showHead(); showTabs(); showMode(); };
  onLanguage(shown);
  onState((_, changed) => {
    if (changed.has("model")) showHead();
    if (changed.has("tab")) showTabs();
    if (changed.has("mode") || changed.has("method")) showMode();
  });
  shown();
  startGallery(thumbs, modelId);
  startStage(info, modelId); // before the slots: the mix is asked for first
  startSlots(info, modelId);
  startWheel(modelId);
  startMap(thumbs, info, current);
  startEdit(modelId, () => current().directions, () => current().failed);
  startSamples(modelId);
  startUploads(info, modelId);
  find("random").addEventListener("click", () => pickRandom(info.pictures.count));
  find("link").addEventListener("click", copyLink);
  find("model").addEventListener("change", (event) => set({ model: event.target.value }));
  for (const button of document.querySelectorAll("[data-jump]")) {
    button.addEventListener("click", () => {
      const part = find(button.dataset.jump);
      part.scrollIntoView({ block: "start" });
      part.focus({ preventScroll: true });
    });
  }
  document.documentElement.classList.remove("loading", "stuck"); // all has its place now
  follow();
}

start().catch((error) => {
  document.documentElement.classList.add("stuck");
  if (!error.code) throw error;
});
