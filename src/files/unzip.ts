/**
 * The files of a ZIP archive: its list at the end, and each where the list says, as it is or deflated.
 *
 * Every place and size is checked against the archive before anything is read, and what is unpacked against the size that
 * the list says.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { inflated, mostRatio } from "./inflate.ts";
import { quote } from "./quote.ts";
import { crc32 } from "./zip.ts";

/** A file in an archive. */
export interface Zipped {
  /** Its path. */
  readonly name: string;
  /**
   * Reads and unpacks it.
   * @throws {FormatError} where it is not what the list says.
   */
  read(): Promise<Uint8Array<ArrayBuffer>>;
}

/** The longest that what stands behind the list may be. */
const mostEnd = 65_557;
/** The longest list that is read. */
const mostList = 1 << 26;

/** A number of 64 bits, where it is one that a file may have. */
function long(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

/**
 * The list of an archive.
 * @throws {FormatError} for what is none, is packed otherwise, or is locked.
 */
export async function openZip(source: ByteSource): Promise<Zipped[]> {
  const fail = (reason: string): FormatError => new FormatError(`${source.name}: ${reason}`);
  const start = Math.max(0, source.size - mostEnd), tail = await source.read(start, source.size - start);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let end = tail.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw fail("is no ZIP archive: it does not end in a list of files");
  let count = view.getUint16(end + 10, true),
    length = view.getUint32(end + 12, true),
    at = view.getUint32(end + 16, true);
  if (end >= 20 && view.getUint32(end - 20, true) === 0x07064b50) {
    // Beyond 4 GiB or 65,535 files the list has an end of its own.
    const place = long(view, end - 12);
    if (place + 56 > source.size) throw fail("its list's end lies beyond the file");
    const own = await source.read(place, 56), wide = new DataView(own.buffer, own.byteOffset, 56);
    if (wide.getUint32(0, true) !== 0x06064b50) throw fail("its list has no end");
    [count, length, at] = [32, 40, 48].map((offset) => long(wide, offset));
  }
  if (length > mostList || at + length > source.size) {
    throw fail(`its list of ${counted(length, "byte")} lies beyond the file`);
  }
  const list = await source.read(at, length),
    rows = new DataView(list.buffer, list.byteOffset, list.byteLength);
  const found: Zipped[] = [];
  let row = 0;
  for (let i = 0; i < count; i++) {
    if (row + 46 > list.length || rows.getUint32(row, true) !== 0x02014b50) {
      throw fail(`its list ends after ${i} of ${counted(count, "file")}`);
    }
    const [path, more, note] = [28, 30, 32].map((offset) => rows.getUint16(row + offset, true));
    if (row + 46 + path + more + note > list.length) {
      throw fail(`its list ends after ${i} of ${counted(count, "file")}`);
    }
    const name = new TextDecoder().decode(list.subarray(row + 46, row + 46 + path));
    const flags = rows.getUint16(row + 8, true), method = rows.getUint16(row + 10, true);
    const crc = rows.getUint32(row + 16, true);
    let packed = rows.getUint32(row + 20, true), size = rows.getUint32(row + 24, true);
    let place = rows.getUint32(row + 42, true);
    for (let extra = row + 46 + path, last = extra + more; extra + 4 <= last;) {
      const id = rows.getUint16(extra, true), width = rows.getUint16(extra + 2, true);
      if (id === 1) {
        let field = extra + 4;
        const next = (own: number): number => {
          if (own !== 0xffffffff || field + 8 > last) return own;
          field += 8;
          return long(rows, field - 8);
        };
        size = next(size);
        packed = next(packed);
        place = next(place);
      }
      extra += 4 + width;
    }
    row += 46 + path + more + note;
    if ((flags & 1) !== 0 || (method !== 0 && method !== 8)) {
      throw fail(
        `${quote(name)} in it is ${flags & 1 ? "locked" : `packed by method ${method}`}, which is not read`,
      );
    }
    const isPossible = place + 30 + packed <= source.size &&
      (method === 0 ? size === packed : size <= packed * mostRatio + mostRatio);
    if (!isPossible) {
      throw fail(`${quote(name)} in it is said to be ${counted(size, "byte")} from ${packed} at ${place}`);
    }
    found.push({
      name,
      async read() {
        const head = await source.read(place, 30), own = new DataView(head.buffer, head.byteOffset, 30);
        const begin = place + 30 + own.getUint16(26, true) + own.getUint16(28, true);
        if (own.getUint32(0, true) !== 0x04034b50 || begin + packed > source.size) {
          throw fail(`${quote(name)} in it is not where its list says`);
        }
        const bytes = Uint8Array.from(await source.read(begin, packed));
        const plain = method === 0 ? bytes : await inflated(bytes, size);
        if (plain === null || crc32(plain) !== crc) throw fail(`${quote(name)} in it is damaged`);
        return plain;
      },
    });
  }
  return found;
}
