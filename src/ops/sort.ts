/**
 * Order: sorting, and the largest few.
 *
 * @module
 */
import { ShapeError } from "../core/errors.ts";
import { normalizeAxis } from "../core/shape.ts";
import { tidy } from "../tensor/mod.ts";
import { contiguousView, empty, record } from "./bridge.ts";
import { gather, scatterAdd } from "./index.ts";
import { zeros } from "./create.ts";
import type { Tensor } from "./tensor.ts";
import { contiguous, narrow, transpose } from "./views.ts";

/** Sorted values, and where each came from (i32). */
export interface Sorted {
  /** The values in order. */
  values: Tensor;
  /** Their positions in the input. */
  indices: Tensor;
}

/** Options of {@link sort} and {@link argsort}. */
export interface SortOptions {
  /** Largest first. Default false. */
  descending?: boolean;
}

/** Sorts along `dim`, stably; NaN comes last. */
export function sort(x: Tensor, dim = -1, options: SortOptions = {}): Sorted {
  const { descending = false } = options;
  const axis = normalizeAxis(dim, x.shape.length, "sort"), last = x.shape.length - 1;
  if (x.shape.length && axis !== last) {
    return tidy(() => {
      const { values, indices } = sort(contiguous(transpose(x, axis, last)), -1, options);
      return { values: transpose(values, axis, last), indices: transpose(indices, axis, last) };
    });
  }
  const values = empty(x.shape, x.dtype, x.backend, "sort"), indices = empty(x.shape, "i32", x.backend, "sort");
  if (x.size) x.backend.sort(contiguousView(x), descending, values, indices);
  record("sort", values, [x], [indices], (g, [indices]) => [
    x.shape.length ? scatterAdd(zeros(g.shape, { device: g.device, dtype: g.dtype }), -1, indices, g) : g,
  ]);
  return { values, indices };
}

/** The positions that would sort x along `dim`. */
export function argsort(x: Tensor, dim = -1, options: SortOptions = {}): Tensor {
  return tidy(() => sort(x, dim, options).indices);
}

/** Options of {@link topk}. */
export interface TopKOptions {
  /** The largest (default) or the smallest. */
  largest?: boolean;
}

/** The k largest (or smallest) along `dim`, in order. */
export function topk(x: Tensor, k: number, dim = -1, options: TopKOptions = {}): Sorted {
  const { largest = true } = options;
  const axis = normalizeAxis(dim, x.shape.length, "topk"), n = x.shape[axis] ?? 1;
  if (!Number.isInteger(k) || k < 0 || k > n) throw new ShapeError(`topk: k is ${k}, dim ${dim} has ${n} elements`);
  return tidy(() => {
    const indices = contiguous(narrow(argsort(x, axis, { descending: largest }), axis, 0, k));
    return { values: gather(x, axis, indices), indices };
  });
}
