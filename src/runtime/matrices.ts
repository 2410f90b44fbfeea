/**
 * Which way round a weight lies: the one place that turns matrices between a file and the model.
 *
 * GPT-2's layers have their weights as [in, out], and so do its files. Blocks of q8 and q4 run along `in`, the axis that
 * a product sums over; so a quantised weight lies as [out, in], in memory and in a file (which marks it as transposed),
 * and the model sees its transpose. Embeddings and the output layer have rows along that axis already.
 *
 * @module
 */
import { byteSize, type DType, isFloat, isK, isQuantized } from "../core/dtype.ts";
import {
  castTensor,
  convertBytes,
  type SafetensorsFile,
  type TensorToSave,
  transposeMatrix,
} from "../files/mod.ts";
import { matrixDType } from "../nn/quantized.ts";
import { empty, type Tensor, transpose } from "../ops/mod.ts";
import { readInto, tensorToSave } from "./safetensors.ts";

/** Memory for a matrix [rows, columns] held as `dtype`, transposed if it is to be. */
export function emptyMatrix(like: Tensor, dtype: DType, transposing: boolean): Tensor {
  const { shape, device } = like;
  if (!transposing || !isQuantized(dtype)) return empty(shape, { dtype, device });
  const rows = empty([...shape].reverse(), { dtype, device }), seen = transpose(rows, 0, 1);
  rows.dispose();
  return seen;
}

/** What a tensor of a file is held as when nothing else is asked for. */
export function heldAs(
  { dtype, transposed = false }: { dtype: string; transposed?: boolean },
  made: DType,
  transposing: boolean,
): DType {
  // Blocks that do not run along the sum are read as numbers, as are those of tables that are only read.
  if (isQuantized(dtype as DType)) {
    return isQuantized(made) && transposed === transposing ? dtype as DType : "f32";
  }
  return dtype === "f64" || !isFloat(dtype as DType) ? "f32" : dtype as DType;
}

/** Reads tensor `name` into `target`, converted and turned as `target` lies in memory. */
export async function readMatrix(
  file: SafetensorsFile,
  name: string,
  target: Tensor,
  transposing: boolean,
): Promise<void> {
  const { transposed = false, shape } = file.info(name), turned = transposing && isQuantized(target.dtype);
  const rows = turned ? transpose(target, 0, 1) : target;
  try {
    if (turned === transposed) return await readInto(file, name, rows);
    const bytes = await file.view(name).read("f32"), out = new Float32Array(rows.size);
    transposeMatrix(new Float32Array(bytes.buffer, bytes.byteOffset, rows.size), shape[0], shape[1], out);
    const values = new Uint8Array(out.buffer);
    if (rows.dtype === "f32") return rows.backend.upload(rows.buffer, 0, values);
    const converted = new Uint8Array(byteSize(rows.dtype, rows.size));
    convertBytes("f32", rows.dtype, values, converted, `tensor "${name}" of ${file.info(name).file}`);
    rows.backend.upload(rows.buffer, 0, converted);
  } finally {
    if (rows !== target) rows.dispose();
  }
}

/** What a dtype is in safetensors, which has no blocks of 256: their values are written. */
export function storedDType(dtype: DType): DType {
  return isK(dtype) ? "f32" : dtype;
}

/** A weight as the writer wants it, stored as `dtype` where that can be and as f32 where it cannot. */
export function matrixToSave(name: string, weight: Tensor, dtype: DType, transposing: boolean): TensorToSave {
  const wanted = matrixDType(storedDType(dtype), weight.shape[transposing ? 0 : 1]);
  const turned = transposing && (isQuantized(wanted) || isQuantized(storedDType(weight.dtype)));
  return castTensor(tensorToSave(name, weight, turned), wanted);
}
