/**
 * Matrix products.
 *
 * All of them come down to one product of matrices with leading axes. Where the right side is a plain matrix, the
 * left side's leading axes become rows, so that a batch is one large product and the gradient of a weight another.
 * A bias rides along as the product's epilogue, and so do an activation and a residual where no gradient is asked for.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import type { Epilogue, View } from "../backends/contract.ts";
import { type DType, isFloat, isQuantized, promote } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { number, oneOf } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { broadcastShapes, formatShape, sameShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { binary, input, type Program } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { table } from "../expr/table.ts";
import { aTensor, broadcastView, tidy } from "../tensor/mod.ts";
import { commonBackend, computeType, demandTensor, empty, record, wantsGradient } from "./bridge.ts";
import { afterProduct } from "./after_product.ts";
import { add, mul } from "./elementwise.ts";
import { sum } from "./reduce.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { expand, reshape, squeeze, transpose, unsqueeze } from "./views.ts";

/**
 * Activations that {@link affine} takes: rows of the table of elementwise functions.
 *
 * @category Products, attention, norms
 */
export type Activation = "gelu" | "geluTanh" | "relu" | "silu" | "tanh";

/**
 * What {@link affine} does with x · weight + bias.
 *
 * @category Products, attention, norms
 */
export interface AffineOptions {
  /** Applied first. Default: none. */
  activation?: Activation | undefined;
  /** Then elements become 0 with this probability, see {@link dropout}. Default 0. */
  dropout?: number | undefined;
  /** Added last: a tensor of the result's shape, as where a layer is one branch of a residual connection. */
  residual?: Tensor | undefined;
}

const affineOptions: OptionTable<AffineOptions> = {
  activation: oneOf("gelu", "geluTanh", "relu", "silu", "tanh"),
  dropout: number({ from: 0, to: 1 }),
  residual: aTensor,
};

/** Epilogues by what they do. */
const epilogues = new Map<string, Program>();

/** The epilogue activation(product + bias) + residual; undefined where there is nothing to do. */
function epilogueOf(
  dtype: DType,
  bias: View | null,
  { activation, residual }: { activation?: Activation | undefined; residual?: View | undefined },
): Epilogue | undefined {
  if (!bias && !activation && !residual) return undefined;
  const type = computeType(dtype), inputs: View[] = [];
  const key = `${type} ${bias ? "bias" : ""} ${activation ?? ""} ${residual ? "residual" : ""}`;
  if (bias) inputs.push(bias);
  if (residual) inputs.push(residual);
  let found = epilogues.get(key);
  if (!found) {
    let sum = input(0);
    if (bias) sum = binary("add", sum, input(1));
    if (activation) sum = table[activation].formula(sum);
    if (residual) sum = binary("add", sum, input(inputs.length));
    found = program(type, [sum], { inputs: inputs.length + 1, scalars: 0 });
    epilogues.set(key, found);
  }
  return { program: found, inputs, scalars: [] };
}

/**
 * The dtype of a product.
 * @throws {DTypeError} for integers other than i32.
 */
function resultType(a: DType, b: DType): DType {
  if (isQuantized(b) && isFloat(a)) return a;
  const type = promote(a, b);
  if (!isFloat(type) && type !== "i32") {
    throw new DTypeError(`matmul: ${a} with ${b} is not computed; convert to f32 or i32 with .to({ dtype })`);
  }
  return type;
}

/** Whether operands must be converted: devices multiply floats of any kind, but integers only with their like. */
function isMixed(a: DType, b: DType): boolean {
  if (isQuantized(b)) return false;
  return isFloat(a) !== isFloat(b) || (!isFloat(a) && a !== b);
}

/** The product without recording; leading axes agree already. */
function product(
  a: Tensor,
  b: Tensor,
  bias: Tensor | null,
  dtype: DType,
  { activation, residual }: AffineOptions = {},
): Tensor {
  const operands = [a, b];
  if (bias) operands.push(bias);
  if (residual) operands.push(residual);
  const backend = commonBackend("matmul", operands);
  const shape = [...a.shape.slice(0, -1), b.shape[b.shape.length - 1]];
  const out = empty(shape, dtype, backend, "matmul");
  if (!out.size) return out;
  const epilogue = epilogueOf(dtype, bias && broadcastView(bias, shape), { activation, residual });
  backend.matmul(a, b, out, epilogue);
  return out;
}

/** a [m, k] · b [k, n] (+ bias [n]), recorded; with options, for which no gradient is asked. */
function plainProduct(a: Tensor, b: Tensor, bias: Tensor | null, options?: AffineOptions): Tensor {
  const dtype = resultType(a.dtype, b.dtype);
  if (isMixed(a.dtype, b.dtype)) {
    return tidy(() => plainProduct(toDType(a, dtype), toDType(b, dtype), bias, options));
  }
  const out = product(a, b, bias, dtype, options);
  const inputs = bias ? [a, b, bias] : [a, b];
  const types = inputs.map((t) => t.dtype);
  return record("matmul", out, inputs, [a, b], (g, [a, b], needs) => [
    needs[0] ? toDType(plainProduct(g, rowsOf(b), null), types[0]) : null,
    needs[1] ? toDType(weightGradient(a, b, g), types[1]) : null,
    needs[2] ? toDType(sum(g, 0), types[2]) : null,
  ]);
}

