/**
 * Inverses of the trigonometric and hyperbolic functions, made of the rows of the table; each gradient is the formula's
 * own. Integers give f32.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { isFloat } from "../core/dtype.ts";
import { tidy } from "../tensor/mod.ts";
import { demandTensor, record } from "./bridge.ts";
import { abs, add, div, gt, mul, neg, sign, sub, where } from "./elementwise.ts";
import { log1p, reciprocal, sqrt, square } from "./functions.ts";
import { inFloat32, toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { detach } from "./views.ts";

/** A function with its derivative, computed in f32 for narrower floats. */
function inverse(
  what: string,
  x: Tensor,
  compute: (x: Tensor) => Tensor,
  derivative: (x: Tensor) => Tensor,
): Tensor {
  demandTensor(what, x);
  const own = isFloat(x.dtype) ? x : toDType(x, "f32");
  const out = tidy(() => inFloat32(detach(own), compute));
  return record(what, out, [own], [own], (g, [x]) => [mul(g, toDType(derivative(x), g.dtype))]);
}

/** Odd coefficients of atan on [-tan(π/16), tan(π/16)]: its series, which there ends at the 17th digit. */
const series = Array.from({ length: 11 }, (_, k) => (k % 2 ? -1 : 1) / (2 * k + 1));

function arcTangent(x: Tensor): Tensor {
  const size = abs(x), isLarge = gt(size, 1);
  // To [0, 1], then twice to a quarter of the angle: tan(a / 2) = t / (1 + √(1 + t²)).
  let t = where(isLarge, reciprocal(size), size);
  for (let i = 0; i < 2; i++) t = div(t, add(sqrt(add(square(t), 1)), 1));
  const z = square(t);
  const sum = series.reduceRight<Tensor | number>((total, c) => add(mul(z, total), c), 0) as Tensor;
  const angle = mul(mul(sum, t), 4);
  return mul(where(isLarge, sub(Math.PI / 2, angle), angle), sign(x));
}

/**
 * The angle in radians, −π/2 to π/2, whose tangent is x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * atan(tensor([0, 1])); // [0, 0.7854]
 * ```
 * @category Elementwise operations
 */
export function atan(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "atan");
  return inverse("atan", x, arcTangent, (x) => reciprocal(add(square(x), 1)));
}

/** √(1 - x²) without losing digits near 1. */
const beside = (x: Tensor): Tensor => sqrt(mul(sub(1, x), add(x, 1)));

/**
 * The angle in radians, −π/2 to π/2, whose sine is x; NaN beyond −1 and 1.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function asin(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "asin");
  return inverse(
    "asin",
    x,
    (x) => mul(arcTangent(div(x, add(beside(x), 1))), 2),
    (x) => reciprocal(beside(x)),
  );
}

/**
 * The angle in radians, 0 to π, whose cosine is x; NaN beyond −1 and 1.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function acos(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "acos");
  const half = (x: Tensor): Tensor => mul(arcTangent(sqrt(div(sub(1, x), add(x, 1)))), 2);
  return inverse("acos", x, half, (x) => neg(reciprocal(beside(x))));
}

/**
 * The number whose hyperbolic sine is x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function asinh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "asinh");
  return inverse("asinh", x, (x) => {
    const size = abs(x), root = sqrt(add(square(size), 1));
    return mul(log1p(add(size, div(square(size), add(root, 1)))), sign(x));
  }, (x) => reciprocal(sqrt(add(square(x), 1))));
}

/**
 * The number from 0 whose hyperbolic cosine is x; NaN below 1.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function acosh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "acosh");
  return inverse("acosh", x, (x) => {
    const t = sub(x, 1);
    return log1p(add(t, sqrt(mul(t, add(t, 2)))));
  }, (x) => reciprocal(sqrt(mul(sub(x, 1), add(x, 1)))));
}

/**
 * The number whose hyperbolic tangent is x; NaN beyond −1 and 1.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function atanh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "atanh");
  return inverse(
    "atanh",
    x,
    (x) => mul(sub(log1p(x), log1p(neg(x))), 0.5),
    (x) => reciprocal(mul(sub(1, x), add(x, 1))),
  );
}
