/**
 * Operations that pick elements by position, and those that put them back.
 *
 * Index tensors are i32 or i64; a negative position counts from the end. Positions come from data: a device that
 * answers at once throws a ShapeError that names a position outside the axis.
 *
 * @module
 */
import { counted, show } from "../core/show.ts";
import { demandFunction, demandNoMore, demandText, toldAs } from "../core/demand.ts";
import { isQuantized } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { fixed, isNumber } from "../core/number.ts";
import {
  broadcastStrides,
  contiguousStrides,
  formatShape,
  normalizeAxis,
  type Shape,
  targetError,
} from "../core/shape.ts";
import { activeCapture, readNow, tidy } from "../tensor/mod.ts";
import { alias, commonBackend, copy, demandIndex, demandTensor, empty, filled, record } from "./bridge.ts";
import { arange } from "./create.ts";
import { add, eq, ge, le, lt, maskedFill, where } from "./elementwise.ts";
import { inFloat32 } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { expand, type Range, reshape, spread, unsqueeze } from "./views.ts";

/** A number as a list of one: the axis that picking needs. */
function listOfOne(x: Tensor): Tensor {
  return reshape(x, [1]);
}

/**
 * `out[i][j] = x[i][index[i][j]]` for dim 1, and likewise for any dim. The result has the index's shape, and x's dtype
 * (f32 for q8 and q4).
 *
 * @example
 * ```ts
 * const best = logits.argmax(-1, true);
 * const highest = gather(logits, -1, best);
 * ```
 * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers late
 *   (WebGPU) says so when values are read.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * @category Views and indexing
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  demandNoMore(arguments, 3, "gather");
  demandTensor("gather", x);
  const axis = normalizeAxis(dim, x.shape.length, "gather"), shape = x.shape;
  demandIndex("gather", index);
  if (shape.length === 0) return tidy(() => reshape(gather(listOfOne(x), 0, listOfOne(index)), []));
  if (index.shape.length !== shape.length || index.shape.some((n, i) => i !== axis && n > shape[i])) {
    throw new ShapeError(
      `gather: an index of shape ${formatShape(index.shape)} does not fit ${formatShape(shape)}`,
    );
  }
  const backend = commonBackend("gather", [x, index]);
  const out = empty(index.shape, isQuantized(x.dtype) ? "f32" : x.dtype, backend, "gather");
  if (out.size) {
    // Only the part of x that the index covers is looked at.
    const part = alias(x, shape.map((n, i) => i === axis ? n : index.shape[i]), x.strides);
    backend.gather(part, axis, index, out);
    part.dispose();
  }
  const addTo = (g: Tensor, [index]: readonly Tensor[], total: Tensor): void => {
    if (g.size) g.backend.scatter("add", total, axis, index, g);
  };
  const inPlace = x.dtype === "f32" || x.dtype === "f64" ? addTo : undefined;
  return record("gather", out, [x], [index], (g, [index]) => [accumulate(shape, axis, index, g)], inPlace);
}

/** Zeros of `shape` with `source` added at the positions `index` along `axis`: the gradient of gather. */
function accumulate(shape: Shape, axis: number, index: Tensor, source: Tensor): Tensor {
  // Many may meet in one place, so f16 and bf16 add up in f32.
  return inFloat32(source, (source) => {
    const out = filled(shape, 0, source.dtype, source.backend, "scatterAdd");
    if (index.size) source.backend.scatter("add", out, axis, index, source);
    return record("scatterAdd", out, [source], [index], (g, [index]) => [gather(g, axis, index)]);
  });
}