/**
 * bᵀ, for the gradient of a, which sums over b's columns. Blocks run along its rows and are frozen: that sum reads them as
 * numbers, one matrix at a time.
 */
function rowsOf(b: Tensor): Tensor {
  const rows = transpose(b, 0, 1);
  return isQuantized(b.dtype) ? toDType(rows, "f32") : rows;
}

/**
 * aᵀ · g, the gradient of b. It lies in memory as b does, so that optimizers walk both in one order: a transposed
 * weight gets its gradient transposed.
 */
function weightGradient(a: Tensor, b: Tensor, g: Tensor): Tensor {
  const columns = b.strides[0] === 1 && b.strides[1] !== 1;
  return columns
    ? transpose(plainProduct(transpose(g, 0, 1), a, null), 0, 1)
    : plainProduct(transpose(a, 0, 1), g, null);
}

/** a […, m, k] · b […, k, n] with equal leading sizes, recorded. */
function batchProduct(a: Tensor, b: Tensor): Tensor {
  const dtype = resultType(a.dtype, b.dtype);
  if (isMixed(a.dtype, b.dtype)) return tidy(() => batchProduct(toDType(a, dtype), toDType(b, dtype)));
  const out = product(a, b, null, dtype);
  const types = [a.dtype, b.dtype];
  return record("matmul", out, [a, b], [a, b], (g, [a, b], needs) => [
    needs[0] ? toDType(batchProduct(g, transpose(b, -2, -1)), types[0]) : null,
    needs[1] ? toDType(batchProduct(transpose(a, -2, -1), g), types[1]) : null,
  ]);
}

/**
 * The shape of x […, in] · weight [in, out] + bias [out].
 * @throws {ShapeError} when sizes do not fit.
 */
function affineShape(x: Tensor, weight: Tensor, bias: Tensor | null): number[] {
  demandTensor("affine", x);
  demandTensor("affine", weight, "weight");
  if (bias !== null) demandTensor("affine", bias, "bias");
  const last = x.shape.length - 1;
  if (last < 0 || weight.shape.length !== 2 || x.shape[last] !== weight.shape[0]) {
    throw new ShapeError(
      `affine: x ${formatShape(x.shape)} and weight ${
        formatShape(weight.shape)
      } do not fit: the last dim of x and ` +
        `the first of weight must agree`,
    );
  }
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== weight.shape[1])) {
    throw new ShapeError(
      `affine: bias ${formatShape(bias.shape)} does not fit weight ${formatShape(weight.shape)}`,
    );
  }
  return [...x.shape.slice(0, -1), weight.shape[1]];
}

/**
 * x […, in] · weight [in, out] + bias [out], the product in one go with its bias. The layout of GPT-2's weights;
 * {@link linear} takes PyTorch's [out, in]. With `options`, dropout(activation(x · weight + bias)) + residual, in one go
 * too where nothing drops out and no gradient is asked for.
 *
 * @throws {ShapeError} when sizes do not fit.
 * @throws {OptionError} for an option that does not exist, or a value it cannot have.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {DeviceError} for tensors on different devices.
 * @category Products, attention, norms
 */
export function affine(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: AffineOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "affine");
  checkOptions("affine", options, affineOptions);
  const { activation, dropout: p = 0, residual } = options, shape = affineShape(x, weight, bias);
  if (residual && !sameShape(residual.shape, shape)) {
    throw new ShapeError(
      `affine: residual ${formatShape(residual.shape)} is not of the result's shape ${formatShape(shape)}`,
    );
  }
  if (!activation && !p && !residual) return affineRows(x, weight, bias, shape);
  return tidy(() => {
    const dtype = resultType(x.dtype, weight.dtype), inputs = [x, weight];
    if (bias) inputs.push(bias);
    if (residual) inputs.push(residual);
    // A gradient needs what comes in between.
    const inOne = !p && isFloat(dtype) && !wantsGradient(inputs) && (!residual || residual.dtype === dtype);
    if (inOne) return affineRows(x, weight, bias, shape, options);
    return afterProduct(affineRows(x, weight, bias, shape), options);
  });
}

/** Without options: what has no dropout, so that products alone bring no random numbers along. */
function plainAffine(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return affineRows(x, weight, bias, affineShape(x, weight, bias));
}

/** Leading axes as rows. */
function affineRows(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  shape: readonly number[],
  { activation, residual }: AffineOptions = {},
): Tensor {
  if (shape.length === 2) return plainProduct(x, weight, bias, { activation, residual });
  const columns = shape[shape.length - 1], rows = shape.slice(0, -1).reduce((n, size) => n * size, 1);
  return tidy(() => {
    const beside = residual && reshape(residual, [rows, columns]);
    const x2 = reshape(x, [rows, x.shape[x.shape.length - 1]]);
    return reshape(plainProduct(x2, weight, bias, { activation, residual: beside }), shape);
  });
}

