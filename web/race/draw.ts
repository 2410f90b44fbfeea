/**
 * Pictures of a race: the surface as a heat map with contours, paths on it, and losses over time.
 *
 * @module
 */
import type { Landscape } from "../../src/landscape/mod.ts";
import { type Race, remembered } from "./race.ts";

/** How many contours a surface has. */
const levels = 18;

/** From deep blue at the bottom to sand on the heights, even in lightness. */
function colour(t: number, out: Uint8ClampedArray, at: number): void {
  out[at] = 22 + 205 * t ** 1.15;
  out[at + 1] = 38 + 165 * t ** 0.9;
  out[at + 2] = 78 + 70 * Math.sin(2.2 * t + 0.25);
  out[at + 3] = 255;
}

/** The surface's picture, on a logarithmic scale above its lowest point. */
export function drawSurface(surface: Landscape, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d")!, image = context.createImageData(width, height);
  const [x0, x1, y0, y1] = surface.domain, values = new Float64Array(width * height);
  let least = Infinity, most = -Infinity;
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const value = surface.value(x0 + (x1 - x0) * i / (width - 1), y1 + (y0 - y1) * j / (height - 1));
      values[j * width + i] = value;
      if (value < least) least = value;
      if (value > most && value < Infinity) most = value;
    }
  }
  const unit = (most - least) / 1000 || 1, top = Math.log1p((most - least) / unit);
  const place = (at: number): number => {
    const t = Math.log1p((values[at] - least) / unit) / top;
    return t >= 0 ? Math.min(1, t) : 1;
  };
  for (let at = 0; at < values.length; at++) {
    const t = place(at), band = Math.floor(levels * t);
    colour(t, image.data, 4 * at);
    const right = at % width < width - 1 ? place(at + 1) : t,
      below = at + width < values.length ? place(at + width) : t;
    if (Math.floor(levels * right) !== band || Math.floor(levels * below) !== band) {
      for (let c = 0; c < 3; c++) image.data[4 * at + c] *= 0.72;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The map: surface, paths up to `moment`, points. */
export function drawMap(
  canvas: HTMLCanvasElement,
  background: HTMLCanvasElement,
  race: Race,
  moment: number,
): void {
  const context = canvas.getContext("2d")!,
    { width, height } = canvas,
    [x0, x1, y0, y1] = race.surface.domain;
  context.drawImage(background, 0, 0, width, height);
  const px = (x: number): number => (x - x0) / (x1 - x0) * width,
    py = (y: number): number => (y1 - y) / (y1 - y0) * height;
  for (const [x, y] of race.surface.minima) {
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(px(x) - 7, py(y));
    context.lineTo(px(x) + 7, py(y));
    context.moveTo(px(x), py(y) - 7);
    context.lineTo(px(x), py(y) + 7);
    context.stroke();
  }
  const first = Math.max(0, race.moments - remembered);
  for (const { on, color, trail } of race.racers) {
    if (!on) continue;
    context.strokeStyle = color;
    context.lineWidth = 2.5;
    context.beginPath();
    for (let k = first; k <= moment; k++) {
      const at = 3 * (k % remembered), x = px(trail[at]), y = py(trail[at + 1]);
      if (k === first) context.moveTo(x, y);
      else context.lineTo(x, y);
    }
    context.stroke();
    const at = 3 * (moment % remembered);
    context.fillStyle = color;
    context.strokeStyle = "#10131a";
    context.lineWidth = 2;
    context.beginPath();
    context.arc(px(trail[at]), py(trail[at + 1]), 7, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

/** Losses above the lowest seen, on a logarithmic scale. */
export function drawChart(canvas: HTMLCanvasElement, race: Race, moment: number, ink: string): void {
  const context = canvas.getContext("2d")!, { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  const first = Math.max(0, race.moments - remembered), count = Math.max(1, moment - first);
  let least = Infinity, most = -Infinity;
  for (const { on, trail } of race.racers) {
    if (!on) continue;
    for (let k = first; k <= moment; k++) {
      const value = trail[3 * (k % remembered) + 2];
      if (value < least) least = value;
      if (value > most && value < Infinity) most = value;
    }
  }
  const unit = (most - least) / 1e4 || 1, top = Math.log1p((most - least) / unit) || 1;
  context.font = "20px ui-monospace, monospace";
  context.fillStyle = ink;
  context.fillText(most.toPrecision(3), 6, 22);
  context.fillText(least.toPrecision(3), 6, height - 8);
  for (const { on, color, trail } of race.racers) {
    if (!on) continue;
    context.strokeStyle = color;
    context.lineWidth = 2.5;
    context.beginPath();
    for (let k = first; k <= moment; k++) {
      const x = (k - first) / count * width;
      const y = height - 4 -
        (height - 8) * Math.log1p((trail[3 * (k % remembered) + 2] - least) / unit) / top;
      if (k === first) context.moveTo(x, y);
      else context.lineTo(x, y);
    }
    context.stroke();
  }
}
