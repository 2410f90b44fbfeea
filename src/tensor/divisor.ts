/**
 * Integers have no quotient by 0: who divides looks at the divisor first, where it can be seen before anything is done.
 *
 * @module
 */
import type { Backend, View } from "../backends/contract.ts";
import { arrayOn, byteSize } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { formatShape, isContiguous, sizeOf } from "../core/shape.ts";

/** The row-major place of the first 0 of integers; -1 where there is none. */
function firstZero(backend: Backend, { buffer, dtype, shape, strides, offset }: View): number {
  const bytes = backend.mapped!(buffer), width = byteSize(dtype, 1), zero = dtype === "i64" ? 0n : 0;
  const size = sizeOf(shape);
  const values = arrayOn(dtype, bytes.buffer, bytes.byteOffset, bytes.byteLength / width | 0) as unknown as {
    readonly [at: number]: unknown;
    subarray(from: number, to: number): unknown[];
  };
  if (isContiguous(shape, strides)) return values.subarray(offset, offset + size).indexOf(zero);
  const place = shape.map(() => 0);
  for (let i = 0, at = offset; i < size; i++) {
    if (values[at] === zero) return i;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++place[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      place[axis] = 0;
    }
  }
  return -1;
}

/** Checks a divisor of integers on a device that answers at once. @throws {DTypeError} when it has a 0. */
export function demandNonzero(name: string, backend: Backend, divisor: View): void {
  const at = firstZero(backend, divisor);
  if (at < 0) return;
  throw new DTypeError(
    `${name}: integers have no quotient by 0, which is element ${at} of the divisor ${
      formatShape(divisor.shape)
    }; convert ${divisor.dtype} with .to({ dtype: "f32" })`,
  );
}
