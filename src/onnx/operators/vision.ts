/**
 * Boxes and samples of images.
 *
 * @module
 */
import { sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result } from "../call.ts";
import { tensorOf, valueOf } from "../values.ts";

/** The best boxes of each class that do not cover each other. */
function suppress(c: Call): Result {
  const boxes = c.numbers(0), scores = c.numbers(1), [batches, classes, count] = c.t(1).shape;
  const most = c.has(2) ? c.number(2) : 0,
    limit = c.has(3) ? c.number(3) : 0,
    least = c.has(4) ? c.number(4) : -Infinity;
  const isCenter = c.int("center_point_box", 0) !== 0, chosen: number[] = [];
  const corners = (b: number, i: number): number[] => {
    const [p, q, r, s] = boxes.slice((b * count + i) * 4, (b * count + i) * 4 + 4);
    if (isCenter) return [q - s / 2, p - r / 2, q + s / 2, p + r / 2];
    return [Math.min(p, r), Math.min(q, s), Math.max(p, r), Math.max(q, s)];
  };
  const overlap = (a: number[], b: number[]): number => {
    const h = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), w = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
    if (h <= 0 || w <= 0) return 0;
    const area = (x: number[]): number => (x[2] - x[0]) * (x[3] - x[1]);
    return h * w / (area(a) + area(b) - h * w);
  };
  for (let b = 0; b < batches; b++) {
    const all = Array.from({ length: count }, (_, i) => corners(b, i));
    for (let k = 0; k < classes; k++) {
      const score = (i: number): number => scores[(b * classes + k) * count + i];
      const order = all.map((_, i) => i).filter((i) => score(i) > least).sort((i, j) =>
        score(j) - score(i) || i - j
      );
      const kept: number[] = [];
      for (const i of order) {
        if (kept.length >= most) break;
        if (kept.every((j) => overlap(all[i], all[j]) <= limit)) kept.push(i);
      }
      chosen.push(...kept.flatMap((i) => [b, k, i]));
    }
  }
  return tensorOf(chosen, [chosen.length / 3, 3], "int64", c.around.device);
}

/** The values of x [batch, channels, area] at `at` [batch, places], 0 where `inside` is not. */
function sampled(x: Tensor, at: Tensor, inside: Tensor | null): Tensor {
  const [batch, channels] = x.shape, places = at.shape[1];
  const index = f.contiguous(f.expand(f.reshape(at, [batch, 1, places]), [batch, channels, places]));
  const found = f.gather(x, 2, index);
  return inside ? f.mul(found, f.toDType(f.reshape(inside, [batch, 1, places]), x.dtype)) : found;
}

function reflected(x: Tensor, low: number, high: number): Tensor {
  const span = high - low;
  if (span <= 0) return f.zerosLike(x);
  const from = f.abs(f.sub(x, low)),
    turns = f.floor(f.div(from, span)),
    extra = f.sub(from, f.mul(turns, span));
  const isEven = f.eq(f.remainder(turns, 2), 0);
  return f.where(isEven, f.add(extra, low), f.sub(high, extra));
}

/** Weights of the four neighbours of a place that lies `t` behind the second. */
function cubic(t: Tensor): Tensor[] {
  const a = -0.75;
  const near = (d: Tensor): Tensor => f.add(f.mul(f.mul(f.sub(f.mul(d, a + 2), a + 3), d), d), 1);
  const far = (d: Tensor): Tensor =>
    f.sub(f.mul(f.add(f.mul(f.sub(f.mul(d, a), 5 * a), d), 8 * a), d), 4 * a);
  return [far(f.add(t, 1)), near(t), near(f.sub(1, t)), far(f.sub(2, t))];
}

