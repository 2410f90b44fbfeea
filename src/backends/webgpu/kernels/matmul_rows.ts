/**
 * Products of few rows that compute their left operand themselves: a norm, and what comes before it, is no dispatch of its
 * own. See `Kernels.matmulRows`.
 *
 * A row is short beside the weights that it is multiplied by, so each workgroup computes it anew and keeps it in its memory; what
 * others want of it the first one stores. The product is that of `matmul_strips.ts`.
 *
 * @module
 */
import { convert, load, store } from "../wgsl/elements.ts";
import type { RowProgram } from "../../../expr/row_program.ts";
import type { Kernels, View } from "../../contract.ts";
import { floatBits, type Gpu, param } from "../gpu.ts";
import { programCode, scalarParams } from "../wgsl/program.ts";
import { RowBody } from "../wgsl/row_body.ts";
import { teamCode } from "../wgsl/team.ts";
import { positionOf } from "./gather.ts";
import { describe, type Product } from "./matmul.ts";
import { liesInFours, prologueBytes, strips } from "./matmul_strips.ts";

/** More rows are better multiplied in tiles. */
const mostRows = 4;

/** What `matmulRows` is asked for. */
type Call = Parameters<NonNullable<Kernels["matmulRows"]>>;

/** The call as a product, whose left operand stands for what the program makes. */
function productOf(gpu: Gpu, [{ picks }, inputs, , indices, outputs, b, out, epilogue]: Call): Product {
  const [rows] = out.shape, [k] = b.shape, notes = picks && gpu.notes;
  const left: View = { buffer: inputs[0].buffer, dtype: "f32", shape: [rows, k], strides: [k, 1], offset: 0 };
  return describe(left, b, out, epilogue, { reads: [...inputs, ...indices], writes: outputs, notes });
}

/** Whether this kernel takes it, on any memory of that size. */
export function fitsMatmulRows(gpu: Gpu, ...call: Call): boolean {
  const [program, inputs, , indices, outputs, b, out, epilogue] = call;
  if (out.shape.length !== 2 || b.shape.length !== 2 || out.shape[0] > mostRows || b.shape[0] % 4 !== 0) {
    return false;
  }
  if (!inputs.length || !program.outputs[0].wide || out.shape[0] === 0 || out.shape[1] === 0) return false;
  const { maxStorageBuffersPerShaderStage: most, maxComputeWorkgroupStorageSize: memory } = gpu.device.limits;
  const reads = [...inputs, ...indices, ...epilogue?.inputs ?? []], writes = [out, ...outputs];
  const all = [b, ...reads, ...writes];
  // Each written by itself, and the weights bound as what they are read as.
  if (
    writes.some((view, i) =>
      all.some(({ buffer }, j) => buffer === view.buffer && j !== 1 + reads.length + i)
    )
  ) {
    return false;
  }
  if (reads.some(({ buffer }) => buffer === b.buffer)) return false;
  // Buffers are up to a quarter larger than what they hold.
  if (all.some(({ buffer }) => 1.25 * buffer.byteLength + 256 > gpu.bindingLimit)) return false;
  const p = productOf(gpu, call);
  return p.bindings.buffers.length <= most && liesInFours(p) && prologueBytes(gpu, p) <= memory;
}

/** A product whose left operand is computed by a program over rows. */
export function matmulRows(gpu: Gpu, ...call: Call): void {
  const [program, inputs, scalars, indices, outputs, , , epilogue] = call, p = productOf(gpu, call);
  const places: number[] = [...inputs, ...outputs, ...indices].flatMap((
    { offset, strides },
  ) => [offset, strides[0]]);
  // Of a table: its axis 0, and how long that is.
  const sizes = program.picks ? inputs.flatMap(({ shape }) => [0, shape[0]]) : [];
  const params = [...p.params, ...places, ...sizes, ...scalarParams("f32", scalars, floatBits)];
  const dtypes = inputs.map(({ dtype }) => dtype);
  strips(gpu, { ...p, params, words: params.length + 1 }, {
    key: `${program.key} ${dtypes}`,
    code: (team) => codeOf(gpu, program, dtypes, p, epilogue?.inputs.length ?? 0, team),
  });
}

/** The function `prologue`: parameters from `p.words` on are where inputs, outputs and indices lie, sizes of tables, and scalars. */
function codeOf(
  gpu: Gpu,
  program: RowProgram,
  dtypes: readonly View["dtype"][],
  { m, k, words, bindings }: Product,
  extra: number,
  team: number,
): string {
  const { inputs, outputs, picks } = program,
    stored = outputs.length - 1,
    indices = picks?.positions.inputs ?? 0;
  const reads = 2 + extra, quads = k / 4, bound = bindings.of;
  const inputAt = words, outputAt = inputAt + 2 * inputs.length, indexAt = outputAt + 2 * stored;
  const sizeAt = indexAt + 2 * indices, scalars = sizeAt + (picks ? 2 * inputs.length : 0);
  const place = (first: number, v: number, row: string, column: string): string =>
    `${param(first + 2 * v)} + ${row} * ${param(first + 2 * v + 1)} + ${column}`;
  const body = new RowBody(program, {
    load(v, column) {
      const row = typeof picks?.of[v] === "number" ? `pick${v}` : "row";
      return load(bound[reads + v], dtypes[v], place(inputAt, v, row, column), "f32");
    },
    // Output 0 is the left operand.
    store: (v, column, value) =>
      store(
        bound[reads + inputs.length + indices + v],
        "f32",
        place(outputAt, v - 1, "row", column),
        value,
        "f32",
      ),
    length: `${k}`,
    scalars,
  });
  const picked = picks ? pickCode() : "", wide = body.outputs(true), narrow = body.outputs(false);
  const besides = wide.values.filter(({ k }) => k > 0), [{ x: own }] = wide.values;
  return `${teamCode(gpu, team)}
var<workgroup> left: array<vec4<f32>, ${m * quads}>;
fn prologue(lane0: u32, isFirst: bool) {
  let lane = i32(lane0);
  for (var row = 0; row < ${m}; row++) {
  ${picked}
  ${body.folds()}
  for (var q = lane; q < ${quads}; q += teamSize) {
    var y = vec4<f32>();
    for (var j = 0; j < 4; j++) {
      let c = 4 * q + j;
      ${wide.statements}
      y[j] = ${own};
      ${besides.length ? `if (isFirst) { ${body.stores(besides, "c")} }` : ""}
    }
    left[row * ${quads} + q] = y;
  }
  ${
    narrow.values.length
      ? `if (isFirst && lane == 0) { ${narrow.statements} ${body.stores(narrow.values, "0")} }`
      : ""
  }
  }
  workgroupBarrier();
}
`;

  /** Which rows of tables are seen: pick0 … are those of the inputs. */
  function pickCode(): string {
    const { of, positions } = picks!, notes = bound[bound.length - 1];
    const names = Array.from({ length: indices }, (_, i) => `i${i}`);
    const loads = names.map((name, i) =>
      `let ${name} = ${load(bound[reads + inputs.length + i], "i32", place(indexAt, i, "row", "0"), "i32")};`
    );
    const code = programCode(positions, names, 0);
    const found = of.flatMap((number, v) =>
      number === null ? [] : [`var pick${v} = 0;
  { ${positionOf(convert("i32", "i64", code.outputs[number]), notes, sizeAt + 2 * v)} pick${v} = k; }`]
    );
    return [...loads, code.statements, ...found].join("\n  ");
  }
}
