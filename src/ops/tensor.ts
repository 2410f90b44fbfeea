/**
 * The tensor people use: the handle of the floor below with every operation as a method.
 *
 * A method is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { DataArray, DType } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { formatShape, type Shape } from "../core/shape.ts";
import { asLeaf, backendOf, backward, type BackwardOptions, moveTo, readData, registerTensorClass } from "../tensor/mod.ts";
import { TensorBase, toNumbers } from "../tensor/mod.ts";
import { isFloat } from "../core/dtype.ts";
import { alias, type Operand, record } from "./bridge.ts";
import * as elementwise from "./elementwise.ts";
import * as index from "./index.ts";
import * as join from "./join.ts";
import * as products from "./matmul.ts";
import * as norms from "./norm.ts";
import * as reductions from "./reduce.ts";
import type { Dims, KeepDim, VarOptions } from "./reduce.ts";
import * as softmaxes from "./softmax.ts";
import * as order from "./sort.ts";
import type { Sorted, SortOptions, TopKOptions } from "./sort.ts";
import * as views from "./views.ts";
import type { Range } from "./views.ts";

/** Nested lists of numbers, as deep as the tensor has axes; a number for none. */
export type Nested = number | Nested[];

/** Sizes given one by one or as a list. */
type Sizes = readonly number[] | readonly [readonly number[]];

function listOf(sizes: Sizes): readonly number[] {
  return Array.isArray(sizes[0]) ? sizes[0] as readonly number[] : sizes as readonly number[];
}

/**
 * An array of numbers on a device, with its place on the tape.
 *
 * Computing is synchronous; reading values (`data`, `item`, `toArray`) is not, because a device may answer late.
 * Make one with `tensor`, `zeros`, `randn` … rather than with the constructor.
 */
export class Tensor extends TensorBase {
  /** How many axes it has. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Its elements, row-major, as a copy in the dtype's array: raw bits for f16 and bf16, BigInt64Array for i64. */
  data(): Promise<DataArray> {
    return readData(this);
  }

  /** Its one element as a number. @throws {ShapeError} when it has more or none. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: a tensor of shape ${formatShape(this.shape)} is not one number`);
    return toNumbers(await readData(this), this.dtype)[0];
  }

  /** Its elements as nested lists of numbers (bool as 0 and 1). */
  async toArray(): Promise<Nested> {
    const numbers = toNumbers(await readData(this), this.dtype);
    let at = 0;
    const level = (depth: number): Nested => {
      if (depth === this.shape.length) return numbers[at++];
      return Array.from({ length: this.shape[depth] }, () => level(depth + 1));
    };
    return level(0);
  }

  /**
   * The same values in another dtype or on another device; itself when nothing changes.
   * @throws {DeviceError} from a device that answers late; read `await t.data()` there.
   */
  to(target: { dtype?: DType; device?: DeviceName }): Tensor {
    let out: Tensor = this;
    const backend = target.device === undefined ? this.backend : backendOf(target.device);
    const narrowFirst = target.dtype !== undefined && this.backend.supports(target.dtype);
    if (narrowFirst) out = elementwise.toDType(out, target.dtype as DType);
    if (backend !== out.backend) {
      const from = out, device = out.device;
      out = record("to", moveTo(from, backend) as Tensor, [from], [], (g) => [g.to({ device })]);
    }
    return target.dtype === undefined || narrowFirst ? out : elementwise.toDType(out, target.dtype);
  }

  /** The same memory without a tape: gradients stop here. */
  detach(): Tensor {
    return alias(this);
  }

  /** Makes this tensor gather gradients (or stop doing so), in place. Only leaves: results get theirs from inputs. */
  requiresGrad_(on = true): this {
    if (on && !isFloat(this.dtype)) {
      throw new DTypeError(`requiresGrad: only floating-point tensors have gradients, this one is ${this.dtype}`);
    }
    if (!on || !this.node) asLeaf(this, on);
    return this;
  }

  /** Adds to `grad` of every leaf this depends on the derivative of this; a tensor of many elements needs `gradient`. */
  backward(gradient?: Tensor, options: BackwardOptions = {}): void {
    backward(this, gradient, options);
  }

  /** `Tensor [2, 3] f32 on cpu`. */
  override toString(): string {
    return `Tensor ${formatShape(this.shape)} ${this.dtype} on ${this.isDisposed ? "nothing (disposed)" : this.device}`;
  }

  /** This + other. */
  add(other: Operand): Tensor {
    return elementwise.add(this, other);
  }

