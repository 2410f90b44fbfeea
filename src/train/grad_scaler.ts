/**
 * What a loss is multiplied by so that gradients in f16 do not vanish, and how that changes when they overflow.
 *
 * As PyTorch's `torch.amp.GradScaler`: after a step whose gradients overflowed, which is left out, the scale is multiplied by
 * `backoffFactor`; after `growthInterval` steps in a row without one, by `growthFactor` (Micikevicius and others: "Mixed
 * precision training", ICLR 2018).
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";

/**
 * How the loss is scaled while training in f16, named as in PyTorch's `GradScaler`.
 *
 * @category Training
 */
export interface GradScalerOptions {
  /** What the loss is multiplied by at first. Default 4096 (PyTorch: 65,536, with which the first steps of small models overflow). */
  initScale?: number;
  /** What the scale is multiplied by when gradients did not overflow for long enough. Default 2. */
  growthFactor?: number;
  /** What the scale is multiplied by when they did. Default 0.5. */
  backoffFactor?: number;
  /** How many steps in a row without an overflow are long enough. Default 2000. */
  growthInterval?: number;
}

/** {@link GradScalerOptions} as data. */
export const gradScalerOptions: OptionTable<GradScalerOptions> = {
  initScale: number({ above: 0, to: 2 ** 100 }),
  growthFactor: number({ above: 1, to: 2 ** 20 }),
  backoffFactor: number({ above: 0, below: 1 }),
  growthInterval: whole(1),
};

/** What of it changes. */
export interface GradScalerState {
  scale: number;
  /** Steps without an overflow since the scale last changed. */
  growthTracker: number;
}

/** Below it nothing of a loss is left: it is not the scale that makes gradients overflow. */
const least = 2 ** -24;

/** The scale of a run. */
export class GradScaler {
  readonly #options: Required<GradScalerOptions>;
  #scale: number;
  #growthTracker = 0;

  /** Begins with `initScale`. */
  constructor(options: GradScalerOptions = {}) {
    const { initScale = 4096, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } = checkOptions(
      "gradScaler",
      options,
      gradScalerOptions,
    );
    this.#options = { initScale, growthFactor, backoffFactor, growthInterval };
    this.#scale = initScale;
  }

  /** What the loss is multiplied by. */
  get scale(): number {
    return this.#scale;
  }

  /**
   * Hears whether a step's gradients overflowed.
   * @throws {FerrotypeError} when they do at any scale.
   */
  update(overflowed: boolean): void {
    const { growthFactor, backoffFactor, growthInterval } = this.#options;
    if (overflowed) {
      this.#scale *= backoffFactor;
      this.#growthTracker = 0;
      if (this.#scale >= least) return;
      throw new FerrotypeError(
        `the gradients are beyond f16 even when the loss is multiplied by ${least}; take precision "bf16", or a lower learning rate`,
      );
    }
    if (++this.#growthTracker < growthInterval) return;
    // One that no longer is a number of f32 would make every gradient overflow.
    this.#scale = Math.min(this.#scale * growthFactor, 2 ** 100);
    this.#growthTracker = 0;
  }

  /** What a run that continues needs. */
  getState(): GradScalerState {
    return { scale: this.#scale, growthTracker: this.#growthTracker };
  }

  /** Goes on from {@link getState}'s. */
  setState({ scale, growthTracker }: GradScalerState): void {
    this.#scale = scale;
    this.#growthTracker = growthTracker;
  }
}
