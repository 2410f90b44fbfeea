/**
 * Open safetensors: names now, bytes when asked, from one file or from the shards of an index.
 *
 * Opening reads the eight bytes of length and the header, nothing else; {@link SafetensorsFile.bytesRead} counts, so
 * that a test can hold us to it. Where bytes come from is the caller's business (`ByteSource`).
 *
 * @module
 */
import { demand, demandNoMore, demandText } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { checkTogether, digestKey, digestOf } from "./digests.ts";
import { fromDisk } from "./disk_dtype.ts";
import { type Header, headerLength } from "./header.ts";
import { parseHeader } from "./header_reader.ts";
import { quote } from "./quote.ts";
import { type LogicalType, parseQuantized, quantizedKey } from "./quantized_names.ts";
import {
  planReads,
  ReadPlan,
  type ReadPlanOptions,
  type ReadTensor,
  runReads,
  type RunReadsOptions,
  runReadsOptions,
} from "./read_plan.ts";
import { looksLikeIndex, type OpenShard, readIndex, type ShardIndex } from "./sharded.ts";
import type { TensorTable } from "./tensor_table.ts";
import { OpenFile, type TensorInfo, TensorView } from "./view.ts";

/** What opening finds; the constructor of {@link SafetensorsFile} takes it. */
export interface OpenedFiles {
  /** The files, one or the shards. */
  readonly files: readonly OpenFile[];
  /** The tensors of all files. */
  readonly tensors: TensorTable;
  /** The metadata, of all shards together. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes read beside the files: those of an index. */
  readonly indexBytes: number;
  /** What the writer noted of all tensors together; null where it noted nothing. */
  readonly digest: string | null;
}

/**
 * Named tensors in one safetensors file or in the shards of one model.
 *
 * @category Files
 */
export class SafetensorsFile {
  /** The file's own notes (`__metadata__`), without the reserved entries. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The SHA-256 of the tensors as the writer noted it (of shards: of their digests); null where it noted nothing. */
  readonly digest: string | null;
  #files: ReadonlyMap<string, OpenFile>;
  #tensors: TensorTable;
  #names: readonly string[] | null = null;
  #indexBytes: number;

  /** Takes what {@link openFiles} found. */
  constructor(opened: OpenedFiles) {
    demandNoMore(arguments, 1, "SafetensorsFile");
    const isOpen = Array.isArray(opened?.files) && opened.tensors !== undefined;
    demand("new Safetensors", "what is given", opened, isOpen, "what openSafetensors reads; call that");
    this.metadata = opened.metadata;
    this.digest = opened.digest;
    this.#files = new Map(opened.files.map((file) => [file.name, file]));
    this.#tensors = opened.tensors;
    this.#indexBytes = opened.indexBytes;
  }

  /** The tensors' names, in the order of their bytes (shard after shard). */
  get names(): readonly string[] {
    return this.#names ??= this.#tensors.names();
  }

