/**
 * Arithmetic and functions of one element.
 *
 * @module
 */
import { isFloat } from "../../core/dtype.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, Operator, OperatorTable, Result } from "../call.ts";
import { isFloatType, narrowRange } from "../types.ts";
import { describe, elements, tensorOn, type TensorValue, valueOf, wrap } from "../values.ts";

/** The second operand as opsets before 7 placed it: its axes begin at `axis` of the first. */
function aligned(c: Call): Tensor {
  const a = c.t(0), b = c.t(1);
  if (c.opset >= 7 || !c.int("broadcast", 0) || !c.said("axis")) return b;
  const axis = c.axis("axis", 0, a.shape.length), rest = a.shape.length - axis - b.shape.length;
  return rest > 0 ? f.reshape(b, [...b.shape, ...new Array<number>(rest).fill(1)]) : b;
}

/** One number a channel, as opsets before 7 have it, to meet x [batch, channels, …]. */
function byChannel(x: Tensor, slope: Tensor): Tensor {
  if (slope.shape.length !== 1 || x.shape.length < 3 || slope.size !== x.shape[1]) return slope;
  return f.reshape(slope, [slope.size, ...new Array<number>(x.shape.length - 2).fill(1)]);
}

const same = (c: Call, x: Tensor): TensorValue => valueOf(wrap(x, c.type(0)), c.type(0));

/** A function of one tensor. */
export function unary(since: readonly number[], apply: (x: Tensor) => Tensor): Operator {
  return { since, run: (c) => same(c, apply(c.t(0))) };
}

/** A function of two tensors that broadcast. */
export function binary(since: readonly number[], apply: (a: Tensor, b: Tensor) => Tensor): Operator {
  return { since, run: (c) => same(c, apply(c.t(0), aligned(c))) };
}

/** A function of one tensor and attributes. */
function unaryOf(since: readonly number[], apply: (x: Tensor, c: Call) => Tensor): Operator {
  return { since, run: (c) => same(c, apply(c.t(0), c)) };
}

/** A function of two tensors that broadcast, and attributes. */
function binaryOf(since: readonly number[], apply: (a: Tensor, b: Tensor, c: Call) => Tensor): Operator {
  return { since, run: (c) => same(c, apply(c.t(0), aligned(c), c)) };
}

function folded(since: readonly number[], apply: (a: Tensor, b: Tensor) => Tensor): Operator {
  return { since, run: (c) => same(c, c.tensors().reduce(apply)) };
}

/** u64 as i64 in the same order: the top bit turned over. */
function turned(x: Tensor): Tensor {
  const top = f.tensor(BigInt64Array.of(-(2n ** 63n)), { shape: [], device: x.device });
  return f.add(x, top);
}

/** `apply`, which compares, on u64 too. */
export function ordered(c: Call, list: readonly Tensor[], apply: (...list: Tensor[]) => Tensor): Tensor {
  return c.type(0) === "uint64" ? apply(...list.map(turned)) : apply(...list);
}

function extreme(since: readonly number[], apply: (a: Tensor, b: Tensor) => Tensor): Operator {
  return {
    since,
    run: (c) => {
      const list = c.tensors();
      if (c.type(0) !== "uint64") return same(c, list.reduce(apply));
      return same(c, turned(list.map(turned).reduce(apply)));
    },
  };
}

/** Integers in JavaScript, for what has no kernel: two lists that broadcast, element by element. */
export async function byBits(
  c: Call,
  apply: (a: bigint, b: bigint) => bigint,
  second: Tensor = c.t(1),
): Promise<TensorValue> {
  const type = c.type(0), other = second.dtype;
  if (isFloatType(type) || type === "bool" || isFloat(other) || other === "bool") {
    throw c.fail(`it is of whole numbers, and its inputs are ${c.inputs.map((v) => v && describe(v))}`);
  }
  const unsigned = type.startsWith("u"), bits = type === "uint64" ? 64 : 63;
  const [a, b] = await Promise.all(
    broadcastPair(c.t(0), second).map((t) => elements(f.contiguous(t))),
  );
  const shape = broadcastPair(c.t(0), second)[0].shape;
  const read = (v: number | bigint): bigint => unsigned ? BigInt.asUintN(64, BigInt(v)) : BigInt(v);
  const range = narrowRange(type), count = range && BigInt(range[1] - range[0] + 1);
  const out = a.slice();
  for (let i = 0; i < a.length; i++) {
    let v = apply(read(a[i]), read(b[i]));
    if (range && count) v = ((v - BigInt(range[0])) % count + count) % count + BigInt(range[0]);
    if (out instanceof BigInt64Array) out[i] = bits === 64 ? BigInt.asIntN(64, v) : BigInt.asIntN(64, v);
    else out[i] = Number(BigInt.asIntN(32, v));
  }
  return tensorOn(out, shape, type, c.around.device);
}

