/**
 * The body of one function, emitted as a stack machine: each method is one instruction and checks the types on the
 * stack at once; structure (block, loop, if) is a callback.
 *
 * Three conveniences are more than one instruction, because every kernel needs them: `forRange`, `increment` and
 * vector constants from lanes. Everything else is one method, one instruction.
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
  type ParametricName,
  type PlainName,
  type StoreName,
} from "./instructions.ts";
import {
  type AddressType,
  type BlockType,
  type FunctionType,
  type ValueType,
  valueTypeCodes,
} from "./types.ts";
import { type Frame, type FrameKind, type Operand, Validator } from "./validation.ts";

/** A parameter or local variable of one function. */
export interface Local {
  /** Its index; parameters come first. */
  readonly index: number;
  /** Its type. */
  readonly type: ValueType;
}

/** A global variable of a module. */
export interface Global {
  /** Its index; imported globals come first. */
  readonly index: number;
  /** Its type. */
  readonly type: ValueType;
  /** Whether it can be set. */
  readonly mutable: boolean;
}

/** A table of functions of a module. */
export interface Table {
  /** Its index; imported tables come first. */
  readonly index: number;
}

/** A function that can be called: imported, or a `FunctionBuilder`. */
export interface FunctionHandle {
  /** Its index; imported functions come first. */
  readonly index: number;
  /** Its name, for messages and profiles. */
  readonly name: string;
  /** What it takes and gives. */
  readonly type: FunctionType;
}

/** The target of a branch: the end of a block or if, the start of a loop. */
export interface Label {
  /** The frame that the label stands for; the emitter's own affair. */
  readonly frame: Frame;
}

/** What a bound of {@link FunctionBuilder.forRange} can be: a number, a local, or code that leaves one value. */
export type Bound = number | Local | (() => void);

/** What a function needs from its module. */
export interface FunctionContext {
  /** Index of a function type in the type section. */
  typeIndex(type: FunctionType): number;
  /** Type of addresses of memory 0; undefined when the module has no memory. */
  readonly addressType: AddressType | undefined;
}

const nothing: readonly ValueType[] = [];

/** Emits the body of one function; made by `ModuleBuilder.function`. */
export class FunctionBuilder implements FunctionHandle {
  readonly index: number;
  readonly name: string;
  readonly type: FunctionType;
  /** The parameters, in order. */
  readonly params: readonly Local[];
  #context: FunctionContext;
  #validator: Validator;
  #code: ByteWriter = new ByteWriter(1024);
  #locals: ValueType[] = [];

  /** Made by `ModuleBuilder.function`. */
  constructor(context: FunctionContext, index: number, name: string, type: FunctionType) {
    this.#context = context;
    this.index = index;
    this.name = name;
    this.type = type;
    this.params = type.params.map((param, i) => ({ index: i, type: param }));
    this.#validator = new Validator(name, type.results);
  }

  /** Types on the stack within the innermost block, the deepest first: for a look while writing a kernel. */
  get stack(): readonly Operand[] {
    return this.#validator.stack;
  }

  /** Bytes of code so far. */
  get length(): number {
    return this.#code.length;
  }

