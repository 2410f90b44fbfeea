/**
 * Finding the operation that makes NaN, as `torch.autograd.set_detect_anomaly` does, forward and backward.
 *
 * While it looks, every result and every gradient is reduced to one number, which is NaN where one of its elements is. A
 * device that answers at once is asked at once, so that the error comes from the call that made the NaN; of one that answers
 * late the numbers are gathered, and the next read (or the end) says which was the first. It costs a pass over every result:
 * it is for finding a fault, not for every day.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../core/demand.ts";
import type { Backend } from "../backends/contract.ts";
import { isFloat } from "../core/dtype.ts";
import { FerrotypeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { alias, empty, type TensorBase } from "./base.ts";
import { keep, tidy } from "./lifetime.ts";
import { activeWatcher, setWatcher, type TapeNode, type Watcher } from "./tape.ts";
import { readNow, toNumbers } from "./transfer.ts";

/** One number for all elements of `t`: NaN where one of them is; null where none can be. */
function extremeOf(t: TensorBase): TensorBase | null {
  if (!isFloat(t.dtype) || t.size === 0) return null;
  return keep(tidy(() => {
    const x = t.shape.length ? t : alias(t, [1], [1]), ones = x.shape.map(() => 1);
    const out = empty(ones, t.dtype, t.backend, "detectAnomaly");
    t.backend.reduce("max", null, [x], [], x.shape.map((_, axis) => axis), out);
    return out;
  }));
}

/** A question whose answer is on its way: whether one of `extremes` is NaN, and what is then to be said. */
interface Question {
  readonly extremes: readonly (TensorBase | null)[];
  readonly say: (places: readonly number[]) => FerrotypeError | null;
}

const isNaNs = (places: readonly number[], k: number): boolean => places.includes(k);
const name = (t: TensorBase): string => `${formatShape(t.shape)} ${t.dtype}`;

/** Looks at everything that is computed. */
class Detector implements Watcher {
  readonly #late = new Map<Backend, Question[]>();
  #isLooking = false;

  value(op: string, output: TensorBase, inputs: readonly TensorBase[]): void {
    if (this.#isLooking || !isFloat(output.dtype)) return;
    const given = inputs.map(name), made = name(output);
    this.#ask([output, ...inputs], (found) => {
      const input = inputs.findIndex((_, i) => isNaNs(found, i + 1));
      if (input >= 0) {
        return new FerrotypeError(
          `detectAnomaly: ${op} was given NaN: its input ${input} (${given[input]}) has one`,
        );
      }
      if (!isNaNs(found, 0)) return null;
      const from = given.length ? `inputs without NaN (${given.join(", ")})` : "nothing";
      return new FerrotypeError(`detectAnomaly: ${op} made NaN in its result (${made}) of ${from}`);
    });
  }

  gradient(node: TapeNode, given: TensorBase, flow: readonly (TensorBase | null)[]): void {
    const { name: op, madeAt } = node, shape = name(given);
    this.#ask([given, ...flow], (found) => {
      const cause = madeAt === null
        ? {}
        : { cause: Object.assign(new Error(`${op} was computed here`), { stack: madeAt }) };
      if (isNaNs(found, 0)) {
        return new FerrotypeError(
          `detectAnomaly: the gradient of the result of ${op} (${shape}) has NaN`,
          cause,
        );
      }
      const input = flow.findIndex((_, i) => isNaNs(found, i + 1));
      if (input < 0) return null;
      return new FerrotypeError(
        `detectAnomaly: ${op} made NaN in the gradient of its input ${input} (${
          name(flow[input]!)
        }), of a gradient without NaN (${shape})`,
        cause,
      );
    });
  }

  settle(backend: Backend): Promise<void> | null {
    const questions = this.#late.get(backend);
    if (!questions) return null;
    this.#late.delete(backend);
    return this.#answers(questions);
  }

  /** Says what is still to be said, on all devices. */
  async settleAll(): Promise<void> {
    for (const backend of [...this.#late.keys()]) await this.settle(backend);
  }

  #ask(tensors: readonly (TensorBase | null)[], say: Question["say"]): void {
    this.#isLooking = true;
    try {
      const extremes = tensors.map((t) => t && extremeOf(t)), backend = tensors[0]!.backend;
      if (!backend.mapped) {
        const questions = this.#late.get(backend) ?? [];
        this.#late.set(backend, questions);
        questions.push({ extremes, say });
        return;
      }
      const found: number[] = [];
      extremes.forEach((t, i) => {
        if (t && Number.isNaN(toNumbers(readNow(t)!, t.dtype)[0])) found.push(i);
        t?.dispose();
      });
      const error = found.length ? say(found) : null;
      if (error) throw error;
    } finally {
      this.#isLooking = false;
    }
  }

  async #answers(questions: readonly Question[]): Promise<void> {
    let first: FerrotypeError | null = null;
    for (const { extremes, say } of questions) {
      const found: number[] = [];
      for (const [i, t] of extremes.entries()) {
        if (t && first === null) {
          const bytes = await t.backend.download(t.buffer, 0, t.buffer.byteLength);
          if (Number.isNaN(numberOf(bytes, t))) found.push(i);
        }
        t?.dispose();
      }
      if (found.length) first ??= say(found);
    }
    if (first) throw first;
  }
}

function numberOf(bytes: Uint8Array, t: TensorBase): number {
  const words = t.dtype === "f16" || t.dtype === "bf16"
    ? new Uint16Array(bytes.slice(0, 2).buffer)
    : new Float32Array(bytes.slice(0, 4).buffer);
  return toNumbers(words, t.dtype)[0];
}

/**
 * Runs `f` and throws where NaN first comes up: the operation is named, whether a result or a gradient became NaN, and what
 * it was given. The error's `cause` tells where in the program the operation of a gradient was called. Infinities are let
 * pass: masks are made of them.
 *
 * An async `f` is watched until its promise settles. On a device that answers late (WebGPU) the error comes with the next
 * read of a value inside of `f`, or from the promise of an async `f`.
 *
 * @example
 * ```ts
 * try {
 *   detectAnomaly(() => tensor([1, -1]).sqrt().mean());
 * } catch (error) {
 *   console.log((error as Error).message); // sqrt made NaN in its result …
 * }
 * ```
 *
 * @throws {FerrotypeError} naming the operation.
 * @throws {OptionError} for an `f` that is no function.
 * @category Gradients and programs
 */
export function detectAnomaly<T>(f: () => T): T {
  demandNoMore(arguments, 1, "detectAnomaly");
  demandFunction("detectAnomaly", f);
  const before = activeWatcher(), own = new Detector();
  setWatcher(own);
  let result: T;
  try {
    result = f();
  } catch (error) {
    setWatcher(before);
    throw error;
  }
  if (!(result instanceof Promise)) {
    setWatcher(before);
    return result;
  }
  return result.then(async (value) => {
    await own.settleAll();
    return value;
  }).finally(() => setWatcher(before)) as T;
}
