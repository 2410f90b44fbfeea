/**
 * A grammar for one vocabulary: what is found out about it for one text holds for all that follow it.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { Steps } from "../../core/steps.ts";
import { Arena } from "./arena.ts";
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
  readonly #network: Network;
  #arena: Arena;

  private constructor(vocabulary: Vocabulary, network: Network) {
    this.vocabulary = vocabulary;
    this.#network = network;
    this.#arena = new Arena(network, vocabulary.longest);
    this.least = this.#arena.start().missing;
  }

  /**
   * Prepares a grammar.
   *
   * @throws {OptionError} when it is too large, or the tokenizer has no tokens to write any text of it with.
   */
  static *of(vocabulary: Vocabulary, grammar: Grammar): Steps<GrammarConstraint> {
    const network = yield* Network.of(grammar, (byte) => vocabulary.isAlone(byte));
    const made = new GrammarConstraint(vocabulary, network);
    yield made.#arena.work;
    if (made.least === Infinity) {
      throw new OptionError(
        "responseFormat: the model's tokenizer lacks characters that every allowed text needs; choose another format or model",
      );
    }
    return made;
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
      this.#arena = new Arena(this.#network, this.vocabulary.longest);
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
        `responseFormat: the shortest allowed text takes up to ${this.least} tokens, and maxNewTokens is ${maxNewTokens}`,
      );
    }
    return new GrammarFollower(this, maxNewTokens, ends);
  }
}
