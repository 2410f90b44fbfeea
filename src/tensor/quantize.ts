/**
 * Weights made quantised: floats into q8 and q4 blocks on the device that holds them.
 *
 * @module
 */
import { byteSize, isFloat, isQuantized, quantBlock } from "../core/dtype.ts";
import { DeviceError, DTypeError } from "../core/errors.ts";
import { inWhole, quantizeQ4, quantizeQ8 } from "../core/quantize.ts";
import { formatShape } from "../core/shape.ts";
import { empty, type TensorBase } from "./base.ts";
import { copy } from "./fill.ts";
import { demandDType } from "./transfer.ts";

/** How a row of values becomes blocks. */
export type BlockRule = (x: Float32Array, out: Uint8Array) => void;

/**
 * The matrix `t` [rows, columns] as q8 or q4, blocks along its last axis, each row by `rule` (by default rounded to nearest); not recorded.
 *
 * @throws {DTypeError} when `t` is not a matrix of floats (or of other blocks) whose rows are whole blocks of 32, or
 * holds NaN or values that blocks cannot hold.
 * @throws {DeviceError} on a device that answers late (WebGPU).
 */
export function quantized(
  t: TensorBase,
  dtype: "q8" | "q4",
  rule: BlockRule = dtype === "q8" ? quantizeQ8 : quantizeQ4,
): TensorBase {
  const { backend, shape } = t;
  if (shape.length !== 2 || shape[1] % quantBlock !== 0) {
    throw new DTypeError(
      `to: ${dtype} holds matrices whose last dim is a multiple of ${quantBlock}, not ${formatShape(shape)}`,
    );
  }
  if (!isFloat(t.dtype) && !isQuantized(t.dtype)) {
    throw new DTypeError(
      `to: ${t.dtype} does not become ${dtype}; convert it with .to({ dtype: "f32" }) first`,
    );
  }
  demandDType(dtype, backend);
  if (!backend.mapped) {
    throw new DeviceError(
      `to: "${t.device}" makes no ${dtype}; make it on the cpu and move it with .to({ device: "${t.device}" })`,
    );
  }
  const whole = t.dtype === "f32" && t.isContiguous ? t : copy(t, "f32");
  // Both are there before their memory is looked at: allocating may move it.
  const out = empty(shape, dtype, backend, "to");
  try {
    if (t.size) {
      const blocks = backend.mapped(out.buffer), values = backend.mapped(whole.buffer);
      const x = new Float32Array(values.buffer, values.byteOffset + 4 * whole.offset, t.size);
      const n = shape[1], bytes = byteSize(dtype, n);
      for (let row = 0; row < shape[0]; row++) {
        try {
          rule(x.subarray(row * n, (row + 1) * n), blocks.subarray(row * bytes, (row + 1) * bytes));
        } catch (error) {
          throw inWhole(error, "", row * n);
        }
      }
    }
  } catch (error) {
    out.dispose();
    throw error;
  } finally {
    if (whole !== t) whole.dispose();
  }
  return out;
}

/**
 * Whether `t` is a matrix of blocks seen transposed: [in, out] with blocks along `in`, as products want a weight. To be
 * read or moved as it lies in memory it is transposed back first.
 */
export function isTurned(t: TensorBase): boolean {
  return isQuantized(t.dtype) && t.shape.length === 2 && !t.isContiguous && t.strides[0] === 1 &&
    t.strides[1] === t.shape[0];
}
