/**
 * Rotary position embeddings (Su et al. 2021): pairs of a head's numbers are turned by angles that grow with the position,
 * so that a product of a query and a key depends on how far they are apart.
 *
 * A number is paired with the one half a width away, as Hugging Face's checkpoints have it. Angles are worked out in f64
 * and kept as tables of cosines and sines, one row a position. Scalings stretch them beyond the lengths that a model was
 * trained on: a factor for each pair, linear and "dynamic" (bloc97 2023), YaRN (Peng et al. 2023), LongRoPE (Ding et al. 2024), and Llama 3's.
 *
 * @module
 */
import { formatShape } from "../core/shape.ts";
import { demandNoMore, demandRecord } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOption, checkOptions, type OptionTable, required } from "../core/options.ts";
import { counted } from "../core/show.ts";
import {
  add,
  concat,
  empty,
  indexSelect,
  mul,
  reshape,
  slice,
  sub,
  type Tensor,
  tensor,
  toDType,
} from "../ops/mod.ts";
import { activeCapture, outsideCapture } from "../tensor/capture/gate.ts";
import { demandTensor, isHalf, keep, tidy } from "../tensor/mod.ts";
import { yarnAttention } from "./yarn.ts";

/**
 * How angles are stretched; names as in Hugging Face's `rope_parameters`.
 *
 * @category Modules
 */
export type RopeScaling =
  | { readonly ropeType: "default" }
  | { readonly ropeType: "linear"; readonly factor: number }
  | { readonly ropeType: "dynamic"; readonly factor: number }
  | { readonly ropeType: "factors"; readonly factors: readonly number[] }
  | {
    readonly ropeType: "llama3";
    readonly factor: number;
    readonly lowFreqFactor: number;
    readonly highFreqFactor: number;
    readonly originalMaxPositionEmbeddings: number;
  }
  | {
    readonly ropeType: "yarn";
    readonly factor: number;
    readonly originalMaxPositionEmbeddings: number;
    readonly attentionFactor?: number;
    readonly betaFast?: number;
    readonly betaSlow?: number;
    readonly mscale?: number;
    readonly mscaleAllDim?: number;
    readonly truncate?: boolean;
  }
  | {
    readonly ropeType: "longrope";
    readonly shortFactor: readonly number[];
    readonly longFactor: readonly number[];
    readonly originalMaxPositionEmbeddings: number;
    readonly factor?: number;
    readonly attentionFactor?: number;
  };

/**
 * What angles depend on.
 *
 * @category Modules
 */
export interface RotaryOptions {
  /** How many numbers of a head are turned: all, or a part from the front. */
  width: number;
  /** The base of the frequencies. */
  theta: number;
  /** Positions that the model was made for. */
  maxPositions: number;
  /** Default: none. */
  scaling?: RopeScaling;
}

const above = kinds.number({ above: 0 }),
  positions = kinds.whole(1),
  factors = kinds.listOf(above, "a list of numbers above 0");
const rotaryOptions: OptionTable<RotaryOptions> = {
  width: required(
    kinds.kind(
      "an even number of numbers, from 2",
      (x) => kinds.whole(2).accepts(x) && (x as number) % 2 === 0,
    ),
  ),
  theta: required(above),
  maxPositions: required(positions),
  scaling: kinds.object,
};

type Scalings = {
  readonly [T in RopeScaling["ropeType"]]: OptionTable<
    Omit<Extract<RopeScaling, { ropeType: T }>, "ropeType">
  >;
};

/** What each kind of scaling takes besides its name. */
const scalings: Scalings = {
  default: {},
  linear: { factor: required(above) },
  dynamic: { factor: required(above) },
  factors: { factors: required(factors) },
  llama3: {
    factor: required(above),
    lowFreqFactor: required(above),
    highFreqFactor: required(above),
    originalMaxPositionEmbeddings: required(positions),
  },
  yarn: {
    factor: required(above),
    originalMaxPositionEmbeddings: required(positions),
    attentionFactor: above,
    betaFast: above,
    betaSlow: above,
    mscale: kinds.number(),
    mscaleAllDim: kinds.number(),
    truncate: kinds.flag,
  },
  longrope: {
    shortFactor: required(factors),
    longFactor: required(factors),
    originalMaxPositionEmbeddings: required(positions),
    factor: above,
    attentionFactor: above,
  },
};

