/**
 * Reading a header: one walk through its JSON, in which everything is checked.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { diskBytes, diskDTypes } from "./disk_dtype.ts";
import { Header, metadataKey, Places } from "./header.ts";
import { type JsonScanner, refuseKey, scanJson } from "./json_scanner.ts";
import { NameTable } from "./name_table.ts";
import { quote } from "./quote.ts";

/** The most sizes a shape may have; PyTorch and NumPy stop at 64. */
const maxRank = 1024;

/** The most keys of metadata; what is beyond is of no use to a reader. */
const mostNotes = 65_536;

const keyNames = ["dtype", "shape", "data_offsets"];

/** Whole numbers of a list that was read, or what is wrong with it. */
class Numbers {
  readonly values: number[] = [];
  count = 0;
  problem: string | null = null;
  readonly #scanner: JsonScanner;
  readonly #most: number;

  constructor(scanner: JsonScanner, most: number) {
    this.#scanner = scanner;
    this.#most = most;
  }

  /** As if there were none. */
  clear(): void {
    this.values.length = this.count = 0;
    this.problem = "is not a list";
  }

  /** Reads the value that comes. */
  read(): void {
    if (this.#scanner.peek() !== 0x5b) return this.#scanner.skip(3);
    this.problem = null;
    this.#scanner.items(3, this.#each);
    if (this.count > this.#most) {
      this.problem ??= `has ${counted(this.count, "number")}, more than ${this.#most}`;
    }
  }

  readonly #each = (): void => {
    const n = this.#scanner.wholeNumber();
    this.count++;
    if (typeof n === "string") this.problem ??= `holds ${n}`;
    else if (this.count <= this.#most) this.values.push(n);
  };
}

class HeaderReader {
  readonly #file: string;
  readonly #fileSize: number;
  readonly #dataStart: number;
  readonly #bytes: Uint8Array;
  readonly #scanner: JsonScanner;
  readonly #names: NameTable;
  readonly #places = new Places();
  readonly #shape: Numbers;
  readonly #offsets: Numbers;
  /** For special keys with escapes, of six bytes a letter at most. */
  readonly #scratch = new Uint8Array(6 * metadataKey.length);
  #metadata: Record<string, string> | null = null;
  #sorted = true;
  // Of the entry that is being read.
  #index = -1;
  #seen = 0;
  /** The dtype that was read last, where it stands, and its position in `diskDTypes`; -1 for none. */
  #dtypeBegin = 0;
  #dtypeEnd = 0;
  #dtype = -1;

  constructor(bytes: Uint8Array, fileSize: number, file: string) {
    this.#file = file;
    this.#fileSize = fileSize;
    this.#bytes = bytes;
    this.#dataStart = 8 + bytes.byteLength;
    this.#scanner = scanJson(bytes, 8, file, "header");
    this.#names = new NameTable(bytes, this.#scanner);
    this.#shape = new Numbers(this.#scanner, maxRank);
    this.#offsets = new Numbers(this.#scanner, 2);
  }

  read(): Header {
    this.#scanner.entries(1, () => this.#readTop());
    this.#scanner.finish();
    const order = this.#order();
    this.#checkCover(order);
    return new Header(
      this.#dataStart,
      this.#metadata ?? {},
      this.#scanner,
      this.#names,
      this.#places,
      order,
    );
  }

  #readTop(): void {
    const scanner = this.#scanner, byte = 8 + scanner.begin - 1;
    const isMetadata = this.#is(metadataKey);
    const isNew = isMetadata ? this.#metadata === null : this.#names.add();
    // No text is made of a name about which there is nothing to say.
    if (!isNew || this.#is("__proto__")) refuseKey(scanner.textAt(scanner), isNew !== false, this.#at(byte));
    if (isMetadata) this.#metadata = this.#readMetadata(byte);
    else this.#readEntry(this.#names.size - 1);
  }