function gridSample(c: Call): Result {
  const x = c.t(0),
    grid = c.t(1),
    axes = x.shape.length - 2,
    sizes = x.shape.slice(2),
    [batch, channels] = x.shape;
  const mode = c.text("mode", "linear").replace("bilinear", "linear").replace("bicubic", "cubic");
  const padding = c.text("padding_mode", "zeros", ["zeros", "border", "reflection"]);
  const isAligned = c.int("align_corners", 0) !== 0, places = sizeOf(grid.shape.slice(1, -1));
  if (mode === "cubic" && axes !== 2) throw c.fail("cubic is over two axes");
  const flat = f.reshape(x, [batch, channels, sizeOf(sizes)]),
    points = f.reshape(grid, [batch, places, axes]);
  // The last coordinate of the grid is the first axis.
  const spots = sizes.map((n, i) => {
    const g = f.select(points, 2, axes - 1 - i);
    return isAligned ? f.mul(f.add(g, 1), (n - 1) / 2) : f.sub(f.mul(f.add(g, 1), n / 2), 0.5);
  });
  const bounded = (p: Tensor, n: number): Tensor => {
    if (padding === "border") return f.clamp(p, 0, n - 1);
    if (padding !== "reflection") return p;
    return f.clamp(isAligned ? reflected(p, 0, n - 1) : reflected(p, -0.5, n - 0.5), 0, n - 1);
  };
  const at = (list: readonly Tensor[]): Tensor => {
    let index: Tensor | null = null, inside: Tensor | null = null;
    list.forEach((given, i) => {
      const n = sizes[i], p = bounded(given, n), here = f.logicalAnd(f.ge(p, 0), f.le(p, n - 1));
      const whole = f.toDType(f.clamp(f.round(p), 0, n - 1), "i32");
      index = index ? f.add(f.mul(index, n), whole) : whole;
      inside = inside ? f.logicalAnd(inside, here) : here;
    });
    return sampled(flat, index as unknown as Tensor, padding === "zeros" ? inside : null);
  };
  let y: Tensor;
  if (mode === "nearest") y = at(spots.map((p, i) => f.round(bounded(p, sizes[i]))));
  else {
    const steps = mode === "linear" ? [0, 1] : [-1, 0, 1, 2];
    const own = spots.map((p, i) => mode === "linear" ? bounded(p, sizes[i]) : p), floors = own.map(f.floor);
    const weights = own.map((p, i) => {
      const t = f.sub(p, floors[i]);
      return mode === "linear" ? [f.sub(1, t), t] : cubic(t);
    });
    let total: Tensor | null = null;
    for (let k = 0; k < steps.length ** axes; k++) {
      const choice = sizes.map((_, i) => Math.floor(k / steps.length ** i) % steps.length);
      const share = choice.map((s, i) => weights[i][s]).reduce(f.mul);
      const part = f.mul(
        at(choice.map((s, i) => f.add(floors[i], steps[s]))),
        f.reshape(share, [batch, 1, places]),
      );
      total = total ? f.add(total, part) : part;
    }
    y = total as Tensor;
  }
  return valueOf(f.reshape(y, [batch, channels, ...grid.shape.slice(1, -1)]), c.type(0));
}

/** Where bilinear samples of an axis of size `n` come from: two positions and the share of the second. */
function neighbours(at: number, n: number): { low: number; high: number; share: number } | null {
  if (at < -1 || at > n) return null;
  const place = Math.max(at, 0), low = Math.min(Math.floor(place), n - 1), high = Math.min(low + 1, n - 1);
  return { low, high, share: low >= n - 1 ? 0 : place - low };
}

/** Averages (or the largest) of samples in the cells of boxes, one box of image `batch` after another. */
function roiAlign(c: Call): Result {
  const x = c.t(0),
    boxes = c.numbers(1),
    batch = c.numbers(2),
    [, channels, h, w] = x.shape,
    count = batch.length;
  const [rows, columns] = [c.int("output_height", 1), c.int("output_width", 1)],
    scale = c.float("spatial_scale", 1);
  const ratio = c.int("sampling_ratio", 0), isMax = c.text("mode", "avg", ["avg", "max"]) === "max";
  const how = c.text("coordinate_transformation_mode", c.opset < 16 ? "output_half_pixel" : "half_pixel");
  const offset = how === "half_pixel" ? 0.5 : 0, flat = f.reshape(f.permute(x, [0, 2, 3, 1]), [-1, channels]);
  if (count * rows * columns > 2 ** 22) {
    throw c.fail(`${counted(count, "box", "boxes")} of ${rows} by ${counted(columns, "cell")}`);
  }
  const cells = Array.from({ length: count }, (_, b) => {
    const [x1, y1, x2, y2] = boxes.slice(4 * b, 4 * b + 4).map((v) => v * scale - offset);
    const least = offset ? 0 : 1, height = Math.max(y2 - y1, least), width = Math.max(x2 - x1, least);
    const [cellH, cellW] = [height / rows, width / columns];
    const n = Math.min(ratio || Math.ceil(cellH), 1024), m = Math.min(ratio || Math.ceil(cellW), 1024);
    const found: Tensor[] = [];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const at: number[] = [], shares: number[] = [];
        for (let k = 0; k < n * m; k++) {
          const v = neighbours(y1 + (i + (Math.floor(k / m) + 0.5) / n) * cellH, h);
          const u = neighbours(x1 + (j + (k % m + 0.5) / m) * cellW, w);
          for (let corner = 0; corner < 4; corner++) {
            const row = v ? corner < 2 ? v.low : v.high : 0, column = u ? corner % 2 ? u.high : u.low : 0;
            at.push((batch[b] * h + row) * w + column);
            shares.push(
              v && u ? (corner < 2 ? 1 - v.share : v.share) * (corner % 2 ? u.share : 1 - u.share) : 0,
            );
          }
        }
        const picked = f.indexSelect(flat, 0, f.tensor(at, { dtype: "i32", device: x.device }));
        const weighted = f.mul(
          picked,
          f.tensor(shares, { shape: [shares.length, 1], dtype: x.dtype, device: x.device }),
        );
        // The largest is of each sample's corners, as ONNX has it.
        found.push(isMax ? f.amax(weighted, 0) : f.div(f.sum(weighted, 0), Math.max(n * m, 1)));
      }
    }
    return f.reshape(f.permute(f.stack(found, 0), [1, 0]), [channels, rows, columns]);
  });
  return cells.length
    ? f.stack(cells, 0)
    : f.zeros([0, channels, rows, columns], { dtype: x.dtype, device: x.device });
}

