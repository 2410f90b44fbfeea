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

/** What a chart says beside its lines. */
export interface ChartOptions {
  /** Whether the height is a power of ten, on both sides of 0 where there are values below it. Default false. */
  readonly log?: boolean;
  /** Whether `x` holds powers of ten: their exponents. Default false. */
  readonly powers?: boolean;
  /** What goes to the right. Default "step". */
  readonly x?: string;
  /** What goes up. Default "loss". */
  readonly y?: string;
}

/** Round numbers from `least` to `most`, about `count` of them: 1, 2 or 5 times a power of ten apart. */
export function roundTicks(least: number, most: number, count: number): number[] {
  const rough = (most - least) / Math.max(1, count);
  if (!(rough > 0 && rough < Infinity)) return [least];
  const power = 10 ** Math.floor(Math.log10(rough));
  const between = (step: number): number[] => {
    const first = Math.ceil(least / step - 1e-9), last = Math.floor(most / step + 1e-9);
    return Array.from(
      { length: Math.max(0, last - first + 1) },
      (_, k) => Number(((first + k) * step).toPrecision(12)),
    );
  };
  // The first step as long as wanted, or, where fewer than two of its multiples lie inside, a shorter one.
  const steps = [10, 5, 2, 1, 0.5].map((many) => many * power),
    wanted = steps.filter((step) => step >= rough * 0.999);
  for (let i = wanted.length - 1; i < steps.length; i++) {
    const ticks = between(steps[i]);
    if (ticks.length >= 2) return ticks;
  }
  return between(power);
}

/** Round numbers between two above 0, by powers of ten; where these are far apart also 2 and 5 times them, where near some are left out. */
export function roundPowers(least: number, most: number, count: number): number[] {
  const from = Math.floor(Math.log10(least)),
    to = Math.ceil(Math.log10(most)),
    decades = Math.log10(most / least);
  if (decades < 0.5) return roundTicks(least, most, count).filter((tick) => tick > 0);
  const apart = Math.max(1, Math.ceil(decades / count)), ticks: number[] = [];
  for (let k = Math.ceil(from / apart) * apart; k <= to; k += apart) {
    for (const many of decades < 1.6 ? [1, 2, 5] : [1]) ticks.push(Number(`${many}e${k}`));
  }
  return ticks.filter((tick) => tick >= least * (1 - 1e-9) && tick <= most * (1 + 1e-9));
}

/** What was drawn on a canvas, to be drawn again when the pointer rests on one of the page's charts. */
interface Drawn {
  readonly lines: readonly ChartLine[];
  readonly options: ChartOptions;
  /** From the canvas to what goes to the right. */
  readonly place: (x: number) => number;
}
const drawn = new Map<HTMLCanvasElement, Drawn>();

/** Where the pointer rests, in what goes to the right, and its name: charts with the same show it alike. */
let pointed: { readonly x: number; readonly name: string } | null = null;

function listen(canvas: HTMLCanvasElement): void {
  const point = (to: typeof pointed): void => {
    pointed = to;
    for (const [other, { lines, options }] of drawn) {
      if (other.isConnected) drawChart(other, lines, options);
      else drawn.delete(other);
    }
  };
  canvas.addEventListener("pointermove", (event) => {
    const { place, options: { x: name = "step" } } = drawn.get(canvas)!;
    point({ x: place(event.offsetX), name });
  });
  for (const kind of ["pointerleave", "pointercancel"]) canvas.addEventListener(kind, () => point(null));
}

