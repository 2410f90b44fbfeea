/**
 * Integer functions that SIMD lacks: division, remainder and power of i32 and i64, minimum and maximum of i64.
 *
 * Arithmetic wraps. Division truncates; dividing by 0 gives 0, as does its remainder, where JavaScript's
 * `(x / 0) | 0` gives 0 too.
 *
 * @module
 */
import type { Local, PlainName } from "../assembler/mod.ts";
import type { Vectors, VectorWriter } from "./writer.ts";

/** Which integers. */
export type IntegerShape = "i32x4" | "i64x2";

/** x / y and x % y of i32, by way of doubles, which hold quotients of 32-bit integers exactly enough to cut. */
function divide32(w: VectorWriter, x: Vectors, y: Vectors): Vectors {
  const half = (a: Vectors, b: Vectors): Vectors =>
    w.op(
      "i32x4.trunc_sat_f64x2_s_zero",
      w.op("f64x2.div", w.op("f64x2.convert_low_i32x4_s", a), w.op("f64x2.convert_low_i32x4_s", b)),
    );
  const quotient = w.joinLow(half(x, y), half(w.highHalf(x), w.highHalf(y)));
  // -2^31 / -1 wraps as the negation does; the conversion would saturate.
  const wrapped = w.select(w.op("i32x4.eq", y, -1), w.op("i32x4.neg", x), quotient, "i32x4");
  return w.andNot(wrapped, w.op("i32x4.eq", y, 0));
}

/** One scalar instruction in each lane of i64, with divisors 0 and -1 replaced by 1 before it. */
function lanes64(w: VectorWriter, name: PlainName, x: Vectors, y: Vectors): Vectors {
  const { f } = w;
  const divisor = f.local("i64");
  return w.each((i) => {
    f.get(x[i]);
    for (const lane of [0, 1]) {
      f.get(x[i]);
      f.lane("i64x2.extract_lane", lane);
      f.i64(1);
      f.get(y[i]);
      f.lane("i64x2.extract_lane", lane);
      f.tee(divisor);
      f.get(divisor);
      f.i64(1);
      f.op("i64.add");
      f.i64(2);
      f.op("i64.lt_u");
      f.select();
      f.op(name);
      f.lane("i64x2.replace_lane", lane);
    }
  });
}

/** x / y, cut towards 0. */
export function emitDivide(w: VectorWriter, shape: IntegerShape, x: Vectors, y: Vectors): Vectors {
  if (shape === "i32x4") return divide32(w, x, y);
  const quotient = lanes64(w, "i64.div_s", x, y);
  const wrapped = w.select(w.op("i64x2.eq", y, -1), w.op("i64x2.neg", x), quotient, "i64x2");
  return w.andNot(wrapped, w.op("i64x2.eq", y, 0));
}

/** x - y · (x / y): the sign of the dividend. */
export function emitIntegerRemainder(w: VectorWriter, shape: IntegerShape, x: Vectors, y: Vectors): Vectors {
  const rest = w.op(`${shape}.sub`, x, w.op(`${shape}.mul`, y, emitDivide(w, shape, x, y)));
  return w.andNot(rest, w.op(`${shape}.eq`, y, 0));
}

/** x to the power y by repeated squaring; 0 for negative y, except where x is 1 or -1. */
export function emitIntegerPow(w: VectorWriter, shape: IntegerShape, x: Vectors, y: Vectors): Vectors {
  const { f } = w;
  const result = w.fresh(), base = w.fresh(), exponent = w.fresh();
  const unit = w.op(`${shape}.eq`, w.op(`${shape}.abs`, x), 1);
  w.assign(result, w.constant(1, shape));
  w.assign(base, x);
  // Of a negative exponent only the lowest bit counts: 1 and -1 are their own inverses.
  w.assign(exponent, w.select(w.op(`${shape}.lt_s`, y, 0), w.op("v128.and", y, w.constant(1, shape)), y));
  f.loop((again) => {
    const bit = w.op("v128.and", exponent, w.constant(1, shape));
    const odd = w.op(`${shape}.ne`, bit, 0);
    w.assign(result, w.select(odd, w.op(`${shape}.mul`, result, base), result));
    w.assign(base, w.op(`${shape}.mul`, base, base));
    w.assign(exponent, w.shift(`${shape}.shr_u`, exponent, 1));
    f.get(exponent.reduce((a: Local, b: Local) => w.withWidth(1).or([a], [b])[0]));
    f.op("v128.any_true");
    f.brIf(again);
  });
  return w.andNot(result, w.andNot(w.op(`${shape}.lt_s`, y, 0), unit));
}

/** The smaller or larger of two i64. */
export function emitExtreme64(w: VectorWriter, name: "min" | "max", x: Vectors, y: Vectors): Vectors {
  return w.select(w.op(name === "min" ? "i64x2.lt_s" : "i64x2.gt_s", x, y), x, y);
}
