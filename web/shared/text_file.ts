/**
 * Whether a file that was dropped is text at all: what is not is told in a sentence, and not learnt.
 *
 * @module
 */

/** How much of a file is looked at. */
const looked = 65_536;

/** Marks at the beginning of a text in two or four bytes a letter; their zeros are no sign of other files. */
const marks = [[0xff, 0xfe], [0xfe, 0xff], [0, 0, 0xfe, 0xff]];

/** Why a file is no text, in a sentence; null where it is one, as far as its beginning tells. */
export async function whyNoText(file: File): Promise<string | null> {
  if (file.size === 0) return `${file.name} is empty.`;
  const head = new Uint8Array(await file.slice(0, looked).arrayBuffer());
  const isMarked = marks.some((mark) => mark.every((byte, i) => head[i] === byte));
  // Control characters but tab, line ends, form feed and escape: no text has them.
  const odd = head.findIndex((byte) => byte < 9 || (byte > 13 && byte < 32 && byte !== 27));
  if (isMarked || odd < 0) return null;
  return `${file.name} is no text: at byte ${odd.toLocaleString("en")} it holds what no text does.`;
}

/** A text in UTF-8, or with a mark in UTF-16, of whose bytes the first `most` are read. @throws where it is in neither. */
export async function readText(file: File, most: number): Promise<string> {
  const bytes = new Uint8Array(await file.slice(0, most).arrayBuffer()), [a, b] = bytes;
  const encoding = a === 0xff && b === 0xfe ? "utf-16le" : a === 0xfe && b === 0xff ? "utf-16be" : "utf-8";
  try {
    // Where the file was cut, the last letter may be, too: it is waited for, and left.
    return new TextDecoder(encoding, { fatal: true }).decode(bytes, { stream: file.size > most });
  } catch {
    throw new Error(`${file.name} is a text in another encoding than UTF-8; save it as UTF-8 first.`);
  }
}
