/**
 * Matrix products with an epilogue. See `Backend.matmul`.
 *
 * Few rows (a step of generation) and software adapters have kernels of their own, `matmul_strips.ts` and
 * `matmul_plain.ts`. Otherwise a workgroup computes a square of the product, tile by tile of the sums: a tile of each
 * operand in workgroup memory, four by four results a invocation in registers.
 *
 * @module
 */
import { isFloat, isQuantized } from "../../../core/dtype.ts";
import { DeviceError } from "../../../core/errors.ts";
import { contiguousStrides, sizeOf } from "../../../core/shape.ts";
import { counted } from "../../../core/show.ts";
import { add } from "../../../expr/build.ts";
import { input } from "../../../expr/nodes.ts";
import { program, substitute } from "../../../expr/program.ts";
import type { ComputeType, Program } from "../../../expr/nodes.ts";
import type { DeviceBuffer, Epilogue, View } from "../../contract.ts";
import { floatBits, type Gpu, param } from "../gpu.ts";
import { carrier, computeTypeOf, load, store } from "../wgsl/elements.ts";
import {
  bind,
  type Bindings,
  coalesce,
  placeParams,
  places,
  placeWords,
  seenAs,
  source,
  withFunctions,
} from "../wgsl/module.ts";
import { upTo } from "../wgsl/tiles.ts";
import { part, throughWindows } from "../windows.ts";
import { programCode, scalarParams, scalarWords } from "../wgsl/program.ts";
import { plain } from "./matmul_plain.ts";
import { fitsStrips, strips } from "./matmul_strips.ts";
import { elementwise } from "./elementwise.ts";

/** A product as its kernels see it. */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
  readonly a: View;
  readonly b: View;
  readonly out: View;
  readonly type: ComputeType;
  readonly epilogue: Epilogue | undefined;
  readonly bindings: Bindings;
  /** Everything that the code common to all kernels depends on. */
  readonly key: string;
  readonly words: number;
  readonly params: number[];
  /** Declarations: where a batch's matrices begin, their `elements` one by one, and `finish`, which stores a result. */
  code(elements?: boolean): string;
}

/** The matrices of `a` times those of `b`, through the epilogue into `out`. */
export function matmul(gpu: Gpu, a: View, b: View, out: View, epilogue?: Epilogue): void {
  const extra = epilogue?.inputs ?? [], seen = throughWindows(gpu, [out, a, b, ...extra]);
  const many = sizeOf(out.shape.slice(0, -2)) > gpu.maxGroups;
  if (seen === null || many) return matmulInParts(gpu, a, b, out, epilogue);
  const [to, left, right, ...inputs] = seen;
  const p = describe(left, right, to, epilogue && { ...epilogue, inputs });
  if (p.m === 0 || p.n === 0 || p.batch === 0) return;
  if (p.m > 4 && inHalves(gpu, p)) tiled(gpu, p);
  else if (fitsStrips(p) && (gpu.software || p.m <= 4)) strips(gpu, p);
  else if (gpu.software) plain(gpu, p);
  else {
    const pieces = piecesOf(p);
    if (pieces > 1) inPieces(gpu, p, pieces);
    else tiled(gpu, p);
  }
}

/** So many workgroups keep any GPU busy; sums shorter than this are not worth cutting; pieces are added up in one go. */
const enoughGroups = 1024, leastPiece = 256, mostPieces = 8;

/** Into how many pieces the sums are cut, for there to be enough workgroups. */
function piecesOf({ m, n, k, batch, type }: Product): number {
  const groups = Math.ceil(m / tile) * Math.ceil(n / tile);
  if (batch > 1 || type !== "f32") return 1;
  let pieces = Math.min(mostPieces, Math.floor(enoughGroups / groups), Math.floor(k / leastPiece));
  while (pieces > 1 && k % (pieces * depth) !== 0) pieces--;
  return Math.max(1, pieces);
}

