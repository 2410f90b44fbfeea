/**
 * Order: sorting, and the largest few.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { flag } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { normalizeAxis } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { contiguousView, demandTensor, empty, wantsGradient } from "./bridge.ts";
import { gather } from "./index.ts";
import type { Tensor } from "./tensor.ts";
import { contiguous, narrow, reshape, transpose } from "./views.ts";

/**
 * Sorted values, and where each came from (i32).
 *
 * @category Reductions and order
 */
export interface Sorted {
  /** The values in order. */
  values: Tensor;
  /** Their positions in the input. */
  indices: Tensor;
}

/**
 * Options of {@link sort} and {@link argsort}.
 *
 * @category Reductions and order
 */
export interface SortOptions {
  /** Largest first. Default false. */
  descending?: boolean;
}

const sortOptions: OptionTable<SortOptions> = { descending: flag };

/** Positions that would sort the last axis, and the sorted values, not recorded. */
function sorted(x: Tensor, descending: boolean): Sorted {
  const values = empty(x.shape, x.dtype, x.backend, "sort"),
    indices = empty(x.shape, "i32", x.backend, "sort");
  if (x.size) x.backend.sort(contiguousView(x), descending, values, indices);
  return { values, indices };
}

/** `f` with axis `dim` as the last one, and both results put back. */
function alongLast(x: Tensor, dim: number, f: (x: Tensor) => Sorted): Sorted {
  demandTensor("sort", x);
  const rank = x.shape.length, axis = normalizeAxis(dim, rank, "sort");
  return tidy(() => {
    if (rank === 0) {
      const { values, indices } = f(reshape(x, [1]));
      return { values: reshape(values, []), indices: reshape(indices, []) };
    }
    if (axis === rank - 1) return f(x);
    const { values, indices } = f(transpose(x, axis, -1));
    return { values: transpose(values, axis, -1), indices: transpose(indices, axis, -1) };
  });
}

/**
 * Sorts along `dim`, stably; NaN counts as larger than all numbers, as in PyTorch. Integers and floats.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @example
 * ```ts
 * sort(tensor([3, 1, 2])).values; // [1, 2, 3]
 * ```
 * @category Reductions and order
 */
export function sort(x: Tensor, dim = -1, options: SortOptions = {}): Sorted {
  demandNoMore(arguments, 3, "sort");
  return sortBy("sort", x, dim, options);
}

function sortBy(what: string, x: Tensor, dim: number, options: SortOptions): Sorted {
  const { descending = false } = checkOptions(what, options, sortOptions);
  demandTensor(what, x);
  normalizeAxis(dim, x.shape.length, what);
  return alongLast(x, dim, (x) => {
    const { values, indices } = sorted(x, descending);
    return { values: wantsGradient([x]) ? gather(x, -1, indices) : values, indices };
  });
}

/**
 * The positions that would sort x along `dim`; i32.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @example
 * ```ts
 * argsort(tensor([3, 1, 2])); // [1, 2, 0]
 * ```
 * @category Reductions and order
 */
export function argsort(x: Tensor, dim = -1, options: SortOptions = {}): Tensor {
  demandNoMore(arguments, 3, "argsort");
  return tidy(() => sortBy("argsort", x, dim, options).indices);
}

/**
 * Options of {@link topk}.
 *
 * @category Reductions and order
 */
export interface TopKOptions {
  /** The largest (default) or the smallest. */
  largest?: boolean;
}

const topKOptions: OptionTable<TopKOptions> = { largest: flag };

/**
 * The k largest (or smallest) along `dim`, in order; NaN counts as larger than all numbers.
 *
 * @throws {ShapeError} for an axis that x does not have, or a k larger than it.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * topk(tensor([3, 9, 5]), 2).values; // [9, 5]
 * ```
 * @category Reductions and order
 */
export function topk(x: Tensor, k: number, dim = -1, options: TopKOptions = {}): Sorted {
  demandNoMore(arguments, 4, "topk");
  const { largest = true } = checkOptions("topk", options, topKOptions);
  demandTensor("topk", x);
  const axis = normalizeAxis(dim, x.shape.length, "topk"), n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > n) {
    throw new ShapeError(`topk: k is ${k}, dim ${dim} has ${counted(n, "element")}`);
  }
  return alongLast(x, dim, (x) => {
    const indices = contiguous(narrow(sorted(x, largest).indices, -1, 0, k));
    return { values: gather(x, -1, indices), indices };
  });
}
