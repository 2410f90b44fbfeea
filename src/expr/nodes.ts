/**
 * The elementwise language: what one output element is, as a tree over the elements beside it.
 *
 * A dozen node kinds say everything elementwise. Arithmetic happens in one *compute type* for the whole program
 * (f32 for f32, f16 and bf16 tensors; i32 for i32, u8 and bool; i64; f64 on the reference device): elements are
 * converted to it when loaded and to the output's dtype when stored, so a cast needs no node. A comparison gives 1
 * or 0 in the compute type. Trees are immutable and may share parts (then they are graphs, and a device should
 * compute a shared part once).
 *
 * @module
 */

/** The type in which a program computes. */
export type ComputeType = "f32" | "f64" | "i32" | "i64";

/**
 * Functions of one element. `round` goes to nearest even, `sign` of 0 is 0 (of NaN, NaN), `not` is 1 for 0, else 0.
 * In f32 they are within 2 ulp of the truth; sin and cos up to |x| = 2^25, beyond which a device may give up.
 * For integer compute types only neg, abs, sign and not exist (rounding is the identity and left out by the simplifier).
 */
export type UnaryOp =
  | "neg"
  | "abs"
  | "sign"
  | "floor"
  | "ceil"
  | "round"
  | "trunc"
  | "sqrt"
  | "exp"
  | "expm1"
  | "log"
  | "log1p"
  | "sin"
  | "cos"
  | "tanh"
  | "erf"
  | "not";

/**
 * Functions of two elements. `min` and `max` pass NaN on, as IEEE 754-2019 minimum and maximum. `div` of integers
 * truncates, and gives 0 for a divisor of 0; `rem` has the sign of the dividend (JavaScript's %), and is 0 for an
 * integer divisor of 0. `pow` is C's, so that 1 to any power is 1, NaN included; an integer to a negative power is
 * 0 unless it is 1 or -1. Integers wrap around.
 */
export type BinaryOp = "add" | "sub" | "mul" | "div" | "rem" | "pow" | "min" | "max";

/** Comparisons; they give 1 or 0. Only `ne` is true for NaN. */
export type CompareOp = "eq" | "ne" | "lt" | "le" | "gt" | "ge";

/** One node of an expression. */
export type Expr =
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "input"; readonly index: number }
  | { readonly kind: "scalar"; readonly index: number }
  | { readonly kind: "unary"; readonly op: UnaryOp; readonly x: Expr }
  | { readonly kind: "binary"; readonly op: BinaryOp; readonly x: Expr; readonly y: Expr }
  | { readonly kind: "compare"; readonly op: CompareOp; readonly x: Expr; readonly y: Expr }
  | { readonly kind: "select"; readonly condition: Expr; readonly x: Expr; readonly y: Expr };

/** Expressions ready to run: one per output, over `inputs` tensors and `scalars` numbers given with each run. */
export interface Program {
  /** The same key means the same program: the name under which a device caches its kernel. */
  readonly key: string;
  /** The type of all arithmetic. */
  readonly type: ComputeType;
  /** How many tensors `input` nodes may name. */
  readonly inputs: number;
  /** How many numbers `scalar` nodes may name. */
  readonly scalars: number;
  /** One expression per output tensor. */
  readonly outputs: readonly Expr[];
}

/** The number `value`. */
export function constant(value: number): Expr {
  return { kind: "const", value };
}

/** The element of tensor operand number `index`. */
export function input(index: number): Expr {
  return { kind: "input", index };
}

/** Number `index` of those given with each run (it does not become part of the kernel). */
export function scalar(index: number): Expr {
  return { kind: "scalar", index };
}

/** `op(x)`. */
export function unary(op: UnaryOp, x: Expr): Expr {
  return { kind: "unary", op, x };
}

/** `op(x, y)`. */
export function binary(op: BinaryOp, x: Expr, y: Expr): Expr {
  return { kind: "binary", op, x, y };
}

/** `x op y`, 1 or 0. */
export function compare(op: CompareOp, x: Expr, y: Expr): Expr {
  return { kind: "compare", op, x, y };
}

/** `x` where `condition` is not 0, else `y`. Both sides are computed. */
export function select(condition: Expr, x: Expr, y: Expr): Expr {
  return { kind: "select", condition, x, y };
}
