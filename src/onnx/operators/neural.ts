/**
 * Convolutions, pooling, norms, products: what networks are made of.
 *
 * @module
 */
import { isFloat } from "../../core/dtype.ts";
import { normalizeAxis, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import * as f from "../../ops/mod.ts";
import type { Range, Tensor } from "../../ops/mod.ts";
import { type Call, nodeName, type OperatorTable, type Result, type Results } from "../call.ts";
import { heldAs } from "../types.ts";
import { valueOf, wrap } from "../values.ts";
import { convolution } from "../../ops/convolution.ts";
import { type Window, windowViews } from "../../ops/windows.ts";
import { lossOperators } from "./losses.ts";

/** The window that a node's attributes say. */
function windowOf(c: Call, sizes: readonly number[], kernel: number[]): Window {
  const axes = sizes.length,
    list = (name: string, missing: number): number[] => {
      const given = c.ints(name) ?? new Array<number>(axes).fill(missing);
      if (given.length < axes || given.slice(0, axes).some((n) => n < 0 || (n < 1 && name !== "pads"))) {
        throw c.fail(`${name} is ${given} for ${counted(axes, "axis", "axes")}`);
      }
      return given;
    };
  const stride = list("strides", 1), dilation = list("dilations", 1);
  const pads = c.ints("pads") ?? new Array<number>(2 * axes).fill(0);
  if (pads.length !== 2 * axes) {
    throw c.fail(`pads has ${counted(pads.length, "number")} for ${counted(axes, "axis", "axes")}`);
  }
  const how = c.text("auto_pad", "NOTSET", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]);
  const reach = kernel.map((k, i) => dilation[i] * (k - 1) + 1), ceil = c.int("ceil_mode", 0) !== 0;
  const before: number[] = [], after: number[] = [], out: number[] = [];
  sizes.forEach((n, i) => {
    if (how.startsWith("SAME")) {
      const count = Math.ceil(n / stride[i]), total = Math.max(0, (count - 1) * stride[i] + reach[i] - n);
      const small = Math.floor(total / 2), large = total - small;
      before.push(how === "SAME_UPPER" ? small : large);
      after.push(how === "SAME_UPPER" ? large : small);
      out.push(count);
      return;
    }
    const [b, a] = how === "VALID" ? [0, 0] : [pads[i], pads[i + axes]], span = n + b + a - reach[i];
    let count = (ceil ? Math.ceil(span / stride[i]) : Math.floor(span / stride[i])) + 1;
    // A window begins inside of the input or the border before it.
    if (ceil && (count - 1) * stride[i] >= n + b) count--;
    before.push(b);
    after.push(Math.max(a, (count - 1) * stride[i] + reach[i] - n - b));
    out.push(count);
  });
  if (out.some((n) => n < 1)) throw c.fail(`a window of ${kernel} is larger than ${sizes}`);
  return { kernel, stride, dilation, before, after, out };
}

/** x with a border around its last axes. */
function bordered(x: Tensor, before: readonly number[], after: readonly number[], value: number): Tensor {
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return x;
  const border = before.map((n, i) => [n, after[i]]).reverse().flat();
  return f.pad(x, border, { value });
}

/** A convolution with the borders that a node says. */
export function convolve(c: Call, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  const axes = x.shape.length - 2, kernel = weight.shape.slice(2);
  if (axes < 1 || axes > 3) throw c.fail(`convolution is over 1 to 3 axes, not ${axes}`);
  const w = windowOf(c, x.shape.slice(2), kernel);
  return convolution(`conv${axes}d`, x, weight, bias, { ...w, groups: c.int("group", 1) });
}

const transposed = [f.convTranspose1d, f.convTranspose2d, f.convTranspose3d];

