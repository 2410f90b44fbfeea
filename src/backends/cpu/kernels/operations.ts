/**
 * What each node of the elementwise language is in vector instructions, for the compute types f32, i32 and i64.
 *
 * Truth values (comparisons, `not`, and what logic makes of them) live as masks, all bits or none; they become the
 * numbers 1 and 0 only where arithmetic reads them.
 *
 * @module
 */
import { DTypeError } from "../../../core/errors.ts";
import { toI32, toI64 } from "../../../expr/arithmetic.ts";
import type { BinaryOp, CompareOp, Expr, Program, UnaryOp } from "../../../expr/nodes.ts";
import { emitErf } from "../math/erf.ts";
import { emitExp, emitExpm1, emitTanh } from "../math/exp.ts";
import { emitDivide, emitExtreme64, emitIntegerPow, emitIntegerRemainder } from "../math/integer.ts";
import { emitLog, emitLog1p } from "../math/log.ts";
import { emitPow } from "../math/pow.ts";
import { emitRemainder } from "../math/remainder.ts";
import { emitCos, emitSin } from "../math/trigonometric.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";

/** One distinct part of a program. */
export interface Part {
  /** The node. */
  readonly expr: Expr;
  /** Places of its operands among the parts. */
  readonly operands: readonly number[];
  /** Whether it depends on constants and scalars alone. */
  readonly invariant: boolean;
  /** Whether it is 1 or 0 by its nature, and so lives as a mask. */
  readonly truth: boolean;
}

/** Access to the parts of a program while it is emitted: each is computed once, when it is asked for first. */
export interface Evaluation {
  /** Writes the code. */
  readonly writer: VectorWriter;
  /** The compute type. */
  readonly type: Program["type"];
  /** The part at `place`. */
  part(place: number): Part;
  /** Its value. */
  value(place: number): Vectors;
  /** Where it is not 0. */
  mask(place: number): Vectors;
}

/** The shape of a compute type's vectors. */
export type Shape = "f32x4" | "i32x4" | "i64x2";

/** The vectors that hold a compute type. */
export function shapeOf(type: Program["type"]): Shape {
  return type === "i64" ? "i64x2" : type === "i32" ? "i32x4" : "f32x4";
}

/** Whether a node is 1 or 0 by its nature, given whether its operands are. */
export function isTruth(expr: Expr, operands: readonly boolean[]): boolean {
  if (expr.kind === "compare") return true;
  if (expr.kind === "unary") return expr.op === "not";
  const logic = expr.kind === "binary" && (expr.op === "mul" || expr.op === "min" || expr.op === "max");
  return logic && operands.every((truth) => truth);
}

/** Whether a node takes a chain of many instructions. */
export function isLong(expr: Expr): boolean {
  if (expr.kind === "binary") return expr.op === "pow" || expr.op === "rem";
  return expr.kind === "unary" && expr.op in functions;
}

type Function1 = (w: VectorWriter, x: Vectors) => Vectors;

const functions: Partial<Record<UnaryOp, Function1>> = {
  exp: emitExp,
  expm1: emitExpm1,
  log: emitLog,
  log1p: emitLog1p,
  sin: emitSin,
  cos: emitCos,
  tanh: emitTanh,
  erf: emitErf,
};

/** The mask of the part at `place`: where it is not 0. */
export function emitMask(e: Evaluation, place: number): Vectors {
  const { writer: w } = e, shape = shapeOf(e.type);
  const { expr, operands, truth } = e.part(place);
  if (!truth) return w.op(`${shape}.ne`, e.value(place), w.constant(0, shape));
  const [x, y] = operands;
  switch (expr.kind) {
    case "unary": // not
      if (!e.part(x).truth) return w.op(`${shape}.eq`, e.value(x), w.constant(0, shape));
      return w.op("v128.not", e.mask(x));
    case "binary":
      return expr.op === "max" ? w.or(e.mask(x), e.mask(y)) : w.and(e.mask(x), e.mask(y));
    case "compare":
      if (expr.op === "ne" && e.part(x).truth) {
        if (e.part(y).truth) return w.xor(e.mask(x), e.mask(y));
        if (isConstant(e, y, 0)) return e.mask(x);
      }
      return w.op(compareName(shape, expr.op), e.value(x), e.value(y));
    default:
      throw new DTypeError(`an elementwise program takes ${expr.kind} for a truth value`);
  }
}

function compareName(shape: Shape, op: CompareOp): Parameters<VectorWriter["op"]>[0] {
  if (shape === "f32x4") return `f32x4.${op}`;
  return op === "eq" || op === "ne" ? `${shape}.${op}` : `${shape}.${op}_s`;
}

/** The value of the part at `place`; inputs and scalars are the evaluation's own affair. */
export function emitValue(e: Evaluation, place: number): Vectors {
  const { writer: w } = e, shape = shapeOf(e.type);
  const { expr, operands, truth } = e.part(place);
  if (truth) return w.and(e.mask(place), w.constant(1, shape));
  const [x, y, z] = operands;
  switch (expr.kind) {
    case "const":
      if (shape === "i64x2") return w.constant(toI64(expr.value), shape);
      return w.constant(shape === "i32x4" ? toI32(expr.value) : expr.value, shape);
    case "unary":
      return shape === "f32x4" ? unary(e, expr.op, x) : integerUnary(e, shape, expr.op, x);
    case "binary":
      return shape === "f32x4" ? binary(e, expr.op, x, y) : integerBinary(e, shape, expr.op, x, y);
    case "select":
      return w.select(e.mask(x), e.value(y), e.value(z));
    default:
      throw new DTypeError(`an elementwise program takes ${expr.kind} for an operation`);
  }
}

