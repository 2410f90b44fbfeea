/**
 * A program over rows (`expr/row_program.ts`) as statements for a workgroup that has a row to itself.
 *
 * @module
 */
import type { Expr } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import { foldLeaf, type RowProgram } from "../../../expr/row_program.ts";
import { programCode } from "./program.ts";
import { columns } from "./rows.ts";

/** What the statements name. */
export interface RowNames {
  /** The element of input `k` at `column`, as f32. */
  load(k: number, column: string): string;
  /** Stores output `k` at `column`. */
  store(k: number, column: string, value: string): string;
  /** How long a row is. */
  readonly length: string;
  /** The parameter at which the program's scalars begin. */
  readonly scalars: number;
}

/** The statements of one row: they find `lane` (i32), `lane0` (u32) and what {@link RowNames} name. */
export class RowBody {
  readonly #program: RowProgram;
  readonly #names: RowNames;

  /** Of `program`. */
  constructor(program: RowProgram, names: RowNames) {
    this.#program = program;
    this.#names = names;
  }

  /** What is one a row, and the folds, which all invocations get. */
  folds(): string {
    const { inputs, folds } = this.#program, lines: string[] = [];
    inputs.forEach((isWide, k) => isWide || lines.push(`let n${k} = ${this.#names.load(k, "0")};`));
    folds.forEach(({ kind, value }, j) => lines.push(this.#fold(kind, value, j)));
    return lines.join("\n  ");
  }

  /** What is computed of a row, or of what is one a row: its statements at column c, and the outputs' numbers and values. */
  outputs(
    wide: boolean,
  ): { statements: string; values: readonly { readonly k: number; readonly x: string }[] } {
    const own = this.#program.outputs.flatMap((output, k) => output.wide === wide ? [{ ...output, k }] : []);
    if (!own.length) return { statements: "", values: [] };
    const { statements, outputs } = this.#code(own.map(({ value }) => value));
    return { statements, values: own.map(({ k }, i) => ({ k, x: outputs[i] })) };
  }

  /** Stores what {@link outputs} computes. */
  stores(values: readonly { readonly k: number; readonly x: string }[], column: string): string {
    return values.map(({ k, x }) => this.#names.store(k, column, x)).join("\n  ");
  }

  #fold(kind: string, value: Expr, j: number): string {
    const { statements, outputs: [x] } = this.#code([value]), name = `f${j}`;
    // The smallest is the largest of what it is not.
    const of = kind === "min" ? `-(${x})` : x;
    const [start, join, team] = kind === "sum"
      ? ["0.0f", `${name} + ${of}`, "teamSum"]
      : ["bits(0xff800000u)", `maxNan(${name}, ${of})`, "teamMax"];
    return `var ${name} = ${start};
  ${columns(this.#names.length, `${statements}\n  ${name} = ${join};`)}
  let r${j} = ${kind === "min" ? "-" : ""}${team}(lane0, ${name});`;
  }

  /** Expressions of the row: first what they read of it at column c, then what is computed. */
  #code(values: readonly Expr[]): { statements: string; outputs: readonly string[] } {
    const { inputs, folds, scalars } = this.#program, names: string[] = [];
    inputs.forEach((isWide, k) => names[k] = isWide ? `x${k}` : `n${k}`);
    folds.forEach((_, j) => names[foldLeaf + j] = `r${j}`);
    const program = makeProgram("f32", values, { inputs: foldLeaf + folds.length, scalars });
    const code = programCode(program, names, this.#names.scalars), all = `${code.statements} ${code.outputs}`;
    const loads = inputs.flatMap((isWide, k) =>
      isWide && new RegExp(`\\bx${k}\\b`).test(all) ? [`let x${k} = ${this.#names.load(k, "c")};`] : []
    );
    return { statements: [...loads, code.statements].join("\n  "), outputs: code.outputs };
  }
}
