/**
 * Placing elements by index. See `Backend.scatter`.
 *
 * An invocation has a line along the axis, or every so-manieth place of it, and goes through the line's indices in their
 * order: repeats add up in order, nothing is written by two, and few long lines still are work for many.
 *
 * @module
 */
import { DeviceError } from "../../../core/errors.ts";
import { sizeOf } from "../../../core/shape.ts";
import { counted } from "../../../core/show.ts";
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { part, throughWindows } from "../windows.ts";
import { carrier, computeTypeOf, isNarrow, load, store } from "../wgsl/elements.ts";
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
  const line = index.shape[axis];
  if (sizeOf(index.shape) === 0) return;
  if (throughWindows(gpu, [index, src]) === null && line > 1) {
    // One half after the other, so that repeats still come in their order.
    for (const [start, length] of [[0, line >> 1], [line >> 1, line - (line >> 1)]]) {
      scatter(gpu, mode, out, axis, part(index, axis, start, length), part(src, axis, start, length));
    }
    return;
  }
  // A part of out takes what the indices lead into it; every index is looked at for each part.
  const serve = (start: number, length: number): void => {
    const seen = throughWindows(gpu, [part(out, axis, start, length), index, src]);
    if (seen !== null) {
      return scatterInto(gpu, mode, seen[0], axis, start, out.shape[axis], line, seen[1], seen[2]);
    }
    if (length < 2) {
      throw new DeviceError(
        `scatter: one position of out, the indices or the source reach further than the ${
          counted(gpu.bindingLimit, "byte")
        } this adapter binds`,
      );
    }
    serve(start, length >> 1);
    serve(start + (length >> 1), length - (length >> 1));
  };
  serve(0, out.shape[axis]);
}

/** Enough invocations to fill a GPU; a processor has no use for more. */
const enough = 16384;

/** `out` is positions start, start + 1, … of `size` along the axis. */
function scatterInto(
  gpu: Gpu,
  mode: "add" | "set",
  out: View,
  axis: number,
  start: number,
  size: number,
  length: number,
  index: View,
  src: View,
): void {
  const lines = index.shape.filter((_, d) => d !== axis), count = sizeOf(lines);
  // Parts of words are written by one invocation after another, which two for a line would not be.
  const shares = gpu.software || isNarrow(out.dtype)
    ? 1
    : Math.max(1, Math.min(64, Math.ceil(enough / count), size));
  const rank = lines.length, views = [out, index, src];
  const across = views.map((v) => ({ offset: v.offset, strides: v.strides.filter((_, d) => d !== axis) }));
  const bindings = bind([index, src], [out], gpu.notes), words = placeWords(rank, 3);
  const key = `scatter ${mode} ${shares} ${views.map((v) => v.dtype)} ${rank} ${bindings.key}`;
  const kernel = gpu.kernel(key, () => {
    const [positions, from, to, notes] = bindings.of, type = computeTypeOf(out.dtype);
    const sum = type === "i64" ? "l_add(before, value)" : "before + value";
    const body = `let share = i / ${param(10)}; let line = i % ${param(10)};
  ${places(rank, 3, "line", 11, "at")}
  for (var n = 0; n < ${param(4)}; n++) {
    let indexAt = at1 + n * ${param(6)}; let sourceAt = at2 + n * ${param(7)};
    ${position(positions, index.dtype, "indexAt", notes, 2)}
    let k1 = k - ${param(8)};
    if (k1 < 0 || k1 >= ${param(9)} || k1 % ${shares} != share) { continue; }
    let there = at0 + k1 * ${param(5)};
    let value = ${load(from, src.dtype, "sourceAt", type)};
    ${
      mode === "set"
        ? store(to, out.dtype, "there", "value", type)
        : `let before: ${carrier(type)} = ${load(to, out.dtype, "there", type)}; let after = ${sum}; ${
          store(to, out.dtype, "there", "after", type)
        }`
    }
  }`;
    return source(bindings, withFunctions(overElements(body)), 11 + words);
  });
  const params = [
    count * shares,
    axis,
    size,
    length,
    out.strides[axis],
    index.strides[axis],
    src.strides[axis],
    start,
    out.shape[axis],
    count,
    ...placeParams(lines, across),
  ];
  gpu.runOver(kernel, bindings.buffers, params, count * shares);
}
