/**
 * Whole numbers from one to another, as digits.
 *
 * @module
 */
import { choice, literal, optional, type Part, repeat, sequence, set } from "./grammar.ts";

const digit = (from: number, to: number): Part => set([48 + from, 48 + to]);

/** Numbers with as many digits, from `low` to `high`. */
function sameLength(low: string, high: string): Part {
  if (low === high) return literal(low);
  if (low.length === 1) return digit(Number(low), Number(high));
  const a = Number(low[0]), b = Number(high[0]), rest = low.length - 1;
  if (a === b) return sequence(literal(low[0]), sameLength(low.slice(1), high.slice(1)));
  const parts = [sequence(literal(low[0]), sameLength(low.slice(1), "9".repeat(rest)))];
  if (b - a > 1) parts.push(sequence(digit(a + 1, b - 1), repeat(digit(0, 9), rest, rest)));
  parts.push(sequence(literal(high[0]), sameLength("0".repeat(rest), high.slice(1))));
  return choice(...parts);
}

/** Numbers from `low` (0 or more) to `high`. */
function natural(low: number, high: number): Part {
  const parts: Part[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const first = Math.max(low, length === 1 ? 0 : 10 ** (length - 1)),
      last = Math.min(high, 10 ** length - 1);
    if (first <= last) parts.push(sameLength(String(first), String(last)));
  }
  return choice(...parts);
}

/** Whole numbers of up to 15 digits from `low` to `high`, of which there is at least one. */
export function integers(low: number, high: number): Part {
  if (low === -Infinity && high === Infinity) {
    return sequence(
      optional(literal("-")),
      choice(literal("0"), sequence(digit(1, 9), repeat(digit(0, 9), 0, 14))),
    );
  }
  const most = 1e15 - 1, from = Math.max(low, -most), to = Math.min(high, most), parts: Part[] = [];
  if (from < 0) parts.push(sequence(literal("-"), natural(Math.max(1, -to), -from)));
  if (to >= 0) parts.push(natural(Math.max(0, from), to));
  return choice(...parts);
}
