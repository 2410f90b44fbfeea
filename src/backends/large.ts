/**
 * Operations on more elements than kernels count: a view that repeats its memory may have 2^53 of them.
 *
 * Kernels count in 31 bits. What is larger is made smaller here, by what the operation means: an axis that only repeats
 * elements is a factor in a sum and nothing to a maximum; any other is cut in two. Devices call these functions for such
 * views and never else, so that nothing is paid for them.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { contiguousStrides, formatShape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { binary, type ComputeType, constant, input, type Program, scalar, unary } from "../expr/nodes.ts";
import { program as makeProgram } from "../expr/program.ts";
import type { Backend, Epilogue, ReduceKind, View } from "./contract.ts";

/** Elements that a device's kernels count: a quarter of what 32 bits hold, so that sums of two counts fit as well. */
export const mostCounted: number = 2 ** 30;

/** Whether views of `shape` have more elements than kernels count. */
export function isBeyondCount(shape: readonly number[]): boolean {
  return sizeOf(shape) > mostCounted;
}

/** A view as a record of its own: a tensor may stand for one, and has its memory behind a getter. */
export function viewOf(
  { buffer, dtype }: View,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): View {
  return { buffer, dtype, shape, strides, offset };
}

/** Positions start to start + length of one axis of `view`. */
export function partOf(view: View, axis: number, start: number, length: number): View {
  const shape = view.shape.map((n, d) => d === axis ? length : n);
  return viewOf(view, shape, view.strides, view.offset + start * view.strides[axis]);
}

/** The type in which elements of `dtype` are computed. */
export function computeTypeOf(dtype: DType): ComputeType {
  if (dtype === "f64" || dtype === "i64") return dtype;
  return dtype === "i32" || dtype === "u8" || dtype === "bool" ? "i32" : "f32";
}

/** A count as a scalar of `type`: i32 wraps. */
function scalarOf(type: ComputeType, count: number): number {
  return type === "i32" ? Number(BigInt.asIntN(32, BigInt(count))) : count;
}

type Device = Pick<Backend, "allocate" | "release" | "elementwise" | "reduce">;

/** The longest axis. */
function longest(shape: readonly number[]): number {
  return shape.reduce((best, n, d) => n > shape[best] ? d : best, 0);
}

/** See {@link Backend.elementwise}: one half after the other. */
export function elementwiseInHalves(
  device: Device,
  program: Program,
  inputs: readonly View[],
  scalars: readonly number[],
  outputs: readonly View[],
): void {
  const axis = longest(outputs[0].shape), n = outputs[0].shape[axis], half = Math.floor(n / 2);
  for (const [start, length] of [[0, half], [half, n - half]]) {
    const part = (view: View): View => partOf(view, axis, start, length);
    device.elementwise(program, inputs.map(part), scalars, outputs.map(part));
  }
}

/** Memory for results of `shape`, given back after `use`. */
function withResults(
  device: Device,
  dtype: ComputeType,
  shape: readonly number[],
  use: (results: View) => void,
): void {
  const buffer = device.allocate(sizeOf(shape) * (dtype === "i64" || dtype === "f64" ? 8 : 4));
  try {
    use({ buffer, dtype, shape, strides: contiguousStrides(shape), offset: 0 });
  } finally {
    device.release(buffer);
  }
}

/** See {@link Backend.reduce}. @throws {ShapeError} for more positions than are counted. */
export function reduceLarge(
  device: Device,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
  epilogue?: Epilogue,
): void {
  reduceOnce(device, kind, program, inputs, scalars, axes, output);
  finish(device, output, epilogue);
}

function finish(device: Device, output: View, epilogue: Epilogue | undefined): void {
  if (epilogue) {
    device.elementwise(epilogue.program, [output, ...epilogue.inputs], epilogue.scalars, [output]);
  }
}

