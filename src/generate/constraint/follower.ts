/**
 * What keeps one text to a grammar, token by token.
 *
 * A token that leaves more to write than there are tokens left is not allowed: so every text is whole in the end.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { Allowance } from "../../core/steps.ts";
import type { Arena, Paused, PlaceSet } from "./arena.ts";
import type { GrammarConstraint } from "./constraint.ts";
import type { Follower } from "./format.ts";
import { formatLimits } from "./limits.ts";
import { Walk } from "./walk.ts";

/** Units of work between two looks at what is known: other texts work for it, too. */
const atOnce = 2000;

/** How much shorter than the tokens that are left the rest may be before each token is measured at once. */
const nearEnd = 16;

/** One text that is kept to a grammar. */
export class GrammarFollower implements Follower {
  readonly #constraint: GrammarConstraint;
  readonly #maxNewTokens: number;
  readonly #ends: readonly number[];
  #set: PlaceSet | null = null;
  /** What is on its way. */
  #open: Paused<void> | null = null;
  #ids: readonly number[] = [];
  /** How many ids the prompt has; -1 before the first look. */
  #start = -1;
  /** How many ids are followed, and how many bytes of the next one. */
  #seen = 0;
  #bytes = 0;
  /** A walk that is on its way, and where it began. */
  #walk: { readonly walk: Walk; readonly from: PlaceSet; readonly holdsForAll: boolean } | null = null;
  /** Which tokens may come next, once that is known. */
  #mask: Uint32Array | null = null;
  #units = 0;

  constructor(constraint: GrammarConstraint, maxNewTokens: number, ends: readonly number[]) {
    this.#constraint = constraint;
    this.#maxNewTokens = maxNewTokens;
    this.#ends = ends;
  }

  /**
   * Works towards the next token of the text `ids` as far as the allowance goes, the last step going beyond.
   *
   * @returns whether all is known that is needed for it.
   * @throws {OptionError} when the grammar allows too much at once to be followed.
   */
  advance(ids: readonly number[], allowance: Allowance = { units: Infinity }): boolean {
    if (this.#start < 0) this.#start = this.#seen = ids.length;
    const { meter, vocabulary } = this.#constraint;
    this.#ids = ids;
    while (!this.isKnown(ids)) {
      if (allowance.units <= 0 || allowance.isLate?.()) return false;
      const before = meter.work, tokens = ids.length - this.#start;
      if ((this.#open ??= this.#work()).next().done) this.#open = null;
      const units = 1 + meter.work - before;
      allowance.units -= units;
      this.#units += units;
      const most = formatLimits.walks * (vocabulary.byte.length + 20_000) * (tokens + formatLimits.ahead);
      if (this.#units > most) {
        throw new OptionError(
          `responseFormat: ${counted(tokens, "token")} took ${
            counted(this.#units, "step")
          } to follow; make the format less ambiguous`,
        );
      }
    }
    return true;
  }

  /** Whatever is next for the text: a byte of it is followed, or tokens are looked for. */
  *#work(): Paused<void> {
    const { arena } = this.#constraint, ids = this.#ids;
    const set = this.#set = yield* this.#set ? arena.adopting(this.#set) : arena.starting();
    if (this.#seen < ids.length) yield* this.#read(set, ids[this.#seen], arena);
    else yield* this.#look(set, this.#left(ids), arena);
  }

  /** How many tokens may follow the next one. */
  #left(ids: readonly number[]): number {
    return this.#maxNewTokens - (ids.length - this.#start) - 1;
  }

  /** Whether all is known that is needed for the next token. */
  isKnown(ids: readonly number[]): boolean {
    return this.#start >= 0 && this.#seen === ids.length &&
      this.#set !== null && (this.#mask !== null || this.#set.isOver || this.#left(ids) < 0);
  }

  /** Follows a byte of a token, or passes the token when there is none left. */
  *#read(set: PlaceSet, id: number, arena: Arena): Paused<void> {
    const bytes = this.#ends.includes(id) ? null : this.#constraint.vocabulary.bytes(id);
    this.#mask = null;
    if (bytes && this.#bytes < bytes.length) {
      const next = yield* arena.stepping(set, bytes[this.#bytes++]);
      if (next === null) {
        throw new OptionError(`responseFormat: token ${id} was made, which the format does not allow`);
      }
      this.#set = next;
    } else {
      this.#seen++;
      this.#bytes = 0;
    }
  }

  /** Looks for tokens that may follow, with `left` behind them at most. */
  *#look(set: PlaceSet, left: number, arena: Arena): Paused<void> {
    const near = yield* arena.nearing(set), known = near.set.allowed;
    if (known && known.reach + near.further <= left) {
      this.#mask = known.mask;
      this.#walk = null;
      return;
    }
    this.#walk ??= known || left < set.missing + nearEnd
      ? { walk: new Walk(this.#constraint.vocabulary, set, left), from: set, holdsForAll: false }
      : {
        walk: near.set.walk ??= new Walk(this.#constraint.vocabulary, near.set, Infinity),
        from: near.set,
        holdsForAll: true,
      };
    const { walk, from, holdsForAll } = this.#walk;
    yield* walk.advance(atOnce, arena);
    if (!walk.isDone) return;
    this.#walk = null;
    const found = walk.allowed();
    arena.meter.work += 2 * found.mask.length;
    if (holdsForAll) {
      const set = yield* arena.adopting(from);
      set.walk = null;
      if (!set.allowed) arena.charge(found.mask.byteLength);
      set.allowed = found;
    } else this.#mask = found.mask;
  }

  /** A bit for each token that may come next, once that is known. */
  get allowed(): Uint32Array | null {
    return this.#mask;
  }

  /** Whether the text is whole and nothing can follow. */
  isOver(ids: readonly number[]): boolean {
    this.advance(ids);
    const set = this.#set as PlaceSet;
    return set.missing === 0 &&
      (set.isOver || (this.#mask?.every((word) => word === 0) ?? false));
  }

  /** Excludes all tokens that may not come next. */
  apply(ids: readonly number[], logits: Float32Array): void {
    this.advance(ids);
    const { vocabulary } = this.#constraint, isWhole = this.#set!.missing === 0;
    const ends = this.#ends.map((id) => isWhole ? logits[id] : -Infinity);
    let mask = this.#mask ?? new Uint32Array(0);
    if (ids.length === this.#start) vocabulary.clearOtherAtStart(mask = mask.slice());
    for (let id = 0; id < logits.length; id++) {
      if (((mask[id >> 5] >>> (id & 31)) & 1) === 0) logits[id] = -Infinity;
    }
    this.#ends.forEach((id, i) => logits[id] = ends[i]);
  }
}
