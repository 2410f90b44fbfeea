/**
 * Tensors of random numbers.
 *
 * They come from one generator per process, seeded by `manualSeed`, or from a seed given with the call; the same seed
 * gives the same bits on every device and runtime.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { fillRandom } from "../backends/kernels/random.ts";
import { fitsRange, isFloat } from "../core/dtype.ts";
import { DTypeError, OptionError } from "../core/errors.ts";
import { number, seed as aSeed } from "../core/kinds.ts";
import { fixed, isDynamic, isNumber } from "../core/number.ts";
import { checkOption, checkOptions, type OptionTable } from "../core/options.ts";
import { Generator, type GeneratorState } from "../core/random.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { activeCapture, backendOf, fromNumbers, perRun, refuseCapture, tidy } from "../tensor/mod.ts";
import { empty } from "./bridge.ts";
import { checkShape, finish, generated, type TensorOptions, tensorOptions } from "./create.ts";
import { add, mul } from "./elementwise.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Options of the random functions.
 *
 * @category Create tensors
 */
export interface RandomOptions extends TensorOptions {
  /** An integer that makes the result reproducible on its own, leaving the process's generator alone. */
  seed?: number;
}

const randomOptions: OptionTable<RandomOptions> = { ...tensorOptions, seed: aSeed };

const finite = number();

const generator = new Generator(Math.floor(Math.random() * 2 ** 48));

const stateOfGenerator = {
  get: (): GeneratorState => generator.getState(),
  set: (state: GeneratorState): void => generator.setState(state),
};

/** A number of the run, when there is one. */
const now = (x: number): number => isDynamic(x) ? Number(x) : x;

/**
 * Seeds the process's random numbers: the same seed gives the same tensors and samples from here on.
 *
 * @throws {OptionError} for a seed that is no whole number from 0.
 * @category Create tensors
 */
export function manualSeed(seed: number): void {
  demandNoMore(arguments, 1, "manualSeed");
  const set = (): void => toldAs("manualSeed", ["Generator"], () => generator.seed(now(seed)));
  const capture = activeCapture();
  if (capture) capture.effect(generator, stateOfGenerator, set);
  else set();
}

/**
 * Where the process's random numbers stand, for {@link setRandomState}.
 *
 * @category Create tensors
 */
export function randomState(): GeneratorState {
  demandNoMore(arguments, 0, "randomState");
  refuseCapture("randomState", "where random numbers stand differs from run to run; ask for it outside");
  return generator.getState();
}

/**
 * Continues the process's random numbers where `state` was taken.
 *
 * @throws {OptionError} for what {@link randomState} did not give.
 * @category Create tensors
 */
export function setRandomState(state: GeneratorState): void {
  demandNoMore(arguments, 1, "setRandomState");
  const set = (): void => toldAs("setRandomState", ["Generator"], () => generator.setState(state));
  const capture = activeCapture();
  if (!capture) return set();
  const { seed, offset } = state ?? {} as GeneratorState;
  capture.effect(
    generator,
    stateOfGenerator,
    () =>
      toldAs(
        "setRandomState",
        ["Generator"],
        () => generator.setState({ seed: now(seed), offset: now(offset) }),
      ),
  );
}

/**
 * The process's generator.
 *
 * @category Create tensors
 */
export function defaultGenerator(): Generator {
  demandNoMore(arguments, 0, "defaultGenerator");
  return generator;
}

/** What was drawn while something was computed, so that it can be computed again. */
export interface Draws {
  /** One entry a draw, in a function that is captured. */
  readonly list: unknown[];
  /** The next one to be repeated; null while draws are written down. */
  next: number | null;
  /** Where the process's numbers stood, elsewhere: whatever draws them, they are the same from there. */
  began?: GeneratorState;
}

/** The logs that are open, innermost first. */
interface OpenDraws {
  readonly log: Draws;
  readonly around: OpenDraws | null;
}

let draws: OpenDraws | null = null;

/** Runs `f` and writes down what it draws, or repeats what was written down. */
export function withDraws<T>(log: Draws, f: () => T): T {
  if (!activeCapture()) {
    if (log.next === null) {
      log.began = generator.getState();
      return f();
    }
    const now = generator.getState();
    generator.setState(log.began!);
    try {
      return f();
    } finally {
      generator.setState(now);
    }
  }
  const before = draws;
  draws = { log, around: before };
  try {
    return f();
  } finally {
    draws = before;
  }
}

/** What `draw` gives, or what it gave the last time. */
function drawn<T>(draw: () => T, open: OpenDraws | null = draws): T {
  if (!open) return draw();
  const { log, around } = open;
  if (log.next !== null) return log.list[log.next++] as T;
  // What is drawn inside of what is repeated is repeated as well.
  const found = drawn(draw, around);
  log.list.push(found);
  return found;
}