/** The pieces as a batch of products, which are then added up. */
function inPieces(gpu: Gpu, p: Product, pieces: number): void {
  const { m, n, k, a, b, out, epilogue } = p, each = k / pieces, of = upTo(pieces);
  const buffer = gpu.buffers.allocate(4 * pieces * m * n);
  const cut = (v: View, axis: 0 | 1): View => {
    const [row, column] = v.strides.slice(-2), shape = v.shape.slice(-2).map((n, d) => d === axis ? each : n);
    return seenAs(v, [pieces, ...shape], [each * (axis ? column : row), row, column]);
  };
  const sums: View = { buffer, dtype: "f32", shape: [pieces, m, n], strides: [m * n, n, 1], offset: 0 };
  tiled(gpu, describe(cut(a, 1), cut(b, 0), sums, undefined));
  const views = of.map((i): View => ({ ...seenAs(sums, [m, n], [n, 1]), offset: i * m * n }));
  const flat = (v: View): View => seenAs(v, [m, n], v.strides.slice(-2));
  const inputs = [...views, ...(epilogue?.inputs ?? []).map(flat)], scalars = epilogue?.scalars ?? [];
  elementwise(gpu, finishPieces(pieces, epilogue?.program), inputs, scalars, [flat(out)]);
  gpu.buffers.release(buffer);
}

/** The program that adds up pieces, inputs 0…, and does what follows with the inputs behind them. */
function finishPieces(pieces: number, then: Program | undefined): Program {
  const sum = upTo(pieces).map((i) => input(i)).reduce((x, y) => add(x, y));
  const inputs = pieces + (then ? then.inputs - 1 : 0),
    others = upTo(inputs - pieces).map((i) => input(pieces + i));
  const outputs = then ? then.outputs.map((x) => substitute(x, [sum, ...others])) : [sum];
  return program(then?.type ?? "f32", outputs, { inputs, scalars: then?.scalars ?? 0 });
}

/** The product in halves, along the axis that brings the views nearest to what a binding reaches. */
function matmulInParts(gpu: Gpu, a: View, b: View, out: View, epilogue: Epilogue | undefined): void {
  const rank = out.shape.length, row = rank - 2, column = rank - 1, batch = out.shape.findIndex((n) => n > 1);
  const far = (v: View, axis: number): number => Math.abs(v.strides[axis]) * v.shape[axis];
  const tooFar = (v: View): boolean => throughWindows(gpu, [v]) === null;
  const rows = out.shape[row] > 1, sumsOf = tooFar(b) ? [b, row, column] as const : [a, column, row] as const;
  const [operand, alongSums, other] = sumsOf, extra = epilogue?.inputs ?? [];
  const inSums = (tooFar(b) || tooFar(a)) && far(operand, alongSums) > far(operand, other);
  const axis = batch >= 0 && batch < row ? batch : inSums ? alongSums : tooFar(b) || !rows ? column : row;
  const size = inSums && axis === alongSums ? operand.shape[axis] : out.shape[axis], half = size >> 1;
  if (!half) {
    throw new DeviceError(
      `webgpu: a row of this product reaches further than the ${
        counted(gpu.bindingLimit, "byte")
      } this adapter binds`,
    );
  }
  const pieces = [[0, half], [half, size - half]] as const;
  if (axis >= row && inSums) {
    const cutSums = pieces.map(([start, n]) => [part(a, column, start, n), part(b, row, start, n)]);
    const buffer = gpu.buffers.allocate(4 * sizeOf(out.shape)), type = isFloat(out.dtype) ? "f32" : "i32";
    const sums: View = {
      buffer,
      dtype: type,
      shape: out.shape,
      strides: contiguousStrides(out.shape),
      offset: 0,
    };
    matmul(gpu, cutSums[0][0], cutSums[0][1], sums);
    const both = add(input(0), input(1)), inputs = [sums, ...extra], scalars = epilogue?.scalars ?? [];
    const moved = epilogue?.program.outputs.map((x) =>
      substitute(x, [both, ...extra.map((_, i) => input(i + 2))])
    );
    matmul(gpu, cutSums[1][0], cutSums[1][1], out, {
      program: program(epilogue?.program.type ?? type, moved ?? [both], {
        inputs: inputs.length + 1,
        scalars: scalars.length,
      }),
      inputs,
      scalars,
    });
    gpu.buffers.release(buffer);
    return;
  }
  for (const [start, length] of pieces) {
    const cut = (v: View): View => part(v, axis, start, length), inputs = extra.map(cut);
    const [x, y] = [axis === column ? a : cut(a), axis === row ? b : cut(b)];
    matmul(gpu, x, y, cut(out), epilogue && { ...epilogue, inputs });
  }
}

