/**
 * One step of a run: gradients of its batches, their norm, the parameters.
 *
 * It runs in one `tidy` and reads nothing back, so a device may work ahead. Over ranks, `ranked_step.ts`
 * gathers gradients otherwise.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { BatchPart } from "../distributed/data_parallel.ts";
import { add, full, mul, type Tensor } from "../ops/mod.ts";
import { clipAt } from "../optim/clip.ts";
import { gradNorm, type Optimizer } from "../optim/mod.ts";
import { keep, tidy } from "../tensor/mod.ts";
import { type DataSource, nextPart } from "./batches.ts";

/**
 * How a step computes in 16 bits, or with what blocks hold.
 *
 * @category Training
 */
export interface StepPrecision {
  /** Runs `f`, which computes a loss, and goes back from `share` of it; gives that share. */
  backward(f: () => Tensor, share: number): Tensor;
  /** Brings the gradients of `params` to their size; false where they overflowed, and there is no step to take. */
  unscale(params: readonly Tensor[]): boolean;
}

/**
 * What a step is made of.
 *
 * @category Training
 */
export interface StepParts<B> {
  /** The mean loss of a batch, one number. */
  readonly loss: (batch: B) => Tensor;
  /** Where batches come from. */
  readonly data: DataSource<B>;
  /** Into how many equal parts each batch is cut, which go forward and back one after the other. */
  readonly pieces: () => number;
  /** Of the parameters that learn. */
  readonly optimizer: Optimizer;
  /** Batches to a step. */
  readonly gradAccum: number;
  /** The number of the step to take, from 1. */
  readonly step: () => number;
  /** The largest norm; undefined: any. */
  readonly clip: number | undefined;
  /** Computes in 16 bits, or with what blocks hold; null: in f32 with the weights. */
  readonly precision: StepPrecision | null;
}

/**
 * What a step gives.
 *
 * @category Training
 */
export interface StepResult {
  /** The mean loss of its batches. */
  readonly loss: Tensor;
  /** The norm of the gradients before clipping, where it was asked for. */
  readonly norm: Tensor | null;
  /** Whether its gradients overflowed, so that nothing was changed. Then their norm is infinite. */
  readonly isSkipped: boolean;
}

/**
 * Runs steps.
 *
 * @category Training
 */
export class TrainingStep<B> {
  /** What it is made of. */
  protected readonly parts: StepParts<B>;

  /** Nothing is computed yet. */
  constructor(parts: StepParts<B>) {
    demandNoMore(arguments, 1, "TrainingStep");
    this.parts = parts;
  }

  /** The parameters that learn, in the optimizer's order. */
  protected get parameters(): Tensor[] {
    return this.parts.optimizer.paramGroups.flatMap(({ params }) => params);
  }

  /** One step: forward, backward, clip, update. */
  run(wantsNorm: boolean): StepResult {
    return tidy(() => {
      const loss = keep(this.gradients()), { precision, clip } = this.parts;
      if (precision && !precision.unscale(this.parameters)) {
        return { loss, norm: wantsNorm ? full([], Infinity) : null, isSkipped: true };
      }
      const norm = clip !== undefined || wantsNorm ? this.norm() : null;
      this.update();
      return { loss, norm: wantsNorm ? norm : null, isSkipped: false };
    });
  }

  /** Gradients of all batches, added up; gives the mean loss. */
  protected gradients(): Tensor {
    const { gradAccum } = this.parts, go = (): Tensor => this.batch({ index: 0, count: 1 }, 1 / gradAccum);
    let loss = go();
    for (let i = 1; i < gradAccum; i++) loss = add(loss, go());
    return loss;
  }

  /** `share` of the loss of a part of the next batch, in as many pieces as are to be in memory one at a time. */
  protected batch({ index, count }: BatchPart, share: number): Tensor {
    const { data, gradAccum, pieces } = this.parts, each = pieces();
    const go = (part: BatchPart, share: number): Tensor =>
      this.backward(() => nextPart(data, part, gradAccum), share);
    if (each === 1) return go({ index, count }, share);
    const start = data.getState();
    let loss: Tensor | null = null;
    for (let i = 0; i < each; i++) {
      if (i > 0) data.setState(start);
      const one = go({ index: index * each + i, count: count * each }, share / each);
      loss = loss ? add(loss, one) : one;
    }
    return loss!;
  }

  /** Goes forward and back with a piece of a batch, to see what that takes. */
  probe(): void {
    const { data, gradAccum, pieces } = this.parts;
    tidy(() => this.backward(() => nextPart(data, { index: 0, count: pieces() }, gradAccum), 1));
  }

  /** The norm of all gradients, which are scaled down where it is too large. */
  protected norm(): Tensor {
    const { clip } = this.parts;
    return clip === undefined ? gradNorm(this.parameters) : clipAt(this.parameters, clip, this.parts.step());
  }

  /** Steps the parameters. */
  protected update(): void {
    this.parts.optimizer.step();
  }

  /** `share` of the loss of the batch that `next` gives, its gradients added to those that are there. */
  protected backward(next: () => B, share: number): Tensor {
    const { precision } = this.parts;
    if (precision) return precision.backward(() => this.parts.loss(next()), share);
    return tidy(() => {
      const whole = this.parts.loss(next()), loss = share === 1 ? whole : mul(whole, share);
      loss.backward();
      return loss.detach();
    });
  }
}
