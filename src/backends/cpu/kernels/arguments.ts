/**
 * What an elementwise kernel (or a reduction) is made for, and the argument block in which it finds sizes, strides and addresses.
 *
 * The block: some words about how work is cut, the sizes of the outer axes (the fastest first), then per operand its
 * address, its step along the inner axis and its steps along the outer ones, in bytes; then the scalars.
 *
 * @module
 */
import type { Program } from "../../../expr/nodes.ts";
import type { FunctionBuilder, Local } from "../assembler/mod.ts";
import { type Pattern, type SpanOperand, spanOperand, type Stored } from "./spans.ts";

/** One operand, as far as it is part of the kernel. */
export interface OperandKind {
  /** What is stored. */
  readonly dtype: Stored;
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

/** Words of the argument block that say how work is cut. */
export const words = {
  /** Elements of the inner axis. */
  size: 0,
  /** Elements of a row in one item. */
  chunk: 1,
  /** Items per row; 1 when an item has whole rows. */
  chunks: 2,
  /** Rows in one item. */
  rowsPerItem: 3,
  /** Rows in all; of a reduction, rows that are reduced together. */
  rows: 4,
  /** Parts into which a reduction cuts what is reduced. */
  parts: 5,
  /** Bytes between the results of neighbouring parts. */
  partStep: 6,
} as const;

/** Words before the sizes of the outer axes. */
export const headWords = 8;

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

  /** The offset of the address of an operand. */
  address(k: number): number {
    return 4 * (headWords + this.outer + k * (this.outer + 2));
  }

  /** The offset of an operand's step along an axis: 0 is the inner one. */
  step(k: number, axis: number): number {
    return this.address(k) + 4 + 4 * axis;
  }

  /** The offset of the scalars. */
  get scalars(): number {
    return Math.ceil(this.address(this.#operands) / 8) * 8;
  }
}

/** Pushes the argument at `offset` bytes. */
export function pushArgument(f: FunctionBuilder, args: Local, offset: number): void {
  f.push(args.load(offset));
}

/** Loads the argument at `offset` bytes into a fresh local. */
export function loadArgument(f: FunctionBuilder, args: Local, offset: number): Local {
  const local = f.local("i32");
  pushArgument(f, args, offset);
  f.set(local);
  return local;
}

/** The operands' locals, with their inner steps loaded. */
export function loadOperands(f: FunctionBuilder, args: Local, kind: KernelKind): SpanOperand[] {
  const layout = new Arguments(kind);
  return [...kind.inputs, ...kind.outputs].map((operand, k) => {
    const local = spanOperand(f, operand.dtype, operand.pattern);
    pushArgument(f, args, layout.step(k, 0));
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
    pushArgument(f, args, layout.address(k));
    f.set(x.start);
  });
}

/** Moves operands along the inner axis to position `first`. */
export function emitSkip(f: FunctionBuilder, operands: readonly SpanOperand[], first: Local): void {
  for (const x of operands) {
    if (x.pattern === "same") continue;
    f.set(x.start, x.start.plus(first.times(x.step)));
  }
}

/**
 * Moves operands to row number `row` of the outer axes `from` (inclusive) to `to` (exclusive), the fastest first. Gives
 * the positions along these axes, for {@link emitNextRow}.
 */
export function emitSeek(
  f: FunctionBuilder,
  args: Local,
  layout: Arguments,
  operands: readonly SpanOperand[],
  row: Local,
  from: number,
  to: number,
): Local[] {
  const rest = f.local("i32");
  f.set(rest, row);
  const positions: Local[] = [];
  for (let axis = from; axis < to; axis++) {
    const position = f.local("i32");
    positions.push(position);
    f.get(rest);
    if (axis < to - 1) {
      pushArgument(f, args, layout.size(axis));
      f.op("i32.rem_u");
    }
    f.set(position);
    operands.forEach((x, k) => {
      f.push(x.start, position);
      pushArgument(f, args, layout.step(k, axis + 1));
      f.op("i32.mul");
      f.op("i32.add");
      f.set(x.start);
    });
    if (axis === to - 1) break;
    f.get(rest);
    pushArgument(f, args, layout.size(axis));
    f.op("i32.div_u");
    f.set(rest);
  }
  return positions;
}

/** Moves operands to the next row along the axes and positions of an {@link emitSeek}. */
export function emitNextRow(
  f: FunctionBuilder,
  args: Local,
  layout: Arguments,
  operands: readonly SpanOperand[],
  positions: readonly Local[],
  from: number,
): void {
  if (positions.length === 0) return;
  operands.forEach((x, k) => {
    f.get(x.start);
    pushArgument(f, args, layout.step(k, from + 1));
    f.op("i32.add");
    f.set(x.start);
  });
  if (positions.length === 1) return;
  // At the end of this axis: back to its start, and one step along the next.
  f.increment(positions[0], 1);
  f.get(positions[0]);
  pushArgument(f, args, layout.size(from));
  f.op("i32.eq");
  f.if(() => {
    f.set(positions[0], 0);
    operands.forEach((x, k) => {
      f.get(x.start);
      pushArgument(f, args, layout.step(k, from + 1));
      pushArgument(f, args, layout.size(from));
      f.op("i32.mul");
      f.op("i32.sub");
      f.set(x.start);
    });
    emitNextRow(f, args, layout, operands, positions.slice(1), from + 1);
  });
}

/** min(a, b) of two locals of i32, unsigned. */
export function pushMin(f: FunctionBuilder, a: Local, b: Local): void {
  f.push(a.op("lt_u", b).select(a, b));
}

/** A piece of the rows: elements `first` to `first + length` of rows `row` to `lastRow`. */
export interface Piece {
  readonly first: Local;
  readonly length: Local;
  readonly row: Local;
  readonly lastRow: Local;
}

/** Gives a function that emits the way from a piece's number to the piece; the words are loaded here. */
export function preparePieces(f: FunctionBuilder, args: Local): (number: Local) => Piece {
  const word = (place: number): Local => loadArgument(f, args, 4 * place);
  const size = word(words.size), chunk = word(words.chunk), chunks = word(words.chunks);
  const rowsPerItem = word(words.rowsPerItem), rows = word(words.rows);
  const [first, length, row, lastRow] = f.localArray("i32", 4);
  return (number) => {
    f.set(first, number.op("rem_u", chunks).times(chunk));
    f.set(length, size.minus(first));
    pushMin(f, length, chunk);
    f.set(length);
    f.set(lastRow, number.op("div_u", chunks).times(rowsPerItem).tee(row).plus(rowsPerItem));
    pushMin(f, lastRow, rows);
    f.set(lastRow);
    return { first, length, row, lastRow };
  };
}