function convTranspose(c: Call): Result {
  const x = c.t(0), weight = c.t(1), axes = x.shape.length - 2, kernel = weight.shape.slice(2);
  if (axes < 1 || axes > 3) throw c.fail(`convolution is over 1 to 3 axes, not ${axes}`);
  const ones = new Array<number>(axes).fill(1), stride = c.ints("strides") ?? ones;
  const dilation = c.ints("dilations") ?? ones, more = c.ints("output_padding") ?? ones.map(() => 0);
  const wanted = c.ints("output_shape")?.slice(-axes), how = c.text("auto_pad", "NOTSET");
  const whole = x.shape.slice(2).map((n, i) => (n - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1);
  let pads = c.ints("pads") ?? [...ones, ...ones].map(() => 0), sizes: number[];
  if (wanted || how.startsWith("SAME")) {
    sizes = wanted ?? x.shape.slice(2).map((n, i) => n * stride[i]);
    const total = sizes.map((n, i) => whole[i] + more[i] - n);
    const low = total.map((n) => Math.max(0, how === "SAME_UPPER" ? Math.floor(n / 2) : Math.ceil(n / 2)));
    pads = [...low, ...total.map((n, i) => n - low[i])];
  } else sizes = whole.map((n, i) => n + more[i] - pads[i] - pads[i + axes]);
  const y = transposed[axes - 1](x, weight, null, { stride, dilation, groups: c.int("group", 1) });
  // What is missing at the end is zeros; what is before the crop's begin too.
  const longer = sizes.map((n, i) => Math.max(0, Math.max(0, pads[i]) + n - whole[i])),
    ahead = ones.map((_, i) => Math.max(0, -pads[i]));
  const wide = bordered(y, ahead, longer, 0);
  const cut = f.slice(
    wide,
    null,
    null,
    ...sizes.map((n, i): Range => [Math.max(0, pads[i]), Math.max(0, pads[i]) + n]),
  );
  const bias = c.maybe(2);
  return bias ? f.add(cut, f.reshape(bias, [-1, ...ones])) : cut;
}

function maxPool(c: Call): Results {
  const x = c.t(0), sizes = x.shape.slice(2), w = windowOf(c, sizes, c.ints("kernel_shape") ?? []);
  const lowest = isFloat(x.dtype) ? -Infinity : c.type(0) === "uint8" ? 0 : -128;
  const seen = f.stack(windowViews(x, w, lowest), -1), best = f.argmax(seen, -1, true);
  const y = f.squeeze(f.gather(seen.dtype === "u8" ? f.toDType(seen, "i32") : seen, -1, best), -1);
  const value = valueOf(f.toDType(y, x.dtype), c.type(0));
  if (c.node.outputs.length < 2) return value;
  // Where each element is: the same windows over positions.
  const area = sizeOf(sizes), { device } = x, order = c.int("storage_order", 0);
  const shape = order ? [...sizes].reverse() : sizes;
  let places = f.reshape(f.arange(area, { dtype: "i32", device }), [1, 1, ...shape]);
  if (order) places = f.permute(places, [0, 1, ...sizes.map((_, i) => sizes.length + 1 - i)]);
  const seenPlaces = f.expand(f.stack(windowViews(f.contiguous(places), w, 0), -1), seen.shape);
  const within = f.toDType(f.squeeze(f.gather(f.contiguous(seenPlaces), -1, best), -1), "i64");
  const planes = f.mul(f.arange(x.shape[0] * x.shape[1], { dtype: "i64", device }), area);
  return [value, valueOf(f.add(within, f.reshape(planes, [x.shape[0], x.shape[1], ...sizes.map(() => 1)])))];
}

function averagePool(c: Call): Result {
  const x = c.t(0), sizes = x.shape.slice(2), w = windowOf(c, sizes, c.ints("kernel_shape") ?? []);
  const total = windowViews(x, w, 0).reduce(f.add), include = c.int("count_include_pad", 0) !== 0;
  const pads = c.ints("pads"), axes = sizes.length;
  const counts = w.out.map((n, i) =>
    Array.from({ length: n }, (_, k) => {
      let count = 0;
      // What ceil_mode adds beyond the border never counts.
      const end = sizes[i] + (include ? pads ? pads[i + axes] : w.after[i] : 0),
        begin = include ? -w.before[i] : 0;
      for (let j = 0; j < w.kernel[i]; j++) {
        const at = k * w.stride[i] - w.before[i] + j * w.dilation[i];
        if (at >= begin && at < end) count++;
      }
      return Math.max(count, 1);
    })
  );
  const divisor = counts.map((list, i) =>
    f.tensor(list, {
      shape: [list.length, ...new Array<number>(axes - 1 - i).fill(1)],
      dtype: x.dtype,
      device: x.device,
    })
  ).reduce(f.mul);
  return f.div(total, divisor);
}

function lpPool(c: Call): Result {
  const x = c.t(0), p = c.int("p", 2), w = windowOf(c, x.shape.slice(2), c.ints("kernel_shape") ?? []);
  return f.pow(windowViews(f.pow(f.abs(x), p), w, 0).reduce(f.add), 1 / p);
}

function maxUnpool(c: Call): Result {
  const x = c.t(0), axes = x.shape.length - 2, kernel = c.ints("kernel_shape") ?? [], pads = c.ints("pads");
  const stride = c.ints("strides") ?? kernel.map(() => 1);
  const own = x.shape.slice(2).map((n, i) =>
    (n - 1) * stride[i] + kernel[i] - (pads ? pads[i] + pads[i + axes] : 0)
  );
  const wanted = c.maybeNumbers(2)?.slice(2), plane = sizeOf(own), planes = x.shape[0] * x.shape[1];
  const flat = f.zeros([planes * plane], { dtype: x.dtype, device: x.device });
  const placed = f.scatter(flat, 0, f.reshape(f.contiguous(c.t(1)), [-1]), f.reshape(x, [-1]));
  const y = f.reshape(placed, [x.shape[0], x.shape[1], ...own]);
  return wanted ? bordered(y, own.map(() => 0), wanted.map((n, i) => n - own[i]), 0) : y;
}

const globally = (apply: (x: Tensor, axes: number[]) => Tensor) => (c: Call): Result => {
  const x = c.t(0);
  return apply(x, x.shape.map((_, i) => i).slice(2));
};

function batchNorm(c: Call): Results {
  const [x, weight, bias, mean, variance] = [c.t(0), c.t(1), c.t(2), c.t(3), c.t(4)];
  const eps = c.float("epsilon", 1e-5), like = (t: Tensor): Tensor => f.toDType(t, x.dtype);
  if (!c.int("training_mode", 0)) {
    return f.batchNorm(x, like(mean), like(variance), like(weight), like(bias), { eps });
  }
  const momentum = c.float("momentum", 0.9), axes = x.shape.map((_, i) => i).filter((i) => i !== 1);
  const own = f.mean(x, axes), spread = f.variance(x, axes, { correction: 0 });
  const blend = (kept: Tensor, now: Tensor): Tensor =>
    f.add(f.mul(kept, momentum), f.mul(f.toDType(now, kept.dtype), 1 - momentum));
  return [
    f.batchNorm(x, null, null, like(weight), like(bias), { eps, training: true }),
    valueOf(blend(mean, own), c.type(3)),
    valueOf(blend(variance, spread), c.type(4)),
  ];
}

function layerNorm(c: Call): Results {
  const x = c.t(0), axis = c.axis("axis", -1, x.shape.length), axes = x.shape.map((_, i) => i).slice(axis);
  const wide = x.dtype === "f16" || x.dtype === "bf16" ? f.toDType(x, "f32") : x;
  const mean = f.mean(wide, axes, true), rest = f.sub(wide, mean);
  const inverse = f.reciprocal(f.sqrt(f.add(f.mean(f.square(rest), axes, true), c.float("epsilon", 1e-5))));
  const y = f.mul(f.toDType(f.mul(rest, inverse), x.dtype), c.t(1)), bias = c.maybe(2);
  return [bias ? f.add(y, bias) : y, valueOf(mean), valueOf(inverse)];
}

function rmsNorm(c: Call): Result {
  const x = c.t(0), axis = c.axis("axis", -1, x.shape.length), axes = x.shape.map((_, i) => i).slice(axis);
  const wide = x.dtype === "f16" || x.dtype === "bf16" ? f.toDType(x, "f32") : x;
  const root = f.sqrt(f.add(f.mean(f.square(wide), axes, true), c.float("epsilon", 1e-5)));
  return valueOf(f.mul(f.toDType(f.div(wide, root), x.dtype), c.t(1)), c.type(0));
}

function groupNorm(c: Call): Result {
  const x = c.t(0), groups = c.int("num_groups", 1), eps = c.float("epsilon", 1e-5);
  const [weight, bias] = [c.t(1), c.t(2)];
  if (weight.size === x.shape[1]) return f.groupNorm(x, groups, weight, bias, eps);
  // Before opset 21 there is one number a group.
  const each = (t: Tensor): Tensor =>
    f.reshape(f.expand(f.reshape(t, [groups, 1]), [groups, x.shape[1] / groups]), [-1]);
  return f.groupNorm(x, groups, f.contiguous(each(weight)), f.contiguous(each(bias)), eps);
}

function responseNorm(c: Call): Result {
  const x = c.t(0), size = c.int("size", 1), alpha = c.float("alpha", 1e-4), beta = c.float("beta", 0.75);
  const low = Math.floor((size - 1) / 2), n = x.shape[1], rest = x.shape.slice(2).flatMap(() => [0, 0]);
  const squares = f.pad(f.square(x), [...rest, low, size - 1 - low]);
  const total = Array.from({ length: size }, (_, k) => f.narrow(squares, 1, k, n)).reduce(f.add);
  return f.div(x, f.pow(f.add(f.mul(total, alpha / size), c.float("bias", 1)), beta));
}

function meanVariance(c: Call): Result {
  const x = c.t(0), axes = c.ints("axes") ?? [0, 2, 3], rest = f.sub(x, f.mean(x, axes, true));
  return f.div(rest, f.add(f.sqrt(f.mean(f.square(rest), axes, true)), 1e-9));
}

function lpNormalization(c: Call): Result {
  const x = c.t(0), axis = c.axis("axis", -1, x.shape.length), p = c.int("p", 2);
  const size = p === 1 ? f.sum(f.abs(x), axis, true) : f.sqrt(f.sum(f.square(x), axis, true));
  return f.where(f.eq(size, 0), f.zerosLike(x), f.div(x, size));
}

function gemm(c: Call): Result {
  const turn = (x: Tensor, name: string): Tensor => c.int(name, 0) ? f.permute(x, [1, 0]) : x;
  const alpha = c.float("alpha", 1), beta = c.float("beta", 1);
  const product = f.matmul(turn(c.t(0), "transA"), turn(c.t(1), "transB"));
  const scaled = alpha === 1 ? product : f.mul(product, alpha), more = c.maybe(2);
  if (!more || beta === 0) return valueOf(f.toDType(scaled, c.t(0).dtype), c.type(0));
  const sum = f.add(scaled, beta === 1 ? more : f.mul(more, beta));
  return valueOf(f.toDType(sum, c.t(0).dtype), c.type(0));
}

function product(c: Call): Result {
  const a = c.t(0), b = c.t(1);
  if (isFloat(a.dtype)) return f.matmul(a, b);
  return valueOf(wrap(f.toDType(f.matmul(a, b), heldAs(c.type(0))!), c.type(0)), c.type(0));
}

/** Softmax as opsets before 13 have it: everything behind the axis at once. */
function soft(apply: (x: Tensor, dim: number) => Tensor) {
  return (c: Call): Result => {
    const x = c.t(0), rank = x.shape.length;
    if (c.opset >= 13) return apply(x, c.axis("axis", -1, rank));
    const axis = normalizeAxis(c.int("axis", 1), Math.max(rank, 2), nodeName(c.node));
    return f.reshape(apply(f.reshape(x, [sizeOf(x.shape.slice(0, axis)), -1]), 1), x.shape);
  };
}

function hardmax(x: Tensor, dim: number): Tensor {
  const best = f.argmax(x, dim, true), n = x.shape[dim];
  const places = f.reshape(
    f.arange(n, { dtype: "i32", device: x.device }),
    x.shape.map((_, i) => i === dim ? n : 1),
  );
  return f.toDType(f.eq(places, f.toDType(best, "i32")), x.dtype);
}

function dropout(c: Call): Results {
  const x = c.t(0), training = c.has(2) && c.number(2) !== 0;
  const ratio = c.opset < 12 ? c.float("ratio", 0.5) : c.has(1) ? c.number(1) : 0.5;
  if (!training || ratio === 0) {
    const mask = f.ones(x.shape, { dtype: "bool", device: x.device });
    return [c.value(0), valueOf(mask)];
  }
  const mask = f.ge(
    f.rand(x.shape, { device: x.device, ...c.said("seed") ? { seed: c.int("seed", 0) } : {} }),
    ratio,
  );
  return [valueOf(f.mul(f.where(mask, x, f.zerosLike(x)), 1 / (1 - ratio)), c.type(0)), valueOf(mask)];
}

/** The operators. */
export const neural: OperatorTable = {
  ...lossOperators,
  Conv: { since: [1, 11, 22], run: (c) => convolve(c, c.t(0), c.t(1), c.maybe(2)) },
  ConvTranspose: { since: [1, 11, 22], run: convTranspose },
  MaxPool: { since: [1, 8, 10, 11, 12, 22], run: maxPool },
  AveragePool: { since: [1, 7, 10, 11, 19, 22], run: averagePool },
  LpPool: { since: [1, 2, 11, 18, 22], run: lpPool },
  MaxUnpool: { since: [9, 11, 22], host: [2], run: maxUnpool },
  GlobalAveragePool: { since: [1, 22], run: globally((x, axes) => f.mean(x, axes, true)) },
  GlobalMaxPool: { since: [1, 22], run: globally((x, axes) => f.amax(x, axes, true)) },
  GlobalLpPool: {
    since: [1, 2, 22],
    run: (c) => {
      const x = c.t(0), p = c.int("p", 2), axes = x.shape.map((_, i) => i).slice(2);
      return f.pow(f.sum(f.pow(f.abs(x), p), axes, true), 1 / p);
    },
  },
  BatchNormalization: { since: [1, 6, 7, 9, 14, 15], run: batchNorm },
  InstanceNormalization: {
    since: [1, 6, 22],
    run: (c) => f.instanceNorm(c.t(0), c.t(1), c.t(2), c.float("epsilon", 1e-5)),
  },
  GroupNormalization: { since: [18, 21], run: groupNorm },
  LayerNormalization: { since: [17], run: layerNorm },
  RMSNormalization: { since: [23], run: rmsNorm },
  LRN: { since: [1, 13], run: responseNorm },
  MeanVarianceNormalization: { since: [9, 13], run: meanVariance },
  LpNormalization: { since: [1, 22], run: lpNormalization },
  Gemm: { since: [1, 6, 7, 9, 11, 13], run: gemm },
  MatMul: { since: [1, 9, 13], run: product },
  Einsum: { since: [12], run: (c) => f.einsum(c.text("equation", ""), ...c.tensors()) },
  Softmax: { since: [1, 11, 13], run: soft(f.softmax) },
  LogSoftmax: { since: [1, 11, 13], run: soft(f.logSoftmax) },
  Hardmax: { since: [1, 11, 13], noGradient: "flat", run: soft(hardmax) },
  Dropout: { since: [1, 6, 7, 10, 12, 13, 22], host: [1, 2], run: dropout },
};
