/**
 * Grammars of formats, and whether a text is of one.
 *
 * @module
 */
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
