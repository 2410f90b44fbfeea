/**
 * Blocks of queries and keys, where their copies lie in a thread's scratch memory, and the arguments of attention.
 *
 * All sizes that depend on the width of a head alone are constants of the emitted code. A head's rows are copied with
 * their width rounded up to 8 (`padded`), so that products never see an edge.
 *
 * @module
 */
import { byteSize } from "../../../../core/dtype.ts";
import { OptionError } from "../../../../core/errors.ts";
import type { View } from "../../../contract.ts";
import { addressOf } from "../../buffer.ts";
import { type Engine, type KernelContext, threadScratchBytes } from "../../engine.ts";

/** Sizes of the blocks that one emitted kernel works on. */
export interface Blocks {
  /** Floats in a row of a head. */
  readonly width: number;
  /** The same, rounded up to a multiple of 8. */
  readonly padded: number;
  /** Keys in a block, and most queries in one: a multiple of 8. */
  readonly size: number;
  /** Floats in a row of scores: `size` rounded up to a multiple of 16. */
  readonly scores: number;
  /** Queries (or keys) in a tile of the products. */
  readonly tile: number;
}

/** Most queries that a tile, and room kept behind blocks, may have. */
export const tileRoom = 8;

/** Widest heads for which the smallest blocks fit into scratch memory. */
const widest = 2048;

/**
 * The largest blocks of which `copies` fit into scratch memory, beside two matrices of scores.
 * @throws {OptionError} when a head is too wide.
 */
export function blocksFor(context: KernelContext, width: number, copies: number): Blocks {
  if (width > widest) {
    throw new OptionError(`attention: heads on the cpu device are at most ${widest} wide, not ${width}`);
  }
  const padded = Math.ceil(width / 8) * 8;
  const fits = (size: number) =>
    4 * (size + tileRoom) * (copies * padded + 2 * size + 16) <= threadScratchBytes;
  const size = [96, 48].find(fits) ?? 24;
  const tile = context.fma || !context.fusedMadd ? 6 : 5;
  return { width, padded, size, scores: Math.ceil(size / 16) * 16, tile };
}

/** Hands out parts of the scratch memory. */
export class ScratchMap {
  #bytes = 0;

  /** Offset of the next `floats` floats, 64-byte aligned. */
  take(floats: number): number {
    const at = this.#bytes;
    this.#bytes += Math.ceil(floats / 16) * 64;
    return at;
  }
}

/** Sizes: batches are the outermost part of an item's number and need none. */
export const headsArg = 0;
/** Heads of q that share one of k and v. */
export const groupArg = 4;
/** Rows of q, rows of k and v. */
export const queriesArg = 8;
export const keysArg = 12;
/** A float. */
export const scaleArg = 16;
/** How many more keys than its own number a query sees; without causality, as many as there are. */
export const reachArg = 20;
/** Queries per item, and items per head. */
export const blockArg = 24;
export const blockCountArg = 28;
/** Address of [batch, heads, queries] floats, or 0. */
export const lseArg = 32;
export const deltaArg = 36;
/** Set where a library could not be called. */
export const failedArg = 40;
/** How many keys back a query looks, the cap of scores (a float, 0: none), and whether operand 4 hides keys. */
export const windowArg = 44;
export const capArg = 48;
export const seenArg = 52;
/** Operands: address, then bytes between batches, between heads, and between rows. */
export const operandsArg = 64;
/** Bytes of one operand. */
export const operandBytes = 16;

/** Writes operand number `k`. */
export function setAttentionOperand(engine: Engine, k: number, view: View): void {
  const at = (engine.args + operandsArg + operandBytes * k) >>> 2, { u32 } = engine;
  u32[at] = addressOf(view);
  for (let d = 0; d < 3; d++) u32[at + 1 + d] = byteSize(view.dtype, view.strides[d]);
}

/** Writes the sizes. */
export function setAttentionSizes(engine: Engine, q: View, k: View, scale: number, causal: boolean): void {
  const { args, u32 } = engine;
  const queries = q.shape[2], keys = k.shape[2];
  u32[(args + headsArg) >>> 2] = q.shape[1];
  u32[(args + groupArg) >>> 2] = q.shape[1] / k.shape[1];
  u32[(args + queriesArg) >>> 2] = queries;
  u32[(args + keysArg) >>> 2] = keys;
  engine.f32[(args + scaleArg) >>> 2] = scale;
  // Row i sees keys 0 … i + reach.
  u32[(args + reachArg) >>> 2] = causal ? keys - queries : keys;
}
