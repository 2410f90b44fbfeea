/**
 * The surface from above: colours on a logarithmic scale with contour lines, kept as a picture, and the ways of the
 * racers drawn over it each frame.
 *
 * @module
 */
import type { Landscape } from "../../src/landscape/mod.ts";
import { fitCanvas } from "../shared/chart.ts";
import { cssColor, heatColors, isDark } from "../shared/colors.ts";
import { capacity, type Race, type Racer, rowLength } from "./race.ts";

/** Points a side at which the surface is computed. */
export const cells = 160;
const trailPoints = 500;

/** The heights of a surface over its domain. */
export class Heights {
  /** The logarithm of 1 + value - least value, row by row from the bottom; from 0 to 1. */
  readonly level: Float32Array = new Float32Array(cells * cells);
  /** The least value. */
  least = -Infinity;

  /** Computes them. */
  compute({ domain: [x0, x1, y0, y1], value }: Landscape): void {
    const { level } = this;
    let least = Infinity;
    for (let j = 0, k = 0; j < cells; j++) {
      for (let i = 0; i < cells; i++, k++) {
        const z = value(x0 + (x1 - x0) * i / (cells - 1), y0 + (y1 - y0) * j / (cells - 1));
        level[k] = Number.isFinite(z) ? z : NaN;
        if (level[k] < least) least = level[k];
      }
    }
    this.least = least;
    let most = 1e-9;
    for (let k = 0; k < level.length; k++) {
      level[k] = Math.log1p(level[k] - least);
      if (level[k] > most) most = level[k];
    }
    for (let k = 0; k < level.length; k++) level[k] = Number.isNaN(level[k]) ? 1 : level[k] / most;
  }
}

/** The map and its canvas. */
export class SurfaceMap {
  readonly #canvas: HTMLCanvasElement;
  readonly #picture = document.createElement("canvas");
  readonly #heights: Heights;
  #surface: Landscape;
  #ink = "";
  #halo = "";

  /** A map that shows nothing yet; `heights` are computed by the caller. */
  constructor(canvas: HTMLCanvasElement, heights: Heights, surface: Landscape) {
    this.#canvas = canvas;
    this.#heights = heights;
    this.#surface = surface;
  }