function unary(e: Evaluation, op: UnaryOp, place: number): Vectors {
  const { writer: w } = e;
  if (op === "exp") {
    const x = negativeMagnitude(e, place);
    if (x !== null) return emitExp(w, w.or(e.value(x), 0x80000000), true);
  }
  const x = e.value(place);
  const emit = functions[op];
  if (emit !== undefined) return emit(w, x);
  switch (op) {
    case "round":
      return w.op("f32x4.nearest", x);
    case "sign": {
      const sign = w.sub(
        w.and(w.op("f32x4.gt", x, 0), w.constant(1, "f32x4")),
        w.and(w.op("f32x4.lt", x, 0), w.constant(1, "f32x4")),
      );
      return w.select(w.op("f32x4.eq", x, x), sign, x);
    }
    default:
      return w.op(`f32x4.${op as "neg" | "abs" | "floor" | "ceil" | "trunc" | "sqrt"}`, x);
  }
}

/** x, where the part is -|x| the way `magnitude` of `expr/build.ts` writes it: -(x < 0 ? -x : x); else null. */
function negativeMagnitude(e: Evaluation, place: number): number | null {
  const outer = e.part(place);
  if (outer.expr.kind !== "unary" || outer.expr.op !== "neg") return null;
  const choice = e.part(outer.operands[0]);
  if (choice.expr.kind !== "select") return null;
  const [condition, negated, x] = choice.operands;
  const below = e.part(condition), inner = e.part(negated);
  const isBelow = below.expr.kind === "compare" && below.expr.op === "lt" && below.operands[0] === x &&
    isConstant(e, below.operands[1], 0);
  const isNegated = inner.expr.kind === "unary" && inner.expr.op === "neg" && inner.operands[0] === x;
  return isBelow && isNegated ? x : null;
}

function constantOf(e: Evaluation, place: number): number | null {
  const { expr } = e.part(place);
  return expr.kind === "const" ? expr.value : null;
}

function isConstant(e: Evaluation, place: number, value: number): boolean {
  return constantOf(e, place) === value;
}

function binary(e: Evaluation, op: BinaryOp, x: number, y: number): Vectors {
  const { writer: w } = e;
  switch (op) {
    case "rem":
      return emitRemainder(w, e.value(x), e.value(y));
    case "pow":
      if (isConstant(e, y, 2)) return w.mul(e.value(x), e.value(x));
      return emitPow(w, e.value(x), e.value(y));
    case "min":
    case "max": {
      const constant = constantOf(e, y) !== null ? y : x;
      const limit = constantOf(e, constant);
      if (limit !== null) {
        const bounded = bound(w, op, e.value(constant === y ? x : y), Math.fround(limit));
        if (bounded !== null) return bounded;
      }
      return w.op(`f32x4.${op}`, e.value(x), e.value(y));
    }
    default:
      return w.op(`f32x4.${op}`, e.value(x), e.value(y));
  }
}

/** min or max with a constant in one or two instructions, where full minimum and maximum are seven on x86. */
function bound(w: VectorWriter, op: "min" | "max", x: Vectors, limit: number): Vectors | null {
  if (Number.isNaN(limit) || (op === "min" && Object.is(limit, -0))) return null;
  if (op === "min") return w.atMost(x, limit);
  const y = w.atLeast(x, limit);
  return Object.is(limit, 0) ? w.add(y, 0) : y; // + 0 turns the -0 that was kept into 0
}

function integerUnary(e: Evaluation, shape: "i32x4" | "i64x2", op: UnaryOp, place: number): Vectors {
  const { writer: w } = e, x = e.value(place);
  switch (op) {
    case "neg":
    case "abs":
      return w.op(`${shape}.${op}`, x);
    case "sign": {
      const zero = w.constant(0, shape);
      return w.op(`${shape}.sub`, w.op(`${shape}.lt_s`, x, zero), w.op(`${shape}.gt_s`, x, zero));
    }
    case "floor":
    case "ceil":
    case "round":
    case "trunc":
      return x;
    default:
      throw new DTypeError(
        `${op} does not exist for integers; convert the operand to a floating-point dtype`,
      );
  }
}

function integerBinary(e: Evaluation, shape: "i32x4" | "i64x2", op: BinaryOp, x: number, y: number): Vectors {
  const { writer: w } = e, a = e.value(x), b = e.value(y);
  switch (op) {
    case "div":
      return emitDivide(w, shape, a, b);
    case "rem":
      return emitIntegerRemainder(w, shape, a, b);
    case "pow":
      return emitIntegerPow(w, shape, a, b);
    case "min":
    case "max":
      return shape === "i32x4" ? w.op(`i32x4.${op}_s`, a, b) : emitExtreme64(w, op, a, b);
    default:
      return w.op(`${shape}.${op}`, a, b);
  }
}
