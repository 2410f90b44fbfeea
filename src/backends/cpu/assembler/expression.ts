/**
 * A sequence of instructions of the stack machine: variables, constants, and everything that is a row of the
 * instruction tables. Each method is one instruction and checks the types on the stack at once.
 *
 * Control, calls and the end of the body are `FunctionBuilder`, which extends this.
 *
 * @module
 */

import { ByteWriter } from "./encoding.ts";
import {
  type AtomicName,
  type Instruction,
  instruction,
  type InstructionForm,
  type InstructionName,
  type LaneMemoryName,
  type LaneName,
  type LoadName,
  type PlainName,
  type StoreName,
} from "./instructions.ts";
import { Local, type Value } from "./term.ts";
import { type AddressType, type FunctionType, type ValueType, valueTypeCodes } from "./types.ts";
import { type Operand, Validator } from "./validation.ts";

/** A global variable of a module. */
export interface Global {
  /** Its index; imported globals come first. */
  readonly index: number;
  /** Its type. */
  readonly type: ValueType;
  /** Whether it can be set. */
  readonly mutable: boolean;
}

/** What a function needs from its module. */
export interface FunctionContext {
  /** Index of a function type in the type section. */
  typeIndex(type: FunctionType): number;
  /** Type of addresses of memory 0; undefined when the module has no memory. */
  readonly addressType: AddressType | undefined;
}

const twoVectors: readonly ValueType[] = ["v128", "v128"];

/** Emits instructions and follows the types on the stack. */
export class ExpressionBuilder {
  /** What the module knows. */
  protected readonly context: FunctionContext;
  /** The stacks of the validation algorithm. */
  protected readonly validator: Validator;
  /** The code so far. */
  protected readonly code: ByteWriter = new ByteWriter(1024);
  /** Parameters, then locals. */
  protected readonly variables: Local[];

  /** Starts the body of a function of this name and type. */
  constructor(context: FunctionContext, name: string, type: FunctionType) {
    this.context = context;
    this.validator = new Validator(name, type.results);
    this.variables = type.params.map((param, index) => new Local(index, param));
  }

  /** Types on the stack within the innermost block, the deepest first: for a look while writing a kernel. */
  get stack(): readonly Operand[] {
    return this.validator.stack;
  }

  /** Bytes of code so far. */
  get length(): number {
    return this.code.length;
  }

  /** A new local variable, zero at the start of the function. */
  local(type: ValueType): Local {
    if (valueTypeCodes[type] === undefined) {
      throw this.validator.error("local", `there is no type ${String(type)}`);
    }
    const local = new Local(this.variables.length, type);
    this.variables.push(local);
    return local;
  }

  /** `count` new locals of one type, such as the accumulators of a tile. */
  localArray(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  // Variables

  /** `local.get` */
  get(local: Local): void {
    this.#variable(0x20, local, "local.get");
    this.validator.push(local.type);
  }

  /** Leaves values on the stack, the deepest first; numbers are i32. */
  push(...values: readonly Value[]): void {
    for (const value of values) this.#value(value, "i32");
  }

  #value(value: Value, type: ValueType): void {
    if (typeof value !== "number") value.emit(this);
    else if (type === "i32" || type === "i64" || type === "f32" || type === "f64") this[type](value);
    else throw this.validator.error("push", `${value} stands where ${type} is expected`);
  }

  /** `local.set`, of what is on the stack or of a value. */
  set(local: Local, value?: Value): void {
    if (value !== undefined) this.#value(value, local.type);
    this.#variable(0x21, local, "local.set");
    this.validator.pop(local.type, "local.set");
  }

  /** `local.tee`, of what is on the stack or of a value. */
  tee(local: Local, value?: Value): void {
    if (value !== undefined) this.#value(value, local.type);
    this.#variable(0x22, local, "local.tee");
    this.validator.pop(local.type, "local.tee");
    this.validator.push(local.type);
  }

  /** `global.get` */
  globalGet(global: Global): void {
    this.begin(0x23);
    this.code.unsigned(global.index);
    this.validator.push(global.type);
  }

