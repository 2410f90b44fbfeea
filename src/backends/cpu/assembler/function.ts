/**
 * The body of one function, emitted as a stack machine: each method is one instruction; structure (block, loop, if)
 * is a callback.
 *
 * Two conveniences are more than one instruction, because every kernel needs them: `forRange` and `increment`.
 *
 * @module
 */

import { ByteWriter } from "./encoding.ts";
import { ExpressionBuilder, type FunctionContext } from "./expression.ts";
import type { ParametricName, PlainName } from "./instructions.ts";
import type { Local, Value } from "./term.ts";
import {
  type AddressType,
  type BlockType,
  type FunctionType,
  type ValueType,
  valueTypeCodes,
} from "./types.ts";
import type { Frame, FrameKind } from "./validation.ts";

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

const nothing: readonly ValueType[] = [];

/** Emits the body of one function; made by `ModuleBuilder.function`. */
export class FunctionBuilder extends ExpressionBuilder implements FunctionHandle {
  readonly index: number;
  readonly name: string;
  readonly type: FunctionType;

  /** Made by `ModuleBuilder.function`. */
  constructor(context: FunctionContext, index: number, name: string, type: FunctionType) {
    super(context, name, type);
    this.index = index;
    this.name = name;
    this.type = type;
  }

  /** The parameters, in order. */
  get params(): readonly Local[] {
    return this.variables.slice(0, this.type.params.length);
  }

  /** An instruction without immediates, by its mnemonic. */
  override op(name: PlainName | ParametricName, ...values: readonly Value[]): void {
    switch (name) {
      case "nop":
        return this.begin(0x01);
      case "drop":
        return this.drop();
      case "select":
        return this.select();
      case "return":
        return this.return();
      case "unreachable":
        return this.unreachable();
      default:
        super.op(name, ...values);
    }
  }

  /** `drop` */
  drop(): void {
    this.begin(0x1a);
    this.validator.popAny("drop");
  }

  /** `unreachable`: traps. */
  unreachable(): void {
    this.begin(0x00);
    this.validator.markUnreachable();
  }

  /** `return` */
  return(): void {
    this.begin(0x0f);
    this.validator.popAll(this.type.results, "return");
    this.validator.markUnreachable();
  }

  /** `block`; a branch to its label leaves it. The type is what it gives, by default nothing. */
  block(body: (label: Label) => void): void;
  /** `block` that gives, or takes and gives, values. */
  block(type: BlockType, body: (label: Label) => void): void;
  block(type: BlockType | ((label: Label) => void), body?: (label: Label) => void): void {
    this.#structure("block", 0x02, type, body);
  }

  /** `loop`; a branch to its label starts it again. The type is what it gives, by default nothing. */
  loop(body: (label: Label) => void): void;
  /** `loop` that gives, or takes and gives, values. */
  loop(type: BlockType, body: (label: Label) => void): void;
  loop(type: BlockType | ((label: Label) => void), body?: (label: Label) => void): void {
    this.#structure("loop", 0x03, type, body);
  }

  /** `if`: takes an i32. A branch to the label leaves it. The type is what both arms give, by default nothing. */
  if(then: (label: Label) => void, otherwise?: (label: Label) => void): void;
  /** `if` whose arms give, or take and give, values. */
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
    this.begin(0x0c);
    this.code.unsigned(this.#depth(label, "br"));
    this.validator.popAll(labelTypes(label.frame), "br");
    this.validator.markUnreachable();
  }

