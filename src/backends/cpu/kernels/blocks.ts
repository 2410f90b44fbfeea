/**
 * Weights in blocks (q8, q4, those of a GGUF) as the other kernels know of them.
 *
 * What reads blocks is large, and most programs have none: it comes with what makes tensors of them, by
 * `backends/kernels/quantized.ts`. Until then the device holds no such dtype, so no view of one comes here.
 *
 * @module
 */
import { isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import type { Epilogue, View } from "../../contract.ts";
import type { CpuBuffer } from "../buffer.ts";
import type { Engine } from "../engine.ts";

/** What is done with weights in blocks. */
export interface BlockKernels {
  /** `out = epilogue(a · b)` where b is in blocks; see `Backend.matmul`. */
  matmul(engine: Engine, a: View, b: View, out: View, epilogue?: Epilogue): void;
  /** Picks from x in blocks, as f32; see `Backend.gather`. */
  gather(engine: Engine, x: View, axis: number, index: View, out: View): void;
  /** Runs `run` with every input in blocks replaced by floats; refuses outputs in blocks. */
  withFloats(
    engine: Engine,
    inputs: readonly View[],
    outputs: readonly View[],
    run: (inputs: readonly View[]) => void,
  ): void;
  /** Brings matrices of `columns` rows each, one below the other, in the order in which products read them. */
  interleaveRows(engine: Engine, w: View, columns: number): void;
  /** Puts the rows of a weight back as they were stored. */
  restoreRows(engine: Engine, buffer: CpuBuffer): void;
}

const provided: { kernels?: BlockKernels } = {};

/** From now on every cpu device, also one that is at work, holds weights in blocks. */
export function provideBlocks(kernels: BlockKernels): void {
  provided.kernels = kernels;
}

/** Whether there are kernels for weights in blocks. */
export function hasBlocks(): boolean {
  return provided.kernels !== undefined;
}

/**
 * The kernels for weights in blocks, for a view or a buffer that is such.
 * @throws {DTypeError} when they are not there.
 */
export function blockKernels(): BlockKernels {
  if (provided.kernels) return provided.kernels;
  throw new DTypeError(
    "the cpu device has no kernels for q8, q4 and blocks of a GGUF; call initQuantized() first",
  );
}

/** Whether one of the views is in blocks. */
export function anyQuantized(views: readonly View[]): boolean {
  for (let k = 0; k < views.length; k++) if (isQuantized(views[k].dtype)) return true;
  return false;
}
