/**
 * The 256 symbols in which byte-level BPE writes bytes.
 *
 * A vocabulary file wants printable tokens without spaces, so each byte has a character: itself where Latin-1
 * prints it, else the next free one from U+0100 on. This is `bytes_to_unicode` of OpenAI's GPT-2 `encoder.py`.
 *
 * @module
 */

function printable(byte: number): boolean {
  return byte >= 0x21 && byte <= 0x7e || byte >= 0xa1 && byte <= 0xac || byte >= 0xae;
}

/** The symbol of each byte. */
export const byteSymbols: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

/** The bytes in the order of their symbols, which is the order of their ids in GPT-2's vocabulary. */
export const bytesInSymbolOrder: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte)
  .sort((a, b) => byteSymbols[a].charCodeAt(0) - byteSymbols[b].charCodeAt(0));

const symbolBytes = new Int16Array(0x144).fill(-1);
byteSymbols.forEach((symbol, byte) => symbolBytes[symbol.charCodeAt(0)] = byte);

/** The bytes that a token stands for, or undefined when one of its characters is no byte symbol. */
export function symbolsToBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const c = token.charCodeAt(i);
    if (c >= symbolBytes.length || symbolBytes[c] < 0) return undefined;
    bytes[i] = symbolBytes[c];
  }
  return bytes;
}
