/**
 * The validation algorithm of the specification (appendix "Validation Algorithm"): a stack of operand types and a
 * stack of control frames, kept while instructions are emitted, so that a mistake is reported where it is made.
 *
 * After a jump the rest of a block cannot be reached: there the stack gives any type that is asked for.
 *
 * @module
 */

import { type FunctionType, ValidationError, type ValueType } from "./types.ts";

/** The type of an operand; `"any"` is one that unreachable code took from below its block. */
export type Operand = ValueType | "any";

/** What opened a frame. */
export type FrameKind = "function" | "block" | "loop" | "if" | "else";

/** A block that is open. */
export interface Frame {
  /** What opened it. */
  kind: FrameKind;
  /** Types it takes. */
  readonly params: readonly ValueType[];
  /** Types it gives. */
  readonly results: readonly ValueType[];
  /** Operands below it. */
  readonly height: number;
  /** Whether a jump was emitted, so that what follows cannot run. */
  unreachable: boolean;
  /** Whether it is still open. */
  open: boolean;
}

/** Operand and control stacks of one function. */
export class Validator {
  /** Name of the function, for messages. */
  readonly name: string;
  /** Instructions checked so far. */
  count = 0;
  /** Frames that are open, the function's own first. */
  readonly frames: Frame[] = [];
  #operands: Operand[] = [];

  /**
   * The stacks at the start of a function.
   *
   * @param name name of the function, for messages
   * @param results what the function must leave
   */
  constructor(name: string, results: readonly ValueType[]) {
    this.name = name;
    this.pushFrame("function", [], results);
  }

  /** The innermost open frame. */
  get frame(): Frame {
    return this.frames[this.frames.length - 1];
  }

  /** Types on the stack within the innermost frame, the deepest first. */
  get stack(): readonly Operand[] {
    return this.#operands.slice(this.frames.length === 0 ? 0 : this.frame.height);
  }

  /** Counts the instruction that is about to be emitted. */
  begin(): void {
    this.count++;
    if (this.frames.length === 0) throw this.error("an instruction", "the function is already ended");
  }

  /** An error that names the function and the instruction. */
  error(instruction: string, problem: string): ValidationError {
    return new ValidationError(`${this.name}: ${instruction} (instruction ${this.count}): ${problem}`);
  }

  /** Puts one operand. */
  push(type: Operand): void {
    this.#operands.push(type);
  }

  /** Puts operands, the deepest first. */
  pushAll(types: readonly Operand[]): void {
    for (let i = 0; i < types.length; i++) this.#operands.push(types[i]);
  }

  /** Takes one operand of any type. */
  popAny(instruction: string): Operand {
    const frame = this.frame;
    if (this.#operands.length === frame.height) {
      if (frame.unreachable) return "any";
      throw this.error(instruction, `expects one more operand, found an empty stack in this ${frame.kind}`);
    }
    return this.#operands.pop() as Operand;
  }

  /** Takes operands of these types, the deepest first in `types`; checks all before it takes any. */
  popAll(types: readonly ValueType[], instruction: string): void {
    const operands = this.#operands;
    const frame = this.frame;
    let top = operands.length;
    for (let i = types.length - 1; i >= 0; i--) {
      if (top === frame.height) {
        if (frame.unreachable) break;
        throw this.#mismatch(types, instruction);
      }
      const found = operands[--top];
      if (found !== types[i] && found !== "any") throw this.#mismatch(types, instruction);
    }
    operands.length = top;
  }

  /** Takes the parameters and puts the results of an instruction or function. */
  apply(type: FunctionType, instruction: string): void {
    if (type.params.length > 0) this.popAll(type.params, instruction);
    this.pushAll(type.results);
  }

  /** Takes one operand of this type. */
  pop(type: ValueType, instruction: string): void {
    const operands = this.#operands;
    const frame = this.frame;
    if (operands.length === frame.height) {
      if (frame.unreachable) return;
      throw this.#mismatch([type], instruction);
    }
    const found = operands[operands.length - 1];
    if (found !== type && found !== "any") throw this.#mismatch([type], instruction);
    operands.length--;
  }

  #mismatch(types: readonly ValueType[], instruction: string): ValidationError {
    const stack = this.stack;
    const found = stack.slice(Math.max(0, stack.length - types.length));
    const where = stack.length < types.length ? ` in this ${this.frame.kind}` : "";
    return this.error(
      instruction,
      `expects [${types.join(", ")}] on the stack, found [${found.join(", ")}]${where}`,
    );
  }

  /** Opens a frame whose parameters were taken off the stack already. */
  pushFrame(kind: FrameKind, params: readonly ValueType[], results: readonly ValueType[]): Frame {
    const frame: Frame = {
      kind,
      params,
      results,
      height: this.#operands.length,
      unreachable: false,
      open: true,
    };
    this.frames.push(frame);
    this.pushAll(params);
    return frame;
  }

  /** Closes the innermost frame: its results, and nothing else, must be on the stack. They are taken off. */
  popFrame(instruction: string): Frame {
    const frame = this.frame;
    const extra = this.#operands.length - frame.height - frame.results.length;
    if (extra > 0) {
      throw this.error(
        instruction,
        `this ${frame.kind} must leave [${frame.results.join(", ")}], found [${this.stack.join(", ")}]`,
      );
    }
    this.popAll(frame.results, instruction);
    this.frames.pop();
    frame.open = false;
    return frame;
  }

  /** Notes that what follows in the innermost frame cannot run. */
  markUnreachable(): void {
    const frame = this.frame;
    this.#operands.length = frame.height;
    frame.unreachable = true;
  }
}
