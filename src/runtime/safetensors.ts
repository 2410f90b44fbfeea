/**
 * Safetensors files as tensors: opening from anywhere, reading into device memory, saving.
 *
 * @module
 */
import { demand, demandNoMore, demandPath, toldAs } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { byteSize, type DType, isDType, isFloat, isK, isQuantized, quantBlock } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { callback, dtype as aDType, kind, number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { castTensor, openFiles, SafetensorsFile, type TensorToSave } from "../files/mod.ts";
import { tellUnquantized } from "../nn/quantized.ts";
import { readyToHold } from "../ops/blocks.ts";
import { empty, type Tensor, toDType, transpose } from "../ops/mod.ts";
import { placeOptions } from "../ops/options.ts";
import {
  currentPath,
  directoryOf,
  fromPage,
  isHttp,
  joinPath,
  type Openable,
  openSource,
  runtimeName,
} from "../platform/platform.ts";
import { isTurned, noGrad, tidy } from "../tensor/mod.ts";
import { namedTensors, writeWeights, type WrittenWeights } from "./save_weights.ts";

/**
 * Where and as what a tensor is read.
 *
 * @category Files
 */
export interface ReadTensorOptions {
  /** Default: the dtype in the file. */
  dtype?: DType;
  /** Default: the default device. */
  device?: DeviceName;
}

/**
 * An open safetensors file, or several with an index: names, lazy views, tensors.
 *
 * @category Files
 */
export class Safetensors extends SafetensorsFile {
  /**
   * Reads one tensor, and nothing else of the file. What the file holds transposed (quantised weights of layers with
   * [in, out]) comes as the matrix that its name stands for: a transposed view.
   * @throws {FormatError} when there is no such name.
   * @throws {DTypeError} for a dtype that the library does not hold.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  async tensor(name: string, options: ReadTensorOptions = {}): Promise<Tensor> {
    demandNoMore(arguments, 2, "tensor");
    checkOptions("tensor", options, placeOptions);
    const view = this.view(name), dtype = options.dtype ?? view.dtype;
    if (!isDType(dtype)) {
      throw new DTypeError(
        `${name} holds ${dtype}; read it as one of f32 f16 bf16 i64 i32 u8 bool with { dtype }`,
      );
    }
    const device = options.device ? { device: options.device } : {};
    if (dtype === "f64" && options.device !== "reference") {
      throw new DTypeError(
        `${name} holds f64, which only device "reference" has; read it with { dtype: "f32" }`,
      );
    }
    await readyToHold([dtype]);
    const out = empty(view.shape, { dtype, ...device });
    await readInto(this, name, out);
    if (!view.info.transposed) return out;
    const seen = transpose(out, 0, 1);
    out.dispose();
    return seen;
  }
}

/** Reads tensor `name` into the memory of `target` (contiguous), converted to its dtype. */
export async function readInto(file: SafetensorsFile, name: string, target: Tensor): Promise<void> {
  const view = file.view(name), bytes = byteSize(target.dtype, target.size);
  const memory = target.backend.mapped?.(target.buffer);
  if (memory) {
    await view.read(target.dtype, memory.subarray(0, bytes));
    return;
  }
  target.backend.upload(target.buffer, 0, await view.read(target.dtype));
}

/** Opens the shards beside an index. */
function shardsOf(given: Openable): ((name: string) => Promise<ByteSource>) | undefined {
  const what = fromPage(given);
  if (typeof what !== "string" && !(what instanceof URL)) return undefined;
  if (isHttp(what)) return (name) => openSource(new URL(name, String(what)));
  return (name) => openHere(joinPath(directoryOf(what), name));
}

/** Opens what is given; of a path the file that it means now, should its folder be changing. */
function openHere(what: Openable): Promise<ByteSource> {
  const isPath = (typeof what === "string" || what instanceof URL) && !isHttp(what) &&
    runtimeName() !== "browser";
  return openSource(isPath ? currentPath(what) ?? what : what);
}

/**
 * Opens a safetensors file, reading its header only: a path (in a browser an address, relative to the page), a URL (by HTTP
 * ranges), a Blob or bytes. A
 * `model.safetensors.index.json` opens all its shards as one.
 *
 * ```ts
 * await using file = await openSafetensors("model.safetensors");
 * const weight = await file.tensor("wte.weight");
 * ```
 *
 * @throws {FormatError} for a malformed file, naming the tensor and the offset.
 * @throws {OptionError} for what is no path, URL, Blob, bytes or byte source, and options that do not exist.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @category Files
 */
export async function openSafetensors(what: Openable): Promise<Safetensors> {
  demandNoMore(arguments, 1, "openSafetensors");
  return await toldAs(
    "openSafetensors",
    ["open"],
    async () => new Safetensors(await openFiles(await openHere(what), shardsOf(what))),
  );
}

/**
 * Options of {@link saveSafetensors}.
 *
 * @category Files
 */
export interface SaveSafetensorsOptions {
  /** Texts to keep in the file. */
  metadata?: Record<string, string>;
  /** Convert floating-point tensors to this dtype. Default: each keeps its own. */
  dtype?: DType;
  /** Largest shard in bytes; larger models become several files and an index. Default: one file. */
  shardSize?: number;
}

/**
 * Options of {@link copySafetensors}.
 *
 * @category Files
 */
export interface CopySafetensorsOptions extends SaveSafetensorsOptions {
  /** Hears which matrices have no whole blocks and so stay as they are under "q8" and "q4". Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

const areTexts = (x: unknown): boolean =>
  typeof x === "object" && x !== null && !Array.isArray(x) &&
  Object.values(x).every((v) => typeof v === "string");

const saveOptions: OptionTable<SaveSafetensorsOptions> = {
  metadata: kind("an object of texts", areTexts),
  dtype: aDType,
  shardSize: number({ above: 0 }),
};
const copyOptions: OptionTable<CopySafetensorsOptions> = { ...saveOptions, onWarning: callback };

/**
 * A tensor as the writer wants it; its bytes are read when they are written. A matrix may be given as its transpose,
 * as one of blocks that is seen transposed is.
 */
export function tensorToSave(
  name: string,
  t: Tensor,
  transposed: boolean = isTurned(t) && !isK(t.dtype),
): TensorToSave {
  const { dtype } = t;
  const bytesOf = async (stored: Tensor): Promise<Uint8Array> => {
    const data = await stored.data();
    if (stored !== t) stored.dispose();
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  };
  const turned = (): Tensor => transposed ? noGrad(() => transpose(t, 0, 1)) : t;
  return {
    name,
    // Safetensors has no blocks of 256: their values are written.
    dtype: isK(dtype) ? "f32" : dtype,
    shape: transposed ? [...t.shape].reverse() : t.shape,
    ...(transposed ? { transposed } : {}),
    bytes: () => bytesOf(isK(dtype) ? noGrad(() => tidy(() => toDType(turned(), "f32"))) : turned()),
  };
}

/**
 * Writes tensors of any shapes to `path`, or to several files with an index when `shardSize` is given and exceeded. They appear whole
 * or not at all, all at once. One file replaces the one of its name and nothing else; shards replace that file too, and
 * shards of that name that were written here before.
 *
 * @throws {OptionError} for options and tensors that it does not take.
 * @throws {FerrotypeError} where nothing can be written.
 * @throws {DTypeError} for a dtype that it does not take.
 * @category Files
 */
export async function saveSafetensors(
  path: string | URL,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  options: SaveSafetensorsOptions = {},
): Promise<void> {
  demandNoMore(arguments, 3, "saveSafetensors");
  checkOptions("saveSafetensors", options, saveOptions);
  const entries = namedTensors("saveSafetensors", path, tensors);
  const list = entries.map(([name, t]) => {
    const plain = tensorToSave(name, t);
    return options.dtype && isFloat(t.dtype) ? castTensor(plain, options.dtype) : plain;
  });
  await writeWeights(path, list, options);
}

/**
 * Copies an open file to `path`, tensor by tensor: memory grows by one tensor. With `dtype`, floating-point tensors of
 * two or more axes are converted to it; vectors, which are small and added up often, stay as they are. So does, with q8
 * and q4, what is no matrix of whole blocks of 32 along its last axis, where the blocks then run.
 *
 * @returns what was written: the names of the files, and the bytes of all tensors.
 * @throws {OptionError} for options and a file that it does not take.
 * @throws {FormatError} for a damaged file.
 * @throws {FerrotypeError} where nothing can be written.
 * @category Files
 */
export async function copySafetensors(
  file: SafetensorsFile,
  path: string | URL,
  options: CopySafetensorsOptions = {},
): Promise<WrittenWeights> {
  demandNoMore(arguments, 3, "copySafetensors");
  const { onWarning = console.warn, ...saving } = checkOptions("copySafetensors", options, copyOptions);
  const kept: { name: string; depth: number; held: string }[] = [];
  demand("copySafetensors", "file", file, file instanceof SafetensorsFile, "an open safetensors file");
  demandPath("copySafetensors", path);
  const list = file.names.map((name) => {
    const view = file.view(name), { dtype, shape } = view, wanted = options.dtype;
    const { transposed = false } = view.info;
    const plain: TensorToSave = {
      name,
      dtype,
      shape,
      ...(transposed ? { transposed } : {}),
      bytes: () => view.bytes(),
    };
    const isWeight = shape.length >= 2 && (isFloat(dtype as DType) || isQuantized(dtype as DType));
    if (wanted === undefined || !isWeight) return plain;
    const fits = !isQuantized(wanted) || (shape.length === 2 && shape[1] % quantBlock === 0);
    if (!fits) kept.push({ name, depth: shape.at(-1)!, held: dtype });
    return fits ? castTensor(plain, wanted) : plain;
  });
  if (options.dtype) tellUnquantized("copySafetensors", options.dtype, kept, onWarning);
  return await writeWeights(path, list, { metadata: { ...file.metadata }, ...saving });
}
