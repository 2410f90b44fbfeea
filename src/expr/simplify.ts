/**
 * Simplification that changes no result: what comes out computes the same bits for every input, NaN, infinities and
 * signed zeros included.
 *
 * So `x · 1` goes but `x + 0` stays (it turns -0 into 0), and `x · 0` stays (it is NaN for infinite x); the
 * differentiator drops its structural zeros itself. Constants are folded where every runtime gives the same number:
 * arithmetic, rounding, square roots, comparisons, but not exp or log. Folding happens in double precision, which
 * only makes constants such as 1 / √2 more exact. For integers more holds: x + 0, x · 0, x - x.
 *
 * @module
 */
import { bigintArithmetic, numberArithmetic } from "./arithmetic.ts";
import { Interner, rewrite } from "./graph.ts";
import {
  binary,
  type BinaryOp,
  compare,
  type CompareOp,
  type ComputeType,
  constant,
  type Expr,
  unary,
  type UnaryOp,
} from "./nodes.ts";

const roundings: ReadonlySet<string> = new Set(["floor", "ceil", "round", "trunc"]);
const exact: ReadonlySet<string> = new Set(["neg", "abs", "sign", "sqrt", "not", ...roundings]);
const opposite: Readonly<Record<CompareOp, CompareOp>> = {
  eq: "ne",
  ne: "eq",
  lt: "ge",
  ge: "lt",
  gt: "le",
  le: "gt",
};

/** Simplifies expressions of one compute type; what it returns shares every equal part. */
export class Simplifier {
  readonly #integer: boolean;
  readonly #type: ComputeType;
  readonly #interner = new Interner();
  readonly #done = new Map<Expr, Expr>();

  /** A simplifier for programs that compute in `type`. */
  constructor(type: ComputeType) {
    this.#type = type;
    this.#integer = type === "i32" || type === "i64";
  }

  /** An expression with the same value everywhere, no larger than `expr`. */
  simplify(expr: Expr): Expr {
    return rewrite(expr, (node) => this.#make(node), this.#done);
  }

  #make(node: Expr): Expr {
    const better = this.#improve(node);
    return better === node
      ? this.#interner.add(node)
      : rewrite(better, (part) => this.#make(part), this.#done);
  }

  #improve(node: Expr): Expr {
    switch (node.kind) {
      case "const":
        return this.#integer && !Number.isInteger(node.value) ? constant(this.#whole(node.value)) : node;
      case "unary":
        return this.#unary(node, node.op, node.x);
      case "binary":
        return this.#binary(node, node.op, node.x, node.y);
      case "compare": {
        const { x, y } = node;
        if (x.kind !== "const" || y.kind !== "const") return node;
        const { from, compare } = numberArithmetic[this.#type === "f32" ? "f32" : "f64"];
        return constant(compare[node.op](from(x.value), from(y.value)) ? 1 : 0);
      }
      case "select": {
        const { condition, x, y } = node;
        if (condition.kind === "const") return condition.value !== 0 ? x : y;
        if (x === y) return x;
        if (condition.kind === "unary" && condition.op === "not") {
          return { ...node, condition: condition.x, x: y, y: x };
        }
        if (condition.kind === "compare" && condition.op === "ne" && isConstant(condition.y, 0)) {
          return { ...node, condition: condition.x };
        }
        return node;
      }
      default:
        return node;
    }
  }

  /** A constant as the integer type holds it. */
  #whole(value: number): number {
    return this.#type === "i32" ? numberArithmetic.i32.from(value) : Number(bigintArithmetic.from(value));
  }

