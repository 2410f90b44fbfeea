/**
 * Programs over rows (`expr/row_program.ts`): a workgroup has a row to itself, goes through it once for each fold and once for
 * what is stored. See `Kernels.rows`.
 *
 * @module
 */
import type { Expr } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import { foldLeaf, type RowProgram } from "../../../expr/row_program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu, param } from "../gpu.ts";
import { load, store } from "../wgsl/elements.ts";
import { bind, type Bindings, source, withFunctions } from "../wgsl/module.ts";
import { programCode, scalarParams } from "../wgsl/program.ts";
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
    const code = rowMain(gpu, team, new Body(program, bindings, after).text);
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

/** The statements that do one row. */
class Body {
  readonly text: string;
  readonly #program: RowProgram;
  readonly #bindings: Bindings;
  readonly #scalars: number;

  /** The program's scalars begin at parameter `scalars`. */
  constructor(program: RowProgram, bindings: Bindings, scalars: number) {
    this.#program = program;
    this.#bindings = bindings;
    this.#scalars = scalars;
    const { inputs, folds, outputs } = program, lines: string[] = [];
    const wide = outputs.flatMap(({ value, wide }, k) => wide ? [{ value, k }] : []),
      narrow = outputs.flatMap(({ value, wide }, k) => wide ? [] : [{ value, k }]);
    inputs.forEach((isWide, k) => isWide || lines.push(`let n${k} = ${this.#load(k, "0")};`));
    folds.forEach(({ kind, value }, j) => lines.push(this.#fold(kind, value, j)));
    if (wide.length) {
      const { statements, outputs: values } = this.#code(wide.map(({ value }) => value));
      const stores = wide.map(({ k }, i) => this.#store(k, "c", values[i]));
      lines.push(columns(param(2), `${statements}\n  ${stores.join("\n  ")}`));
    }
    if (narrow.length) {
      // What is one a row may be written where others of the workgroup read it when they began.
      lines.push("storageBarrier();");
      const { statements, outputs: values } = this.#code(narrow.map(({ value }) => value));
      const stores = narrow.map(({ k }, i) => this.#store(k, "0", values[i]));
      lines.push(`if (lane == 0) {\n  ${statements}\n  ${stores.join("\n  ")} }`);
    }
    this.text = lines.join("\n  ");
  }

  #fold(kind: string, value: Expr, j: number): string {
    const { statements, outputs: [x] } = this.#code([value]), name = `f${j}`;
    // The smallest is the largest of what it is not.
    const of = kind === "min" ? `-(${x})` : x;
    const [start, join, team] = kind === "sum"
      ? ["0.0f", `${name} + ${of}`, "teamSum"]
      : ["bits(0xff800000u)", `maxNan(${name}, ${of})`, "teamMax"];
    return `var ${name} = ${start};
  ${columns(param(2), `${statements}\n  ${name} = ${join};`)}
  let r${j} = ${kind === "min" ? "-" : ""}${team}(lane0, ${name});`;
  }

  /** Expressions of the row: first what they read of it at column c, then what is computed. */
  #code(values: readonly Expr[]): { statements: string; outputs: readonly string[] } {
    const { inputs, folds, scalars } = this.#program, names: string[] = [];
    inputs.forEach((isWide, k) => names[k] = isWide ? `x${k}` : `n${k}`);
    folds.forEach((_, j) => names[foldLeaf + j] = `r${j}`);
    const program = makeProgram("f32", values, { inputs: foldLeaf + folds.length, scalars });
    const code = programCode(program, names, this.#scalars), all = `${code.statements} ${code.outputs}`;
    const loads = inputs.flatMap((isWide, k) =>
      isWide && new RegExp(`\\bx${k}\\b`).test(all) ? [`let x${k} = ${this.#load(k, "c")};`] : []
    );
    return { statements: [...loads, code.statements].join("\n  "), outputs: code.outputs };
  }

  #at(v: number, column: string): string {
    return `${param(3 + 2 * v)} + row * ${param(4 + 2 * v)} + ${column}`;
  }

  #load(k: number, column: string): string {
    return load(this.#bindings.of[k], "f32", this.#at(k, column), "f32");
  }

  #store(k: number, column: string, value: string): string {
    const v = this.#program.inputs.length + k;
    return store(this.#bindings.of[v], "f32", this.#at(v, column), value, "f32");
  }
}