  /** A new local variable, zero at the start of the function. */
  local(type: ValueType): Local {
    if (valueTypeCodes[type] === undefined) {
      throw this.#validator.error("local", `there is no type ${String(type)}`);
    }
    this.#locals.push(type);
    return { index: this.type.params.length + this.#locals.length - 1, type };
  }

  /** `count` new locals of one type, such as the accumulators of a tile. */
  localArray(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  // Variables

  /** `local.get` */
  get(local: Local): void {
    this.#begin(0x20);
    this.#code.unsigned(local.index);
    this.#validator.push(local.type);
  }

  /** `local.set` */
  set(local: Local): void {
    this.#begin(0x21);
    this.#validator.pop(local.type, "local.set");
    this.#code.unsigned(local.index);
  }

  /** `local.tee` */
  tee(local: Local): void {
    this.#begin(0x22);
    this.#validator.pop(local.type, "local.tee");
    this.#code.unsigned(local.index);
    this.#validator.push(local.type);
  }

  /** `global.get` */
  globalGet(global: Global): void {
    this.#begin(0x23);
    this.#code.unsigned(global.index);
    this.#validator.push(global.type);
  }

  /** `global.set` */
  globalSet(global: Global): void {
    this.#begin(0x24);
    if (!global.mutable) throw this.#validator.error("global.set", `global ${global.index} is not mutable`);
    this.#validator.pop(global.type, "global.set");
    this.#code.unsigned(global.index);
  }

  // Constants

  /** `i32.const`; an integer from -2^31 to 2^32 - 1. */
  i32(value: number): void {
    this.#begin(0x41);
    this.#code.signed32(value);
    this.#validator.push("i32");
  }

  /** `i64.const`; an integer from -2^63 to 2^64 - 1. */
  i64(value: bigint | number): void {
    this.#begin(0x42);
    this.#code.signed64(value);
    this.#validator.push("i64");
  }

  /** `f32.const` */
  f32(value: number): void {
    this.#begin(0x43);
    this.#code.f32(value);
    this.#validator.push("f32");
  }

  /** `f64.const` */
  f64(value: number): void {
    this.#begin(0x44);
    this.#code.f64(value);
    this.#validator.push("f64");
  }

  /** `v128.const` of 16 bytes. */
  v128(bytes: ArrayLike<number>): void {
    if (bytes.length !== 16) {
      throw this.#validator.error("v128.const", `expects 16 bytes, found ${bytes.length}`);
    }
    this.#begin(0xfd);
    this.#code.byte(0x0c);
    this.#code.bytes(bytes);
    this.#validator.push("v128");
  }

  /** `v128.const` of 16 bytes, or one for all lanes. */
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
  i64x2(...lanes: bigint[]): void {
    this.v128(new Uint8Array(BigInt64Array.from(this.#lanes("i64x2", lanes, 2)).buffer));
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
    throw this.#validator.error(
      "v128.const",
      `${shape} expects ${count} lanes, or 1 for all, found ${lanes.length}`,
    );
  }

  // Instructions from the tables

  /** An instruction without immediates, by its mnemonic. */
  op(name: PlainName | ParametricName): void {
    switch (name) {
      case "nop":
        return this.#begin(0x01);
      case "drop":
        return this.drop();
      case "select":
        return this.select();
      case "return":
        return this.return();
      case "unreachable":
        return this.unreachable();
      default:
        this.#emit(this.#find(name, "plain"));
    }
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
      throw this.#validator.error(
        "i8x16.shuffle",
        `expects 16 lanes from 0 to 31, found [${Array.from(lanes)}]`,
      );
    }
    this.#begin(0xfd);
    this.#code.byte(0x0d);
    this.#validator.popAll(["v128", "v128"], "i8x16.shuffle");
    this.#code.bytes(lanes);
    this.#validator.push("v128");
  }

  // Parametric and control

  /** `drop` */
  drop(): void {
    this.#begin(0x1a);
    this.#validator.popAny("drop");
  }

  /** `select`: takes two values of one type and an i32; gives the first where the i32 is not zero. */
  select(): void {
    this.#begin(0x1b);
    const validator = this.#validator;
    validator.pop("i32", "select");
    const second = validator.popAny("select");
    const first = validator.popAny("select");
    if (first !== second && first !== "any" && second !== "any") {
      throw validator.error("select", `expects two values of one type, found [${first}, ${second}]`);
    }
    validator.push(first === "any" ? second : first);
  }

  /** `unreachable`: traps. */
  unreachable(): void {
    this.#begin(0x00);
    this.#validator.markUnreachable();
  }

  /** `return` */
  return(): void {
    this.#begin(0x0f);
    this.#validator.popAll(this.type.results, "return");
    this.#validator.markUnreachable();
  }

  /** `block`; a branch to its label leaves it. The type is what it gives, by default nothing. */
  block(body: (label: Label) => void): void;
  block(type: BlockType, body: (label: Label) => void): void;
  block(type: BlockType | ((label: Label) => void), body?: (label: Label) => void): void {
    this.#structure("block", 0x02, type, body);
  }

  /** `loop`; a branch to its label starts it again. The type is what it gives, by default nothing. */
  loop(body: (label: Label) => void): void;
  loop(type: BlockType, body: (label: Label) => void): void;
  loop(type: BlockType | ((label: Label) => void), body?: (label: Label) => void): void {
    this.#structure("loop", 0x03, type, body);
  }

  /** `if`: takes an i32. A branch to the label leaves it. The type is what both arms give, by default nothing. */
  if(then: (label: Label) => void, otherwise?: (label: Label) => void): void;
  if(type: BlockType, then: (label: Label) => void, otherwise?: (label: Label) => void): void;
  if(
    type: BlockType | ((label: Label) => void),
    then?: (label: Label) => void,
    otherwise?: (label: Label) => void,
  ): void {
    if (typeof type === "function") this.#structure("if", 0x04, undefined, type, then);
    else this.#structure("if", 0x04, type, then, otherwise);
  }

  /** `br` */
  br(label: Label): void {
    this.#begin(0x0c);
    this.#code.unsigned(this.#depth(label, "br"));
    this.#validator.popAll(labelTypes(label.frame), "br");
    this.#validator.markUnreachable();
  }

  /** `br_if`: takes an i32 and branches when it is not zero. */
  brIf(label: Label): void {
    this.#begin(0x0d);
    this.#code.unsigned(this.#depth(label, "br_if"));
    this.#validator.pop("i32", "br_if");
    const types = labelTypes(label.frame);
    this.#validator.popAll(types, "br_if");
    this.#validator.pushAll(types);
  }

  /** `br_table`: takes an i32 and branches to `labels[i]`, or to `otherwise` when it is out of range. */
  brTable(labels: readonly Label[], otherwise: Label): void {
    this.#begin(0x0e);
    const types = labelTypes(otherwise.frame);
    this.#code.unsigned(labels.length);
    for (const label of [...labels, otherwise]) {
      this.#code.unsigned(this.#depth(label, "br_table"));
      if (labelTypes(label.frame).join() !== types.join()) {
        throw this.#validator.error("br_table", "expects labels that all take the same types");
      }
    }
    this.#validator.pop("i32", "br_table");
    this.#validator.popAll(types, "br_table");
    this.#validator.markUnreachable();
  }

  /** `call` */
  call(callee: FunctionHandle): void {
    this.#begin(0x10);
    this.#code.unsigned(callee.index);
    this.#validator.popAll(callee.type.params, `call ${callee.name}`);
    this.#validator.pushAll(callee.type.results);
  }

  /** `call_indirect`: takes the arguments, then the i32 index of a function in the table. */
  callIndirect(type: FunctionType, table: Table): void {
    this.#begin(0x11);
    this.#code.unsigned(this.#context.typeIndex(type));
    this.#code.unsigned(table.index);
    this.#validator.pop("i32", "call_indirect");
    this.#validator.popAll(type.params, "call_indirect");
    this.#validator.pushAll(type.results);
  }

  // Conveniences

  /** `local += by`; the local is i32 or i64. */
  increment(local: Local, by: number | Local): void {
    this.get(local);
    this.#bound(by, local.type, "increment");
    this.op(local.type === "i64" ? "i64.add" : "i32.add");
    this.set(local);
  }

  /**
   * `for (i = from; i < to; i += step) body()`, as a guard and a loop with its test at the end: the form engines
   * compile best. `to` is evaluated in each turn, so pass a number or a local; a negative step counts down while
   * `i > to`.
   *
   * `i` is i32 or i64 and is compared signed, which suits counts (`to` may be below `from`: then nothing runs);
   * pass `unsigned` when `i` runs over addresses, which may pass 2^31. A branch to the label given to `body` leaves
   * the loop. After it, `i` is the first value that failed the test.
   */
  forRange(
    i: Local,
    from: Bound,
    to: Bound,
    step: number | Local,
    body: (exit: Label) => void,
    options: { readonly unsigned?: boolean } = {},
  ): void {
    if (i.type !== "i32" && i.type !== "i64") {
      throw this.#validator.error("forRange", `expects a variable of i32 or i64, found ${i.type}`);
    }
    if (step === 0) throw this.#validator.error("forRange", "expects a step other than 0");
    const down = typeof step === "number" && step < 0;
    const compare: PlainName = `${i.type}.${down ? "gt" : "lt"}_${options.unsigned ? "u" : "s"}`;
    this.#bound(from, i.type, "forRange");
    this.tee(i);
    this.#bound(to, i.type, "forRange");
    this.op(compare);
    this.if((exit) => {
      this.loop((again) => {
        body(exit);
        this.get(i);
        this.#bound(step, i.type, "forRange");
        this.op(`${i.type as AddressType}.add`);
        this.tee(i);
        this.#bound(to, i.type, "forRange");
        this.op(compare);
        this.brIf(again);
      });
    });
  }

  /** Ends the function: its results, and nothing else, must be on the stack. `ModuleBuilder.build` does it too. */
  end(): void {
    if (this.#validator.frames.length === 0) return;
    if (this.#validator.frames.length > 1) throw this.#validator.error("end", "a block is still open");
    this.#begin(0x0b);
    this.#validator.popFrame("end");
  }

  /** Writes the function as an entry of the code section; `ModuleBuilder.build` calls it. */
  writeTo(section: ByteWriter): void {
    this.end();
    const groups: [ValueType, number][] = [];
    for (const type of this.#locals) {
      const last = groups.at(-1);
      if (last?.[0] === type) last[1]++;
      else groups.push([type, 1]);
    }
    const head = new ByteWriter(16);
    head.unsigned(groups.length);
    for (const [type, count] of groups) {
      head.unsigned(count);
      head.byte(valueTypeCodes[type]);
    }
    section.unsigned(head.length + this.#code.length);
    section.bytes(head.view());
    section.bytes(this.#code.view());
  }

  #begin(opcode: number): void {
    this.#validator.count++;
    this.#code.byte(opcode);
  }

  #find(name: InstructionName, form: InstructionForm): Instruction {
    const row = instruction(name);
    if (row.form !== form) {
      const method = row.form === "plain" ? "op" : row.form;
      throw this.#validator.error(name, `is emitted with FunctionBuilder.${method}`);
    }
    return row;
  }

  #emit(row: Instruction): void {
    const validator = this.#validator;
    validator.count++;
    this.#code.bytes(row.opcode);
    const { params, results, name } = row;
    if (row.addressed) {
      const address = this.#context.addressType;
      if (address === undefined) {
        throw validator.error(name, "needs a memory; declare it with importMemory or memory before the code");
      }
      const resolve = (type: ValueType | "address"): ValueType => type === "address" ? address : type;
      validator.popAll(params.map(resolve), name);
      validator.pushAll(results.map(resolve));
      return;
    }
    validator.popAll(params as readonly ValueType[], name);
    validator.pushAll(results as readonly ValueType[]);
  }

  #memoryArgument(row: Instruction, offset: number, align: number | undefined): void {
    const logarithm = align === undefined ? row.alignment : Math.log2(align);
    if (!(Number.isInteger(logarithm) && logarithm >= 0 && logarithm <= row.alignment)) {
      throw this.#validator.error(
        row.name,
        `expects an alignment of 1 to ${2 ** row.alignment} bytes, found ${align}`,
      );
    }
    const limit = this.#context.addressType === "i64" ? Number.MAX_SAFE_INTEGER : 0xffffffff;
    if (!(Number.isInteger(offset) && offset >= 0 && offset <= limit)) {
      throw this.#validator.error(row.name, `expects an offset of 0 to ${limit} bytes, found ${offset}`);
    }
    this.#code.byte(logarithm);
    this.#code.unsigned(offset);
  }

  #lane(row: Instruction, lane: number): void {
    if (!(Number.isInteger(lane) && lane >= 0 && lane < row.lanes)) {
      throw this.#validator.error(row.name, `expects a lane of 0 to ${row.lanes - 1}, found ${lane}`);
    }
    this.#code.byte(lane);
  }

