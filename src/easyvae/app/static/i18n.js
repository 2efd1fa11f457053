// Spanish and English: the browser's language first, then what was chosen here before.

import { find } from "./dom.js";

const LANGUAGES = ["en", "es"];
const KEY = "easyvae-language";
const listeners = new Set();
const tables = {};
let current = "en";

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function preferred() {
  const wanted = [remembered(), ...(navigator.languages ?? [navigator.language])];
  for (const tag of wanted) {
    const language = String(tag ?? "").slice(0, 2).toLowerCase();
    if (LANGUAGES.includes(language)) return language;
  }
  return "en";
}

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
  tables[language] ??= await (await fetch(`/static/${language}.json`)).json();
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
  root.classList.remove("loading");
  for (const listener of listeners) listener();
}

export async function startLanguage() {
  current = preferred();
  await load(current);
  apply();
  find("language").addEventListener("click", async () => {
    const next = current === "en" ? "es" : "en";
    await load(next);
    current = next;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // It then lasts for this visit.
    }
    apply();
  });
}
