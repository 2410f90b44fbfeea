/**
 * Picking and placing by several lists of positions, one for each of the first axes; and by places in all of a tensor.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { flag } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import {
  broadcastShapes,
  contiguousStrides,
  formatShape,
  normalizeAxis,
  type Shape,
  sizeOf,
} from "../core/shape.ts";
import { counted, show } from "../core/show.ts";
import { activeCapture, readNow, tidy, toNumbers } from "../tensor/mod.ts";
import { demandIndex, demandTensor } from "./bridge.ts";
import { tensor } from "./create.ts";
import { add, ge, logicalOr, lt, mul, where } from "./elementwise.ts";
import { gather, indexSelect, scatter, scatterAdd } from "./index.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { contiguous, expand, reshape } from "./views.ts";

/** What lists of positions name of x: rows of x seen as [rows, width]. */
interface Named {
  /** The row of each, i64 [count]. */
  readonly at: Tensor;
  /** The lists' own shape, broadcast. */
  readonly shape: Shape;
  /** The axes of x that no list is for. */
  readonly rest: Shape;
  readonly rows: number;
}

/** @throws {ShapeError} for a position of `list` outside of an axis of `size`, where the device answers at once. */
function demandInside(what: string, list: Tensor, size: number, axis: string): void {
  const errorOf = (at: number | bigint): ShapeError | null =>
    at < -size || at >= size
      ? new ShapeError(`${what}: index ${at} is outside [${-size}, ${size - 1}], the places of ${axis}`)
      : null;
  activeCapture()?.explain(list.backend, list, errorOf);
  for (const at of readNow(list) ?? []) {
    const error = errorOf(at);
    if (error) throw error;
  }
}

function rowsOf(what: string, x: Tensor, indices: readonly Tensor[]): Named {
  demandTensor(what, x);
  if (!Array.isArray(indices) || indices.length < 1 || indices.length > x.shape.length) {
    throw new ShapeError(
      `${what}: indices is ${show(indices)}, expected 1 to ${
        counted(x.shape.length, "tensor")
      }, one for each of the first dims of ${formatShape(x.shape)}`,
    );
  }
  const outer = x.shape.slice(0, indices.length), strides = contiguousStrides(outer), rows = sizeOf(outer);
  let at: Tensor | null = null, outside: Tensor | null = null;
  for (const [axis, list] of indices.entries()) {
    demandIndex(what, list);
    const size = x.shape[axis], wide = toDType(list, "i64");
    demandInside(what, list, size, `dim ${axis}`);
    const part = mul(where(lt(wide, 0), add(wide, size), wide), strides[axis]);
    const beyond = logicalOr(lt(wide, -size), ge(wide, size));
    at = at ? add(at, part) : part;
    outside = outside ? logicalOr(outside, beyond) : beyond;
  }
  const shape = at!.shape;
  // A place outside of one axis is none of the whole, where its device finds it.
  return { at: reshape(where(outside!, rows, at!), [-1]), shape, rest: x.shape.slice(indices.length), rows };
}

/**
 * `x[indices[0], indices[1], …]`: lists of positions, one for each of the first axes, which broadcast; negative ones count from
 * the end. The result is [...their shape, ...the rest of x's].
 *
 * @throws {ShapeError} for lists that do not fit and for a position outside of its axis; a device that answers late (WebGPU)
 *   says so when values are read. {DTypeError} for positions that are not i32 or i64.
 * @example
 * ```ts
 * const x = tensor([[1, 2], [3, 4]]);
 * index(x, [tensor([0, 1], { dtype: "i32" }), tensor([1, 0], { dtype: "i32" })]); // [2, 3]
 * ```
 * @category Views and indexing
 */
export function index(x: Tensor, indices: readonly Tensor[]): Tensor {
  demandNoMore(arguments, 2, "index");
  return tidy(() => {
    const { at, shape, rest, rows } = rowsOf("index", x, indices);
    return reshape(indexSelect(reshape(x, [rows, sizeOf(rest)]), 0, at), [...shape, ...rest]);
  });
}

const putOptions: OptionTable<{ accumulate?: boolean }> = { accumulate: flag };

/**
 * x with `values` at `x[indices[0], indices[1], …]`; they broadcast to the shape that {@link index} gives. With `accumulate` they
 * are added, and those of one place add up; else the last of one place stays.
 *
 * @throws {ShapeError} for shapes that do not fit and for a position outside of its axis; a device that answers late (WebGPU)
 *   says so when values are read. {DTypeError} for positions that are not i32 or i64, and values of another dtype.
 * @example
 * ```ts
 * indexPut(zeros([2, 2]), [tensor([1], { dtype: "i32" })], tensor([5, 6])); // [[0, 0], [5, 6]]
 * ```
 * @category Views and indexing
 */
