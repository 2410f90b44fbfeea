/**
 * Runs programs on two devices at once, step by step. After each step the tested device is given the reference's numbers, so
 * that a step is judged by what it did itself, and errors do not grow from one to the next.
 */
import type { DeviceName } from "../../src/backends/contract.ts";
import { type DType, isFloat } from "../../src/core/dtype.ts";
import { DeviceError, DTypeError, FerrotypeError } from "../../src/core/errors.ts";
import { fromBf16, fromF16 } from "../../src/core/half.ts";
import type { Dice } from "./dice.ts";
import { copyInto, eq, onesLike, type Tensor, tensor, toDType, where, zerosLike } from "../../src/ops/mod.ts";
import { backendOf, gradients, noGrad, tidy } from "../../src/tensor/mod.ts";
import { type Allowance, difference, type Numbers, rounding } from "./compare.ts";
import { type Known, type Operation, operations } from "./operations.ts";
import type { Leaf, Step } from "./program.ts";

/** What went wrong, in words; null when nothing did. */
export type Verdict = string | null;

/** The elements of `t` as numbers, i64 as bigints. */
export async function numbersOf(t: Tensor): Promise<Numbers> {
  const data = await t.data();
  if (t.dtype === "f16") return Float32Array.from(data as Uint16Array, fromF16);
  return t.dtype === "bf16" ? Float32Array.from(data as Uint16Array, fromBf16) : data;
}

/** A leaf on a device. */
export function leafOn({ dtype, shape, values, requiresGrad }: Leaf, device: DeviceName): Tensor {
  return tensor(Float64Array.from(values), { shape, dtype, device, requiresGrad });
}

/** Operations that look at the divisor where it can be seen. */
const dividesIntegers = new Set(["floorDivide", "remainder", "fmod"]);

/** Numbers that overflow or cancel beyond f32 when they are summed or squared. */
const huge = 2 ** 60;

/** Numbers whose squares leave nothing of ordinary ones. */
const large = 2 ** 20;

/** The values of a program on both devices. */
export class Twins {
  /** On the reference device. */
  readonly expected: Tensor[] = [];
  /** On the tested one. */
  readonly actual: Tensor[] = [];
  readonly #device: DeviceName;
  readonly #sizes: number[] = []; // the largest finite number of each value
  /** The smallest number that is not 0, of each value. */
  readonly #least: number[] = [];
  readonly #finite: boolean[] = []; // whether all its numbers are finite

  /** Whether the device sees values only when they are read. */
  readonly #isLate: boolean;

  /** Runs on `device`, beside the reference device. */
  constructor(device: DeviceName, isLate: boolean = backendOf(device).mapped === undefined) {
    this.#device = device;
    this.#isLate = isLate;
  }

  /** What is there, for {@link Operation.draw}. */
  get known(): readonly Known[] {
    return this.expected;
  }

  /** Whether all numbers so far are ordinary, so that errors stay errors of rounding. */
  get isTame(): boolean {
    return this.#finite.every((finite) => finite) && this.#sizes.every((size) => size < 1e4);
  }

