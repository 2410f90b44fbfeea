/**
 * Placing elements by index. See `Backend.scatter`.
 *
 * One invocation has a whole line along the axis to itself and goes through its indices in their order, so repeats add
 * up in order and nothing is written by two.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { carrier, computeTypeOf, load, store } from "../wgsl/elements.ts";
import {
  bind,
  overElements,
  placeParams,
  places,
  placeWords,
  source,
  withFunctions,
} from "../wgsl/module.ts";
import { position } from "./gather.ts";

/** Adds or writes `src[i0…]` to `out[… index[i0…] at axis …]`. */
export function scatter(
  gpu: Gpu,
  mode: "add" | "set",
  out: View,
  axis: number,
  index: View,
  src: View,
): void {
  const lines = index.shape.filter((_, d) => d !== axis), count = sizeOf(lines), length = index.shape[axis];
  if (count === 0 || length === 0) return;
  const rank = lines.length, views = [out, index, src];
  const across = views.map((v) => ({ offset: v.offset, strides: v.strides.filter((_, d) => d !== axis) }));
  const bindings = bind([index, src], [out], gpu.notes), words = placeWords(rank, 3);
  const key = `scatter ${mode} ${views.map((v) => v.dtype)} ${rank} ${bindings.key}`;
  const kernel = gpu.kernel(key, () => {
    const [positions, from, to, notes] = bindings.of, type = computeTypeOf(out.dtype);
    const sum = type === "i64" ? "l_add(before, value)" : "before + value";
    const body = `${places(rank, 3, "i", 8, "at")}
  for (var n = 0; n < ${param(4)}; n++) {
    let indexAt = at1 + n * ${param(6)}; let sourceAt = at2 + n * ${param(7)};
    ${position(positions, index.dtype, "indexAt", notes, 2)}
    let there = at0 + k * ${param(5)};
    let value = ${load(from, src.dtype, "sourceAt", type)};
    ${
      mode === "set"
        ? store(to, out.dtype, "there", "value", type)
        : `let before: ${carrier(type)} = ${load(to, out.dtype, "there", type)}; let after = ${sum}; ${
          store(to, out.dtype, "there", "after", type)
        }`
    }
  }`;
    return source(bindings, withFunctions(overElements(body)), 8 + words);
  });
  const params = [
    count,
    axis,
    out.shape[axis],
    length,
    out.strides[axis],
    index.strides[axis],
    src.strides[axis],
    ...placeParams(lines, across),
  ];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
