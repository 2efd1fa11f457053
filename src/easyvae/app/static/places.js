// Where the map's pictures are on the screen: one scale for both axes, a centre, and its bounds.

import { clamp } from "./dom.js";

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
    this.fit = Math.min(width, height) / this.span;
    this.scale = this.fit * ratio;
  }

  /** Takes in the places, and shows nearly all of them: a few far out must not shrink the rest. */
  frame(places) {
    const bounds = [0, 1].map((axis) => {
      const values = places.filter((_, i) => i % 2 === axis).sort();
      const low = values[Math.floor(0.003 * values.length)] ?? -1;
      const high = values[Math.ceil(0.997 * values.length) - 1] ?? 1;
      return [low, high];
    });
    this.span = 1.16 * Math.max(0.5, ...bounds.map(([low, high]) => high - low));
    this.home = bounds.map(([low, high]) => (low + high) / 2);
    this.reset();
  }

  span = 6;
  home = [0, 0];

  reset() {
    this.fit = Math.min(this.width, this.height) / this.span;
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
    this.x = clamp(this.x, this.home[0] - this.span, this.home[0] + this.span);
    this.y = clamp(this.y, this.home[1] - this.span, this.home[1] + this.span);
  }
}
