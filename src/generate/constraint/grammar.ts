/**
 * What a constrained text may be, as a tree: sets of characters, one after the other, or one of several, or repeated, or a
 * rule of the grammar by its name. Patterns and schemas are both translated into this.
 *
 * @module
 */

/** Code points from the first to the last, both included. */
export type Range = readonly [number, number];

/** A part of a grammar. */
export type Part =
  | { readonly kind: "set"; readonly ranges: readonly Range[] }
  | { readonly kind: "sequence"; readonly parts: readonly Part[] }
  | { readonly kind: "choice"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly least: number; readonly most: number }
  | { readonly kind: "rule"; readonly name: string };

/** Rules by name; a text is what the rule "start" says. */
export type Grammar = ReadonlyMap<string, Part>;

/** The largest code point. */
export const lastCodePoint = 0x10ffff;

/** One of these characters. */
export function set(...ranges: Range[]): Part {
  return { kind: "set", ranges };
}

/** One after the other. */
export function sequence(...parts: Part[]): Part {
  return parts.length === 1 ? parts[0] : { kind: "sequence", parts };
}

/** One of several. */
export function choice(...parts: Part[]): Part {
  return parts.length === 1 ? parts[0] : { kind: "choice", parts };
}

/** From `least` to `most` times; Infinity for as often as one likes. */
export function repeat(part: Part, least: number, most: number): Part {
  return { kind: "repeat", part, least, most };
}

/** There or not. */
export function optional(part: Part): Part {
  return repeat(part, 0, 1);
}

/** A rule by its name. */
export function rule(name: string): Part {
  return { kind: "rule", name };
}

/** Exactly this text. */
export function literal(text: string): Part {
  return sequence(...Array.from(text, (char) => set([char.codePointAt(0)!, char.codePointAt(0)!])));
}

/** Everything but these characters; surrogates are no characters. */
export function complement(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  let next = 0;
  for (const [from, to] of [...ranges, [0xd800, 0xdfff] as const].toSorted((a, b) => a[0] - b[0])) {
    if (from > next) result.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= lastCodePoint) result.push([next, lastCodePoint]);
  return result;
}

/** What is in both. */
export function intersection(a: readonly Range[], b: readonly Range[]): Range[] {
  return a.flatMap(([from, to]) =>
    b.flatMap(([start, end]): Range[] => {
      const low = Math.max(from, start), high = Math.min(to, end);
      return low <= high ? [[low, high]] : [];
    })
  );
}
