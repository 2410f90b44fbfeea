/**
 * Operations that only look at memory differently: no element moves, whatever the size.
 *
 * A view shares its tensor's memory; writing one writes the other. Only `reshape` may copy, where the strides leave
 * no other way. Each gradient is the opposite view, or a sum where a view repeats elements.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import {
  broadcastStrides,
  contiguousStrides,
  demandList,
  formatShape,
  inferShape,
  listOfDims,
  normalizeAxis,
  sameShape,
  type Shape,
  sizeOf,
  viewStrides,
} from "../core/shape.ts";
import { fixed, isNumber } from "../core/number.ts";
import { counted } from "../core/show.ts";
import { registerSumTo, sumAxes } from "../tensor/mod.ts";
import { checkShape } from "./create.ts";
import { addInto, alias, copy, copyInto, demandTensor, empty, filled, record } from "./bridge.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The same elements, row-major and without gaps: x itself when it is so already, else a recorded copy.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function contiguous(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "contiguous");
  demandTensor("contiguous", x);
  if (x.isContiguous) return x;
  return record("contiguous", copy(x), [x], [], (g) => [g]);
}

/**
 * A contiguous copy of the same shape, with memory of its own.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function clone(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "clone");
  demandTensor("clone", x);
  return record("clone", copy(x), [x], [], (g) => [g]);
}

/**
 * The same elements in row-major order under another shape; one size may be -1 and is worked out. A view where the
 * memory allows it, else a copy.
 * @throws {ShapeError} when the sizes do not multiply to the number of elements.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * reshape(arange(6), [2, -1]); // [[0, 1, 2], [3, 4, 5]]
 * ```
 * @category Views and indexing
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  demandNoMore(arguments, 2, "reshape");
  demandTensor("reshape", x);
  const target = inferShape(shape, x.size, "reshape");
  const strides = viewStrides(x.shape, x.strides, target);
  const own = x.shape;
  let out: Tensor;
  if (strides) out = alias(x, target, strides);
  else {
    const whole = copy(x);
    out = alias(whole, target, contiguousStrides(target));
    whole.dispose();
  }
  return record("reshape", out, [x], [], (g) => [reshape(g, own)]);
}

/**
 * All axes from `start` to `end` (inclusive) made one.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * flatten(tensor([[1, 2], [3, 4]])); // [1, 2, 3, 4]
 * ```
 * @category Views and indexing
 */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  demandNoMore(arguments, 3, "flatten");
  demandTensor("flatten", x);
  if (x.shape.length === 0) return reshape(x, [1]);
  const a = normalizeAxis(start, x.shape.length, "flatten"),
    b = normalizeAxis(end, x.shape.length, "flatten");
  return reshape(x, [...x.shape.slice(0, a), sizeOf(x.shape.slice(a, b + 1)), ...x.shape.slice(b + 1)]);
}

/**
 * Axis `dim` split into `sizes`; one may be -1.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function unflatten(x: Tensor, dim: number, sizes: Shape): Tensor {
  demandNoMore(arguments, 3, "unflatten");
  demandTensor("unflatten", x);
  const d = normalizeAxis(dim, x.shape.length, "unflatten");
  return reshape(x, [
    ...x.shape.slice(0, d),
    ...inferShape(sizes, x.shape[d], "unflatten"),
    ...x.shape.slice(d + 1),
  ]);
}

/**
 * Axes in another order: axis i of the result is axis `dims[i]` of x.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * permute(zeros([2, 3, 4]), [2, 0, 1]).shape; // [4, 2, 3]
 * ```
 * @category Views and indexing
 */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  demandNoMore(arguments, 2, "permute");
  demandTensor("permute", x);
  demandList("permute", dims, "a list of dims");
  const rank = x.shape.length;
  const order = dims.map((d) => normalizeAxis(d, rank, "permute"));
  if (order.length !== rank || new Set(order).size !== rank) {
    throw new ShapeError(
      `permute: ${formatShape(dims)} does not name each of the ${counted(rank, "dim")} once`,
    );
  }
  const back = new Array<number>(rank);
  order.forEach((from, to) => back[from] = to);
  const out = alias(x, order.map((d) => x.shape[d]), order.map((d) => x.strides[d]));
  return record("permute", out, [x], [], (g) => [permute(g, back)]);
}