  /** This − other. */
  sub(other: Operand): Tensor {
    return elementwise.sub(this, other);
  }

  /** This · other, element by element. */
  mul(other: Operand): Tensor {
    return elementwise.mul(this, other);
  }

  /** This / other; integers give f32. */
  div(other: Operand): Tensor {
    return elementwise.div(this, other);
  }

  /** This to the power other. */
  pow(other: Operand): Tensor {
    return elementwise.pow(this, other);
  }

  /** The larger of each pair. */
  maximum(other: Operand): Tensor {
    return elementwise.maximum(this, other);
  }

  /** The smaller of each pair. */
  minimum(other: Operand): Tensor {
    return elementwise.minimum(this, other);
  }

  /** What division by other leaves, with its sign. */
  remainder(other: Operand): Tensor {
    return elementwise.remainder(this, other);
  }

  /** Where equal, as bool. */
  eq(other: Operand): Tensor {
    return elementwise.eq(this, other);
  }

  /** Where not equal, as bool. */
  ne(other: Operand): Tensor {
    return elementwise.ne(this, other);
  }

  /** Where less, as bool. */
  lt(other: Operand): Tensor {
    return elementwise.lt(this, other);
  }

  /** Where less or equal, as bool. */
  le(other: Operand): Tensor {
    return elementwise.le(this, other);
  }

  /** Where greater, as bool. */
  gt(other: Operand): Tensor {
    return elementwise.gt(this, other);
  }

  /** Where greater or equal, as bool. */
  ge(other: Operand): Tensor {
    return elementwise.ge(this, other);
  }

  /** Where both are not 0. */
  logicalAnd(other: Operand): Tensor {
    return elementwise.logicalAnd(this, other);
  }

  /** Where one is not 0. */
  logicalOr(other: Operand): Tensor {
    return elementwise.logicalOr(this, other);
  }

  /** −x. */
  neg(): Tensor {
    return elementwise.neg(this);
  }

  /** |x|. */
  abs(): Tensor {
    return elementwise.abs(this);
  }

  /** −1, 0 or 1. */
  sign(): Tensor {
    return elementwise.sign(this);
  }

  /** eˣ. */
  exp(): Tensor {
    return elementwise.exp(this);
  }

  /** eˣ − 1. */
  expm1(): Tensor {
    return elementwise.expm1(this);
  }

  /** The natural logarithm. */
  log(): Tensor {
    return elementwise.log(this);
  }

  /** ln(1 + x). */
  log1p(): Tensor {
    return elementwise.log1p(this);
  }

  /** The logarithm to base 2. */
  log2(): Tensor {
    return elementwise.log2(this);
  }

  /** √x. */
  sqrt(): Tensor {
    return elementwise.sqrt(this);
  }

  /** 1 / √x. */
  rsqrt(): Tensor {
    return elementwise.rsqrt(this);
  }

  /** 1 / x. */
  reciprocal(): Tensor {
    return elementwise.reciprocal(this);
  }

  /** x². */
  square(): Tensor {
    return elementwise.square(this);
  }

  /** The sine. */
  sin(): Tensor {
    return elementwise.sin(this);
  }

  /** The cosine. */
  cos(): Tensor {
    return elementwise.cos(this);
  }

  /** The tangent. */
  tan(): Tensor {
    return elementwise.tan(this);
  }

  /** The hyperbolic tangent. */
  tanh(): Tensor {
    return elementwise.tanh(this);
  }

  /** 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor {
    return elementwise.sigmoid(this);
  }

  /** max(x, 0). */
  relu(): Tensor {
    return elementwise.relu(this);
  }

  /** x · sigmoid(x). */
  silu(): Tensor {
    return elementwise.silu(this);
  }

  /** ⌊x⌋. */
  floor(): Tensor {
    return elementwise.floor(this);
  }

  /** ⌈x⌉. */
  ceil(): Tensor {
    return elementwise.ceil(this);
  }

  /** The nearest whole number, halves to even. */
  round(): Tensor {
    return elementwise.round(this);
  }

  /** x without its fraction. */
  trunc(): Tensor {
    return elementwise.trunc(this);
  }

  /** The error function. */
  erf(): Tensor {
    return elementwise.erf(this);
  }

  /** Where 0, as bool. */
  logicalNot(): Tensor {
    return elementwise.logicalNot(this);
  }

  /** Where NaN, as bool. */
  isnan(): Tensor {
    return elementwise.isnan(this);
  }

  /** Where infinite, as bool. */
  isinf(): Tensor {
    return elementwise.isinf(this);
  }

