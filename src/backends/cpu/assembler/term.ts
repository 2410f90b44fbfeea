/**
 * Expressions: a term is code that leaves one value on the stack, written where it is used.
 *
 * `args.load(8).plus(i.times(4))` stands for five instructions and emits just these, in this order, when it is pushed. A
 * variable is a term, and so is what operators make of terms; numbers are constants of the type that is wanted there.
 *
 * @module
 */
import type { ExpressionBuilder } from "./expression.ts";
import { instruction, type LoadName, type PlainName } from "./instructions.ts";
import type { ValueType } from "./types.ts";

/** What leaves one value: a term, or a number. */
export type Value = Term | number;

/** An instruction of whatever type the term on its left has: `add` is `i32.add` or `i64.add`. */
export type ScalarName = PlainName extends infer Name ? Name extends `i32.${infer Rest}` ? Rest : never
  : never;

/** Code that leaves one value. */
export class Term {
  /** The type of the value. */
  readonly type: ValueType;
  readonly #emit: (f: ExpressionBuilder) => void;

  /** Of code that leaves one value of `type`. */
  constructor(type: ValueType, emit: (f: ExpressionBuilder) => void) {
    this.type = type;
    this.#emit = emit;
  }

  /** A constant i32, for the left side of an operator. */
  static i32(value: number): Term {
    return new Term("i32", (f) => f.i32(value));
  }

  /** Emits the code. */
  emit(f: ExpressionBuilder): void {
    this.#emit(f);
  }

  /** An instruction with this as its first operand. */
  op(name: ScalarName | PlainName, ...others: readonly Value[]): Term {
    const full = (name.includes(".") ? name : `${this.type}.${name}`) as PlainName;
    return new Term(instruction(full).type.results[0], (f) => {
      this.emit(f);
      f.op(full, ...others);
    });
  }

  /** `add` */
  plus(other: Value): Term {
    return this.op("add", other);
  }

  /** `sub` */
  minus(other: Value): Term {
    return this.op("sub", other);
  }

  /** `mul` */
  times(other: Value): Term {
    return this.op("mul", other);
  }

  /** `and` */
  and(other: Value): Term {
    return this.op("and", other);
  }

  /** `or` */
  or(other: Value): Term {
    return this.op("or", other);
  }

  /** `shl` */
  shl(other: Value): Term {
    return this.op("shl", other);
  }

  /** What lies at this address; see {@link ExpressionBuilder.load}. */
  load(offset: number = 0, name: LoadName = "i32.load", align?: number): Term {
    return new Term(instruction(name).type.results[0], (f) => {
      this.emit(f);
      f.load(name, offset, align);
    });
  }

  /** `first` where this i32 is not zero, else `second`. */
  select(first: Term, second: Value): Term {
    return new Term(first.type, (f) => {
      f.push(first, second, this);
      f.select();
    });
  }

  /** `local.tee` of this. */
  tee(local: Local): Term {
    return new Term(local.type, (f) => f.tee(local, this));
  }
}

/** A parameter or local variable of one function. */
export class Local extends Term {
  /** Its index; parameters come first. */
  readonly index: number;

  /** Made by `local` of a function. */
  constructor(index: number, type: ValueType) {
    super(type, (f) => f.get(this));
    this.index = index;
  }
}
