/**
 * Running sums along one axis. See `Backend.cumsum`.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { type Gpu, param } from "../gpu.ts";
import { computeTypeOf, load, store } from "../wgsl/elements.ts";
import {
  bind,
  overElements,
  placeParams,
  places,
  placeWords,
  source,
  withFunctions,
} from "../wgsl/module.ts";

/** Running sums of `x` along `axis`; floats in pairs, so that no rounding adds up. */
export function cumsum(gpu: Gpu, x: View, axis: number, out: View): void {
  const lines = x.shape.filter((_, d) => d !== axis), count = sizeOf(lines), length = x.shape[axis] ?? 1;
  if (count === 0 || length === 0) return;
  const rank = lines.length, type = computeTypeOf(out.dtype);
  const across = [x, out].map((v) => ({ offset: v.offset, strides: v.strides.filter((_, d) => d !== axis) }));
  const bindings = bind([x], [out]);
  const kernel = gpu.kernel(`cumsum ${x.dtype} ${out.dtype} ${rank} ${bindings.key}`, () => {
    const [from, to] = bindings.of;
    const [start, next, value] = type === "f32"
      ? ["vec2<f32>(0.0f)", "pairAdd(sum, vec2<f32>(x, 0.0f))", "sum.x"]
      : type === "i64"
      ? ["vec2<u32>(0u)", "l_add(sum, x)", "sum"]
      : ["0", "sum + x", "sum"];
    const body = `${places(rank, 2, "i", 5, "at")}
  var sum = ${start};
  for (var n = 0; n < ${param(2)}; n++) {
    let here = at0 + n * ${param(3)}; let there = at1 + n * ${param(4)};
    let x = ${load(from, x.dtype, "here", type)};
    sum = ${next};
    ${store(to, out.dtype, "there", value, type)}
  }`;
    const all = withFunctions(overElements(body));
    return source(bindings, all, 5 + placeWords(rank, 2));
  });
  const params = [count, length, x.strides[axis] ?? 0, out.strides[axis] ?? 0, ...placeParams(lines, across)];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
