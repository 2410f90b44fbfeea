/**
 * Items in a random order, each once before any comes again: epoch after epoch, each in an order of its own.
 *
 * An order follows from the seed and the number of the epoch (Fisher and Yates, as Durstenfeld has it), so a place in it is three
 * numbers, and a run that goes on in the middle of an epoch makes the same order again.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { whole } from "../core/kinds.ts";
import { Generator, philox } from "../core/random.ts";
import { show } from "../core/show.ts";

/** A place in the orders of all epochs. */
export interface EpochPlace {
  /** What the orders follow from. */
  readonly seed: number;
  /** Epochs that are over. */
  readonly epoch: number;
  /** Items of this one that are done. */
  readonly at: number;
}

/** The numbers from 0 to `count` − 1 in the order of one epoch. */
function orderOf(count: number, seed: number, epoch: number): Uint32Array {
  const out = new Uint32Array(4);
  philox(seed, 2 ** 51 + epoch, out);
  const generator = new Generator((out[0] & 0x1fffff) * 2 ** 32 + out[1]);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = generator.integer(0, i + 1), other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  return order;
}

/** Goes through epochs. */
export class Epochs {
  readonly #count: number;
  #place: EpochPlace;
  #order: { of: string; items: Uint32Array } | null = null;

  /** Orders of `count` items, at least one. */
  constructor(count: number, seed: number) {
    this.#count = count;
    this.#place = { seed, epoch: 0, at: 0 };
  }

  /** The next item. */
  next(): number {
    const { seed, epoch, at } = this.#place, of = `${seed} ${epoch}`;
    if (this.#order?.of !== of) this.#order = { of, items: orderOf(this.#count, seed, epoch) };
    this.#place = at + 1 < this.#count ? { seed, epoch, at: at + 1 } : { seed, epoch: epoch + 1, at: 0 };
    return this.#order.items[at];
  }

  /** Where the next one stands. */
  get place(): EpochPlace {
    return this.#place;
  }

  set place(place: EpochPlace) {
    this.#place = place;
  }

  /**
   * A place that was saved.
   * @throws {OptionError} where it is none.
   */
  demandPlace(state: unknown): EpochPlace {
    const { seed, epoch, at } = Object(state) as Record<string, unknown>;
    const isPlace = [seed, epoch, at].every(whole(0).accepts) && (at as number) < this.#count;
    if (isPlace) return { seed, epoch, at } as EpochPlace;
    throw new OptionError(
      `the place in the data is ${show(state)}, expected { seed, epoch, at } with at below ${this.#count}`,
    );
  }
}
