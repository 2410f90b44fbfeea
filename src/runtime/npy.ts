/**
 * NumPy's `.npy` and `.npz` files as tensors.
 *
 * @module
 */
import { demandNoMore, demandPath, toldAs } from "../core/demand.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { counted, show } from "../core/show.ts";
import { type NpyArray, npyBytes, readNpyArray } from "../files/npy.ts";
import { openZip } from "../files/unzip.ts";
import { zip } from "../files/zip.ts";
import { demandTensor } from "../ops/bridge.ts";
import { permute, type Tensor, tensor, toDType } from "../ops/mod.ts";
import { placeOptions } from "../ops/options.ts";
import { type Openable, openSource, writeFileAtomic } from "../platform/platform.ts";
import type { ReadTensorOptions } from "./safetensors.ts";
import { namedTensors } from "./save_weights.ts";

/** An array as a tensor. */
function tensorOf(array: NpyArray, { dtype, device }: ReadTensorOptions): Tensor {
  const { isTurned, data } = array, own = array.dtype === "f64" && dtype !== "f64" ? "f32" : array.dtype;
  const shape = isTurned ? [...array.shape].reverse() : array.shape;
  const made = tensor(data, { dtype: own, shape, ...(device ? { device } : {}) });
  const placed = isTurned ? permute(made, shape.map((_, i) => shape.length - 1 - i)) : made;
  return dtype ? toDType(placed, dtype) : placed;
}

/**
 * Reads an array that NumPy saved (`.npy`), in its shape: a path, URL, Blob or bytes. f64 becomes f32 unless it is asked for on the
 * reference device; integers that there is no dtype for (i8, i16, u16, u32, u64 below 2^63) come in the next wider one; the order of bytes is either.
 *
 * @throws {FormatError} for what is no such file.
 * @throws {DTypeError} for a dtype that the device does not hold.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @category Files
 */
export async function readNpy(what: Openable, options: ReadTensorOptions = {}): Promise<Tensor> {
  demandNoMore(arguments, 2, "readNpy");
  const place = checkOptions("readNpy", options, placeOptions),
    source = await toldAs("readNpy", ["open"], () => openSource(what));
  try {
    return tensorOf(readNpyArray(await source.read(0, source.size), source.name), place);
  } finally {
    await source.close();
  }
}

/**
 * Writes a tensor of any shape as NumPy reads it (`.npy`), whole or not at all.
 *
 * @throws {FormatError} for a dtype that NumPy does not have (bf16, blocks of weights).
 * @throws {DTypeError} for what is no tensor.
 * @throws {FerrotypeError} for a place that cannot be written.
 * @throws {OptionError} for what is no path.
 * @category Files
 */
export async function saveNpy(path: string | URL, x: Tensor): Promise<void> {
  demandNoMore(arguments, 2, "saveNpy");
  demandPath("saveNpy", path);
  demandTensor("saveNpy", x);
  await writeFileAtomic(path, npyBytes(x.dtype, x.shape, await x.data()));
}

const suffix = ".npy";
/** What an archive of 32-bit places holds. */
const mostBytes = 2 ** 32 - 1;

/**
 * Reads the arrays of an archive that NumPy saved (`.npz`, packed or not) by their names, in their shapes: a path, URL, Blob or bytes. Dtypes as
 * in {@link readNpy}.
 *
 * @throws {FormatError} for what is no such archive, and where it is damaged.
 * @throws {DTypeError} for a dtype that the device
 * does not hold.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {FerrotypeError} for a file that is not there or cannot be read.
 * @category Files
 */
export async function readNpz(what: Openable, options: ReadTensorOptions = {}): Promise<Map<string, Tensor>> {
  demandNoMore(arguments, 2, "readNpz");
  const place = checkOptions("readNpz", options, placeOptions),
    source = await toldAs("readNpz", ["open"], () => openSource(what));
  const found = new Map<string, Tensor>();
  try {
    for (const { name, read } of await openZip(source)) {
      if (!name.endsWith(suffix)) {
        throw new FormatError(
          `${source.name}: ${show(name)} in it is no array; an .npz holds .npy files`,
        );
      }
      const own = name.slice(0, -suffix.length);
      if (found.has(own)) {
        throw new FormatError(`${source.name}: there are two arrays ${show(own)}`);
      }
      found.set(own, tensorOf(readNpyArray(await read(), `${source.name}: ${name}`), place));
    }
    return found;
  } catch (error) {
    for (const t of found.values()) t.dispose();
    throw error;
  } finally {
    await source.close();
  }
}

/**
 * Writes tensors of any shapes by name as NumPy reads them (`.npz`, not packed), whole or not at all.
 *
 * @throws {FormatError} for a dtype that NumPy does not have.
 * @throws {OptionError} for more than 4 GiB.
 * @throws {DTypeError} for what is no tensor.
 * @throws {FerrotypeError} for a place that cannot be written.
 * @category Files
 */
export async function saveNpz(
  path: string | URL,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
): Promise<void> {
  demandNoMore(arguments, 2, "saveNpz");
  const list = namedTensors("saveNpz", path, tensors), entries: { name: string; bytes: Uint8Array }[] = [];
  for (const [name, t] of list) {
    entries.push({ name: name + suffix, bytes: npyBytes(t.dtype, t.shape, await t.data()) });
  }
  const size = entries.reduce((sum, { name, bytes }) => sum + bytes.length + 2 * name.length + 128, 0);
  if (size > mostBytes) {
    throw new OptionError(
      `saveNpz: ${counted(size, "byte")} are more than such an archive holds; write several`,
    );
  }
  await writeFileAtomic(path, zip(entries));
}