function reduceOnce(
  device: Device,
  kind: ReduceKind,
  program: Program | null,
  inputs: readonly View[],
  scalars: readonly number[],
  axes: readonly number[],
  output: View,
): void {
  const type = program?.type ?? computeTypeOf(inputs[0].dtype);
  const shape = inputs.length > 0 ? inputs[0].shape : output.shape;
  const isArg = kind === "argmax" || kind === "argmin";
  const repeats = axes.filter((d) => shape[d] > 1 && inputs.every(({ strides }) => strides[d] === 0));
  if (repeats.length > 0) {
    // The first of equals is the first position.
    if (isArg) return device.elementwise(makeProgram("i32", [constant(0)]), [], [], [output]);
    const once = inputs.map((x) =>
      viewOf(x, shape.map((n, d) => repeats.includes(d) ? 1 : n), x.strides, x.offset)
    );
    if (kind === "max" || kind === "min") return device.reduce(kind, program, once, scalars, axes, output);
    const times = repeats.reduce((n, d) => n * shape[d], 1);
    return withResults(device, type, output.shape, (results) => {
      device.reduce(kind, program, once, scalars, axes, results);
      if (kind === "prod") return raise(device, type, results, times, output);
      const many = makeProgram(type, [binary("mul", input(0), scalar(0))], { inputs: 1, scalars: 1 });
      device.elementwise(many, [results], [scalarOf(type, times)], [output]);
    });
  }
  const axis = isArg ? longest(shape.map((n, d) => d === axes[0] ? 0 : n)) : longest(shape);
  const n = shape[axis], half = Math.floor(n / 2);
  if (isArg && shape[axes[0]] > mostCounted) {
    throw new ShapeError(
      `${kind}: dim ${axes[0]} of ${
        formatShape(shape)
      } has more positions than the device counts (${mostCounted})`,
    );
  }
  const parts = [[0, half], [half, n - half]] as const;
  if (!axes.includes(axis)) {
    for (const [start, length] of parts) {
      const views = inputs.map((x) => partOf(x, axis, start, length));
      device.reduce(kind, program, views, scalars, axes, partOf(output, axis, start, length));
    }
    return;
  }
  withResults(device, type, [2, ...output.shape], (results) => {
    parts.forEach(([start, length], i) => {
      const { shape, strides, offset } = results;
      const result = viewOf(results, shape.slice(1), strides.slice(1), offset + i * strides[0]);
      device.reduce(kind, program, inputs.map((x) => partOf(x, axis, start, length)), scalars, axes, result);
    });
    const whole = viewOf(output, [1, ...output.shape], [0, ...output.strides], output.offset);
    device.reduce(kind, makeProgram(type, [input(0)]), [results], [], [0], whole);
  });
}

/** `output = results ** times`, by squaring where numbers wrap. Overwrites `results`. */
function raise(
  device: Device,
  type: ComputeType,
  results: View,
  times: number,
  output: View,
): void {
  if (type === "f32" || type === "f64") {
    // The scalar is rounded to f32, and may be even where the count is odd.
    const x = input(0), size = binary("pow", unary("abs", x), scalar(0));
    const expr = times % 2 === 0 ? size : binary("mul", size, unary("sign", x));
    const power = makeProgram(type, [expr], { inputs: 1, scalars: 1 });
    return device.elementwise(power, [results], [times], [output]);
  }
  const product = makeProgram(type, [binary("mul", input(0), input(1))], { inputs: 2, scalars: 0 });
  withResults(device, type, results.shape, (power) => {
    device.elementwise(makeProgram(type, [constant(1)]), [], [], [power]);
    for (let left = times; left > 0; left = Math.floor(left / 2)) {
      if (left % 2 === 1) device.elementwise(product, [power, results], [], [power]);
      device.elementwise(product, [results, results], [], [results]);
    }
    device.elementwise(makeProgram(type, [input(0)]), [power], [], [output]);
  });
}

/** See {@link Backend.matmul}: sums of so many terms, which can only repeat one. @throws {ShapeError} when they do not. */
export function matmulLarge(
  device: Device & Pick<Backend, "matmul">,
  a: View,
  b: View,
  out: View,
  epilogue?: Epilogue,
): void {
  const rank = out.shape.length, depth = a.shape[rank - 1], type = a.dtype === "i32" ? "i32" : "f32";
  if (a.strides[rank - 1] !== 0 || b.strides[rank - 2] !== 0) {
    throw new ShapeError(
      `matmul: sums of ${
        counted(depth, "product")
      } are more than the device counts (${mostCounted}); multiply parts and add them`,
    );
  }
  const one = (view: View, axis: number): View => partOf(view, axis, 0, 1);
  withResults(device, type, out.shape, (products) => {
    device.matmul(one(a, rank - 1), one(b, rank - 2), products);
    const many = makeProgram(type, [binary("mul", input(0), scalar(0))], { inputs: 1, scalars: 1 });
    device.elementwise(many, [products], [scalarOf(type, depth)], [out]);
  });
  finish(device, out, epilogue);
}
