/**
 * A piece of the heap as the contract sees it, and where a view of it begins.
 *
 * @module
 */
import { byteSize, type DType } from "../../core/dtype.ts";
import type { DeviceBuffer, View } from "../contract.ts";

/** A block of the heap. */
export interface CpuBuffer extends DeviceBuffer {
  /** Its address, while an operation runs: a large one may move between them (`overflow.ts`). */
  readonly pointer: number;
  /** Set while rows of quantised weights lie interleaved, as products want them (`kernels/quantized`). */
  interleaved?: { readonly dtype: DType; readonly depth: number; readonly panels: number } | undefined;
}

/** The address of a view's element at `offset` (its first one). The quantised dtypes have whole blocks before it. */
export function addressOf(view: View, offset: number = view.offset): number {
  return (view.buffer as CpuBuffer).pointer + byteSize(view.dtype, offset);
}
