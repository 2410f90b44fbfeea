/**
 * Which tokens may follow a place: a walk through the tree of the vocabulary beside the grammar, in as many steps as one
 * likes.
 *
 * @module
 */
import type { Allowed, Arena, Paused, PlaceSet } from "./arena.ts";
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
  /** A step that is on its way: to the node that is next. */
  #open: Paused<PlaceSet | null> | null = null;

  /** From `set` on. Tokens that leave more than `most` bytes to write are not allowed. */
  constructor(vocabulary: Vocabulary, set: PlaceSet, most: number) {
    this.#vocabulary = vocabulary;
    this.#most = most;
    this.#path = [set];
    this.#mask = new Uint32Array((vocabulary.size + 31) >> 5);
  }

  /**
   * Goes on for about `units` of work, on the meter of `arena`.
   *
   * @throws {OptionError} when the text may go on in too many ways.
   */
  *advance(units: number, arena: Arena): Paused<void> {
    if (this.#path[0].arena !== arena) {
      const path: PlaceSet[] = [], from = this.#path, at = this.#at;
      for (const set of from) path.push(yield* arena.adopting(set));
      // Another text may have gone on with it meanwhile.
      if (this.#path !== from || this.#at !== at) return;
      this.#path = path;
      this.#open = null;
    }
    this.#goOn(units, arena);
  }

  #goOn(units: number, arena: Arena): void {
    const { byte, depth, skip, height, from, ids } = this.#vocabulary, count = byte.length, most = this.#most;
    const path = this.#path, { meter } = arena, end = meter.work + units;
    let at = this.#at;
    for (; at < count && meter.work < end; meter.work++) {
      const here = depth[at];
      let set = arena.known(path[here], byte[at]);
      if (set === undefined) {
        const turn = (this.#open ??= arena.stepping(path[here], byte[at])).next();
        if (!turn.done) continue;
        this.#open = null;
        set = turn.value;
      }
      // A further byte makes up for one that is missing at most.
      if (set === null || (set.missing < Infinity && set.missing - height[at] > most)) {
        at = skip[at];
        continue;
      }
      path[here + 1] = set;
      if (set.missing <= most && set.missing < Infinity) {
        for (let i = from[at]; i < from[at + 1]; i++) {
          meter.work++;
          this.#mask[ids[i] >> 5] |= 1 << (ids[i] & 31);
          this.#reach = Math.max(this.#reach, set.missing);
        }
      }
      at++;
    }
    path.length = at < count ? depth[at] + 1 : 1;
    this.#at = at;
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