function broadcastPair(a: Tensor, b: Tensor): Tensor[] {
  const rank = Math.max(a.shape.length, b.shape.length);
  const at = (t: Tensor, i: number): number => t.shape[i - rank + t.shape.length] ?? 1;
  const shape = Array.from({ length: rank }, (_, i) => at(a, i) === 1 ? at(b, i) : at(a, i));
  return [f.expand(a, shape), f.expand(b, shape)];
}

function divide(c: Call): Result | Promise<Result> {
  const a = c.t(0), b = aligned(c);
  if (isFloatType(c.type(0))) return same(c, f.div(a, b));
  if (c.type(0) === "uint64") return byBits(c, (a, b) => b ? a / b : 0n);
  // Towards zero, as C divides.
  return same(c, f.floorDivide(f.sub(a, f.fmod(a, b)), b));
}

function modulo(c: Call): Result | Promise<Result> {
  const a = c.t(0), b = c.t(1);
  if (c.int("fmod", 0)) return same(c, f.fmod(a, b));
  if (isFloatType(c.type(0))) throw c.fail("floats need fmod = 1");
  if (c.type(0) === "uint64") return byBits(c, (a, b) => b ? a % b : 0n);
  return same(c, f.remainder(a, b));
}

function power(c: Call): Result {
  const a = c.t(0), b = aligned(c);
  if (isFloat(a.dtype)) return same(c, f.pow(a, f.toDType(b, a.dtype)));
  if (!isFloat(b.dtype)) return same(c, f.pow(a, f.toDType(b, a.dtype)));
  return same(c, f.toDType(f.pow(f.toDType(a, b.dtype), b), a.dtype));
}

function clip(c: Call): Result {
  const x = c.t(0);
  if (c.opset < 11) {
    return f.clamp(x, c.float("min", -3.4028234663852886e38), c.float("max", 3.4028234663852886e38));
  }
  return same(c, f.clamp(x, c.maybe(1), c.maybe(2)));
}

const bit = (apply: (a: bigint, b: bigint) => bigint): Operator => ({
  since: [18],
  noGradient: "integers",
  waits: true,
  run: (c) => byBits(c, apply),
});

const shift: Operator = {
  since: [11],
  noGradient: "integers",
  waits: true,
  run: (c) => {
    const left = c.text("direction", "", ["LEFT", "RIGHT"]) === "LEFT";
    return byBits(c, (a, b) => left ? b > 63n ? 0n : a << b : a >> b);
  },
};

const isInfinite: Operator = {
  since: [10, 20],
  noGradient: "truth",
  run: (c) => {
    const x = c.t(0), all = f.isinf(x);
    const above = c.int("detect_positive", 1) !== 0, below = c.int("detect_negative", 1) !== 0;
    if (above && below) return valueOf(all);
    if (!above && !below) return valueOf(f.zeros(x.shape, { dtype: "bool", device: x.device }));
    return valueOf(f.logicalAnd(all, above ? f.gt(x, 0) : f.lt(x, 0)));
  },
};

