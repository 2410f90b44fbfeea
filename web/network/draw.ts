/**
 * Draws the network and the plane: orange where a neuron is low, blue where it is high.
 *
 * @module
 */
import { fitCanvas } from "../shared/chart.ts";
import { cssColor, rgbOf } from "../shared/colors.ts";
import type { Points } from "./data.ts";
import { type FeatureName, featureRows, features } from "./features.ts";
import { ends, placeOf, type Room, sizeIn, type Spot, type WeightPlace } from "./geometry.ts";
import { gridPlaces, type NetworkView, side } from "./view.ts";

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

const inputMaps = new Map<FeatureName, Float32Array>();

/** A small picture of the input `name` over the plane. */
function paintInput(name: FeatureName, colors: Palette): void {
  let map = inputMaps.get(name);
  if (map === undefined) inputMaps.set(name, map = featureRows(gridPlaces(), [name]));
  paintMap(map, 0, 1, (value) => value, colors);
}

/** Paints what neuron `spot` makes of the plane into the small canvas. */
function paintNeuron(view: NetworkView, names: readonly FeatureName[], spot: Spot, colors: Palette): void {
  const { layer, index } = spot;
  if (layer === 0) return paintInput(names[index], colors);
  const neurons = view.biases[layer - 1].length, last = layer === view.maps.length;
  paintMap(view.maps[layer - 1], index, neurons, last ? (p) => 2 * p - 1 : (v) => v, colors);
}

/** How the colours are mixed for a weight. */
export function inkOf(value: number, strength: number, { low, high }: Palette): string {
  const [r, g, b] = value < 0 ? low : high;
  return `rgb(${r} ${g} ${b} / ${strength})`;
}

/** What the diagram has room for. */
export function roomFor(canvas: HTMLCanvasElement, view: NetworkView, names: readonly FeatureName[]): Room {
  const counts = [names.length, ...view.biases.map(({ length }) => length)];
  return { counts, width: canvas.clientWidth, height: canvas.clientHeight };
}

/** Begins a drawing: the canvas cleared, as fine as the screen. */
export function cleared(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const { width, height, scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return pen;
}

/** The line of a weight. */
export function strokeWeight(pen: CanvasRenderingContext2D, room: Room, place: WeightPlace): void {
  const [x0, y0, x1, y1] = ends(room, place);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
  pen.stroke();
}

/** Calls `each` for every weight of the network. */
export function everyWeight(room: Room, each: (place: WeightPlace) => void): void {
  for (let layer = 0; layer < room.counts.length - 1; layer++) {
    for (let to = 0; to < room.counts[layer + 1]; to++) {
      for (let from = 0; from < room.counts[layer]; from++) each({ layer, to, from });
    }
  }
}

/** The names of the inputs, left of them. */
export function nameInputs(
  pen: CanvasRenderingContext2D,
  room: Room,
  names: readonly FeatureName[],
  colors: Palette,
): void {
  pen.font = "13px system-ui, sans-serif";
  pen.fillStyle = colors.ink;
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const [i, name] of names.entries()) {
    const [x, y] = placeOf(room, 0, i);
    pen.fillText(features[name].label, x - sizeIn(room) / 2 - 6, y);
  }
}

/** Draws all layers: `spot` is the neuron that is looked at, `chosen` the number that can be changed. */
export function drawNetwork(
  canvas: HTMLCanvasElement,
  view: NetworkView,
  names: readonly FeatureName[],
  colors: Palette,
  spot: Spot | null,
  chosen: WeightPlace | null,
): void {
  const pen = cleared(canvas), room = roomFor(canvas, view, names), size = sizeIn(room);
  everyWeight(room, (place) => {
    const weight = view.weights[place.layer][place.to * room.counts[place.layer] + place.from];
    pen.strokeStyle = inkOf(weight, Math.min(0.15 + Math.abs(weight) / 4, 0.85), colors);
    pen.lineWidth = Math.min(0.6 + Math.abs(weight) * 1.1, 5);
    strokeWeight(pen, room, place);
  });
  if (chosen !== null && chosen.from >= 0) {
    pen.strokeStyle = colors.ink;
    pen.lineWidth = 2.5;
    pen.setLineDash([6, 4]);
    strokeWeight(pen, room, chosen);
    pen.setLineDash([]);
  }
  for (const [layer, count] of room.counts.entries()) {
    for (let index = 0; index < count; index++) {
      const [x, y] = placeOf(room, layer, index), half = size / 2;
      const seen = spot !== null && spot.layer === layer && spot.index === index;
      const biased = chosen !== null && chosen.from < 0 && chosen.layer + 1 === layer && chosen.to === index;
      paintNeuron(view, names, { layer, index }, colors);
      pen.fillStyle = colors.paper;
      pen.fillRect(x - half - 2, y - half - 2, size + 4, size + 4);
      pen.drawImage(small, x - half, y - half, size, size);
      pen.strokeStyle = colors.ink;
      pen.lineWidth = seen || biased ? 3 : 1;
      pen.strokeRect(x - half, y - half, size, size);
    }
  }
  nameInputs(pen, room, names, colors);
}

/** From -1.1 … 1.1 to pixels. */
const pixel = (value: number, size: number): number => size * (value + 1.1) / 2.2;

/**
 * Draws the plane with its points and the mark of the keyboard: below them the chances and the border between the kinds, or
 * what the neuron `spot` makes of it.
 */
export function drawPlane(
  canvas: HTMLCanvasElement,
  view: NetworkView | null,
  names: readonly FeatureName[],
  { places, kinds, held }: Points,
  colors: Palette,
  mark: readonly [number, number] | null,
  spot: Spot | null,
): void {
  const pen = cleared(canvas), { clientWidth: width, clientHeight: height } = canvas;
  if (view !== null) {
    if (spot === null) paintMap(view.maps[view.maps.length - 1], 0, 1, (p) => 1.3 * p - 0.65, colors);
    else paintNeuron(view, names, spot, colors);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, width, height);
    if (spot === null) drawBorder(pen, view.maps[view.maps.length - 1], width, height, colors.ink);
  }
  pen.lineWidth = 1.25;
  for (let i = 0; i < kinds.length; i++) {
    // Those held out are hollow.
    const ink = inkOf(kinds[i] - 0.5, 1, colors);
    pen.fillStyle = held[i] ? colors.paper : ink;
    pen.strokeStyle = held[i] ? ink : colors.paper;
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
