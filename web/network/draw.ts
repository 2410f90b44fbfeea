/**
 * Draws the network and the plane: orange where a neuron is low, blue where it is high.
 *
 * @module
 */
import { fitCanvas } from "../shared/chart.ts";
import { cssColor, rgbOf } from "../shared/colors.ts";
import type { Points } from "./data.ts";
import { type NetworkView, side } from "./view.ts";

/** The colours of a drawing. */
export interface Palette {
  /** For what is low, or kind 0. */
  readonly low: readonly [number, number, number];
  /** For what is high, or kind 1. */
  readonly high: readonly [number, number, number];
  /** Between them. */
  readonly middle: readonly [number, number, number];
  /** Lines and words. */
  readonly ink: string;
  /** Around points. */
  readonly paper: string;
}

/** The colours of the page now. */
export function palette(): Palette {
  return {
    low: rgbOf(cssColor("--c1")),
    high: rgbOf(cssColor("--c2")),
    middle: rgbOf(cssColor("--surface")),
    ink: cssColor("--ink"),
    paper: cssColor("--surface"),
  };
}

/** Small pictures of neurons, one canvas for all. */
const small = document.createElement("canvas");
small.width = small.height = side;
const smallPen = small.getContext("2d", { willReadFrequently: true })!;
const image = smallPen.createImageData(side, side);

/** Paints neuron `index` of `neurons` into the small canvas; values from -1 to 1, 0 is the middle colour. */
function paintMap(
  map: Float32Array,
  index: number,
  neurons: number,
  scale: (value: number) => number,
  colors: Palette,
): void {
  const { data } = image;
  for (let k = 0; k < side * side; k++) {
    const value = Math.min(Math.max(scale(map[k * neurons + index]), -1), 1), t = Math.abs(value) * 0.85;
    const end = value < 0 ? colors.low : colors.high;
    for (let c = 0; c < 3; c++) data[4 * k + c] = colors.middle[c] * (1 - t) + end[c] * t;
    data[4 * k + 3] = 255;
  }
  smallPen.putImageData(image, 0, 0);
}

/** Where neuron `index` of a layer is drawn. */
function placeOf(
  layer: number,
  layers: number,
  index: number,
  count: number,
  width: number,
  height: number,
): [number, number] {
  const x = 34 + (width - 68) * layer / (layers - 1), gap = Math.min(52, (height - 20) / count);
  return [x, height / 2 + (index - (count - 1) / 2) * gap];
}

/** Draws all layers. */
export function drawNetwork(canvas: HTMLCanvasElement, view: NetworkView, colors: Palette): void {
  const { width, height, scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
  const counts = [2, ...view.biases.map(({ length }) => length)], layers = counts.length;
  const size = Math.min(38, (height - 20) / Math.max(...counts) - 6);
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  for (const [l, weights] of view.weights.entries()) {
    for (let o = 0; o < counts[l + 1]; o++) {
      for (let i = 0; i < counts[l]; i++) {
        const weight = weights[o * counts[l] + i], [r, g, b] = weight < 0 ? colors.low : colors.high;
        const [x0, y0] = placeOf(l, layers, i, counts[l], width, height);
        const [x1, y1] = placeOf(l + 1, layers, o, counts[l + 1], width, height);
        pen.strokeStyle = `rgb(${r} ${g} ${b} / ${Math.min(0.15 + Math.abs(weight) / 4, 0.85)})`;
        pen.lineWidth = Math.min(0.6 + Math.abs(weight) * 1.1, 5);
        pen.beginPath();
        pen.moveTo(x0, y0);
        pen.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
        pen.stroke();
      }
    }
  }
  for (let l = 0; l < layers; l++) {
    for (let i = 0; i < counts[l]; i++) {
      const [x, y] = placeOf(l, layers, i, counts[l], width, height);
      if (l === 0) paintInput(i, colors);
      else if (l === layers - 1) paintMap(view.maps[l - 1], i, counts[l], (p) => 2 * p - 1, colors);
      else paintMap(view.maps[l - 1], i, counts[l], (v) => v, colors);
      pen.fillStyle = colors.paper;
      pen.fillRect(x - size / 2 - 2, y - size / 2 - 2, size + 4, size + 4);
      pen.drawImage(small, x - size / 2, y - size / 2, size, size);
      pen.strokeStyle = colors.ink;
      pen.lineWidth = 1;
      pen.strokeRect(x - size / 2, y - size / 2, size, size);
    }
  }
}

const inputs = new Float32Array(2 * side * side);
for (let j = 0, k = 0; j < side; j++) {
  for (let i = 0; i < side; i++) {
    inputs[k++] = 2 * i / (side - 1) - 1;
    inputs[k++] = 1 - 2 * j / (side - 1);
  }
}

function paintInput(index: number, colors: Palette): void {
  paintMap(inputs, index, 2, (value) => value, colors);
}

/** From -1.1 … 1.1 to pixels. */
const pixel = (value: number, size: number): number => size * (value + 1.1) / 2.2;

/** Draws the chances over the plane, the border between the kinds, the points, and the mark of the keyboard. */
export function drawPlane(
  canvas: HTMLCanvasElement,
  view: NetworkView | null,
  { places, kinds }: Points,
  colors: Palette,
  mark: readonly [number, number] | null,
): void {
  const { width, height, scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (view !== null) {
    paintMap(view.maps[view.maps.length - 1], 0, 1, (p) => 1.3 * p - 0.65, colors);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, width, height);
    drawBorder(pen, view.maps[view.maps.length - 1], width, height, colors.ink);
  }
  pen.lineWidth = 1.25;
  pen.strokeStyle = colors.paper;
  for (let i = 0; i < kinds.length; i++) {
    const [r, g, b] = kinds[i] < 0.5 ? colors.low : colors.high;
    pen.fillStyle = `rgb(${r} ${g} ${b})`;
    pen.beginPath();
    // Two shapes, so that the kinds differ without colour too.
    const x = pixel(places[2 * i], width), y = height - pixel(places[2 * i + 1], height);
    if (kinds[i] < 0.5) pen.arc(x, y, 4.2, 0, 7);
    else pen.rect(x - 3.8, y - 3.8, 7.6, 7.6);
    pen.fill();
    pen.stroke();
  }
  if (mark === null) return;
  const x = pixel(mark[0], width), y = height - pixel(mark[1], height);
  pen.strokeStyle = colors.ink;
  pen.lineWidth = 2;
  pen.strokeRect(x - 8, y - 8, 16, 16);
}

/** The line along which both kinds are equally likely. */
function drawBorder(
  pen: CanvasRenderingContext2D,
  map: Float32Array,
  width: number,
  height: number,
  ink: string,
): void {
  const sx = width / side, sy = height / side;
  pen.strokeStyle = ink;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (let j = 0; j < side - 1; j++) {
    for (let i = 0; i < side - 1; i++) {
      const k = j * side + i, corner = [map[k], map[k + 1], map[k + side + 1], map[k + side]];
      let down = false;
      for (let e = 0; e < 4; e++) {
        const a = corner[e], b = corner[(e + 1) % 4];
        if ((a > 0.5) === (b > 0.5)) continue;
        const t = (0.5 - a) / (b - a);
        const x = i + 0.5 + [t, 1, 1 - t, 0][e], y = j + 0.5 + [0, t, 1, 1 - t][e];
        if (down) pen.lineTo(x * sx, y * sy);
        else pen.moveTo(x * sx, y * sy);
        down = !down;
      }
    }
  }
  pen.stroke();
}