function random(what: string, kind: "uniform" | "normal", shape: Shape, options: RandomOptions): Tensor {
  const { dtype = "f32" } = options;
  if (!isFloat(dtype)) {
    throw new DTypeError(`${what}: random numbers are floating-point; use randint for ${dtype}`);
  }
  const backend = backendOf(options.device), size = sizeOf(checkShape(shape, what));
  const draw = (source: Generator): readonly number[] => {
    const { seed, offset } = source.reserve(size);
    return [seed, offset];
  };
  return finish(
    tidy(() => {
      // Nothing is drawn for what there is no memory for.
      const out = empty([...shape], "f32", backend, kind);
      const [seed, offset] = options.seed === undefined
        ? drawn(() => perRun(2, () => draw(generator), stateOfGenerator))
        : draw(new Generator(fixed(options.seed)));
      if (size) fillRandom(backend, kind, seed, offset, out);
      return toDType(out, dtype);
    }),
    options.requiresGrad,
  );
}

/**
 * Uniform random numbers of that shape, in [0, 1).
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that is not floating-point, or that the device does not hold.
 * @example
 * ```ts
 * rand([2, 3], { seed: 1 }).shape; // [2, 3]
 * ```
 * @category Create tensors
 */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  demandNoMore(arguments, 2, "rand");
  return random("rand", "uniform", shape, checkOptions("rand", options, randomOptions));
}

/**
 * Standard normal random numbers of that shape.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that is not floating-point, or that the device does not hold.
 * @category Create tensors
 */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  demandNoMore(arguments, 2, "randn");
  return random("randn", "normal", shape, checkOptions("randn", options, randomOptions));
}

/**
 * Random whole numbers in [0, high); i32 unless told.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * randint(10, [4], { seed: 1 }).dtype; // "i32"
 * ```
 * @category Create tensors
 */
export function randint(high: number, shape: Shape, options?: RandomOptions): Tensor;
/**
 * Random whole numbers in [low, high); i32 unless told.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function randint(low: number, high: number, shape: Shape, options?: RandomOptions): Tensor;
export function randint(first: number, ...rest: (number | Shape | RandomOptions | undefined)[]): Tensor {
  demandNoMore(arguments, isNumber(rest[0]) ? 4 : 3, "randint");
  const [low, high] = (isNumber(rest[0]) ? [first, rest.shift() as number] : [0, first]).map(fixed);
  const [shape, given] = rest as [Shape, RandomOptions?];
  const { seed, ...options } = checkOptions("randint", given, randomOptions);
  if (!(Number.isInteger(low) && Number.isInteger(high) && low < high)) {
    throw new OptionError(`randint: low ${low} and high ${high} must be whole numbers, low < high`);
  }
  const { dtype = "i32", device, requiresGrad } = options;
  const wide = [low, high - 1].find((n) => !fitsRange(n, dtype));
  if (wide !== undefined) {
    throw new OptionError(
      `randint: ${wide} is not a number of ${dtype}; pass { dtype: "i64" } or narrow the range`,
    );
  }
  const size = sizeOf(checkShape(shape, "randint"));
  const source = (): Generator => seed === undefined ? generator : new Generator(fixed(seed));
  const draw = (): Float64Array => {
    const from = source();
    return Float64Array.from({ length: size }, () => from.integer(low, high));
  };
  const capture = activeCapture();
  if (!capture) {
    const from = source();
    return generated("randint", shape, () => from.integer(low, high), { ...options, dtype });
  }
  const backend = backendOf(device), out = empty([...shape], dtype, backend, "randint");
  // Repeated, the numbers are those of the same run.
  let isRepeated = true;
  const run = drawn((): { values: Float64Array } => {
    isRepeated = false;
    return { values: new Float64Array(0) };
  });
  if (size) {
    capture.uploadPerRun(backend, out.buffer, () => {
      if (!isRepeated) run.values = draw();
      const values = fromNumbers(run.values, dtype);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    }, stateOfGenerator);
  }
  return finish(out, requiresGrad);
}

/** @throws {OptionError} for bounds that are no numbers, or the wrong way round. */
export function demandBounds(what: string, low: number, high: number): void {
  checkOption(what, "low", low, finite);
  checkOption(what, "high", high, finite);
  if (fixed(low) > fixed(high)) {
    throw new OptionError(`${what}: low is ${low} and high is ${high}, expected low to be at most high`);
  }
}

/**
 * Uniform random numbers of that shape, in [low, high).
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist and a `low` above `high`.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that is not floating-point, or that the device does not hold.
 * @category Create tensors
 */
export function uniform(shape: Shape, low: number, high: number, options: RandomOptions = {}): Tensor {
  demandNoMore(arguments, 4, "uniform");
  const { requiresGrad, ...rest } = checkOptions("uniform", options, randomOptions);
  demandBounds("uniform", low, high);
  const out = tidy(() => add(mul(random("uniform", "uniform", shape, rest), high - low), low));
  return finish(out, requiresGrad);
}