/** What else a kernel is bound to. */
export interface Beside {
  readonly reads: readonly View[];
  readonly writes: readonly View[];
  readonly notes: DeviceBuffer | undefined;
}

const nothing: Beside = { reads: [], writes: [], notes: undefined };

/** A product of these views; what is bound `beside` them comes last among what is read, and among what is written. */
export function describe(
  a: View,
  b: View,
  out: View,
  epilogue: Epilogue | undefined,
  beside: Beside = nothing,
): Product {
  const rank = out.shape.length, [m, n] = out.shape.slice(-2), k = a.shape[rank - 1];
  const floating = isFloat(a.dtype) || isFloat(b.dtype) || isQuantized(b.dtype);
  const type = floating ? "f32" : computeTypeOf(out.dtype), extra = epilogue?.inputs ?? [];
  const views = [a, b, out, ...extra], { reads, writes, notes } = beside;
  const bindings = bind([a, b, ...extra, ...reads], [out, ...writes], notes);
  // In the order of `views`: the output was bound last.
  const of = [
    bindings.of[0],
    bindings.of[1],
    bindings.of[extra.length + reads.length + 2],
    ...bindings.of.slice(2, extra.length + 2),
  ];
  const batch = coalesce(
    out.shape.slice(0, -2),
    views.map((v) => ({ offset: v.offset, strides: v.strides.slice(0, -2) })),
  );
  const stepsAt = 4, batchAt = stepsAt + 2 * views.length, batchRank = batch.shape.length;
  const scalarsAt = batchAt + placeWords(batchRank, views.length);
  const step = (view: number, axis: number): string => param(stepsAt + 2 * view + axis);
  return {
    m,
    n,
    k,
    batch: sizeOf(batch.shape),
    a,
    b,
    out,
    type,
    epilogue,
    bindings,
    key: `${views.map((v) => v.dtype)} ${batchRank} ${bindings.key} ${epilogue?.program.key ?? ""}`,
    words: scalarsAt + (epilogue ? epilogue.program.scalars * scalarWords(epilogue.program.type) : 0),
    params: [
      m,
      n,
      k,
      ...views.flatMap((v) => v.strides.slice(-2)),
      ...placeParams(batch.shape, batch.views),
      ...(epilogue ? scalarParams(epilogue.program.type, epilogue.scalars, floatBits) : []),
    ],
    code(elements = true) {
      const inner = epilogue?.program.type ?? type;
      const written = epilogue &&
        programCode(epilogue.program, ["sum", ...extra.map((_, e) => `x${e}`)], scalarsAt);
      const loads = extra.map((view, e) => {
        const at = `start${3 + e} + row * ${step(3 + e, 0)} + column * ${step(3 + e, 1)}`;
        return `let at${e} = ${at}; let x${e} = ${load(of[3 + e], view.dtype, `at${e}`, inner)};`;
      });
      return `
${views.map((_, v) => `var<private> start${v}: i32;`).join("\n")}
fn begin(batch: i32) {
  ${places(batchRank, views.length, "batch", batchAt, "o")}
  ${views.map((_, v) => `start${v} = o${v};`).join(" ")}
}
${
        elements
          ? `fn elementA(row: i32, k: i32) -> ${carrier(type)} {
  let at = start0 + row * ${step(0, 0)} + k * ${step(0, 1)};
  return ${load(of[0], a.dtype, "at", type)};
}
fn elementB(k: i32, column: i32) -> ${carrier(type)} {
  let at = start1 + k * ${step(1, 0)} + column * ${step(1, 1)};
  return ${load(of[1], b.dtype, "at", type)};
}
`
          : ""
      }fn finish(row: i32, column: i32, sum: ${carrier(type)}) {
  ${loads.join("\n  ")}
  ${written?.statements ?? ""}
  let at = start2 + row * ${step(2, 0)} + column * ${step(2, 1)};
  ${store(of[2], out.dtype, "at", written?.outputs[0] ?? "sum", inner)}
}`;
    },
  };
}

