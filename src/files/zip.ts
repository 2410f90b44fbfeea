/**
 * A ZIP archive of files as they are, not packed: weights do not shrink.
 *
 * The layout is PKWARE's APPNOTE: for each file a header and its bytes, then the list of all, then where that begins.
 *
 * @module
 */

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