/** The operators. */
export const math: OperatorTable = {
  Add: binary([1, 6, 7, 13, 14], f.add),
  Sub: binary([1, 6, 7, 13, 14], f.sub),
  Mul: binary([1, 6, 7, 13, 14], f.mul),
  Div: { waits: true, since: [1, 6, 7, 13, 14], run: divide },
  Mod: { waits: true, since: [10, 13], run: modulo },
  Pow: { since: [1, 7, 12, 13, 15], run: power },
  Max: extreme([1, 6, 8, 12, 13], f.maximum),
  Min: extreme([1, 6, 8, 12, 13], f.minimum),
  Sum: folded([1, 6, 8, 13], f.add),
  Mean: { since: [1, 6, 8, 13], run: (c) => f.div(c.tensors().reduce(f.add), c.inputs.length) },
  Clip: { since: [1, 6, 11, 12, 13], run: clip },
  Abs: unary([1, 6, 13], f.abs),
  Neg: unary([1, 6, 13], f.neg),
  Sign: unary([9, 13], f.sign),
  Ceil: unary([1, 6, 13], f.ceil),
  Floor: unary([1, 6, 13], f.floor),
  Round: unary([11, 22], f.round),
  Reciprocal: unary([1, 6, 13], f.reciprocal),
  Sqrt: unary([1, 6, 13], f.sqrt),
  Exp: unary([1, 6, 13], f.exp),
  Log: unary([1, 6, 13], f.log),
  Erf: unary([9, 13], f.erf),
  Sin: unary([7, 22], f.sin),
  Cos: unary([7, 22], f.cos),
  Tan: unary([7, 22], f.tan),
  Asin: unary([7, 22], f.asin),
  Acos: unary([7, 22], f.acos),
  Atan: unary([7, 22], f.atan),
  Sinh: unary([9, 22], f.sinh),
  Cosh: unary([9, 22], f.cosh),
  Tanh: unary([1, 6, 13], f.tanh),
  Asinh: unary([9, 22], f.asinh),
  Acosh: unary([9, 22], f.acosh),
  Atanh: unary([9, 22], f.atanh),
  BitShift: shift,
  BitwiseAnd: bit((a, b) => a & b),
  BitwiseOr: bit((a, b) => a | b),
  BitwiseXor: bit((a, b) => a ^ b),
  BitwiseNot: { since: [18], waits: true, noGradient: "integers", run: (c) => byBits(c, (a) => ~a, c.t(0)) },
  IsInf: isInfinite,
  IsNaN: { since: [9, 13, 20], noGradient: "truth", run: (c) => valueOf(f.isnan(c.t(0))) },

  Relu: unary([1, 6, 13, 14], f.relu),
  LeakyRelu: unaryOf([1, 6, 16], (x, c) => f.leakyRelu(x, c.float("alpha", 0.01))),
  PRelu: binaryOf([1, 6, 7, 9, 16], (x, slope, c) => {
    return f.where(f.lt(x, 0), f.mul(x, c.opset < 7 ? byChannel(x, slope) : slope), x);
  }),
  ThresholdedRelu: unaryOf([10, 22], (x, c) => f.where(f.gt(x, c.float("alpha", 1)), x, f.zerosLike(x))),
  Elu: unaryOf([1, 6, 22], (x, c) => f.elu(x, c.float("alpha", 1))),
  Celu: unaryOf([12], (x, c) => {
    const alpha = c.float("alpha", 1);
    return f.add(f.relu(x), f.minimum(f.mul(f.expm1(f.div(x, alpha)), alpha), 0));
  }),
  Selu: unaryOf([1, 6, 22], (x, c) => {
    const alpha = c.float("alpha", 1.6732632423543772), gamma = c.float("gamma", 1.0507009873554805);
    return f.mul(f.where(f.le(x, 0), f.mul(f.expm1(x), alpha), x), gamma);
  }),
  Sigmoid: unary([1, 6, 13], f.sigmoid),
  HardSigmoid: unaryOf([1, 6, 22], (x, c) => {
    return f.clamp(f.add(f.mul(x, c.float("alpha", 0.2)), c.float("beta", 0.5)), 0, 1);
  }),
  HardSwish: unary([14, 22], (x) => f.mul(x, f.clamp(f.add(f.mul(x, 1 / 6), 0.5), 0, 1))),
  Softplus: unary([1, 22], (x) => f.softplus(x)),
  Softsign: unary([1, 22], (x) => f.div(x, f.add(f.abs(x), 1))),
  Gelu: unaryOf([20], (x, c) => {
    const how = c.text("approximate", "none", ["none", "tanh"]);
    return f.gelu(x, { approximate: how as "none" | "tanh" });
  }),
  Mish: unary([18, 22], f.mish),
  Swish: unaryOf([24], (x, c) => f.mul(x, f.sigmoid(f.mul(x, c.float("alpha", 1))))),
  Shrink: unaryOf([9], (x, c) => {
    const lambd = c.float("lambd", 0.5), bias = c.float("bias", 0), zero = f.zerosLike(x);
    const moved = f.where(f.lt(x, -lambd), f.add(x, bias), f.where(f.gt(x, lambd), f.sub(x, bias), zero));
    return f.toDType(moved, x.dtype);
  }),
};
