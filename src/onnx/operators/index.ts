/**
 * Picking and placing by position.
 *
 * @module
 */
import type { DataArray } from "../../core/dtype.ts";
import { contiguousStrides, normalizeAxis, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { toNumbers } from "../../tensor/mod.ts";
import { type Call, nodeName, type OperatorTable, type Result, type Results } from "../call.ts";
import { spelled } from "./spelled.ts";
import { elements, tensorOf, valueOf, wrap } from "../values.ts";

/** Elements that are picked by dtypes which have no kernel for it, as i32. */
function through(x: Tensor, move: (x: Tensor) => Tensor): Tensor {
  if (x.dtype !== "bool" && x.dtype !== "u8") return move(x);
  return f.toDType(move(f.toDType(x, "i32")), x.dtype);
}

const asIndex = (x: Tensor): Tensor => x.dtype === "i32" || x.dtype === "i64" ? x : f.toDType(x, "i32");

function gathered(c: Call): Result {
  const index = asIndex(c.t(1)), x = c.t(0), axis = c.axis("axis", 0, x.shape.length);
  const picked = through(x, (x) => f.indexSelect(x, axis, f.reshape(index, [-1])));
  return f.reshape(picked, [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)]);
}

function gatherElements(c: Call): Result {
  const x = c.t(0), index = asIndex(c.t(1)), axis = c.axis("axis", 0, x.shape.length);
  return through(x, (x) => f.gather(x, axis, index));
}

/** The positions [..., k] of each of k axes. */
const columnsOf = (index: Tensor): Tensor[] =>
  Array.from({ length: index.shape[index.shape.length - 1] }, (_, i) => f.select(index, -1, i));

function gatherNd(c: Call): Result {
  const x = c.t(0), at = asIndex(c.t(1)), batch = c.int("batch_dims", 0);
  const rest = at.shape.length - 1 - batch, columns = columnsOf(at);
  if (rest < 0 || batch + columns.length > x.shape.length || columns.length < 1) {
    throw c.fail(
      `positions [${at.shape}] are none of [${x.shape}] with ${counted(batch, "axis", "axes")} of batches`,
    );
  }
  const batches = Array.from({ length: batch }, (_, i) => {
    const shape = [...x.shape.slice(i, batch).map((n, k) => k ? 1 : n), ...new Array<number>(rest).fill(1)];
    return f.reshape(f.arange(x.shape[i], { dtype: "i32", device: x.device }), shape);
  });
  return through(x, (x) => f.index(x, [...batches, ...columns]));
}

/** How an update meets what is there. */
type Reduction = "none" | "add" | "mul" | "min" | "max";
const joined: Record<Exclude<Reduction, "none">, (a: Tensor, b: Tensor) => Tensor> = {
  add: f.add,
  mul: f.mul,
  min: f.minimum,
  max: f.maximum,
};

/**
 * Rows of x [rows, width] joined with `updates` [count, width] at `at`. Where a row is named several times, updates
 * come one after another: those that name it first, then those that name it second …
 */
function placeRows(x: Tensor, at: readonly number[], updates: Tensor, how: Reduction): Tensor {
  const times = new Map<number, number>(), rounds: number[][] = [];
  at.forEach((row, i) => {
    const round = times.get(row) ?? 0;
    times.set(row, round + 1);
    (rounds[round] ??= []).push(i);
  });
  let out = x;
  for (const list of rounds) {
    const device = x.device, row = f.tensor(list.map((i) => at[i]), { dtype: "i32", device });
    const from = f.indexSelect(updates, 0, f.tensor(list, { dtype: "i32", device }));
    const next = how === "none" ? from : joined[how](f.indexSelect(out, 0, row), from);
    const index = f.contiguous(f.expand(f.reshape(row, [-1, 1]), [list.length, x.shape[1]]));
    out = f.scatter(out, 0, index, f.contiguous(f.toDType(next, out.dtype)));
  }
  return out;
}

const reductions = ["none", "add", "mul", "min", "max"] as const;