export function indexPut(
  x: Tensor,
  indices: readonly Tensor[],
  values: Tensor,
  options: { accumulate?: boolean } = {},
): Tensor {
  demandNoMore(arguments, 4, "indexPut");
  const { accumulate = false } = checkOptions("indexPut", options, putOptions);
  demandTensor("indexPut", values, "values");
  return tidy(() => {
    const { at, shape, rest, rows } = rowsOf("indexPut", x, indices), width = sizeOf(rest);
    if (values.dtype !== x.dtype) {
      throw new DTypeError(
        `indexPut: the values are ${values.dtype}, the tensor ${x.dtype}; convert one with .to({ dtype })`,
      );
    }
    const target = [...shape, ...rest], list = [at.size, width];
    if (String(broadcastShapes("indexPut", values.shape, target)) !== String(target)) {
      throw new ShapeError(
        `indexPut: values of ${formatShape(values.shape)} do not broadcast to ${formatShape(target)}`,
      );
    }
    const own = reshape(expand(values, target), list),
      places = contiguous(expand(reshape(at, [-1, 1]), list));
    const flat = reshape(x, [rows, width]);
    return reshape(accumulate ? scatterAdd(flat, 0, places, own) : scatter(flat, 0, places, own), x.shape);
  });
}

/**
 * The elements of x at places of its row-major order: the index's shape. Negative places count from the end.
 *
 * @throws {ShapeError} for a place outside of x; a device that answers late (WebGPU) says so when values are read.
 *   {DTypeError} for places that are not i32 or i64.
 * @example
 * ```ts
 * take(tensor([[1, 2], [3, 4]]), tensor([0, -1], { dtype: "i32" })); // [1, 4]
 * ```
 * @category Views and indexing
 */
export function take(x: Tensor, index: Tensor): Tensor {
  demandNoMore(arguments, 2, "take");
  demandTensor("take", x);
  demandIndex("take", index);
  return tidy(() => {
    demandInside("take", index, x.size, `all of ${formatShape(x.shape)}`);
    return reshape(gather(reshape(x, [-1]), 0, reshape(index, [-1])), index.shape);
  });
}

/**
 * {@link gather}, where x and the index broadcast along the other axes, as `argsort` and `argmax` give it; without `dim` x is a
 * list, and so is the index.
 *
 * @throws {ShapeError} for shapes that do not fit and for a position outside of the axis. {DTypeError} for positions that are
 *   not i32 or i64.
 * @example
 * ```ts
 * const x = tensor([[3, 1], [2, 4]]);
 * takeAlongDim(x, argsort(x, 1), 1); // [[1, 3], [2, 4]]
 * ```
 * @category Views and indexing
 */
export function takeAlongDim(x: Tensor, index: Tensor, dim: number | null = null): Tensor {
  demandNoMore(arguments, 3, "takeAlongDim");
  demandTensor("takeAlongDim", x);
  demandIndex("takeAlongDim", index);
  if (dim === null) return tidy(() => gather(reshape(x, [-1]), 0, reshape(index, [-1])));
  const axis = normalizeAxis(dim, x.shape.length, "takeAlongDim");
  if (index.shape.length !== x.shape.length) {
    throw new ShapeError(
      `takeAlongDim: the index is ${formatShape(index.shape)} and x ${
        formatShape(x.shape)
      }; they have as many dims`,
    );
  }
  const without = (shape: Shape): number[] => shape.map((n, i) => i === axis ? 1 : n);
  const common = broadcastShapes("takeAlongDim", without(x.shape), without(index.shape));
  const wide = (t: Tensor): Tensor => expand(t, common.map((n, i) => i === axis ? t.shape[axis] : n));
  return tidy(() => gather(wide(x), axis, wide(index)));
}

/**
 * Where x is not 0: i64 [count, dims], row-major. How many there are depends on the values, so it waits for the device.
 *
 * @example
 * ```ts
 * await (await nonzero(tensor([[0, 1], [2, 0]]))).toArray(); // [[0, 1], [1, 0]]
 * ```
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export async function nonzero(x: Tensor): Promise<Tensor> {
  demandNoMore(arguments, 1, "nonzero");
  demandTensor("nonzero", x);
  const data = toNumbers(await x.data(), x.dtype), { shape, device } = x, strides = contiguousStrides(shape);
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) count++;
  const places = new BigInt64Array(count * shape.length);
  for (let i = 0, k = 0; i < data.length; i++) {
    if (data[i] === 0) continue;
    for (let d = 0; d < shape.length; d++) places[k++] = BigInt(Math.floor(i / strides[d]) % shape[d]);
  }
  return tensor(places, { shape: [count, shape.length], device });
}
