/**
 * Reductions, with the elements computed on the way. See `Backend.reduce`.
 *
 * Short ones and many are done by one invocation each, long ones by a workgroup each; few and very long ones in two
 * passes. Sums are kept in three stages of sixteen terms, then in a tree, so that rounding grows with the logarithm.
 *
 * @module
 */
import { DeviceError, ShapeError } from "../../../core/errors.ts";
import { contiguousStrides, formatShape, sizeOf } from "../../../core/shape.ts";
import { counted } from "../../../core/show.ts";
import { input, type Program } from "../../../expr/nodes.ts";
import type { ComputeType } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { Epilogue, ReduceKind, View } from "../../contract.ts";
import { floatBits, type Gpu, groupSize, type KernelSource, param } from "../gpu.ts";
import { carrier, computeTypeOf, load, store } from "../wgsl/elements.ts";
import {
  bind,
  type Bindings,
  coalesce,
  overElements,
  placeParams,
  places,
  placeWords,
  source,
} from "../wgsl/module.ts";
import { seenAs, withFunctions } from "../wgsl/module.ts";
import { programCode, scalarParams, scalarWords } from "../wgsl/program.ts";
import { part, throughWindows } from "../windows.ts";
import { elementwise } from "./elementwise.ts";
import { gather } from "./gather.ts";

const team = 64;

/** Turns of a loop that every adapter takes: a software one (llvmpipe) silently leaves loops after 65,535. */
const mostTurns = 32768;

/** Reduces `axes` of the elementwise `program` over `inputs`; null is input 0 itself. */
export function reduce(
  gpu: Gpu,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  epilogue?: Epilogue,
): void {
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  const seen = throughWindows(gpu, [...inputs, output]);
  if (seen === null) {
    reduceInParts(gpu, kind, program, inputs, scalars, axes, output);
    if (epilogue) {
      elementwise(gpu, epilogue.program, [output, ...epilogue.inputs], epilogue.scalars, [output]);
    }
    return;
  }
  inputs = seen.slice(0, -1);
  output = seen[inputs.length];
  const run = program ?? makeProgram(computeTypeOf(inputs[0].dtype), [input(0)]);
  const inner = axes.map((d) => shape[d]), outer = shape.filter((_, d) => !axes.includes(d));
  const length = sizeOf(inner), count = sizeOf(outer);
  if (count === 0) return;
  if (length === 0 && kind !== "sum" && kind !== "prod") {
    throw new ShapeError(
      `${kind}: axes ${formatShape(axes)} of shape ${formatShape(shape)} hold no elements`,
    );
  }
  // Enough workgroups to fill a GPU, each with enough to do.
  const wanted = count >= 64 ? 1 : Math.min(256, Math.ceil(length / 4096), Math.ceil(256 / count));
  const needed = Math.ceil(length / (team * mostTurns)), parts = Math.max(wanted, needed);
  if (kind.startsWith("arg")) {
    // A processor would do the same work in more steps.
    const whole = parts === 1 || program || (gpu.software && needed === 1);
    if (whole) pass(gpu, kind, run, inputs, scalars, axes, output, 1);
    else bestOfParts(gpu, kind, run, inputs[0], axes, output, parts);
  } else if (parts > 1) {
    const dtype = run.type === "i64" ? "i64" : run.type === "i32" ? "i32" : "f32";
    const buffer = gpu.buffers.allocate(count * parts * (dtype === "i64" ? 8 : 4));
    const partial: View = { buffer, dtype, shape: [count, parts], strides: [parts, 1], offset: 0 };
    pass(gpu, kind, run, inputs, scalars, axes, partial, parts);
    const whole = seenAs(output, [count, 1], [1, 1]);
    pass(gpu, kind, makeProgram(run.type, [input(0)]), [partial], [], [1], whole, 1);
    gpu.buffers.release(buffer);
  } else pass(gpu, kind, run, inputs, scalars, axes, output, 1);
  if (epilogue) elementwise(gpu, epilogue.program, [output, ...epilogue.inputs], epilogue.scalars, [output]);
}

/** The position of the best of the parts' best, which lie in the order of their parts: the first of equals stays first. */
function bestOfParts(
  gpu: Gpu,
  kind: ReduceKind,
  program: Program,
  x: View,
  axes: readonly number[],
  output: View,
  parts: number,
): void {
  const rank = x.shape.length, order = [...x.shape.keys()].filter((d) => !axes.includes(d)).concat(axes);
  const line = seenAs(x, order.map((d) => x.shape[d]), order.map((d) => x.strides[d]));
  const count = sizeOf(line.shape.slice(0, -1)), found = [...line.shape.slice(0, -1), parts];
  const [first, second] = [4, x.dtype === "i64" ? 8 : 4].map((size) =>
    gpu.buffers.allocate(count * parts * size)
  );
  const strides = contiguousStrides(found), last = gpu.buffers.allocate(count * 4);
  const positions: View = { buffer: first, dtype: "i32", shape: found, strides, offset: 0 };
  const values: View = { buffer: second, dtype: x.dtype, shape: found, strides, offset: 0 };
  const one = [...found.slice(0, -1), 1],
    best: View = {
      buffer: last,
      dtype: "i32",
      shape: one,
      strides: contiguousStrides(one),
      offset: 0,
    };
  pass(gpu, kind, program, [x], [], axes, positions, parts);
  gather(gpu, line, rank - 1, positions, values);
  pass(gpu, kind, program, [values], [], [rank - 1], best, 1);
  gather(gpu, positions, rank - 1, best, seenAs(output, one, contiguousStrides(one)));
  for (const buffer of [first, second, last]) gpu.buffers.release(buffer);
}