/** @throws {OptionError} for what angles cannot be worked out from. */
function checkRotary(where: string, options: RotaryOptions): void {
  const { scaling } = checkOptions(where, options, rotaryOptions);
  if (scaling === undefined) return;
  const { ropeType, ...rest } = scaling;
  checkOption(where, "scaling.ropeType", ropeType, kinds.oneOf(...Object.keys(scalings)));
  checkOptions<object>(`${where}: scaling`, rest, scalings[ropeType] as OptionTable<object>);
}

/**
 * Frequencies of each pair, and what cosines and sines are multiplied by.
 *
 * @category Modules
 */
export interface RotaryFrequencies {
  /** Radians a position, one for each pair. */
  readonly frequencies: Float64Array;
  /** The factor of cosines and sines. */
  readonly factor: number;
}

function plain(theta: number, width: number): Float64Array {
  return Float64Array.from({ length: width / 2 }, (_, i) => theta ** (-2 * i / width));
}

/** Llama 3: slow frequencies divided, fast ones kept, a smooth passage between. */
function llama3(f: Float64Array, s: Extract<RopeScaling, { ropeType: "llama3" }>): Float64Array {
  const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: old } = s;
  return f.map((frequency) => {
    const turns = old * frequency / (2 * Math.PI);
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const smooth = (turns - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
  });
}

/** YaRN: which pairs are stretched follows from how often they turn within the original length. */
function yarn(
  f: Float64Array,
  options: RotaryOptions,
  s: Extract<RopeScaling, { ropeType: "yarn" }>,
): RotaryFrequencies {
  const { width, theta } = options, { factor, originalMaxPositionEmbeddings: old } = s;
  const pairFor = (turns: number): number =>
    width * Math.log(old / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  let low = pairFor(s.betaFast ?? 32), high = pairFor(s.betaSlow ?? 1);
  if (s.truncate !== false) [low, high] = [Math.floor(low), Math.ceil(high)];
  [low, high] = [Math.max(low, 0), Math.min(high, width - 1)];
  if (low === high) high += 0.001;
  const { mscale, mscaleAllDim } = s;
  return {
    frequencies: f.map((frequency, i) => {
      const kept = 1 - Math.min(1, Math.max(0, (i - low) / (high - low)));
      return frequency / factor * (1 - kept) + frequency * kept;
    }),
    factor: s.attentionFactor ??
      (mscale && mscaleAllDim
        ? yarnAttention(factor, mscale) / yarnAttention(factor, mscaleAllDim)
        : yarnAttention(factor)),
  };
}

/** LongRoPE: a factor for each pair, one list for short texts and one for long ones. */
function longrope(
  f: Float64Array,
  maxPositions: number,
  length: number,
  s: Extract<RopeScaling, { ropeType: "longrope" }>,
): RotaryFrequencies {
  const old = s.originalMaxPositionEmbeddings, factors = length > old ? s.longFactor : s.shortFactor;
  if (factors.length !== f.length) {
    throw new OptionError(
      `rotary: longrope has ${counted(factors.length, "factor")} for ${counted(f.length, "pair")}`,
    );
  }
  const factor = s.factor ?? maxPositions / old;
  return {
    frequencies: f.map((frequency, i) => frequency / factors[i]),
    factor: s.attentionFactor ?? (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(old))),
  };
}

/**
 * Frequencies for a text of `length` positions, on which those of "dynamic" and LongRoPE depend.
 *
 * @throws {OptionError} for options that do not exist or cannot be.
 * @category Modules
 */
