/**
 * Numbers of a model's file, as tensors.
 *
 * @module
 */
import { toF16 } from "../../core/half.ts";
import type { SafetensorsFile, TensorToSave } from "../../files/mod.ts";

/** A tensor in half precision; its numbers are asked for when it is written. */
export function f16Tensor(
  name: string,
  shape: readonly number[],
  values: () => Iterable<number>,
): TensorToSave {
  const bytes = (): Uint8Array => new Uint8Array(Uint16Array.from(values(), toF16).buffer);
  return { name, dtype: "f16", shape, bytes };
}

/** A tensor in single precision. */
export function f32Tensor(name: string, shape: readonly number[], values: ArrayLike<number>): TensorToSave {
  const data = Float32Array.from(values);
  return { name, dtype: "f32", shape, bytes: () => new Uint8Array(data.buffer) };
}

/** The numbers of a tensor. */
export async function numbersOf(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const bytes = await file.view(name).read("f32");
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
