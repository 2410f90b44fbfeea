/**
 * What an elementwise kernel is made for, and the argument block in which it finds sizes, strides and addresses.
 *
 * The block: some words about how work is cut, the sizes of the outer axes (the fastest first), then per operand its
 * address, its step along the inner axis and its steps along the outer ones, in bytes; then the scalars.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { FunctionBuilder, Local } from "../assembler/mod.ts";
import { type Pattern, type SpanOperand, spanOperand } from "./spans.ts";

/** One operand, as far as it is part of the kernel. */
export interface OperandKind {
  /** What is stored. */
  readonly dtype: DType;
  /** How it lies along the inner axis. */
  readonly pattern: Pattern;
  /** Whether its elements are neighbours along the second axis, in a transposed kernel. */
  readonly column: boolean;
}

/** What a kernel is made for. */
export interface KernelKind {
  /** What is computed. */
  readonly program: Program;
  /** Its tensors. */
  readonly inputs: readonly OperandKind[];
  /** Its results. */
  readonly outputs: readonly OperandKind[];
  /** Axes besides the inner one. */
  readonly outer: number;
}

/** Word of the argument block: of the inner axis. */
export const sizeWord = 0;
/** Word of the argument block: elements of a row in one item. */
export const chunkWord = 1;
/** Word of the argument block: items per row; 1 when an item has several rows. */
export const chunksWord = 2;
export const rowsPerItemWord = 3;
export const rowsWord = 4;
/** Words before the sizes of the outer axes. */
export const headWords = 5;

/** Where a kernel finds its arguments. */
export class Arguments {
  /** Axes besides the inner one. */
  readonly outer: number;
  readonly #operands: number;

  constructor(kind: KernelKind) {
    this.outer = kind.outer;
    this.#operands = kind.inputs.length + kind.outputs.length;
  }

  /** The offset in bytes of the size of outer axis number `axis`, the fastest first. */
  size(axis: number): number {
    return 4 * (headWords + axis);
  }

  /** The offset of the address of an operand; the steps along the inner and the outer axes follow it. */
  operand(k: number): number {
    return 4 * (headWords + this.outer + k * (this.outer + 2));
  }

  /** The offset of the scalars. */
  get scalars(): number {
    return Math.ceil(this.operand(this.#operands) / 8) * 8;
  }
}

/** Pushes word `offset` (in bytes) of the arguments. */
export function pushArgument(f: FunctionBuilder, args: Local, offset: number): void {
  f.get(args);
  f.load("i32.load", offset);
}

/** Loads an argument into a fresh local. */
export function loadArgument(f: FunctionBuilder, args: Local, offset: number): Local {
  const local = f.local("i32");
  pushArgument(f, args, offset);
  f.set(local);
  return local;
}

/**
 * Adds to `starts` the way to row number `row` of the outer axes from number `first` on. `at(k, axis)` is the offset
 * of operand k's step.
 */
export function emitSeek(
  f: FunctionBuilder,
  args: Local,
  layout: Arguments,
  row: Local,
  first: number,
  starts: readonly Local[],
): Local[] {
  const rest = f.local("i32");
  f.get(row);
  f.set(rest);
  return Array.from({ length: layout.outer - first }, (_, i) => {
    const axis = first + i, position = f.local("i32");
    if (axis === layout.outer - 1) f.get(rest);
    else {
      f.get(rest);
      pushArgument(f, args, layout.size(axis));
      f.op("i32.rem_u");
    }
    f.set(position);
    if (axis < layout.outer - 1) {
      f.get(rest);
      pushArgument(f, args, layout.size(axis));
      f.op("i32.div_u");
      f.set(rest);
    }
    starts.forEach((start, k) => {
      f.get(start);
      f.get(position);
      pushArgument(f, args, layout.operand(k) + 8 + 4 * axis);
      f.op("i32.mul");
      f.op("i32.add");
      f.set(start);
    });
    return position;
  });
}

/** The operands' locals, with their inner steps loaded. */
export function loadOperands(f: FunctionBuilder, args: Local, kind: KernelKind): SpanOperand[] {
  const layout = new Arguments(kind);
  return [...kind.inputs, ...kind.outputs].map((operand, k) => {
    const local = spanOperand(f, operand.dtype, operand.pattern);
    pushArgument(f, args, layout.operand(k) + 4);
    f.set(local.step);
    return local;
  });
}

/** Sets `start` of each operand to its address. */
export function emitAddresses(
  f: FunctionBuilder,
  args: Local,
  layout: Arguments,
  operands: readonly SpanOperand[],
): void {
  operands.forEach((x, k) => {
    pushArgument(f, args, layout.operand(k));
    f.set(x.start);
  });
}

/** Moves operands along the inner axis to position `first`. */
export function emitSkip(f: FunctionBuilder, operands: readonly SpanOperand[], first: Local): void {
  for (const x of operands) {
    if (x.pattern === "same") continue;
    f.get(x.start);
    f.get(first);
    f.get(x.step);
    f.op("i32.mul");
    f.op("i32.add");
    f.set(x.start);
  }
}

/** min(a, b) of two locals of i32, unsigned. */
export function pushMin(f: FunctionBuilder, a: Local, b: Local): void {
  f.get(a);
  f.get(b);
  f.get(a);
  f.get(b);
  f.op("i32.lt_u");
  f.select();
}
