/**
 * Operations that pick elements by position, and those that put them back.
 *
 * Index tensors are i32 or i64; a negative position counts from the end. Positions come from data, so each operation
 * checks them where the device's memory can be read at once, and the device ignores none silently.
 *
 * @module
 */
import { DTypeError, ShapeError } from "../core/errors.ts";
import { broadcastStrides, contiguousStrides, formatShape, normalizeAxis, type Shape } from "../core/shape.ts";
import { alias, contiguousView, copy, empty, filled, record } from "./bridge.ts";
import { add, eq, ge, le, maskedFill, toDType } from "./elementwise.ts";
import { arange } from "./create.ts";
import type { Tensor } from "./tensor.ts";
import { expand, type Range, reshape, spread, unsqueeze } from "./views.ts";

function demandIndex(what: string, index: Tensor): void {
  if (index.dtype !== "i32" && index.dtype !== "i64") {
    throw new DTypeError(`${what}: positions are i32 or i64, not ${index.dtype}; convert with .to({ dtype: "i32" })`);
  }
}

/** `out[i][j] = x[i][index[i][j]]` for dim 1, and likewise for any dim. The result has the index's shape. */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  const axis = normalizeAxis(dim, x.shape.length, "gather");
  demandIndex("gather", index);
  if (index.shape.length !== x.shape.length || index.shape.some((n, i) => i !== axis && n > x.shape[i])) {
    throw new ShapeError(`gather: an index of shape ${formatShape(index.shape)} does not fit ${formatShape(x.shape)}`);
  }
  // Only the part of x that the index covers is looked at.
  const part = alias(x, x.shape.map((n, i) => i === axis ? n : index.shape[i]), x.strides);
  const out = empty(index.shape, x.dtype, x.backend, "gather");
  if (out.size) x.backend.gather(part, axis, index, out);
  part.dispose();
  const shape = x.shape;
  return record("gather", out, [x], [index], (g, [index]) => [scatterAdd(filled(shape, 0, g.dtype, g.backend), axis, index, g)]);
}

function scattered(mode: "add" | "set", x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  const what = mode === "add" ? "scatterAdd" : "scatter";
  const axis = normalizeAxis(dim, x.shape.length, what);
  demandIndex(what, index);
  const fits = index.shape.length === x.shape.length && source.shape.length === x.shape.length &&
    index.shape.every((n, i) => n <= source.shape[i] && (i === axis || n <= x.shape[i]));
  if (!fits) {
    throw new ShapeError(
      `${what}: index ${formatShape(index.shape)} and source ${formatShape(source.shape)} do not fit ${formatShape(x.shape)}`,
    );
  }
  const out = copy(x);
  const part = alias(source, index.shape, source.strides);
  if (index.size) x.backend.scatter(mode, out, axis, index, part);
  part.dispose();
  return out;
}

/** x with `source[i][j]` added at `[i][index[i][j]]` (dim 1; likewise for others). Repeats add up. */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  const out = scattered("add", x, dim, index, source);
  const shape = source.shape;
  return record("scatterAdd", out, [x, source], [index], (g, [index]) => [g, padTo(gather(g, dim, index), shape)]);
}

/** x with `source[i][j]` written at `[i][index[i][j]]`. Where positions repeat, one of them stays. */
export function scatter(x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor {
  const from = typeof source === "number" ? filled(index.shape, source, x.dtype, x.backend) : source;
  const out = scattered("set", x, dim, index, from);
  const shape = from.shape;
  return record("scatter", out, [x, from], [index], (g, [index], needs) => [
    needs[0] ? scattered("set", g, dim, index, filled(index.shape, 0, g.dtype, g.backend)) : null,
    needs[1] ? padTo(gather(g, dim, index), shape) : null,
  ]);
}

/** Zeros behind each axis, up to `shape`. */
function padTo(x: Tensor, shape: Shape): Tensor {
  return spread(x, shape, x.shape.map((n): Range => [0, n]));
}

/** The positions `index` (one axis) of axis `dim`. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const axis = normalizeAxis(dim, x.shape.length, "indexSelect");
  demandIndex("indexSelect", index);
  if (index.shape.length > 1) throw new ShapeError(`indexSelect: the index has one dim, not ${formatShape(index.shape)}`);
  return gather(x, axis, alongAxis(reshape(index, [-1]), x.shape, axis));
}

/** A list of positions stretched to what gather wants: the same for every place beside `axis`. */
function alongAxis(index: Tensor, shape: Shape, axis: number): Tensor {
  const target = shape.map((n, i) => i === axis ? index.size : n);
  const own = shape.map((_, i) => i === axis ? index.size : 1);
  const strides = broadcastStrides(own, contiguousStrides(own).map((s, i) => i === axis ? index.strides[0] : s), target);
  return alias(index, target, strides);
}

/** Rows of `weight` [count, width] for ids of any shape: [...ids.shape, width]. `paddingIdx` gets no gradient. */
export function embedding(ids: Tensor, weight: Tensor, paddingIdx: number | null = null): Tensor {
  demandIndex("embedding", ids);
  if (weight.shape.length !== 2) {
    throw new ShapeError(`embedding: a weight is [count, width], not ${formatShape(weight.shape)}`);
  }
  const [rows, width] = weight.shape, ownShape = weight.shape;
  const flat = contiguousView(ids);
  const list = alias(flat, [ids.size], [1], flat.offset);
  const out = empty([ids.size, width], weight.dtype, weight.backend, "embedding");
  if (out.size) weight.backend.gather(weight, 0, alongAxis(list, [ids.size, width], 0), out);
  const shaped = alias(out, [...ids.shape, width], contiguousStrides([...ids.shape, width]));
  out.dispose();
  const last = paddingIdx !== null && paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
  return record("embedding", shaped, [weight], [list], (g, [list]) => {
    const flatGrad = reshape(g, [list.size, width]);
    const zero = filled(ownShape, 0, g.dtype, g.backend);
    const total = scatterAdd(zero, 0, alongAxis(list, [list.size, width], 0), flatGrad);
    if (last === null) return [total];
    return [maskedFill(total, unsqueeze(eq(arange(rows, { device: g.device, dtype: "i32" }), last), 1), 0)];
  });
}

/** 1 at each position's place on a new last axis of `classes`, 0 elsewhere; i32. */
export function oneHot(index: Tensor, classes: number): Tensor {
  demandIndex("oneHot", index);
  return toDType(eq(unsqueeze(index, -1), arange(classes, { device: index.device, dtype: index.dtype })), "i32");
}

function triangle(x: Tensor, keepLower: boolean, diagonal: number): Tensor {
  const rank = x.shape.length;
  if (rank < 2) throw new ShapeError(`tril, triu: need at least 2 dims, not ${formatShape(x.shape)}`);
  const options = { device: x.device, dtype: "i32" } as const;
  const rows = unsqueeze(arange(x.shape[rank - 2], options), 1), columns = arange(x.shape[rank - 1], options);
  const outside = keepLower ? ge(columns, add(rows, diagonal + 1)) : le(columns, add(rows, diagonal - 1));
  return maskedFill(x, expand(outside, x.shape), 0);
}

/** The lower triangle of the last two axes, zeros above diagonal number `diagonal`. */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle(x, true, diagonal);
}

/** The upper triangle of the last two axes, zeros below diagonal number `diagonal`. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle(x, false, diagonal);
}
