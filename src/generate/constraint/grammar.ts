/**
 * What a constrained text may be, as a tree: characters, one after the other, or one of several, or repeated, or a rule of
 * the grammar by its name. Patterns and schemas are both translated into this. Repetitions are numbers, never copies, and a
 * part may stand in many places, so a grammar is about as large as what it was translated from.
 *
 * @module
 */

/** Code points from the first to the last, both included. */
export type Range = readonly [number, number];

/** Texts that are easier computed than written down as a tree, such as numbers between two bounds. */
export interface Machine {
  /** What a text of nothing is. A state is a text of its own making that says all there is to know. */
  readonly start: string;
  /** Where a byte leads; null when it cannot come. */
  step(state: string, byte: number): string | null;
  /** How many bytes at least are missing until the text is whole: 0 where it is, Infinity where it cannot be. */
  missing(state: string): number;
  /** The bytes that it tells apart; no other can come. */
  readonly bytes: readonly number[];
}

/** A part of a grammar. */
export type Part =
  | { readonly kind: "set"; readonly ranges: readonly Range[] }
  /** One of these texts, none of them empty. */
  | { readonly kind: "literal"; readonly texts: readonly string[] }
  | { readonly kind: "sequence"; readonly parts: readonly Part[] }
  | { readonly kind: "choice"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly least: number; readonly most: number }
  | { readonly kind: "rule"; readonly name: string }
  | { readonly kind: "machine"; readonly machine: Machine };

/** Rules by name; a text is what the rule "start" says. */
export type Grammar = ReadonlyMap<string, Part>;

/** The largest code point. */
export const lastCodePoint = 0x10ffff;

/** One of these characters. */
export function set(...ranges: Range[]): Part {
  return { kind: "set", ranges };
}

/** Exactly this text. */
export function literal(text: string): Part {
  return text === "" ? sequence() : { kind: "literal", texts: [text] };
}

/** One after the other. */
export function sequence(...parts: readonly Part[]): Part {
  const joined: Part[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last?.kind === "literal" && part.kind === "literal" && last.texts.length + part.texts.length === 2) {
      joined[joined.length - 1] = { kind: "literal", texts: [last.texts[0] + part.texts[0]] };
    } else if (part.kind !== "sequence" || part.parts.length) joined.push(part);
  }
  return joined.length === 1 ? joined[0] : { kind: "sequence", parts: joined };
}

/** One of several. */
export function choice(...parts: readonly Part[]): Part {
  const [first] = parts;
  if (parts.length === 1) return first;
  // Texts are told apart byte by byte, however many they are.
  if (parts.length && parts.every((part) => part.kind === "literal")) {
    return { kind: "literal", texts: [...new Set(parts.flatMap(({ texts }) => texts))] };
  }
  return { kind: "choice", parts };
}

/** From `least` to `most` times; Infinity for as often as one likes. */
export function repeat(part: Part, least: number, most: number): Part {
  if (least === 1 && most === 1) return part;
  // (x{1000}){1000} is x{1000000}, and so wherever no number between the least and the most is left out.
  if (part.kind === "repeat") {
    const { least: low, most: high } = part;
    if (least === most || low <= 1 || (least > 0 && (least + 1) * low <= least * high + 1)) {
      const times = (a: number, b: number): number => a === 0 || b === 0 ? 0 : a * b;
      return { ...part, least: times(low, least), most: times(high, most) };
    }
  }
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
