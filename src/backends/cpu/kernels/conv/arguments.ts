/**
 * Where the kernels of convolution find sizes and addresses: words of the argument block behind what they share with
 * matrix products (`gemm/arguments.ts`): the output and the epilogue's operands.
 *
 * @module
 */
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";
import type { Engine } from "../../engine.ts";
import { emitArgument } from "../gemm/arguments.ts";

const names = [
  /** What to do: 0 brings planes in order, 1 convolves. */
  "task",
  /** The input: its address, and a plane's rows and columns. */
  "x",
  "height",
  "width",
  /** Rows and columns that the window's first position lies before the plane. */
  "beforeRows",
  "beforeColumns",
  /** How windows move, and the steps between their positions. */
  "rowStride",
  "columnStride",
  "rowDilation",
  "columnDilation",
  /** Kernel rows and columns, and after how many of the latter the same run comes again. */
  "kernelRows",
  "kernelColumns",
  "period",
  /** The input in order (`planes.ts`): its address, rows of a plane, runs of a row, floats of a run; and bytes of each. */
  "planes",
  "paddedRows",
  "runs",
  "runLength",
  "runBytes",
  "rowBytes",
  "planeBytes",
  /** Weights: their address, floats of a filter, and how many of these are summed at once. */
  "weights",
  "depth",
  "blockDepth",
  /** Groups; channels and filters of each. */
  "groups",
  "channels",
  "filters",
  /** The output's rows and columns. */
  "outRows",
  "outColumns",
  /** How it is cut: blocks, and what each has. */
  "rowBlocks",
  "blockRows",
  "columnBlocks",
  "blockColumns",
  "filterBlocks",
  "blockFilters",
  /** Thread scratch behind the table of places: where sums begin, bytes of a row of them, and the rows of a plane. */
  "sums",
  "sumStride",
  "slab",
  /** Set where a thread could not open the native library. */
  "failed",
] as const;

/** A word of the arguments. */
export type Word = typeof names[number];

/** The offsets of words in the argument block. */
export const words: Readonly<Record<Word, number>> = Object.fromEntries(
  names.map((name, i) => [name, 1024 + 4 * i]),
) as Record<Word, number>;

/** Reads a word into a fresh local. */
export function emitWord(f: FunctionBuilder, args: Local, name: Word): Local {
  return emitArgument(f, args, words[name]);
}

/** Writes words. */
export function writeWords(engine: Engine, values: Readonly<Partial<Record<Word, number>>>): void {
  const { i32, args } = engine;
  for (const [name, value] of Object.entries(values)) i32[(args + words[name as Word]) >>> 2] = value;
}
