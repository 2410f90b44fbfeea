/**
 * Types of the WebAssembly specification (chapter "Types") as this assembler writes them, and the error it throws.
 *
 * @module
 */

import { FerrotypeError } from "../../../core/errors.ts";

/** A module that would not validate, or an immediate out of range; the message names function and instruction. */
export class ValidationError extends FerrotypeError {
  /** Always `"ValidationError"`. */
  override name = "ValidationError";
}

/** The type of a value on the stack, in a local or in a global. */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";

/** The type of an address: `"i32"`, or `"i64"` for a 64-bit memory. */
export type AddressType = "i32" | "i64";

/** What a function takes and gives. */
export interface FunctionType {
  /** Types of the parameters, in order. */
  readonly params: readonly ValueType[];
  /** Types of the results, in order. */
  readonly results: readonly ValueType[];
}

/** What a block gives: nothing, one value, or (multi-value) a function type whose parameters it takes off the stack. */
export type BlockType = ValueType | FunctionType | undefined;

/** Size of a memory and its abilities. */
export interface MemoryType {
  /** Pages of 64 KiB at the start. */
  readonly initial: number;
  /** Most pages it may grow to; a shared memory must have it. */
  readonly maximum?: number | undefined;
  /** Whether threads share it (default false). */
  readonly shared?: boolean | undefined;
  /** Whether addresses are i64 (default false). */
  readonly memory64?: boolean | undefined;
}

/** Size of a table of functions. */
export interface TableType {
  /** Entries at the start. */
  readonly initial: number;
  /** Most entries it may grow to. */
  readonly maximum?: number | undefined;
}

/** Byte of each value type in the binary format. */
export const valueTypeCodes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};
