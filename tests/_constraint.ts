/**
 * Grammars of formats, and whether a text is of one.
 *
 * @module
 */
import { BpeTokenizer } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { byteSymbols } from "../src/text/bytes.ts";
import { Arena, type PlaceSet } from "../src/generate/constraint/arena.ts";
import type { Grammar, Part } from "../src/generate/constraint/grammar.ts";
import { grammarOf, type ResponseFormat } from "../src/generate/constraint/mod.ts";
import { Network } from "../src/generate/constraint/network.ts";
import { parsePattern } from "../src/generate/constraint/pattern.ts";
import { finish } from "../src/core/steps.ts";

/** Places of a grammar, for tokens of up to `longest` bytes. */
export function arenaOf(grammar: Grammar, longest = 16): Arena {
  return new Arena(finish(Network.of(grammar, () => true)), longest);
}

/** Those of one part. */
export const ofPart = (part: Part): Arena => arenaOf(new Map([["start", part]]));
/** Those of a pattern. */
export const ofPattern = (pattern: string): Arena => ofPart(parsePattern(pattern));
/** Those of a format. */
export const ofFormat = (format: ResponseFormat): Arena => arenaOf(finish(grammarOf(format))!);
/** Those of a schema. */
export const ofSchema = (schema: unknown): Arena => ofFormat({ type: "json_schema", schema });

/** Where a text leads; null where it cannot begin so. */
export function after(arena: Arena, text: string): PlaceSet | null {
  let set: PlaceSet | null = arena.start();
  for (const byte of new TextEncoder().encode(text)) {
    set = arena.step(set, byte);
    if (set === null) return null;
  }
  return set;
}

/** Whether the grammar has exactly this text. */
export const accepts = (arena: Arena, text: string): boolean => after(arena, text)?.missing === 0;

/** Random numbers of a seed, and what tests make of them. */
export class Dice {
  readonly #random: Generator;

  constructor(seed: number) {
    this.#random = new Generator(seed);
  }

  /** A number from 0 to below 1. */
  uniform(): number {
    return this.#random.uniform();
  }

  /** A whole number below `n`. */
  below(n: number): number {
    return Math.floor(this.#random.uniform() * n);
  }

  /** One of a list. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** Of characters of `alphabet`, up to `most`. */
  text(alphabet: readonly string[], most: number): string {
    return Array.from({ length: this.below(most + 1) }, () => this.pick(alphabet)).join("");
  }
}

/** A random pattern in the syntax that this library and JavaScript share; `counts` are the largest repetitions. */
export function randomPattern(dice: Dice, depth: number, counts = 4): string {
  const kind = dice.uniform();
  if (depth <= 0 || kind < 0.3) {
    return dice.pick(["a", "b", "c", "[ab]", "[^a]", "\\d", "é", "ab", ".", "[^\\x00-~]"]);
  }
  const inner = (): string => randomPattern(dice, depth - 1, counts);
  if (kind < 0.5) return inner() + inner();
  if (kind < 0.65) return `(?:${inner()}|${inner()})`;
  if (kind < 0.7) return `(?:|${inner()})`;
  const least = dice.below(counts), most = least + dice.below(counts);
  return `(?:${inner()})` +
    dice.pick(["*", "+", "?", "*?", `{${least}}`, `{${least},}`, `{${least},${most}}`, `{0,${most}}`]);
}

/** A tokenizer of all bytes and these texts. */
export function tokenizerOf(texts: Iterable<string>): BpeTokenizer {
  const vocab = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));
  const encoder = new TextEncoder();
  for (const text of texts) {
    const token = Array.from(encoder.encode(text), (byte) => byteSymbols[byte]).join("");
    if (!vocab.has(token)) vocab.set(token, vocab.size);
  }
  return new BpeTokenizer({ vocab, merges: [] });
}

/** Texts as tokens of a large vocabulary are: words with and without a space, numbers, runs of signs, pieces of JSON. */
export function* manyTexts(dice: Dice, count: number): IterableIterator<string> {
  for (
    const text of ['":', '",', '{"', '"}', '":"', '","', '", "', "[]", "{}", '[{"', "}]", '"],', ": ", ", "]
  ) yield text;
  for (let n = 0; n < Math.min(1000, count / 8); n++) yield String(n);
  for (let n = 2; n < 80; n++) for (const sign of [" ", "-", "=", "\n"]) yield sign.repeat(n);
  const letters = [..."etaoinshrdlucmfwypvbgkjxqzé"];
  for (let i = 0; i < count; i++) {
    yield dice.pick([" ", " ", ""]) + dice.pick(letters) + dice.text(letters, 7);
  }
}
