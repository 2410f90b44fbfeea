/**
 * Mixed precision: a model computes with weights and activations of 16 bits, and learns in f32.
 *
 * The model keeps its f32 weights, which are what the optimizer steps, what is averaged, judged, saved and
 * resumed. Only while a batch goes forward and back do copies of 16 bits stand in their place (`twins.ts`). With blocks (`qat.ts`)
 * copies have their values, also in f32. Vectors (norms, biases) stay in f32: they are small, and PyTorch's autocast computes norms so.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { mul } from "../expr/build.ts";
import { input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import type { Module } from "../nn/mod.ts";
import { mul as times, type Tensor, toDType } from "../ops/mod.ts";
import { answersAtOnce, firstNotFinite, rememberFinite } from "../optim/finite.ts";
import { autocast, computeType, noGrad, tidy } from "../tensor/mod.ts";
import type { StepPrecision } from "./step.ts";
import type { WeightBlocks } from "./qat.ts";
import { Twins } from "./twins.ts";
import { GradScaler, type GradScalerOptions, type GradScalerState } from "./grad_scaler.ts";

/**
 * What a model computes in while it trains.
 *
 * @category Training
 */
export type Precision = "f32" | "f16" | "bf16";

/** What of it changes while a run goes on, for a checkpoint. */
export interface PrecisionState {
  precision: Precision;
  scaler?: GradScalerState;
}

const scaled = mul(input(0), scalar(0));

/** Trains `model` in 16 bits, or in what blocks hold, or both. */
export class MixedPrecision implements StepPrecision {
  readonly #dtype: Precision;
  readonly #scaler: GradScaler | null;
  readonly #twins: Twins;

  /**
   * Nothing is copied yet.
   * @throws {OptionError} where masters are of fewer bits, or overflows cannot be seen in time.
   */
  constructor(
    model: Module,
    dtype: Precision,
    scaling: GradScalerOptions | undefined,
    blocks: WeightBlocks | null,
  ) {
    this.#twins = new Twins(model, dtype, blocks);
    this.#dtype = dtype;
    this.#scaler = dtype === "f16" ? new GradScaler(scaling) : null;
    for (const [name, p] of model.namedParameters()) {
      if (dtype === "f32" || !p.requiresGrad || p.dtype === "f32") continue;
      throw new OptionError(
        `Trainer: precision "${dtype}" keeps the weights that learn in f32 beside those it computes with, and ${name} ` +
          `${
            formatShape(p.shape)
          } is ${p.dtype}; load the model as f32, or convert it with model.to({ dtype: "f32" })`,
      );
    }
    const late = this.#scaler && model.parameters().find((p) => p.requiresGrad && !answersAtOnce(p.backend));
    if (late) {
      throw new OptionError(
        `Trainer: precision "f16" looks at the gradients before it takes a step, and "${late.device}" answers later; take "bf16"`,
      );
    }
  }

  /** What is multiplied into the loss; null where nothing is. */
  get scale(): number | null {
    return this.#scaler?.scale ?? null;
  }

  /** Runs `f`, which computes a loss, and goes back from `share` of it; gives that share, as a number of f32. */
  backward(f: () => Tensor, share: number): Tensor {
    const dtype = this.#dtype,
      go = (): Tensor =>
        tidy(() => {
          const loss = toDType(f(), "f32"), factor = share * (this.#scaler?.scale ?? 1);
          (factor === 1 ? loss : times(loss, factor)).backward();
          return share === 1 ? loss.detach() : times(loss.detach(), share);
        });
    return this.#twins.during(() => dtype === "f32" ? go() : autocast(dtype, go));
  }

  /** Takes the scale out of the gradients of `params`; false where they overflowed, and there is no step to take. */
  unscale(params: readonly Tensor[]): boolean {
    const scaler = this.#scaler;
    if (!scaler) return true;
    const grads = params.map((p) => p.grad).filter((g) => g !== null && g.size > 0) as Tensor[];
    for (const g of grads) {
      g.backend.elementwise(
        program(computeType(g.dtype), [scaled], { inputs: 1, scalars: 1 }),
        [g],
        [1 / scaler.scale],
        [g],
      );
      g.storage.version++;
    }
    const overflowed = grads.length > 0 && noGrad(() => tidy(() => firstNotFinite(grads))) !== null;
    if (!overflowed) rememberFinite(grads);
    scaler.update(overflowed);
    return !overflowed;
  }

  /** What a checkpoint holds of it. */
  getState(): PrecisionState {
    return { precision: this.#dtype, ...(this.#scaler ? { scaler: this.#scaler.getState() } : {}) };
  }

  /** Goes on from {@link getState}'s. */
  setState({ scaler }: PrecisionState): void {
    if (scaler) this.#scaler?.setState(scaler);
  }

  /** Gives the copies back; they are made again when they are needed. */
  dispose(): void {
    this.#twins.dispose();
  }
}
