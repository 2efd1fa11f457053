// Sheets of pictures from the server: eight in a row, each drawn where it is wanted.

import { bitmap } from "./api.js";
import { prepare } from "./dom.js";

const COLUMNS = 8;
let width;
let height;

export function startSheets(info) {
  ({ width, height } = info.pictures);
}

/** Draws one picture of a sheet. */
export function drawCell(context, sheet, number, x, y, w, h) {
  context.drawImage(sheet, (number % COLUMNS) * width, Math.floor(number / COLUMNS) * height,
    width, height, x, y, w, h);
}

/** Fetches a sheet and draws its pictures onto canvases, so many CSS pixels wide. */
export async function showSheet(request, address, canvases, wide) {
  const sheet = await request.run((signal) => bitmap(address, { signal }));
  if (!sheet) return;
  const high = wide * height / width;
  canvases.forEach((canvas, i) => {
    drawCell(prepare(canvas, wide, high), sheet, i, 0, 0, wide, high);
    canvas.classList.add("ready");
  });
  sheet.close();
}

/** Leaves nothing of an older picture on a canvas. */
export function blank(canvas) {
  canvas.classList.remove("ready");
  canvas.width = 0;
}
