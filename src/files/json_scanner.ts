/**
 * JSON read where it lies, byte by byte, without making objects of it.
 *
 * `JSON.parse` takes many times the memory of the text, and hides what a hostile file does: keys that appear twice (the
 * last one silently wins), keys named `__proto__`. Here a caller walks through the text and keeps what it wants. The
 * grammar is that of RFC 8259; what is passed over is checked too.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { quote } from "./quote.ts";

/** Nothing in a header or an index is nested deeper than this; unknown keys get some room. */
const maxDepth = 64;

/** Letters behind a backslash, and what they mean; others mean themselves. */
const escapes = new TextEncoder().encode("bfnrt"), escaped = new TextEncoder().encode("\b\f\n\r\t");
const escapable = new TextEncoder().encode('"\\/bfnrt');

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A place in a text between two quotes. */
export interface TextPlace {
  /** Its first byte. */
  readonly begin: number;
  /** One past its last byte. */
  readonly end: number;
  /** Whether there are escapes in it. */
  readonly escaped: boolean;
}

/** Walks through the bytes of a JSON text. */
export class JsonScanner implements TextPlace {
  readonly #bytes: Uint8Array;
  readonly #fail: (reason: string, at: number) => never;
  /** Where it is. */
  at = 0;
  /** The first byte of the text or number that was read last. */
  begin = 0;
  /** One past its last byte. */
  end = 0;
  /** Whether there are escapes in it. */
  escaped = false;

  /** `fail` throws, given what is wrong ("is not JSON: …", "is not UTF-8") and where. */
  constructor(bytes: Uint8Array, fail: (reason: string, at: number) => never) {
    this.#bytes = bytes;
    this.#fail = fail;
  }

  /** Goes to the next byte that is no white space and gives it; -1 at the end. */
  peek(): number {
    const bytes = this.#bytes;
    let at = this.at;
    while (at < bytes.length) {
      const byte = bytes[at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      at++;
    }
    this.at = at;
    return at < bytes.length ? bytes[at] : -1;
  }

  /** Passes over a byte that has to come next. */
  expect(byte: number): void {
    if (this.peek() !== byte) this.#unexpected(`"${String.fromCharCode(byte)}" should stand here`);
    this.at++;
  }

  /** Reads a text: `begin`, `end` and `escaped` tell where it is. */
  text(): void {
    if (this.peek() !== 0x22) this.#unexpected(`"\\"" should stand here`);
    const bytes = this.#bytes;
    let at = ++this.at;
    this.begin = at;
    this.escaped = false;
    for (;; at++) {
      const byte = bytes[at];
      if (byte === 0x22) break;
      if (byte === 0x5c) {
        this.escaped = true;
        at = this.#escape(at + 1);
      } else if (byte >= 0x80) at += this.#followers(at);
      else if (!(byte >= 0x20)) {
        if (at >= bytes.length) this.#fail("is not JSON: a text does not end", this.begin - 1);
        this.#fail("is not JSON: a control character in a text", at);
      }
    }
    this.end = at;
    this.at = at + 1;
  }

  /** How many bytes of UTF-8 follow the one at `at`, which is none of ASCII. */
  #followers(at: number): number {
    const bytes = this.#bytes, first = bytes[at], second = bytes[at + 1];
    const count = first >= 0xc2 && first < 0xe0
      ? 1
      : first >= 0xe0 && first < 0xf0
      ? 2
      : first >= 0xf0 && first < 0xf5
      ? 3
      : 0;
    let ok = count > 0;
    for (let i = 1; i <= count; i++) ok &&= (bytes[at + i] & 0xc0) === 0x80;
    // No longer than needed, no surrogates, nothing above U+10FFFF.
    if (first === 0xe0) ok &&= second >= 0xa0;
    else if (first === 0xed) ok &&= second < 0xa0;
    else if (first === 0xf0) ok &&= second >= 0x90;
    else if (first === 0xf4) ok &&= second < 0x90;
    if (!ok) this.#fail("is not UTF-8", at);
    return count;
  }

