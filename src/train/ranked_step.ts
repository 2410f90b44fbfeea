/**
 * One step over ranks: each goes through its parts of the batches, and gradients of all ranks are added up.
 *
 * @module
 */
import type { BatchPart, DataParallel } from "../distributed/data_parallel.ts";
import type { Tensor } from "../ops/mod.ts";
import { type StepParts, TrainingStep } from "./step.ts";

/** Runs steps over the ranks of `parallel`. */
export class RankedStep<B> extends TrainingStep<B> {
  readonly #parallel: DataParallel<B>;
  readonly #signal: AbortSignal | undefined;

  /** All ranks hear of `signal` after the step in which one did. */
  constructor(
    parts: StepParts<B>,
    parallel: DataParallel<B>,
    signal: AbortSignal | undefined,
  ) {
    super(parts);
    this.#parallel = parallel;
    this.#signal = signal;
  }

  protected override gradients(): Tensor {
    const work = {
      data: this.parts.data,
      batches: this.parts.gradAccum,
      backward: (part: BatchPart, share: number): Tensor => this.batch(part, share),
    };
    return this.#parallel.gradients(this.parameters, work, this.#signal?.aborted ?? false);
  }

  protected override norm(): Tensor {
    return this.#parallel.norm(this.parameters, this.parts.clip, this.parts.step());
  }

  protected override update(): void {
    this.#parallel.step(this.parts.optimizer);
  }
}
