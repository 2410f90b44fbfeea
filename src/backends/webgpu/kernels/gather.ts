/**
 * Picking elements by index. See `Backend.gather`.
 *
 * An index out of range is noted on the device, reads as the nearest end, and is reported by the next read.
 *
 * @module
 */
import { DeviceError, ShapeError } from "../../../core/errors.ts";
import { formatShape, sizeOf } from "../../../core/shape.ts";
import { counted } from "../../../core/show.ts";
import type { View } from "../../contract.ts";
import { part, throughWindows } from "../windows.ts";
import { type Gpu, param } from "../gpu.ts";
import { type Binding, computeTypeOf, load, store } from "../wgsl/elements.ts";
import {
  bind,
  overElements,
  placeParams,
  places,
  placeWords,
  source,
  withFunctions,
} from "../wgsl/module.ts";

/** Statements that read a position from `index` into `k`; parameters `first`: the axis and its size. */
export function position(
  index: Binding,
  dtype: View["dtype"],
  at: string,
  notes: Binding,
  first: number,
): string {
  return positionOf(load(index, dtype, at, "i64"), notes, first);
}

/** The same for what `whole`, an i64, gives. */
export function positionOf(whole: string, notes: Binding, first: number): string {
  const size = param(first + 1);
  // Of an i64 the low word is the index, and the high one its sign.
  return `let whole = ${whole}; let given = bitcast<i32>(whole.x);
  var k = select(given, given + ${size}, given < 0);
  if (k < 0 || k >= ${size} || bitcast<i32>(whole.y) != given >> 31u) {
    if (atomicMax(&${notes.name}[0], 1u) == 0u) {
      atomicStore(&${notes.name}[1], whole.x);
      atomicStore(&${notes.name}[2], u32(${size}));
      atomicStore(&${notes.name}[3], u32(${param(first)}));
      atomicStore(&${notes.name}[4], whole.y);
    }
    k = clamp(k, 0, ${size} - 1);
  }`;
}

/** The longest axis that can be indexed: kernels count in i32. */
const mostPlaces = 2 ** 31 - 1;

/** `out[i0…] = x[… index[i0…] at axis …]`. */
export function gather(gpu: Gpu, x: View, axis: number, index: View, out: View): void {
  if (sizeOf(out.shape) === 0) return;
  // What an index finds may lie in any part of x: each part serves the indices that lead into it.
  const size = x.shape[axis];
  if (size > mostPlaces) {
    throw new ShapeError(
      `gather: dim ${axis} of ${
        formatShape(x.shape)
      } has more positions than the webgpu device counts (${mostPlaces})`,
    );
  }
  const serve = (start: number, length: number): void => {
    const seen = throughWindows(gpu, [part(x, axis, start, length)]);
    if (seen !== null) return gatherFrom(gpu, seen[0], axis, start, size, index, out);
    if (length < 2) {
      throw new DeviceError(
        `gather: one position of x reaches further than the ${
          counted(gpu.bindingLimit, "byte")
        } this adapter binds`,
      );
    }
    serve(start, length >> 1);
    serve(start + (length >> 1), length - (length >> 1));
  };
  serve(0, size);
}

/** `x` is positions start, start + 1, … of `size` along the axis. */
function gatherFrom(
  gpu: Gpu,
  x: View,
  axis: number,
  start: number,
  size: number,
  index: View,
  out: View,
): void {
  const count = sizeOf(out.shape), rank = out.shape.length;
  const along = { offset: x.offset, strides: x.strides.map((s, d) => d === axis ? 0 : s) };
  const bindings = bind([x, index], [out], gpu.notes), words = placeWords(rank, 3);
  const kernel = gpu.kernel(`gather ${x.dtype} ${index.dtype} ${out.dtype} ${rank} ${bindings.key}`, () => {
    const [from, positions, to, notes] = bindings.of, type = computeTypeOf(x.dtype);
    const body = `${places(rank, 3, "i", 7, "at")}
  ${position(positions, index.dtype, "at1", notes, 2)}
  k = k - ${param(5)};
  if (k < 0 || k >= ${param(6)}) { return; }
  let here = at0 + k * ${param(4)};
  let value = ${load(from, x.dtype, "here", type)};
  ${store(to, out.dtype, "at2", "value", type)}`;
    return source(bindings, withFunctions(overElements(body)), 7 + words);
  });
  const params = [
    count,
    axis,
    size,
    x.strides[axis],
    start,
    x.shape[axis],
    ...placeParams(out.shape, [along, index, out]),
  ];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