export function rotaryFrequencies(options: RotaryOptions, length: number): RotaryFrequencies {
  demandNoMore(arguments, 2, "rotaryFrequencies");
  checkRotary("rotaryFrequencies", options);
  const { width, theta, maxPositions, scaling = { ropeType: "default" } } = options, f = plain(theta, width);
  switch (scaling.ropeType) {
    case "default":
      return { frequencies: f, factor: 1 };
    case "linear":
      return { frequencies: f.map((frequency) => frequency / scaling.factor), factor: 1 };
    case "dynamic": {
      const stretch = scaling.factor * Math.max(length, maxPositions) / maxPositions - (scaling.factor - 1);
      return { frequencies: plain(theta * stretch ** (width / (width - 2)), width), factor: 1 };
    }
    case "factors":
      return { frequencies: f.map((frequency, i) => frequency / scaling.factors[i]), factor: 1 };
    case "llama3":
      return { frequencies: llama3(f, scaling), factor: 1 };
    case "yarn":
      return yarn(f, options, scaling);
    case "longrope":
      return longrope(f, maxPositions, length, scaling);
  }
}

/**
 * Cosines and sines of the positions at work, [time, width / 2] or, of unequal texts, [batch, 1, time,
 *   width / 2].
 *
 * @category Modules
 */
export interface Rotation {
  /** Cosines. */
  readonly cos: Tensor;
  /** Sines. */
  readonly sin: Tensor;
}

/** Cosines and sines, a row for each position. */
interface Table extends Rotation {
  readonly rows: number;
}

/**
 * Tables of angles for one kind of layer, made as long as they are needed.
 *
 * @category Modules
 */
export class RotaryEmbedding {
  /** What the angles depend on. */
  readonly options: RotaryOptions;
  readonly #tables: Map<string, Table> = new Map();
  /** Shorter tables, which programs may still read. */
  readonly #old: Table[] = [];

  /**
   * Angles are worked out when they are first needed.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(options: RotaryOptions) {
    demandNoMore(arguments, 1, "RotaryEmbedding");
    checkRotary("RotaryEmbedding", options);
    this.options = options;
  }

  /** Whether angles of earlier positions change when a text grows: LongRoPE with other factors for long texts. */
  get isStretching(): boolean {
    const { scaling } = this.options;
    return scaling?.ropeType === "longrope" &&
      scaling.longFactor.some((factor, i) => factor !== scaling.shortFactor[i]);
  }

  /**
   * What changes when a text grows to `length`: where this does, all that was computed of it belongs to other angles.
   * Dynamic scaling is left out, as in Hugging Face's library: there each position keeps the angle it was computed with.
   */
  kind(length: number): string {
    return this.isStretching ? this.#tableKind(length) : "";
  }

  /** The longest text whose angles are those of one of `length` positions. */
  reach(length: number): number {
    const { scaling, maxPositions } = this.options;
    if (this.isStretching && scaling?.ropeType === "longrope") {
      const { originalMaxPositionEmbeddings: old } = scaling;
      return length <= old ? old : Infinity;
    }
    return scaling?.ropeType === "dynamic" ? Math.max(length, maxPositions) : Infinity;
  }

