/**
 * Tensors as ranges of memory that travel.
 *
 * @module
 */
import { byteSize, type DType } from "../core/dtype.ts";
import { DeviceError, DTypeError } from "../core/errors.ts";
import { type Tensor, tensor } from "../ops/mod.ts";
import { copy } from "../tensor/mod.ts";
import type { WireType } from "./messenger.ts";

/** What a dtype travels as when it is moved and not computed with: half precision as its bits. */
const moved: Partial<Record<DType, WireType>> = {
  f32: "f32",
  f64: "f64",
  i32: "i32",
  i64: "i64",
  u8: "u8",
  bool: "u8",
  f16: "u16",
  bf16: "u16",
};

/**
 * The type that `t` is moved as.
 * @throws {DTypeError} for blocks of weights.
 */
export function wireType(what: string, { dtype }: Tensor): WireType {
  const type = moved[dtype];
  if (type) return type;
  throw new DTypeError(
    `distributed.${what}: ${dtype} holds blocks of weights, expected f32, f16, bf16 or whole numbers`,
  );
}

/** The byte offset of a contiguous tensor on the cpu device. */
export function offsetOf(t: Tensor): number {
  const { backend } = t;
  if (t.device !== "cpu" || !backend.mapped) {
    throw new DeviceError(
      `distributed: a tensor on "${t.device}" does not travel as it is; move it to "cpu"`,
    );
  }
  return backend.mapped(t.buffer).byteOffset + byteSize(t.dtype, t.offset);
}

/** `t` as a contiguous tensor on the cpu device: itself, or a copy. `dtype` is what it becomes. */
export async function onCpu(t: Tensor, dtype: DType = t.dtype): Promise<Tensor> {
  if (t.device === "cpu") {
    return t.isContiguous && t.dtype === dtype ? t : copy(t, dtype) as Tensor;
  }
  const here = tensor(await t.data() as Float32Array, { shape: t.shape, dtype: t.dtype, device: "cpu" });
  return here.dtype === dtype ? here : here.to({ dtype });
}
