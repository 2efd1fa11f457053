// The map's pictures: points in their own colours, thumbnails where there is room. They are drawn
// once for each view, on a canvas of their own, for what moves above them to be drawn on.

import { prepare } from "./dom.js";
import { paintThumb } from "./marks.js";

const THUMB = 30; // CSS pixels of a thumbnail when all is in view
const GREY = "rgb(128 120 110)"; // until the colours are here

export class Layer {
  places = null; // Float32Array of x and y
  colours = null;
  #canvas = document.createElement("canvas");
  #fills = []; // of 4,096 colours, made when they are needed
  #seen = null; // what is in view, until the view changes
  #drawn = false;
  #thumbs;
  #view;

  constructor(thumbs, view) {
    this.#thumbs = thumbs;
    this.#view = view;
  }

  /** Takes note that the view, or what there is to see, has changed. */
  change() {
    this.#seen = null;
    this.#drawn = false;
  }

  /** Returns where a picture is, in standard deviations. */
  at(index) {
    return [this.places[2 * index], this.places[2 * index + 1]];
  }

  paint(context) {
    if (!this.#drawn) this.#draw();
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0); // pixel by pixel
    context.drawImage(this.#canvas, 0, 0);
    context.restore();
  }

  /** Returns the picture under a point of the screen, or -1: thumbnails first, being on top. */
  hit(left, top, reach = 12) {
    if (!this.places) return -1;
    const { points, chosen } = this.#look();
    const half = this.#thumbSize() / 2;
    for (const [index, x, y] of [...chosen].reverse()) {
      if (Math.abs(left - x) <= half && Math.abs(top - y) <= half / this.#thumbs.aspect) return index;
    }
    let best = -1;
    let least = reach * reach;
    for (const [index, x, y] of points) {
      const distance = (left - x) ** 2 + (top - y) ** 2;
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  #draw() {
    const { width, height } = this.#view;
    const context = prepare(this.#canvas, width, height);
    context.clearRect(0, 0, width, height);
    this.#drawn = true;
    if (!this.places) return;
    const { points, chosen } = this.#look();
    const radius = Math.min(5, 1.7 + 0.5 * Math.log2(1 + this.#view.scale / this.#view.fit));
    for (const [index, left, top] of points) {
      context.fillStyle = this.#fill(index);
      context.fillRect(left - radius, top - radius, 2 * radius, 2 * radius);
    }
    this.#thumbs.ensure(chosen.map(([index]) => index));
    const size = this.#thumbSize();
    for (const [index, left, top] of chosen) {
      paintThumb(context, this.#thumbs, index, left, top, size);
    }
  }

  #fill(index) {
    if (!this.colours) return GREY;
    const [r, g, b] = [0, 1, 2].map((k) => this.colours[3 * index + k] >> 4);
    return this.#fills[(r << 8) | (g << 4) | b] ??= `rgb(${r * 17} ${g * 17} ${b * 17})`;
  }

  /** How large thumbnails are: they grow as one comes nearer. */
  #thumbSize() {
    return Math.min(64, THUMB * (this.#view.scale / this.#view.fit) ** 0.3);
  }

  /** The pictures in view with their places on the screen, and those shown as thumbnails. */
  #look() {
    if (this.#seen) return this.#seen;
    const { width, height } = this.#view;
    const points = [];
    for (let i = 0; i < this.places.length / 2; i += 1) {
      const [left, top] = this.#view.toScreen(...this.at(i));
      if (left > -THUMB && left < width + THUMB && top > -THUMB && top < height + THUMB) {
        points.push([i, left, top]);
      }
    }
    this.#seen = { points, chosen: this.#choose(points) };
    return this.#seen;
  }

  /**
   * Chooses pictures that do not hide one another. They stand for a square of the map each, and the
   * squares halve with the zoom, so that panning changes nothing and zooming only adds.
   */
  #choose(points) {
    const square = 2 ** Math.ceil(Math.log2((1.15 * this.#thumbSize()) / this.#view.scale));
    const taken = new Map();
    for (const point of points) {
      const [x, y] = this.at(point[0]);
      const key = `${Math.floor(x / square)},${Math.floor(y / square)}`;
      if (!taken.has(key)) taken.set(key, point);
    }
    return [...taken.values()];
  }
}
