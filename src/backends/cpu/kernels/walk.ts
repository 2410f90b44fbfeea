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
  f.set(left, args.load(offset));
  f.set(at, args);
  f.set(rest, position);
  f.block((done) => {
    f.brIf(done, left.op("eqz"));
    f.loop((again) => {
      // The outermost axis needs no division.
      f.push(left.op("eq", 1));
      f.if("i32", () => f.get(rest), () => {
        f.push(rest.op("rem_u", at.load(offset + 4)));
      });
      f.set(here);
      addresses.forEach((address, k) => {
        f.set(address, address.plus(here.times(at.load(offset + 8 + 4 * k))));
      });
      f.set(rest, rest.op("div_u", at.load(offset + 4)));
      f.increment(at, stepBytes);
      f.increment(left, -1);
      f.brIf(again, left);
    });
  });
}
