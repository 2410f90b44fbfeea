/**
 * GPT-2's way of cutting a text into pieces, as a scanner.
 *
 * The pattern is
 * `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` with `\s` meaning Unicode White_Space
 * (JavaScript's `\s` lacks U+0085 and has U+FEFF). The pieces of a text follow each other without gaps. A scanner
 * needs no substring for a piece, and is several times faster than the regular expression.
 *
 * @module
 */

const LETTER = 1, NUMBER = 2, SPACE = 3, OTHER = 4;

const letter = /^\p{L}$/u, number = /^\p{N}$/u, space = /^\p{White_Space}$/u;

function classify(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  return letter.test(character)
    ? LETTER
    : number.test(character)
    ? NUMBER
    : space.test(character)
    ? SPACE
    : OTHER;
}

const ascii = Uint8Array.from({ length: 128 }, (_, codePoint) => classify(codePoint));

/** Classes of all code points, filled in as they are met; made when the first one is. */
let unicode = new Uint8Array(0);

function classOf(codePoint: number): number {
  if (codePoint < 128) return ascii[codePoint];
  if (unicode.length === 0) unicode = new Uint8Array(0x110000);
  return unicode[codePoint] ||= classify(codePoint);
}

/** Where the run of characters of class `kind` that includes `start` ends. */
function runEnd(text: string, start: number, end: number, kind: number): number {
  let i = start;
  while (i < end) {
    const c = text.charCodeAt(i);
    if (c < 128) {
      if (ascii[c] !== kind) return i;
      i++;
    } else {
      const codePoint = text.codePointAt(i)!;
      if (classOf(codePoint) !== kind) return i;
      i += codePoint > 0xffff ? 2 : 1;
    }
  }
  return i;
}

/** The end of a contraction whose apostrophe is at `start`, or `start` where there is none. Lower case only. */
function contractionEnd(text: string, start: number, end: number): number {
  if (start + 1 >= end) return start;
  const first = text.charCodeAt(start + 1);
  if (first === 0x73 || first === 0x74 || first === 0x6d || first === 0x64) return start + 2; // s t m d
  if (start + 2 >= end) return start;
  const second = text.charCodeAt(start + 2);
  if (second === 0x65 && (first === 0x72 || first === 0x76)) return start + 3; // re ve
  return first === 0x6c && second === 0x6c ? start + 3 : start; // ll
}

/** The end of the piece that begins at `start`, for a text that ends at `end`; `start` is below `end`. */
export function pieceEnd(text: string, start: number, end: number): number {
  let first = start;
  const c = text.charCodeAt(start);
  if (c === 0x27) {
    const contraction = contractionEnd(text, start, end);
    if (contraction > start) return contraction;
  } else if (c === 0x20 && start + 1 < end) {
    first++; // a space belongs to the letters, numbers or other characters behind it
  }
  const kind = classOf(text.codePointAt(first)!);
  if (kind !== SPACE) return runEnd(text, first, end, kind);
  const run = runEnd(text, start, end, SPACE);
  // All white space is one code unit long, so its last character, left for what follows, is one step back.
  return run === end || run === start + 1 ? run : run - 1;
}
