/**
 * Running sums along one axis. See `Backend.cumsum`.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { computeTypeOf, inLane, type Lane } from "../lane.ts";
import { otherAxes, pick, walk } from "../walk.ts";

/** Running sums of `x` along `axis`, added up in the compute type of `out` and rounded as they are stored. */
export function cumsum(x: View, axis: number, out: View): void {
  inLane(computeTypeOf(out.dtype), (lane) => run(lane, x, axis, out));
}

function run<T>(lane: Lane<T>, x: View, axis: number, out: View): void {
  const read = lane.read(x), write = lane.write(out), { add } = lane.arithmetic.binary;
  const rest = otherAxes(x.shape.length, [axis]), length = x.shape[axis] ?? 1;
  const step = x.strides[axis] ?? 0, outStep = out.strides[axis] ?? 0;
  const strides = [pick(x.strides, rest), pick(out.strides, rest)];
  walk(pick(x.shape, rest), [x.offset, out.offset], strides, ([from, to]) => {
    let sum = lane.arithmetic.from(0);
    for (let i = 0; i < length; i++) {
      sum = add(sum, read(from + i * step));
      write(to + i * outStep, sum);
    }
  });
}