  /** Where finite, as bool. */
  isfinite(): Tensor {
    return elementwise.isfinite(this);
  }

  /** x · Φ(x); `"tanh"` is GPT-2's form. */
  gelu(approximate: "none" | "tanh" | { approximate?: "none" | "tanh" } = "none"): Tensor {
    return elementwise.gelu(this, approximate);
  }

  /** x, or negativeSlope · x below 0. */
  leakyRelu(negativeSlope = 0.01): Tensor {
    return elementwise.leakyRelu(this, negativeSlope);
  }

  /** x, or alpha · (eˣ − 1) below 0. */
  elu(alpha = 1): Tensor {
    return elementwise.elu(this, alpha);
  }

  /** ln(1 + e^(beta·x)) / beta. */
  softplus(beta = 1, threshold = 20): Tensor {
    return elementwise.softplus(this, beta, threshold);
  }

  /** Not below min, not above max; null leaves a side open. */
  clamp(min: Operand | null = null, max: Operand | null = null): Tensor {
    return elementwise.clamp(this, min, max);
  }

  /** x where this is not 0, else y: this is the condition. */
  where(x: Operand, y: Operand): Tensor {
    return elementwise.where(this, x, y);
  }

  /** `value` where mask is not 0. */
  maskedFill(mask: Tensor, value: number): Tensor {
    return elementwise.maskedFill(this, mask, value);
  }

  /** This + weight · (end − this). */
  lerp(end: Tensor, weight: Operand): Tensor {
    return elementwise.lerp(this, end, weight);
  }

  /** The sum over dim. */
  sum(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.sum(this, dim, keepdim);
  }

  /** The mean over dim. */
  mean(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.mean(this, dim, keepdim);
  }

  /** The product over dim. */
  prod(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.prod(this, dim, keepdim);
  }

  /** The largest over dim. */
  max(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.max(this, dim, keepdim);
  }

  /** The smallest over dim. */
  min(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.min(this, dim, keepdim);
  }

  /** The largest over dim. */
  amax(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.amax(this, dim, keepdim);
  }

  /** The smallest over dim. */
  amin(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.amin(this, dim, keepdim);
  }

  /** ln Σ eˣ over dim. */
  logsumexp(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.logsumexp(this, dim, keepdim);
  }

  /** Whether any is not 0. */
  any(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.any(this, dim, keepdim);
  }

  /** Whether all are not 0. */
  all(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.all(this, dim, keepdim);
  }

  /** √Σx² over dim. */
  norm(dim: Dims = null, keepdim: KeepDim = false): Tensor {
    return reductions.norm(this, dim, keepdim);
  }

  /** The position of the largest; i32. */
  argmax(dim: number | null = null, keepdim: KeepDim = false): Tensor {
    return reductions.argmax(this, dim, keepdim);
  }

  /** The position of the smallest; i32. */
  argmin(dim: number | null = null, keepdim: KeepDim = false): Tensor {
    return reductions.argmin(this, dim, keepdim);
  }

  /** The variance over dim, correction 1 unless told. */
  var(dim: Dims = null, options: VarOptions = {}): Tensor {
    return reductions.variance(this, dim, options);
  }

  /** The standard deviation over dim, correction 1 unless told. */
  std(dim: Dims = null, options: VarOptions = {}): Tensor {
    return reductions.std(this, dim, options);
  }

  /** Running sums along dim. */
  cumsum(dim: number): Tensor {
    return reductions.cumsum(this, dim);
  }

  /** eˣ / Σeˣ along dim. */
  softmax(dim = -1): Tensor {
    return softmaxes.softmax(this, dim);
  }

  /** ln softmax along dim. */
  logSoftmax(dim = -1): Tensor {
    return softmaxes.logSoftmax(this, dim);
  }

  /** Layer norm over the last axes. */
  layerNorm(normalizedShape: number | Shape, weight: Tensor | null = null, bias: Tensor | null = null, eps = 1e-5): Tensor {
    return norms.layerNorm(this, normalizedShape, weight, bias, eps);
  }

  /** RMS norm over the last axes. */
  rmsNorm(normalizedShape: number | Shape, weight: Tensor | null = null, eps: number | null = null): Tensor {
    return norms.rmsNorm(this, normalizedShape, weight, eps);
  }

  /** The matrix product. */
  matmul(other: Tensor): Tensor {
    return products.matmul(this, other);
  }

  /** The matrix product. */
  mm(other: Tensor): Tensor {
    return products.matmul(this, other);
  }

