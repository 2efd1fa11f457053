// What went wrong, said kindly and in the reader's language.

import { toast } from "./dom.js";
import { t } from "./i18n.js";

const KNOWN = new Set([
  "upload_gone", "too_large", "too_many_pixels", "not_a_picture", "empty", "too_slow", "busy",
  "no_such_picture", "offline", "no_latents", "no_mixture", "no_such_model",
  "no_such_set",
]);

export function explain(error) {
  return t(`error_${KNOWN.has(error.code) ? error.code : "failed"}`);
}

export function complain(error) {
  if (error.name === "AbortError" || error.code === "offline") return; // of the latter, a line tells
  if (!error.code) throw error; // ours to mend, not the reader's to know
  toast(explain(error));
}
