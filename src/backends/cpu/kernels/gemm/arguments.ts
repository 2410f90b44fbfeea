/**
 * Where the kernels of matrix multiplication find sizes, addresses and strides: byte offsets in the argument block.
 *
 * An operand is five words: the address of its first element, then bytes from row to row, from column to column, and
 * along the inner and the outer leading axis. Everything is 32 bits; strides may be negative.
 *
 * @module
 */
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";
import { emitSetSum } from "./address.ts";

/** What to do: one of {@link tasks}. */
export const taskArg = 0;
/** Rows, columns, and length of the sums. */
export const rowsArg = 4;
export const columnsArg = 8;
export const depthArg = 12;
/** Size of the inner leading axis. */
export const innerArg = 16;
/** Tiles in a block of rows, panels in a block of columns. */
export const blockTilesArg = 20;
export const blockPanelsArg = 24;
/** Blocks of rows and of columns. */
export const rowBlocksArg = 28;
export const columnBlocksArg = 32;
/** How much of k is summed before the sum is stored. */
export const blockDepthArg = 36;
/** Where tiles find b: 0 in panels packed before, 1 in place, 2 packed by each item for itself. */
export const panelsArg = 40;
/** Where tiles find packed rows of a: 0 packed before, 1 packed by each item for itself. */
export const stripsArg = 44;
/** Rows of a tile. */
export const tileRowsArg = 48;
/** Bytes of thread scratch before the sums, and before the panels of b. */
export const sumsArg = 52;
export const ownPanelsArg = 56;
/** Columns that one row of a meets at a time where k is contiguous in b: 1 or 2. */
export const atOnceArg = 60;
/** Operands. */
export const aArg = 64;
export const bArg = 84;
export const outArg = 104;
/** What was packed before, of a and of b: operands whose strides along rows and columns mean nothing. */
export const packedRowsArg = 124;
export const packedPanelsArg = 144;
/** Operands 1… of the epilogue. */
export const inputsArg = 164;
/** Scalars of the epilogue. */
export const scalarsArg = 2048;
/** A second block of arguments, for a second job of the same call. */
export const secondBlock = 8192;

/** Tasks of a kernel. */
export const tasks = { multiply: 0, packPanels: 1, packRows: 2 } as const;

/** Bytes of one operand. */
export const operandBytes = 20;

/** Reads one word. */
export function emitArgument(f: FunctionBuilder, args: Local, at: number): Local {
  const local = f.local("i32");
  f.set(local, args.load(at));
  return local;
}

/** Sets `to` to where the matrix of operand `at` begins for the leading indices `inner` and `outer`. */
export function emitMatrixStart(
  f: FunctionBuilder,
  args: Local,
  at: number,
  inner: Local,
  outer: Local,
  to: Local,
): void {
  const word = f.local("i32");
  f.set(to, args.load(at));
  for (const [index, offset] of [[inner, 12], [outer, 16]] as const) {
    f.set(word, args.load(at + offset));
    emitSetSum(f, to, to, [index, word]);
  }
}
