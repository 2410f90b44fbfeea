/**
 * A small WebAssembly assembler: modules emitted at run time, checked as they are written.
 *
 * Instructions carry the mnemonics of the specification, and files the names of its chapters. A function is written
 * as for the stack machine it is; block, loop and if take callbacks. The types on the stack are followed while
 * emitting, so a mistake throws at the line that makes it and says function, instruction, expected and found types.
 *
 * @example y = a * x + y over floats in a shared memory, four at a time
 * ```ts
 * import { ModuleBuilder } from "./mod.ts";
 *
 * const m = new ModuleBuilder();
 * m.importMemory("env", "memory", { initial: 1, maximum: 65536, shared: true });
 *
 * const f = m.function("axpy", { params: ["i32", "i32", "i32", "f32"] });
 * const [x, y, bytes, a] = f.params; // addresses of x and y, length in bytes (a multiple of 16), factor
 * const offset = f.local("i32");
 * const factor = f.local("v128");
 * f.get(a);
 * f.op("f32x4.splat");
 * f.set(factor);
 * f.forRange(offset, 0, bytes, 16, () => {
 *   f.get(y); // the address that the store takes
 *   f.get(x);
 *   f.load("v128.load");
 *   f.get(factor);
 *   f.op("f32x4.mul");
 *   f.get(y);
 *   f.load("v128.load");
 *   f.op("f32x4.add");
 *   f.store("v128.store");
 *   f.increment(x, 16);
 *   f.increment(y, 16);
 * });
 *
 * const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
 * const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()), { env: { memory } });
 * const axpy = exports.axpy as (x: number, y: number, bytes: number, a: number) => void;
 * new Float32Array(memory.buffer).set([1, 2, 3, 4]);
 * axpy(0, 16, 16, 2); // the floats at byte 16 are now 2, 4, 6, 8
 * ```
 *
 * @module
 */

export { ByteWriter } from "./encoding.ts";
export { ExpressionBuilder, type FunctionContext, type Global } from "./expression.ts";
export { type Bound, FunctionBuilder, type FunctionHandle, type Label, type Table } from "./function.ts";
export {
  type AtomicName,
  type Instruction,
  instruction,
  type InstructionForm,
  type InstructionName,
  instructionNames,
  type LaneMemoryName,
  type LaneName,
  type LoadName,
  type ParametricName,
  type PlainName,
  type Proposal,
  type StoreName,
} from "./instructions.ts";
export {
  atomicInstructions,
  bulkMemoryInstructions,
  laneMemoryInstructions,
  loadInstructions,
  storeInstructions,
} from "./memory.ts";
export { type GlobalValue, ModuleBuilder } from "./module.ts";
export { numericInstructions } from "./numeric.ts";
export { Local, type ScalarName, Term, type Value } from "./term.ts";
export {
  type AddressType,
  type BlockType,
  type FunctionType,
  type MemoryType,
  type TableType,
  ValidationError,
  type ValueType,
} from "./types.ts";
export { type Frame, type FrameKind, type Operand, Validator } from "./validation.ts";
export { laneInstructions, relaxedVectorInstructions, vectorInstructions } from "./vector.ts";
