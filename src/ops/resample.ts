/**
 * Resampling: along each axis an output is a weighted sum of inputs, a small matrix that is worked out in JavaScript, or one of
 * the inputs.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { isFloat } from "../core/dtype.ts";
import { DTypeError, OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { counted, show } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { demandTensor } from "./bridge.ts";
import { tensor } from "./create.ts";
import { indexSelect } from "./index.ts";
import { stack } from "./join.ts";
import { matmul } from "./matmul.ts";
import { inFloat32 } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, transpose } from "./views.ts";

/** Each repeat is a copy of its own. */
const mostRepeats = 16;

/** How far inputs weigh, and the weight of one at distance `d`. */
export interface SampleKernel {
  readonly reach: number;
  readonly weight: (d: number) => number;
}

/** A straight line between neighbours. */
export const linearKernel: SampleKernel = { reach: 1, weight: (d) => Math.max(0, 1 - Math.abs(d)) };

/** A cubic through four neighbours; `a` is how it bends. */
export function cubicKernel(a: number): SampleKernel {
  return {
    reach: 2,
    weight: (d) => {
      const x = Math.abs(d);
      if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
    },
  };
}

/** How the weights of an axis come about. */
export interface SampleRule {
  readonly kernel: SampleKernel;
  /** Where output i lies among the inputs. */
  readonly place: (i: number) => number;
  /** What distances are multiplied by: below 1 to smooth what is made smaller. Default 1. */
  readonly stretch?: number;
  /** Whether what lies outside weighs nothing; else it is the edge's. */
  readonly exclude?: boolean;
}

/** The weights [out, n] of an axis, row-major. */
export function sampleMatrix(
  n: number,
  out: number,
  { kernel, place, stretch = 1, exclude }: SampleRule,
): number[] {
  const wide = kernel.reach / stretch, rows = new Array<number>(out * n).fill(0);
  for (let i = 0; i < out; i++) {
    const x = place(i), first = Math.ceil(x - wide), last = Math.floor(x + wide);
    let total = 0;
    for (let j = first; j <= last; j++) {
      const w = kernel.weight((j - x) * stretch);
      if (exclude && (j < 0 || j >= n)) continue;
      rows[i * n + Math.min(Math.max(j, 0), n - 1)] += w;
      total += w;
    }
    if (total !== 0) { for (let j = 0; j < n; j++) rows[i * n + j] /= total; }
  }
  return rows;
}

/**
 * The elements of x at these places of an axis. Where each of them comes as often as all others, one after the other, they are
 * repeated.
 */
export function elementsAt(x: Tensor, axis: number, places: readonly number[]): Tensor {
  const n = x.shape[axis], times = places.length / n;
  if (
    Number.isInteger(times) && times > 0 && times <= mostRepeats &&
    places.every((at, i) => at === Math.floor(i / times))
  ) {
    const repeated = times === 1 ? x : stack(new Array<Tensor>(times).fill(x), axis + 1);
    return reshape(repeated, x.shape.map((size, i) => i === axis ? size * times : size));
  }
  return indexSelect(x, axis, tensor([...places], { dtype: "i32", device: x.device }));
}

/** x with axis `axis` multiplied by a matrix [out, n]. */
export function along(x: Tensor, axis: number, rows: readonly number[], out: number): Tensor {
  const n = x.shape[axis],
    matrix = tensor([...rows], { shape: [out, n], dtype: x.dtype, device: x.device } as never);
  const last = transpose(x, axis, -1), flat = reshape(last, [-1, n]);
  const product = matmul(flat, transpose(matrix as Tensor, 0, 1));
  return transpose(reshape(product, [...last.shape.slice(0, -1), out]), axis, -1);
}

/**
 * Options of {@link interpolate}.
 *
 * @category Products, attention, norms
 */
export interface InterpolateOptions {
  /** Sizes behind batch and channels: a number for all axes, or one each. This or `scaleFactor` is needed. */
  size?: number | readonly number[];
  /** What sizes are multiplied by (rounded down): a number for all axes, or one each. */
  scaleFactor?: number | readonly number[];
  /**
   * How: the input before ("nearest") or nearest to ("nearest-exact") each place; straight lines between neighbours over one
   * ("linear"), two ("bilinear") or three ("trilinear") axes; cubics over two ("bicubic"); means ("area"). Default "nearest".
   */
  mode?: "nearest" | "nearest-exact" | "linear" | "bilinear" | "trilinear" | "bicubic" | "area";
  /** Of lines and cubics: whether the middles of the corners meet, and not the corners of the corners. Default false. */
  alignCorners?: boolean;
  /** Of "bilinear" and "bicubic": smooth what is made smaller. Default false. */
  antialias?: boolean;
}

const perAxis = (one: kinds.Kind): kinds.Kind => kinds.either(one, kinds.listOf(one, "one for each axis"));

const interpolateOptions: OptionTable<InterpolateOptions> = {
  size: perAxis(kinds.whole(1)),
  scaleFactor: perAxis(kinds.number({ above: 0 })),
  mode: kinds.oneOf("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"),
  alignCorners: kinds.flag,
  antialias: kinds.flag,
};

const isStepped = ({ mode = "nearest" }: InterpolateOptions): boolean =>
  mode === "nearest" || mode === "nearest-exact" || mode === "area";

