// Runs before the first paint, so that a page chosen to be dark never flashes.
"use strict";
try {
  const chosen = localStorage.getItem("easyvae-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Where nothing may be stored, the system's preference holds.
}
