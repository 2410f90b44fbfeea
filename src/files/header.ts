/**
 * The header of a safetensors file: eight bytes of length, then JSON that says what lies where.
 *
 * Everything a file claims is checked here, against the size of the file and against itself, before anything of that
 * size is allocated: what comes out can be trusted by the rest of the folder. The rules are those of the reference
 * implementation (https://github.com/huggingface/safetensors): at most 100 MB of header, tensors that cover the data
 * without holes, overlaps or a rest. A data start that is not aligned is allowed, because old files have it.
 *
 * A header may tell of a million tensors, so no object is made of one before it is asked for: the JSON stays as it is, and
 * a few numbers a tensor say where in it to look.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { type DiskDType, diskDTypes } from "./disk_dtype.ts";
import type { JsonScanner } from "./json_scanner.ts";
import { type NameTable, withRoom } from "./name_table.ts";

/** The longest header that is read, in bytes; the reference implementation's limit. */
export const maxHeaderBytes = 100_000_000;

/** Where the metadata stands among the tensors. */
export const metadataKey = "__metadata__";

/** One tensor as the header describes it. */
export interface HeaderEntry {
  /** Its name. */
  readonly name: string;
  /** Its dtype on disk. */
  readonly dtype: DiskDType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** Its first byte, counted from the start of the file. */
  readonly begin: number;
  /** One past its last byte, counted from the start of the file. */
  readonly end: number;
}

/**
 * The length of the header in bytes, from the first eight bytes of a file of `fileSize` bytes.
 *
 * @throws {FormatError} when it is 0, above {@link maxHeaderBytes}, or reaches beyond the file.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (prefix.byteLength < 8) {
    throw new FormatError(
      `${file} has ${
        counted(fileSize, "byte")
      }, too few for a safetensors file, which begins with 8 bytes of header length`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length < 2) {
    throw new FormatError(`${file}: the header length at byte 0 is ${length}; the shortest header is {}`);
  }
  if (length > maxHeaderBytes) {
    throw new FormatError(
      `${file}: the header length at byte 0 is ${length}, above the limit of ${maxHeaderBytes} bytes; this is no safetensors file`,
    );
  }
  if (8 + length > fileSize) {
    throw new FormatError(
      `${file}: the header of ${counted(length, "byte")} at byte 8 reaches beyond the file, which has ${
        counted(fileSize, "byte")
      }; it is truncated`,
    );
  }
  return length;
}

/** A checked header: tensors by name, in the order of their bytes, and the file's own notes. */
export class Header {
  /** Where the data start, in bytes. */
  readonly dataStart: number;
  /** The file's own notes. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #scanner: JsonScanner;
  readonly #names: NameTable;
  readonly #places: Places;
  /** Numbers of tensors in the order of their bytes; null where that is the order of the header. */
  readonly #order: Uint32Array | null;

  /** What `parseHeader` found. */
  constructor(
    dataStart: number,
    metadata: Readonly<Record<string, string>>,
    scanner: JsonScanner,
    names: NameTable,
    places: Places,
    order: Uint32Array | null,
  ) {
    this.dataStart = dataStart;
    this.metadata = metadata;
    this.#scanner = scanner;
    this.#names = names;
    this.#places = places;
    this.#order = order;
  }

  /** How many tensors there are. */
  get size(): number {
    return this.#names.size;
  }

  /** The tensors' names, in the order of their bytes. */
  names(): string[] {
    const all = this.#names.all(), order = this.#order;
    return order === null ? [...all] : Array.from(order, (i) => all[i]);
  }

  /** What the header says of a tensor; undefined when there is none of this name. */
  find(name: string): HeaderEntry | undefined {
    const i = this.#names.find(name);
    if (i < 0) return undefined;
    const shape: number[] = [], scanner = this.#scanner;
    scanner.at = this.#places.shapes[i];
    scanner.items(1, () => void shape.push(scanner.wholeNumber() as number));
    return {
      name,
      dtype: diskDTypes[this.#places.dtypes[i]],
      shape,
      begin: this.#places.begins[i],
      end: this.#places.ends[i],
    };
  }
}

/** Where tensors lie, by number. */
export class Places {
  /** First bytes, counted from the start of the file. */
  begins: Float64Array = new Float64Array(0);
  /** Ends, counted so too. */
  ends: Float64Array = new Float64Array(0);
  /** Where in the header each shape stands. */
  shapes: Uint32Array = new Uint32Array(0);
  /** Positions in `diskDTypes`. */
  dtypes: Uint8Array = new Uint8Array(0);

  /** Makes room for so many. */
  makeRoom(room: number): void {
    this.begins = withRoom(this.begins, room);
    this.ends = withRoom(this.ends, room);
    this.shapes = withRoom(this.shapes, room);
    this.dtypes = withRoom(this.dtypes, room);
  }
}
