/**
 * Stable sorting along the last axis. See `Backend.sort`.
 *
 * Elements become unsigned keys in whose order they stand (NaN above all numbers, -0 as 0), each with its
 * position, by which equal keys are told apart: so a bitonic network, which is not stable, sorts them stably.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { inParts, throughWindows } from "../windows.ts";
import { type Gpu, groupSize, param } from "../gpu.ts";
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

/** Sorts each row; positions go to `indices`. */
export function sort(gpu: Gpu, x: View, descending: boolean, values: View, indices: View): void {
  const rank = x.shape.length,
    length = rank === 0 ? 1 : x.shape[rank - 1],
    rows = sizeOf(x.shape.slice(0, -1));
  if (length === 0 || rows === 0) return;
  const seen = throughWindows(gpu, [x, values, indices]);
  if (seen === null) {
    const views = [x, values, indices],
      firstLong = (shape: readonly number[]): number => shape.findIndex((n, d) => n > 1 && d < rank - 1);
    return inParts(
      gpu,
      views,
      firstLong,
      ([x, values, indices]) => sort(gpu, x, descending, values, indices),
    );
  }
  [x, values, indices] = seen;
  const padded = 2 ** Math.ceil(Math.log2(length)), total = rows * padded;
  // Each record is a key of two words and a position.
  const records = gpu.buffers.allocate(total * 12);
  const record: View = { buffer: records, dtype: "i32", shape: [total * 3], strides: [1], offset: 0 };
  makeKeys(gpu, x, descending, record, length, padded, total);
  sortRecords(gpu, record, padded, total);
  pickSorted(gpu, x, record, values, indices, length, padded);
  gpu.buffers.release(records);
}

/** Records that a workgroup sorts by itself, two for each invocation. */
const block = 2 * groupSize;

/** Statements that put two records in order: `up` says which; `from` and `to` read and write record number … */
function exchange(from: (at: string) => string, to: (at: string, value: string) => string): string {
  return `let first = ${from("low")}; let second = ${from("high")};
    let after = first.x > second.x || (first.x == second.x && (first.y > second.y || (first.y == second.y && first.z > second.z)));
    if (after == up) { ${to("low", "second")} ${to("high", "first")} }`;
}

/** Sorts rows of `padded` records: steps over long distances one by one, those within a block all at once. */
function sortRecords(gpu: Gpu, record: View, padded: number, total: number): void {
  const bindings = bind([], [record]);
  const step = gpu.kernel("sort step", () => {
    const from = (at: string): string => `vec3<u32>(b0[3 * ${at}], b0[3 * ${at} + 1], b0[3 * ${at} + 2])`;
    const to = (at: string, v: string): string =>
      `b0[3 * ${at}] = ${v}.x; b0[3 * ${at} + 1] = ${v}.y; b0[3 * ${at} + 2] = ${v}.z;`;
    const body = `let j = ${param(2)}; let low = (i / j) * 2 * j + i % j; let high = low + j;
  let up = (low & ${param(3)}) == 0;
  ${exchange(from, to)}`;
    return source(bindings, withFunctions(overElements(body)), 4);
  });
  const within = gpu.kernel("sort within", () => {
    const code = `
var<workgroup> held: array<vec3<u32>, ${block}>;
@compute @workgroup_size(${groupSize})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane0: u32) {
  let lane = i32(lane0); let start = i32(group.y * 32768u + group.x) * ${block};
  for (var e = lane; e < ${block}; e += ${groupSize}) {
    // What lies beyond the last record of all is in nobody's way: blocks end where rows do.
    if (start + e < ${param(1)}) {
      let at = 3 * (start + e); held[e] = vec3<u32>(b0[at], b0[at + 1], b0[at + 2]);
    }
  }
  for (var k = ${param(2)}; k <= ${param(3)}; k = k << 1u) {
    let mask = select(k, 0, k == ${param(4)});
    for (var j = min(k >> 1u, ${groupSize}); j > 0; j = j >> 1u) {
      workgroupBarrier();
      let low = (lane / j) * 2 * j + lane % j; let high = low + j; let up = ((start + low) & mask) == 0;
      ${exchange((at) => `held[${at}]`, (at, v) => `held[${at}] = ${v};`)}
    }
  }
  workgroupBarrier();
  for (var e = lane; e < ${block}; e += ${groupSize}) {
    if (start + e < ${param(1)}) {
      let at = 3 * (start + e); let x = held[e]; b0[at] = x.x; b0[at + 1] = x.y; b0[at + 2] = x.z;
    }
  }
}`;
    return source(bindings, withFunctions(code), 5);
  });
  const locally = (from: number, to: number): void =>
    gpu.runOver(within, bindings.buffers, [total, from, to, padded], Math.ceil(total / 2));
  locally(2, Math.min(padded, block));
  for (let k = 2 * block; k <= padded; k *= 2) {
    // In the last round every row is one block, and all blocks go up: no bit of a place inside a row tells.
    const mask = k === padded ? 0 : k;
    for (let j = k / 2; j >= block; j /= 2) {
      gpu.runOver(step, bindings.buffers, [total / 2, j, mask], total / 2);
    }
    locally(k, k);
  }
}

