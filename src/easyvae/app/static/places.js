// Where the map's pictures are on the screen: one scale for both axes, a centre, and its bounds.

import { clamp } from "./dom.js";

const EDGE = 22; // CSS pixels kept free around what is shown at first: half a thumbnail and more

export class View {
  width = 1;
  height = 1;
  scale = 1; // CSS pixels per standard deviation
  x = 0; // what is in the middle
  y = 0;
  fit = 1;

  resize(width, height) {
    const ratio = this.scale / this.fit;
    this.width = width;
    this.height = height;
    this.fit = this.#fitting();
    this.scale = this.fit * ratio;
  }

  #fitting() {
    const sides = [this.width, this.height].map((side) => Math.max(1, side - 2 * EDGE));
    return Math.min(sides[0] / this.spans[0], sides[1] / this.spans[1]);
  }

  /** Takes in the places, and shows nearly all of them: a few far out must not shrink the rest. */
  frame(places) {
    const bounds = [0, 1].map((axis) => {
      const values = places.filter((_, i) => i % 2 === axis).sort();
      const last = values.length - 1;
      const low = values[Math.round(0.003 * last)] ?? -1;
      const high = values[Math.round(0.997 * last)] ?? 1;
      const reach = 0.3 * (high - low);
      return [Math.max(values[0] ?? -1, low - reach), Math.min(values[last] ?? 1, high + reach)];
    });
    this.spans = bounds.map(([low, high]) => Math.max(0.5, high - low));
    this.home = bounds.map(([low, high]) => (low + high) / 2);
    this.reset();
  }

  spans = [6, 6];
  home = [0, 0];

  reset() {
    this.fit = this.#fitting();
    this.scale = this.fit;
    [this.x, this.y] = this.home;
  }

  toScreen(x, y) {
    return [
      this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale,
    ];
  }

  /** Zooms about a point on the screen, which stays where it is. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const next = clamp(this.scale * factor, this.fit * 0.6, this.fit * 60);
    const dx = left - this.width / 2;
    const dy = this.height / 2 - top;
    this.x += dx / this.scale - dx / next;
    this.y += dy / this.scale - dy / next;
    this.scale = next;
    this.bound();
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.bound();
  }

  bound() {
    const [x, y] = this.home;
    this.x = clamp(this.x, x - this.spans[0], x + this.spans[0]);
    this.y = clamp(this.y, y - this.spans[1], y + this.spans[1]);
  }
}
