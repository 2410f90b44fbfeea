/**
 * Walking several strided views of one shape together: axes merged where that changes nothing, and the addresses
 * of one position worked out in emitted code.
 *
 * Kernels that pick and place elements (gather, scatter) use it. Strides are in bytes here; addresses are modulo
 * 2^32, so negative strides need no care.
 *
 * @module
 */
import type { FunctionBuilder, Local } from "../assembler/mod.ts";

/** One axis: its size and, per operand, the bytes from one position to the next. */
export interface WalkAxis {
  /** Positions. */
  readonly size: number;
  /** One stride per operand. */
  readonly strides: readonly number[];
}

/** Most axes that {@link storeAxes} can describe. */
export const mostAxes = 64;

/**
 * The axes of `shape` with sizes of 1 left out and neighbours joined where all operands allow it, outermost first.
 * `strides` has one list per operand, in elements; `widths` are the bytes of an element.
 */
export function mergeAxes(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
  widths: readonly number[],
): WalkAxis[] {
  const axes: { size: number; strides: number[] }[] = [];
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue;
    const steps = strides.map((list, k) => list[d] * widths[k]);
    const last = axes.at(-1);
    if (last && last.strides.every((step, k) => step === steps[k] * shape[d])) {
      last.size *= shape[d];
      last.strides = steps;
    } else axes.push({ size: shape[d], strides: steps });
  }
  return axes;
}

/** Writes `axes` into an argument block for {@link emitWalk}: count, then size and strides of each, innermost first. */
export function storeAxes(u32: Uint32Array, address: number, axes: readonly WalkAxis[]): void {
  let at = address >>> 2;
  u32[at++] = axes.length;
  for (let d = axes.length - 1; d >= 0; d--) {
    u32[at++] = axes[d].size;
    for (const step of axes[d].strides) u32[at++] = step;
  }
}

/** Adds to `addresses` what leads to position number `position`; the axes are at `args + offset`. */
export function emitWalk(
  f: FunctionBuilder,
  args: Local,
  offset: number,
  position: Local,
  addresses: readonly Local[],
): void {
  const left = f.local("i32"), at = f.local("i32"), rest = f.local("i32"), here = f.local("i32");
  const stepBytes = 4 * (1 + addresses.length);
  f.get(args);
  f.load("i32.load", offset);
  f.set(left);
  f.get(args);
  f.set(at);
  f.get(position);
  f.set(rest);
  f.block((done) => {
    f.get(left);
    f.op("i32.eqz");
    f.brIf(done);
    f.loop((again) => {
      // The outermost axis needs no division.
      f.get(left);
      f.i32(1);
      f.op("i32.eq");
      f.if("i32", () => f.get(rest), () => {
        f.get(rest);
        f.get(at);
        f.load("i32.load", offset + 4);
        f.op("i32.rem_u");
      });
      f.set(here);
      addresses.forEach((address, k) => {
        f.get(address);
        f.get(here);
        f.get(at);
        f.load("i32.load", offset + 8 + 4 * k);
        f.op("i32.mul");
        f.op("i32.add");
        f.set(address);
      });
      f.get(rest);
      f.get(at);
      f.load("i32.load", offset + 4);
      f.op("i32.div_u");
      f.set(rest);
      f.increment(at, stepBytes);
      f.increment(left, -1);
      f.get(left);
      f.brIf(again);
    });
  });
}
