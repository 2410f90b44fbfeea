/**
 * Which matrices are multiplied element by element, and their elements as the 32-bit lanes that are multiplied.
 *
 * @module
 */
import { byteSize, type DType } from "../../../../core/dtype.ts";
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { hoistConstants, type VectorWriter } from "../../math/writer.ts";
import { emitLoad, emitLoadSplat } from "../access.ts";
import { emitFromStored } from "../convert.ts";

/** What is multiplied: floats, whose products may be fused with the addition, or integers modulo 2^32. */
export type Arithmetic = "f32" | "i32";

/** Element types that a matrix to be multiplied may have. */
export type Source = "f32" | "f16" | "bf16" | "i32";

/** Whether matrices of `dtype` are multiplied element by element here. */
export function isSource(dtype: DType): dtype is Source {
  return dtype === "f32" || dtype === "f16" || dtype === "bf16" || dtype === "i32";
}

/** Bytes of one element. */
export function elementBytes(dtype: DType): number {
  return byteSize(dtype, 1);
}

const typeOf = (source: Source): Arithmetic => source === "i32" ? "i32" : "f32";

/** A writer with the constants that loads of `source` need in locals. */
export function sourceWriter(f: FunctionBuilder, context: KernelContext, source: Source): VectorWriter {
  return hoistConstants(f, context, (w) => void emitFromStored(w, source, typeOf(source), w.fresh()));
}

/** Leaves four elements at `at` + `offset` bytes on the stack. */
export function pushLoad(w: VectorWriter, source: Source, at: Local, offset: number = 0): void {
  w.f.get(emitLoad(w, source, typeOf(source), at, offset)[0]);
}

/** Leaves one element at `at` on the stack, in all lanes. */
export function pushLoadSplat(w: VectorWriter, source: Source, at: Local): void {
  w.f.get(emitLoadSplat(w, source, typeOf(source), at)[0]);
}

/** Leaves one element at `at` on the stack in the first lane, and 0 in the others: they add nothing, even to an Infinity. */
export function pushLoadFirst(w: VectorWriter, source: Source, at: Local): void {
  const { f } = w;
  if (elementBytes(source) === 4) {
    f.get(at);
    return f.load("v128.load32_zero");
  }
  const raw = w.each(() => {
    f.i32x4(0);
    f.push(at.load(0, "i32.load16_u"));
    f.lane("i32x4.replace_lane", 0);
  });
  f.get(emitFromStored(w, source, typeOf(source), raw)[0]);
}