function scatterNd(c: Call): Result {
  const x = c.t(0), index = asIndex(c.t(1)), updates = c.t(2), k = index.shape[index.shape.length - 1];
  const how = c.text("reduction", "none", reductions) as Reduction;
  if (how === "none" || how === "add") {
    const accumulate = how === "add";
    return within(c, through2(x, updates, (x, y) => f.indexPut(x, columnsOf(index), y, { accumulate })));
  }
  const rows = sizeOf(x.shape.slice(0, k)), width = sizeOf(x.shape.slice(k));
  const strides = contiguousStrides(x.shape.slice(0, k)), flat = c.numbers(1), at: number[] = [];
  for (let i = 0; i < flat.length; i += k) {
    let row = 0;
    for (let d = 0; d < k; d++) {
      const n = x.shape[d], p = flat[i + d], place = p < 0 ? p + n : p;
      if (!(place >= 0 && place < n)) throw c.fail(`position ${p} is outside of axis ${d} of size ${n}`);
      row += place * strides[d];
    }
    at.push(row);
  }
  return within(
    c,
    through2(x, updates, (x, updates) => {
      const placed = placeRows(f.reshape(x, [rows, width]), at, f.reshape(updates, [at.length, width]), how);
      return f.reshape(placed, x.shape);
    }),
  );
}

/** What came of the first input's elements, back in the range of their type. */
const within = (c: Call, x: Tensor): Result => valueOf(wrap(x, c.type(0)), c.type(0));

function through2(x: Tensor, y: Tensor, move: (x: Tensor, y: Tensor) => Tensor): Tensor {
  if (x.dtype !== "bool" && x.dtype !== "u8") return move(x, y);
  return f.toDType(move(f.toDType(x, "i32"), f.toDType(y, "i32")), x.dtype);
}

function scatterElements(c: Call): Result {
  const x = c.t(0), index = c.t(1), updates = c.t(2), axis = c.axis("axis", 0, x.shape.length);
  const how = c.text("reduction", "none", reductions) as Reduction;
  const shape = index.shape, strides = contiguousStrides(x.shape), own = contiguousStrides(shape);
  const at = c.numbers(1).map((p, i) => {
    const n = x.shape[axis], place = p < 0 ? p + n : p;
    if (!(place >= 0 && place < n)) throw c.fail(`position ${p} is outside of axis ${axis} of size ${n}`);
    return shape.reduce(
      (sum, size, d) => sum + (d === axis ? place : Math.floor(i / own[d]) % size) * strides[d],
      0,
    );
  });
  return within(
    c,
    through2(x, updates, (x, updates) => {
      const placed = placeRows(f.reshape(x, [-1, 1]), at, f.reshape(updates, [-1, 1]), how);
      return f.reshape(placed, x.shape);
    }),
  );
}

function oneHot(c: Call): Result {
  const at = c.t(0), depth = c.number(1), values = c.t(2), rank = at.shape.length + 1;
  const axis = normalizeAxis(c.int("axis", -1), rank, nodeName(c.node));
  const wide = f.toDType(at, "i64"), positive = f.where(f.lt(wide, 0), f.add(wide, depth), wide);
  const open = f.reshape(positive, [...at.shape.slice(0, axis), 1, ...at.shape.slice(axis)]);
  const places = f.reshape(
    f.arange(depth, { dtype: "i64", device: at.device }),
    Array.from({ length: rank }, (_, i) => i === axis ? depth : 1),
  );
  const [off, on] = [f.select(values, 0, 0), f.select(values, 0, 1)];
  return valueOf(f.toDType(f.where(f.eq(open, places), on, off), values.dtype), c.type(2));
}

function nonZero(c: Call): Result {
  const x = c.t(0), data = c.host(0), shape = x.shape, strides = contiguousStrides(shape);
  const found: number[] = [];
  for (let i = 0; i < data.length; i++) if (Number(data[i]) !== 0) found.push(i);
  const rows = shape.length ? strides.map((s, d) => found.map((i) => Math.floor(i / s) % shape[d])) : [];
  return tensorOf(rows.flat(), [rows.length, found.length], "int64", c.around.device);
}

async function compress(c: Call): Promise<Result> {
  const keep = await elements(f.contiguous(c.t(1)));
  const x = c.said("axis") ? c.t(0) : f.reshape(c.t(0), [-1]);
  const axis = c.said("axis") ? c.axis("axis", 0, x.shape.length) : 0, at: number[] = [];
  for (let i = 0; i < Math.min(keep.length, x.shape[axis]); i++) if (keep[i]) at.push(i);
  return valueOf(
    through(x, (x) => f.indexSelect(x, axis, f.tensor(at, { dtype: "i32", device: x.device }))),
    c.type(0),
  );
}

