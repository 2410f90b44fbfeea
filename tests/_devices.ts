/**
 * The devices that tensor tests run on: the reference device and the cpu device, as the library registers them.
 *
 * @module
 */
import type { DeviceName } from "../src/backends/contract.ts";
import { fromNumbers, type TensorBase, toNumbers } from "../src/tensor/mod.ts";
import type { Tensor } from "../src/ops/mod.ts";
import "../src/runtime/devices.ts";
import "../src/runtime/reference.ts";
import { describe } from "./_suite.ts";

/** The devices to test on. */
export const testDevices: readonly DeviceName[] = ["reference", "cpu"];

/** Declares the tests that `declare` makes once for each device, and `also` elsewhere: `onWebGpu` of `_webgpu.ts`. */
export function eachDevice(
  declare: (device: DeviceName) => void,
  also?: (declare: (device: DeviceName) => void) => void,
): void {
  for (const device of testDevices) describe(`on ${device}`, () => declare(device));
  also?.(declare);
}

/** The elements of `t`, row-major, as plain numbers. */
export async function numbersOf(t: Tensor): Promise<number[]> {
  return Array.from(toNumbers(await t.data(), t.dtype));
}

/** What `values` become when they are stored in `t`'s dtype. */
export function rounded(values: readonly number[], t: TensorBase): number[] {
  return Array.from(toNumbers(fromNumbers(values, t.dtype), t.dtype));
}

/** How far two numbers may lie apart. */
export interface Tolerance {
  /** Absolute. Default 1e-6. */
  atol?: number;
  /** Relative to the expected number. Default 1e-5. */
  rtol?: number;
}

/** Throws unless the numbers agree (NaN with NaN, infinities exactly); `what` is named in the message. */
export function assertClose(
  actual: readonly number[],
  expected: readonly number[],
  what: string,
  { atol = 1e-6, rtol = 1e-5 }: Tolerance = {},
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} numbers instead of ${expected.length}`);
  }
  expected.forEach((e, i) => {
    const a = actual[i];
    if (Object.is(a, e) || a === e || Math.abs(a - e) <= atol + rtol * Math.abs(e)) return;
    throw new Error(`${what}: element ${i} is ${a} instead of ${e}`);
  });
}
