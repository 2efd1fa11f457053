// What is drawn on the map one by one: thumbnails, and frames with letters.

let colours = {};
addEventListener("themechange", () => { colours = {}; });

/** Returns a colour of the page's style, looked up once for each theme. */
export function colour(name) {
  return colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name);
}

export function paintThumb(context, thumbs, index, left, top, size) {
  const height = size / thumbs.aspect;
  context.save();
  context.beginPath();
  context.roundRect(left - size / 2, top - height / 2, size, height, size / 8);
  context.clip();
  thumbs.draw(context, index, left - size / 2, top - height / 2, size, height);
  context.restore();
}

/** A frame around a place, for a picture to be drawn into. */
export function paintFrame(context, left, top, size, height) {
  context.fillStyle = colour("--card");
  context.strokeStyle = colour("--accent");
  context.lineWidth = 2.5;
  context.beginPath();
  context.roundRect(left - size / 2 - 2, top - height / 2 - 2, size + 4, height + 4, size / 8 + 2);
  context.fill();
  context.stroke();
}

export function paintLetter(context, letter, left, top) {
  context.fillStyle = colour("--accent");
  context.beginPath();
  context.arc(left, top, 9, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = colour("--on-accent");
  context.font = "600 11px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(letter, left, top + 0.5);
}