function topK(c: Call): Results {
  const x = c.t(0), axis = c.axis("axis", -1, x.shape.length), k = c.opset < 10 ? c.int("k", 1) : c.number(1);
  const largest = c.int("largest", 1) !== 0;
  if (k > x.shape[axis]) throw c.fail(`${k} of ${x.shape[axis]} are asked for`);
  const { values, indices } = f.sort(x, axis, { descending: largest });
  const take = (t: Tensor): Tensor => f.narrow(t, axis, 0, k);
  return [valueOf(take(values), c.type(0)), valueOf(f.toDType(take(indices), "i64"))];
}

type Key = (i: number, j: number) => number;

function unique(c: Call): Results {
  const whole = !c.said("axis"), x = whole ? f.reshape(c.t(0), [-1]) : c.t(0), { device } = c.around;
  const axis = whole ? 0 : c.axis("axis", 0, x.shape.length), n = x.shape[axis];
  const inner = sizeOf(x.shape.slice(axis + 1)), outer = sizeOf(x.shape.slice(0, axis));
  const data: DataArray | ArrayLike<number> = toComparable(c.host(0), x);
  const compare: Key = (i, j) => {
    for (let o = 0; o < outer; o++) {
      for (let k = 0; k < inner; k++) {
        const a = data[(o * n + i) * inner + k], b = data[(o * n + j) * inner + k];
        if (a !== b) return a < b ? -1 : 1;
      }
    }
    return 0;
  };
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => compare(i, j) || i - j);
  const groups: number[][] = [];
  order.forEach((i) => {
    const last = groups[groups.length - 1];
    if (last && compare(last[0], i) === 0) last.push(i);
    else groups.push([i]);
  });
  if (!c.int("sorted", 1)) groups.sort((a, b) => a[0] - b[0]);
  const inverse = new Array<number>(n), first = groups.map((g) => g[0]);
  groups.forEach((g, k) => g.forEach((i) => inverse[i] = k));
  const list = (numbers: readonly number[]) => tensorOf(numbers, [numbers.length], "int64", device);
  const at = f.tensor(first, { dtype: "i32", device: x.device });
  return [
    valueOf(through(x, (x) => f.indexSelect(x, axis, at)), c.type(0)),
    list(first),
    list(inverse),
    list(groups.map((g) => g.length)),
  ];
}

const toComparable = (data: DataArray, x: Tensor): ArrayLike<number> | BigInt64Array =>
  x.dtype === "i64" ? data as BigInt64Array : toNumbers(data, x.dtype);

/** x written into a cache along the time axis, from each sequence's position on; the cache is not changed. */
function tensorScatter(c: Call): Result {
  const past = c.t(0), update = c.t(1), axis = c.axis("axis", -2, past.shape.length);
  const mode = c.text("mode", "linear", ["linear", "circular"]),
    n = past.shape[axis],
    length = update.shape[axis];
  const batch = past.shape[0], starts = c.maybeNumbers(2) ?? new Array<number>(batch).fill(0);
  const rows = starts.map((start) =>
    Array.from({ length }, (_, i) => {
      const at = mode === "circular" ? (start + i) % n : start + i;
      if (!(at >= 0 && at < n)) throw c.fail(`position ${at} is outside of ${n}`);
      return at;
    })
  );
  const index = f.tensor(rows, { dtype: "i32", device: past.device });
  const shape = update.shape.map((size, i) => i === 0 ? batch : i === axis ? size : 1);
  return f.scatter(
    past,
    axis,
    f.contiguous(f.expand(f.reshape(index, shape), update.shape)),
    f.contiguous(update),
  );
}

/** The operators. */
export const indexing: OperatorTable = {
  Gather: spelled({ since: [1, 11, 13], run: gathered }),
  GatherElements: spelled({ since: [11, 13], run: gatherElements }),
  GatherND: spelled({ since: [11, 12, 13], run: gatherNd }),
  Scatter: spelled({ since: [9, 11], host: [1], run: scatterElements }),
  ScatterElements: spelled({ since: [11, 13, 16, 18], host: [1], run: scatterElements }),
  ScatterND: spelled({ since: [11, 13, 16, 18], host: [1], run: scatterNd }),
  TensorScatter: { since: [24], host: [2], run: tensorScatter },
  OneHot: spelled({ since: [9, 11], host: [1], run: oneHot }),
  NonZero: { since: [9, 13], host: [0], noGradient: "positions", run: nonZero },
  Compress: spelled({ waits: true, since: [9, 11], run: compress }),
  TopK: { since: [1, 10, 11, 24], host: [1], run: topK },
  Unique: spelled({ since: [11], host: [0], run: unique }, [0]),
};