  /** Σ of the products of two vectors. */
  dot(other: Tensor): Tensor {
    return products.dot(this, other);
  }

  /** this · weightᵀ + bias. */
  linear(weight: Tensor, bias: Tensor | null = null): Tensor {
    return products.linear(this, weight, bias);
  }

  /** The same elements under another shape; one size may be -1. */
  reshape(...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /** PyTorch's name for reshape (copies where a view is impossible). */
  view(...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /** Axes start to end made one. */
  flatten(start = 0, end = -1): Tensor {
    return views.flatten(this, start, end);
  }

  /** Axis dim split into sizes. */
  unflatten(dim: number, sizes: Shape): Tensor {
    return views.unflatten(this, dim, sizes);
  }

  /** Axes in another order. */
  permute(...dims: Sizes): Tensor {
    return views.permute(this, listOf(dims));
  }

  /** Two axes exchanged. */
  transpose(dim0: number, dim1: number): Tensor {
    return views.transpose(this, dim0, dim1);
  }

  /** A matrix's transpose. */
  t(): Tensor {
    return views.transpose(this, 0, -1);
  }

  /** Stretched without copying; -1 keeps a size. */
  expand(...shape: Sizes): Tensor {
    return views.expand(this, listOf(shape));
  }

  /** Without axes of size 1. */
  squeeze(dim?: number | readonly number[]): Tensor {
    return views.squeeze(this, dim);
  }

  /** With a new axis of size 1. */
  unsqueeze(dim: number): Tensor {
    return views.unsqueeze(this, dim);
  }

  /** A part: `[start, end, step]`, a position, or null per axis. */
  slice(...ranges: Range[]): Tensor {
    return views.slice(this, ...ranges);
  }

  /** `length` positions of dim from start. */
  narrow(dim: number, start: number, length: number): Tensor {
    return views.narrow(this, dim, start, length);
  }

  /** One position of dim, without the axis. */
  select(dim: number, at: number): Tensor {
    return views.select(this, dim, at);
  }

  /** The order along dims reversed. */
  flip(dims: number | readonly number[]): Tensor {
    return views.flip(this, dims);
  }

  /** Parts along dim. */
  split(size: number | readonly number[], dim = 0): Tensor[] {
    return views.split(this, size, dim);
  }

  /** Nearly equal parts along dim. */
  chunk(chunks: number, dim = 0): Tensor[] {
    return views.chunk(this, chunks, dim);
  }

  /** The diagonal of the last two axes. */
  diagonal(offset = 0): Tensor {
    return views.diagonal(this, offset);
  }

  /** Row-major without gaps; itself when it is so. */
  contiguous(): Tensor {
    return views.contiguous(this);
  }

  /** A copy. */
  clone(): Tensor {
    return views.clone(this);
  }

  /** Repeated along each axis. */
  repeat(...times: Sizes): Tensor {
    return join.repeat(this, listOf(times));
  }

  /** With a border, the last axis first. */
  pad(border: readonly number[], options: join.PadOptions = {}): Tensor {
    return join.pad(this, border, options);
  }

  /** Picked by position along dim. */
  gather(dim: number, at: Tensor): Tensor {
    return index.gather(this, dim, at);
  }

  /** With source written at positions along dim. */
  scatter(dim: number, at: Tensor, source: Tensor | number): Tensor {
    return index.scatter(this, dim, at, source);
  }

  /** With source added at positions along dim. */
  scatterAdd(dim: number, at: Tensor, source: Tensor): Tensor {
    return index.scatterAdd(this, dim, at, source);
  }

  /** The listed positions of dim. */
  indexSelect(dim: number, at: Tensor): Tensor {
    return index.indexSelect(this, dim, at);
  }

  /** 1 at each position's place; i32. */
  oneHot(classes: number): Tensor {
    return index.oneHot(this, classes);
  }

  /** The lower triangle. */
  tril(diagonal = 0): Tensor {
    return index.tril(this, diagonal);
  }

  /** The upper triangle. */
  triu(diagonal = 0): Tensor {
    return index.triu(this, diagonal);
  }

  /** Sorted along dim, with positions. */
  sort(dim = -1, options: SortOptions = {}): Sorted {
    return order.sort(this, dim, options);
  }

  /** Positions that sort dim. */
  argsort(dim = -1, options: SortOptions = {}): Tensor {
    return order.argsort(this, dim, options);
  }

  /** The k largest along dim, with positions. */
  topk(k: number, dim = -1, options: TopKOptions = {}): Sorted {
    return order.topk(this, k, dim, options);
  }
}

registerTensorClass(Tensor);