/**
 * Two axes exchanged, as a view.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * transpose(tensor([[1, 2], [3, 4]]), 0, 1); // [[1, 3], [2, 4]]
 * ```
 * @category Views and indexing
 */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  demandNoMore(arguments, 3, "transpose");
  demandTensor("transpose", x);
  const rank = x.shape.length;
  const dims = Array.from({ length: rank }, (_, i) => i);
  const a = normalizeAxis(dim0, rank, "transpose"), b = normalizeAxis(dim1, rank, "transpose");
  if (rank === 0) return x;
  dims[a] = b;
  dims[b] = a;
  return permute(x, dims);
}

/**
 * x stretched to `shape` without copying; -1 keeps a size. Axes of size 1 repeat, new ones are added in front.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * expand(tensor([[1], [2]]), [2, 3]); // [[1, 1, 1], [2, 2, 2]]
 * ```
 * @category Views and indexing
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  demandNoMore(arguments, 2, "expand");
  demandTensor("expand", x);
  demandList("expand", shape);
  const shift = shape.length - x.shape.length;
  const target = shape.map((n, i) => n === -1 && i >= shift ? x.shape[i - shift] : n);
  const fits = shift >= 0 && x.shape.every((n, i) => n === 1 || n === target[i + shift]) &&
    target.every((n) => Number.isInteger(n) && n >= 0);
  if (!fits) {
    throw new ShapeError(`expand: ${formatShape(x.shape)} does not stretch to ${formatShape(shape)}`);
  }
  if (sameShape(target, x.shape)) return x;
  const own = x.shape;
  const out = alias(x, target, broadcastStrides(x.shape, x.strides, target));
  return record("expand", out, [x], [], (g) => [sumTo(g, own)]);
}

/**
 * Sums x over what a broadcast from `shape` would have repeated.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for a shape that does not broadcast to that of the tensor.
 * @category Views and indexing
 */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  demandNoMore(arguments, 2, "sumTo");
  demandTensor("sumTo", x);
  demandList("sumTo", shape);
  if (sameShape(x.shape, shape)) return x;
  const { axes, kept } = sumAxes(x.shape, shape);
  const full = x.shape;
  const out = empty(kept, x.dtype, x.backend, "sumTo");
  if (out.size) x.backend.reduce("sum", null, [x], [], axes, out);
  const view = alias(out, shape, contiguousStrides(shape));
  out.dispose();
  return record("sumTo", view, [x], [], (g) => [expand(g, full)]);
}

registerSumTo(sumTo as never);

/**
 * Axes of size 1 removed: all of them, or only `dim`, where its size is 1.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * squeeze(zeros([1, 3, 1])).shape; // [3]
 * ```
 * @category Views and indexing
 */
export function squeeze(x: Tensor, dim?: number | readonly number[]): Tensor {
  demandNoMore(arguments, 2, "squeeze");
  demandTensor("squeeze", x);
  const rank = x.shape.length;
  const drop = dim === undefined
    ? null
    : listOfDims(dim, "squeeze").map((d) => normalizeAxis(d, rank, "squeeze"));
  return reshape(x, x.shape.filter((n, i) => n !== 1 || (drop !== null && !drop.includes(i))));
}

/**
 * A new axis of size 1 at position `dim`.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * unsqueeze(zeros([3]), 0).shape; // [1, 3]
 * ```
 * @category Views and indexing
 */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  demandNoMore(arguments, 2, "unsqueeze");
  demandTensor("unsqueeze", x);
  const d = normalizeAxis(dim, x.shape.length + 1, "unsqueeze");
  return reshape(x, [...x.shape.slice(0, d), 1, ...x.shape.slice(d)]);
}

/**
 * What part of an axis to take: `[start, end, step]` as Python's `start:end:step`, a position, or null for all.
 *
 * @category Views and indexing
 */
export type Range = readonly [start?: number | null, end?: number | null, step?: number] | number | null;

/**
 * Start, size and step of Python's slice `start:end:step` on an axis of size `n`.
 *
 * @throws {ShapeError} for a range outside of the axis.
 * @category Views and indexing
 */
export function resolveRange(
  range: readonly [(number | null)?, (number | null)?, number?],
  n: number,
): { start: number; size: number; step: number } {
  demandNoMore(arguments, 2, "resolveRange");
  demandList("resolveRange", range, "a range such as [start, end]");
  const step = range[2] ?? 1;
  if (!Number.isInteger(step) || step === 0) {
    throw new ShapeError(`resolveRange: a step is a whole number, not ${step}`);
  }
  const low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  const clip = (v: number | null | undefined, missing: number): number => {
    if (v === null || v === undefined) return missing;
    v = fixed(v);
    if (Number.isNaN(v) || (Number.isFinite(v) && !Number.isInteger(v))) {
      throw new ShapeError(`resolveRange: a bound is a whole number, not ${v}`);
    }
    return Math.min(Math.max(v < 0 ? v + n : v, low), high);
  };
  const start = clip(range[0], step > 0 ? 0 : n - 1), end = clip(range[1], step > 0 ? n : -1);
  return { start, size: Math.max(0, Math.ceil((end - start) / step)), step };
}

