/**
 * The tensor types of GGUF files: their numbers, and how many values and bytes a block of each has.
 *
 * From ggml's `ggml_type` (ggml.h) and block structures (ggml-common.h). A type of blocks packs that many neighbours
 * along the last axis. Types that are known but not read are here too, so that a message can name them.
 *
 * @module
 */
import type { DType } from "../../core/dtype.ts";

/**
 * A type that can be read.
 *
 * @category Files
 */
export type GgufType =
  | "F32"
  | "F16"
  | "BF16"
  | "F64"
  | "I8"
  | "I16"
  | "I32"
  | "I64"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "IQ4_XS"
  | "MXFP4";

/** What is known of a type. */
export interface GgufTypeInfo {
  /** Its number in a file. */
  readonly id: number;
  /** Values a block has. */
  readonly values: number;
  /** Bytes a block takes. */
  readonly bytes: number;
  /** The library's own dtype of the same bytes, where there is one. */
  readonly dtype?: DType;
}

/** The types by name. */
export const ggufTypes: Readonly<Record<GgufType, GgufTypeInfo>> = {
  F32: { id: 0, values: 1, bytes: 4, dtype: "f32" },
  F16: { id: 1, values: 1, bytes: 2, dtype: "f16" },
  Q4_0: { id: 2, values: 32, bytes: 18, dtype: "q4" },
  Q4_1: { id: 3, values: 32, bytes: 20, dtype: "q41" },
  Q5_0: { id: 6, values: 32, bytes: 22, dtype: "q50" },
  Q5_1: { id: 7, values: 32, bytes: 24, dtype: "q51" },
  Q8_0: { id: 8, values: 32, bytes: 34, dtype: "q8" },
  Q2_K: { id: 10, values: 256, bytes: 84, dtype: "q2k" },
  Q3_K: { id: 11, values: 256, bytes: 110, dtype: "q3k" },
  Q4_K: { id: 12, values: 256, bytes: 144, dtype: "q4k" },
  Q5_K: { id: 13, values: 256, bytes: 176, dtype: "q5k" },
  Q6_K: { id: 14, values: 256, bytes: 210, dtype: "q6k" },
  IQ4_NL: { id: 20, values: 32, bytes: 18, dtype: "iq4nl" },
  IQ4_XS: { id: 23, values: 256, bytes: 136, dtype: "iq4xs" },
  I8: { id: 24, values: 1, bytes: 1 },
  I16: { id: 25, values: 1, bytes: 2 },
  I32: { id: 26, values: 1, bytes: 4, dtype: "i32" },
  I64: { id: 27, values: 1, bytes: 8, dtype: "i64" },
  F64: { id: 28, values: 1, bytes: 8, dtype: "f64" },
  BF16: { id: 30, values: 1, bytes: 2, dtype: "bf16" },
  MXFP4: { id: 39, values: 32, bytes: 17, dtype: "mxfp4" },
};

const byId: ReadonlyMap<number, GgufType> = new Map(
  Object.entries(ggufTypes).map(([name, { id }]) => [id, name as GgufType]),
);

/** Types of ggml that are not read. */
const others: Readonly<Record<number, string>> = {
  4: "Q4_2",
  5: "Q4_3",
  9: "Q8_1",
  15: "Q8_K",
  16: "IQ2_XXS",
  17: "IQ2_XS",
  18: "IQ3_XXS",
  19: "IQ1_S",
  21: "IQ3_S",
  22: "IQ2_S",
  29: "IQ1_M",
  31: "Q4_0_4_4",
  32: "Q4_0_4_8",
  33: "Q4_0_8_8",
  34: "TQ1_0",
  35: "TQ2_0",
  40: "NVFP4",
};

/** The type with this number, or null for one that is not read. */
export function ggufTypeOf(id: number): GgufType | null {
  return byId.get(id) ?? null;
}

/** What to call a number that is not read. */
export function unreadType(id: number): string {
  return id in others ? `${others[id]} (type ${id})` : `type ${id}, which ggml does not have`;
}
