/**
 * argmax and argmin: the extreme along the axis first, then the smallest position whose element equals it. An extreme
 * that is NaN matches the first NaN.
 *
 * @module
 */
import { DTypeError } from "../../../core/errors.ts";
import { contiguousStrides, sizeOf } from "../../../core/shape.ts";
import { binary, compare, constant, input, type Program, select } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { partOf } from "../../large.ts";
import type { CpuBuffer } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { reduceInPasses, storedAs } from "./reduce_passes.ts";

/** The largest count of positions that an f32 holds exactly. */
const exactPositions = 2 ** 24;

const made = new Map<string, Program>();

/** The position where the element equals the extreme (or both are NaN), else a number beyond all positions. */
function positionProgram(program: Program, nan: boolean): Program {
  const key = `${nan} ${program.key}`;
  let result = made.get(key);
  if (result === undefined) {
    const element = program.outputs[0];
    const extreme = input(program.inputs), position = input(program.inputs + 1);
    const bothNaN = binary("mul", compare("ne", element, element), compare("ne", extreme, extreme));
    const equal = compare("eq", element, extreme);
    const outputs = [select(nan ? binary("max", equal, bothNaN) : equal, position, constant(2147483647))];
    result = makeProgram(program.type, outputs, { inputs: program.inputs + 2, scalars: program.scalars });
    made.set(key, result);
  }
  return result;
}

/** Whether one of `count` floats at `pointer` is NaN; said to be so when there are too many to look. */
function anyNaN(engine: Engine, pointer: number, count: number): boolean {
  const { f32 } = engine;
  engine.refuseCapture();
  if (count > 256) return true;
  for (let at = pointer >>> 2, end = at + count; at < end; at++) if (f32[at] !== f32[at]) return true;
  return false;
}

/** Writes i32 positions of the extremes along the one axis. */
export function argReduce(
  engine: Engine,
  kind: "argmax" | "argmin",
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
): void {
  if (output.dtype !== "i32") {
    throw new DTypeError(`${kind} writes i32 positions, and its output is ${output.dtype}`);
  }
  const axis = axes[0], length = inputs.length > 0 && axes.length > 0 ? inputs[0].shape[axis] : 1;
  const count = sizeOf(output.shape), dtype = storedAs(program.type), size = dtype === "i64" ? 8 : 4;
  const pieces = program.type === "f32" ? Math.ceil(length / exactPositions) : 1;
  const extremes = engine.heap.scratch(pieces * count * size);
  const found = pieces > 1 ? engine.heap.scratch(4 * pieces * count) : 0;
  try {
    for (let p = 0; p < pieces; p++) {
      const from = p * exactPositions, to = Math.min(length, from + exactPositions);
      const piece = pieces === 1 ? inputs : inputs.map((x) => partOf(x, axis, from, to - from));
      const extreme = scratchView(extremes + p * count * size, dtype, output.shape);
      reduceInPasses(
        engine,
        kind === "argmax" ? "max" : "min",
        program,
        piece,
        scalars,
        axes,
        extreme,
        false,
      );
      const repeated = {
        ...extreme,
        shape: piece.length > 0 ? piece[0].shape : output.shape,
        strides: extreme.strides.map((step, d) => d === axis ? 0 : step),
      };
      const target = pieces === 1 ? output : scratchView(found + 4 * p * count, "i32", output.shape);
      const nan = dtype === "f32" && anyNaN(engine, extremes + p * count * size, count);
      const find = positionProgram(program, nan);
      reduceInPasses(engine, "first", find, [...piece, repeated], scalars, axes, target, true);
    }
    if (pieces > 1) choosePieces(engine, kind, pieces, count, extremes, found, output);
  } finally {
    if (found !== 0) engine.heap.release(found);
    engine.heap.release(extremes);
  }
}

/** A contiguous view of scratch memory. */
function scratchView(pointer: number, dtype: View["dtype"], shape: readonly number[]): View {
  const buffer: CpuBuffer = { pointer, byteLength: sizeOf(shape) * (dtype === "i64" ? 8 : 4) };
  return { buffer, dtype, shape, strides: contiguousStrides(shape), offset: 0 };
}

/** Of the pieces of a very long axis, the first with the most extreme element; NaN is more extreme than any number. */
function choosePieces(
  engine: Engine,
  kind: "argmax" | "argmin",
  pieces: number,
  count: number,
  extremes: number,
  found: number,
  output: View,
): void {
  engine.refuseCapture();
  const { f32, i32 } = engine, to = ((output.buffer as CpuBuffer).pointer >>> 2) + output.offset;
  for (let k = 0; k < count; k++) {
    let best = 0;
    for (let p = 1; p < pieces; p++) {
      const x = f32[(extremes >>> 2) + p * count + k], y = f32[(extremes >>> 2) + best * count + k];
      if (y !== y) break;
      if (x !== x || (kind === "argmax" ? x > y : x < y)) best = p;
    }
    i32[to + k] = best * exactPositions + i32[(found >>> 2) + best * count + k];
  }
}