  /** The names of the files that are read, as errors give them. */
  get files(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Bytes read so far, headers and index included. */
  get bytesRead(): number {
    let sum = this.#indexBytes;
    for (const file of this.#files.values()) sum += file.bytesRead;
    return sum;
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    demandNoMore(arguments, 1, "has");
    return this.#tensors.find(name) !== undefined;
  }

  /**
   * Dtype, shape and place of a tensor.
   * @throws {FormatError} when there is none of this name.
   * @throws {OptionError} for a name that is no text.
   */
  info(name: string): TensorInfo {
    demandNoMore(arguments, 1, "info");
    demandText("info", name, "the name");
    const info = this.#tensors.find(name);
    if (info) return info;
    const some = this.names.slice(0, 5).map(quote).join(", ");
    const rest = this.names.length > 5 ? ` and ${this.names.length - 5} more` : "";
    throw new FormatError(
      `${this.files.join(", ")}: there is no tensor ${quote(name)}; there are ${some || "none"}${rest}`,
    );
  }

  /**
   * A lazy view of a tensor.
   * @throws {FormatError} when there is none of this name.
   * @throws {OptionError} for a name that is no text.
   */
  view(name: string): TensorView {
    demandNoMore(arguments, 1, "view");
    demandText("view", name, "the name");
    const info = this.info(name), file = this.#files.get(info.file)!;
    return new TensorView(file, info, info.shape, info.begin, info.byteLength);
  }

  /**
   * The reads that bring `names` (default: all).
   * @throws {FormatError} for a name that is not there.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  plan(names: readonly string[] = this.names, options: ReadPlanOptions = {}): ReadPlan {
    demandNoMore(arguments, 2, "plan");
    demand("plan", "names", names, Array.isArray(names), "a list of names");
    return planReads(names.map((name) => this.info(name)), options);
  }

  /**
   * Reads a plan, or `names` with the default plan, tensor by tensor in the plan's order.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FormatError} naming a tensor that is not there, and for a file that is damaged.
   * @throws {FerrotypeError} for a file that is closed or cannot be read.
   * @throws {CancelledError} by `signal`.
   */
  read(
    what: ReadPlan | readonly string[] = this.names,
    options: RunReadsOptions = {},
  ): AsyncGenerator<ReadTensor, void, undefined> {
    demandNoMore(arguments, 2, "read");
    checkOptions("read", options, runReadsOptions);
    demand(
      "read",
      "what is to be read",
      what,
      what instanceof ReadPlan || Array.isArray(what),
      "a plan or a list of names",
    );
    return runReads(what instanceof ReadPlan ? what : this.plan(what), this.#files, options);
  }

  /** Closes every file. Views can no longer be read. */
  async close(): Promise<void> {
    demandNoMore(arguments, 0, "close");
    await Promise.all([...this.#files.values()].map((file) => file.close()));
  }

  /** Closes every file (`await using`). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The tensors of one file, with their logical types. */
class FileTable implements TensorTable {
  readonly #header: Header;
  readonly #quantized: ReadonlyMap<string, LogicalType>;
  readonly #file: string;

  constructor(header: Header, file: string) {
    this.#header = header;
    this.#quantized = parseQuantized(header, file);
    this.#file = file;
  }

  get size(): number {
    return this.#header.size;
  }

  names(): string[] {
    return this.#header.names();
  }

  find(name: string): TensorInfo | undefined {
    const entry = this.#header.find(name);
    if (!entry) return undefined;
    const { dtype, shape, begin, end } = entry;
    const type = this.#quantized.get(name) ?? { dtype: fromDisk(dtype), shape };
    return { name, ...type, diskDType: dtype, file: this.#file, begin, end, byteLength: end - begin };
  }
}

/** The tensors that an index finds in its shards. */
class ShardTable implements TensorTable {
  readonly #index: ShardIndex;
  readonly #shards: ReadonlyMap<string, TensorTable>;

  constructor(index: ShardIndex, shards: ReadonlyMap<string, TensorTable>) {
    this.#index = index;
    this.#shards = shards;
  }

  get size(): number {
    return this.#index.size;
  }

  names(): string[] {
    return [...this.#shards].flatMap(([shard, table]) =>
      table.names().filter((name) => this.#index.shardOf(name) === shard)
    );
  }

  find(name: string): TensorInfo | undefined {
    const shard = this.#index.shardOf(name);
    return shard === undefined ? undefined : this.#shards.get(shard)?.find(name);
  }
}

/** Reads the header that follows `prefix`, the first eight bytes (or all there are) of `source`. */
async function openOne(
  source: ByteSource,
  prefix: Uint8Array,
  name: string = source.name,
): Promise<{ file: OpenFile; table: TensorTable }> {
  const length = headerLength(prefix, source.size, name);
  const header = parseHeader(await source.read(8, length), source.size, name);
  return { file: new OpenFile(source, header, 8 + length, name), table: new FileTable(header, name) };
}

function readPrefix(source: ByteSource): Promise<Uint8Array> {
  return source.read(0, Math.min(8, source.size));
}

function withoutReserved(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => key !== quantizedKey && key !== digestKey),
  );
}

/** How many shards are opened at a time. */
const openAtOnce = 16;

/** Opens the shards that the index `source` names. Their headers are read side by side. */
async function openIndex(source: ByteSource, openShard: OpenShard): Promise<OpenedFiles> {
  const index = await readIndex(source);
  await source.close();
  const sources: ByteSource[] = [], queue = index.shards.entries();
  const opened: { shard: string; file: OpenFile; table: TensorTable }[] = [];
  let failure: { error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    for (const [i, shard] of queue) {
      if (failure !== null) return;
      try {
        const from = await openShard(shard);
        sources.push(from);
        // Bytes at hand are all called the same, and files are told apart by their names.
        const name = from.name.endsWith(shard) ? from.name : shard;
        opened[i] = { shard, ...await openOne(from, await readPrefix(from), name) };
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  try {
    // All have been waited for, so that on failure all are closed.
    await Promise.all(Array.from({ length: openAtOnce }, worker));
    if (failure !== null) throw (failure as { error: unknown }).error;
    const metadata: Record<string, string> = {};
    for (const { shard, file } of opened) {
      checkTogether(file.name, digestOf(file.header.metadata), source.name, index.digests.files.get(shard));
      Object.assign(metadata, withoutReserved(file.header.metadata));
    }
    const tensors = new ShardTable(index, new Map(opened.map(({ shard, table }) => [shard, table])));
    for (const name of index.names()) {
      if (tensors.find(name) === undefined) {
        throw new FormatError(
          `${source.name}: tensor ${quote(name)} should be in ${
            quote(index.shardOf(name)!)
          }, which does not have it`,
        );
      }
    }
    return {
      files: opened.map(({ file }) => file),
      tensors,
      metadata,
      indexBytes: index.bytes,
      digest: index.digests.all,
    };
  } catch (error) {
    await Promise.allSettled(sources.map((from) => from.close()));
    throw error;
  }
}

/**
 * Opens one safetensors file, or the index of a sharded one (`model.safetensors.index.json`), told apart by their
 * first bytes. `openShard` opens a file that lies beside the index. On failure the source is closed.
 *
 * @throws {FormatError} that names the file, the tensor and the byte, for everything the format does not allow.
 */
export async function openFiles(source: ByteSource, openShard?: OpenShard): Promise<OpenedFiles> {
  try {
    const prefix = await readPrefix(source);
    if (looksLikeIndex(prefix)) {
      if (openShard) return await openIndex(source, openShard);
      throw new FormatError(
        `${source.name} is the index of a sharded file; open it by path or URL, so that its shards are found`,
      );
    }
    const { file, table: tensors } = await openOne(source, prefix);
    const { metadata } = file.header;
    return {
      files: [file],
      tensors,
      metadata: withoutReserved(metadata),
      indexBytes: 0,
      digest: digestOf(metadata),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** {@link openFiles}, as a {@link SafetensorsFile}. */
export async function readSafetensors(source: ByteSource, openShard?: OpenShard): Promise<SafetensorsFile> {
  return new SafetensorsFile(await openFiles(source, openShard));
}
