/**
 * Writing safetensors: the headers are worked out from names, dtypes and shapes, then bytes are streamed tensor by
 * tensor, so that nothing is ever held or copied whole.
 *
 * The layout is the reference implementation's, byte for byte: tensors from the widest to the narrowest dtype and by
 * name within one, without holes, after a header padded with spaces to a multiple of eight bytes. What writes the
 * chunks to a disk (and renames the finished file into place) is the caller's sink.
 *
 * @module
 */
import { byteSize, type DType, isK, isQuantized } from "../core/dtype.ts";
import { DTypeError, FormatError, OptionError } from "../core/errors.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { checkConversion, convertBytes } from "./convert.ts";
import { alignmentOrder, type FileDType, isFileDType, tensorBytes, toDisk } from "./disk_dtype.ts";
import { maxHeaderBytes, metadataKey } from "./header.ts";
import { quote } from "./quote.ts";
import { digestKey, noDigest, type SetDigests, shardsKey } from "./digests.ts";
import { formatQuantized, quantizedKey, storedShape } from "./quantized_names.ts";
import { transposeMatrix } from "./transpose.ts";

/**
 * A tensor to be written.
 *
 * @category Files
 */
export interface TensorToSave {
  /** Its name. */
  readonly name: string;
  /** Its dtype. */
  readonly dtype: FileDType;
  /** Its sizes, outermost first. For q8 and q4 the last is a multiple of 32. */
  readonly shape: readonly number[];
  /** Whether this is the transpose of the matrix that the name stands for; only q8 and q4 are written so. */
  readonly transposed?: boolean;
  /** Its bytes (little-endian, row-major), asked for once, when it is its turn. */
  readonly bytes: () => Uint8Array | Promise<Uint8Array>;
}

/** How to write. */
export interface SaveOptions {
  /** Notes to keep in the file, text by key. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Begin a new file before one holds more bytes of tensors than this (default: one file). */
  readonly shardSize?: number;
  /** The file's name, from which the names of shards and index are made (default `model.safetensors`). */
  readonly fileName?: string;
  /** Leave room in each file for the SHA-256 of its tensors, which whoever writes it puts there (default false). */
  readonly digests?: boolean;
}

/** One file to be written. */
export interface PlannedFile {
  /** Its name, without a folder. */
  readonly name: string;
  /** Its size in bytes. */
  readonly byteLength: number;
  /** The tensors in it, in the order of their bytes; none for an index. */
  readonly tensors: readonly TensorToSave[];
  /** The byte at which the SHA-256 of all that follows the header is to stand, in hexadecimal; null where none is kept. */
  readonly digestAt: number | null;
  /**
   * Its bytes, piece by piece: first the header, then a piece for each tensor. An index takes the digests that are known.
   *
   * @throws {FormatError} when a tensor's bytes are not as many as its shape says.
   */
  chunks(digests?: SetDigests): AsyncGenerator<Uint8Array, void, undefined>;
}

/** Files to be written, in the order of writing: an index comes last, when all it speaks of is there. */
export interface SafetensorsPlan {
  /** The files. */
  readonly files: readonly PlannedFile[];
  /** Bytes of all tensors. */
  readonly totalSize: number;
}

/** What stands before a digest in a header, and nowhere else: inside a text quotes are escaped. */
const digestMark = `${JSON.stringify(digestKey)}:"`;

function checkedSize({ name, dtype, shape, transposed }: TensorToSave): number {
  const at = `cannot write tensor ${quote(name)}`;
  if (name === metadataKey || name === "__proto__" || !name.isWellFormed()) {
    throw new FormatError(`${at}: the format keeps or forbids this name; choose another`);
  }
  if (!isFileDType(dtype)) {
    throw new FormatError(`${at}: ${quote(String(dtype))} is not a dtype of the format`);
  }
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FormatError(`${at}: ${formatShape(shape)} is not a shape`);
  }
  if (transposed && ((dtype !== "q8" && dtype !== "q4") || shape.length !== 2)) {
    throw new FormatError(
      `${at}: only q8 and q4 matrices are written transposed, not ${dtype} ${formatShape(shape)}`,
    );
  }
  const size = tensorBytes(dtype, shape);
  if (typeof size === "string") throw new FormatError(`${at}: ${dtype} ${formatShape(shape)}: ${size}`);
  return size;
}

