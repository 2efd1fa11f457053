// Spanish and English: the language that was chosen here before, or else the browser's.

import { early } from "./api.js";
import { find, remember, toast } from "./dom.js";

const KEY = "easyvae-language";
const listeners = new Set();
const tables = {};
let current = document.documentElement.lang; // early.js has seen to it

/** Returns a text in the current language, with its {places} filled in. */
export function t(key, values = {}) {
  const text = tables[current]?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export const count = (number) => new Intl.NumberFormat(current).format(number);

export const percent = (share) =>
  new Intl.NumberFormat(current, { style: "percent", maximumFractionDigits: 0 }).format(share);

export const decimal = (number, digits = 1) => new Intl.NumberFormat(current, {
  minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "exceptZero",
}).format(number);

export const onLanguage = (listener) => { listeners.add(listener); };

async function load(language) {
  tables[language] ??= await early(`/static/${language}.json`);
}

function apply() {
  const root = document.documentElement;
  root.lang = current;
  for (const element of document.querySelectorAll("[data-i18n]")) {
    element.textContent = t(element.dataset.i18n);
  }
  for (const element of document.querySelectorAll("[data-i18n-label]")) {
    const label = t(element.dataset.i18nLabel);
    element.setAttribute("aria-label", label);
    if (element.tagName === "BUTTON") element.title = label;
  }
  const other = current === "en" ? "es" : "en";
  const button = find("language");
  button.lang = other;
  button.textContent = { en: "English", es: "Español" }[other];
  for (const listener of listeners) listener();
}

async function change(next) {
  try {
    await load(next);
  } catch (error) {
    if (error.code !== "offline") toast(t("error_failed"));
    return;
  }
  current = next;
  remember(KEY, next);
  apply();
}

export async function startLanguage() {
  await load(current);
  apply();
  find("language").addEventListener("click", () => change(current === "en" ? "es" : "en"));
}
