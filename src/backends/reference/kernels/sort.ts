/**
 * Stable sorting along the last axis. See `Backend.sort`.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { computeTypeOf, inLane, type Lane } from "../lane.ts";
import { walk } from "../walk.ts";

/** Sorts each row, equal elements in their order, NaN larger than all numbers; positions go to `indices`. */
export function sort(x: View, descending: boolean, values: View, indices: View): void {
  inLane(computeTypeOf(x.dtype), (lane) => run(lane, x, descending, values, indices));
}

function run<T>(lane: Lane<T>, x: View, descending: boolean, values: View, indices: View): void {
  const read = lane.read(x), write = lane.write(values), { lt, ne } = lane.arithmetic.compare;
  const writeIndex = lane.write(indices), { from } = lane.arithmetic;
  const rank = x.shape.length, length = rank === 0 ? 1 : x.shape[rank - 1];
  const views = [x, values, indices], steps = views.map((v) => v.strides[rank - 1] ?? 0);
  const before = (a: T, b: T): number => {
    const lostA = ne(a, a), lostB = ne(b, b);
    const order = lostA || lostB ? Number(lostA) - Number(lostB) : lt(a, b) ? -1 : lt(b, a) ? 1 : 0;
    return descending ? -order : order;
  };
  walk(x.shape.slice(0, -1), views.map((v) => v.offset), views.map((v) => v.strides.slice(0, -1)), (at) => {
    const row = Array.from({ length }, (_, i) => read(at[0] + i * steps[0]));
    const order = row.map((_, i) => i).sort((i, j) => before(row[i], row[j]));
    order.forEach((i, to) => {
      write(at[1] + to * steps[1], row[i]);
      writeIndex(at[2] + to * steps[2], from(i));
    });
  });
}
