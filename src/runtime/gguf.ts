/**
 * GGUF files as tensors: opening from anywhere, reading into device memory, saving.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { readyToHold } from "../ops/blocks.ts";
import { namedTensors } from "./save_weights.ts";
import { byteSize, isK, isQuantized } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { object, oneOf } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import {
  asBlocks,
  GgufFile,
  type GgufNotes,
  type GgufTensorToSave,
  type GgufType,
  ggufTypes,
  planGguf,
  typeForRows,
  writableTypes,
} from "../files/gguf/mod.ts";
import { empty, type Tensor, toDType } from "../ops/mod.ts";
import { placeOptions } from "../ops/options.ts";
import { type Openable, writeFileAtomic } from "../platform/platform.ts";
import { backendOf, noGrad } from "../tensor/mod.ts";
import { openGgufParts } from "./gguf_file.ts";
import type { ReadTensorOptions } from "./safetensors.ts";

/**
 * An open GGUF file, or the parts of a split one: names, notes, lazy views, tensors.
 *
 * @category Files
 */
export class Gguf extends GgufFile {
  /**
   * Reads one tensor in the shape that its view has, and nothing else of the file: by default in the dtype of its bytes (Q8_0 is q8, Q4_0 is q4, Q4_K is
   * q4k …), and blocks of other types, or that the device does not hold, as f32.
   *
   * @throws {FormatError} when there is no such name.
   * @throws {DTypeError} for a dtype that cannot be had from the file's.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  async tensor(name: string, options: ReadTensorOptions = {}): Promise<Tensor> {
    demandNoMore(arguments, 2, "tensor");
    checkOptions("tensor", options, placeOptions);
    const view = this.view(name);
    await readyToHold([options.dtype ?? view.dtype]);
    const isHeld = !isK(view.dtype) || backendOf(options.device).supports(view.dtype);
    const dtype = options.dtype ?? (isHeld ? view.dtype : "f32");
    if (dtype === "f64" && options.device !== "reference") {
      throw new DTypeError(
        `${name} holds f64, which only device "reference" has; read it with { dtype: "f32" }`,
      );
    }
    const out = empty(view.shape, { dtype, ...(options.device ? { device: options.device } : {}) });
    const bytes = byteSize(dtype, out.size), memory = out.backend.mapped?.(out.buffer);
    if (memory) await view.read(dtype, memory.subarray(0, bytes));
    else out.backend.upload(out.buffer, 0, await view.read(dtype));
    return out;
  }
}

/**
 * Opens a GGUF file (versions 2 and 3), reading its header only: a path, a URL (by HTTP ranges), a Blob or bytes. The first
 * of several parts (`name-00001-of-00003.gguf`) opens them all as one.
 *
 * The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 *
 * @throws {FormatError} for a malformed file, naming what is wrong and the byte.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @throws {OptionError} for what is no path, URL, Blob, bytes or byte source, and options that do not exist.
 * @category Files
 */
export async function openGguf(what: Openable): Promise<Gguf> {
  demandNoMore(arguments, 1, "openGguf");
  return await toldAs("openGguf", ["open"], () => openGgufParts(what, (parts) => new Gguf(parts)));
}

/**
 * Options of {@link saveGguf}.
 *
 * @category Files
 */
export interface SaveGgufOptions {
  /** Notes, such as `general.architecture`: texts, numbers, booleans, lists; `{ type: "u64", value }` says a number's type. */
  metadata?: GgufNotes;
  /**
   * What matrices of floats are written as: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q6_k or mxfp4. Vectors are
   * written as f32, as llama.cpp wants them; rows that fill no blocks of the type become smaller blocks or f16, as llama.cpp
   * has it. Default: each tensor keeps its own (q8 is Q8_0, q4 is Q4_0).
   */
  dtype?: string;
}

const names = ["f32", "f16", "bf16", ...writableTypes.map((type) => type.toLowerCase())];

const saveOptions: OptionTable<SaveGgufOptions> = { metadata: object, dtype: oneOf(...names) };

/** What a tensor becomes in the file. */
function typeFor(t: Tensor, name: string, wanted: string | undefined): GgufType {
  const own = Object.entries(ggufTypes).find(([, { dtype }]) => dtype === t.dtype)?.[0] as
    | GgufType
    | undefined;
  if (own === undefined) {
    throw new DTypeError(`saveGguf: ${name} is ${t.dtype}, which the format does not hold`);
  }
  const isWeight = t.dtype === "f32" || t.dtype === "f16" || t.dtype === "bf16" || isQuantized(t.dtype);
  if (wanted === undefined || !isWeight) return own;
  if (t.shape.length < 2) return "F32";
  return typeForRows(wanted.toUpperCase() as GgufType, t.shape.at(-1)!);
}

/** The tensor's bytes as the file has them. */
async function bytesAs(t: Tensor, type: GgufType): Promise<Uint8Array> {
  const own = ggufTypes[type].dtype, isMade = own !== undefined && !isK(own);
  const dtype = own !== undefined && (isMade || own === t.dtype) ? own : "f32";
  await readyToHold([dtype]);
  const cast = noGrad(() => toDType(t, isQuantized(t.dtype) && t.dtype !== dtype ? "f32" : dtype));
  const last = cast.dtype === dtype ? cast : noGrad(() => toDType(cast, dtype));
  const data = await last.data();
  for (const made of new Set([cast, last])) if (made !== t) made.dispose();
  if (dtype !== own) return asBlocks(type, data as Float32Array);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Writes tensors of any shapes and notes to a GGUF file, which appears whole or not at all. Names and notes are the caller's: what a
 * program makes of them is up to it.
 *
 * @throws {OptionError} for notes that the format does not hold.
 * @throws {DTypeError} for a tensor it does not hold.
 * @throws {FerrotypeError} for a place that cannot be written.
 * @category Files
 */
export async function saveGguf(
  path: string | URL,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  options: SaveGgufOptions = {},
): Promise<void> {
  demandNoMore(arguments, 3, "saveGguf");
  const { metadata = {}, dtype } = checkOptions("saveGguf", options, saveOptions);
  const entries = namedTensors("saveGguf", path, tensors);
  const list = entries.map(([name, t]): GgufTensorToSave => {
    const type = typeFor(t, name, dtype);
    return { name, type, shape: t.shape, bytes: () => bytesAs(t, type) };
  });
  await writeFileAtomic(path, planGguf(list, metadata).chunks());
}