  /** The last byte of the escape that begins at `at`, behind the backslash. */
  #escape(at: number): number {
    const bytes = this.#bytes;
    if (bytes[at] !== 0x75) {
      if (!escapable.includes(bytes[at])) {
        this.#fail("is not JSON: a backslash with nothing to escape", at - 1);
      }
      return at;
    }
    for (let i = 1; i <= 4; i++) {
      const byte = bytes[at + i], letter = byte | 0x20;
      if (!(byte >= 0x30 && byte <= 0x39) && !(letter >= 0x61 && letter <= 0x66)) {
        this.#fail("is not JSON: an escape \\u without four hexadecimal digits", at - 1);
      }
    }
    return at + 4;
  }

  /**
   * Writes the bytes of a text with its escapes resolved to the front of `into`, which is as long as the text at least.
   *
   * @returns how many they are; -1 for half of a surrogate pair, which has no bytes.
   */
  unescape({ begin, end }: TextPlace, into: Uint8Array): number {
    const bytes = this.#bytes;
    let length = 0;
    for (let at = begin; at < end; at++) {
      if (bytes[at] !== 0x5c) {
        into[length++] = bytes[at];
        continue;
      }
      at++;
      if (bytes[at] !== 0x75) {
        const short = escapes.indexOf(bytes[at]);
        into[length++] = short < 0 ? bytes[at] : escaped[short];
        continue;
      }
      let code = this.#hex(at + 1);
      at += 4;
      if (code >= 0xd800 && code < 0xe000) {
        const low = bytes[at + 1] === 0x5c && bytes[at + 2] === 0x75 ? this.#hex(at + 3) : 0;
        if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) return -1;
        code = 0x10000 + ((code - 0xd800) << 10) + low - 0xdc00;
        at += 6;
      }
      if (code < 0x80) into[length++] = code;
      else {
        const followers = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        into[length++] = [0xc0, 0xe0, 0xf0][followers - 1] | code >> 6 * followers;
        for (let i = followers - 1; i >= 0; i--) into[length++] = 0x80 | code >> 6 * i & 0x3f;
      }
    }
    return length;
  }

  #hex(at: number): number {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.#bytes[at + i];
      value = value << 4 | (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57);
    }
    return value;
  }

  /** The text at a place, its escapes resolved. */
  textAt({ begin, end, escaped }: TextPlace): string {
    const text = utf8.decode(this.#bytes.subarray(begin, end));
    return escaped ? JSON.parse(`"${text}"`) as string : text;
  }

  /** The bytes between two places as they are, for a message: not more than 80 characters. */
  show(begin: number, end: number): string {
    const text = utf8.decode(this.#bytes.subarray(begin, Math.min(end, begin + 320)));
    return text.length > 80 || end > begin + 320 ? `${text.slice(0, 77)}...` : text;
  }

  /**
   * Reads a number, to be a whole one from 0 to 2^53 - 1: the number, or why it is none. What is no number at all is
   * passed over.
   */
  wholeNumber(): number | string {
    const bytes = this.#bytes, first = this.peek(), begin = this.at;
    let value = 0, at = begin;
    for (; at < bytes.length && at - begin < 15; at++) {
      const digit = bytes[at] - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const next = at < bytes.length ? bytes[at] : -1;
    if (
      at > begin && next !== 0x2e && (next | 0x20) !== 0x65 && !(next >= 0x30 && next <= 0x39) &&
      (first !== 0x30 || at === begin + 1)
    ) {
      this.at = at;
      return value;
    }
    if (first !== 0x2d && !(first >= 0x30 && first <= 0x39)) {
      this.skip();
      return `${this.show(begin, this.at)}, which is not a number`;
    }
    const number = this.#number();
    if (number < 0 || Object.is(number, -0)) {
      return `the negative number ${Object.is(number, -0) ? "-0" : number}`;
    }
    if (!Number.isInteger(number)) return `${number}, which is not a whole number`;
    return Number.isSafeInteger(number) ? number : `${number}, which overflows`;
  }

  #number(): number {
    const bytes = this.#bytes, begin = this.at;
    let at = begin;
    while (at < bytes.length && /[-+.0-9eE]/.test(String.fromCharCode(bytes[at]))) at++;
    const text = utf8.decode(bytes.subarray(begin, at));
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(text)) this.#unexpected("this is no number");
    this.at = at;
    return Number(text);
  }

  /** Passes over a value of any kind. */
  skip(depth = 1): void {
    switch (this.peek()) {
      case 0x22:
        return this.text();
      case 0x7b:
        return this.#skipObject(depth);
      case 0x5b:
        return this.#skipList(depth);
      case 0x74:
        return this.#word("true");
      case 0x66:
        return this.#word("false");
      case 0x6e:
        return this.#word("null");
      case 0x2d:
        return void this.#number();
      default:
        if (this.#bytes[this.at] >= 0x30 && this.#bytes[this.at] <= 0x39) return void this.#number();
        this.#unexpected("a value should stand here");
    }
  }

  // As `entries` and `items`, but without a function for each, which a hostile text would make many of.
  #skipObject(depth: number): void {
    this.#enter(depth, 0x7b);
    if (this.peek() === 0x7d) return void this.at++;
    for (;;) {
      this.text();
      this.expect(0x3a);
      this.skip(depth + 1);
      if (this.peek() !== 0x2c) break;
      this.at++;
    }
    this.expect(0x7d);
  }

  #skipList(depth: number): void {
    this.#enter(depth, 0x5b);
    if (this.peek() === 0x5d) return void this.at++;
    for (;;) {
      this.skip(depth + 1);
      if (this.peek() !== 0x2c) break;
      this.at++;
    }
    this.expect(0x5d);
  }

  #word(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.at + i] !== word.charCodeAt(i)) this.#unexpected("a value should stand here");
    }
    this.at += word.length;
  }

  /** Reads an object: `each` is called with its key read, at the value, which it reads. */
  entries(depth: number, each: () => void): void {
    this.#enter(depth, 0x7b);
    if (this.peek() === 0x7d) return void this.at++;
    for (;;) {
      this.text();
      this.expect(0x3a);
      each();
      if (this.peek() !== 0x2c) break;
      this.at++;
    }
    this.expect(0x7d);
  }

  /** Reads a list: `each` is called at each of its values, which it reads. */
  items(depth: number, each: () => void): void {
    this.#enter(depth, 0x5b);
    if (this.peek() === 0x5d) return void this.at++;
    for (;;) {
      each();
      if (this.peek() !== 0x2c) break;
      this.at++;
    }
    this.expect(0x5d);
  }

  #enter(depth: number, byte: number): void {
    if (depth > maxDepth) this.#fail(`is nested deeper than ${maxDepth} levels`, this.at);
    this.expect(byte);
  }

  /** Checks that nothing comes any more. */
  finish(): void {
    if (this.peek() !== -1) this.#unexpected("nothing should follow");
  }

  #unexpected(what: string): never {
    const byte = this.peek();
    this.#fail(
      `is not JSON: ${
        byte === -1 ? "it ends too early" : `${quote(String.fromCharCode(byte))} is found where ${what}`
      }`,
      this.at,
    );
  }
}

/** The JSON of `what`, which begins at byte `start` of `file`, ready to be walked through. */
export function scanJson(bytes: Uint8Array, start: number, file: string, what: string): JsonScanner {
  return new JsonScanner(bytes, (reason, at) => {
    throw new FormatError(`${file}: the ${what} at byte ${start} ${reason}, at byte ${start + at}`);
  });
}

/** Refuses a key that the format forbids, or that was there before. `outer` is the key whose value it is in. */
export function refuseKey(
  key: string,
  isNew: boolean,
  where: { readonly file: string; readonly what: string; readonly byte: number; readonly outer?: string },
): void {
  const reason = !isNew
    ? "appears twice"
    : key === "__proto__"
    ? "is not allowed"
    : key.isWellFormed()
    ? null
    : "is not valid Unicode";
  if (reason === null) return;
  const inner = where.outer === undefined ? "" : ` in ${quote(where.outer)}`;
  throw new FormatError(
    `${where.file}: the key ${quote(key)} ${reason}${inner}, at byte ${where.byte} of the ${where.what}`,
  );
}
