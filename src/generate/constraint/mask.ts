/**
 * From an automaton over bytes to tokens that may come next.
 *
 * The vocabulary is a tree of bytes, so tokens that begin alike are tried together; which tokens a place allows is found out
 * once. A token that leaves more to write than there are tokens left is not allowed: so every text is whole in the end.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { symbolsToBytes } from "../../text/bytes.ts";
import { BpeTokenizer, type Tokenizer } from "../../text/mod.ts";
import type { LogitsProcessor, StoppingCriterion } from "../options.ts";
import { Automaton } from "./automaton.ts";
import type { Grammar } from "./grammar.ts";

interface Branch {
  readonly next: Map<number, Branch>;
  readonly ids: number[];
}

/** Tokens that a place allows, and how many bytes are missing after each. */
interface Allowed {
  readonly ids: Int32Array;
  readonly missing: Float64Array;
}

/** The bytes of a token's text; null for special tokens, which are no text. */
function bytesOf(tokenizer: Tokenizer, id: number): Uint8Array | null {
  const text = tokenizer.decode([id], { skipSpecialTokens: true });
  if (text === "") return null;
  if (tokenizer instanceof BpeTokenizer) {
    const token = tokenizer.idToToken(id);
    return token === undefined ? null : symbolsToBytes(token) ?? null;
  }
  return new TextEncoder().encode(text);
}

/** A grammar for one tokenizer; makes what each text needs. */
export class Constraint {
  readonly #root: Branch = { next: new Map(), ids: [] };
  readonly #bytes: (Uint8Array | null)[] = [];
  readonly #automaton: Automaton;
  readonly #allowed = new Map<number, Allowed>();

  /**
   * Reads the vocabulary into a tree.
   *
   * @throws {OptionError} when the tokenizer has no tokens to write any text of the grammar with.
   */
  constructor(tokenizer: Tokenizer, grammar: Grammar) {
    const alone = new Set<number>();
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      let bytes: Uint8Array | null = null;
      try {
        bytes = bytesOf(tokenizer, id);
      } catch {
        // An id without a token.
      }
      this.#bytes.push(bytes);
      if (!bytes) continue;
      if (bytes.length === 1) alone.add(bytes[0]);
      let branch = this.#root;
      for (const byte of bytes) {
        let next = branch.next.get(byte);
        if (!next) branch.next.set(byte, next = { next: new Map(), ids: [] });
        branch = next;
      }
      branch.ids.push(id);
    }
    this.#automaton = new Automaton(grammar, (byte) => alone.has(byte));
    if (this.least === Infinity) {
      throw new OptionError(
        "responseFormat: the model's tokenizer lacks characters that every allowed text needs; choose another format or model",
      );
    }
  }

  /** Bytes of the shortest text. */
  get least(): number {
    return this.#automaton.missing(this.#automaton.start());
  }

  #tokensAt(place: number): Allowed {
    let found = this.#allowed.get(place);
    if (!found) {
      const ids: number[] = [], missing: number[] = [], automaton = this.#automaton;
      const walk = (branch: Branch, here: number): void => {
        for (const id of branch.ids) {
          ids.push(id);
          missing.push(automaton.missing(here));
        }
        for (const [byte, next] of branch.next) {
          const to = automaton.step(here, byte);
          if (to >= 0) walk(next, to);
        }
      };
      walk(this.#root, place);
      this.#allowed.set(place, found = { ids: Int32Array.from(ids), missing: Float64Array.from(missing) });
    }
    return found;
  }

  /**
   * What keeps one text to the grammar: a processor, and a criterion that ends it where nothing more can follow.
   *
   * @throws {OptionError} when `maxNewTokens` are too few for any text.
   */
  follow(maxNewTokens: number, ends: readonly number[]): {
    processor: LogitsProcessor;
    criterion: StoppingCriterion;
  } {
    if (this.least > maxNewTokens) {
      throw new OptionError(
        `responseFormat: the shortest allowed text takes up to ${this.least} tokens, and maxNewTokens is ${maxNewTokens}`,
      );
    }
    let start = -1, seen = 0, place = this.#automaton.start();
    const catchUp = (ids: readonly number[]): void => {
      if (start < 0) start = seen = ids.length;
      for (; seen < ids.length; seen++) {
        if (ends.includes(ids[seen])) continue;
        for (const byte of this.#bytes[ids[seen]] ?? []) place = this.#automaton.step(place, byte);
      }
    };
    return {
      processor: (ids, logits) => {
        catchUp(ids);
        const left = maxNewTokens - (ids.length - start) - 1,
          { ids: allowed, missing } = this.#tokensAt(place);
        const kept = new Map<number, number>();
        for (let i = 0; i < allowed.length; i++) {
          if (missing[i] <= left) kept.set(allowed[i], logits[allowed[i]]);
        }
        if (this.#automaton.missing(place) === 0) { for (const end of ends) kept.set(end, logits[end]); }
        logits.fill(-Infinity);
        for (const [id, value] of kept) logits[id] = value;
      },
      criterion: (ids) => {
        catchUp(ids);
        return this.#automaton.missing(place) === 0 && this.#tokensAt(place).ids.length === 0;
      },
    };
  }
}