  /** Paints the surface anew: after another one was chosen, or other colours, or another size. */
  paint(surface: Landscape): void {
    this.#surface = surface;
    this.#ink = cssColor("--ink");
    this.#halo = cssColor("--surface");
    const { width, height, scale } = fitCanvas(this.#canvas), small = document.createElement("canvas");
    small.width = small.height = cells;
    const pen = small.getContext("2d")!, image = pen.createImageData(cells, cells);
    const dark = isDark(), colors = heatColors(dark), { level } = this.#heights;
    for (let j = 0; j < cells; j++) {
      for (let i = 0; i < cells; i++) {
        const color = 3 * Math.round(255 * level[(cells - 1 - j) * cells + i]), at = 4 * (j * cells + i);
        image.data[at] = colors[color];
        image.data[at + 1] = colors[color + 1];
        image.data[at + 2] = colors[color + 2];
        image.data[at + 3] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
    this.#picture.width = this.#canvas.width;
    this.#picture.height = this.#canvas.height;
    const big = this.#picture.getContext("2d")!;
    big.imageSmoothingQuality = "high";
    big.drawImage(small, 0, 0, this.#picture.width, this.#picture.height);
    big.scale(scale, scale);
    this.#contours(big, width, height, dark);
    for (const [x, y] of surface.minima) {
      big.strokeStyle = this.#ink;
      big.lineWidth = 1.5;
      big.beginPath();
      big.arc(this.#px(x, width), this.#py(y, height), 5, 0, 7);
      big.moveTo(this.#px(x, width) - 2, this.#py(y, height));
      big.lineTo(this.#px(x, width) + 2, this.#py(y, height));
      big.stroke();
    }
  }

  /** Marching squares at levels that are even on the logarithmic scale. */
  #contours(pen: CanvasRenderingContext2D, width: number, height: number, dark: boolean): void {
    const { level } = this.#heights, sx = width / (cells - 1), sy = height / (cells - 1);
    pen.strokeStyle = dark ? "rgb(255 255 255 / 17%)" : "rgb(40 30 20 / 18%)";
    pen.lineWidth = 0.8;
    pen.beginPath();
    for (let n = 1; n < 16; n++) {
      const at = n / 16;
      for (let j = 0; j < cells - 1; j++) {
        for (let i = 0; i < cells - 1; i++) {
          const k = j * cells + i,
            a = level[k],
            c = level[k + 1],
            d = level[k + cells + 1],
            e = level[k + cells];
          if ((a > at) === (c > at) && (c > at) === (d > at) && (d > at) === (e > at)) continue;
          let down = false;
          const cross = (u: number, v: number, x0: number, y0: number, x1: number, y1: number): void => {
            if ((u > at) === (v > at)) return;
            const t = (at - u) / (v - u),
              x = (x0 + (x1 - x0) * t) * sx,
              y = height - (y0 + (y1 - y0) * t) * sy;
            if (down) pen.lineTo(x, y);
            else pen.moveTo(x, y);
            down = !down;
          };
          cross(a, c, i, j, i + 1, j);
          cross(c, d, i + 1, j, i + 1, j + 1);
          cross(d, e, i + 1, j + 1, i, j + 1);
          cross(e, a, i, j + 1, i, j);
        }
      }
    }
    pen.stroke();
  }

  #px(x: number, width: number): number {
    const [x0, x1] = this.#surface.domain;
    return width * (x - x0) / (x1 - x0);
  }

  #py(y: number, height: number): number {
    const [, , y0, y1] = this.#surface.domain;
    return height - height * (y - y0) / (y1 - y0);
  }

  /** The place on the plane under a point of the canvas, in CSS pixels. */
  placeAt(px: number, py: number): [number, number] {
    const { clientWidth, clientHeight } = this.#canvas, [x0, x1, y0, y1] = this.#surface.domain;
    return [x0 + (x1 - x0) * px / clientWidth, y1 - (y1 - y0) * py / clientHeight];
  }

  /** Draws the picture and the ways up to `step` of the racers for which `shown` is true. */
  draw(race: Race, step: number, shown: readonly boolean[], colors: readonly string[]): void {
    const canvas = this.#canvas, pen = canvas.getContext("2d")!;
    const width = canvas.clientWidth, height = canvas.clientHeight, scale = canvas.width / (width || 1);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.#picture, 0, 0);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#cross(pen, this.#px(race.start[0], width), this.#py(race.start[1], height));
    pen.lineJoin = "round";
    for (let i = 0; i < race.racers.length; i++) {
      if (shown[i]) this.#way(pen, race.racers[i], step, colors[i], width, height);
    }
  }

  #cross(pen: CanvasRenderingContext2D, x: number, y: number): void {
    pen.strokeStyle = this.#ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x - 6, y);
    pen.lineTo(x + 6, y);
    pen.moveTo(x, y - 6);
    pen.lineTo(x, y + 6);
    pen.stroke();
  }

  #way(
    pen: CanvasRenderingContext2D,
    racer: Racer,
    step: number,
    color: string,
    width: number,
    height: number,
  ): void {
    const { ring } = racer, last = Math.min(step, racer.steps), first = racer.oldest;
    const stride = Math.max(1, Math.ceil((last - first) / trailPoints));
    pen.strokeStyle = color;
    pen.lineWidth = 2;
    pen.beginPath();
    let row = 0;
    for (let s = first + (last - first) % stride; s <= last; s += stride) {
      row = (s % capacity) * rowLength;
      pen.lineTo(this.#px(ring[row], width), this.#py(ring[row + 1], height));
    }
    pen.stroke();
    if (racer.lost && last === racer.steps) return;
    pen.fillStyle = color;
    pen.strokeStyle = this.#halo;
    pen.beginPath();
    pen.arc(this.#px(ring[row], width), this.#py(ring[row + 1], height), 6, 0, 7);
    pen.fill();
    pen.stroke();
  }
}
