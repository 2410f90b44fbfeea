/**
 * How JSON is written: strings, lists, members.
 *
 * @module
 */
import {
  choice,
  complement,
  intersection,
  literal,
  optional,
  type Part,
  type Range,
  repeat,
  sequence,
  set,
} from "./grammar.ts";
import { anyNumber } from "./numbers.ts";

// Quotation mark, backslash and control characters stand in a text as escapes.
const escaped: readonly [number, string][] = [
  [34, '\\"'],
  [92, "\\\\"],
  [8, "\\b"],
  [12, "\\f"],
  [10, "\\n"],
  [13, "\\r"],
  [9, "\\t"],
];
const plain: Range[] = complement([[0, 31], [34, 34], [92, 92]]);

/** There may be one. */
export const space: Part = optional(literal(" "));

/** One character of a string, as JSON writes it. */
function character(ranges: readonly Range[]): Part {
  const escapes = escaped.filter(([code]) => ranges.some(([from, to]) => code >= from && code <= to));
  const parts: Part[] = escapes.map(([, text]) => literal(text)), open = intersection(ranges, plain);
  if (open.length) parts.unshift(set(...open));
  return choice(...parts);
}

/** Any character of a string. */
export const anyCharacter: Part = character([[0, 0x10ffff]]);

/** The same grammar with every character as JSON writes it. */
export function inString(part: Part): Part {
  switch (part.kind) {
    case "set":
      return character(part.ranges);
    case "literal":
      return choice(...part.texts.map((text) => literal(JSON.stringify(text).slice(1, -1))));
    case "sequence":
    case "choice":
      return { ...part, parts: part.parts.map(inString) };
    case "repeat":
      return { ...part, part: inString(part.part) };
    default:
      return part;
  }
}

/** Between quotation marks. */
export const quoted = (inner: Part): Part => sequence(literal('"'), inner, literal('"'));

/** Any string. */
export const anyString: Part = quoted(repeat(anyCharacter, 0, Infinity));

/** Items with commas between them, from `least` to `most`. */
export function list(item: Part, least: number, most: number): Part {
  if (most === 0) return sequence();
  const more = repeat(sequence(literal(","), space, item), Math.max(0, least - 1), most - 1),
    some = sequence(item, more);
  return least > 0 ? some : optional(some);
}

/** A name and a value. */
export const member = (name: Part, value: Part): Part => sequence(name, literal(":"), space, value);

/** Any value; `any` stands for those within it. */
export function anyValue(any: Part): Part {
  return choice(
    anyString,
    anyNumber(false),
    literal("true"),
    literal("false"),
    literal("null"),
    sequence(literal("["), list(any, 0, Infinity), literal("]")),
    sequence(literal("{"), list(member(anyString, any), 0, Infinity), literal("}")),
  );
}
