/**
 * UTF-8 that keeps every JavaScript string: lone surrogates take three bytes each (WTF-8), so that encoding and
 * decoding again is the identity on any string, not only on well-formed ones.
 *
 * For bytes that are not UTF-8 the decoder does what `TextDecoder` does (one U+FFFD for each maximal part of a
 * sequence), except that a whole three-byte surrogate becomes that surrogate. A byte order mark is a character like
 * any other. Reference: the WHATWG Encoding standard; S. Sapin, "The WTF-8 encoding".
 *
 * @module
 */

/**
 * Writes the WTF-8 bytes of `text[start, end)` at `out[at]` and returns the offset behind them. Three bytes for
 * each code unit are always room enough.
 */
export function writeWtf8(text: string, start: number, end: number, out: Uint8Array, at: number): number {
  for (let i = start; i < end; i++) {
    let c = text.charCodeAt(i);
    if (c < 0x80) {
      out[at++] = c;
    } else if (c < 0x800) {
      out[at++] = 0xc0 | c >> 6;
      out[at++] = 0x80 | c & 63;
    } else {
      if ((c & 0xfc00) === 0xd800 && i + 1 < end) {
        const low = text.charCodeAt(i + 1);
        if ((low & 0xfc00) === 0xdc00) {
          c = 0x10000 + (c - 0xd800 << 10) + (low - 0xdc00);
          i++;
        }
      }
      if (c < 0x10000) {
        out[at++] = 0xe0 | c >> 12;
      } else {
        out[at++] = 0xf0 | c >> 18;
        out[at++] = 0x80 | c >> 12 & 63;
      }
      out[at++] = 0x80 | c >> 6 & 63;
      out[at++] = 0x80 | c & 63;
    }
  }
  return at;
}

/** The WTF-8 bytes of a string. */
export function toWtf8(text: string): Uint8Array {
  const out = new Uint8Array(3 * text.length);
  return out.slice(0, writeWtf8(text, 0, text.length, out, 0));
}

/** Decodes bytes as they come; a character is given out when its last byte is there. */
export class Wtf8Decoder {
  #needed = 0; // bytes that the open sequence still wants
  #codePoint = 0;
  #lower = 0x80; // what its next byte must lie between
  #upper = 0xbf;
  #surrogate = false; // the open sequence can only become a surrogate: TextDecoder counts its bytes one by one

  /** The text that `bytes[start, end)` completes. */
  push(bytes: Uint8Array, start = 0, end: number = bytes.length): string {
    let text = "";
    for (let i = start; i < end; i++) {
      const byte = bytes[i];
      if (this.#needed === 0) {
        if (byte < 0x80) text += String.fromCharCode(byte);
        else if (byte < 0xc2 || byte > 0xf4) text += "\ufffd";
        else this.#open(byte);
      } else if (byte < this.#lower || byte > this.#upper) {
        text += this.flush();
        i--; // the byte begins something new
      } else {
        if (this.#codePoint === 0xd && this.#needed === 2 && byte >= 0xa0) this.#surrogate = true;
        this.#lower = 0x80;
        this.#upper = 0xbf;
        this.#codePoint = this.#codePoint << 6 | byte & 63;
        if (--this.#needed === 0) {
          text += String.fromCodePoint(this.#codePoint);
          this.#surrogate = false;
        }
      }
    }
    return text;
  }

  /** Ends the text: U+FFFD when a sequence is still open. */
  flush(): string {
    if (this.#needed === 0) return "";
    const text = this.#surrogate ? "\ufffd\ufffd" : "\ufffd";
    this.#needed = 0;
    this.#lower = 0x80;
    this.#upper = 0xbf;
    this.#surrogate = false;
    return text;
  }

  #open(lead: number): void {
    if (lead < 0xe0) {
      this.#needed = 1;
      this.#codePoint = lead & 31;
    } else if (lead < 0xf0) {
      if (lead === 0xe0) this.#lower = 0xa0;
      this.#needed = 2;
      this.#codePoint = lead & 15;
    } else {
      if (lead === 0xf0) this.#lower = 0x90;
      if (lead === 0xf4) this.#upper = 0x8f;
      this.#needed = 3;
      this.#codePoint = lead & 7;
    }
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of `bytes[0, length)`. */
export function fromWtf8(bytes: Uint8Array<ArrayBuffer>, length: number = bytes.length): string {
  const text = utf8.decode(bytes.subarray(0, length));
  // U+FFFD is rare, and then it may stand for a surrogate.
  if (!text.includes("\ufffd")) return text;
  const decoder = new Wtf8Decoder();
  return decoder.push(bytes, 0, length) + decoder.flush();
}
