/**
 * A line chart on a canvas, for numbers that come all the time: drawn from arrays the caller keeps, allocating nothing
 * for a point.
 *
 * @module
 */
import { cssColor } from "./colors.ts";

/** One line: its points are `x[i], y[i]` for i below `length`. */
export interface ChartLine {
  /** A CSS colour. */
  color: string;
  /** Positions, rising. */
  x: Float64Array;
  /** Values; a gap where one is not finite. */
  y: Float64Array;
  /** How many points there are. */
  length: number;
}

/** Makes the canvas as fine as the screen; its size in CSS pixels. */
export function fitCanvas(canvas: HTMLCanvasElement): { width: number; height: number; scale: number } {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = Math.min(devicePixelRatio || 1, 2);
  const w = Math.round(width * scale), h = Math.round(height * scale);
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  return { width, height, scale };
}

/** A short form of a number. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "-∞";
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1).replace("+", "") : String(+value.toPrecision(3));
}

/** Where a logarithmic height begins that has values below 0 too: nearer to 0 it is even. */
const even = 0.01;

/** Draws `lines`; `log` makes the height a power of ten, on both sides of 0 where there are values below it. */
export function drawChart(canvas: HTMLCanvasElement, lines: readonly ChartLine[], log = false): void {
  const { width, height, scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
  if (width === 0) return;
  const signed = log && lines.some(({ y, length }) => y.subarray(0, length).some((value) => value < 0));
  const rise = (y: number): number =>
    signed ? Math.sign(y) * Math.log10(1 + Math.abs(y) / even) : log ? Math.log10(Math.max(y, 1e-12)) : y;
  const back = (value: number): number =>
    signed ? Math.sign(value) * even * (10 ** Math.abs(value) - 1) : log ? 10 ** value : value;
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
  for (const { x, y, length } of lines) {
    for (let i = 0; i < length; i++) {
      const value = rise(y[i]);
      if (!Number.isFinite(value)) continue;
      if (value < y0) y0 = value;
      if (value > y1) y1 = value;
      if (x[i] < x0) x0 = x[i];
      if (x[i] > x1) x1 = x[i];
    }
  }
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px ui-monospace, monospace";
  pen.fillStyle = cssColor("--muted");
  pen.textAlign = "left"; // a canvas remembers what the last drawing left
  if (!(x1 >= x0)) {
    pen.fillText("nothing yet", 8, 18);
    return;
  }
  if (y1 - y0 < 1e-9) {
    y0 -= 0.5;
    y1 += 0.5;
  }
  const heights = [0, 1, 2, 3].map((k) => y0 + (y1 - y0) * k / 3);
  const labels = heights.map((value) => short(+back(value).toPrecision(3)));
  const left = Math.max(46, ...labels.map((label) => pen.measureText(label).width + 9)),
    bottom = height - 18,
    top = 8,
    right = width - 8;
  const px = (x: number): number => left + (right - left) * (x - x0) / (x1 - x0 || 1);
  const py = (y: number): number => bottom - (bottom - top) * (y - y0) / (y1 - y0);
  pen.strokeStyle = cssColor("--line");
  pen.lineWidth = 1;
  for (const [k, value] of heights.entries()) {
    const y = py(value);
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
    pen.textAlign = "right";
    pen.fillText(labels[k], left - 5, y + 4);
  }
  pen.textAlign = "left";
  pen.fillText(short(x0), left, height - 4);
  pen.textAlign = "right";
  pen.fillText(short(x1), right, height - 4);
  pen.lineWidth = 1.75;
  pen.lineJoin = "round";
  for (const { color, x, y, length } of lines) {
    pen.strokeStyle = color;
    pen.beginPath();
    let open = false;
    for (let i = 0; i < length; i++) {
      const value = rise(y[i]);
      if (Number.isFinite(value)) open ? pen.lineTo(px(x[i]), py(value)) : pen.moveTo(px(x[i]), py(value));
      open = Number.isFinite(value);
    }
    pen.stroke();
  }
}
