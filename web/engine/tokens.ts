/**
 * A text cut into tokens, by the model's tokenizer or by one that a visitor brings. Loaded when it is asked for.
 *
 * @module
 */
import { loadTokenizer } from "../../src/runtime/tokenizer.ts";
import { knownOf } from "./reading.ts";
import type { Tokenizer } from "../../src/text/mod.ts";

/** One token. */
export interface TokenPiece {
  readonly id: number;
  /** What it stands for by itself; a part of a letter is "�". */
  readonly text: string;
}

/** A text in tokens. */
export interface Tokens {
  /** The first of them. */
  readonly pieces: readonly TokenPiece[];
  /** How many there are. */
  readonly count: number;
  /** Letters and UTF-8 bytes of the text. */
  readonly letters: number;
  readonly bytes: number;
  /** Letters that the tokenizer does not know, each once; they are left out. */
  readonly left: string;
  /** How many tokens the tokenizer knows. */
  readonly vocabulary: number;
}

/** Tokens that a page shows at most. */
const mostPieces = 2000;

let brought: { readonly file: File; readonly tokenizer: Tokenizer } | null = null;

/** Cuts `text` with the tokenizer in `file`, or with `own`. @throws where there is none. */
export async function tokensOf(text: string, file: File | null, own: Tokenizer | null): Promise<Tokens> {
  if (
    file !== null && !(brought?.file.name === file.name && brought.file.lastModified === file.lastModified)
  ) {
    brought = {
      file,
      tokenizer: await loadTokenizer({ [file.name.endsWith(".gguf") ? file.name : "tokenizer.json"]: file }),
    };
  }
  const tokenizer = file === null ? own : brought!.tokenizer;
  if (tokenizer === null) throw new Error("This model has no tokenizer; bring a tokenizer.json.");
  const known = knownOf(text, tokenizer), ids = [...tokenizer.encode(known.text)];
  return {
    pieces: ids.slice(0, mostPieces).map((id) => ({
      id,
      text: tokenizer.decode([id], { skipSpecialTokens: false }),
    })),
    count: ids.length,
    letters: [...known.text].length,
    bytes: new TextEncoder().encode(known.text).length,
    left: known.left,
    vocabulary: tokenizer.vocabSize,
  };
}