function scattered(mode: "add" | "set", x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor {
  const what = mode === "add" ? "scatterAdd" : "scatter";
  demandIndex(what, index);
  const fits = index.shape.length === x.shape.length && source.shape.length === x.shape.length &&
    index.shape.every((n, i) => n <= source.shape[i] && (i === axis || n <= x.shape[i]));
  if (!fits) {
    throw new ShapeError(
      `${what}: index ${formatShape(index.shape)} and source ${formatShape(source.shape)} do not fit ${
        formatShape(x.shape)
      }`,
    );
  }
  if (source.dtype !== x.dtype) {
    throw new DTypeError(
      `${what}: the source is ${source.dtype}, the tensor ${x.dtype}; convert one with .to({ dtype })`,
    );
  }
  const backend = commonBackend(what, [x, index, source]);
  const out = copy(x, x.dtype, what);
  const part = alias(source, index.shape, source.strides);
  if (index.size) backend.scatter(mode, out, axis, index, part);
  part.dispose();
  return out;
}

/**
 * x with `source[i][j]` added at `[i][index[i][j]]` (dim 1; likewise for others). Repeats add up.
 *
 * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers late
 *   (WebGPU) says so when values are read.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * @example
 * ```ts
 * scatterAdd(zeros([3]), 0, tensor([0, 2, 2], { dtype: "i32" }), ones([3])); // [1, 0, 2]
 * ```
 * @category Views and indexing
 */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  demandNoMore(arguments, 4, "scatterAdd");
  demandTensor("scatterAdd", x);
  demandTensor("scatterAdd", source, "source");
  const axis = normalizeAxis(dim, x.shape.length, "scatterAdd"), shape = source.shape;
  if (x.shape.length === 0) {
    return tidy(() => reshape(scatterAdd(listOfOne(x), 0, listOfOne(index), listOfOne(source)), []));
  }
  const out = scattered("add", x, axis, index, source);
  return record("scatterAdd", out, [x, source], [index], (g, [index], needs) => [
    needs[0] ? g : null,
    needs[1] ? padTo(gather(g, axis, index), shape) : null,
  ]);
}

/**
 * x with `source[i][j]` written at `[i][index[i][j]]`. Where positions repeat, the last one stays.
 *
 * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers late
 *   (WebGPU) says so when values are read.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * scatter(zeros([3]), 0, tensor([1], { dtype: "i32" }), ones([1])); // [0, 1, 0]
 * ```
 * @category Views and indexing
 */
export function scatter(x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor {
  demandNoMore(arguments, 4, "scatter");
  demandTensor("scatter", x);
  if (!isNumber(source)) demandTensor("scatter", source, "source");
  demandIndex("scatter", index);
  const axis = normalizeAxis(dim, x.shape.length, "scatter");
  if (isNumber(source)) {
    return tidy(() => scatter(x, axis, index, filled(index.shape, source, x.dtype, x.backend)));
  }
  if (x.shape.length === 0) {
    return tidy(() => reshape(scatter(listOfOne(x), 0, listOfOne(index), listOfOne(source)), []));
  }
  const out = scattered("set", x, axis, index, source), shape = source.shape;
  return record("scatter", out, [x, source], [index], (g, [index], needs) => [
    needs[0] ? scatter(g, axis, index, 0) : null,
    needs[1] ? padTo(gather(g, axis, index), shape) : null,
  ]);
}

/** Zeros behind each axis, up to `shape`. */
function padTo(x: Tensor, shape: Shape): Tensor {
  return spread(x, shape, x.shape.map((n): Range => [0, n]));
}

/** A list of positions as gather wants it: the same for every place of `shape` beside `axis`. */
function alongAxis(index: Tensor, shape: Shape, axis: number): Tensor {
  const target = shape.map((n, i) => i === axis ? index.size : n);
  const own = shape.map((_, i) => i === axis ? index.size : 1);
  const strides = contiguousStrides(own).map((s, i) => i === axis ? index.strides[0] : s);
  return alias(index, target, broadcastStrides(own, strides, target));
}

/**
 * The positions `index` (one axis) of axis `dim`.
 *
 * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers late
 *   (WebGPU) says so when values are read.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * @example
 * ```ts
 * indexSelect(tensor([10, 20, 30]), 0, tensor([2, 0], { dtype: "i32" })); // [30, 10]
 * ```
 * @category Views and indexing
 */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  demandNoMore(arguments, 3, "indexSelect");
  demandTensor("indexSelect", x);
  const axis = normalizeAxis(dim, x.shape.length, "indexSelect");
  demandIndex("indexSelect", index);
  if (index.shape.length > 1) {
    throw new ShapeError(`indexSelect: the index has one dim, not ${formatShape(index.shape)}`);
  }
  if (x.shape.length === 0 && index.size !== 1) {
    throw new ShapeError(`indexSelect: of a number there is one position to take, not ${index.size}`);
  }
  const flat = reshape(index, [-1]), count = x.shape[axis] ?? 1;
  const errorOf = (at: number | bigint): ShapeError | null =>
    at < -count || at >= count
      ? new ShapeError(
        `indexSelect: index ${at} is outside [${-count}, ${count - 1}], the places of dim ${axis}`,
      )
      : null;
  return tidy(() => named(flat, errorOf, () => gather(x, axis, alongAxis(flat, x.shape, axis))));
}