  /** Whether the key that was read is this one, of ASCII. */
  #is(key: string): boolean {
    const { begin, end, escaped } = this.#scanner;
    let bytes = this.#bytes, from = begin, to = end;
    if (escaped) {
      bytes = this.#scratch;
      if (end - begin > bytes.length) return false;
      from = 0;
      to = this.#scanner.unescape(this.#scanner, bytes);
    }
    if (to - from !== key.length) return false;
    for (let i = 0; i < key.length; i++) if (bytes[from + i] !== key.charCodeAt(i)) return false;
    return true;
  }

  #at(byte: number, outer?: string): Parameters<typeof refuseKey>[2] {
    return { file: this.#file, what: "header", byte, ...(outer === undefined ? {} : { outer }) };
  }

  #readMetadata(byte: number): Record<string, string> {
    const scanner = this.#scanner, at = `${this.#file}: header byte ${byte}`;
    if (scanner.peek() !== 0x7b) {
      throw new FormatError(`${at}: ${metadataKey} is ${this.#showValue()}, not an object of strings`);
    }
    const found = new Map<string, string>();
    scanner.entries(2, () => {
      const key = scanner.textAt(scanner);
      refuseKey(key, !found.has(key), this.#at(8 + scanner.begin - 1, metadataKey));
      if (scanner.peek() !== 0x22) {
        throw new FormatError(`${at}: ${quote(key)} is ${this.#showValue()}, not a string`);
      }
      if (found.size === mostNotes) {
        throw new FormatError(`${at}: ${metadataKey} has more than ${mostNotes} keys`);
      }
      scanner.text();
      found.set(key, scanner.textAt(scanner));
    });
    return Object.fromEntries(found);
  }

