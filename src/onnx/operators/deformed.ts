/**
 * Convolution whose windows are bent, and the largest of boxes.
 *
 * @module
 */
import { sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { positions } from "../../ops/windows.ts";
import type { Call, OperatorTable, Result } from "../call.ts";
import { valueOf } from "../values.ts";

/** Each position of the kernel looks where an offset says, between places, and counts as much as a mask says. */
function deformConv(c: Call): Result {
  const x = c.t(0), weight = c.t(1), offset = c.t(2), bias = c.maybe(3), mask = c.maybe(4);
  if (x.shape.length !== 4 || weight.shape.length !== 4) throw c.fail("it is over two axes here");
  const [batch, channels, height, width] = x.shape, [filters, perGroup, ...kernel] = weight.shape;
  const groups = c.int("group", 1), bends = c.int("offset_group", 1), area = sizeOf(kernel);
  const pads = c.ints("pads") ?? [0, 0, 0, 0], stride = c.ints("strides") ?? [1, 1];
  const dilation = c.ints("dilations") ?? [1, 1], [rows, columns] = offset.shape.slice(2);
  const fits = channels === perGroup * groups && filters % groups === 0 && channels % bends === 0 &&
    pads.length === 4 && stride.length === 2 && dilation.length === 2 &&
    [...stride, ...dilation].every((n) => n > 0) &&
    String(offset.shape) === String([batch, bends * area * 2, rows, columns]) &&
    (!mask || String(mask.shape) === String([batch, bends * area, rows, columns]));
  const count = (n: number, i: number): number =>
    Math.floor((n + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1;
  if (!fits || count(height, 0) !== rows || count(width, 1) !== columns) {
    throw c.fail(
      `x [${x.shape}], filters [${weight.shape}] and offsets [${offset.shape}] do not fit each other`,
    );
  }
  const { dtype, device } = x, places = rows * columns;
  const flat = f.reshape(x, [batch, bends, channels / bends, height * width]);
  const bent = f.reshape(offset, [batch, bends, area, 2, rows, columns]);
  const shares = mask && f.reshape(mask, [batch, bends, area, places]);
  const line = (n: number, i: number, at: number): Tensor => {
    const first = at * dilation[i] - pads[i];
    const list = Array.from({ length: n }, (_, k) => k * stride[i] + first);
    return f.tensor(list, { dtype, device, shape: i === 0 ? [n, 1] : [n] });
  };
  /** Four neighbours by how near they are; what lies outside is 0. */
  const sampled = (spots: readonly Tensor[]): Tensor => {
    const sizes = [height, width], low = spots.map(f.floor);
    let total: Tensor | null = null;
    for (const corner of positions([2, 2])) {
      const at = low.map((p, i) => corner[i] ? f.add(p, 1) : p);
      const near = at.map((p, i) => f.sub(1, f.abs(f.sub(spots[i], p)))).reduce(f.mul);
      const inside = at.map((p, i) => f.logicalAnd(f.ge(p, 0), f.le(p, sizes[i] - 1))).reduce(f.logicalAnd);
      const [row, column] = at.map((p, i) => f.toDType(f.clamp(p, 0, sizes[i] - 1), "i32"));
      const wide = (t: Tensor): Tensor => f.reshape(t, [batch, bends, 1, places]);
      const index = f.expand(wide(f.add(f.mul(row, width), column)), [
        batch,
        bends,
        channels / bends,
        places,
      ]);
      const part = f.mul(f.gather(flat, 3, f.contiguous(index)), wide(f.where(inside, near, 0)));
      total = total ? f.add(total, part) : part;
    }
    return total as Tensor;
  };
  let y: Tensor | null = null;
  positions(kernel).forEach(([i, j], k) => {
    const moves = f.select(bent, 2, k);
    const spots = [
      f.add(f.select(moves, 2, 0), line(rows, 0, i)),
      f.add(f.select(moves, 2, 1), line(columns, 1, j)),
    ];
    const seen = sampled(spots),
      share = shares && f.reshape(f.select(shares, 2, k), [batch, bends, 1, places]);
    const parts = f.reshape(share ? f.mul(seen, share) : seen, [batch, groups, perGroup, places]);
    const own = f.reshape(f.select(f.select(weight, 3, j), 2, i), [1, groups, filters / groups, perGroup]);
    const product = f.matmul(f.expand(own, [batch, ...own.shape.slice(1)]), parts);
    y = y ? f.add(y, product) : product;
  });
  if (y === null || bends < 1) throw c.fail("its kernel is empty");
  const out = f.reshape(y, [batch, filters, rows, columns]);
  return valueOf(bias ? f.add(out, f.reshape(bias, [filters, 1, 1])) : out, c.type(0));
}

/** The nearest whole number, halves away from zero. */
const nearest = (v: number): number => Math.sign(v) * Math.floor(Math.abs(v) + 0.5);

/** The largest of each cell of boxes [image, x1, y1, x2, y2]. */
function maxRoiPool(c: Call): Result {
  const x = c.t(0), boxes = c.numbers(1), [, channels, height, width] = x.shape;
  const [rows, columns] = c.ints("pooled_shape") ?? [], scale = c.float("spatial_scale", 1);
  const count = boxes.length / 5;
  if (!(rows > 0 && columns > 0 && count * rows * columns <= 2 ** 20)) {
    throw c.fail(`${counted(count, "box", "boxes")} of ${counted(rows * columns, "cell")}`);
  }
  /** Where cell `k` of `cells` begins and ends. */
  const span = (from: number, to: number, k: number, cells: number, n: number): [number, number] => {
    const first = nearest(from * scale), size = Math.max(nearest(to * scale) - first + 1, 1);
    const clip = (v: number): number => Math.min(Math.max(v + first, 0), n);
    return [clip(Math.floor(k * size / cells)), clip(Math.ceil((k + 1) * size / cells))];
  };
  const nothing = f.zeros([channels], { dtype: x.dtype, device: x.device });
  const found = Array.from({ length: count * rows * columns }, (_, i) => {
    const at = Math.floor(i / (rows * columns)), [image, x1, y1, x2, y2] = boxes.slice(5 * at, 5 * at + 5);
    if (!(image >= 0 && image < x.shape[0])) throw c.fail(`image ${image} is none of ${x.shape[0]}`);
    const [top, bottom] = span(y1, y2, Math.floor(i / columns) % rows, rows, height);
    const [left, right] = span(x1, x2, i % columns, columns, width);
    if (bottom <= top || right <= left) return nothing;
    return f.amax(f.slice(f.select(x, 0, image), null, [top, bottom], [left, right]), [1, 2]);
  });
  const shape = [count, rows, columns, channels];
  const all = found.length ? f.stack(found, 0) : f.zeros(shape, { dtype: x.dtype, device: x.device });
  return valueOf(f.permute(f.reshape(all, shape), [0, 3, 1, 2]), c.type(0));
}

/** The operators. */
export const deformed: OperatorTable = {
  DeformConv: { since: [19, 22], run: deformConv },
  MaxRoiPool: { since: [1, 22], host: [1], run: maxRoiPool },
};