  /** The frequencies change with a text's length only where this does. */
  #tableKind(length: number): string {
    const { scaling, maxPositions } = this.options;
    if (scaling?.ropeType === "longrope") {
      return length > scaling.originalMaxPositionEmbeddings ? "long" : "short";
    }
    return scaling?.ropeType === "dynamic" ? String(Math.max(length, maxPositions)) : "";
  }

  /** Tables of at least `length` rows. */
  #table(length: number, device: DeviceName): Rotation {
    const key = this.#tableKind(length), now = this.#tables.get(key);
    if (now && now.rows >= length && now.cos.device === device) return now;
    // Twice as long as needed, so that a growing text does not make them anew at each step.
    const rows = Math.max(length, Math.min(this.options.maxPositions, 2 * length));
    const { frequencies, factor } = rotaryFrequencies(this.options, length), pairs = frequencies.length;
    const cos = new Float32Array(rows * pairs), sin = new Float32Array(rows * pairs);
    for (let row = 0, i = 0; row < rows; row++) {
      for (let pair = 0; pair < pairs; pair++, i++) {
        cos[i] = factor * Math.cos(row * frequencies[pair]);
        sin[i] = factor * Math.sin(row * frequencies[pair]);
      }
    }
    // A program that is being traced finds them as it finds weights.
    const held = (values: Float32Array): Tensor =>
      outsideCapture(() => keep(tensor(values, { shape: [rows, pairs], device })));
    const table = { rows, cos: held(cos), sin: held(sin) };
    if (now) this.#old.push(now);
    this.#tables.set(key, table);
    return table;
  }

  /**
   * Works out the angles of a text of `length` positions, so that nothing is made while they are used.
   * @throws {DeviceError} for a device that is not there.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {ShapeError} for positions that are no whole numbers from 0.
   */
  prepare(length: number, device: DeviceName): void {
    this.#table(length, device);
  }

  /**
   * The rotation of `time` positions from `start` on, or of `positions` [batch, time], in a text of `start + time`.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {ShapeError} for positions that are no whole numbers from 0.
   */
  at(start: number, time: number, device: DeviceName, positions?: Tensor): Rotation {
    const { cos, sin } = this.#table(start + time, device);
    if (positions === undefined) {
      return { cos: slice(cos, [start, start + time]), sin: slice(sin, [start, start + time]) };
    }
    const flat = reshape(positions, [-1]);
    const rows = (t: Tensor): Tensor => reshape(indexSelect(t, 0, flat), [positions.shape[0], 1, time, -1]);
    return { cos: rows(cos), sin: rows(sin) };
  }

  /** Gives the tables back; they are made anew when they are needed. */
  dispose(): void {
    for (const { cos, sin } of [...this.#tables.values(), ...this.#old]) {
      cos.dispose();
      sin.dispose();
    }
    this.#tables.clear();
    this.#old.length = 0;
  }
}

/**
 * x [batch, heads, time, width] with its first numbers turned by `rotation`; those behind them stay as they
 *   are.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for what is no rotation.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DeviceError} for tensors on different devices.
 * @category Modules
 */
export function applyRotary(x: Tensor, rotation: Rotation): Tensor {
  demandNoMore(arguments, 2, "applyRotary");
  demandTensor("applyRotary", x);
  demandRecord("applyRotary", rotation, "rotation", "{ cos, sin }");
  const { cos, sin } = rotation;
  demandTensor("applyRotary", cos, "cos");
  demandTensor("applyRotary", sin, "sin");
  if (x.shape.length !== 4 || cos.shape.length === 0) {
    throw new ShapeError(`applyRotary: x is [batch, heads, time, width], not ${formatShape(x.shape)}`);
  }
  const isOfAllHeads = cos.shape.length === 2 || (cos.shape.length === 4 && cos.shape[1] === 1);
  const one = isOfAllHeads && activeCapture()?.asOne(
    "rotary",
    [x, cos, sin],
    () => empty(x.shape, { device: x.device, dtype: x.dtype }),
  );
  if (one) return one as Tensor;
  return tidy(() => {
    const half = cos.shape.at(-1)!, width = x.shape[3];
    const a = slice(x, null, null, null, [0, half]), b = slice(x, null, null, null, [half, 2 * half]);
    const turned = [sub(mul(a, cos), mul(b, sin)), add(mul(b, cos), mul(a, sin))];
    if (2 * half < width) turned.push(slice(x, null, null, null, [2 * half, width]));
    const whole = concat(turned, -1);
    // Angles are in f32; what they turn keeps its dtype.
    return isHalf(x.dtype) ? toDType(whole, x.dtype) : whole;
  });
}
