/**
 * A piece of the heap as the contract sees it, and where a view of it begins.
 *
 * @module
 */
import { byteSize } from "../../core/dtype.ts";
import type { DeviceBuffer, View } from "../contract.ts";

/** A block of the heap. */
export interface CpuBuffer extends DeviceBuffer {
  /** Its address. */
  readonly pointer: number;
}

/** The address of a view's first element. The quantised dtypes have whole blocks before it. */
export function addressOf(view: View): number {
  return (view.buffer as CpuBuffer).pointer + byteSize(view.dtype, view.offset);
}
