/**
 * Short names for building expressions, so that a formula reads nearly as it does on paper.
 *
 * A number stands for the constant. Nothing is simplified here: what is written is what is built.
 *
 * @module
 */
import {
  binary,
  type BinaryOp,
  compare,
  type CompareOp,
  constant,
  type Expr,
  select as selectNode,
  unary,
  type UnaryOp,
} from "./nodes.ts";

/** An expression, or a number that stands for a constant. */
export type Term = Expr | number;

/** `x` as an expression. */
export function term(x: Term): Expr {
  return typeof x === "number" ? constant(x) : x;
}

function one(op: UnaryOp): (x: Term) => Expr {
  return (x) => unary(op, term(x));
}

function two(op: BinaryOp): (x: Term, y: Term) => Expr {
  return (x, y) => binary(op, term(x), term(y));
}

function comparison(op: CompareOp): (x: Term, y: Term) => Expr {
  return (x, y) => compare(op, term(x), term(y));
}

/** x + y. */
export const add: (x: Term, y: Term) => Expr = two("add");
/** x - y. */
export const sub: (x: Term, y: Term) => Expr = two("sub");
/** x · y. */
export const mul: (x: Term, y: Term) => Expr = two("mul");
/** x / y. */
export const div: (x: Term, y: Term) => Expr = two("div");
/** What is left of x after division by y, with the sign of x. */
export const rem: (x: Term, y: Term) => Expr = two("rem");
/** x to the power y. */
export const pow: (x: Term, y: Term) => Expr = two("pow");
/** The smaller; NaN is passed on. */
export const min: (x: Term, y: Term) => Expr = two("min");
/** The larger; NaN is passed on. */
export const max: (x: Term, y: Term) => Expr = two("max");

/** -x. */
export const neg: (x: Term) => Expr = one("neg");
/** |x|. */
export const abs: (x: Term) => Expr = one("abs");
/** -1, 0 or 1. */
export const sign: (x: Term) => Expr = one("sign");
/** ⌊x⌋. */
export const floor: (x: Term) => Expr = one("floor");
/** ⌈x⌉. */
export const ceil: (x: Term) => Expr = one("ceil");
/** The nearest whole number, halves to even. */
export const round: (x: Term) => Expr = one("round");
/** x without its fraction. */
export const trunc: (x: Term) => Expr = one("trunc");
/** √x. */
export const sqrt: (x: Term) => Expr = one("sqrt");
/** eˣ. */
export const exp: (x: Term) => Expr = one("exp");
/** eˣ - 1. */
export const expm1: (x: Term) => Expr = one("expm1");
/** ln x. */
export const log: (x: Term) => Expr = one("log");
/** ln(1 + x). */
export const log1p: (x: Term) => Expr = one("log1p");
/** sin x. */
export const sin: (x: Term) => Expr = one("sin");
/** cos x. */
export const cos: (x: Term) => Expr = one("cos");
/** tanh x. */
export const tanh: (x: Term) => Expr = one("tanh");
/** erf x. */
export const erf: (x: Term) => Expr = one("erf");
/** 1 where x is 0, else 0. */
export const not: (x: Term) => Expr = one("not");

/** x = y. */
export const eq: (x: Term, y: Term) => Expr = comparison("eq");
/** x ≠ y; true for NaN. */
export const ne: (x: Term, y: Term) => Expr = comparison("ne");
/** x < y. */
export const lt: (x: Term, y: Term) => Expr = comparison("lt");
/** x ≤ y. */
export const le: (x: Term, y: Term) => Expr = comparison("le");
/** x > y. */
export const gt: (x: Term, y: Term) => Expr = comparison("gt");
/** x ≥ y. */
export const ge: (x: Term, y: Term) => Expr = comparison("ge");

/** x where `condition` is not 0, else y. */
export function select(condition: Expr, x: Term, y: Term): Expr {
  return selectNode(condition, term(x), term(y));
}

/**
 * |x| whose derivative at 0 is 1, not 0: for formulas that take |x| against overflow and choose a branch by the
 * same `x < 0`. They are smooth at 0, and so they stay when differentiated symbolically.
 */
export function magnitude(x: Expr): Expr {
  return select(lt(x, 0), neg(x), x);
}

/** 1 / (1 + e⁻ˣ) with an exponential that cannot overflow, so that small results keep their precision. */
export function sigmoid(x: Expr): Expr {
  const e = exp(neg(magnitude(x)));
  return div(select(lt(x, 0), e, 1), add(1, e));
}
