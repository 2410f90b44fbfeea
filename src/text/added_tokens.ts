/**
 * Tokens that are found in a text before anything else happens to it, such as `<|endoftext|>`.
 *
 * The leftmost match wins, then the longest. `lstrip` and `rstrip` let a token swallow the white space beside it,
 * `singleWord` keeps it from matching inside a word: as in the Rust library of Hugging Face (`added_vocabulary.rs`).
 *
 * @module
 */
import { demandText } from "../core/demand.ts";

/**
 * A token outside the model's own vocabulary rules, an entry of `added_tokens` in a tokenizer.json.
 *
 * @category Text
 */
export interface AddedToken {
  /** Its id. */
  readonly id: number;
  /** Its text. */
  readonly content: string;
  /** Left out by `skipSpecialTokens`, and plain text to `splitSpecialTokens`. Default true. */
  readonly special?: boolean;
  /** Matches only where no word character is beside it. Default false. */
  readonly singleWord?: boolean;
  /** Takes the white space before it. Default false. */
  readonly lstrip?: boolean;
  /** Takes the white space behind it. Default false. */
  readonly rstrip?: boolean;
  /** Looked for once the text is normalised, after those that are not. Default false. */
  readonly normalized?: boolean;
}

const wordCharacter = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;
// Not `$`: V8 looks for what is a class before it among the last units alone, and misses characters that are two of them.
const wordAtEnd = new RegExp(`${wordCharacter}(?![^])`, "u"),
  wordAtStart = new RegExp(`^${wordCharacter}`, "u");
const whiteSpace = /\p{White_Space}/u;

function matcher(tokens: Iterable<AddedToken>): RegExp | undefined {
  const contents = [...tokens].map((token) => token.content).filter((content) => content !== "");
  if (contents.length === 0) return undefined;
  contents.sort((a, b) => b.length - a.length);
  return new RegExp(
    contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"),
    "g",
  );
}

/** Finds added tokens in texts. */
export class AddedTokens {
  /** All of them, by their id. */
  readonly byId: ReadonlyMap<number, AddedToken>;
  readonly #byContent: Map<string, AddedToken>;
  readonly #all: RegExp | undefined;
  readonly #ordinary: RegExp | undefined;
  /** Where there are tokens of both kinds: those that are looked for first, and those after. */
  readonly #turns: readonly [first: AddedTokens, then: AddedTokens] | undefined;

  /** Of tokens with the same content the last counts. */
  constructor(tokens: readonly AddedToken[]) {
    const late = tokens.filter(({ normalized }) => normalized === true);
    if (late.length > 0 && late.length < tokens.length) {
      this.#turns = [
        new AddedTokens(tokens.filter(({ normalized }) => normalized !== true)),
        new AddedTokens(late),
      ];
    }
    this.byId = new Map(tokens.map((token) => [token.id, token]));
    this.#byContent = new Map(tokens.map((token) => [token.content, token]));
    this.#all = matcher(tokens);
    this.#ordinary = matcher(tokens.filter((token) => token.special === false));
  }

  /** The id of the token with this content. */
  idOf(content: string): number | undefined {
    return this.#byContent.get(content)?.id;
  }

  /** Whether `skipSpecialTokens` leaves this id out. */
  isSpecial(id: number): boolean {
    const token = this.byId.get(id);
    return token !== undefined && token.special !== false;
  }

  /** The text between added tokens, and these by their ids, in order. */
  stretches(text: string, splitSpecialTokens: boolean): (string | number)[] {
    const out: (string | number)[] = [];
    this.split(
      text,
      splitSpecialTokens,
      (start, end) => out.push(text.slice(start, end)),
      (id) => out.push(id),
    );
    return out;
  }

  /** Walks through a text: `onText` for each stretch between added tokens, `onToken` for each of these, in order. */
  split(
    text: string,
    splitSpecialTokens: boolean,
    onText: (start: number, end: number) => void,
    onToken: (id: number) => void,
  ): void {
    demandText("encode", text);
    if (this.#turns) {
      const [first, then] = this.#turns;
      const between = (start: number, end: number): void =>
        then.split(
          text.slice(start, end),
          splitSpecialTokens,
          (from, to) => onText(start + from, start + to),
          onToken,
        );
      return first.split(text, splitSpecialTokens, between, onToken);
    }
    const pattern = splitSpecialTokens ? this.#ordinary : this.#all;
    let done = 0;
    if (pattern !== undefined) {
      pattern.lastIndex = 0;
      for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
        const token = this.#byContent.get(match[0])!;
        let start = match.index, end = start + match[0].length;
        if (start < done || token.singleWord === true && insideWord(text, start, end)) continue;
        if (token.lstrip === true) { while (start > done && whiteSpace.test(text[start - 1])) start--; }
        if (token.rstrip === true) { while (end < text.length && whiteSpace.test(text[end])) end++; }
        if (start > done) onText(done, start);
        onToken(token.id);
        done = end;
      }
    }
    if (done < text.length) onText(done, text.length);
  }
}

function insideWord(text: string, start: number, end: number): boolean {
  return wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) ||
    wordAtStart.test(text.slice(end, end + 2));
}

/** An added token as a tokenizer.json has it. */
export function addedTokenToJSON(token: AddedToken): Record<string, unknown> {
  return {
    id: token.id,
    content: token.content,
    single_word: token.singleWord ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? false,
    special: token.special ?? true,
  };
}