/** In halves, along the first axis that is kept, or of one result along the longest axis that is reduced. */
function reduceInParts(
  gpu: Gpu,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
): void {
  const { shape } = inputs[0], kept = shape.findIndex((n, d) => n > 1 && !axes.includes(d));
  const axis = kept >= 0 ? kept : axes.reduce((best, d) => shape[d] > shape[best] ? d : best, axes[0]);
  const half = shape[axis] >> 1, halves = [[0, half], [half, shape[axis] - half]] as const;
  if (!half || (kept < 0 && kind.startsWith("arg"))) {
    throw new DeviceError(
      `${kind}: a row of ${formatShape(shape)} reaches further than the ${
        counted(gpu.bindingLimit, "byte")
      } this adapter binds`,
    );
  }
  if (kept >= 0) {
    for (const [start, length] of halves) {
      const some = inputs.map((v) => part(v, axis, start, length));
      reduce(gpu, kind, program, some, scalars, axes, part(output, axis, start, length));
    }
    return;
  }
  const type = program?.type ?? computeTypeOf(inputs[0].dtype),
    dtype = type === "i64" || type === "i32" ? type : "f32";
  const buffer = gpu.buffers.allocate(16), ones = shape.map(() => 1);
  const both: View = { buffer, dtype, shape: [2], strides: [1], offset: 0 };
  for (const [i, [start, length]] of halves.entries()) {
    const some = inputs.map((v) => part(v, axis, start, length));
    reduce(gpu, kind, program, some, scalars, axes, { ...both, shape: ones, strides: ones, offset: i });
  }
  reduce(gpu, kind, null, [both], [], [0], seenAs(output, [1], [1]));
  gpu.buffers.release(buffer);
}

function pass(
  gpu: Gpu,
  kind: ReduceKind,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  parts: number,
): void {
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  const some = (v: View, kept: boolean): { offset: number; strides: number[] } => ({
    offset: kept ? v.offset : 0,
    strides: v.strides.filter((_, d) => axes.includes(d) !== kept),
  });
  const outer = coalesce(shape.filter((_, d) => !axes.includes(d)), inputs.map((v) => some(v, true)));
  const inner = coalesce(axes.map((d) => shape[d]), inputs.map((v) => some(v, false)));
  const count = sizeOf(outer.shape), length = sizeOf(inner.shape), n = inputs.length;
  const alone = parts === 1 && (length <= 32 || (count >= 4096 && length <= mostTurns));
  const bindings = bind(inputs, [output]), dtypes = [...inputs, output].map((v) => v.dtype);
  const ranks = [outer.shape.length, inner.shape.length];
  const outerAt = 6,
    innerAt = outerAt + placeWords(ranks[0], n),
    scalarsAt = innerAt + placeWords(ranks[1], n);
  const key = `reduce ${kind} ${program.key} ${dtypes} ${ranks} ${bindings.key} ${alone}`;
  const kernel = gpu.kernel(key, (): KernelSource => {
    const code = programCode(program, inputs.map((_, k) => `x${k}`), scalarsAt);
    const loads = inputs.map((_, k) =>
      `let x${k} = ${load(bindings.of[k], dtypes[k], `o${k} + n${k}`, program.type)};`
    );
    const element = [places(ranks[1], n, "k", innerAt, "n"), ...loads, code.statements].join("\n    ");
    const fold = folding(kind, program.type, code.outputs[0]);
    const walkOuter = (index: string): string => places(ranks[0], n, index, outerAt, "o");
    const text = alone
      ? overElements(`
  ${walkOuter("i")}
  ${fold.start}
  for (var k = 0; k < ${param(2)}; k++) { ${element} ${fold.take} }
  ${fold.finish}
  ${put(bindings, output, kind, program.type, `${param(5)} + i`)}`)
      : `
var<workgroup> values: array<${carrier(program.type)}, ${team}>;
var<workgroup> positions: array<i32, ${team}>;
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let g = i32(group.y * 32768u + group.x);
  if (g >= ${param(1)}) { return; }
  let part = g % ${param(3)};
  ${walkOuter(`g / ${param(3)}`)}
  ${fold.start}
  let end = min(${param(2)}, (part + 1) * ${param(4)});
  for (var k = part * ${param(4)} + i32(lane); k < end; k += ${team}) { ${element} ${fold.take} }
  ${fold.finish}
  values[lane] = best; ${fold.positions ? "positions[lane] = at;" : ""}
  for (var s = ${team / 2}u; s > 0u; s = s >> 1u) {
    workgroupBarrier();
    if (lane < s) { ${fold.join} }
  }
  if (lane != 0u) { return; }
  ${put(bindings, output, kind, program.type, `${param(5)} + g`)}
}`;
    const all = withFunctions(fold.code + text);
    return source(bindings, all, scalarsAt + program.scalars * scalarWords(program.type));
  });
  const chunk = Math.ceil(length / parts), groups = count * parts;
  const params = [
    groups,
    length,
    parts,
    chunk,
    output.offset,
    ...placeParams(outer.shape, outer.views),
    ...placeParams(inner.shape, inner.views),
    ...scalarParams(program.type, scalars, floatBits),
  ];
  if (alone) gpu.runOver(kernel, bindings.buffers, params, groups);
  else gpu.runOver(kernel, bindings.buffers, params, groups * groupSize);
}

