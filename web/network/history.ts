/**
 * What was measured, look after look, in arrays that never grow: where they are full, every other look makes room.
 *
 * @module
 */
import type { NetworkView } from "./view.ts";

/** How many looks are kept. */
const capacity = 2048;

/** The measurements by name, one number a look. */
export class History {
  /** Looks that are kept. */
  length = 0;
  /** Steps taken. */
  readonly step: Float64Array = new Float64Array(capacity);
  /** Over the points to learn from. */
  readonly loss: Float64Array = new Float64Array(capacity);
  /** Over the points held out. */
  readonly held: Float64Array = new Float64Array(capacity);
  /** Length of the gradient. */
  readonly gradient: Float64Array = new Float64Array(capacity);
  /** Length of the step. */
  readonly move: Float64Array = new Float64Array(capacity);
  /** Cosine between a step and the one before. */
  readonly turn: Float64Array = new Float64Array(capacity);
  /** Second derivative along the step. */
  readonly curvature: Float64Array = new Float64Array(capacity);

  /** Forgets everything. */
  clear(): void {
    this.length = 0;
  }

  /** Adds what was seen; a second look at the same step replaces the first. */
  add({ step, loss, heldLoss, motion }: NetworkView): void {
    const { step: steps, loss: losses, held, gradient, move, turn, curvature } = this;
    if (this.length > 0 && steps[this.length - 1] === step) this.length--;
    if (this.length === capacity) {
      for (const column of [steps, losses, held, gradient, move, turn, curvature]) {
        for (let i = 0; i < capacity / 2; i++) column[i] = column[2 * i];
      }
      this.length = capacity / 2;
    }
    const at = this.length++;
    steps[at] = step;
    losses[at] = loss;
    held[at] = heldLoss;
    gradient[at] = Math.hypot(...motion.gradients);
    move[at] = Math.hypot(...motion.moves);
    turn[at] = motion.turn;
    curvature[at] = motion.curvature;
  }
}