/**
 * Rows of `weight` [count, width] for ids of any shape, 0 to count − 1: [...ids.shape, width]. Row `paddingIdx` gets no
 * gradient. Rows of q8 and q4 weights come as f32.
 *
 * @throws {ShapeError} for an id that names no row, below 0 too: ids are names, not positions that may count from the end.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * At once where values can be seen; a device that answers late (WebGPU) throws it from the next read.
 * @example
 * ```ts
 * embedding(tensor([1, 1], { dtype: "i32" }), tensor([[1, 2], [3, 4]])); // [[3, 4], [3, 4]]
 * ```
 * @category Views and indexing
 */
export function embedding(ids: Tensor, weight: Tensor, paddingIdx: number | null = null): Tensor {
  demandNoMore(arguments, 3, "embedding");
  demandTensor("embedding", weight, "weight");
  demandIndex("embedding", ids);
  if (weight.shape.length !== 2) {
    throw new ShapeError(`embedding: a weight is [count, width], not ${formatShape(weight.shape)}`);
  }
  const count = weight.shape[0];
  return tidy(() => {
    const rows = paddingIdx === null ? weight : withoutGradientAt(paddingIdx, weight);
    const flat = reshape(ids, [-1]), at = asPositions(flat, count);
    const picked = named(flat, (id) => id < 0 || id >= count ? rowError(id, count) : null, () => {
      return gather(rows, 0, alongAxis(at, weight.shape, 0));
    });
    return reshape(picked, [...ids.shape, weight.shape[1]]);
  });
}

function rowError(id: number | bigint, count: number): ShapeError {
  return new ShapeError(`embedding: id ${id} is none of the ${counted(count, "row")}`);
}

/** Runs `f`, which picks by `ids`; what a device that answers at once then throws names the id for which there is an error. */
function named<T>(ids: Tensor, errorOf: (id: number | bigint) => ShapeError | null, f: () => T): T {
  activeCapture()?.explain(ids.backend, ids, errorOf);
  try {
    return f();
  } catch (error) {
    for (const id of error instanceof ShapeError ? readNow(ids) ?? [] : []) {
      const better = errorOf(id);
      if (better) throw better;
    }
    throw error;
  }
}

/** x, with a gradient that is 0 in row `at`. */
function withoutGradientAt(at: number, x: Tensor): Tensor {
  const count = x.shape[0], row = at < 0 ? at + count : at;
  if (!Number.isInteger(row) || row < 0 || row >= count) {
    throw new ShapeError(`embedding: paddingIdx ${at} is none of the ${counted(count, "row")}`);
  }
  return record("embedding", alias(x), [x], [], (g) => [
    maskedFill(g, unsqueeze(eq(arange(count, { device: g.device }), row), 1), 0),
  ]);
}

