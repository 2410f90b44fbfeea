/**
 * What is asked of a convolution, how its input lies in order, and what both kernels are told.
 *
 * @module
 */
import { byteSize } from "../../../../core/dtype.ts";
import type { Epilogue, View } from "../../../contract.ts";
import { addressOf } from "../../buffer.ts";
import type { Engine } from "../../engine.ts";
import { outArg } from "../gemm/arguments.ts";
import { formOf } from "../gemm/kernels.ts";
import { type Operand, Product } from "../gemm/plan.ts";
import { writeEpilogue, writeOperand } from "../gemm/write.ts";
import type { writeWords } from "./arguments.ts";
import type { ConvForm } from "./dense.ts";
import type { Step } from "./planes.ts";

/** Bytes of an item's sums. */
export const sumBytes: number = 256 << 10;
/** Items that work is cut into, where there is enough. */
export const wantedItems = 16;

/** Sizes along both axes; one axis alone is the second. */
export type Pair = readonly [number, number];

/** A list as sizes along both axes, with what stands for a missing one. */
export function pair(list: readonly number[], missing: number): Pair {
  return list.length === 1 ? [missing, list[0]] : [list[0], list[1]];
}

/** What is asked for. */
export interface Asked {
  readonly x: number;
  readonly weights: number;
  readonly batch: number;
  readonly planes: number;
  readonly groups: number;
  /** Channels and filters of a group. */
  readonly channels: number;
  readonly filters: number;
  readonly size: Pair;
  readonly out: Pair;
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly before: Pair;
}

/** How a row of the input lies in order, for `columns` outputs. */
export interface Runs {
  readonly period: number;
  readonly runs: number;
  readonly runLength: number;
  readonly runBytes: number;
  readonly rowBytes: number;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** How rows lie in order for so many outputs. */
export function runsOf({ kernel, stride, dilation }: Asked, columns: number): Runs {
  const period = stride[1] / commonDivisor(stride[1], dilation[1]), runs = Math.min(kernel[1], period);
  const runLength = columns + Math.floor((kernel[1] - 1) * dilation[1] / stride[1]);
  const runBytes = 16 * Math.ceil(runLength / 4);
  return { period, runs, runLength, runBytes, rowBytes: runs * runBytes };
}

/** Rows of the input that windows of `rows` outputs see. */
export function seenRows({ kernel, stride, dilation }: Asked, rows: number): number {
  return (rows - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1;
}

const product = new Product();

function operandOf(view: View, isByRow: boolean): Operand {
  const { dtype, strides } = view, bytes = byteSize(dtype, 1);
  const [batch, filter, ...rest] = strides.map((step) => step * bytes), [row, column] = pair(rest, 0);
  const first = isByRow ? row : filter, inner = isByRow ? filter : row;
  return { address: addressOf(view), dtype, bytes, row: first, column, leading: [batch, inner] };
}

/** Writes down where results go and what happens to them; rows are filters, or `isByRow` rows of the output. */
export function finishing(
  engine: Engine,
  { batch, out: [rows], stride: [, step] }: Asked,
  out: View,
  epilogue: Epilogue | undefined,
  isByRow: boolean,
): { form: ConvForm; key: string } {
  const program = epilogue?.program ?? null, views = epilogue?.inputs ?? [];
  const result = operandOf(out, isByRow), inputs = views.map((view) => operandOf(view, isByRow));
  product.sizes.splice(0, Infinity, batch, rows);
  product.inputs.splice(0, Infinity, ...inputs);
  product.inputCount = inputs.length;
  writeOperand(engine, engine.args + outArg, product, result);
  writeEpilogue(engine, product, program, epilogue?.scalars ?? []);
  const form = {
    step: (step <= 2 ? step : "any") as Step,
    out: formOf(result),
    program,
    inputs: inputs.map(formOf),
  };
  const forms = [form.out, ...form.inputs].map(({ dtype, layout }) => `${dtype} ${layout}`).join(", ");
  return { form, key: `${form.step}; ${program?.key ?? "no epilogue"} (${forms})` };
}

/** What kernels are told, by words. */
export type Words = Parameters<typeof writeWords>[1];

/** Words that all kernels have. */
export function common(asked: Asked): Words {
  const { x, weights, groups, channels, filters, size, out, kernel, stride, dilation, before } = asked;
  return {
    x,
    weights,
    groups,
    channels,
    filters,
    height: size[0],
    width: size[1],
    outRows: out[0],
    outColumns: out[1],
    kernelRows: kernel[0],
    kernelColumns: kernel[1],
    rowStride: stride[0],
    columnStride: stride[1],
    rowDilation: dilation[0],
    columnDilation: dilation[1],
    beforeRows: before[0],
    beforeColumns: before[1],
    depth: channels * kernel[0] * kernel[1],
  };
}

/** Cuts `count` into even parts of at most `most`: how many, and how large. */
export function parts(count: number, most: number): [parts: number, size: number] {
  const size = Math.ceil(count / Math.ceil(count / Math.max(1, most))), number = Math.ceil(count / size);
  return [number, size];
}
