/**
 * An exponential moving average of the weights, which is judged and written in their place (Polyak and Juditsky 1992).
 *
 * After step n it is `d · average + (1 − d) · weights` with d = min(decay, (1 + n) / (10 + n)): so it forgets what a run began
 * with as fast as TensorFlow's `ExponentialMovingAverage` and diffusers' `EMAModel` do. Weights of 16 bits have an average
 * of 32, in which small changes are not lost.
 *
 * @module
 */
import { byteSize } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { sameShape } from "../core/shape.ts";
import { add, mul } from "../expr/build.ts";
import { input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { type Tensor, transpose } from "../ops/mod.ts";
import { computeType, copy, copyInto, keep, noGrad, tidy } from "../tensor/mod.ts";

const follow = [add(mul(scalar(0), input(1)), mul(scalar(1), input(0)))], exchange = [input(1), input(0)];

/** One parameter and its average. */
interface Pair {
  readonly name: string;
  readonly weights: Tensor;
  readonly average: Tensor;
}

/** The average of parameters. */
export class WeightAverage {
  /** How much of it stays at a step, once it is under way. */
  readonly decay: number;
  readonly #pairs: readonly Pair[];
  #updates = 0;

  /** Begins as what `parameters` are now. */
  constructor(parameters: readonly (readonly [name: string, weights: Tensor])[], decay: number) {
    this.decay = decay;
    this.#pairs = parameters.map(([name, weights]) => ({ name, weights, average: keep(copyOf(weights)) }));
  }

  /** Steps that are in it. */
  get updates(): number {
    return this.#updates;
  }

  /** Follows the weights after a step. */
  update(): void {
    const n = ++this.#updates, decay = Math.min(this.decay, (1 + n) / (10 + n));
    for (const { weights: p, average } of this.#pairs) {
      if (p.size === 0) continue;
      const rule = program(computeType(average.dtype), follow, { inputs: 2, scalars: 2 });
      p.backend.elementwise(rule, [p, average], [decay, 1 - decay], [average]);
      average.storage.version++;
    }
  }

  /** Runs `f` while the model has the average for weights, which come back afterwards, bit for bit. */
  async inPlace<T>(f: () => T | Promise<T>): Promise<T> {
    const kept = this.#pairs.map(({ weights, average }) => {
      if (weights.dtype === average.dtype) return null;
      const own = keep(noGrad(() => copy(weights) as Tensor));
      copyInto(average, weights);
      return own;
    });
    this.#exchange();
    try {
      return await f();
    } finally {
      this.#exchange();
      kept.forEach((own, i) => {
        if (!own) return;
        copyInto(own, this.#pairs[i].weights);
        own.dispose();
      });
    }
  }

  /** What is of one dtype changes places and takes no memory. */
  #exchange(): void {
    for (const { weights: p, average } of this.#pairs) {
      if (p.dtype !== average.dtype || p.size === 0) continue;
      p.backend.elementwise(
        program(computeType(p.dtype), exchange, { inputs: 2, scalars: 0 }),
        [p, average],
        [],
        [p, average],
      );
      p.storage.version++;
      average.storage.version++;
    }
  }

  /** The averages by name, as views. */
  tensors(): Record<string, Tensor> {
    return Object.fromEntries(this.#pairs.map(({ name, average }) => [name, average.detach()]));
  }

  /**
   * Goes on from `tensors`, in which there are so many `updates`.
   * @throws {FormatError} where they are of other parameters.
   */
  load(tensors: Readonly<Record<string, Tensor>>, updates: number): void {
    const wrong = this.#pairs.find(({ name, average }) =>
      !Object.hasOwn(tensors, name) || !sameShape(tensors[name].shape, average.shape)
    );
    if (wrong) {
      throw new FormatError(`the average in this checkpoint has ${wrong.name} not, or in another shape`);
    }
    for (const { name, average } of this.#pairs) {
      const from = tensors[name], here = from.device === average.device ? from : from.to(average);
      copyInto(here, average);
      if (here !== from) here.dispose();
    }
    this.#updates = updates;
  }
}

/** A copy whose elements lie in memory as those of `p`, so that both are walked in one order. */
function copyOf(p: Tensor): Tensor {
  const dtype = byteSize(p.dtype, 1) < 4 ? "f32" : p.dtype;
  return noGrad(() =>
    tidy(() => {
      const isTurned = p.shape.length === 2 && p.strides[0] === 1 && !p.isContiguous;
      return isTurned ? transpose(copy(transpose(p, 0, 1), dtype) as Tensor, 0, 1) : copy(p, dtype) as Tensor;
    })
  );
}
