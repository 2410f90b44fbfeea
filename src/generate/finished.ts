/**
 * The finished texts of a beam search.
 *
 * @module
 */
import type { ResolvedOptions } from "./options.ts";

/** A finished text. */
export interface FinishedBeam {
  /** The new ids. */
  readonly ids: number[];
  /** Log-probability divided by length to the power of the length penalty. */
  readonly score: number;
  /** Whether it ended with an end-of-text token. */
  readonly ended: boolean;
}

/** The finished texts of a group of beams, best first, at most as many as it has beams. */
export class Finished {
  readonly list: FinishedBeam[] = [];
  readonly #most: number;
  readonly #options: ResolvedOptions;

  constructor(most: number, options: ResolvedOptions) {
    this.#most = most;
    this.#options = options;
  }

  #score(sum: number, length: number): number {
    return sum / Math.max(1, length) ** this.#options.lengthPenalty;
  }

  /** Adds new ids whose log-probabilities sum to `sum`. */
  add(ids: number[], sum: number, ended: boolean): void {
    this.list.push({ ids, score: this.#score(sum, ids.length), ended });
    this.list.sort((a, b) => b.score - a.score);
    this.list.length = Math.min(this.list.length, this.#most);
  }

  /**
   * Whether a growing text with log-probability `sum` after `made` tokens needs no longer be followed. As in Hugging
   * Face: with `earlyStopping` true as soon as the list is full; with false when its score as it stands is no better
   * than the worst; with "never" when none that it could reach is.
   */
  isDone(sum: number, made: number): boolean {
    if (this.list.length < this.#most) return false;
    const { earlyStopping, lengthPenalty, maxNewTokens } = this.#options;
    if (earlyStopping === true) return true;
    // Sums only fall. Divided by a power above 0 they are best when the text is longest.
    const length = earlyStopping === "never" && lengthPenalty > 0 ? maxNewTokens : made;
    return this.#score(sum, length) <= this.list[this.#most - 1].score;
  }
}
