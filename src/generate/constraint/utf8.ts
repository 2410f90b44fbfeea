/**
 * Ranges of characters as ranges of the bytes of UTF-8.
 *
 * @module
 */
import type { Range } from "./grammar.ts";

const encode = (code: number): number[] => [...new TextEncoder().encode(String.fromCodePoint(code))];

/** Sequences of byte ranges that together are the UTF-8 of a range of code points. */
export function utf8Ranges([from, to]: Range): [number, number][][] {
  const result: [number, number][][] = [];
  const add = (low: number, high: number): void => {
    const a = encode(low), b = encode(high), n = a.length;
    // Bytes after the first that differs must run over all of 80 to bf, or the range is cut there.
    for (let i = 0; i < n - 1; i++) {
      if (a[i] === b[i]) continue;
      const mask = (1 << (6 * (n - 1 - i))) - 1;
      if ((low & mask) !== 0) return add(low, low | mask), add((low | mask) + 1, high);
      if ((high & mask) !== mask) return add(low, (high & ~mask) - 1), add(high & ~mask, high);
      break;
    }
    result.push(a.map((byte, i) => [byte, b[i]]));
  };
  for (
    const [low, high] of [[0, 0x7f], [0x80, 0x7ff], [0x800, 0xd7ff], [0xe000, 0xffff], [0x10000, 0x10ffff]]
  ) {
    if (Math.max(from, low) <= Math.min(to, high)) add(Math.max(from, low), Math.min(to, high));
  }
  return result;
}
