/**
 * Examples of a file in the order of epochs, with a place in it that a run goes on from.
 *
 * The batches of a step are made together; how many of them were given belongs to the place.
 *
 * @module
 */
import { demand } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { counted, show } from "../../core/show.ts";
import { type EpochPlace, Epochs } from "../epochs.ts";

/**
 * What examples come from: how many there are, and the digest of their file.
 *
 * @category Training
 */
export interface NumberedSet<T> {
  /** How many. */
  readonly length: number;
  /** The digest of the file that they are in. */
  readonly sha256: string;
  /** The ids of an example. */
  at(i: number): T;
  /** What to call an example in a message. */
  where(i: number): string;
  /** Whether any example has something left to learn in rows of `blockSize` predictions; where that is known beforehand. */
  fit?(blockSize: number): boolean;
}

/** @throws {OptionError} for what is no set of examples, and one that is empty. */
export function demandSet(what: string, set: NumberedSet<unknown>): void {
  const isSet = typeof set?.at === "function" && typeof set.length === "number";
  demand(what, "the examples", set, isSet, "those of openExamples or openPreferences");
  if (set.length < 1) throw new OptionError(`${what}: there are no examples`);
}

const nothingLeft = (what: string, { length }: NumberedSet<unknown>): OptionError =>
  new OptionError(
    `${what}: of ${
      counted(length, "example")
    }, cut to the rows, nothing is left to learn; take a larger blockSize`,
  );

/** @throws {OptionError} for a set that is known to have nothing to learn in rows of `blockSize`. */
export function demandFit(what: string, set: NumberedSet<unknown>, blockSize: number): void {
  if (set.fit?.(blockSize) === false) throw nothingLeft(what, set);
}

/** The batches of a step, and where the next one begins. */
interface Filled<B> {
  readonly key: string;
  readonly batches: readonly B[];
  readonly end: EpochPlace;
}

/** Goes through a set, step after step; `B` is a batch before it is on a device. */
export class ExampleOrder<T, B> {
  readonly #set: NumberedSet<unknown>;
  readonly #epochs: Epochs;
  readonly #read: (i: number) => T | null;
  readonly #what: string;
  #done = 0;
  #filled: Filled<B> | null = null;

  /** `read` gives an example by its number, null where nothing of it is learned. */
  constructor(what: string, set: NumberedSet<unknown>, seed: number, read: (i: number) => T | null) {
    this.#what = what;
    this.#set = set;
    this.#epochs = new Epochs(set.length, seed);
    this.#read = read;
  }

  /**
   * The next example.
   * @throws {OptionError} where a whole epoch gives none.
   */
  #next(): T {
    for (let tried = 0; tried < this.#set.length; tried++) {
      const found = this.#read(this.#epochs.next());
      if (found !== null) return found;
    }
    throw nothingLeft(this.#what, this.#set);
  }

  /**
   * The next batch, and all `of` batches of its step. `make` makes one of what `next` gives; `undo` puts the last example back.
   */
  batch(of: number, make: (next: () => T, undo: () => void) => B): { own: B; all: readonly B[] } {
    const epochs = this.#epochs, begin = epochs.place, key = JSON.stringify([begin, of]);
    if (this.#filled?.key !== key) {
      let before = begin;
      const next = (): T => (before = epochs.place, this.#next());
      const batches = Array.from({ length: of }, () => make(next, () => epochs.place = before));
      this.#filled = { key, batches, end: epochs.place };
      epochs.place = begin;
    }
    const { batches, end } = this.#filled, own = batches[this.#done];
    if (++this.#done === of) {
      this.#done = 0;
      epochs.place = end;
    }
    return { own, all: batches };
  }

  /** What {@link setState} takes. */
  getState(): unknown {
    return { ...this.#epochs.place, done: this.#done, sha256: this.#set.sha256 };
  }

  /**
   * Goes on where `state` was taken.
   * @throws {OptionError} for what is none, and one of another file.
   */
  setState(state: unknown): void {
    const place = this.#epochs.demandPlace(state), { done, sha256 } = state as Record<string, unknown>;
    if (sha256 !== this.#set.sha256) {
      throw new OptionError(
        `the examples are those of another file: its SHA-256 is ${this.#set.sha256}, and that of the run was ${
          show(sha256)
        }`,
      );
    }
    if (!kinds.whole(0).accepts(done)) {
      throw new OptionError(`the place in the data has done ${show(done)}, expected a whole number from 0`);
    }
    this.#epochs.place = place;
    this.#done = done as number;
  }
}
