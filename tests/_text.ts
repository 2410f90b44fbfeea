/**
 * What the tests of tokenizers share: strings that are hard on them, and streaming by hand.
 *
 * @module
 */
import type { Tokenizer } from "../src/text/mod.ts";

/** A small generator (xorshift) so that every run sees the same strings. */
export function randomFrom(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const fragments = [
  ..."'s|'ll|'re|'S|'|  | |\n|\r\n|\t|hello|The|123|٣|½|!!|_|é|e\u0301|漢字|한|\u{1f600}|\u{1f469}\u200d\u{1f4bb}"
    .split("|"),
  ...[
    "\u0085",
    "\ufeff",
    "\u00a0",
    "\u2028",
    "\u180e",
    "\u200d",
    "\0",
    "\x7f",
    "\ufffd",
    "\u{10ffff}",
    "<|endoftext|>",
  ],
];

/** Strings of all kinds of characters, the same ones every time. */
export function randomStrings(count: number, options: { surrogates: boolean }): string[] {
  const random = randomFrom(20240607);
  return Array.from({ length: count }, () => {
    let text = "";
    for (let k = random(14); k > 0; k--) {
      const kind = random(8);
      if (kind < 5) text += fragments[random(fragments.length)];
      else if (kind < 7) text += String.fromCodePoint(random(random(2) === 0 ? 0x800 : 0xd800));
      else if (options.surrogates) text += String.fromCharCode(0xd800 + random(0x800));
      else text += String.fromCodePoint(0x10000 + random(0x100000));
    }
    return text;
  });
}

/** What a stream gives for each id, and for the end. */
export function streamed(tokenizer: Tokenizer, ids: ArrayLike<number>): string[] {
  const stream = tokenizer.stream(), pieces: string[] = [];
  for (let i = 0; i < ids.length; i++) pieces.push(stream.push(ids[i]));
  return [...pieces, stream.flush()];
}
