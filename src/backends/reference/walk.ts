/**
 * Walking strided views: an odometer over a shape that keeps one memory position for each view.
 *
 * @module
 */
import { sizeOf } from "../../core/shape.ts";

/**
 * Calls `visit` for every index of `shape` in row-major order. `at[v]` is `starts[v]` moved along `strides[v]`; the
 * array is the same in every call.
 */
export function walk(
  shape: readonly number[],
  starts: readonly number[],
  strides: readonly (readonly number[])[],
  visit: (at: readonly number[]) => void,
): void {
  const count = sizeOf(shape), rank = shape.length, at = [...starts];
  const index = new Array<number>(rank).fill(0);
  for (let n = 0; n < count; n++) {
    visit(at);
    for (let d = rank - 1; d >= 0; d--) {
      index[d]++;
      if (index[d] < shape[d]) {
        for (let v = 0; v < at.length; v++) at[v] += strides[v][d];
        break;
      }
      index[d] = 0;
      for (let v = 0; v < at.length; v++) at[v] -= strides[v][d] * (shape[d] - 1);
    }
  }
}

/** The entries of `list` at `axes`. */
export function pick(list: readonly number[], axes: readonly number[]): number[] {
  return axes.map((axis) => list[axis]);
}

/** The axes of a view of `rank` axes that are not in `axes`. */
export function otherAxes(rank: number, axes: readonly number[]): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((axis) => !axes.includes(axis));
}