const tile = 64, depth = 16, team = 256;

/** Whether the product is computed in f16: only in tiles, for reading the weights is all that few rows take. */
function inHalves(gpu: Gpu, p: Product): boolean {
  return gpu.halfProducts && p.b.dtype === "f16" && p.type === "f32";
}

function tiled(gpu: Gpu, p: Product): void {
  const { bindings, type } = p;
  // Neighbours in memory go to neighbouring invocations.
  const aRows = Math.abs(p.a.strides[p.a.strides.length - 1]) === 1,
    bRows = Math.abs(p.b.strides.at(-2)!) === 1;
  const half = inHalves(gpu, p);
  const kernel = gpu.kernel(`matmul ${aRows} ${bRows} ${half} ${p.key}`, () => {
    const text = p.code(),
      four = type === "f32" ? "vec4<f32>" : "vec4<i32>",
      held = half ? "vec4<f16>" : four;
    const quarter = tile / 4;
    // Which four of a tile's rows, and which term of the sums, load number e fetches.
    const part = (alongTerms: boolean): string =>
      alongTerms
        ? `let q = e / ${depth}; let t = e % ${depth};`
        : `let q = e % ${quarter}; let t = e / ${quarter};`;
    const results = [0, 1, 2, 3];
    const main = `
var<workgroup> tileA: array<${held}, ${depth * quarter}>;
var<workgroup> tileB: array<${held}, ${depth * quarter}>;
fn fetchA(row: i32, k: i32) -> ${carrier(type)} {
  if (row < ${param(1)} && k < ${param(3)}) { return elementA(row, k); }
  return ${carrier(type)}();
}
fn fetchB(k: i32, column: i32) -> ${carrier(type)} {
  if (column < ${param(2)} && k < ${param(3)}) { return elementB(k, column); }
  return ${carrier(type)}();
}
@compute @workgroup_size(${team})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  begin(i32(group.z));
  let row0 = i32(group.y) * ${tile}; let column0 = i32(group.x) * ${tile};
  let down = i32(lane) / ${quarter}; let right = i32(lane) % ${quarter};
  ${results.map((r) => `var c${r} = ${four}();`).join(" ")}
  for (var k0 = 0; k0 < ${param(3)}; k0 += ${depth}) {
    for (var e = i32(lane); e < ${depth * quarter}; e += ${team}) {
      { ${part(aRows)} var x = ${four}();
        for (var j = 0; j < 4; j++) { x[j] = fetchA(row0 + 4 * q + j, k0 + t); }
        tileA[t * ${quarter} + q] = ${held}(x); }
      { ${part(bRows)} var x = ${four}();
        for (var j = 0; j < 4; j++) { x[j] = fetchB(k0 + t, column0 + 4 * q + j); }
        tileB[t * ${quarter} + q] = ${held}(x); }
    }
    workgroupBarrier();
    ${half ? results.map((r) => `var h${r} = ${held}();`).join(" ") : ""}
    for (var t = 0; t < ${depth}; t++) {
      let x = tileA[t * ${quarter} + down]; let y = tileB[t * ${quarter} + right];
      ${results.map((r) => `${half ? "h" : "c"}${r} += x[${r}] * y;`).join(" ")}
    }
    ${half ? results.map((r) => `c${r} += ${four}(h${r});`).join(" ") : ""}
    workgroupBarrier();
  }
  // In loops: drivers compile the epilogue as often as it is written.
  var sums = array<${four}, 4>(${results.map((r) => `c${r}`).join(", ")});
  for (var r = 0; r < 4; r++) {
    for (var j = 0; j < 4; j++) {
      let row = row0 + 4 * down + r; let column = column0 + 4 * right + j;
      if (row < ${param(1)} && column < ${param(2)}) { finish(row, column, sums[r][j]); }
    }
  }
}`;
    return source(bindings, withFunctions(text + main), p.words);
  });
  gpu.run(kernel, bindings.buffers, p.params, Math.ceil(p.n / tile), Math.ceil(p.m / tile), p.batch);
}