/**
 * A part of x, one range per axis from the front; axes not named are taken whole. A range is `[start, end, step]` as
 * in Python (negative bounds count from the end, a negative step walks backwards), `null` for all, or a number, which
 * takes one position and drops the axis.
 *
 * ```ts
 * x.slice([0, 2], null, -1); // x[0:2, :, -1] in Python
 * ```
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function slice(x: Tensor, ...ranges: Range[]): Tensor {
  demandTensor("slice", x);
  if (ranges.length > x.shape.length) {
    throw new ShapeError(
      `slice: ${counted(ranges.length, "range")} for the ${counted(x.shape.length, "dim")} of ${
        formatShape(x.shape)
      }`,
    );
  }
  const full: number[] = [], strides: number[] = [], kept: number[] = [];
  let offset = x.offset;
  x.shape.forEach((n, i) => {
    const range = ranges[i] ?? null;
    if (isNumber(range)) {
      const place = fixed(range), at = place < 0 ? place + n : place;
      if (!Number.isInteger(at) || at < 0 || at >= n) {
        throw new ShapeError(`slice: position ${range} is outside dim ${i} of ${formatShape(x.shape)}`);
      }
      offset += at * x.strides[i];
      full.push(1);
      strides.push(x.strides[i]);
      return;
    }
    const { start, size, step } = toldAs("slice", ["resolveRange"], () => resolveRange(range ?? [], n));
    if (size > 0) offset += start * x.strides[i];
    full.push(size);
    strides.push(x.strides[i] * step);
    kept.push(i);
  });
  const out = alias(x, kept.map((i) => full[i]), kept.map((i) => strides[i]), offset);
  const own = x.shape;
  return record("slice", out, [x], [], (g) => [spread(g, own, ranges)], (g, _, total) => {
    addInto(g, slice(total, ...ranges));
  });
}

/**
 * Zeros of `shape` with x in the place that `ranges` names: the gradient of a slice.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {ShapeError} for a shape that it does not broadcast to.
 * @category Views and indexing
 */
export function spread(x: Tensor, shape: Shape, ranges: readonly Range[]): Tensor {
  demandNoMore(arguments, 3, "spread");
  demandTensor("spread", x);
  demandList("spread", shape);
  demandList("spread", ranges, "a list of ranges");
  const out = filled(checkShape(shape, "spread"), 0, x.dtype, x.backend);
  const place = slice(out, ...ranges);
  copyInto(x, place);
  place.dispose();
  return record("spread", out, [x], [], (g) => [slice(g, ...ranges)]);
}

/**
 * `length` positions of axis `dim` from `start`.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * narrow(arange(5), 0, 1, 3); // [1, 2, 3]
 * ```
 * @category Views and indexing
 */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  demandNoMore(arguments, 4, "narrow");
  demandTensor("narrow", x);
  const d = normalizeAxis(dim, x.shape.length, "narrow");
  if (start < 0 || length < 0 || start + length > x.shape[d]) {
    throw new ShapeError(
      `narrow: ${start} to ${start + length} is outside dim ${dim} of ${formatShape(x.shape)}`,
    );
  }
  return slice(x, ...new Array<null>(d).fill(null), [start, start + length]);
}

/**
 * Position `index` of axis `dim`, without the axis.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * select(tensor([[1, 2], [3, 4]]), 0, 1); // [3, 4]
 * ```
 * @category Views and indexing
 */
export function select(x: Tensor, dim: number, index: number): Tensor {
  demandNoMore(arguments, 3, "select");
  demandTensor("select", x);
  const d = normalizeAxis(dim, x.shape.length, "select");
  return slice(x, ...new Array<null>(d).fill(null), index);
}

/**
 * The order of elements reversed along `dims`.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * flip(tensor([1, 2, 3]), 0); // [3, 2, 1]
 * ```
 * @category Views and indexing
 */
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  demandNoMore(arguments, 2, "flip");
  demandTensor("flip", x);
  const list = listOfDims(dims, "flip").map((d) => normalizeAxis(d, x.shape.length, "flip"));
  return slice(x, ...x.shape.map((_, i): Range => list.includes(i) ? [null, null, -1] : null));
}

