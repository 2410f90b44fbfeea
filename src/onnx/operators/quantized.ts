/**
 * Numbers as small integers with a scale, and products of integers.
 *
 * @module
 */
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result, Results } from "../call.ts";
import { heldAs, isFloatType, narrowRange, type OnnxType, typeOfCode } from "../types.ts";
import { valueOf } from "../values.ts";
import { castTo } from "./logic.ts";
import { convolve } from "./neural.ts";

/** A scale or zero point as it meets x: one number, one a position of the axis, or one a block of it. */
function placed(c: Call, t: Tensor, x: Tensor, axis: number, block: number): Tensor {
  if (t.size === 1 && t.shape.length < 2) return f.reshape(t, []);
  if (block > 0) {
    const open = f.unsqueeze(t, axis + 1), wide = open.shape.map((n, i) => i === axis + 1 ? block : n);
    const flat = f.reshape(f.expand(open, wide), t.shape.map((n, i) => i === axis ? n * block : n));
    return flat.shape[axis] === x.shape[axis] ? flat : f.narrow(flat, axis, 0, x.shape[axis]);
  }
  if (t.shape.length !== 1 || t.size !== x.shape[axis]) {
    throw c.fail(`a scale of [${t.shape}] does not fit axis ${axis} of [${x.shape}]`);
  }
  return f.reshape(t, [t.size, ...new Array<number>(x.shape.length - 1 - axis).fill(1)]);
}

const axisOf = (c: Call, x: Tensor): number =>
  x.shape.length ? c.axis("axis", 1, Math.max(x.shape.length, 2)) : 0;

/** Whole numbers in the bounds of a type. */
function saturated(x: Tensor, type: OnnxType): Tensor {
  const [least, most] = narrowRange(type) ?? (type === "uint8" ? [0, 255] : [-2147483648, 2147483647]);
  return f.toDType(f.clamp(x, least, most), heldAs(type)!);
}

function quantize(c: Call): Result | Promise<Result> {
  const x = c.t(0), axis = axisOf(c, x), block = c.int("block_size", 0);
  const said = typeOfCode(c.int("output_dtype", 0)), type = c.has(2) ? c.type(2) : said ?? "uint8";
  const scale = placed(c, f.toDType(c.t(1), "f32"), x, axis, block), y = f.div(f.toDType(x, "f32"), scale);
  if (isFloatType(type)) return castTo(c, valueOf(y), type, c.int("saturate", 1) !== 0);
  const zero = c.has(2) ? placed(c, f.toDType(c.t(2), "f32"), x, axis, block) : 0;
  return valueOf(saturated(f.add(f.round(y), zero), type), type);
}

function dequantize(c: Call): Result {
  const x = c.t(0), axis = axisOf(c, x), block = c.int("block_size", 0), scale = c.t(1);
  const type = typeOfCode(c.int("output_dtype", 0)) ?? c.type(1);
  let wide = f.toDType(x, "f32");
  if (c.has(2)) wide = f.sub(wide, placed(c, f.toDType(c.t(2), "f32"), x, axis, block));
  return valueOf(
    f.toDType(f.mul(wide, placed(c, f.toDType(scale, "f32"), x, axis, block)), heldAs(type)!),
    type,
  );
}

function dynamic(c: Call): Results {
  const x = c.t(0), low = f.minimum(f.min(x) as Tensor, 0), high = f.maximum(f.max(x) as Tensor, 0);
  const scale = f.div(f.sub(high, low), 255), zero = f.clamp(f.round(f.neg(f.div(low, scale))), 0, 255);
  const y = f.toDType(f.clamp(f.add(f.round(f.div(x, scale)), zero), 0, 255), "u8");
  return [valueOf(y), valueOf(scale), valueOf(f.toDType(zero, "u8"))];
}

/** Integers without their zero point: one number, or one a row (`rows`) or column. */
function centred(c: Call, x: Tensor, i: number, rows: boolean): Tensor {
  const wide = f.toDType(x, "i32"), zero = c.maybe(i);
  if (!zero) return wide;
  const z = f.toDType(zero, "i32");
  return f.sub(wide, z.size === 1 ? f.reshape(z, []) : rows && z.shape.length === 1 ? f.unsqueeze(z, 1) : z);
}

/** A product of integers: exact in f64, which holds every sum that i32 does. */
function exactProduct(a: Tensor, b: Tensor): Tensor {
  return f.toDType(f.matmul(a, b), "i32");
}

function integerMatMul(c: Call): Result {
  return valueOf(exactProduct(centred(c, c.t(0), 2, true), centred(c, c.t(1), 3, false)));
}

function scaled(c: Call, sum: Tensor, scale: Tensor, yScale: Tensor, yZero: number): Result {
  const y = f.add(
    f.round(f.div(f.mul(f.toDType(sum, "f32"), scale), yScale)),
    f.toDType(f.reshape(c.t(yZero), []), "f32"),
  );
  return valueOf(saturated(y, c.type(yZero)), c.type(yZero));
}

function quantizedMatMul(c: Call): Result {
  const a = centred(c, c.t(0), 2, true), b = centred(c, c.t(3), 5, false);
  const rows = c.t(1).size > 1 ? f.unsqueeze(c.t(1), -1) : f.reshape(c.t(1), []);
  const columns = c.t(4).size > 1 ? c.t(4) : f.reshape(c.t(4), []);
  return scaled(c, exactProduct(a, b), f.mul(rows, columns), f.reshape(c.t(6), []), 7);
}

/** A zero point of filters, one each. */
function filterZero(c: Call, i: number, weight: Tensor): Tensor {
  const wide = f.toDType(weight, "i32"), zero = c.maybe(i);
  if (!zero) return wide;
  const z = f.toDType(zero, "i32");
  return f.sub(
    wide,
    z.size === 1 ? f.reshape(z, []) : f.reshape(z, [z.size, ...weight.shape.slice(1).map(() => 1)]),
  );
}

function integerConv(c: Call): Result {
  return valueOf(convolve(c, centred(c, c.t(0), 2, false), filterZero(c, 3, c.t(1)), null));
}

function quantizedConv(c: Call): Result {
  const x = centred(c, c.t(0), 2, false), weight = filterZero(c, 5, c.t(3));
  const sum = convolve(c, x, weight, c.has(8) ? c.t(8) : null), axes = sum.shape.length - 2;
  const each = c.t(4).size > 1
    ? f.reshape(c.t(4), [c.t(4).size, ...new Array<number>(axes).fill(1)])
    : f.reshape(c.t(4), []);
  return scaled(c, sum, f.mul(f.reshape(c.t(1), []), each), f.reshape(c.t(6), []), 7);
}

/** The operators. */
export const quantized: OperatorTable = {
  QuantizeLinear: { since: [10, 13, 19, 21, 23, 24], noGradient: "integers", waits: true, run: quantize },
  DequantizeLinear: { since: [10, 13, 19, 21, 23, 24], run: dequantize },
  DynamicQuantizeLinear: { since: [11], noGradient: "integers", run: dynamic },
  MatMulInteger: { since: [10], noGradient: "integers", run: integerMatMul },
  QLinearMatMul: { since: [10, 21], noGradient: "integers", run: quantizedMatMul },
  ConvInteger: { since: [10], noGradient: "integers", run: integerConv },
  QLinearConv: { since: [10], noGradient: "integers", run: quantizedConv },
};