  /** `global.set` */
  globalSet(global: Global): void {
    this.begin(0x24);
    if (!global.mutable) throw this.validator.error("global.set", `global ${global.index} is not mutable`);
    this.validator.pop(global.type, "global.set");
    this.code.unsigned(global.index);
  }

  // Constants

  /** `i32.const`; an integer from -2^31 to 2^32 - 1. */
  i32(value: number): void {
    this.begin(0x41);
    this.code.signed32(value);
    this.validator.push("i32");
  }

  /** `i64.const`; an integer from -2^63 to 2^64 - 1. */
  i64(value: bigint | number): void {
    this.begin(0x42);
    this.code.signed64(value);
    this.validator.push("i64");
  }

  /** `f32.const` */
  f32(value: number): void {
    this.begin(0x43);
    this.code.f32(value);
    this.validator.push("f32");
  }

  /** `f64.const` */
  f64(value: number): void {
    this.begin(0x44);
    this.code.f64(value);
    this.validator.push("f64");
  }

  /** `v128.const` of 16 bytes. */
  v128(bytes: ArrayLike<number>): void {
    if (bytes.length !== 16) {
      throw this.validator.error("v128.const", `expects 16 bytes, found ${bytes.length}`);
    }
    this.begin(0xfd);
    this.code.byte(0x0c);
    this.code.bytes(bytes);
    this.validator.push("v128");
  }

