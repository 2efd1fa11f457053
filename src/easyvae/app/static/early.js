// Runs before the first paint, while the rest is still on its way.
"use strict";

const root = document.documentElement;

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // where nothing may be stored, the system's preferences hold
  }
}

// A page that is to be dark must never flash.
const theme = recall("easyvae-theme");
root.dataset.theme = theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

// The language that was chosen before, or else the browser's.
root.lang = [recall("easyvae-language"), ...navigator.languages]
  .map((tag) => String(tag).slice(0, 2).toLowerCase())
  .find((tag) => tag === "en" || tag === "es") ?? "en";

// Asked for here, what there is and its texts come while the modules are being loaded.
window.easyvaeEarly = {};
for (const address of ["/api/info", `/static/${root.lang}.json`]) {
  window.easyvaeEarly[address] = fetch(address).catch(() => null); // asked again by api.js
}

// Nothing is shown in half: `loading` until all has its place, `stuck` if something never comes.
root.classList.add("loading");
const stick = () => { if (root.classList.contains("loading")) root.classList.add("stuck"); };
setTimeout(stick, 10000);
addEventListener("error", (event) => { if (event.target instanceof HTMLScriptElement) stick(); }, true);
addEventListener("click", (event) => { if (event.target.closest?.("#again")) location.reload(); });