  /** `br_if`: takes an i32, from the stack or as a value, and branches when it is not zero. */
  brIf(label: Label, condition?: Value): void {
    if (condition !== undefined) this.push(condition);
    this.begin(0x0d);
    this.code.unsigned(this.#depth(label, "br_if"));
    this.validator.pop("i32", "br_if");
    const types = labelTypes(label.frame);
    this.validator.popAll(types, "br_if");
    this.validator.pushAll(types);
  }

  /** `br_table`: takes an i32 and branches to `labels[i]`, or to `otherwise` when it is out of range. */
  brTable(labels: readonly Label[], otherwise: Label): void {
    this.begin(0x0e);
    const types = labelTypes(otherwise.frame);
    this.code.unsigned(labels.length);
    for (const label of [...labels, otherwise]) {
      this.code.unsigned(this.#depth(label, "br_table"));
      if (labelTypes(label.frame).join() !== types.join()) {
        throw this.validator.error("br_table", "expects labels that all take the same types");
      }
    }
    this.validator.pop("i32", "br_table");
    this.validator.popAll(types, "br_table");
    this.validator.markUnreachable();
  }

  /** `call` */
  call(callee: FunctionHandle): void {
    this.begin(0x10);
    this.code.unsigned(callee.index);
    this.validator.apply(callee.type, `call ${callee.name}`);
  }

  /** `call_indirect`: takes the arguments, then the i32 index of a function in the table. */
  callIndirect(type: FunctionType, table: Table): void {
    this.begin(0x11);
    this.code.unsigned(this.context.typeIndex(type));
    this.code.unsigned(table.index);
    this.validator.pop("i32", "call_indirect");
    this.validator.apply(type, "call_indirect");
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
      throw this.validator.error("forRange", `expects a variable of i32 or i64, found ${i.type}`);
    }
    if (step === 0) throw this.validator.error("forRange", "expects a step other than 0");
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
    if (this.validator.frames.length === 0) return;
    if (this.validator.frames.length > 1) throw this.validator.error("end", "a block is still open");
    this.begin(0x0b);
    this.validator.popFrame("end");
  }

  /** Writes the function as an entry of the code section; `ModuleBuilder.build` calls it. */
  writeTo(section: ByteWriter): void {
    this.end();
    const groups: [ValueType, number][] = [];
    for (const { type } of this.variables.slice(this.type.params.length)) {
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
    section.unsigned(head.length + this.code.length);
    section.bytes(head.view());
    section.bytes(this.code.view());
  }

  #bound(bound: Bound, type: ValueType, what: string): void {
    if (typeof bound === "number") return type === "i64" ? this.i64(bound) : this.i32(bound);
    if (typeof bound === "function") return bound();
    if (bound.type !== type) {
      throw this.validator.error(what, `expects a local of ${type}, found ${bound.type}`);
    }
    this.get(bound);
  }

  #depth(label: Label, what: string): number {
    const { frames } = this.validator;
    const position = label.frame.open ? frames.lastIndexOf(label.frame) : -1;
    if (position < 0) throw this.validator.error(what, "the label belongs to a block that is not open here");
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
    if (fill === undefined) throw this.validator.error(kind, "expects a function that emits its body");
    this.begin(opcode);
    const validator = this.validator;
    let params = nothing;
    let results = nothing;
    if (blockType === undefined) this.code.byte(0x40);
    else if (typeof blockType === "string") {
      this.code.byte(valueTypeCodes[blockType]);
      results = [blockType];
    } else {
      ({ params, results } = blockType);
      this.code.signed32(this.context.typeIndex(blockType));
    }
    if (kind === "if") validator.pop("i32", "if");
    validator.popAll(params, kind);
    let frame = validator.pushFrame(kind, params, results);
    fill({ frame });
    if (otherwise !== undefined) {
      validator.popFrame("else");
      this.begin(0x05);
      frame = validator.pushFrame("else", params, results);
      otherwise({ frame });
    } else if (kind === "if" && params.join() !== results.join()) {
      throw validator.error("if", `gives [${results.join(", ")}], so it needs a second arm`);
    }
    validator.popFrame(`end of ${kind}`);
    this.begin(0x0b);
    validator.pushAll(results);
  }
}

function labelTypes(frame: Frame): readonly ValueType[] {
  return frame.kind === "loop" ? frame.params : frame.results;
}
