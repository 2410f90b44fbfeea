/**
 * One step of a run: gradients of its batches, their norm, the parameters.
 *
 * It runs in one `tidy` and reads nothing back, so a device may work ahead. Over ranks, `ranked_step.ts`
 * gathers gradients otherwise.
 *
 * @module
 */
import { add, mul, type Tensor } from "../ops/mod.ts";
import { clipGradNorm, gradNorm, type Optimizer } from "../optim/mod.ts";
import { keep, tidy } from "../tensor/mod.ts";

/**
 * What a step is made of.
 *
 * @category Training
 */
export interface StepParts<B> {
  /** The mean loss of a batch, one number. */
  readonly loss: (batch: B) => Tensor;
  /** Where batches come from. */
  readonly next: () => B;
  /** Of the parameters that learn. */
  readonly optimizer: Optimizer;
  /** Batches to a step. */
  readonly gradAccum: number;
  /** The largest norm; undefined: any. */
  readonly clip: number | undefined;
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
    this.parts = parts;
  }

  /** The parameters that learn, in the optimizer's order. */
  protected get parameters(): Tensor[] {
    return this.parts.optimizer.paramGroups.flatMap(({ params }) => params);
  }

  /** One step: forward, backward, clip, update. */
  run(wantsNorm: boolean): StepResult {
    return tidy(() => {
      const loss = this.gradients();
      const norm = this.parts.clip !== undefined || wantsNorm ? this.norm() : null;
      this.update();
      return { loss: keep(loss), norm: wantsNorm ? norm : null };
    });
  }

  /** Gradients of all batches, added up; gives the mean loss. */
  protected gradients(): Tensor {
    const { gradAccum, next } = this.parts;
    let loss = this.backward(next, 1 / gradAccum);
    for (let i = 1; i < gradAccum; i++) loss = add(loss, this.backward(next, 1 / gradAccum));
    return loss;
  }

  /** The norm of all gradients, which are scaled down where it is too large. */
  protected norm(): Tensor {
    const { clip } = this.parts;
    return clip === undefined ? gradNorm(this.parameters) : clipGradNorm(this.parameters, clip);
  }

  /** Steps the parameters. */
  protected update(): void {
    this.parts.optimizer.step();
  }

  /** `share` of the loss of the batch that `next` gives, its gradients added to those that are there. */
  protected backward(next: () => B, share: number): Tensor {
    return tidy(() => {
      const whole = this.parts.loss(next()), loss = share === 1 ? whole : mul(whole, share);
      loss.backward();
      return loss.detach();
    });
  }
}