/** Draws `lines`; pointing at it shows their values there, on every chart of the page with the same to the right. */
export function drawChart(
  canvas: HTMLCanvasElement,
  lines: readonly ChartLine[],
  options: ChartOptions = {},
): void {
  const { log = false, powers = false, x: nameX = "step", y: nameY = "loss" } = options;
  const { width, height, scale } = fitCanvas(canvas), pen = canvas.getContext("2d")!;
  if (width === 0) return;
  const signed = log && lines.some(({ y, length }) => y.subarray(0, length).some((value) => value < 0));
  const rise = (y: number): number =>
    signed ? Math.sign(y) * Math.log10(1 + Math.abs(y) / even) : log ? Math.log10(Math.max(y, 1e-12)) : y;
  let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity, least = Infinity, most = -Infinity;
  for (const { x, y, length } of lines) {
    for (let i = 0; i < length; i++) {
      const value = rise(y[i]);
      if (!Number.isFinite(value)) continue;
      [y0, y1] = [Math.min(y0, value), Math.max(y1, value)];
      [x0, x1] = [Math.min(x0, x[i]), Math.max(x1, x[i])];
      [least, most] = [Math.min(least, y[i]), Math.max(most, y[i])];
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
    // One height alone stands in the middle.
    [y0, y1] = [y0 - 0.5, y1 + 0.5];
    if (!log) [least, most] = [y0, y1];
    else if (!signed) [least, most] = [10 ** y0, 10 ** y1];
  }
  const bottom = height - 18,
    top = 18,
    right = width - 12,
    rows = Math.max(2, Math.floor((bottom - top) / 28));
  const heights = !log ? roundTicks(least, most, rows) : signed
    ? [-1, 1].flatMap((sign) => {
      const end = sign * (sign < 0 ? least : most);
      return end > even ? roundPowers(even, end, rows / 2).map((tick) => sign * tick) : [];
    }).concat(0)
    : roundPowers(Math.max(least, 1e-12), Math.max(most, 1e-12), rows);
  const labels = heights.map(short);
  const left = Math.max(30, ...labels.map((label) => pen.measureText(label).width + 9));
  const px = (x: number): number => left + (right - left) * (x - x0) / (x1 - x0 || 1);
  const py = (y: number): number => bottom - (bottom - top) * (rise(y) - y0) / (y1 - y0);
  pen.strokeStyle = cssColor("--line");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  let last = Infinity;
  for (const [k, value] of [...heights.entries()].sort((a, b) => a[1] - b[1])) {
    const y = py(value);
    // Of two that would cover each other, one.
    if (y < top - 1 || y > bottom + 1 || last - y < 13) continue;
    last = y;
    pen.beginPath();
    pen.moveTo(left, y);
    pen.lineTo(right, y);
    pen.stroke();
    pen.fillText(labels[k], left - 5, y + 4);
  }
  const nameWidth = pen.measureText(nameX).width, shownX = (x: number): string => short(powers ? 10 ** x : x);
  pen.fillText(nameX, right, height - 4);
  pen.textAlign = "left";
  pen.fillText(nameY, 2, 9);
  pen.textAlign = "center";
  let end = -Infinity;
  for (
    const tick of roundTicks(x0, x1, Math.max(2, (right - left) / 60)).filter((x) =>
      !powers || Number.isInteger(x)
    )
  ) {
    const half = pen.measureText(shownX(tick)).width / 2, x = Math.max(px(tick), half);
    if (x - half < end + 6 || x + half > right - nameWidth - 8) continue;
    pen.fillText(shownX(tick), x, height - 4);
    end = x + half;
  }
  pen.lineWidth = 1.75;
  pen.lineJoin = "round";
  for (const { color, x, y, length } of lines) {
    pen.strokeStyle = color;
    pen.beginPath();
    let open = false;
    for (let i = 0; i < length; i++) {
      const isThere = Number.isFinite(rise(y[i]));
      if (isThere) open ? pen.lineTo(px(x[i]), py(y[i])) : pen.moveTo(px(x[i]), py(y[i]));
      open = isThere;
    }
    pen.stroke();
  }
  if (!drawn.has(canvas)) listen(canvas);
  drawn.set(canvas, { lines, options, place: (at) => x0 + (x1 - x0) * (at - left) / (right - left) });
  if (pointed?.name !== nameX || pointed.x < x0 || pointed.x > x1) return;
  const { x: at } = pointed, found: number[] = [], ink = cssColor("--ink");
  pen.strokeStyle = cssColor("--line-strong");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(px(at), top);
  pen.lineTo(px(at), bottom);
  pen.stroke();
  let nearest = at;
  for (const { color, x, y, length } of lines) {
    let k = 0;
    while (k + 1 < length && Math.abs(x[k + 1] - at) <= Math.abs(x[k] - at)) k++;
    if (length === 0 || !Number.isFinite(rise(y[k]))) continue;
    nearest = x[k];
    found.push(y[k]);
    pen.fillStyle = color;
    pen.beginPath();
    pen.arc(px(x[k]), py(y[k]), 3, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.fillStyle = ink;
  pen.textAlign = "right";
  const told = found.length < 4
    ? found.map(short).join(", ")
    : `${short(Math.min(...found))} to ${short(Math.max(...found))}`;
  pen.fillText(`${nameX} ${shownX(nearest)}: ${told}`, right, 9);
}