  /** The value that comes, as it is written. */
  #showValue(): string {
    this.#scanner.peek();
    const begin = this.#scanner.at;
    this.#scanner.skip(2);
    return this.#scanner.show(begin, this.#scanner.at);
  }

  #where(index: number): string {
    const byte = 8 + this.#names.beginOf(index) - 1;
    return `${this.#file}: tensor ${quote(this.#names.at(index))} (header byte ${byte})`;
  }

  #fail(reason: string): never {
    throw new FormatError(`${this.#where(this.#index)}: ${reason}`);
  }

  #readEntry(index: number): void {
    const scanner = this.#scanner, places = this.#places;
    this.#index = index;
    if (scanner.peek() !== 0x7b) this.#fail(`its entry is ${this.#showValue()}, not an object`);
    places.makeRoom(this.#names.room);
    this.#seen = 0;
    this.#shape.clear();
    this.#offsets.clear();
    scanner.entries(2, this.#readKey);
    const dtype = this.#dtype;
    if ((this.#seen & 1) === 0 || dtype < 0) {
      const said = this.#seen & 1 ? scanner.show(this.#dtypeBegin, this.#dtypeEnd) : "nothing";
      this.#fail(`unknown dtype ${said}; the format has ${diskDTypes.join(", ")}`);
    }
    if (this.#shape.problem !== null) this.#fail(`shape ${this.#shape.problem}`);
    const { problem, count, values } = this.#offsets, begin = values[0], end = values[1];
    if (count > 2 || (problem === null && count < 2)) {
      this.#fail(`data_offsets has ${counted(count, "number")}, not begin and end`);
    }
    if (problem !== null) this.#fail(`data_offsets ${problem}`);
    this.#checkPlace(dtype, begin, end);
    places.dtypes[index] = dtype;
    places.begins[index] = this.#dataStart + begin;
    places.ends[index] = this.#dataStart + end;
    if (index > 0 && places.begins[index] < places.ends[index - 1]) this.#sorted = false;
  }

  /** Reads the value of a key of an entry. */
  readonly #readKey = (): void => {
    const scanner = this.#scanner, byte = 8 + scanner.begin - 1;
    let which = keyNames.length - 1;
    while (which >= 0 && !this.#is(keyNames[which])) which--;
    if (which < 0 && this.#is("__proto__")) {
      refuseKey("__proto__", true, this.#at(byte, this.#names.at(this.#index)));
    }
    // What is not known here is of no matter, and may be said twice.
    if (which < 0) return scanner.skip(3);
    const isNew = (this.#seen & 1 << which) === 0;
    if (!isNew) refuseKey(keyNames[which], false, this.#at(byte, this.#names.at(this.#index)));
    this.#seen |= 1 << which;
    if (which === 0) this.#readDType();
    else if (which === 2) this.#offsets.read();
    else {
      scanner.peek();
      this.#places.shapes[this.#index] = scanner.at;
      this.#shape.read();
    }
  };

  #readDType(): void {
    const scanner = this.#scanner, bytes = this.#bytes;
    scanner.peek();
    const begin = scanner.at;
    scanner.skip(3);
    const length = scanner.at - begin;
    let same = this.#dtype >= 0 && length === this.#dtypeEnd - this.#dtypeBegin;
    for (let i = 0; same && i < length; i++) same = bytes[begin + i] === bytes[this.#dtypeBegin + i];
    this.#dtypeBegin = begin;
    this.#dtypeEnd = scanner.at;
    if (same) return;
    this.#dtype = bytes[begin] === 0x22
      ? (diskDTypes as readonly string[]).indexOf(scanner.textAt(scanner))
      : -1;
  }

  #checkPlace(dtype: number, begin: number, end: number): void {
    const name = diskDTypes[dtype];
    if (begin > end) this.#fail(`data_offsets [${begin}, ${end}] end before they begin`);
    if (this.#dataStart + end > this.#fileSize) {
      this.#fail(
        `data_offsets [${begin}, ${end}] end at byte ${this.#dataStart + end}, beyond the file of ${
          counted(this.#fileSize, "byte")
        }; ` +
          `it is truncated or the header is wrong`,
      );
    }
    const size = diskBytes(name, this.#shape.values);
    if (size === end - begin) return;
    const shape = JSON.stringify(this.#shape.values),
      said = shape.length > 80 ? `${shape.slice(0, 77)}...` : shape;
    if (typeof size === "string") this.#fail(`shape ${said} of ${name}: ${size}`);
    this.#fail(
      `shape ${said} of ${name} takes ${counted(size, "byte")}, but data_offsets [${begin}, ${end}] hold ${
        end - begin
      }`,
    );
  }

  /** The numbers of the tensors in the order of their bytes; null where that is the order of the header. */
  #order(): Uint32Array | null {
    if (this.#sorted) return null;
    const { begins, ends } = this.#places, order = new Uint32Array(this.#names.size);
    for (let i = 0; i < order.length; i++) order[i] = i;
    return order.sort((a, b) => begins[a] - begins[b] || ends[a] - ends[b] || a - b);
  }

  /** Refuses holes, overlaps and a rest. */
  #checkCover(order: Uint32Array | null): void {
    const { begins, ends } = this.#places;
    let covered = this.#dataStart, previous = -1;
    for (let k = 0; k < this.#names.size; k++) {
      const i = order === null ? k : order[k];
      if (begins[i] !== covered) {
        const before = previous < 0 ? "the data start" : `tensor ${quote(this.#names.at(previous))} ends`;
        const at = `${this.#where(i)} begins at byte ${begins[i]}`;
        throw new FormatError(
          begins[i] < covered
            ? `${at} and overlaps: ${before} at byte ${covered}`
            : `${at} and leaves a hole of ${
              counted(begins[i] - covered, "byte")
            }: ${before} at byte ${covered}`,
        );
      }
      covered = ends[i];
      previous = i;
    }
    if (covered === this.#fileSize) return;
    const last = previous < 0 ? "the header" : `tensor ${quote(this.#names.at(previous))}, the last,`;
    throw new FormatError(
      `${this.#file}: ${last} ends at byte ${covered}, but the file has ${
        counted(this.#fileSize, "byte")
      } that no tensor covers`,
    );
  }
}

/**
 * Checks and reads the header `bytes`, which begin at byte 8 of `file`, a file of `fileSize` bytes. They must not change
 * afterwards: names and shapes stay in them.
 *
 * @throws {FormatError} that names the file, the tensor and the byte, for everything the format does not allow.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file: string): Header {
  if (bytes[0] !== 0x7b) throw new FormatError(`${file}: the header at byte 8 does not begin with {`);
  return new HeaderReader(bytes, fileSize, file).read();
}
