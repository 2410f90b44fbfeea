/**
 * Mixed precision: a model computes with weights and activations of 16 bits, and learns in f32.
 *
 * The model keeps its f32 weights (the masters), which are what the optimizer steps, what is averaged, judged, saved and
 * resumed. Only while a batch goes forward and back do copies of 16 bits stand in their place; gradients gather at the masters,
 * in f32, also over several batches. Vectors (norms, biases) stay in f32: they are small, and PyTorch's autocast computes norms so.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { mul } from "../expr/build.ts";
import { input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { isParameter, type Module, parameter } from "../nn/mod.ts";
import { mul as times, type Tensor, toDType } from "../ops/mod.ts";
import { answersAtOnce, firstNotFinite, rememberFinite } from "../optim/finite.ts";
import {
  asLeaf,
  autocast,
  computeType,
  copyInto,
  copyLaid,
  gatherAt,
  type HalfType,
  noGrad,
  tidy,
} from "../tensor/mod.ts";
import type { StepPrecision } from "./step.ts";
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

/** A weight and its copy. */
interface Twin {
  readonly master: Tensor;
  readonly copy: Tensor;
  /** The version of the master's memory that was copied. */
  version: number;
}

/** Where a weight stands in a model. */
interface Place {
  readonly holder: Record<string, unknown>;
  readonly name: string;
  readonly twin: Twin;
}

const scaled = mul(input(0), scalar(0));

/** Trains `model` in 16 bits. */
export class MixedPrecision implements StepPrecision {
  readonly #model: Module;
  readonly #dtype: HalfType;
  readonly #scaler: GradScaler | null;
  #places: Place[] | null = null;

  /** Nothing is copied yet. @throws {OptionError} where masters are of fewer bits, or overflows cannot be seen in time. */
  constructor(model: Module, dtype: HalfType, scaling: GradScalerOptions | undefined) {
    this.#model = model;
    this.#dtype = dtype;
    this.#scaler = dtype === "f16" ? new GradScaler(scaling) : null;
    for (const [name, p] of model.namedParameters()) {
      if (!p.requiresGrad || p.dtype === "f32") continue;
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
    const places = this.#places ??= this.#twins();
    this.#refresh(places);
    for (const { holder, name, twin } of places) holder[name] = twin.copy;
    try {
      return autocast(this.#dtype, () =>
        tidy(() => {
          const loss = toDType(f(), "f32"), factor = share * (this.#scaler?.scale ?? 1);
          (factor === 1 ? loss : times(loss, factor)).backward();
          return share === 1 ? loss.detach() : times(loss.detach(), share);
        }));
    } finally {
      for (const { holder, name, twin } of places) holder[name] = twin.master;
    }
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
    for (const { copy } of new Set(this.#places?.map(({ twin }) => twin))) copy.dispose();
    this.#places = null;
  }

  /** Copies of all matrices, wherever they stand; weights that stand in two places have one. */
  #twins(): Place[] {
    const twins = new Map<Tensor, Twin>(), places: Place[] = [];
    for (const [, module] of this.#model.namedModules()) {
      const holder = module as unknown as Record<string, unknown>;
      for (const [name, master] of Object.entries(holder)) {
        if (!isParameter(master) || master.dtype !== "f32" || master.shape.length < 2) continue;
        let twin = twins.get(master);
        if (!twin) {
          const copy = parameter(noGrad(() => copyLaid(master, this.#dtype)) as Tensor);
          if (!master.requiresGrad) asLeaf(copy, false);
          else gatherAt(copy, master);
          twins.set(master, twin = { master, copy, version: master.storage.version });
        }
        places.push({ holder, name, twin });
      }
    }
    return places;
  }

  /** Copies what was changed since. */
  #refresh(places: readonly Place[]): void {
    for (const { twin } of places) {
      if (twin.version === twin.master.storage.version) continue;
      copyInto(twin.master, twin.copy);
      twin.version = twin.master.storage.version;
    }
  }
}
