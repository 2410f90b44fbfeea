/**
 * The remainder of floats, exact, with the sign of the dividend: JavaScript's %, C's fmod.
 *
 * In double precision a multiple of |y| by up to 28 bits of quotient is exact, and so is its difference from |x|. One
 * turn is enough while |x / y| < 2^28; at most eleven turns for any two floats.
 *
 * @module
 */
import type { Vectors, VectorWriter } from "./writer.ts";

function reduce(w: VectorWriter, x: Vectors, y: Vectors): Vectors {
  const { f } = w;
  const rest = w.fresh();
  w.assign(rest, x);
  f.loop((again) => {
    const open = w.op("f64x2.ge", rest, y);
    f.get(open.reduce((a, b) => w.withWidth(1).or([a], [b])[0]));
    f.op("v128.any_true");
    f.if(() => {
      // A little less than the quotient, so that the rest never turns negative; cut to 28 bits.
      const quotient = w.op("f64x2.mul", w.op("f64x2.div", rest, y), 1 - 2 ** -50);
      const cut = w.op("f64x2.trunc", w.and(quotient, w.constant(-(1n << 25n), "i64x2")));
      const times = w.and(w.atLeast(cut, 1, "f64x2"), open);
      w.assign(rest, w.op("f64x2.sub", rest, w.op("f64x2.mul", times, y)));
      f.br(again);
    });
  });
  return rest;
}

/** x % y, exact; NaN for x = ±∞, y = 0 and NaN; x itself for y = ±∞. */
export function emitRemainder(w: VectorWriter, x: Vectors, y: Vectors): Vectors {
  const size = w.op("f32x4.abs", x), divisor = w.op("f32x4.abs", y);
  const valid = w.and(w.op("f32x4.lt", size, Infinity), w.op("f32x4.gt", divisor, 0));
  const [x0, x1] = w.promote(w.and(size, valid));
  // An infinite divisor would meet 0 as a factor; any that is larger than all floats does.
  const [y0, y1] = w.promote(w.select(valid, divisor, 1)).map((y) => w.atMost(y, 1e300, "f64x2"));
  const rest = w.or(w.demote(reduce(w, x0, y0), reduce(w, x1, y1)), w.signOf(x));
  return w.select(valid, rest, NaN);
}
