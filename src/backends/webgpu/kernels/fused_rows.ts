/**
 * Programs over rows (`expr/row_program.ts`): a workgroup has a row to itself, goes through it once for each fold and once for
 * what is stored. See `Kernels.rows`.
 *
 * @module
 */
import type { RowProgram } from "../../../expr/row_program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, param } from "../gpu.ts";
import { load, store } from "../wgsl/elements.ts";
import { bind, type Bindings, source, withFunctions } from "../wgsl/module.ts";
import { scalarParams } from "../wgsl/program.ts";
import { RowBody } from "../wgsl/row_body.ts";
import { columns, rowMain, teamFor } from "../wgsl/rows.ts";
import { inParts } from "../windows.ts";

/** Does a program over rows. */
export function rows(
  gpu: Gpu,
  program: RowProgram,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const n = inputs.length;
  if ([...inputs, ...outputs][0].shape[0] === 0) return;
  inParts(gpu, [...inputs, ...outputs], () => 0, (views) => {
    someRows(gpu, program, views.slice(0, n), scalars, views.slice(n));
  });
}

function someRows(
  gpu: Gpu,
  program: RowProgram,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const views = [...inputs, ...outputs], bindings = bind(inputs, outputs), count = views[0].shape[0];
  const length = Math.max(...views.map(({ shape }) => shape[1])), team = teamFor(gpu, count);
  const after = 3 + 2 * views.length;
  const kernel = gpu.kernel(`fused rows ${team} ${program.key} ${bindings.key}`, () => {
    const code = rowMain(gpu, team, bodyOf(program, bindings, after));
    return source(bindings, withFunctions(code), after + program.scalars);
  });
  const params = [count, length, ...views.flatMap(({ offset, strides }) => [offset, strides[0]])];
  const down = Math.ceil(count / 32768);
  gpu.run(
    kernel,
    bindings.buffers,
    [...params, ...scalarParams("f32", scalars, floatBits)],
    down > 1 ? 32768 : count,
    down,
  );
}

/** The statements that do one row; the program's scalars begin at parameter `scalars`. */
function bodyOf(program: RowProgram, bindings: Bindings, scalars: number): string {
  const at = (v: number, column: string): string =>
    `${param(3 + 2 * v)} + row * ${param(4 + 2 * v)} + ${column}`;
  const body = new RowBody(program, {
    load: (k, column) => load(bindings.of[k], "f32", at(k, column), "f32"),
    store(k, column, value) {
      const v = program.inputs.length + k;
      return store(bindings.of[v], "f32", at(v, column), value, "f32");
    },
    length: param(2),
    scalars,
  });
  const lines = [body.folds()], wide = body.outputs(true), narrow = body.outputs(false);
  if (wide.values.length) {
    lines.push(columns(param(2), `${wide.statements}\n  ${body.stores(wide.values, "c")}`));
  }
  if (narrow.values.length) {
    // What is one a row may be written where others of the workgroup read it when they began.
    lines.push("storageBarrier();");
    lines.push(`if (lane == 0) {\n  ${narrow.statements}\n  ${body.stores(narrow.values, "0")} }`);
  }
  return lines.join("\n  ");
}
