/**
 * Picking and placing elements by index. See `Backend.gather` and `Backend.scatter`.
 *
 * @module
 */
import { formatShape, indexError } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { computeTypeOf, inLane, type Lane } from "../lane.ts";
import { walk } from "../walk.ts";

/**
 * `out[i0…] = x[… index[i0…] at axis …]`.
 * @throws {ShapeError} for an index outside [-size, size).
 */
export function gather(x: View, axis: number, index: View, out: View): void {
  const position = indexReader("gather", x, axis, index);
  inLane(computeTypeOf(x.dtype), (lane) => {
    const read = lane.read(x), write = lane.write(out), step = x.strides[axis];
    const along = x.strides.map((stride, d) => d === axis ? 0 : stride);
    walk(out.shape, [x.offset, index.offset, out.offset], [along, index.strides, out.strides], (at) => {
      write(at[2], read(at[0] + position(at[1]) * step));
    });
  });
}

/**
 * Adds or writes `source[i0…]` to `out[… index[i0…] at axis …]`.
 * @throws {ShapeError} for an index outside [-size, size).
 */
export function scatter(mode: "add" | "set", out: View, axis: number, index: View, source: View): void {
  inLane(computeTypeOf(out.dtype), (lane) => place(lane, mode, out, axis, index, source));
}

function place<T>(
  lane: Lane<T>,
  mode: "add" | "set",
  out: View,
  axis: number,
  index: View,
  source: View,
): void {
  const position = indexReader("scatter", out, axis, index), { add } = lane.arithmetic.binary;
  const read = lane.read(source), present = lane.read(out), write = lane.write(out), step = out.strides[axis];
  const along = out.strides.map((stride, d) => d === axis ? 0 : stride);
  walk(
    index.shape,
    [out.offset, index.offset, source.offset],
    [along, index.strides, source.strides],
    (at) => {
      const to = at[0] + position(at[1]) * step, value = read(at[2]);
      write(to, mode === "add" ? add(present(to), value) : value);
    },
  );
}

/** Reads positions along `axis` of `view`, counting negative ones from its end. */
function indexReader(what: string, view: View, axis: number, index: View): (at: number) => number {
  const size = view.shape[axis];
  return inLane(computeTypeOf(index.dtype), (lane) => {
    const read = lane.read(index);
    return (at) => {
      const given = Number(read(at));
      if (given >= size || given < -size) {
        throw indexError(what, given, size, axis, formatShape(view.shape));
      }
      return given < 0 ? given + size : given;
    };
  });
}
