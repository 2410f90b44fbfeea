/**
 * How SentencePiece writes a text before it cuts it: characters replaced by a table, white space tidied, spaces as ▁.
 *
 * After `Normalizer::Normalize` of https://github.com/google/sentencepiece. The table ("precompiled charsmap") is a trie
 * in a double array (Darts), from the bytes of what is replaced to where the replacement stands.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { finish, type Steps } from "../../core/steps.ts";
import { counted } from "../../core/show.ts";

/**
 * How texts are normalised.
 *
 * @category Text
 */
export interface NormalizerParts {
  /** The table; none replaces nothing. */
  readonly charsMap?: Uint8Array;
  /** A space before the text, so that its first word is like any other. */
  readonly addDummyPrefix: boolean;
  /** Spaces at both ends go, and of several one is left. */
  readonly removeExtraWhitespaces: boolean;
  /** The added space stands behind the text. */
  readonly treatWhitespaceAsSuffix?: boolean;
}

/** What a space is written as. */
export const spaceSymbol = "\u2581";

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The longest replacement, in bytes: far longer than any of Unicode's. */
const longestReplacement = 1000;

/** The table of replacements. */
export class CharsMap {
  readonly #units: Uint32Array;
  readonly #texts: Uint8Array;

  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const size = blob.byteLength < 4 ? 0 : view.getUint32(0, true);
    if (size < 4 || size % 4 !== 0 || 4 + size > blob.byteLength) {
      throw new FormatError(
        `precompiled_charsmap of ${counted(blob.byteLength, "byte")} says its trie has ${size}`,
      );
    }
    this.#units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#texts = blob.subarray(4 + size);
  }

  /** The longest entry at `at`: how many bytes it is, and its replacement; null where there is none. */
  longest(bytes: Uint8Array, at: number): { length: number; text: string } | null {
    return this.#find(bytes, at, false);
  }

  /** The replacement of the shortest entry that the bytes begin with; null where there is none. */
  first(bytes: Uint8Array): string | null {
    return this.#find(bytes, 0, true)?.text ?? null;
  }

  #find(bytes: Uint8Array, at: number, isFirst: boolean): { length: number; text: string } | null {
    const units = this.#units, offset = (unit: number): number => unit >>> 10 << ((unit & 512) >>> 6);
    let place = offset(units[0]), found = -1, length = 0;
    for (let i = at; i < bytes.length; i++) {
      place ^= bytes[i];
      const unit = units[place];
      // A label is the byte it is reached by; the highest bit marks values.
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== bytes[i]) break;
      place ^= offset(unit);
      if (unit >>> 8 & 1) {
        found = (units[place] ?? 0) & 0x7fffffff;
        length = i + 1 - at;
        if (isFirst) break;
      }
    }
    if (found < 0 || found >= this.#texts.length) return null;
    const end = this.#texts.indexOf(0, found);
    const size = (end < 0 ? this.#texts.length : end) - found;
    if (size > longestReplacement) {
      throw new FormatError(
        `precompiled_charsmap has a text of ${
          counted(size, "byte")
        } for one, more than ${longestReplacement}`,
      );
    }
    return { length, text: decoder.decode(this.#texts.subarray(found, end < 0 ? undefined : end)) };
  }
}

/** A loop, as an expression for spaces at the end would try each run of spaces inside from each of its places. */
function withoutOuterSpaces(text: string): string {
  let start = 0, end = text.length;
  while (start < end && text[start] === " ") start++;
  while (end > start && text[end - 1] === " ") end--;
  return text.slice(start, end);
}

/** Characters that make a step. */
const stepCharacters = 1024;

/** Normalises texts. `keep` finds texts that stay as they are, from where they may begin. */
export class Normalizer {
  readonly #parts: NormalizerParts;
  readonly #map: CharsMap | null;
  readonly #keep: RegExp | null;

  /** @throws {FormatError} for a table that is damaged. */
  constructor(parts: NormalizerParts, kept: readonly string[] = []) {
    this.#parts = parts;
    this.#map = parts.charsMap && parts.charsMap.length > 0 ? new CharsMap(parts.charsMap) : null;
    const longestFirst = [...kept].filter((text) => text !== "").sort((a, b) => b.length - a.length);
    this.#keep = longestFirst.length === 0
      ? null
      : new RegExp(longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"), "y");
  }

  /** The text in pieces of the table, each as it is written. */
  *#replaced(text: string): Steps<string> {
    if (this.#map === null) return text;
    const bytes = encoder.encode(text);
    let out = "", count = 0;
    // Both positions go along: entries of the table count in bytes, texts that are kept in code units.
    for (let unit = 0, at = 0; unit < text.length;) {
      if (++count % stepCharacters === 0) yield 8 * stepCharacters;
      if (this.#keep) {
        this.#keep.lastIndex = unit;
        const kept = this.#keep.exec(text)?.[0];
        if (kept !== undefined) {
          out += kept;
          unit += kept.length;
          at += encoder.encode(kept).length;
          continue;
        }
      }
      const entry = this.#map.longest(bytes, at);
      const codePoint = text.codePointAt(unit)!;
      const own = codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
      const taken = entry?.length ?? own;
      out += entry ? entry.text : String.fromCodePoint(codePoint);
      for (const end = at + taken; at < end;) {
        const c = text.codePointAt(unit)!;
        at += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        unit += c > 0xffff ? 2 : 1;
      }
    }
    return out;
  }

  /** The text as it is cut. */
  normalize(text: string): string {
    return finish(this.normalizeSteps(text));
  }

  /** The same in steps. */
  *normalizeSteps(text: string): Steps<string> {
    const { addDummyPrefix, removeExtraWhitespaces, treatWhitespaceAsSuffix = false } = this.#parts;
    if (text === "") return "";
    let out = yield* this.#replaced(text);
    yield out.length >> 2;
    if (removeExtraWhitespaces) out = withoutOuterSpaces(out).replace(/ {2,}/g, " ");
    if (removeExtraWhitespaces && out === "") return "";
    if (addDummyPrefix) out = treatWhitespaceAsSuffix ? `${out} ` : ` ${out}`;
    return out.replaceAll(" ", spaceSymbol);
  }
}
