/**
 * The two ways to multiply quantised weights with activations, and how to tell what suits a machine.
 *
 * Products of bytes (`bytes.ts`) take relaxed instructions, which have one result for the bytes that are given them here.
 * Where those may not be used 16-bit words are multiplied (`words.ts`), in half as many products an instruction.
 *
 * The relaxed dot instruction of bytes is one instruction of some machines (AVX-VNNI, ARM's dot product); elsewhere it stands
 * for several, which saturate on their way. A product of 255 and 127 tells one from the other.
 *
 * @module
 */
import { type FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import type { ActivationForm } from "./activations.ts";
import type { Quantized } from "./format.ts";

/** How activations are laid out, and the functions that multiply them. */
export interface Method {
  /** Its name, which is part of a kernel's. */
  readonly name: string;
  /** Rows of a full tile. */
  readonly tileRows: number;
  /** Bytes of a block of an unpacked panel. */
  readonly unpackedBytes: number;
  /** What activations become: one row, or several. */
  form(dtype: Quantized, single: boolean): ActivationForm;
  /** The function `stream(panel, x, blocks, sums)`: eight sums of products of a panel with one row. */
  emitStream(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder;
  /** The function `unpack(panel, to, blocks)`. */
  emitUnpack(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder;
  /**
   * The function `tile(x, panel, blocks, sums)`: `rows` rows of activations times an unpacked panel; the sums are
   * rows × 8 f32. They stay in the first-level cache: in registers there is room for the integers only.
   */
  emitTile(m: ModuleBuilder, context: KernelContext, rows: number): FunctionBuilder;
}

let known: boolean | undefined;

/** Whether the relaxed dot instruction is one instruction of this machine. */
export function dotIsFast(): boolean {
  if (known !== undefined) return known;
  const m = new ModuleBuilder();
  const f = m.function("run", { results: ["i32"] });
  f.i8x16(127);
  f.i8x16(-1);
  f.i32x4(0);
  f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s");
  f.lane("i32x4.extract_lane", 0);
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
    // Unsigned bytes give 4 · 127 · 255, signed ones -4 · 127; instructions of 16 bits stop at 2 · 32767.
    known = (exports.run as () => number)() !== 2 * 32767;
  } catch {
    known = false;
  }
  return known;
}
