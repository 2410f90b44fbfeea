/**
 * How parameters begin. All fill a tensor in place from the process's generator (`manualSeed`).
 *
 * @module
 */
import { demandFunction, demandNoMore, toldAs } from "../core/demand.ts";
import { isFloat, isQuantized } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { number } from "../core/kinds.ts";
import { checkOption } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { copyInto, full, rand, randn, type Tensor } from "../ops/mod.ts";
import { demandBounds } from "../ops/random.ts";
import { demandTensor, noGrad, tidy } from "../tensor/mod.ts";

const aNumber = number(), fromZero = number({ from: 0 });

let skipped = false;

/**
 * Runs `f` with initialisation switched off: for parameters that are about to be overwritten by a
 *   checkpoint.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @category Modules
 */
export function withoutInit<T>(f: () => T): T {
  demandNoMore(arguments, 1, "init.withoutInit");
  demandFunction("withoutInit", f);
  const before = skipped;
  skipped = true;
  try {
    return f();
  } finally {
    skipped = before;
  }
}

function fill(t: Tensor, make: () => Tensor): Tensor {
  if (skipped) return t;
  noGrad(() => tidy(() => copyInto(make(), t)));
  return t;
}

/** @throws {DTypeError} for what is no tensor of numbers with fractions. */
function demandFloats(what: string, t: Tensor): void {
  demandTensor(what, t, "t");
  if (isFloat(t.dtype) || isQuantized(t.dtype)) return;
  throw new DTypeError(
    `${what}: the tensor is ${t.dtype}, and what is drawn has fractions; give one of floats`,
  );
}

function filled(what: string, t: Tensor, value: number): Tensor {
  demandTensor(what, t, "t");
  return toldAs(
    what,
    ["full"],
    () => fill(t, () => full(t.shape, value, { device: t.device, dtype: t.dtype })),
  );
}

/**
 * Inputs and outputs of a weight [out, in, …]: what one output sums over, and what one input feeds.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for fewer than 2 dims.
 * @category Modules
 */
export function fans(t: Tensor): { fanIn: number; fanOut: number } {
  demandNoMore(arguments, 1, "init.fans");
  return fansOf("init.fans", t);
}

function fansOf(what: string, t: Tensor): { fanIn: number; fanOut: number } {
  demandFloats(what, t);
  if (t.shape.length < 2) {
    throw new ShapeError(`${what}: a weight has at least 2 dims, not ${formatShape(t.shape)}`);
  }
  const field = t.shape.slice(2).reduce((a, b) => a * b, 1);
  return { fanIn: t.shape[1] * field, fanOut: t.shape[0] * field };
}

/**
 * Fills `tensor`, of any shape, with uniform numbers in [low, high), and gives it back.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for bounds that are no numbers, or a `low` above `high`.
 * @category Modules
 */
export function uniform(t: Tensor, low = 0, high = 1): Tensor {
  demandNoMore(arguments, 3, "init.uniform");
  demandFloats("init.uniform", t);
  demandBounds("init.uniform", low, high);
  return fill(t, () => rand(t.shape, { device: t.device }).mul(high - low).add(low));
}

/**
 * Fills `tensor`, of any shape, with normal numbers, and gives it back.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for a mean or a deviation that is no number, and a negative deviation.
 * @category Modules
 */
export function normal(t: Tensor, mean = 0, std = 1): Tensor {
  demandNoMore(arguments, 3, "init.normal");
  demandFloats("init.normal", t);
  checkOption("init.normal", "mean", mean, aNumber);
  checkOption("init.normal", "std", std, fromZero);
  return fill(t, () => randn(t.shape, { device: t.device }).mul(std).add(mean));
}

/**
 * Every element `value`.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for a value that is no number of its dtype.
 * @category Modules
 */
export function constant(t: Tensor, value: number): Tensor {
  demandNoMore(arguments, 2, "init.constant");
  return filled("init.constant", t, value);
}

/**
 * Fills `tensor`, of any shape, with zeros, and gives it back.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Modules
 */
export function zeros(t: Tensor): Tensor {
  demandNoMore(arguments, 1, "init.zeros");
  return filled("init.zeros", t, 0);
}

/**
 * Fills `tensor`, of any shape, with ones, and gives it back.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Modules
 */
export function ones(t: Tensor): Tensor {
  demandNoMore(arguments, 1, "init.ones");
  return filled("init.ones", t, 1);
}

/** Uniform in ±bound; what has no inputs has an infinite bound, and no elements either. */
const within = (t: Tensor, bound: number): Tensor => t.size === 0 ? t : uniform(t, -bound, bound);

/** Normal with the deviation `std`; what has no inputs has an infinite one, and no elements either. */
const around = (t: Tensor, std: number): Tensor => t.size === 0 ? t : normal(t, 0, std);

/**
 * Uniform in ±gain · √(6 / (fanIn + fanOut)) (Glorot, Bengio 2010); a weight without elements stays as it is.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for fewer than 2 dims.
 * @throws {OptionError} for a negative gain.
 * @category Modules
 */
export function xavierUniform(t: Tensor, gain = 1): Tensor {
  demandNoMore(arguments, 2, "init.xavierUniform");
  checkOption("init.xavierUniform", "gain", gain, fromZero);
  const { fanIn, fanOut } = fansOf("init.xavierUniform", t);
  return within(t, gain * Math.sqrt(6 / (fanIn + fanOut)));
}

/**
 * Normal with deviation gain · √(2 / (fanIn + fanOut)) (Glorot, Bengio 2010); a weight without elements stays as it is.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for fewer than 2 dims.
 * @throws {OptionError} for a negative gain.
 * @category Modules
 */
export function xavierNormal(t: Tensor, gain = 1): Tensor {
  demandNoMore(arguments, 2, "init.xavierNormal");
  checkOption("init.xavierNormal", "gain", gain, fromZero);
  const { fanIn, fanOut } = fansOf("init.xavierNormal", t);
  return around(t, gain * Math.sqrt(2 / (fanIn + fanOut)));
}

/**
 * Uniform in ±gain · √(3 / fanIn), gain √(2 / (1 + a²)) (He, Zhang, Ren, Sun 2015); a weight without elements stays as it is.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for fewer than 2 dims.
 * @throws {OptionError} for an `a` that is no number.
 * @category Modules
 */
export function kaimingUniform(t: Tensor, a = 0): Tensor {
  demandNoMore(arguments, 2, "init.kaimingUniform");
  checkOption("init.kaimingUniform", "a", a, aNumber);
  return within(t, Math.sqrt(2 / (1 + a * a)) * Math.sqrt(3 / fansOf("init.kaimingUniform", t).fanIn));
}

/**
 * Normal with deviation gain / √fanIn, gain √(2 / (1 + a²)) (He, Zhang, Ren, Sun 2015); a weight without elements stays as it is.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for fewer than 2 dims.
 * @throws {OptionError} for an `a` that is no number.
 * @category Modules
 */
export function kaimingNormal(t: Tensor, a = 0): Tensor {
  demandNoMore(arguments, 2, "init.kaimingNormal");
  checkOption("init.kaimingNormal", "a", a, aNumber);
  return around(t, Math.sqrt(2 / (1 + a * a)) / Math.sqrt(fansOf("init.kaimingNormal", t).fanIn));
}
