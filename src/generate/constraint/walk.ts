/**
 * Which tokens may follow a place: a walk through the tree of the vocabulary beside the grammar, in as many steps as one
 * likes.
 *
 * @module
 */
import type { Allowed, Arena, PlaceSet } from "./arena.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A walk that is on its way. */
export class Walk {
  readonly #vocabulary: Vocabulary;
  readonly #most: number;
  readonly #mask: Uint32Array;
  /** The places before each byte of the path. */
  #path: PlaceSet[];
  #at = 0;
  #reach = 0;

  /** From `set` on. Tokens that leave more than `most` bytes to write are not allowed. */
  constructor(vocabulary: Vocabulary, set: PlaceSet, most: number) {
    this.#vocabulary = vocabulary;
    this.#most = most;
    this.#path = [set];
    this.#mask = new Uint32Array((vocabulary.size + 31) >> 5);
  }

  /**
   * Goes on for about `units` of work, that of `arena` included. @returns how many it took besides that.
   *
   * @throws {OptionError} when the text may go on in too many ways.
   */
  advance(units: number, arena: Arena): number {
    const { byte, depth, skip, height, from, ids } = this.#vocabulary, count = byte.length, most = this.#most;
    if (this.#path[0].arena !== arena) this.#path = this.#path.map((set) => arena.adopt(set));
    const path = this.#path, before = arena.work;
    let at = this.#at, nodes = 0;
    for (; at < count && arena.work - before + nodes < units; nodes++) {
      const here = depth[at], set = arena.step(path[here], byte[at]);
      // A further byte makes up for one that is missing at most.
      if (set === null || (set.missing < Infinity && set.missing - height[at] > most)) {
        at = skip[at];
        continue;
      }
      path[here + 1] = set;
      if (set.missing <= most && set.missing < Infinity) {
        for (let i = from[at]; i < from[at + 1]; i++) {
          this.#mask[ids[i] >> 5] |= 1 << (ids[i] & 31);
          this.#reach = Math.max(this.#reach, set.missing);
        }
      }
      at++;
    }
    path.length = at < count ? depth[at] + 1 : 1;
    this.#at = at;
    return nodes;
  }

  /** Whether every token was looked at. */
  get isDone(): boolean {
    return this.#at >= this.#vocabulary.byte.length;
  }

  /** What was found. */
  allowed(): Allowed {
    return { mask: this.#vocabulary.share(this.#mask), reach: this.#reach };
  }
}