/** Parts of a tensor that are made at a time: each is an object. */
const mostParts = 2 ** 24;

/**
 * Views of `size` positions each along `dim` (the last may be shorter), or of the listed sizes.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function split(x: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
  demandNoMore(arguments, 3, "split");
  demandTensor("split", x);
  if (x.shape.length === 0) throw new ShapeError("split: a number has no dim to split");
  const d = normalizeAxis(dim, x.shape.length, "split"), n = x.shape[d];
  let sizes: readonly number[];
  if (typeof size === "number") {
    if (!Number.isInteger(size) || size < 1) {
      throw new ShapeError(`split: a part has at least 1 position, not ${size}`);
    }
    if (n / size > mostParts) {
      throw new ShapeError(`split: dim ${dim} of ${formatShape(x.shape)} gives more than ${mostParts} parts`);
    }
    sizes = Array.from({ length: Math.max(1, Math.ceil(n / size)) }, (_, i) => Math.min(size, n - i * size));
  } else {
    demandList("split", size, "a size or a list of sizes");
    sizes = size;
    const total = size.reduce((a, b) => a + b, 0);
    if (total !== n) {
      throw new ShapeError(`split: the sizes ${formatShape(size)} add up to ${total}, dim ${dim} has ${n}`);
    }
  }
  let start = 0;
  return sizes.map((length) => narrow(x, d, (start += length) - length, length));
}

/**
 * x in `chunks` nearly equal parts along `dim` (fewer when it does not divide so, as in PyTorch).
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function chunk(x: Tensor, chunks: number, dim = 0): Tensor[] {
  demandNoMore(arguments, 3, "chunk");
  demandTensor("chunk", x);
  const d = normalizeAxis(dim, x.shape.length, "chunk");
  if (!Number.isInteger(chunks) || chunks < 1) {
    throw new ShapeError(`chunk: there is at least 1 part, not ${chunks}`);
  }
  return split(x, Math.max(1, Math.ceil(x.shape[d] / chunks)), d);
}

/**
 * The elements on the diagonal of the last two axes, `offset` above the main one.
 *
 * @throws {ShapeError} for axes, sizes or positions that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * diagonal(tensor([[1, 2], [3, 4]])); // [1, 4]
 * ```
 * @category Views and indexing
 */
export function diagonal(x: Tensor, offset = 0): Tensor {
  demandNoMore(arguments, 2, "diagonal");
  demandTensor("diagonal", x);
  const rank = x.shape.length;
  if (!isNumber(offset) || !Number.isInteger(fixed(offset))) {
    throw new ShapeError(`diagonal: the offset is a whole number, not ${offset}`);
  }
  if (rank < 2) throw new ShapeError(`diagonal: needs at least 2 dims, not ${formatShape(x.shape)}`);
  const rows = x.shape[rank - 2], columns = x.shape[rank - 1];
  const down = Math.max(0, -offset), right = Math.max(0, offset);
  const n = Math.max(0, Math.min(rows - down, columns - right));
  const [a, b] = [x.strides[rank - 2], x.strides[rank - 1]];
  const out = alias(
    x,
    [...x.shape.slice(0, -2), n],
    [...x.strides.slice(0, -2), a + b],
    x.offset + (n ? down * a + right * b : 0),
  );
  const own = x.shape;
  return record("diagonal", out, [x], [], (g) => [spreadDiagonal(g, own, offset)]);
}

function spreadDiagonal(x: Tensor, shape: Shape, offset: number): Tensor {
  const out = filled(shape, 0, x.dtype, x.backend);
  const place = diagonal(out, offset);
  copyInto(x, place);
  place.dispose();
  return record("spreadDiagonal", out, [x], [], (g) => [diagonal(g, offset)]);
}

/**
 * A matrix's transpose; a vector or a number stays as it is, as in PyTorch.
 *
 * @throws {ShapeError} beyond two dims.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function t(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "t");
  demandTensor("t", x);
  if (x.shape.length > 2) {
    throw new ShapeError(`t: ${formatShape(x.shape)} has more than 2 dims; use transpose or permute`);
  }
  return permute(x, x.shape.map((_, i) => x.shape.length - 1 - i));
}

/**
 * The same memory in the same shape without a tape: gradients stop here.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function detach(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "detach");
  demandTensor("detach", x);
  return alias(x);
}