  #bound(bound: Bound, type: ValueType, what: string): void {
    if (typeof bound === "number") return type === "i64" ? this.i64(bound) : this.i32(bound);
    if (typeof bound === "function") return bound();
    if (bound.type !== type) {
      throw this.#validator.error(what, `expects a local of ${type}, found ${bound.type}`);
    }
    this.get(bound);
  }

  #depth(label: Label, what: string): number {
    const { frames } = this.#validator;
    const position = label.frame.open ? frames.lastIndexOf(label.frame) : -1;
    if (position < 0) throw this.#validator.error(what, "the label belongs to a block that is not open here");
    return frames.length - 1 - position;
  }

  #structure(
    kind: FrameKind,
    opcode: number,
    type: BlockType | ((label: Label) => void),
    body: ((label: Label) => void) | undefined,
    otherwise?: (label: Label) => void,
  ): void {
    const blockType = typeof type === "function" ? undefined : type;
    const fill = typeof type === "function" ? type : body;
    if (fill === undefined) throw this.#validator.error(kind, "expects a function that emits its body");
    this.#begin(opcode);
    const validator = this.#validator;
    let params = nothing;
    let results = nothing;
    if (blockType === undefined) this.#code.byte(0x40);
    else if (typeof blockType === "string") {
      this.#code.byte(valueTypeCodes[blockType]);
      results = [blockType];
    } else {
      ({ params, results } = blockType);
      this.#code.signed32(this.#context.typeIndex(blockType));
    }
    if (kind === "if") validator.pop("i32", "if");
    validator.popAll(params, kind);
    let frame = validator.pushFrame(kind, params, results);
    fill({ frame });
    if (otherwise !== undefined) {
      validator.popFrame("else");
      this.#begin(0x05);
      frame = validator.pushFrame("else", params, results);
      otherwise({ frame });
    } else if (kind === "if" && params.join() !== results.join()) {
      throw validator.error("if", `gives [${results.join(", ")}], so it needs a second arm`);
    }
    validator.popFrame(`end of ${kind}`);
    this.#begin(0x0b);
    validator.pushAll(results);
  }
}

function labelTypes(frame: Frame): readonly ValueType[] {
  return frame.kind === "loop" ? frame.params : frame.results;
}
