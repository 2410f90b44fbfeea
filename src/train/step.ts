/**
 * One step of a run: gradients of its batches, their norm, the parameters.
 *
 * It runs in one `tidy` and reads nothing back, so a device may work ahead. What gathers gradients otherwise (ranks of a
 * distributed run) overrides {@link TrainingStep.gathered}.
 *
 * @module
 */
import { add, mul, type Tensor } from "../ops/mod.ts";
import { clipGradNorm, gradNorm, type Optimizer } from "../optim/mod.ts";
import { keep, tidy } from "../tensor/mod.ts";

/** What a step is made of. */
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

/** What a step gives. */
export interface StepResult {
  /** The mean loss of its batches. */
  readonly loss: Tensor;
  /** The norm of the gradients before clipping, where it was asked for. */
  readonly norm: Tensor | null;
}

/** Runs steps. */
export class TrainingStep<B> {
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
    const { optimizer, clip } = this.parts;
    return tidy(() => {
      const loss = this.gathered(this.#gradients());
      let norm: Tensor | null = null;
      if (clip !== undefined) norm = clipGradNorm(this.parameters, clip);
      else if (wantsNorm) norm = gradNorm(this.parameters);
      optimizer.step();
      return { loss: keep(loss), norm: wantsNorm ? norm : null };
    });
  }

  /**
   * Called when the gradients of all batches are there, before they are clipped, with the step's loss; gives the loss to
   * report. Where several ranks have each their part, they are averaged here.
   */
  protected gathered(loss: Tensor): Tensor {
    return loss;
  }

  /** Gradients of all batches, added up; gives the mean loss. */
  #gradients(): Tensor {
    const { gradAccum } = this.parts;
    let loss = this.#backward(gradAccum);
    for (let i = 1; i < gradAccum; i++) loss = add(loss, this.#backward(gradAccum));
    return loss;
  }

  /** The next batch's part of the step's loss, its gradients added to those that are there. */
  #backward(parts: number): Tensor {
    return tidy(() => {
      const whole = this.parts.loss(this.parts.next()), loss = parts === 1 ? whole : mul(whole, 1 / parts);
      loss.backward();
      return loss.detach();
    });
  }
}
