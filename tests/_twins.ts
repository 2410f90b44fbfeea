/**
 * Random views of one shape on two devices at once, for tests that hold a device against the reference device: whole
 * buffers are compared, so that what lies between and beside the elements of a view is seen to be left alone.
 *
 * @module
 */
import { fail } from "@std/assert";
import type { Backend, DeviceBuffer, View } from "../src/backends/contract.ts";
import { byteSize, type DType, isFloat } from "../src/core/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { toI64 } from "../src/expr/arithmetic.ts";
import type { Generator } from "../src/core/random.ts";

/** What the tests need of a device. */
export type Device = Pick<Backend, "allocate" | "release" | "upload"> & {
  /** The memory of a buffer. */
  bytes(buffer: DeviceBuffer): Uint8Array;
};

/** The same view on both devices. */
export interface Twin {
  readonly tested: View;
  readonly oracle: View;
}

/** How a view may lie in its buffer. */
export interface Layout {
  readonly contiguous?: boolean;
  readonly broadcast?: boolean;
}

/** Both devices, and all buffers made on them. */
export class Twins {
  readonly tested: Device;
  readonly oracle: Device;
  #made: Twin[] = [];

  constructor(tested: Device, oracle: Device) {
    this.tested = tested;
    this.oracle = oracle;
  }

  /** A view of random elements; `fill` gives an element from a uniform number in [0, 1). */
  view(
    random: Generator,
    dtype: DType,
    shape: readonly number[],
    fill: (random: Generator) => number,
    layout: Layout = {},
  ): Twin {
    const { strides, offset, room } = randomLayout(random, shape, layout);
    const bytes = new Uint8Array(byteSize(dtype, room));
    const data = new DataView(bytes.buffer);
    for (let i = 0; i < room; i++) writeElement(data, dtype, i, fill(random));
    return this.make(dtype, shape, strides, offset, bytes);
  }

  /** A view with this content and layout. */
  make(
    dtype: DType,
    shape: readonly number[],
    strides: readonly number[],
    offset: number,
    bytes: Uint8Array,
  ): Twin {
    const on = (device: Device): View => {
      const buffer = device.allocate(bytes.length);
      device.upload(buffer, 0, bytes);
      return { buffer, dtype, shape, strides, offset };
    };
    const twin = { tested: on(this.tested), oracle: on(this.oracle) };
    this.#made.push(twin);
    return twin;
  }

  /** Fails where the buffers of a view differ: bytes for integers, more than `tolerance` (relative) for floats. */
  compare(twin: Twin, tolerance: number, what: string): void {
    const { dtype } = twin.tested;
    const actual = this.tested.bytes(twin.tested.buffer), expected = this.oracle.bytes(twin.oracle.buffer);
    const a = new DataView(actual.buffer, actual.byteOffset, actual.length);
    const e = new DataView(expected.buffer, expected.byteOffset, expected.length);
    for (let i = 0; i < actual.length / byteSize(dtype, 1); i++) {
      const x = readElement(a, dtype, i), y = readElement(e, dtype, i);
      if (x === y || (x !== x && y !== y)) continue;
      const precision = dtype === "f16" ? 2 ** -10 : dtype === "bf16" ? 2 ** -7 : 0;
      const least = dtype === "f16" ? 2 ** -24 : 2 ** -140;
      const near = isFloat(dtype) &&
        Math.abs(Number(x) - Number(y)) <= Math.max(tolerance, precision) * Math.abs(Number(y)) + least;
      if (!near) fail(`${what}: element ${i} of the buffer is ${x}, expected ${y}`);
    }
  }

  /** Gives all buffers back. */
  release(): void {
    for (const { tested, oracle } of this.#made) {
      this.tested.release(tested.buffer);
      this.oracle.release(oracle.buffer);
    }
    this.#made = [];
  }
}

function randomLayout(
  random: Generator,
  shape: readonly number[],
  layout: Layout,
): { strides: number[]; offset: number; room: number } {
  const order = shape.map((_, i) => i);
  if (!layout.contiguous && random.uniform() < 0.6) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.integer(0, i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
  }
  const strides = new Array<number>(shape.length).fill(0);
  let step = 1, offset = layout.contiguous ? 0 : random.integer(0, 4);
  for (let i = order.length - 1; i >= 0; i--) {
    const axis = order[i];
    if (layout.broadcast && random.uniform() < 0.4) continue;
    if (!layout.contiguous && random.uniform() < 0.2) step *= random.integer(1, 4);
    strides[axis] = step;
    step *= shape[axis];
    if (!layout.contiguous && random.uniform() < 0.2 && shape[axis] > 0) {
      offset += strides[axis] * (shape[axis] - 1);
      strides[axis] = -strides[axis];
    }
  }
  return { strides, offset, room: Math.max(step, 1) + offset + random.integer(0, 5) };
}

/** Writes element `i` of an array of `dtype`. */
export function writeElement(data: DataView, dtype: DType, i: number, value: number): void {
  switch (dtype) {
    case "f32":
      return data.setFloat32(4 * i, value, true);
    case "f16":
      return data.setUint16(2 * i, toF16(value), true);
    case "bf16":
      return data.setUint16(2 * i, toBf16(value), true);
    case "i32":
      return data.setInt32(4 * i, value, true);
    case "i64":
      return data.setBigInt64(8 * i, toI64(value), true);
    case "bool":
      return data.setUint8(i, value > 0 ? 1 : 0);
    default:
      return data.setUint8(i, value);
  }
}

/** Reads element `i` of an array of `dtype`. */
export function readElement(data: DataView, dtype: DType, i: number): number | bigint {
  switch (dtype) {
    case "f32":
      return data.getFloat32(4 * i, true);
    case "f16":
      return fromF16(data.getUint16(2 * i, true));
    case "bf16":
      return fromBf16(data.getUint16(2 * i, true));
    case "i32":
      return data.getInt32(4 * i, true);
    case "i64":
      return data.getBigInt64(8 * i, true);
    default:
      return data.getUint8(i);
  }
}
