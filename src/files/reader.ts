/**
 * Open safetensors: names now, bytes when asked, from one file or from the shards of an index.
 *
 * Opening reads the eight bytes of length and the header, nothing else; {@link SafetensorsFile.bytesRead} counts, so
 * that a test can hold us to it. Where bytes come from is the caller's business (`ByteSource`).
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { fromDisk } from "./disk_dtype.ts";
import { type Header, headerLength, parseHeader } from "./header.ts";
import { quote } from "./json_keys.ts";
import { parseQuantized, quantizedKey } from "./quantized_names.ts";
import {
  planReads,
  ReadPlan,
  type ReadPlanOptions,
  type ReadTensor,
  runReads,
  type RunReadsOptions,
  runReadsOptions,
} from "./read_plan.ts";
import { looksLikeIndex, type OpenShard, readIndex } from "./sharded.ts";
import { OpenFile, type TensorInfo, TensorView } from "./view.ts";

/** One tensor and the file it is read from. */
interface Place {
  readonly file: OpenFile;
  readonly info: TensorInfo;
}

/** What opening finds; the constructor of {@link SafetensorsFile} takes it. */
export interface OpenedFiles {
  /** The files, one or the shards. */
  readonly files: readonly OpenFile[];
  /** The tensors, by name. */
  readonly tensors: ReadonlyMap<string, { readonly file: OpenFile; readonly info: TensorInfo }>;
  /** The metadata, of all shards together. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes read beside the files: those of an index. */
  readonly indexBytes: number;
}

/** Named tensors in one safetensors file or in the shards of one model. */
export class SafetensorsFile {
  /** The tensors' names, in the order of their bytes (shard after shard). */
  readonly names: readonly string[];
  /** The file's own notes (`__metadata__`), without the entry that marks quantised tensors. */
  readonly metadata: Readonly<Record<string, string>>;
  #files: ReadonlyMap<string, OpenFile>;
  #tensors: ReadonlyMap<string, Place>;
  #indexBytes: number;

  /** Takes what {@link openFiles} found. */
  constructor(opened: OpenedFiles) {
    this.names = [...opened.tensors.keys()];
    this.metadata = opened.metadata;
    this.#files = new Map(opened.files.map((file) => [file.name, file]));
    this.#tensors = opened.tensors;
    this.#indexBytes = opened.indexBytes;
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
    return this.#tensors.has(name);
  }

  /** Dtype, shape and place of a tensor. @throws {FormatError} when there is none of this name. */
  info(name: string): TensorInfo {
    return this.#place(name).info;
  }

  /** A lazy view of a tensor. @throws {FormatError} when there is none of this name. */
  view(name: string): TensorView {
    const { file, info } = this.#place(name);
    return new TensorView(file, info, info.shape, info.begin, info.byteLength);
  }

  /** The reads that bring `names` (default: all). @throws {FormatError} for a name that is not there. */
  plan(names: readonly string[] = this.names, options: ReadPlanOptions = {}): ReadPlan {
    return planReads(names.map((name) => this.info(name)), options);
  }

  /** Reads a plan, or `names` with the default plan, tensor by tensor in the plan's order. */
  read(
    what: ReadPlan | readonly string[] = this.names,
    options: RunReadsOptions = {},
  ): AsyncGenerator<ReadTensor, void, undefined> {
    checkOptions("read", options, runReadsOptions);
    return runReads(what instanceof ReadPlan ? what : this.plan(what), this.#files, options);
  }

  /** Closes every file. Views can no longer be read. */
  async close(): Promise<void> {
    await Promise.all([...this.#files.values()].map((file) => file.close()));
  }

  /** Closes every file (`await using`). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #place(name: string): Place {
    const place = this.#tensors.get(name);
    if (place) return place;
    const some = this.names.slice(0, 5).map(quote).join(", ");
    const rest = this.names.length > 5 ? ` and ${this.names.length - 5} more` : "";
    throw new FormatError(
      `${this.files.join(", ")}: there is no tensor ${quote(name)}; there are ${some || "none"}${rest}`,
    );
  }
}

/** The tensors of a header with their logical types. */
function describe(header: Header, file: string): TensorInfo[] {
  const quantized = parseQuantized(header, file);
  return header.entries.map(({ name, dtype, shape, begin, end }) => {
    const type = quantized.get(name) ?? { dtype: fromDisk(dtype), shape };
    return {
      name,
      ...type,
      diskDType: dtype,
      file,
      begin,
      end,
      byteLength: end - begin,
    };
  });
}

/** Reads the header that follows `prefix`, the first eight bytes (or all there are) of `source`. */
async function openOne(
  source: ByteSource,
  prefix: Uint8Array,
): Promise<{ file: OpenFile; infos: TensorInfo[] }> {
  const length = headerLength(prefix, source.size, source.name);
  const header = parseHeader(await source.read(8, length), source.size, source.name);
  return { file: new OpenFile(source, header, 8 + length), infos: describe(header, source.name) };
}

function readPrefix(source: ByteSource): Promise<Uint8Array> {
  return source.read(0, Math.min(8, source.size));
}

function withoutQuantized(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== quantizedKey));
}

/** Opens the shards that the index `source` names. Their headers are read side by side. */
async function openIndex(source: ByteSource, openShard: OpenShard): Promise<OpenedFiles> {
  const { shards, weightMap, bytes } = await readIndex(source);
  await source.close();
  const sources: ByteSource[] = [];
  try {
    const settled = await Promise.allSettled(shards.map(async (shard) => {
      const from = await openShard(shard);
      sources.push(from);
      return { shard, ...await openOne(from, await readPrefix(from)) };
    }));
    // All have been waited for, so that on failure all are closed.
    const opened = settled.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
    const tensors = new Map<string, Place>();
    const metadata: Record<string, string> = {};
    for (const { shard, file, infos } of opened) {
      for (const info of infos) {
        if (weightMap.get(info.name) === shard) tensors.set(info.name, { file, info });
      }
      Object.assign(metadata, withoutQuantized(file.header.metadata));
    }
    for (const [name, shard] of weightMap) {
      if (!tensors.has(name)) {
        throw new FormatError(
          `${source.name}: tensor ${quote(name)} should be in ${quote(shard)}, which does not have it`,
        );
      }
    }
    return { files: opened.map(({ file }) => file), tensors, metadata, indexBytes: bytes };
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
    const { file, infos } = await openOne(source, prefix);
    const tensors = new Map(infos.map((info) => [info.name, { file, info }]));
    return { files: [file], tensors, metadata: withoutQuantized(file.header.metadata), indexBytes: 0 };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** {@link openFiles}, as a {@link SafetensorsFile}. */
export async function readSafetensors(source: ByteSource, openShard?: OpenShard): Promise<SafetensorsFile> {
  return new SafetensorsFile(await openFiles(source, openShard));
}
