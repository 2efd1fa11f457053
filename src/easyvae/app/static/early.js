// Runs before the first paint, while the rest is still on its way.
"use strict";

// Asked for here, what there is comes while the modules are being loaded.
window.easyvaeInfo = fetch("/api/info");
window.easyvaeInfo.catch(() => {}); // main.js asks again, and says so if there is no answer

// A page chosen to be dark must never flash.
try {
  const chosen = localStorage.getItem("easyvae-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Where nothing may be stored, the system's preference holds.
}