/** The order of the rows of a matrix in which no step of elimination divides by 0, its sign with them; 0 where there is none. */
function pivoting(m: number[][]): { readonly order: number[]; readonly sign: number } {
  const order = m.map((_, i) => i);
  let sign = 1;
  for (let i = 0; i < m.length; i++) {
    const best = m.reduce((top, row, k) => k >= i && Math.abs(row[i]) > Math.abs(m[top][i]) ? k : top, i);
    if (m[best][i] === 0) return { order, sign: 0 };
    if (best !== i) {
      [m[i], m[best]] = [m[best], m[i]];
      [order[i], order[best]] = [order[best], order[i]];
      sign = -sign;
    }
    for (let k = i + 1; k < m.length; k++) {
      const by = m[k][i] / m[i][i];
      for (let j = i; j < m.length; j++) m[k][j] -= by * m[i][j];
    }
  }
  return { order, sign };
}

/** Determinants by elimination: the order of the rows is found in JavaScript, the product of the pivots by tensors. */
function determinant(c: Call): Result {
  const x = c.t(0), { shape, dtype, device } = x, n = shape[shape.length - 1], data = c.numbers(0);
  const outer = shape.slice(0, -2), count = sizeOf(outer);
  const ways = Array.from(
    { length: count },
    (_, b) => pivoting(Array.from({ length: n }, (_, i) => data.slice((b * n + i) * n, (b * n + i + 1) * n))),
  );
  if (count === 0 || n === 0) return valueOf(f.ones(outer, { dtype, device }), c.type(0));
  const rows = f.tensor(ways.flatMap(({ order }, b) => order.map((row) => b * n + row)), {
    dtype: "i32",
    device,
  });
  let rest = f.reshape(f.indexSelect(f.reshape(x, [count * n, n]), 0, rows), [count, n, n]);
  let det = f.tensor(ways.map(({ sign }) => sign), { dtype, device });
  const isSingular = f.tensor(ways.map(({ sign }) => sign === 0), { dtype: "bool", device });
  for (let i = n; i > 0; i--) {
    const pivot = f.where(isSingular, 1, f.select(f.select(rest, 1, 0), 1, 0));
    det = f.mul(det, pivot);
    const column = f.div(f.narrow(rest, 2, 0, 1), f.reshape(pivot, [count, 1, 1])),
      row = f.narrow(rest, 1, 0, 1);
    if (i > 1) rest = f.slice(f.sub(rest, f.mul(column, row)), null, [1, null], [1, null]);
  }
  return valueOf(f.reshape(det, outer), c.type(0));
}

/** The operators. */
export const vision: OperatorTable = {
  NonMaxSuppression: { since: [10, 11], host: [0, 1, 2, 3, 4], noGradient: "positions", run: suppress },
  RoiAlign: { since: [10, 16, 22], host: [1, 2], run: roiAlign },
  GridSample: { since: [16, 20, 22], run: gridSample },
  Det: { since: [11, 22], host: [0], run: determinant },
};