  #unary(node: Expr, op: UnaryOp, x: Expr): Expr {
    if (this.#integer && roundings.has(op)) return x;
    if (x.kind === "const" && exact.has(op)) {
      const folded = this.#fold(op, x.value);
      if (folded !== null) return folded;
    }
    if (op === "not" && x.kind === "compare" && (this.#integer || x.op === "eq" || x.op === "ne")) {
      return compare(opposite[x.op], x.x, x.y);
    }
    if (x.kind !== "unary") return node;
    if (op === "neg" && x.op === "neg") return x.x;
    if (op === "abs" && (x.op === "neg" || x.op === "abs")) return x.op === "abs" ? x : unary("abs", x.x);
    if (roundings.has(op) && roundings.has(x.op)) return x;
    return node;
  }

  #binary(node: Expr, op: BinaryOp, x: Expr, y: Expr): Expr {
    if (x.kind === "const" && y.kind === "const" && op !== "pow") {
      const folded = this.#fold(op, x.value, y.value);
      if (folded !== null) return folded;
    }
    switch (op) {
      case "add":
        // x + -0 is x for every x, x + 0 is not.
        if (isConstant(y, this.#integer ? 0 : -0)) return x;
        if (isConstant(x, this.#integer ? 0 : -0)) return y;
        if (isNegation(y)) return binary("sub", x, y.x);
        return isNegation(x) ? binary("sub", y, x.x) : node;
      case "sub":
        if (isConstant(y, 0)) return x;
        if (this.#integer && x === y) return constant(0);
        return isNegation(y) ? binary("add", x, y.x) : node;
      case "mul":
        if (isConstant(y, 1)) return x;
        if (isConstant(x, 1)) return y;
        if (isConstant(y, -1)) return unary("neg", x);
        if (isConstant(x, -1)) return unary("neg", y);
        if (this.#integer && (isConstant(x, 0) || isConstant(y, 0))) return constant(0);
        return isNegation(x) && isNegation(y) ? binary("mul", x.x, y.x) : node;
      case "div":
        if (isConstant(y, 1)) return x;
        if (isConstant(y, -1)) return unary("neg", x);
        return isNegation(x) && isNegation(y) && !this.#integer ? binary("div", x.x, y.x) : node;
      case "pow":
        if (isConstant(y, 0)) return constant(1);
        if (isConstant(y, 1)) return x;
        if (isConstant(y, 2)) return binary("mul", x, x);
        if (isConstant(y, 3)) return binary("mul", binary("mul", x, x), x);
        if (isConstant(y, -1) && !this.#integer) return binary("div", constant(1), x);
        return node;
      case "min":
      case "max":
        return x === y ? x : node;
      default:
        return node;
    }
  }

  /** `op` of constants, or null where the result is no safe number of the type. */
  #fold(op: UnaryOp | BinaryOp, ...values: number[]): Expr | null {
    if (this.#type === "i64") {
      const result = bigintArithmetic.from(0), [x, y] = values.map(bigintArithmetic.from);
      const folded = y === undefined
        ? bigintArithmetic.unary[op as UnaryOp]?.(x)
        : bigintArithmetic.binary[op as BinaryOp](x, y);
      const safe = values.every(Number.isSafeInteger) && Number.isSafeInteger(Number(folded ?? result));
      return folded !== undefined && safe ? constant(Number(folded)) : null;
    }
    const arithmetic = numberArithmetic[this.#type === "i32" ? "i32" : "f64"], [x, y] = values;
    const folded = y === undefined
      ? arithmetic.unary[op as UnaryOp]?.(x)
      : arithmetic.binary[op as BinaryOp](x, y);
    return folded === undefined ? null : constant(folded);
  }
}

function isConstant(expr: Expr, value: number): boolean {
  return expr.kind === "const" && Object.is(expr.value, value);
}

function isNegation(expr: Expr): expr is Extract<Expr, { kind: "unary" }> {
  return expr.kind === "unary" && expr.op === "neg";
}

/** `expr` made smaller without changing its value in compute type `type` (default f32; f64 is the same). */
export function simplify(expr: Expr, type: ComputeType = "f32"): Expr {
  return new Simplifier(type).simplify(expr);
}