function makeKeys(
  gpu: Gpu,
  x: View,
  descending: boolean,
  record: View,
  length: number,
  padded: number,
  total: number,
): void {
  const rank = x.shape.length, bindings = bind([x], [record]), type = computeTypeOf(x.dtype);
  const kernel = gpu.kernel(`sort keys ${x.dtype} ${rank} ${bindings.key}`, () => {
    const flip = `${param(4)} != 0`, to = bindings.of[1].name;
    const key = type === "f32"
      ? `if (isNan(x)) { hi = select(0xfffffffeu, 0u, ${flip}); } else {
      let word = select(0u, bitcast<u32>(x), truth(x));
      hi = select(word | 0x80000000u, ~word, (word >> 31u) != 0u);
      hi = select(hi, ~hi, ${flip});
    }`
      : type === "i64"
      ? `hi = x.y ^ 0x80000000u; lo = x.x; if (${flip}) { hi = ~hi; lo = ~lo; }`
      : `hi = bitcast<u32>(x) ^ 0x80000000u; hi = select(hi, ~hi, ${flip});`;
    const body = `let column = i % ${param(3)}; let row = i / ${param(3)};
  var hi = 0xffffffffu; var lo = 0xffffffffu;
  if (column < ${param(2)}) {
    lo = 0u;
    ${places(rank, 1, `row * ${param(2)} + column`, 5, "at")}
    let x = ${load(bindings.of[0], x.dtype, "at0", type)};
    ${key}
  }
  ${to}[3 * i] = hi; ${to}[3 * i + 1] = lo; ${to}[3 * i + 2] = u32(column);`;
    return source(bindings, withFunctions(overElements(body)), 5 + placeWords(rank, 1));
  });
  const params = [total, length, padded, Number(descending), ...placeParams(x.shape, [x])];
  gpu.runOver(kernel, bindings.buffers, params, total);
}

function pickSorted(
  gpu: Gpu,
  x: View,
  record: View,
  values: View,
  indices: View,
  length: number,
  padded: number,
): void {
  const rank = x.shape.length, bindings = bind([x, record], [values, indices]), type = computeTypeOf(x.dtype);
  const count = sizeOf(x.shape);
  const kernel = gpu.kernel(`sort pick ${x.dtype} ${rank} ${bindings.key}`, () => {
    const [from, records, to, positions] = bindings.of;
    const body = `let row = i / ${param(2)};
  let k = i32(${records.name}[3 * (row * ${param(3)} + i % ${param(2)}) + 2]);
  ${places(rank, 1, `row * ${param(2)} + k`, 6, "at")}
  let x = ${load(from, x.dtype, "at0", type)};
  let valueAt = ${param(4)} + i; let indexAt = ${param(5)} + i;
  ${store(to, values.dtype, "valueAt", "x", type)}
  ${store(positions, "i32", "indexAt", "k", "i32")}`;
    return source(bindings, withFunctions(overElements(body)), 6 + placeWords(rank, 1));
  });
  const params = [count, length, padded, values.offset, indices.offset, ...placeParams(x.shape, [x])];
  gpu.runOver(kernel, bindings.buffers, params, count);
}
