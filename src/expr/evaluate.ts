/**
 * Programs run in plain JavaScript, one element at a time: the meaning that every device is measured against.
 *
 * A program becomes a list of steps over numbered slots, each a closure (no code is generated, so it works under any
 * content security policy). Shared parts are computed once.
 *
 * @module
 */
import { DTypeError } from "../core/errors.ts";
import { type Arithmetic, bigintArithmetic, numberArithmetic } from "./arithmetic.ts";
import { nodesOf } from "./graph.ts";
import type { Expr, Program } from "./nodes.ts";

/** Computes one element: reads `inputs` and `scalars`, writes one number per output to `out`. */
export type Evaluate<T> = (inputs: ArrayLike<T>, scalars: readonly number[], out: T[]) => void;

/**
 * The evaluator of a program that computes in f32, f64 or i32. f32 is worked out in double precision and not rounded
 * at the end: storing does that.
 *
 * @throws {DTypeError} for an i64 program, and for a function that integers do not have.
 */
export function compileJs(program: Program): Evaluate<number> {
  if (program.type === "i64") throw new DTypeError("an i64 program computes on bigint: use compileJsI64");
  return compile(program, numberArithmetic[program.type]);
}

/**
 * The evaluator of an i64 program, on bigint with wraparound.
 *
 * @throws {DTypeError} for a program of another type, and for a function that integers do not have.
 */
export function compileJsI64(program: Program): Evaluate<bigint> {
  if (program.type !== "i64") {
    throw new DTypeError(`an ${program.type} program computes on numbers: use compileJs`);
  }
  return compile(program, bigintArithmetic);
}

type Step<T> = (slots: T[]) => void;

function compile<T>(program: Program, arithmetic: Arithmetic<T>): Evaluate<T> {
  const slotOf = new Map<Expr, number>(), slots: T[] = [], steps: Step<T>[] = [];
  const inputs: [slot: number, index: number][] = [], scalars: [slot: number, index: number][] = [];
  for (const node of nodesOf(program.outputs)) {
    const slot = slotOf.size;
    slotOf.set(node, slot);
    slots.push(arithmetic.from(0));
    if (node.kind === "const") slots[slot] = arithmetic.from(node.value);
    else if (node.kind === "input") inputs.push([slot, node.index]);
    else if (node.kind === "scalar") scalars.push([slot, node.index]);
    else steps.push(step(node, slot, (x) => slotOf.get(x) as number, program.type, arithmetic));
  }
  const results = program.outputs.map((node) => slotOf.get(node) as number);
  return (values, numbers, out) => {
    for (const [slot, index] of inputs) slots[slot] = values[index];
    for (const [slot, index] of scalars) slots[slot] = arithmetic.from(numbers[index]);
    for (const step of steps) step(slots);
    for (let k = 0; k < results.length; k++) out[k] = slots[results[k]];
  };
}

function step<T>(
  node: Exclude<Expr, { kind: "const" | "input" | "scalar" }>,
  to: number,
  slotOf: (operand: Expr) => number,
  type: string,
  arithmetic: Arithmetic<T>,
): Step<T> {
  const x = slotOf(node.x);
  switch (node.kind) {
    case "unary": {
      const f = arithmetic.unary[node.op];
      if (f === undefined) {
        throw new DTypeError(`${node.op} is not defined for ${type}; convert to f32 first`);
      }
      return (slots) => slots[to] = f(slots[x]);
    }
    case "binary": {
      const f = arithmetic.binary[node.op], y = slotOf(node.y);
      return (slots) => slots[to] = f(slots[x], slots[y]);
    }
    case "compare": {
      const f = arithmetic.compare[node.op],
        y = slotOf(node.y),
        yes = arithmetic.from(1),
        no = arithmetic.from(0);
      return (slots) => slots[to] = f(slots[x], slots[y]) ? yes : no;
    }
    case "select": {
      const y = slotOf(node.y), condition = slotOf(node.condition);
      return (slots) => slots[to] = arithmetic.truth(slots[condition]) ? slots[x] : slots[y];
    }
  }
}