  /** Makes a leaf on both. */
  leaf(leaf: Leaf): void {
    this.expected.push(leafOn(leaf, "reference"));
    this.actual.push(leafOn(leaf, this.#device));
    this.#measure(leaf.values);
  }

  /** Takes a step on both. "refused" where both refuse it: then there is no value. */
  async step(step: Step, random: Dice | null): Promise<Verdict | "refused"> {
    const operation = operations[step.op], { args } = step;
    const refused = await this.#attempt(operation, step, true);
    const actual = await this.#attempt(operation, step, false);
    const expected = refused.error && !actual.error ? await this.#lately(operation, step, refused) : refused;
    if (expected.error || actual.error) return refusal(expected.error, actual.error);
    const want = expected.value!, have = actual.value!;
    const problem = this.#compareForms(want, have) ??
      difference(
        want.dtype,
        actual.numbers!,
        expected.numbers!,
        await this.#allowance(operation, step, want.dtype),
      );
    if (problem !== null) {
      const excuse = operation.near === "composed" && isFloat(want.dtype)
        ? await this.#excuse(operation, step, want.dtype, actual.numbers!, expected.numbers!)
        : problem;
      if (excuse !== null) return excuse;
    }
    const isView = args.some((i) => this.actual[i].storage === have.storage);
    if (!isView && difference(want.dtype, actual.numbers!, expected.numbers!, () => 0) !== null) {
      const { version } = have.storage;
      const data = await want.data();
      noGrad(() =>
        tidy(() =>
          copyInto(tensor(data, { shape: want.shape, dtype: want.dtype, device: this.#device }), have)
        )
      );
      have.storage.version = version;
    }
    if (random !== null && operation.smooth) {
      const wrong = await this.#slopes(operation, step, want, random);
      if (wrong !== null) return wrong;
    }
    this.expected.push(want);
    this.actual.push(have);
    this.#measure(expected.numbers!);
    return null;
  }

  #measure(values: Numbers): void {
    let size = 0, least = Infinity, finite = true;
    for (let i = 0; i < values.length; i++) {
      const x = Math.abs(Number(values[i]));
      if (!(x < Infinity)) finite = false;
      else if (x > size) size = x;
      if (x > 0 && x < least) least = x;
    }
    this.#least.push(least);
    this.#sizes.push(size);
    this.#finite.push(finite);
  }

  async #attempt(
    { run }: Operation,
    { args, params }: Step,
    reference: boolean,
  ): Promise<{ value?: Tensor; numbers?: Numbers; error?: unknown }> {
    const values = reference ? this.expected : this.actual;
    try {
      const value = run(args.map((i) => values[i]), params);
      return { value, numbers: await numbersOf(value) };
    } catch (error) {
      return { error };
    }
  }

  /** What a device that answers late gives by the rule of docs/errors.md, where the reference device refuses the values. */
  async #lately(
    operation: Operation,
    step: Step,
    refused: { error?: unknown },
  ): Promise<{ value?: Tensor; numbers?: Numbers; error?: unknown }> {
    const { error } = refused,
      isByZero = error instanceof DTypeError && /no quotient by 0/.test(error.message);
    if (!this.#isLate || !isByZero || !dividesIntegers.has(step.op)) return refused;
    const [a, b] = step.args.map((i) => this.expected[i]), isZero = eq(b, 0);
    const value = operation.run([a, where(isZero, onesLike(b), b)], step.params);
    const zeroed = where(isZero, zerosLike(value), value);
    return { value: zeroed, numbers: await numbersOf(zeroed) };
  }

  #compareForms(want: Tensor, have: Tensor): Verdict {
    if (want.dtype !== have.dtype) return `the result is ${have.dtype} instead of ${want.dtype}`;
    if (String(want.shape) !== String(have.shape)) {
      return `the shape is [${have.shape}] instead of [${want.shape}]`;
    }
    return want.requiresGrad === have.requiresGrad ? null : `requiresGrad is ${have.requiresGrad}`;
  }

  async #allowance(operation: Operation, step: Step, dtype: DType): Promise<Allowance> {
    // What overflows in the middle may do so in one way of computing and not in another.
    const sizes = step.args.map((i) => this.#sizes[i]),
      isHuge = sizes.some((size) => size >= huge && size < Infinity);
    switch (operation.near) {
      case "exact":
        return () => 0;
      case "rounded":
        // A GPU's powers are as exact as its logarithms.
        return (_, e) => rounding(dtype, e, this.#device === "webgpu" ? 2 ** -17 : 2 ** -20);
      case "summed": {
        if (isHuge) return () => Infinity;
        const terms = await noGrad(() =>
          tidy(() => {
            // Positions have no size.
            const sized = step.args.map((i, k) =>
              k === 1 && step.op === "scatterAdd" ? this.expected[i] : toDType(this.expected[i], "f64").abs()
            );
            return numbersOf(operation.run(sized, step.params));
          })
        );
        // Sums of products run in chains of some hundred terms, which may all round to one side.
        const relative = /^(matmul|gram|einsum)/.test(step.op) ? 2 ** -15 : 2 ** -20;
        return (i, e) => rounding(dtype, e, 2 ** -22) + relative * Number(terms[i]);
      }
      default:
        if (step.args.some((i) => this.#sizes[i] >= large)) return () => Infinity;
        // A product of many may overflow on the way to 0.
        if (step.op === "prod") {
          const { size } = this.expected[step.args[0]];
          if (size * Math.log2(Math.max(2, this.#sizes[step.args[0]])) > 100) return () => Infinity;
        }
        // A masked score times infinity is NaN by the definition, and nothing where it is not computed.
        if (isHuge || (step.op === "attention" && !step.args.every((i) => this.#finite[i]))) {
          return () => Infinity;
        }
        return (_, e) => rounding(dtype, e, 2 ** -20);
    }
  }

  /** Null where the result is not much further from the truth than the reference's, which rounds after every operation. */
  async #excuse(
    operation: Operation,
    step: Step,
    dtype: DType,
    actual: Numbers,
    expected: Numbers,
  ): Promise<Verdict> {
    const truth = await this.#inDouble((wide) => operation.run(wide, step.params), step.args);
    const scale = Array.from(truth, Number).reduce(
      (most, x) => Math.abs(x) < 1e6 ? Math.max(most, Math.abs(x)) : most,
      1,
    );
    const inputs = Math.max(...step.args.map((i) => this.#sizes[i]));
    return difference(
      dtype,
      actual,
      truth,
      (i, t) =>
        64 * Math.abs(Number(expected[i]) - t) + rounding(dtype, t, 2 ** -18) + 2 ** -20 * (scale + inputs),
    );
  }

  /** A step in double precision on the reference device; other dtypes than floats stay. */
  #inDouble(run: (wide: Tensor[]) => Tensor, args: readonly number[]): Promise<Numbers> {
    return noGrad(() =>
      tidy(() => {
        const wide = args.map((i) =>
          isFloat(this.expected[i].dtype) ? toDType(this.expected[i], "f64") : this.expected[i]
        );
        return numbersOf(run(wide));
      })
    );
  }

  /** Whether the gradients of one step by its inputs agree, as far as numbers are tame. */
  async #slopes(operation: Operation, step: Step, want: Tensor, random: Dice): Promise<Verdict> {
    if (
      !isFloat(want.dtype) || want.size === 0 ||
      step.args.some((i) => !(this.#finite[i] && this.#sizes[i] < 1e4))
    ) {
      return null;
    }
    // y · x ** (y - 1) overflows in the middle where x is next to nothing, in PyTorch as here.
    if (step.op === "pow" && this.#least[step.args[0]] < 2 ** -100) return null;
    // Of a negative number it is defined where y - 1 is whole, and a y next to that becomes it by rounding, in PyTorch as here.
    if (step.op === "pow" && Array.from(await numbersOf(want), Number).some(Number.isNaN)) return null;
    const inputs = Math.max(...step.args.map((i) => this.#sizes[i]));
    const floats = step.args.map((i, k) => isFloat(this.expected[i].dtype) ? k : -1).filter((k) => k >= 0);
    if (!floats.length) return null;
    const seed = Float64Array.from({ length: want.size }, () => Math.fround(random.normal()));
    const largest = seed.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    const [expected, actual] = [
      await this.#gradients(operation, step, floats, seed, this.expected, "reference", false),
      await this.#gradients(operation, step, floats, seed, this.actual, this.#device, false),
    ];

    if (expected.error || actual.error) {
      const wrong = refusal(expected.error, actual.error);
      return wrong === "refused" ? null : `gradient: ${wrong}`;
    }
    for (const k of floats.keys()) {
      const [e, a] = [expected, actual].map(({ numbers }) => numbers?.[k]);
      if (!e || !a) {
        if (e || a) return `gradient by argument ${floats[k]}: there is ${a ? "one" : "none"}`;
        continue;
      }
      const { dtype } = this.expected[step.args[floats[k]]];
      // Terms of about the size of the inputs may leave little of each other.
      const scale = Array.from(e, Number).reduce(
        (most, x) => Math.abs(x) < Infinity ? Math.max(most, Math.abs(x)) : most,
        1 + inputs,
      );
      // Two terms that cancel are each off by a rounding.
      const left = operation.cancelling?.(step.args.map((i) => this.expected[i]), inputs, largest) ?? 0;
      const off = 2 ** -18 * scale + 2 ** -23 * left;
      const near: Allowance = (_, x) =>
        Math.abs(x) >= 2 ** 100 ? Infinity : rounding(dtype, x, 2 ** -16) + off;
      if (difference(dtype, a, e, near) === null) continue;
      const wide = await this.#gradients(operation, step, floats, seed, this.expected, "reference", true);
      const truth = wide.numbers?.[k];
      const wrong = difference(dtype, a, e, (i, x) => {
        const rounded = truth && Number.isFinite(truth[i])
          ? 64 * Math.abs(Number(e[i]) - Number(truth[i]))
          : 0;
        return near(i, x) + rounded;
      });
      if (wrong !== null) return `gradient by argument ${floats[k]}: ${wrong}`;
    }
    return null;
  }

  async #gradients(
    operation: Operation,
    { args, params }: Step,
    floats: readonly number[],
    seed: Float64Array,
    values: readonly Tensor[],
    device: DeviceName,
    wide: boolean,
  ): Promise<{ numbers?: (Numbers | null)[]; error?: unknown }> {
    try {
      return await tidy(async () => {
        const inputs = args.map((i) => {
          const x = values[i].detach();
          return (wide && isFloat(x.dtype) ? toDType(x, "f64") : x) as Tensor;
        });
        for (const k of floats) inputs[k].requiresGrad_();
        const y = operation.run(inputs, params);
        if (!y.requiresGrad) return { numbers: floats.map(() => null) };
        const g = tensor(seed, { shape: y.shape, dtype: y.dtype, device });
        const found = gradients(y, floats.map((k) => inputs[k]), g) as (Tensor | null)[];
        return { numbers: await Promise.all(found.map((t) => t && numbersOf(t))) };
      });
    } catch (error) {
      return { error };
    }
  }
}

/** What is wrong with how a step was refused; "refused" when both devices refused it for the same kind of reason. */
function refusal(expected: unknown, actual: unknown): Verdict | "refused" {
  for (const [who, error] of [["the reference device", expected], ["the tested device", actual]] as const) {
    if (error !== undefined && !(error instanceof FerrotypeError)) {
      return `${who} throws ${error instanceof Error ? error.stack : String(error)}`;
    }
  }
  const [e, a] = [expected, actual] as (FerrotypeError | undefined)[];
  if (a instanceof DeviceError && !(e instanceof DeviceError)) {
    return `the tested device throws ${a.name}: ${a.message}`;
  }
  if (e && a && e.name === a.name) return "refused";
  const say = (error: FerrotypeError | undefined): string =>
    error ? `throws ${error.name}: ${error.message}` : "does it";
  return `the reference device ${say(e)}, the tested device ${say(a)}`;
}
