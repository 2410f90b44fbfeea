/**
 * Running sums along one axis. See `Backend.cumsum`.
 *
 * Long lines are cut into about √length parts: the first pass adds each part up, the second one adds what stands before
 * a part and runs through it. So a line of a million numbers is a thousand invocations of two thousand steps.
 *
 * @module
 */
import { contiguousStrides, sizeOf } from "../../../core/shape.ts";
import { add } from "../../../expr/build.ts";
import { input } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { part, throughWindows } from "../windows.ts";
import { type Gpu, type KernelSource, param } from "../gpu.ts";
import { computeTypeOf, load, store } from "../wgsl/elements.ts";
import { elementwise } from "./elementwise.ts";
import {
  bind,
  type Bindings,
  overElements,
  placeParams,
  places,
  placeWords,
  seenAs,
  source,
  withFunctions,
} from "../wgsl/module.ts";

/** Running sums of `x` along `axis`; floats in pairs, so that no rounding adds up. */
export function cumsum(gpu: Gpu, x: View, axis: number, out: View): void {
  const lines = x.shape.filter((_, d) => d !== axis), count = sizeOf(lines), length = x.shape[axis] ?? 1;
  if (count === 0 || length === 0) return;
  const seen = throughWindows(gpu, [x, out]);
  if (seen === null) {
    return cumsumInParts(gpu, x, axis, out);
  }
  [x, out] = seen;
  const parts = length < 1024 || count > 4096 ? 1 : Math.ceil(Math.sqrt(length)), rank = lines.length;
  const across = [x, out].map((v) => ({ offset: v.offset, strides: v.strides.filter((_, d) => d !== axis) }));
  const params = [
    count * parts,
    length,
    x.strides[axis] ?? 0,
    out.strides[axis] ?? 0,
    parts,
    Math.ceil(length / parts),
    ...placeParams(lines, across),
  ];
  const totals: View = {
    buffer: parts > 1 ? gpu.buffers.allocate(count * parts * 8) : x.buffer,
    dtype: "i32",
    shape: [count * parts * 2],
    strides: [1],
    offset: 0,
  };
  for (const last of parts > 1 ? [false, true] : [true]) {
    const bindings = !last ? bind([x], [totals]) : parts > 1 ? bind([x, totals], [out]) : bind([x], [out]);
    const key = `cumsum ${last} ${parts > 1} ${x.dtype} ${out.dtype} ${rank} ${bindings.key}`;
    const kernel = gpu.kernel(key, () => pass(bindings, x, out, rank, last, parts > 1));
    gpu.runOver(kernel, bindings.buffers, params, count * parts);
  }
  if (parts > 1) gpu.buffers.release(totals.buffer);
}

/** In halves: of the lines, or of each line, whose second half begins with the sum of the first. */
function cumsumInParts(gpu: Gpu, x: View, axis: number, out: View): void {
  const { shape } = x, reach = shape.map((n, d) => n > 1 ? n * Math.abs(x.strides[d]) : 0);
  const cut = reach.indexOf(Math.max(...reach)), half = (shape[cut] ?? 0) >> 1;
  // A broadcast line reaches nowhere, and its result does.
  const [along, middle] = half && reach[cut] > 0 ? [cut, half] : [axis, shape[axis] >> 1];
  const sums = [x, out].map((
    v,
  ) => [part(v, along, 0, middle), part(v, along, middle, shape[along] - middle)]);
  cumsum(gpu, sums[0][0], axis, sums[1][0]);
  cumsum(gpu, sums[0][1], axis, sums[1][1]);
  if (along !== axis) return;
  const rest = sums[1][1], last = part(out, axis, middle - 1, 1);
  // A copy: no kernel sees two places of one buffer that lie so far apart, and writes to one.
  const type = computeTypeOf(out.dtype), count = sizeOf(last.shape), strides = contiguousStrides(last.shape);
  const buffer = gpu.buffers.allocate(count * 8);
  const sum: View = { buffer, dtype: out.dtype, shape: last.shape, strides, offset: 0 };
  elementwise(gpu, makeProgram(type, [input(0)]), [last], [], [sum]);
  const before = seenAs(sum, rest.shape, strides.map((s, d) => d === axis ? 0 : s));
  elementwise(gpu, makeProgram(type, [add(input(0), input(1))]), [rest, before], [], [rest]);
  gpu.buffers.release(buffer);
}

/** One pass: `last` stores the running sums, the one before it the sums of parts. */
function pass(
  bindings: Bindings,
  x: View,
  out: View,
  rank: number,
  last: boolean,
  cut: boolean,
): KernelSource {
  const type = computeTypeOf(out.dtype), from = bindings.of[0], to = bindings.of[bindings.of.length - 1];
  const name = cut ? bindings.of[1].name : "";
  const [held, wide, add, value] = type === "f32"
    ? ["vec2<f32>", "vec2<f32>(x, 0.0f)", "pairAdd", "sum.x"]
    : type === "i64"
    ? ["vec2<u32>", "x", "l_add", "sum"]
    : ["i32", "x", "", "sum"];
  const sum = (term: string): string => add ? `sum = ${add}(sum, ${term});` : `sum = sum + ${term};`;
  const total = (at: string): string => `${name}[2 * (${at})]`,
    second = (at: string): string => `${name}[2 * (${at}) + 1]`;
  const read = type === "i32"
    ? `bitcast<i32>(${total("first + j")})`
    : `bitcast<${held}>(vec2<u32>(${total("first + j")}, ${second("first + j")}))`;
  const write = type === "i32"
    ? `${total("i")} = bitcast<u32>(sum);`
    : `let words = bitcast<vec2<u32>>(sum); ${total("i")} = words.x; ${second("i")} = words.y;`;
  const body = `let part = i % ${param(5)}; let line = i / ${param(5)};
  ${places(rank, 2, "line", 7, "at")}
  var sum = ${held}();
  ${last && cut ? `let first = line * ${param(5)}; for (var j = 0; j < part; j++) { ${sum(read)} }` : ""}
  let end = min(${param(2)}, (part + 1) * ${param(6)});
  for (var n = part * ${param(6)}; n < end; n++) {
    let here = at0 + n * ${param(3)}; let there = at1 + n * ${param(4)};
    let x = ${load(from, x.dtype, "here", type)};
    ${sum(wide)}
    ${last ? store(to, out.dtype, "there", value, type) : ""}
  }
  ${last ? "" : write}`;
  return source(bindings, withFunctions(overElements(body)), 7 + placeWords(rank, 2));
}
