/**
 * Sums, means, extremes over axes, and running sums.
 *
 * @module
 */
import { isFloat } from "../../core/dtype.ts";
import { normalizeAxis, sizeOf } from "../../core/shape.ts";
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import { type Call, nodeName, type Operator, type OperatorTable } from "../call.ts";
import { heldAs, narrowRange } from "../types.ts";
import { valueOf, wrap } from "../values.ts";

type Reduction = (x: Tensor, axes: number[], keepdim: boolean) => Tensor;

/** Sums of integers may be wider than what they sum. */
const back = (c: Call, x: Tensor) => valueOf(wrap(f.toDType(x, heldAs(c.type(0))!), c.type(0)), c.type(0));

function reduced(since: readonly number[], apply: Reduction, empty: number | null = null): Operator {
  return {
    since,
    host: [1],
    run: (c) => {
      const x = c.t(0), given = c.list(1, "axes"), keep = c.int("keepdims", 1) !== 0;
      if (!given?.length && c.int("noop_with_empty_axes", 0)) return back(c, apply(x, [], true));
      const axes = given?.length
        ? given.map((a) => normalizeAxis(a, x.shape.length, nodeName(c.node)))
        : x.shape.map((_, i) => i);
      if (empty !== null && axes.some((a) => x.shape[a] === 0)) {
        const kept = x.shape.map((n, i) => axes.includes(i) ? 1 : n);
        const shape = keep ? kept : x.shape.filter((_, i) => !axes.includes(i));
        const one = f.tensor([emptyOf(c, x, empty)] as never, {
          dtype: x.dtype,
          device: x.device,
          shape: [],
        });
        return back(c, f.contiguous(f.expand(one, shape)));
      }
      if (axes.length === 0) return back(c, apply(x, [], true));
      return back(c, apply(x, axes, keep));
    },
  };
}

/** The least or greatest of an integer's type where infinity is meant. */
function emptyOf(c: Call, x: Tensor, value: number): number | bigint {
  if (Number.isFinite(value) || isFloat(x.dtype)) return value;
  const type = c.type(0);
  // u64 is the same 64 bits.
  if (type === "uint64") return value > 0 ? -1n : 0n;
  if (type === "int64") return value > 0 ? 2n ** 63n - 1n : -(2n ** 63n);
  const [least, most] = narrowRange(type) ??
    (x.dtype === "bool" ? [0, 1] : x.dtype === "u8" ? [0, 255] : [-2147483648, 2147483647]);
  return value > 0 ? most : least;
}

/** `apply` over axes, or x itself over none. */
const over = (apply: Reduction): Reduction => (x, axes, keep) => axes.length ? apply(x, axes, keep) : x;

const extreme = (apply: Reduction): Reduction => (x, axes, keep) => {
  if (axes.length === 0) return x;
  if (x.dtype !== "bool") return apply(x, axes, keep);
  return f.toDType(apply(f.toDType(x, "i32"), axes, keep), "bool");
};

function best(since: readonly number[], find: (x: Tensor, dim: number, keep: boolean) => Tensor): Operator {
  return {
    since,
    noGradient: "positions",
    run: (c) => {
      const x = c.t(0), axis = c.axis("axis", 0, x.shape.length), keep = c.int("keepdims", 1) !== 0;
      const last = c.int("select_last_index", 0) !== 0;
      const at = f.toDType(find(last ? f.flip(x, axis) : x, axis, keep), "i64");
      return valueOf(last ? f.sub(x.shape[axis] - 1, at) : at);
    },
  };
}

const cumulated: Operator = {
  since: [11, 14],
  host: [1],
  run: (c) => {
    const x = c.t(0), axis = normalizeAxis(c.number(1), x.shape.length, nodeName(c.node));
    const reverse = c.int("reverse", 0) !== 0, way = reverse ? f.flip(x, axis) : x;
    let total = f.cumsum(way, axis);
    if (c.int("exclusive", 0) && x.shape[axis] > 0) {
      const rest = f.narrow(total, axis, 0, x.shape[axis] - 1);
      const zero = f.zerosLike(f.narrow(total, axis, 0, 1));
      total = f.concat([zero, rest], axis);
    }
    return back(c, reverse ? f.flip(total, axis) : total);
  },
};

const sum = over(f.sum);

/** The operators. */
export const reductions: OperatorTable = {
  ReduceSum: reduced([1, 11, 13], sum, 0),
  ReduceMean: reduced(
    [1, 11, 13, 18],
    over((x, axes, keep) => {
      if (isFloat(x.dtype)) return f.mean(x, axes, keep);
      const count = Math.max(sizeOf(axes.map((a) => x.shape[a])), 1), total = f.sum(x, axes, keep);
      // Towards zero, as C divides.
      return f.floorDivide(f.sub(total, f.fmod(total, count)), count);
    }),
  ),
  ReduceMax: reduced([1, 11, 12, 13, 18, 20], extreme(f.amax), -Infinity),
  ReduceMin: reduced([1, 11, 12, 13, 18, 20], extreme(f.amin), Infinity),
  ReduceProd: reduced([1, 11, 13, 18], over(f.prod), 1),
  ReduceL1: reduced([1, 11, 13, 18], (x, axes, keep) => sum(f.abs(x), axes, keep), 0),
  ReduceL2: reduced([1, 11, 13, 18], (x, axes, keep) => f.sqrt(sum(f.mul(x, x), axes, keep)), 0),
  ReduceSumSquare: reduced([1, 11, 13, 18], (x, axes, keep) => sum(f.mul(x, x), axes, keep), 0),
  ReduceLogSum: reduced([1, 11, 13, 18], (x, axes, keep) => f.log(sum(x, axes, keep)), -Infinity),
  ReduceLogSumExp: reduced([1, 11, 13, 18], over(f.logsumexp), -Infinity),
  ArgMax: best([1, 11, 12, 13], f.argmax),
  ArgMin: best([1, 11, 12, 13], f.argmin),
  CumSum: cumulated,
};