function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(metadata)) {
    if (key === quantizedKey || key === digestKey || key === "__proto__") {
      throw new OptionError(`metadata: the key ${quote(key)} is reserved; leave it out`);
    }
    if (typeof value !== "string") {
      throw new OptionError(
        `metadata: ${quote(key)} is ${typeof value}; the format keeps text only, so turn it into a string`,
      );
    }
    if (!key.isWellFormed() || !value.isWellFormed()) {
      throw new OptionError(`metadata: ${quote(key)} is not valid Unicode`);
    }
  }
}

/** One file from `tensors`, whose sizes are known. */
function planFile(
  name: string,
  tensors: readonly TensorToSave[],
  sizes: ReadonlyMap<string, number>,
  { metadata = {}, digests = false }: SaveOptions,
): PlannedFile {
  const ordered = tensors
    .map((tensor) => ({ tensor, order: alignmentOrder(toDisk(tensor.dtype)) }))
    .sort((a, b) => b.order - a.order || (a.tensor.name < b.tensor.name ? -1 : 1))
    .map(({ tensor }) => tensor);
  const notes: Record<string, string> = { ...metadata, ...(digests ? { [digestKey]: noDigest } : {}) };
  const quantized = formatQuantized(ordered);
  if (quantized !== null) notes[quantizedKey] = quantized;
  const parts: string[] = [];
  if (Object.keys(notes).length > 0) parts.push(`${JSON.stringify(metadataKey)}:${JSON.stringify(notes)}`);
  let end = 0;
  for (const { name, dtype, shape } of ordered) {
    const begin = end;
    end += sizes.get(name)!;
    const stored = dtype === "q8" || dtype === "q4" ? storedShape(dtype, shape) : shape;
    const entry = { dtype: toDisk(dtype), shape: stored, data_offsets: [begin, end] };
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  if (!Number.isSafeInteger(end)) throw new FormatError(`${name}: the tensors take more than 2^53 bytes`);
  const text = `{${parts.join(",")}}`, json = new TextEncoder().encode(text);
  const length = Math.ceil(json.byteLength / 8) * 8;
  if (length > maxHeaderBytes) {
    throw new FormatError(
      `${name}: the header takes ${counted(length, "byte")}, above the format's limit of ${maxHeaderBytes}`,
    );
  }
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(json, 8);
  return {
    name,
    byteLength: head.byteLength + end,
    tensors: ordered,
    digestAt: digests
      ? 8 + new TextEncoder().encode(text.slice(0, text.indexOf(digestMark) + digestMark.length)).byteLength
      : null,
    async *chunks() {
      yield head;
      for (const tensor of ordered) {
        const bytes = await tensor.bytes(), size = sizes.get(tensor.name)!;
        if (bytes.byteLength !== size) {
          throw new FormatError(
            `${name}: tensor ${quote(tensor.name)}, ${tensor.dtype} ${formatShape(tensor.shape)}, takes ${
              counted(size, "byte")
            }, ` +
              `but ${bytes.byteLength} were given`,
          );
        }
        if (size > 0) yield bytes;
      }
    },
  };
}

/** The index that Hugging Face writes beside shards. */
function planIndex(
  name: string,
  totalSize: number,
  weightMap: readonly (readonly [string, string])[],
  shards: readonly string[] | null,
): PlannedFile {
  const sorted = Object.fromEntries([...weightMap].sort(([a], [b]) => a < b ? -1 : 1));
  const encode = (digests?: SetDigests): Uint8Array => {
    const own = shards?.map((shard) => [shard, digests?.files.get(shard) ?? noDigest]);
    const metadata = {
      total_size: totalSize,
      ...(own ? { [digestKey]: digests?.all ?? noDigest, [shardsKey]: Object.fromEntries(own) } : {}),
    };
    return new TextEncoder().encode(`${JSON.stringify({ metadata, weight_map: sorted }, null, 2)}\n`);
  };
  return {
    name,
    byteLength: encode().byteLength,
    tensors: [],
    digestAt: null,
    async *chunks(digests) {
      yield encode(digests);
    },
  };
}

/**
 * Works out the files that hold `tensors`: one, or with `shardSize` shards of at most that many bytes of tensors
 * (a larger tensor gets its own), filled in the order given, and their index.
 *
 * @throws {FormatError} for names, dtypes and shapes that the format cannot hold, and names given twice.
 * @throws {OptionError} for metadata that is not text, and a shard size that is not a positive number.
 */
export function planSafetensors(tensors: Iterable<TensorToSave>, options: SaveOptions = {}): SafetensorsPlan {
  const { metadata = {}, shardSize = Infinity, fileName = "model.safetensors", digests = false } = options;
  if (!(shardSize > 0)) throw new OptionError(`shardSize is a positive number of bytes, not ${shardSize}`);
  checkMetadata(metadata);
  const sizes = new Map<string, number>(), shards: TensorToSave[][] = [[]];
  let totalSize = 0, room = shardSize;
  for (const tensor of tensors) {
    const size = checkedSize(tensor);
    if (sizes.has(tensor.name)) {
      throw new FormatError(`cannot write tensor ${quote(tensor.name)}: it is given twice`);
    }
    sizes.set(tensor.name, size);
    totalSize += size;
    if (size > room && shards[shards.length - 1].length > 0) {
      shards.push([]);
      room = shardSize;
    }
    shards[shards.length - 1].push(tensor);
    room -= size;
  }
  if (shards.length === 1) return { files: [planFile(fileName, shards[0], sizes, options)], totalSize };
  const stem = fileName.replace(/\.safetensors$/, "");
  const number = (n: number): string => String(n).padStart(5, "0");
  const files = shards.map((shard, k) =>
    planFile(`${stem}-${number(k + 1)}-of-${number(shards.length)}.safetensors`, shard, sizes, options)
  );
  const weightMap = files.flatMap(({ name, tensors }) =>
    tensors.map((tensor) => [tensor.name, name] as const)
  );
  const names = digests ? files.map(({ name }) => name) : null;
  return {
    files: [...files, planIndex(`${stem}.safetensors.index.json`, totalSize, weightMap, names)],
    totalSize,
  };
}

/**
 * The same tensor in another dtype, converted when its bytes are asked for. What was transposed stays so among q8 and q4,
 * and is turned back in any other dtype.
 *
 * @throws {DTypeError} where that cannot be.
 */
export function castTensor(tensor: TensorToSave, dtype: DType): TensorToSave {
  const { name, dtype: from, shape, transposed, bytes } = tensor;
  if (from === dtype) return tensor;
  if (isK(dtype)) {
    throw new DTypeError(`safetensors holds no ${dtype}; saveGguf and convert write such blocks`);
  }
  checkConversion(from, dtype, shape, `tensor ${quote(name)}`);
  if (transposed && isQuantized(dtype)) {
    return { ...castTensor({ name, dtype: from, shape, bytes }, dtype), transposed };
  }
  if (transposed) {
    const [rows, columns] = shape;
    const turned: TensorToSave = {
      name,
      dtype: "f32",
      shape: [columns, rows],
      async bytes() {
        const values = new Float32Array(rows * columns), out = new Float32Array(rows * columns);
        convertBytes(from, "f32", await bytes(), new Uint8Array(values.buffer));
        transposeMatrix(values, rows, columns, out);
        return new Uint8Array(out.buffer);
      },
    };
    return castTensor(turned, dtype);
  }
  return {
    name,
    dtype,
    shape,
    async bytes() {
      const out = new Uint8Array(byteSize(dtype, sizeOf(shape)));
      convertBytes(from, dtype, await bytes(), out);
      return out;
    },
  };
}

/** All bytes of a planned file, for what cannot be streamed to: a Blob, a test. */
export async function collectBytes(file: PlannedFile): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(file.byteLength);
  let at = 0;
  for await (const chunk of file.chunks()) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
