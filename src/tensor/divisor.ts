/**
 * Integers have no quotient by 0: who divides looks at the divisor first, where it can be seen before anything is done.
 *
 * @module
 */
import type { Backend, View } from "../backends/contract.ts";
import { arrayOn, byteSize } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { formatShape, isContiguous, sizeOf } from "../core/shape.ts";

type Integers = ArrayLike<number | bigint> & {
  subarray(from: number, to: number): Integers;
  indexOf(value: unknown): number;
};

function elements(backend: Backend, { buffer, dtype }: View): Integers {
  const bytes = backend.mapped!(buffer), length = Math.floor(bytes.byteLength / byteSize(dtype, 1));
  return arrayOn(dtype, bytes.buffer, bytes.byteOffset, length) as unknown as Integers;
}

/** The integers of a view, row-major, on a device that answers at once. */
export function* integersOf(backend: Backend, view: View): Generator<number | bigint> {
  const { shape, strides, offset } = view, values = elements(backend, view), place = shape.map(() => 0);
  for (let left = sizeOf(shape), at = offset; left > 0; left--) {
    yield values[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++place[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      place[axis] = 0;
    }
  }
}

/** The row-major place of the first 0 of integers; -1 where there is none. */
function firstZero(backend: Backend, view: View): number {
  const { dtype, shape, strides, offset } = view, zero = dtype === "i64" ? 0n : 0;
  if (isContiguous(shape, strides)) {
    return elements(backend, view).subarray(offset, offset + sizeOf(shape)).indexOf(zero);
  }
  let i = 0;
  for (const value of integersOf(backend, view)) {
    if (value === zero) return i;
    i++;
  }
  return -1;
}

/**
 * Checks a divisor of integers on a device that answers at once.
 * @throws {DTypeError} when it has a 0.
 */
export function demandNonzero(name: string, backend: Backend, divisor: View): void {
  const at = firstZero(backend, divisor);
  if (at < 0) return;
  throw new DTypeError(
    `${name}: integers have no quotient by 0, which is element ${at} of the divisor ${
      formatShape(divisor.shape)
    }; convert ${divisor.dtype} with .to({ dtype: "f32" })`,
  );
}
