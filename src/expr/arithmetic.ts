/**
 * What the operators of an expression mean in each compute type, one number at a time.
 *
 * f32 programs are worked out in double precision (constants and scalars are rounded to f32 first, as a device holds
 * them), so the result is the one a device approaches. i32 and i64 wrap around; dividing an integer by 0 gives 0,
 * and so does the remainder.
 *
 * @module
 */
import type { BinaryOp, CompareOp, ComputeType, UnaryOp } from "./nodes.ts";
import { erf, pow, roundHalfEven } from "./special.ts";

/** The meaning of every operator on numbers of type `T`. */
export interface Arithmetic<T> {
  /** A constant or scalar in this type. */
  from(value: number): T;
  /** Whether `x` counts as true: all but 0. */
  truth(x: T): boolean;
  /** Functions of one number; those that integers lack are missing. */
  readonly unary: Readonly<Partial<Record<UnaryOp, (x: T) => T>>>;
  /** Functions of two numbers. */
  readonly binary: Readonly<Record<BinaryOp, (x: T, y: T) => T>>;
  /** Comparisons. */
  readonly compare: Readonly<Record<CompareOp, (x: T, y: T) => boolean>>;
}

const compare: Readonly<Record<CompareOp, (x: number | bigint, y: number | bigint) => boolean>> = {
  eq: (x, y) => x === y,
  ne: (x, y) => x !== y,
  lt: (x, y) => x < y,
  le: (x, y) => x <= y,
  gt: (x, y) => x > y,
  ge: (x, y) => x >= y,
};

const f64: Arithmetic<number> = {
  from: (value) => value,
  truth: (x) => x !== 0,
  unary: {
    neg: (x) => -x,
    abs: Math.abs,
    sign: (x) => x > 0 ? 1 : x < 0 ? -1 : x === 0 ? 0 : NaN,
    floor: Math.floor,
    ceil: Math.ceil,
    round: roundHalfEven,
    trunc: Math.trunc,
    sqrt: Math.sqrt,
    exp: Math.exp,
    expm1: Math.expm1,
    log: Math.log,
    log1p: Math.log1p,
    sin: Math.sin,
    cos: Math.cos,
    tanh: Math.tanh,
    erf,
    not: (x) => x === 0 ? 1 : 0,
  },
  binary: {
    add: (x, y) => x + y,
    sub: (x, y) => x - y,
    mul: (x, y) => x * y,
    div: (x, y) => x / y,
    rem: (x, y) => x % y,
    pow,
    min: Math.min,
    max: Math.max,
  },
  compare,
};

/** x to the power y by squaring; a negative power leaves 0 unless x is 1 or -1. */
function powI32(x: number, y: number): number {
  if (y < 0) return x === 1 ? 1 : x === -1 ? (y % 2 ? -1 : 1) : 0;
  let result = 1;
  for (let base = x, n = y; n > 0; n >>= 1, base = Math.imul(base, base)) {
    if (n & 1) result = Math.imul(result, base);
  }
  return result;
}

function powI64(x: bigint, y: bigint): bigint {
  if (y < 0n) return x === 1n ? 1n : x === -1n ? (y % 2n ? -1n : 1n) : 0n;
  let result = 1n;
  for (let base = x, n = y; n > 0n; n >>= 1n, base = wrap(base * base)) {
    if (n & 1n) result = wrap(result * base);
  }
  return result;
}

/** The nearest i32 to a number without its fraction; NaN becomes 0. */
export function toI32(value: number): number {
  return Math.trunc(Math.max(-2147483648, Math.min(2147483647, value))) | 0;
}

/** The nearest i64 to a number without its fraction; NaN becomes 0. */
export function toI64(value: number): bigint {
  if (Number.isNaN(value)) return 0n;
  if (value >= 2 ** 63) return 2n ** 63n - 1n;
  return value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(value));
}

function wrap(x: bigint): bigint {
  return BigInt.asIntN(64, x);
}

const identity = <T>(x: T): T => x;

const i32: Arithmetic<number> = {
  from: toI32,
  truth: (x) => x !== 0,
  unary: {
    neg: (x) => -x | 0,
    abs: (x) => Math.abs(x) | 0,
    sign: (x) => Math.sign(x) | 0,
    not: (x) => x === 0 ? 1 : 0,
    floor: identity,
    ceil: identity,
    round: identity,
    trunc: identity,
  },
  binary: {
    add: (x, y) => x + y | 0,
    sub: (x, y) => x - y | 0,
    mul: Math.imul,
    div: (x, y) => y === 0 ? 0 : x / y | 0,
    rem: (x, y) => y === 0 ? 0 : x % y | 0,
    pow: powI32,
    min: Math.min,
    max: Math.max,
  },
  compare,
};

const i64: Arithmetic<bigint> = {
  from: toI64,
  truth: (x) => x !== 0n,
  unary: {
    neg: (x) => wrap(-x),
    abs: (x) => wrap(x < 0n ? -x : x),
    sign: (x) => x > 0n ? 1n : x < 0n ? -1n : 0n,
    not: (x) => x === 0n ? 1n : 0n,
    floor: identity,
    ceil: identity,
    round: identity,
    trunc: identity,
  },
  binary: {
    add: (x, y) => wrap(x + y),
    sub: (x, y) => wrap(x - y),
    mul: (x, y) => wrap(x * y),
    div: (x, y) => y === 0n ? 0n : wrap(x / y),
    rem: (x, y) => y === 0n ? 0n : x % y,
    pow: powI64,
    min: (x, y) => x < y ? x : y,
    max: (x, y) => x > y ? x : y,
  },
  compare,
};

/** Arithmetic on JavaScript numbers, by compute type. */
export const numberArithmetic: Readonly<Record<Exclude<ComputeType, "i64">, Arithmetic<number>>> = {
  f32: { ...f64, from: Math.fround },
  f64,
  i32,
};

/** Arithmetic of i64, on bigint. */
export const bigintArithmetic: Arithmetic<bigint> = i64;
