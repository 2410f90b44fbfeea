/**
 * Seeded random numbers: a pure function from (seed, position) to bits, so that any device, thread or resumed run
 * can make any part of a stream.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011). One call gives
 * four 32-bit words. Normal numbers come from one uniform each by the inverse of the normal distribution (Wichura,
 * algorithm AS 241, 1988), worked in double precision with + - * / and sqrt alone, so every runtime gets the same.
 *
 * @module
 */

import { demandNoMore } from "./demand.ts";
import { OptionError } from "./errors.ts";
import { show } from "./show.ts";

const scratch = new Uint32Array(4);

function mulHi(a: number, b: number): number {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const low = al * bl;
  const mid1 = ah * bl + (low >>> 16);
  const mid2 = al * bh + (mid1 & 0xffff);
  return (ah * bh + Math.floor(mid1 / 65536) + Math.floor(mid2 / 65536)) >>> 0;
}

/** Four random words for block number `block` of the stream `seed` into `out`; both are integers below 2^53. */
export function philox(seed: number, block: number, out: Uint32Array): void {
  let c0 = block >>> 0, c1 = Math.floor(block / 4294967296) >>> 0, c2 = 0, c3 = 0;
  let k0 = seed >>> 0, k1 = Math.floor(seed / 4294967296) >>> 0;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHi(0xd2511f53, c0), lo0 = Math.imul(0xd2511f53, c0);
    const hi1 = mulHi(0xcd9e8d57, c2), lo1 = Math.imul(0xcd9e8d57, c2);
    c0 = (hi1 ^ c1 ^ k0) >>> 0;
    c1 = lo1 >>> 0;
    c2 = (hi0 ^ c3 ^ k1) >>> 0;
    c3 = lo0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** A uniform f32 in [0, 1) from 24 of a word's bits. */
export function toUniform(word: number): number {
  return (word >>> 8) * 2 ** -24;
}

/** ln(x) for a normal positive double, from arithmetic alone (error below 1e-15 relative). */
function portableLog(x: number): number {
  let exponent = 0;
  while (x < Math.SQRT1_2) x *= 2, exponent--;
  while (x > Math.SQRT2) x /= 2, exponent++;
  const s = (x - 1) / (x + 1), z = s * s;
  let sum = 0;
  for (let k = 23; k >= 1; k -= 2) sum = sum * z + 1 / k;
  return 2 * s * sum + exponent * Math.LN2;
}

function ratio(r: number, p: readonly number[], q: readonly number[]): number {
  let a = 0, b = 0;
  for (let i = p.length - 1; i >= 0; i--) a = a * r + p[i], b = b * r + q[i];
  return a / b;
}

// deno-fmt-ignore
const central: [number[], number[]] = [
  [3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3],
  [1, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3],
];
const middle: [number[], number[]] = [
  [
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
  ],
  [
    1,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
  ],
];
const tail: [number[], number[]] = [
  [
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
  ],
  [
    1,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
  ],
];

/** Coefficients of AS 241, numerator and denominator from the constant up, for devices that evaluate it themselves. */
export const normalCoefficients: {
  /** For |p - 1/2| <= 0.425. */
  readonly central: readonly [readonly number[], readonly number[]];
  /** For sqrt(-ln p) <= 5. */
  readonly middle: readonly [readonly number[], readonly number[]];
  /** Beyond. */
  readonly tail: readonly [readonly number[], readonly number[]];
} = { central, middle, tail };

/** A standard normal number from a word (AS 241; the word's 32 bits give 2^32 distinct quantiles). */
export function toNormal(word: number): number {
  const p = ((word >>> 0) + 0.5) * 2 ** -32, q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(0.180625 - q * q, ...central);
  const r = Math.sqrt(-portableLog(q < 0 ? p : 1 - p));
  const value = r <= 5 ? ratio(r - 1.6, ...middle) : ratio(r - 5, ...tail);
  return q < 0 ? -value : value;
}

/**
 * Where a generator stands; two numbers say it all.
 *
 * @category Tensors
 */
export interface GeneratorState {
  /** The seed: an integer in [0, 2^53). */
  seed: number;
  /** The next unused word of the stream. */
  offset: number;
}

let onDraw: (() => void) | null = null;

/** Calls `f` before every number that is drawn in JavaScript, until `f` is null. */
export function watchDraws(f: (() => void) | null): void {
  onDraw = f;
}

/**
 * A stream of random numbers that can be saved, restored and handed out in blocks to devices.
 *
 * @category Tensors
 */
export class Generator {
  #seed: number;
  #offset = 0;

  /**
   * A stream for `seed`, an integer in [0, 2^53).
   * @throws {OptionError} for a seed that is no whole number from 0 to 2^53 - 1.
   */
  constructor(seed: number) {
    demandNoMore(arguments, 1, "Generator");
    this.#seed = checkSeed(seed);
  }

  /**
   * Starts over with another seed.
   * @throws {OptionError} for a seed that is no whole number from 0 to 2^53 - 1.
   */
  seed(seed: number): void {
    demandNoMore(arguments, 1, "seed");
    this.#seed = checkSeed(seed);
    this.#offset = 0;
  }

  /** Reserves `count` words for a device to fill; the block starts at a multiple of four. */
  reserve(count: number): GeneratorState {
    demandNoMore(arguments, 1, "reserve");
    const start = Math.ceil(this.#offset / 4) * 4;
    this.#offset = start + count;
    return { seed: this.#seed, offset: start };
  }

  /** The next 32 random bits. */
  word(): number {
    demandNoMore(arguments, 0, "word");
    onDraw?.();
    philox(this.#seed, Math.floor(this.#offset / 4), scratch);
    return scratch[this.#offset++ % 4];
  }

  /** The next uniform double in [0, 1), from 53 bits. */
  uniform(): number {
    demandNoMore(arguments, 0, "uniform");
    return (this.word() * 2097152 + (this.word() >>> 11)) * 2 ** -53;
  }

  /** The next standard normal number. */
  normal(): number {
    demandNoMore(arguments, 0, "normal");
    return toNormal(this.word());
  }

  /** An integer in [low, high), without bias that a test could find (53 random bits). */
  integer(low: number, high: number): number {
    demandNoMore(arguments, 2, "integer");
    return low + Math.floor(this.uniform() * (high - low));
  }

  /** What {@link setState} takes to continue from here. */
  getState(): GeneratorState {
    demandNoMore(arguments, 0, "getState");
    return { seed: this.#seed, offset: this.#offset };
  }

  /**
   * Continues where `state` was taken.
   * @throws {OptionError} for what `getState` does not give.
   */
  setState(state: GeneratorState): void {
    demandNoMore(arguments, 1, "setState");
    const seed = checkSeed(state?.seed);
    if (!Number.isSafeInteger(state.offset) || state.offset < 0) {
      throw new OptionError(
        `Generator: the offset of one is a whole number from 0, not ${show(state.offset)}`,
      );
    }
    this.#seed = seed;
    this.#offset = state.offset;
  }
}

function checkSeed(seed: number): number {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new OptionError(`Generator: a seed is an integer from 0 to 2^53 - 1, not ${show(seed)}`);
  }
  return seed;
}
