/**
 * Examples cut to the length of a row, and whoever is told of it.
 *
 * @module
 */
import { counted } from "../../core/show.ts";
import { countsOf, type EncodedExample } from "./batch.ts";

/** Cuts examples; the first that is too long is told of. */
export class Cutter {
  readonly #blockSize: number;
  readonly #warn: (message: string) => void;
  #isWarned = false;

  /** To rows of `blockSize` predictions. */
  constructor(blockSize: number, warn: (message: string) => void) {
    this.#blockSize = blockSize;
    this.#warn = warn;
  }

  /** What of an example a row takes; null where nothing of that is to be learned. `where` names it. */
  cut(example: EncodedExample, where: () => string): EncodedExample | null {
    const { ids, counts } = example, most = this.#blockSize + 1;
    if (ids.length <= most) return countsOf(example) > 0 ? example : null;
    if (!this.#isWarned) {
      this.#isWarned = true;
      this.#warn(
        `${where()} has ${
          counted(ids.length, "token")
        }, of which a row of ${this.#blockSize} takes ${most}: the rest is left out, here and ` +
          `where else it is so`,
      );
    }
    const cut = { ids: ids.slice(0, most), counts: counts.slice(0, most) };
    return countsOf(cut) > 0 ? cut : null;
  }
}