  /** `v128.const` of 16 integers of 8 bits, or one for all lanes; integers are taken modulo 2^8, and so on below. */
  i8x16(...lanes: number[]): void {
    this.v128(new Uint8Array(Int8Array.from(this.#lanes("i8x16", lanes, 16)).buffer));
  }

  /** `v128.const` of 8 integers of 16 bits, or one for all lanes. */
  i16x8(...lanes: number[]): void {
    this.v128(new Uint8Array(Int16Array.from(this.#lanes("i16x8", lanes, 8)).buffer));
  }

  /** `v128.const` of 4 integers of 32 bits, or one for all lanes. */
  i32x4(...lanes: number[]): void {
    this.v128(new Uint8Array(Int32Array.from(this.#lanes("i32x4", lanes, 4)).buffer));
  }

  /** `v128.const` of 2 integers of 64 bits, or one for all lanes. */
  i64x2(...lanes: (bigint | number)[]): void {
    this.v128(new Uint8Array(BigInt64Array.from(this.#lanes("i64x2", lanes, 2).map(BigInt)).buffer));
  }

  /** `v128.const` of 4 floats of 32 bits, or one for all lanes. */
  f32x4(...lanes: number[]): void {
    this.v128(new Uint8Array(Float32Array.from(this.#lanes("f32x4", lanes, 4)).buffer));
  }

  /** `v128.const` of 2 floats of 64 bits, or one for all lanes. */
  f64x2(...lanes: number[]): void {
    this.v128(new Uint8Array(Float64Array.from(this.#lanes("f64x2", lanes, 2)).buffer));
  }

  #lanes<T>(shape: string, lanes: T[], count: number): T[] {
    if (lanes.length === count) return lanes;
    if (lanes.length === 1) return new Array<T>(count).fill(lanes[0]);
    throw this.validator.error(
      "v128.const",
      `${shape} expects ${count} lanes, or 1 for all, found ${lanes.length}`,
    );
  }

  // Instructions from the tables

  /** An instruction without immediates, by its mnemonic; values are its last operands. */
  op(name: PlainName, ...values: readonly Value[]): void {
    const row = this.#find(name, "plain"), { params } = row.type;
    values.forEach((value, i) => this.#value(value, params[params.length - values.length + i]));
    this.#emit(row);
  }

  /** A load. `offset` in bytes is added to the address; `align` in bytes is a promise, by default the natural one. */
  load(name: LoadName, offset: number = 0, align?: number): void {
    const row = this.#find(name, "load");
    this.#emit(row);
    this.#memoryArgument(row, offset, align);
  }

  /** A store: takes address and value. `offset` and `align` as in {@link FunctionBuilder.load}. */
  store(name: StoreName, offset: number = 0, align?: number): void {
    const row = this.#find(name, "store");
    this.#emit(row);
    this.#memoryArgument(row, offset, align);
  }

  /** Reads or replaces one lane. */
  lane(name: LaneName, lane: number): void {
    const row = this.#find(name, "lane");
    this.#emit(row);
    this.#lane(row, lane);
  }

  /** Loads or stores one lane: takes address and vector. */
  laneMemory(name: LaneMemoryName, lane: number, offset: number = 0, align?: number): void {
    const row = this.#find(name, "laneMemory");
    this.#emit(row);
    this.#memoryArgument(row, offset, align);
    this.#lane(row, lane);
  }

  /** An atomic load, store, read-modify-write, wait or notify. The address must be a multiple of the size. */
  atomic(name: AtomicName, offset: number = 0): void {
    const row = this.#find(name, "atomic");
    this.#emit(row);
    this.#memoryArgument(row, offset, undefined);
  }

  /** `i8x16.shuffle`: byte `i` of the result is byte `lanes[i]` of the two operands together, 0 to 31. */
  shuffle(lanes: ArrayLike<number>): void {
    const within = (lane: number) => Number.isInteger(lane) && lane >= 0 && lane < 32;
    if (lanes.length !== 16 || !Array.from(lanes).every(within)) {
      throw this.validator.error(
        "i8x16.shuffle",
        `expects 16 lanes from 0 to 31, found [${Array.from(lanes)}]`,
      );
    }
    this.begin(0xfd);
    this.code.byte(0x0d);
    this.validator.popAll(twoVectors, "i8x16.shuffle");
    this.code.bytes(lanes);
    this.validator.push("v128");
  }

  /** `select`: takes two values of one type and an i32; gives the first where the i32 is not zero. */
  select(): void {
    this.begin(0x1b);
    const validator = this.validator;
    validator.pop("i32", "select");
    const second = validator.popAny("select");
    const first = validator.popAny("select");
    if (first !== second && first !== "any" && second !== "any") {
      throw validator.error("select", `expects two values of one type, found [${first}, ${second}]`);
    }
    validator.push(first === "any" ? second : first);
  }

  /** Writes an opcode of one byte. */
  protected begin(opcode: number): void {
    this.validator.begin();
    this.code.byte(opcode);
  }

  #find(name: InstructionName, form: InstructionForm): Instruction {
    const row = instruction(name);
    if (row.form !== form) {
      const method = row.form === "plain" ? "op" : row.form;
      throw this.validator.error(name, `is emitted with FunctionBuilder.${method}`);
    }
    return row;
  }

  #emit(row: Instruction): void {
    const { validator } = this;
    validator.begin();
    this.code.bytes(row.opcode);
    const address = this.context.addressType;
    if (row.addressed && address === undefined) {
      throw validator.error(
        row.name,
        "needs a memory; declare it with importMemory or memory before the code",
      );
    }
    validator.apply(address === "i64" ? row.type64 : row.type, row.name);
  }

  #memoryArgument(row: Instruction, offset: number, align: number | undefined): void {
    const logarithm = align === undefined ? row.alignment : Math.log2(align);
    if (!(Number.isInteger(logarithm) && logarithm >= 0 && logarithm <= row.alignment)) {
      throw this.validator.error(
        row.name,
        `expects an alignment of 1 to ${2 ** row.alignment} bytes, found ${align}`,
      );
    }
    const limit = this.context.addressType === "i64" ? Number.MAX_SAFE_INTEGER : 0xffffffff;
    if (!(Number.isInteger(offset) && offset >= 0 && offset <= limit)) {
      throw this.validator.error(row.name, `expects an offset of 0 to ${limit} bytes, found ${offset}`);
    }
    this.code.byte(logarithm);
    this.code.unsigned(offset);
  }

  #lane(row: Instruction, lane: number): void {
    if (!(Number.isInteger(lane) && lane >= 0 && lane < row.lanes)) {
      throw this.validator.error(row.name, `expects a lane of 0 to ${row.lanes - 1}, found ${lane}`);
    }
    this.code.byte(lane);
  }

  #variable(opcode: number, local: Local, name: string): void {
    this.begin(opcode);
    if (this.variables[local.index] !== local) {
      throw this.validator.error(name, `local ${local.index} (${local.type}) belongs to another function`);
    }
    this.code.unsigned(local.index);
  }
}