/**
 * x […, in] · weightᵀ + bias, weight [out, in], as PyTorch's `nn.functional.linear`.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * linear(tensor([[1, 2]]), tensor([[3, 4]]), tensor([5])); // [[16]]
 * ```
 * @category Products, attention, norms
 */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  demandNoMore(arguments, 3, "linear");
  demandTensor("linear", x);
  demandTensor("linear", weight, "weight");
  if (bias !== null) demandTensor("linear", bias, "bias");
  if (weight.shape.length !== 2 || x.shape[x.shape.length - 1] !== weight.shape[1]) {
    throw new ShapeError(
      `linear: x ${formatShape(x.shape)} and weight ${
        formatShape(weight.shape)
      } do not fit: the last dims must agree`,
    );
  }
  return tidy(() => plainAffine(x, transpose(weight, 0, 1), bias));
}

/**
 * The matrix product, with PyTorch's rules: vectors are treated as a row (left) or a column (right) and lose that
 * axis again, leading axes broadcast.
 * @throws {ShapeError} when the inner sizes differ.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * matmul(tensor([[1, 2], [3, 4]]), tensor([1, 1])); // [3, 7]
 * ```
 * @category Products, attention, norms
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  demandNoMore(arguments, 2, "matmul");
  demandTensor("matmul", a, "a");
  demandTensor("matmul", b, "b");
  if (a.shape.length === 0 || b.shape.length === 0) {
    throw new ShapeError("matmul: a number is no matrix; use mul");
  }
  if (a.shape.length === 1) {
    return tidy(() => squeeze(matmul(unsqueeze(a, 0), b), b.shape.length === 1 ? 0 : -2));
  }
  if (b.shape.length === 1) return tidy(() => squeeze(matmul(a, unsqueeze(b, 1)), -1));
  const inner = a.shape[a.shape.length - 1];
  if (inner !== b.shape[b.shape.length - 2]) {
    throw new ShapeError(
      `matmul: ${formatShape(a.shape)} and ${formatShape(b.shape)} do not multiply: ${
        counted(inner, "column")
      } against ` +
        `${counted(b.shape[b.shape.length - 2], "row")}`,
    );
  }
  if (b.shape.length === 2) return plainAffine(a, b, null);
  return tidy(() => {
    const lead = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
    return batchProduct(
      expand(a, [...lead, ...a.shape.slice(-2)]),
      expand(b, [...lead, ...b.shape.slice(-2)]),
    );
  });
}

/**
 * Σ aᵢ·bᵢ of two vectors.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * dot(tensor([1, 2]), tensor([3, 4])); // 11
 * ```
 * @category Products, attention, norms
 */
export function dot(a: Tensor, b: Tensor): Tensor {
  demandNoMore(arguments, 2, "dot");
  demandTensor("dot", a, "a");
  demandTensor("dot", b, "b");
  if (a.shape.length !== 1 || b.shape.length !== 1) {
    throw new ShapeError(`dot: takes two vectors, not ${formatShape(a.shape)} and ${formatShape(b.shape)}`);
  }
  return matmul(a, b);
}

/**
 * aᵢ·bⱼ of two vectors.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * outer(tensor([1, 2]), tensor([3, 4])); // [[3, 4], [6, 8]]
 * ```
 * @category Products, attention, norms
 */
export function outer(a: Tensor, b: Tensor): Tensor {
  demandNoMore(arguments, 2, "outer");
  demandTensor("outer", a, "a");
  demandTensor("outer", b, "b");
  return tidy(() => mul(unsqueeze(reshape(a, [-1]), 1), reshape(b, [-1])));
}

/**
 * beta · x + alpha · (a · b).
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {DeviceError} for tensors on different devices.
 * @category Products, attention, norms
 */
export function addmm(x: Tensor, a: Tensor, b: Tensor, beta = 1, alpha = 1): Tensor {
  demandNoMore(arguments, 5, "addmm");
  return toldAs(
    "addmm",
    ["matmul", "mul", "add"],
    () =>
      tidy(() => add(beta === 1 ? x : mul(x, beta), alpha === 1 ? matmul(a, b) : mul(matmul(a, b), alpha))),
  );
}

/**
 * PyTorch's name for {@link matmul} of two matrices: [n, k] and [k, m] → [n, m].
 *
 * @throws {ShapeError} for anything else.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {DeviceError} for tensors on different devices.
 * @category Products, attention, norms
 */
export function mm(a: Tensor, b: Tensor): Tensor {
  demandNoMore(arguments, 2, "mm");
  demandTensor("mm", a, "a");
  demandTensor("mm", b, "b");
  if (a.shape.length !== 2 || b.shape.length !== 2) {
    throw new ShapeError(`mm: takes two matrices, not ${formatShape(a.shape)} and ${formatShape(b.shape)}`);
  }
  return matmul(a, b);
}
