/**
 * NumPy's `.npy` files as tensors.
 *
 * @module
 */
import { demandPath } from "../core/demand.ts";
import { checkOptions } from "../core/options.ts";
import { npyBytes, readNpyArray } from "../files/npy.ts";
import { demandTensor } from "../ops/bridge.ts";
import { permute, type Tensor, tensor, toDType } from "../ops/mod.ts";
import { placeOptions } from "../ops/options.ts";
import { type Openable, openSource, writeFileAtomic } from "../platform/platform.ts";
import type { ReadTensorOptions } from "./safetensors.ts";

/**
 * Reads an array that NumPy saved (`.npy`): a path, URL, Blob or bytes. f64 becomes f32 unless it is asked for on the
 * reference device; integers that there is no dtype for (i8, i16, u16, u32) come in the next wider one.
 *
 * @throws {FormatError} for what is no such file.
 * @throws {DTypeError} for a dtype that the device does not hold.
 * @category Files
 */
export async function readNpy(what: Openable, options: ReadTensorOptions = {}): Promise<Tensor> {
  const { dtype, device } = checkOptions("readNpy", options, placeOptions);
  const source = await openSource(what);
  try {
    const array = readNpyArray(await source.read(0, source.size), source.name), { isTurned, data } = array;
    const own = array.dtype === "f64" && dtype !== "f64" ? "f32" : array.dtype;
    const shape = isTurned ? [...array.shape].reverse() : array.shape;
    const made = tensor(data, { dtype: own, shape, ...(device ? { device } : {}) });
    const placed = isTurned ? permute(made, shape.map((_, i) => shape.length - 1 - i)) : made;
    return dtype ? toDType(placed, dtype) : placed;
  } finally {
    await source.close();
  }
}

/**
 * Writes a tensor as NumPy reads it (`.npy`), whole or not at all.
 *
 * @throws {FormatError} for a dtype that NumPy does not have (bf16, blocks of weights).
 * @category Files
 */
export async function saveNpy(path: string | URL, x: Tensor): Promise<void> {
  demandPath("saveNpy", path);
  demandTensor("saveNpy", x);
  await writeFileAtomic(path, npyBytes(x.dtype, x.shape, await x.data()));
}
