// Thumbnails of the set: whole sheets where many of one are wanted, chosen ones where they are not.

import { bitmap, url } from "./api.js";

const SHEETS = 16; // bitmaps of 4 MB
const BATCHES = 32; // of at most 1 MB
const MANY = 12; // thumbnails wanted of a sheet that make it worth fetching whole

export class Thumbs extends EventTarget {
  #info;
  #set;
  #sheets = new Map(); // number -> bitmap, least recently used first
  #batches = []; // { at: Map of index -> place, image }
  #pending = new Set(); // of keys
  #waiting = new Set(); // indices in batches under way

  constructor(info) {
    super();
    this.#info = info.sheets;
    this.#set = info.pictures.id;
    this.count = info.pictures.count;
    this.aspect = info.sheets.width / info.sheets.height;
  }

  /** Returns where to draw a thumbnail from, or nothing if it is not here yet. */
  source(index) {
    const { pictures } = this.#info;
    const number = Math.floor(index / pictures);
    const sheet = this.#sheets.get(number);
    if (sheet) {
      this.#sheets.delete(number);
      this.#sheets.set(number, sheet);
      return this.#place(sheet, index % pictures);
    }
    for (const { at, image } of this.#batches) {
      if (at.has(index)) return this.#place(image, at.get(index));
    }
    return null;
  }

  #place(image, position) {
    const { columns, width, height } = this.#info;
    return {
      image, width, height,
      x: (position % columns) * width, y: Math.floor(position / columns) * height,
    };
  }

  /** Draws a thumbnail if it is here; tells whether it was. */
  draw(context, index, x, y, width, height) {
    const from = this.source(index);
    if (!from) return false;
    context.drawImage(from.image, from.x, from.y, from.width, from.height, x, y, width, height);
    return true;
  }

  /** Fetches those of some thumbnails that are not here; a "load" event follows. */
  ensure(indices) {
    const missing = indices.filter((i) => !this.#waiting.has(i) && !this.source(i));
    const bySheet = new Map();
    for (const index of missing) {
      const sheet = Math.floor(index / this.#info.pictures);
      bySheet.set(sheet, [...(bySheet.get(sheet) ?? []), index]);
    }
    const scattered = [];
    for (const [sheet, wanted] of bySheet) {
      if (wanted.length >= MANY || this.#info.count === 1) this.#fetchSheet(sheet);
      else if (!this.#pending.has(sheet)) scattered.push(...wanted);
    }
    for (let i = 0; i < scattered.length; i += 128) this.#fetchBatch(scattered.slice(i, i + 128));
  }

  async #fetchSheet(number) {
    if (this.#pending.has(number) || this.#sheets.has(number)) return;
    this.#pending.add(number);
    try {
      const image = await bitmap(url(`sheets/${number}.jpg`, { set: this.#set }));
      this.#sheets.set(number, image);
      if (this.#sheets.size > SHEETS) {
        const [oldest, old] = this.#sheets.entries().next().value;
        old.close();
        this.#sheets.delete(oldest);
      }
      this.dispatchEvent(new Event("load"));
    } catch {
      // Asked for again when it is next in view.
    } finally {
      this.#pending.delete(number);
    }
  }

  async #fetchBatch(indices) {
    indices.forEach((index) => this.#waiting.add(index));
    try {
      const refs = indices.map((index) => `p${index}`).join(",");
      const image = await bitmap(url("thumbnails.jpg", { set: this.#set, refs }));
      this.#batches.unshift({ at: new Map(indices.map((index, i) => [index, i])), image });
      if (this.#batches.length > BATCHES) this.#batches.pop().image.close();
      this.dispatchEvent(new Event("load"));
    } catch {
      // Likewise.
    } finally {
      indices.forEach((index) => this.#waiting.delete(index));
    }
  }
}
