// What pictures are called: for captions, hints and screen readers.

import { bare } from "./state.js";
import { count, t } from "./i18n.js";
import { json, url } from "./api.js";

let info = null;
const captions = new Map(); // sheet -> names
const listeners = new Set();

/** Calls back whenever more file names are known. */
export const onCaptions = (listener) => { listeners.add(listener); };

export function startNames(found) {
  info = found;
}

/** Fetches the file names of a sheet's pictures, if the set has any. */
export async function fetchCaptions(index) {
  if (!info.pictures.named) return;
  const sheet = Math.floor(index / info.sheets.pictures);
  if (captions.has(sheet)) return;
  captions.set(sheet, []);
  try {
    captions.set(sheet, await json(url(`sheets/${sheet}.json`, { set: info.pictures.id })));
    for (const listener of listeners) listener();
  } catch {
    captions.delete(sheet);
  }
}

export function numberName(index) {
  const key = info.pictures.kittens ? "kitten_number" : "picture_number";
  const name = t(key, { n: count(index + 1) });
  const file = captions.get(Math.floor(index / info.sheets.pictures))?.[index % info.sheets.pictures];
  return file ? `${name}, ${file}` : name;
}

/** Returns the name of any picture. */
export function nameOf(reference) {
  const base = bare(reference);
  let name;
  if (base[0] === "p") name = numberName(Number(base.slice(1)));
  else if (base[0] === "u") name = t("own_picture");
  else name = t(info.pictures.kittens ? "new_kitten" : "new_picture", { n: base.slice(1).split("t")[0] });
  return reference === base ? name : t("edited", { name });
}
