/**
 * One step over ranks: each goes through its parts of the batches, and gradients of all ranks are added up.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import type { BatchPart, DataParallel } from "../distributed/data_parallel.ts";
import { slice, Tensor } from "../ops/mod.ts";
import { type DataSource, partSize } from "./batches.ts";
import { type StepParts, TrainingStep } from "./step.ts";

/** Runs steps over the ranks of `parallel`. */
export class RankedStep<B> extends TrainingStep<B> {
  readonly #parallel: DataParallel<B>;
  readonly #data: DataSource<B>;
  readonly #signal: AbortSignal | undefined;

  /** All ranks hear of `signal` after the step in which one did. */
  constructor(
    parts: StepParts<B>,
    parallel: DataParallel<B>,
    data: DataSource<B>,
    signal: AbortSignal | undefined,
  ) {
    super(parts);
    this.#parallel = parallel;
    this.#data = data;
    this.#signal = signal;
  }

  protected override gradients(): Tensor {
    const work = {
      data: this.#data,
      batches: this.parts.gradAccum,
      backward: (part: BatchPart, share: number): Tensor => this.backward(() => this.#next(part), share),
    };
    return this.#parallel.gradients(this.parameters, work, this.#signal?.aborted ?? false);
  }

  protected override norm(): Tensor {
    return this.#parallel.norm(this.parameters, this.parts.clip);
  }

  protected override update(): void {
    this.#parallel.step(this.parts.optimizer);
  }

  /** A part of the next batch. */
  #next(part: BatchPart): B {
    const data = this.#data, { gradAccum } = this.parts;
    if (part.count === 1 || data.takesPart) return data.next(part, gradAccum);
    const whole = data.next(undefined, gradAccum);
    if (!(whole instanceof Tensor) || whole.shape.length === 0) {
      throw new OptionError(
        "Trainer: batches of this source are no tensors, so they cannot be cut for ranks; give it takesPart: true, and a " +
          "next(part) that gives a part",
      );
    }
    const each = partSize(whole.shape[0], part);
    return slice(whole, [part.index * each, (part.index + 1) * each]) as B & Tensor;
  }
}
