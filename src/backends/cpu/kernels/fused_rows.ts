/**
 * Programs over rows (`expr/row_program.ts`): a row is gone through once for each fold and once for what is stored, and lies in
 * the first cache meanwhile. What is one a row is worked out before the loop over its elements.
 *
 * @module
 */
import type { Expr } from "../../../expr/nodes.ts";
import { constant, scalar } from "../../../expr/nodes.ts";
import { operands } from "../../../expr/graph.ts";
import { program as makeProgram, substitute } from "../../../expr/program.ts";
import { foldLeaf, type RowProgram, type Stage, stagesOf } from "../../../expr/row_program.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { type Engine, importThreadScratch, type KernelContext } from "../engine.ts";
import type { VectorWriter } from "../math/writer.ts";
import { emitScratch } from "./attention/emit.ts";
import { loadScalars, prepareProgram, storeScalars } from "./expression.ts";
import { blockElements } from "./reduce_rows.ts";
import {
  emitRowLoop,
  emitRows,
  emitSplat,
  emitStoreFirst,
  extraArg,
  Gathered,
  runRows,
  setOperand,
} from "./row.ts";

/** The longest row: what is put aside of it stays in the second-level cache. */
export const longestRow = 16384;

/** See `Kernels.rows`. */
export function rows(
  engine: Engine,
  program: RowProgram,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const wide = [...inputs, ...outputs].find(({ shape }) => shape[1] > 1)!, [count, length] = wide.shape;
  if (count === 0) return;
  const kernel = engine.kernel(`rows ${program.key}`, (m, context) => emitFusedRows(m, context, program));
  [...inputs, ...outputs].forEach((view, k) => setOperand(engine, k, view, view.strides[0]));
  storeScalars(engine, "f32", scalars, engine.args + extraArg);
  runRows(engine, kernel, count, length);
}

function emitFusedRows(m: ModuleBuilder, context: KernelContext, program: RowProgram): void {
  const { inputs, outputs } = program, { stages, aside } = stagesOf(program);
  const scratch = aside ? importThreadScratch(m) : null;
  emitRows(m, inputs.length + outputs.length, (f, pointers, length, args) => {
    const numbers = loadScalars(
      f,
      makeProgram("f32", [constant(0)], { inputs: 0, scalars: program.scalars }),
      args,
      extraArg,
    );
    const narrow = inputs.map((isWide, k) => isWide ? null : emitSplat(f, pointers[k]));
    const put = Array.from({ length: aside }, (_, i) => emitScratch(f, scratch!, 4 * longestRow * i));
    const folded: Local[] = [];
    const at = { pointers, length, numbers, narrow, put, folded };
    for (const stage of stages) {
      if (stage.fold || stage.values.length) emitStage(f, context, program, stage, at);
    }
    outputs.forEach(({ value, wide }, i) => {
      if (wide) return;
      const prepared = prepare(f, context, program, [value], at);
      const [[result]] = prepared.made.emit([], 1);
      emitStoreFirst(f, pointers[inputs.length + i], result);
    });
  });
}

interface Place {
  readonly pointers: readonly Local[];
  readonly length: Local;
  readonly numbers: readonly Local[];
  readonly narrow: readonly (Local | null)[];
  readonly put: readonly Local[];
  readonly folded: Local[];
}

/** Expressions as a program whose scalars are all that is one a row; and the wide inputs and rows put aside that it reads. */
function prepare(
  f: FunctionBuilder,
  context: KernelContext,
  { inputs, scalars }: RowProgram,
  values: readonly Expr[],
  at: Place,
) {
  const narrow = inputs.flatMap((isWide, k) => isWide ? [] : [k]), leaves: Expr[] = [];
  narrow.forEach((k, i) => leaves[k] = scalar(scalars + i));
  at.folded.forEach((_, j) => leaves[foldLeaf + j] = scalar(scalars + narrow.length + j));
  const all = [...at.numbers, ...narrow.map((k) => at.narrow[k]!), ...at.folded];
  const exprs = values.map((value) => substitute(value, leaves));
  const program = makeProgram("f32", exprs, { inputs: inputs.length + at.put.length, scalars: all.length });
  return {
    program,
    made: prepareProgram(f, context, program, all, (w) => void w.constant(-Infinity, "f32x4")),
  };
}

function emitStage(
  f: FunctionBuilder,
  context: KernelContext,
  program: RowProgram,
  stage: Stage,
  at: Place,
): void {
  const { inputs, outputs } = program, { fold, values, aside } = stage;
  const prepared = prepare(f, context, program, values, at), { writer, emit, width } = prepared.made;
  const used = new Set<number>();
  for (const expr of prepared.program.outputs) collectInputs(expr, used);
  const sources = [...used], wides = outputs.flatMap(({ wide }, i) => wide ? [inputs.length + i] : []);
  const reading = sources.map((k) => k < inputs.length ? at.pointers[k] : at.put[k - inputs.length]);
  const writing = [...fold ? [] : wides.map((k) => at.pointers[k]), ...aside.map((i) => at.put[i])];
  const gathered = fold && new Gathered(writer, fold, 4, fold === "sum" ? blockElements : 0);
  const notes = f.local("v128"), one = writer.withWidth(1);
  if (fold === "max" || fold === "min") one.assign([notes], one.constant(0, "f32x4"));
  emitRowLoop(writer, at.length, [...reading, ...writing], ({ w, load, store, only }) => {
    const given: (readonly Local[])[] = [];
    sources.forEach((k, i) => given[k] = load(i, 0));
    const filled = Array.from({ length: inputs.length + at.put.length }, (_, k) => given[k] ?? []);
    const made = emit(filled as Local[][], w.width), own = fold ? made.slice(1) : made;
    own.forEach((x, i) => store(reading.length + i, x));
    if (!gathered) return;
    if (fold !== "sum") noteNaN(one, w.op("f32x4.ne", only(made[0], 0), only(made[0], 0)), notes);
    gathered.take(w, only(made[0], fold === "sum" ? 0 : fold === "max" ? -Infinity : Infinity));
  }, width === 1 ? 1 : 4);
  if (!gathered) return;
  const result = gathered.result();
  if (fold !== "sum") {
    f.f32x4(NaN);
    f.push(result, notes.op("v128.any_true"));
    f.select();
    f.set(result);
  }
  at.folded.push(result);
}

function noteNaN(one: VectorWriter, masks: readonly Local[], notes: Local): void {
  for (const mask of masks) one.assign([notes], one.or([notes], [mask]));
}

function collectInputs(expr: Expr, into: Set<number>): void {
  if (expr.kind === "input") into.add(expr.index);
  for (const x of operands(expr)) collectInputs(x, into);
}
