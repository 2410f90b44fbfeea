/**
 * A grammar for one vocabulary: what is found out about it for one text holds for all that follow it.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { Steps } from "../../core/steps.ts";
import { Arena, type Meter } from "./arena.ts";
import { GrammarFollower } from "./follower.ts";
import type { Constraint } from "./format.ts";
import type { Grammar } from "./grammar.ts";
import { formatLimits } from "./limits.ts";
import { Network } from "./network.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * A grammar for one vocabulary.
 *
 * @category Generation
 */
export class GrammarConstraint implements Constraint {
  /**
   * The tokens it is followed with.
   *
   * @internal
   */
  readonly vocabulary: Vocabulary;
  /** Bytes of the shortest text. */
  readonly least: number;
  /**
   * What was done for all texts.
   *
   * @internal
   */
  readonly meter: Meter;
  readonly #network: Network;
  #arena: Arena;

  private constructor(vocabulary: Vocabulary, network: Network, arena: Arena, least: number) {
    this.vocabulary = vocabulary;
    this.#network = network;
    this.#arena = arena;
    this.meter = arena.meter;
    this.least = least;
  }

  /**
   * Prepares a grammar.
   *
   * @throws {OptionError} when it is too large, or the tokenizer has no tokens to write any text of it with.
   */
  static *of(vocabulary: Vocabulary, grammar: Grammar): Steps<GrammarConstraint> {
    const network = yield* Network.of(grammar, (byte) => vocabulary.isAlone(byte));
    const arena = new Arena(network, vocabulary.longest), starting = arena.starting();
    for (;;) {
      const before = arena.meter.work, turn = starting.next();
      yield arena.meter.work - before;
      if (!turn.done) continue;
      const least = turn.value.missing;
      if (least === Infinity) throw new OptionError(`responseFormat: ${network.whyNone()}`);
      return new GrammarConstraint(vocabulary, network, arena, least);
    }
  }

  /** About how many bytes of memory it takes. */
  get bytes(): number {
    return 250 * this.#network.size + this.#arena.bytes;
  }

  /**
   * What is known of places at present; a new one when that has become too much.
   *
   * @internal
   */
  get arena(): Arena {
    if (this.#arena.bytes > formatLimits.bytes) {
      this.#arena = new Arena(this.#network, this.vocabulary.longest, this.meter);
    }
    return this.#arena;
  }

  /**
   * Keeps one text to the grammar.
   *
   * @throws {OptionError} when `maxNewTokens` are too few for any text.
   * @internal
   */
  follow(maxNewTokens: number, ends: readonly number[]): GrammarFollower {
    if (this.least > maxNewTokens) {
      throw new OptionError(
        `responseFormat: the shortest allowed text takes up to ${
          counted(this.least, "token")
        }, and maxNewTokens is ${maxNewTokens}`,
      );
    }
    return new GrammarFollower(this, maxNewTokens, ends);
  }
}
