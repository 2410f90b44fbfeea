/** Runs single vector instructions for the tests of the assembler. */
import {
  type FunctionBuilder,
  instruction,
  ModuleBuilder,
  type PlainName,
} from "../src/backends/cpu/assembler/mod.ts";

/**
 * Runs code that leaves one v128 and gives its 16 bytes. `fill` comes before it. Memory holds 120, 123, 126 … (modulo
 * 256) in the 64 bytes from address 64 on.
 */
export function vector(
  body: (f: FunctionBuilder) => void,
  fill: (f: FunctionBuilder) => void = () => {},
): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder();
  m.memory({ initial: 1, export: "memory" });
  m.data(64, Uint8Array.from({ length: 64 }, (_, i) => 120 + 3 * i));
  const f = m.function("f");
  fill(f);
  f.i32(0);
  body(f);
  f.store("v128.store");
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
  (exports.f as () => void)();
  return new Uint8Array((exports.memory as WebAssembly.Memory).buffer.slice(0, 16));
}

/** The bytes of a typed array. */
export const bytesOf: (array: ArrayBufferView) => Uint8Array<ArrayBuffer> = (array) =>
  new Uint8Array(array.buffer as ArrayBuffer);

/** Applies an instruction of vectors, given as bytes, and of a last i32 where it takes one. */
export function simd(name: PlainName, operands: ArrayBufferView[], shift = 0): Uint8Array<ArrayBuffer> {
  return vector((f) => {
    for (const operand of operands) f.v128(bytesOf(operand));
    if (instruction(name).type.params.at(-1) === "i32") f.i32(shift);
    f.op(name);
    const [result] = instruction(name).type.results;
    if (result === "i32") f.op("i32x4.splat");
  });
}
