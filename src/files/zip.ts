/**
 * ZIP archives: written of files as they are, not packed, since weights do not shrink; read packed or not, by slices.
 *
 * The layout is PKWARE's APPNOTE: for each file a header and its bytes, then the list of all, then where that begins.
 *
 * @module
 */

import { counted } from "../core/show.ts";
import { inflated } from "./inflate.ts";

/** A file to be archived. */
export interface ZipEntry {
  /** Its path, with `/` between folders. */
  readonly name: string;
  /** Its bytes. */
  readonly bytes: Uint8Array;
}

const table = new Uint32Array(256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  table[n] = c;
}

/** CRC-32 as ZIP has it. */
export function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** The archive, in pieces. */
export function zip(entries: readonly ZipEntry[]): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = [], list: Uint8Array<ArrayBuffer>[] = [];
  let at = 0, listed = 0;
  for (const { name, bytes } of entries) {
    const path = new TextEncoder().encode(name), crc = crc32(bytes);
    // Both headers hold the same middle: version, flags (UTF-8), method, time, date, crc, sizes, lengths.
    const middle = (view: DataView, from: number): void => {
      view.setUint16(from, 20, true);
      view.setUint16(from + 2, 0x800, true);
      view.setUint16(from + 8, 0x21, true); // 1 January 1980: the archive is the same each time
      view.setUint32(from + 10, crc, true);
      view.setUint32(from + 14, bytes.length, true);
      view.setUint32(from + 18, bytes.length, true);
      view.setUint16(from + 22, path.length, true);
    };
    const head = new Uint8Array(30 + path.length), headView = new DataView(head.buffer);
    headView.setUint32(0, 0x04034b50, true);
    middle(headView, 4);
    head.set(path, 30);
    const row = new Uint8Array(46 + path.length), rowView = new DataView(row.buffer);
    rowView.setUint32(0, 0x02014b50, true);
    rowView.setUint16(4, 20, true);
    middle(rowView, 6);
    rowView.setUint32(42, at, true);
    row.set(path, 46);
    list.push(row);
    listed += row.length;
    pieces.push(head, Uint8Array.from(bytes));
    at += head.length + bytes.length;
  }
  const end = new Uint8Array(22), view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(8, entries.length, true);
  view.setUint16(10, entries.length, true);
  view.setUint32(12, listed, true);
  view.setUint32(16, at, true);
  return [...pieces, ...list, end];
}

const broken = (what: string): Error => new Error(`This is no ZIP archive that can be read here: ${what}.`);

/** Entries that an archive may have, and bytes of its list. */
const mostEntries = 10_000, mostList = 16e6;

/**
 * The files of an archive, with their paths as `webkitRelativePath`. What is not packed is a slice of the archive: nothing of it
 * is read.
 * @throws for what is no archive, and for packings other than deflate.
 */
export async function unzip(archive: Blob): Promise<File[]> {
  const view = async (from: number, to: number): Promise<DataView> =>
    new DataView(await archive.slice(from, to).arrayBuffer());
  // The end of the list stands at the end, behind it a note of at most 65535 bytes.
  const begin = Math.max(0, archive.size - 22 - 65535), tail = await view(begin, archive.size);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw broken("it has no list of files");
  const count = tail.getUint16(end + 10, true),
    size = tail.getUint32(end + 12, true),
    at = tail.getUint32(end + 16, true);
  if (count > mostEntries || size > mostList || at + size > begin + end) {
    throw broken(`its list of ${counted(count, "file")} lies outside it, or is too long`);
  }
  const list = await view(at, at + size), files: File[] = [];
  for (let row = 0, i = 0; i < count; i++) {
    if (row + 46 > size || list.getUint32(row, true) !== 0x02014b50) {
      throw broken(`file ${i + 1} of its list is cut off`);
    }
    const method = list.getUint16(row + 10, true), packed = list.getUint32(row + 20, true);
    const whole = list.getUint32(row + 24, true), from = list.getUint32(row + 42, true);
    const [name, extra, note] = [28, 30, 32].map((place) => list.getUint16(row + place, true));
    if (row + 46 + name > size) throw broken(`file ${i + 1} of its list is cut off`);
    const path = new TextDecoder().decode(new Uint8Array(list.buffer, row + 46, name));
    row += 46 + name + extra + note;
    if (path.endsWith("/")) continue;
    if (method !== 0 && method !== 8) {
      throw broken(`${path} is packed by method ${method}, expected deflate or none`);
    }
    const head = await view(from, from + 30);
    if (head.byteLength < 30 || head.getUint32(0, true) !== 0x04034b50) {
      throw broken(`${path} is not where its list says`);
    }
    const start = from + 30 + head.getUint16(26, true) + head.getUint16(28, true);
    if (start + packed > archive.size) throw broken(`${path} is cut off`);
    const bytes = archive.slice(start, start + packed), short = path.split("/").at(-1)!;
    const content = method === 0 ? bytes : await inflated(bytes, whole);
    if (content === null) {
      throw broken(`${path} does not have the ${counted(whole, "byte")} that its list says`);
    }
    files.push(Object.defineProperty(new File([content], short), "webkitRelativePath", { value: path }));
  }
  return files;
}