const idle: readonly Idle<InterpolateOptions>[] = [
  {
    option: "alignCorners",
    when: isStepped,
    because: ({ mode = "nearest" }) => `mode is "${mode}"`,
    unless: false,
  },
  {
    option: "antialias",
    when: ({ mode }) => mode !== "bilinear" && mode !== "bicubic",
    because: ({ mode = "nearest" }) => `mode is "${mode}"`,
    unless: false,
  },
  { option: "scaleFactor", when: ({ size }) => size !== undefined, because: "size is given" },
];

/** The most places of an axis. */
const mostPlaces = 2 ** 24;

const axesOf: Readonly<Record<string, number>> = { linear: 1, bilinear: 2, bicubic: 2, trilinear: 3 };

/**
 * x [batch, channels, …] in another size along its last one to three axes.
 *
 * @throws {OptionError} unless one of `size` and `scaleFactor` is given, for each axis or for all.
 * @throws {ShapeError} for an x without axes behind batch and channels, or not as many as the mode has.
 * @throws {DTypeError} for an x of whole numbers with a mode that weighs.
 * @example
 * ```ts
 * interpolate(tensor([[[1, 2]]]), { scaleFactor: 2 }); // [[[1, 1, 2, 2]]]
 * interpolate(tensor([[[1, 3]]]), { size: 4, mode: "linear" }); // [[[1, 1.5, 2.5, 3]]]
 * ```
 * @category Products, attention, norms
 */
export function interpolate(x: Tensor, options: InterpolateOptions = {}): Tensor {
  demandNoMore(arguments, 2, "interpolate");
  const { size, scaleFactor, mode = "nearest", alignCorners = false, antialias = false } = checkOptions(
    "interpolate",
    options,
    interpolateOptions,
    idle,
  );
  demandTensor("interpolate", x);
  const sizes = x.shape.slice(2), axes = sizes.length, wanted = axesOf[mode];
  if (axes < 1 || axes > 3 || (wanted !== undefined && axes !== wanted) || sizes.includes(0)) {
    throw new ShapeError(
      `interpolate: ${mode} is of x [batch, channels, ${
        wanted ? counted(wanted, "size") : "1 to 3 sizes"
      } from 1], not ${formatShape(x.shape)}`,
    );
  }
  const given = size ?? scaleFactor,
    list = Array.isArray(given) ? given as readonly number[] : sizes.map(() => given as number);
  if (given === undefined || list.length !== axes) {
    throw new OptionError(
      `interpolate: size or scaleFactor is a number, or ${counted(axes, "number")} for ${
        formatShape(x.shape)
      }, not ${show(given)}`,
    );
  }
  const out = sizes.map((n, i) => size === undefined ? Math.floor(n * list[i]) : list[i]);
  // The places and weights of an axis are worked out as lists.
  if (out.some((n) => n > mostPlaces)) {
    throw new ShapeError(
      `interpolate: [${out.join(", ")}] has an axis of more than ${
        mostPlaces.toLocaleString("en")
      }; take smaller sizes`,
    );
  }
  if (out.includes(0)) {
    throw new OptionError(
      `interpolate: scaleFactor ${show(given)} leaves nothing of ${formatShape(x.shape)}`,
    );
  }
  if (!mode.startsWith("nearest") && !isFloat(x.dtype)) {
    throw new DTypeError(
      `interpolate: ${mode} weighs floats, and x is ${x.dtype}; convert it with .to({ dtype: "f32" })`,
    );
  }
  const resampled = (x: Tensor): Tensor =>
    out.reduce((y, count, i) => {
      const axis = i + 2, n = sizes[i], scale = size === undefined ? list[i] : count / n;
      if (mode.startsWith("nearest")) {
        const shift = mode === "nearest" ? 0 : 0.5;
        // In whole numbers where a size is given, so that no rounding moves a place.
        const place = (k: number): number =>
          size === undefined ? (k + shift) / scale : (k + shift) * n / count;
        const at = Array.from({ length: count }, (_, k) => Math.min(Math.floor(place(k)), n - 1));
        return indexSelect(y, axis, tensor(at, { dtype: "i32", device: y.device }));
      }
      if (n === count && scale === 1) return y;
      return along(y, axis, weightsOf(mode, n, count, scale, alignCorners, antialias), count);
    }, reshape(x, x.shape));
  return tidy(() => mode.startsWith("nearest") ? resampled(x) : inFloat32(x, resampled));
}

function weightsOf(
  mode: string,
  n: number,
  out: number,
  scale: number,
  alignCorners: boolean,
  antialias: boolean,
): number[] {
  if (mode === "area") {
    return Array.from({ length: out * n }, (_, at) => {
      const i = Math.floor(at / n),
        k = at % n,
        start = Math.floor(i * n / out),
        end = Math.ceil((i + 1) * n / out);
      return k >= start && k < end ? 1 / (end - start) : 0;
    });
  }
  const isCubic = mode === "bicubic", step = alignCorners ? out > 1 ? (n - 1) / (out - 1) : 0 : 1 / scale;
  const stretch = antialias && step > 1 ? 1 / step : 1;
  const place = (i: number): number => {
    const at = alignCorners ? i * step : (i + 0.5) * step - 0.5;
    // Lines begin at the first middle; cubics and smoothed ones go beyond it.
    return isCubic || antialias ? at : Math.max(0, at);
  };
  // PyTorch bends smoothed cubics as images are wont to be.
  const kernel = isCubic ? cubicKernel(antialias ? -0.5 : -0.75) : linearKernel;
  return sampleMatrix(n, out, { kernel, place, stretch, exclude: antialias });
}
