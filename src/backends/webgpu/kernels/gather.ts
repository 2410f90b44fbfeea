/**
 * Picking elements by index. See `Backend.gather`.
 *
 * An index out of range is noted on the device, reads as the nearest end, and is reported by the next read.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
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
  const size = param(first + 1);
  return `let given = ${load(index, dtype, at, "i32")};
  var k = select(given, given + ${size}, given < 0);
  if (k < 0 || k >= ${size}) {
    if (atomicMax(&${notes.name}[0], 1u) == 0u) {
      atomicStore(&${notes.name}[1], bitcast<u32>(given));
      atomicStore(&${notes.name}[2], u32(${size}));
      atomicStore(&${notes.name}[3], u32(${param(first)}));
    }
    k = clamp(k, 0, ${size} - 1);
  }`;
}

/** `out[i0…] = x[… index[i0…] at axis …]`. */
export function gather(gpu: Gpu, x: View, axis: number, index: View, out: View): void {
  const count = sizeOf(out.shape), rank = out.shape.length;
  if (count === 0) return;
  const along = { offset: x.offset, strides: x.strides.map((s, d) => d === axis ? 0 : s) };
  const bindings = bind([x, index], [out], gpu.notes), words = placeWords(rank, 3);
  const kernel = gpu.kernel(`gather ${x.dtype} ${index.dtype} ${out.dtype} ${rank} ${bindings.key}`, () => {
    const [from, positions, to, notes] = bindings.of, type = computeTypeOf(x.dtype);
    const body = `${places(rank, 3, "i", 5, "at")}
  ${position(positions, index.dtype, "at1", notes, 2)}
  let here = at0 + k * ${param(4)};
  let value = ${load(from, x.dtype, "here", type)};
  ${store(to, out.dtype, "at2", "value", type)}`;
    return source(bindings, withFunctions(overElements(body)), 5 + words);
  });
  const params = [
    count,
    axis,
    x.shape[axis],
    x.strides[axis],
    ...placeParams(out.shape, [along, index, out]),
  ];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
