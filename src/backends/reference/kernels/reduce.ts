/**
 * Reductions, with the elements computed on the way. See `Backend.reduce`.
 *
 * Everything is summed in the compute type, f32 in double precision and in plain order: its rounding is far below
 * that of an f32 result.
 *
 * @module
 */
import { DTypeError, ShapeError } from "../../../core/errors.ts";
import { formatShape, sizeOf } from "../../../core/shape.ts";
import type { Arithmetic } from "../../../expr/arithmetic.ts";
import { input, type Program } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { Epilogue, ReduceKind, View } from "../../contract.ts";
import { computeTypeOf, inLane, type Lane } from "../lane.ts";
import { otherAxes, pick, walk } from "../walk.ts";
import { elementwise } from "./elementwise.ts";

/** Reduces `axes` of the elementwise `program` over `inputs`; null is input 0 itself. */
export function reduce(
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  epilogue?: Epilogue,
): void {
  const run = program ?? makeProgram(computeTypeOf(inputs[0].dtype), [input(0)]);
  inLane(run.type, (lane) => reduceIn(lane, kind, run, inputs, scalars, axes, output));
  if (epilogue) elementwise(epilogue.program, [output, ...epilogue.inputs], epilogue.scalars, [output]);
}

/** Takes elements one after another; `result` is that of what came since `start`. */
interface Collector<T> {
  start(): void;
  take(value: T): void;
  result(): T;
}

function reduceIn<T>(
  lane: Lane<T>,
  kind: ReduceKind,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
): void {
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  const inner = pick(shape, axes), keptAxes = otherAxes(shape.length, axes), outer = pick(shape, keptAxes);
  if (sizeOf(inner) === 0 && sizeOf(outer) > 0 && kind !== "sum" && kind !== "prod") {
    throw new ShapeError(
      `${kind}: axes ${formatShape(axes)} of shape ${formatShape(shape)} hold no elements`,
    );
  }
  if (kind.startsWith("arg") && output.dtype !== "i32") {
    throw new DTypeError(`${kind} writes i32 positions, and its output is ${output.dtype}`);
  }
  const collector = collectorOf(kind, lane.arithmetic);
  const evaluate = lane.compile(program),
    reads = inputs.map((view) => lane.read(view)),
    write = lane.write(output);
  const values: T[] = [], result: T[] = [];
  const innerStrides = inputs.map((v) => pick(v.strides, axes));
  const views = [...inputs, output], last = inputs.length;
  walk(outer, views.map((v) => v.offset), views.map((v) => pick(v.strides, keptAxes)), (base) => {
    collector.start();
    walk(inner, base.slice(0, last), innerStrides, (at) => {
      for (let i = 0; i < last; i++) values[i] = reads[i](at[i]);
      evaluate(values, scalars, result);
      collector.take(result[0]);
    });
    write(base[last], collector.result());
  });
}

function collectorOf<T>(kind: ReduceKind, arithmetic: Arithmetic<T>): Collector<T> {
  const { binary } = arithmetic;
  switch (kind) {
    case "sum":
      return folding(binary.add, arithmetic.from(0));
    case "prod":
      return folding(binary.mul, arithmetic.from(1));
    case "max":
      return folding(binary.max, null);
    case "min":
      return folding(binary.min, null);
    case "argmax":
      return position(arithmetic, arithmetic.compare.gt);
    case "argmin":
      return position(arithmetic, arithmetic.compare.lt);
  }
}

/** `fold` from `identity` on, or from the first element where there is none. */
function folding<T>(fold: (x: T, y: T) => T, identity: T | null): Collector<T> {
  let value = identity;
  return {
    start: () => value = identity,
    take: (x) => value = value === null ? x : fold(value, x),
    result: () => value as T,
  };
}

/** The first position whose element is `better` than all before it; a NaN is better than any number. */
function position<T>(arithmetic: Arithmetic<T>, better: (x: T, y: T) => boolean): Collector<T> {
  let best: T | null = null, at = 0, seen = 0;
  const isNaN = (x: T): boolean => arithmetic.compare.ne(x, x);
  return {
    start: () => {
      best = null;
      seen = 0;
    },
    take: (x) => {
      if (best === null || better(x, best) || (isNaN(x) && !isNaN(best))) {
        best = x;
        at = seen;
      }
      seen++;
    },
    result: () => arithmetic.from(at),
  };
}
