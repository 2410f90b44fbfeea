/**
 * Reductions of elementwise programs over any axes.
 *
 * The operands' axes are brought together (`layout.ts`; the output takes part with steps of 0 along the axes that are
 * reduced) and put in order: the inner one, the other reduced ones, the other kept ones. When the inner axis is
 * reduced, results are made one by one (`reduce_rows.ts`), else line by line (`reduce_columns.ts`), in passes
 * (`reduce_passes.ts`). argmax and argmin are two reductions: the extreme, then the first position that has it
 * (`arg_reduce.ts`).
 *
 * @module
 */
import { ShapeError } from "../../../core/errors.ts";
import { formatShape, sizeOf } from "../../../core/shape.ts";
import { constant, type Program } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { Epilogue, ReduceKind, View } from "../../contract.ts";
import { computeTypeOf } from "../../large.ts";
import type { Engine } from "../engine.ts";
import { argReduce } from "./arg_reduce.ts";
import { anyQuantized, blockKernels } from "./blocks.ts";
import { elementwise } from "./elementwise.ts";
import { identityProgram, reduceInPasses } from "./reduce_passes.ts";

/** See {@link Backend.reduce} in `contract.ts`. */
export function reduce(
  engine: Engine,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  epilogue?: Epilogue,
): void {
  plainReduce(engine, kind, program, inputs, scalars, axes, output);
  // Results are few beside the elements and still in cache: a pass over them costs a call, not time.
  if (epilogue) {
    elementwise(engine, epilogue.program, [output, ...epilogue.inputs], epilogue.scalars, [output]);
  }
}

function plainReduce(
  engine: Engine,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
): void {
  const run = program ?? identityProgram(computeTypeOf(inputs[0].dtype));
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  if (sizeOf(output.shape) === 0) return;
  if (sizeOf(shape) === 0) {
    if (kind !== "sum" && kind !== "prod") {
      throw new ShapeError(
        `${kind}: axes ${formatShape(axes)} of shape ${formatShape(shape)} hold no elements`,
      );
    }
    const empty = makeProgram(run.type, [constant(kind === "sum" ? 0 : 1)]);
    return elementwise(engine, empty, [], [], [output]);
  }
  if (anyQuantized(inputs)) {
    return blockKernels().withFloats(
      engine,
      inputs,
      [output],
      (floats) => plainReduce(engine, kind, run, floats, scalars, axes, output),
    );
  }
  if (kind === "argmax" || kind === "argmin") {
    argReduce(engine, kind, run, inputs, scalars, axes, output);
  } else reduceInPasses(engine, kind, run, inputs, scalars, axes, output, false);
}