function put(bindings: Bindings, output: View, kind: ReduceKind, type: ComputeType, at: string): string {
  const binding = bindings.of[bindings.of.length - 1];
  return kind.startsWith("arg")
    ? store(binding, output.dtype, at, "at", "i32")
    : store(binding, output.dtype, at, "best", type);
}

interface Fold {
  readonly code: string;
  readonly start: string;
  readonly take: string;
  readonly finish: string;
  readonly join: string;
  readonly positions: boolean;
}

/** Statements that keep `best` (and `at`) of the elements `value`, which come as number `k`. */
function folding(kind: ReduceKind, type: ComputeType, value: string): Fold {
  const held = carrier(type), long = type === "i64";
  if (kind === "argmax" || kind === "argmin") {
    const lost = type === "f32" ? "isNan(x)" : "false", lostBest = type === "f32" ? "isNan(y)" : "false";
    const [more, less] = kind === "argmax" ? ["x", "y"] : ["y", "x"];
    const better = long ? `l_lt(${less}, ${more})` : `${more} > ${less}`;
    const equal = long ? "l_eq(x, y)" : "x == y";
    const code = `
fn wins(x: ${held}, i: i32, y: ${held}, j: i32) -> bool {
  if (i < 0) { return false; }
  if (j < 0) { return true; }
  let lostX = ${lost}; let lostY = ${lostBest};
  if (lostX || lostY) { return lostX && (!lostY || i < j); }
  return ${better} || (${equal} && i < j);
}`;
    return {
      code,
      start: `var best = ${held}(); var at = -1;`,
      take: `if (wins(${value}, k, best, at)) { best = ${value}; at = k; }`,
      finish: "",
      join:
        `if (wins(values[lane + s], positions[lane + s], best, at)) { best = values[lane + s]; at = positions[lane + s]; values[lane] = best; positions[lane] = at; }`,
      positions: true,
    };
  }
  const joined = (x: string, y: string): string => combine(kind, type, x, y);
  const plain = {
    code: "",
    finish: "",
    join: `best = ${joined("best", "values[lane + s]")}; values[lane] = best;`,
    positions: false,
  };
  if (kind === "sum" && type === "f32") {
    return {
      ...plain,
      start: "var best = 0.0f; var middle = 0.0f; var few = 0.0f; var seen = 0u;",
      take: `few += ${value}; seen++;
    if ((seen & 15u) == 0u) { middle += few; few = 0.0f; if ((seen & 255u) == 0u) { best += middle; middle = 0.0f; } }`,
      finish: "best = best + (middle + few);",
    };
  }
  return { ...plain, start: `var best = ${identity(kind, type)};`, take: `best = ${joined("best", value)};` };
}

function combine(kind: ReduceKind, type: ComputeType, x: string, y: string): string {
  const long = type === "i64";
  switch (kind) {
    case "sum":
      return long ? `l_add(${x}, ${y})` : `${x} + ${y}`;
    case "prod":
      return long ? `l_mul(${x}, ${y})` : `${x} * ${y}`;
    case "max":
      return long
        ? `select(${x}, ${y}, l_lt(${x}, ${y}))`
        : type === "f32"
        ? `maxNan(${x}, ${y})`
        : `max(${x}, ${y})`;
    default:
      return long
        ? `select(${y}, ${x}, l_lt(${x}, ${y}))`
        : type === "f32"
        ? `minNan(${x}, ${y})`
        : `min(${x}, ${y})`;
  }
}

function identity(kind: ReduceKind, type: ComputeType): string {
  if (kind === "sum" || kind === "prod") {
    const one = kind === "prod" ? 1 : 0;
    return type === "i64" ? `vec2<u32>(${one}u, 0u)` : type === "i32" ? `${one}` : `${one}.0f`;
  }
  const low = kind === "max";
  if (type === "i64") return low ? "vec2<u32>(0u, 0x80000000u)" : "vec2<u32>(0xffffffffu, 0x7fffffffu)";
  if (type === "i32") return low ? "bitcast<i32>(0x80000000u)" : "2147483647";
  return low ? "bits(0xff800000u)" : "bits(0x7f800000u)";
}