/**
 * Runs `f`, which picks by the class ids `ids`. A device that answers at once throws where one is no class, and then the
 * error names it.
 *
 * @throws {ShapeError} for an id outside 0 … classes − 1 that is not `ignoreIndex`.
 * @throws {OptionError} for an `f` that is no function.
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function byClass<T>(
  what: string,
  ids: Tensor,
  classes: number,
  ignoreIndex: number | undefined,
  f: () => T,
): T {
  demandNoMore(arguments, 5, "byClass");
  demandText("byClass", what, "what");
  demandTensor(what, ids, "ids");
  demandFunction(what, f);
  const isNone = (id: number | bigint) => (id < 0 || id >= classes) && Number(id) !== ignoreIndex;
  return named(ids, (id) => isNone(id) ? targetError(what, id, classes, ignoreIndex) : null, f);
}

/**
 * Class ids as positions: those count from the end where they are negative, but no class is.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Views and indexing
 */
export function asPositions(ids: Tensor, classes: number): Tensor {
  demandNoMore(arguments, 2, "asPositions");
  return toldAs("asPositions", ["lt", "where"], () => where(lt(ids, 0), classes, ids));
}

/**
 * 1 at each class id's place on a new last axis of `classes`, 0 elsewhere; i32.
 * @throws {ShapeError} for an id outside 0 … classes − 1, and a count of classes that is none.
 * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
 * @example
 * ```ts
 * oneHot(tensor([0, 2], { dtype: "i32" }), 3); // [[1, 0, 0], [0, 0, 1]]
 * ```
 * @category Views and indexing
 */
export function oneHot(index: Tensor, classes: number): Tensor {
  demandNoMore(arguments, 2, "oneHot");
  demandIndex("oneHot", index);
  if (!(Number.isSafeInteger(classes) && classes >= 0)) {
    throw new ShapeError(`oneHot: classes is a whole number from 0, not ${classes}`);
  }
  const shape = [...index.shape, classes], axis = shape.length - 1, { backend } = index;
  return tidy(() => {
    // All that it takes is taken before anything is done.
    const out = filled(shape, 0, "i32", backend, "oneHot");
    if (index.size) {
      const ones = expand(filled([], 1, "i32", backend), [...index.shape, 1]);
      const at = unsqueeze(asPositions(index, classes), -1);
      byClass("oneHot", index, classes, undefined, () => backend.scatter("set", out, axis, at, ones));
    }
    return out;
  });
}

function triangle(what: string, x: Tensor, keepLower: boolean, diagonal: number): Tensor {
  demandTensor(what, x);
  const rank = x.shape.length;
  if (!isNumber(diagonal) || !Number.isInteger(fixed(diagonal))) {
    throw new ShapeError(`${what}: diagonal is a whole number, not ${show(diagonal)}`);
  }
  if (rank < 2) throw new ShapeError(`${what}: needs at least 2 dims, not ${formatShape(x.shape)}`);
  return tidy(() => {
    const { device } = x, columns = arange(x.shape[rank - 1], { device });
    const rows = unsqueeze(arange(x.shape[rank - 2], { device }), 1);
    const outside = keepLower ? ge(columns, add(rows, diagonal + 1)) : le(columns, add(rows, diagonal - 1));
    return maskedFill(x, expand(outside, x.shape), 0);
  });
}

/**
 * The lower triangle of the last two axes, zeros above diagonal number `diagonal`.
 *
 * @throws {ShapeError} for fewer than two axes.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @example
 * ```ts
 * tril(ones([2, 2])); // [[1, 0], [1, 1]]
 * ```
 * @category Views and indexing
 */
export function tril(x: Tensor, diagonal = 0): Tensor {
  demandNoMore(arguments, 2, "tril");
  return triangle("tril", x, true, diagonal);
}

/**
 * The upper triangle of the last two axes, zeros below diagonal number `diagonal`.
 *
 * @throws {ShapeError} for fewer than two axes.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @example
 * ```ts
 * triu(ones([2, 2])); // [[1, 1], [0, 1]]
 * ```
 * @category Views and indexing
 */
export function triu(x: Tensor, diagonal = 0): Tensor {
  demandNoMore(arguments, 2, "triu");
  return triangle("triu", x, false, diagonal);
}
