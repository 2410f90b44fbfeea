/**
 * Cutting a text by regular expressions, as the split pre-tokenizers of a tokenizer.json do.
 *
 * The expressions are those of Rust and Oniguruma: `\s` is Unicode's white space, `(?i:…)` ignores case for a part, and
 * possessive repeats (`\p{L}++`) do not give back, which for these patterns changes nothing. Each expression cuts what the one
 * before it left into its matches and what lies between them.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { gpt2Pattern } from "./white_space.ts";

/** Letters of a part that ignores case, each with its other case. */
function bothCases(part: string): string {
  return part.replace(/\\.|\p{L}/gu, (letter) => {
    const lower = letter.toLowerCase(), upper = letter.toUpperCase();
    // ſ is an s to an expression that ignores case, and K the sign of kelvin is a k.
    const more = lower === "s" ? "\u017f" : lower === "k" ? "\u212a" : "";
    return letter.startsWith("\\") || lower === upper ? letter : `[${lower}${upper}${more}]`;
  });
}

/** A pattern of a tokenizer.json as JavaScript says it. @throws {FormatError} for one that cannot be. */
export function splitPattern(source: string): RegExp {
  const own = source
    .replaceAll(/\(\?i:((?:[^()\\]|\\.)*)\)/g, (_, part: string) => `(?:${bothCases(part)})`)
    .replaceAll(/([?*+]|\{\d+,?\d*\})\+/g, "$1")
    .replaceAll(/\\([sS])/g, (_, s: string) => s === "s" ? "\\p{White_Space}" : "\\P{White_Space}");
  try {
    return new RegExp(own, "gu");
  } catch (cause) {
    throw new FormatError(
      `the split pattern ${JSON.stringify(source)} is not understood: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** The ends of the pieces of `text[start, end)`. */
export function pieceEnds(text: string, start: number, end: number, patterns: readonly RegExp[]): number[] {
  let ends = [end];
  for (const pattern of patterns) {
    const finer: number[] = [];
    let from = start;
    for (const to of ends) {
      const part = text.slice(from, to);
      for (const match of part.matchAll(pattern)) {
        if (match[0] === "") continue;
        const at = from + match.index;
        if (at > (finer.at(-1) ?? start)) finer.push(at);
        finer.push(at + match[0].length);
      }
      if ((finer.at(-1) ?? start) < to) finer.push(to);
      from = to;
    }
    ends = finer;
  }
  return ends;
}

const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const behind = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const llama3 = String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|${behind}`;
const qwen2 = String.raw`${contractions}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|${behind}`;
const digits = String.raw`\p{N}`;
const o200k = String
  .raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+${contractions}?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*${contractions}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** How GGUF's `tokenizer.ggml.pre` cuts texts, after llama.cpp's `llama-vocab.cpp`. */
export const ggufSplits: Readonly<Record<string, readonly string[]>> = {
  "gpt-2": [gpt2Pattern],
  "phi-2": [gpt2Pattern],
  "gpt-neox": [gpt2Pattern],
  "olmo": [gpt2Pattern],
  "jina-es": [gpt2Pattern],
  "llama3": [llama3],
  "llama-v3": [llama3],
  "llama-bpe": [llama3],
  "smaug-bpe": [llama3],
  "dbrx": [llama3],
  "falcon3": [llama3],
  "pixtral": [llama3],
  "qwen2": [qwen2],
  "stablelm2": [qwen2],
  "deepseek-r1-qwen": [qwen2],
  "megrez": [qwen2],
  "smollm": [digits, gpt2Pattern],
  "starcoder": [digits, gpt2Pattern],
  "refact": [digits, gpt2Pattern],
  "command-r": [digits, gpt2Pattern],
  "codeshell": [digits, gpt2Pattern],
  "exaone": [digits, gpt2Pattern],
  "minerva-7b": [digits, gpt2Pattern],
  "gpt-4o": [o200k],
  "llama4": [o200k],
};

/** Kinds whose tokens count before any merge. */
export const ignoresMerges: ReadonlySet<string> = new Set([
  "llama3",
  "llama-v3",
  "llama-bpe",
  "falcon3",
  "pixtral",
]);
