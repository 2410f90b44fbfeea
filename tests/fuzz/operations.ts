/** What programs are made of: every operation on tensors, how to call it with what is there, and how near results must be. */
import type { DType } from "../../src/core/dtype.ts";
import { isFloat } from "../../src/core/dtype.ts";
import type { Dice } from "./dice.ts";
import { table } from "../../src/expr/table.ts";
import * as F from "../../src/ops/mod.ts";
import type { Tensor } from "../../src/ops/mod.ts";
import { row } from "../../src/ops/row.ts";
import type { Param } from "./program.ts";
import { chance, oneOf } from "./values.ts";

/** A value that is there. */
export interface Known {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** A call: which values, and which parameters. */
export interface Call {
  readonly args: readonly number[];
  readonly params: readonly Param[];
}

/** Chooses among what is there. */
export class Draw {
  readonly random: Dice;
  readonly values: readonly Known[];

  constructor(random: Dice, values: readonly Known[]) {
    this.random = random;
    this.values = values;
  }

  /** A value of at most `most` elements of which `fits` holds, later ones sooner; -1 where there is none. */
  any(fits: (value: Known) => boolean = () => true, most: number = 20_000): number {
    const found: number[] = [];
    this.values.forEach((value, i) => sizeOf(value) <= most && fits(value) && found.push(i));
    if (!found.length) return -1;
    return found[Math.max(this.random.integer(0, found.length), this.random.integer(0, found.length))];
  }

  /** A call on values that all are there, or null. */
  call(args: readonly number[], params: readonly Param[] = []): Call | null {
    return args.includes(-1) ? null : { args, params };
  }

  /** An axis of `value`, sometimes counted from the end, seldom one that it has not. */
  axis({ shape }: Known = { shape: [], dtype: "f32" }): number {
    if (chance(this.random, 0.02)) return shape.length + 1;
    const n = Math.max(1, shape.length);
    return this.random.integer(-n, n);
  }

  integer(low: number, high: number): number {
    return this.random.integer(low, high);
  }

  chance(probability: number): boolean {
    return chance(this.random, probability);
  }

  of<T>(list: readonly T[]): T {
    return oneOf(this.random, list);
  }
}

/**
 * How results are compared: to the bit; rounded in the last places; sums, whose error is measured by their terms; and what is
 * computed in several steps, whose error is measured by that of the definition.
 */
export type Nearness = "exact" | "rounded" | "summed" | "composed";

/** An operation. */
export interface Operation {
  readonly near: Nearness;
  /** Whether gradients go through it. */
  readonly smooth: boolean;
  /** How large terms are at most that may cancel in its gradient, for inputs and a gradient of the result up to `g`. */
  cancelling?(args: readonly Tensor[], inputs: number, g: number): number;
  draw(d: Draw): Call | null;
  // deno-lint-ignore no-explicit-any -- parameters are what `draw` gave
  run(args: readonly Tensor[], params: readonly any[]): Tensor;
}

const isFloating = ({ dtype }: Known): boolean => isFloat(dtype);
const sizeOf = ({ shape }: Known): number => shape.reduce((a, b) => a * b, 1);
const rankOf = (rank: number) => ({ shape }: Known): boolean => shape.length === rank;

/** One tensor and parameters. */
function unary(
  near: Nearness,
  smooth: boolean,
  // deno-lint-ignore no-explicit-any -- as above
  run: (x: Tensor, ...params: any[]) => Tensor,
  params: (d: Draw, x: Known) => readonly Param[] = () => [],
  fits: (x: Known) => boolean = () => true,
  most?: number,
): Operation {
  return {
    near,
    smooth,
    draw(d) {
      const x = d.any(fits, most);
      return x < 0 ? null : d.call([x], params(d, d.values[x]));
    },
    run: ([x], params) => run(x, ...params),
  };
}

const view = (
  run: (x: Tensor, ...params: never[]) => Tensor,
  params?: (d: Draw, x: Known) => readonly Param[],
): Operation => unary("exact", true, run as (x: Tensor, ...params: unknown[]) => Tensor, params);

/** Shapes that broadcast together. */
function fitTogether(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 1; i <= Math.min(a.length, b.length); i++) {
    const x = a[a.length - i], y = b[b.length - i];
    if (x !== y && x !== 1 && y !== 1) return false;
  }
  return true;
}

function factors(d: Draw, n: number): number[] {
  if (n === 0) return [0, d.integer(0, 3)];
  const shape: number[] = [];
  let left = n;
  while (left > 1 && shape.length < 4) {
    const divisors = Array.from({ length: Math.min(left, 64) }, (_, i) => i + 1).filter((k) =>
      left % k === 0
    );
    const k = d.of(divisors);
    shape.push(k);
    left /= k;
  }
  if (left > 1) shape.push(left);
  return shape;
}

function ranges(d: Draw, x: Known): Param[] {
  return x.shape.map((n): Param => {
    if (d.chance(0.3)) return null;
    if (d.chance(0.15) && n > 0) return d.integer(-n, n);
    const bound = (): number | null => d.chance(0.3) ? null : d.integer(-n - 1, n + 2);
    return [bound(), bound(), d.of([1, 1, 2, 3, -1, -1, -2])];
  });
}

/** Axes to reduce: one, some, or all. */
function axes(d: Draw, x: Known): Param {
  const rank = x.shape.length;
  if (d.chance(0.3)) return null;
  if (rank === 0 || d.chance(0.6)) return d.axis(x);
  return x.shape.map((_, i) => i).filter(() => d.chance(0.5));
}

const reduction = (
  near: Nearness,
  smooth: boolean,
  run: (x: Tensor, dim: never, keep: never) => Tensor,
): Operation =>
  unary(
    near,
    smooth,
    run as (x: Tensor, ...params: unknown[]) => Tensor,
    (d, x) => [axes(d, x), d.chance(0.3)],
  );

const views: Record<string, Operation> = {
  reshape: view((x, shape: number[]) => F.reshape(x, shape), (d, x) => [factors(d, sizeOf(x))]),
  permute: view((x, order: number[]) => F.permute(x, order), (d, x) => {
    const order = x.shape.map((_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const j = d.integer(0, i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return [order];
  }),
  transpose: view((x, a: number, b: number) => F.transpose(x, a, b), (d, x) => [d.axis(x), d.axis(x)]),
  expand: view(
    (x, shape: number[]) => F.expand(x, shape),
    (
      d,
      x,
    ) => [[...d.chance(0.3) ? [d.integer(0, 4)] : [], ...x.shape.map((n) => n === 1 ? d.integer(0, 5) : n)]],
  ),
  unsqueeze: view((x, at: number) => F.unsqueeze(x, at), (d, x) => [d.axis(x)]),
  squeeze: view((x, at: never) => F.squeeze(x, at), (d, x) => [d.axis(x)]),
  slice: view((x, list: never[]) => F.slice(x, ...list), (d, x) => [ranges(d, x)]),
  flip: view((x, at: number) => F.flip(x, at), (d, x) => [d.axis(x)]),
  narrow: view((x, at: number, start: number, n: number) => F.narrow(x, at, start, n), (d, x) => [
    d.axis(x),
    d.integer(0, 3),
    d.integer(0, 3),
  ]),
  select: view((x, at: number, i: number) => F.select(x, at, i), (d, x) => [d.axis(x), d.integer(-3, 3)]),
  diagonal: view((x, offset: number) => F.diagonal(x, offset), (d) => [d.integer(-2, 3)]),
  flatten: view((x) => F.flatten(x)),
  contiguous: view((x) => F.contiguous(x)),
  clone: view((x) => F.clone(x)),
  split: view((x, n: number, at: number, part: number) => {
    const parts = F.split(x, n, at);
    return parts[part % parts.length];
  }, (d, x) => [d.integer(1, 4), d.axis(x), d.integer(0, 4)]),
  repeat: view((x, times: number[]) => F.repeat(x, times), (d, x) => [x.shape.map(() => d.integer(0, 3))]),
  pad: view((x, border: number[]) => F.pad(x, border), (d, x) => [
    x.shape.flatMap(() => [d.integer(-1, 3), d.integer(-1, 3)]).slice(
      0,
      2 * d.integer(0, x.shape.length + 1),
    ),
  ]),
  padWith: view((x, border: number[], mode: never) => F.pad(x, border, { mode }), (d, x) => [
    x.shape.flatMap(() => [d.integer(0, 3), d.integer(0, 3)]),
    d.of(["reflect", "replicate"]),
  ]),
  tril: view((x, k: number) => F.tril(x, k), (d) => [d.integer(-2, 3)]),
  triu: view((x, k: number) => F.triu(x, k), (d) => [d.integer(-2, 3)]),
  to: {
    ...view(
      (x, dtype: DType) => F.toDType(x, dtype),
      (d) => [d.of(["f32", "f32", "f16", "bf16", "i32", "i64", "u8", "bool"])],
    ),
    smooth: false,
  },
};

const joins: Record<string, Operation> = {
  concat: {
    near: "exact",
    smooth: true,
    draw(d) {
      const a = d.any(({ shape }) => shape.length > 0);
      if (a < 0) return null;
      const x = d.values[a], at = d.integer(0, x.shape.length);
      const b = d.any(({ shape }) =>
        shape.length === x.shape.length && shape.every((n, i) => i === at || n === x.shape[i])
      );
      return d.call([a, b, ...d.chance(0.3) ? [a] : []], [at]);
    },
    run: (list, [at]) => F.concat([...list], at),
  },
  stack: {
    near: "exact",
    smooth: true,
    draw(d) {
      const a = d.any(), b = d.any(({ shape }) => String(shape) === String(d.values[a]?.shape));
      return d.call([a, b], [d.axis(d.values[a])]);
    },
    run: (list, [at]) => F.stack([...list], at),
  },
};

/** Rows whose parameters or domains ask for care. */
const rowParams: Readonly<Record<string, readonly number[]>> = {
  leakyRelu: [0.1],
  elu: [1.3],
  softplus: [1.5, 20],
  hardtanh: [-0.7, 1.2],
  threshold: [0.3, -0.4],
};

const rowNearness: Readonly<Record<string, Nearness>> = {
  lerp: "composed",
  // Its argument is a product, and exp of that is as far off as the product is large.
  softplus: "composed",
  gelu: "composed",
  geluTanh: "composed",
};

const exactRows = new Set(
  ("add sub mul neg abs sign floor ceil round trunc maximum minimum clamp clampMin clampMax where relu relu6 hardtanh threshold " +
    "eq ne lt le gt ge logicalAnd logicalOr logicalXor logicalNot isnan isinf isfinite remainder fmod square")
    .split(" "),
);

function rowOperation(name: string): Operation {
  const { arity, scalars = 0 } = table[name];
  return {
    near: rowNearness[name] ?? (exactRows.has(name) ? "exact" : "rounded"),
    smooth: table[name].result !== "bool",
    draw(d) {
      const first = d.any();
      if (first < 0) return null;
      const args = [first], params: Param[] = [];
      const spread = d.values[first].shape;
      for (let k = 1; k < arity; k++) {
        // Numbers stand where tensors might, except in the first place.
        if (k > 0 && d.chance(0.25)) params.push(d.of([0, 1, -1, 2, 0.5, -3]));
        else {
          args.push(d.any(({ shape }) => fitTogether(shape, spread)));
          params.push("t");
        }
      }
      return d.call(args, [...params, ...rowParams[name] ?? new Array<number>(scalars).fill(0.5)]);
    },
    run(args, params) {
      let next = 1;
      const rest = params.map((p) => p === "t" ? args[next++] : p as number);
      return row(name, args[0], ...rest);
    },
  };
}

const rows: Record<string, Operation> = Object.fromEntries(
  Object.keys(table).map((name) => [name, rowOperation(name)]),
);

const reductions: Record<string, Operation> = {
  sum: reduction("summed", true, (x, dim, keep) => F.sum(x, dim, keep)),
  mean: reduction("summed", true, (x, dim, keep) => F.mean(x, dim, keep)),
  prod: reduction("composed", true, (x, dim, keep) => F.prod(x, dim, keep)),
  max: reduction("exact", true, (x, dim, keep) => F.max(x, dim, keep)),
  min: reduction("exact", true, (x, dim, keep) => F.min(x, dim, keep)),
  any: reduction("exact", false, (x, dim, keep) => F.any(x, dim, keep)),
  all: reduction("exact", false, (x, dim, keep) => F.all(x, dim, keep)),
  argmax: unary("exact", false, (x, dim, keep) => F.argmax(x, dim, keep), (d, x) => [
    d.chance(0.3) ? null : d.axis(x),
    d.chance(0.3),
  ]),
  argmin: unary("exact", false, (x, dim, keep) => F.argmin(x, dim, keep), (d, x) => [
    d.chance(0.3) ? null : d.axis(x),
    d.chance(0.3),
  ]),
  variance: unary("composed", true, (x, dim, correction) => F.variance(x, dim, { correction }), (d, x) => [
    axes(d, x),
    d.integer(0, 2),
  ], isFloating),
  std: unary("composed", true, (x, dim, correction) => F.std(x, dim, { correction }), (d, x) => [
    axes(d, x),
    d.integer(0, 2),
  ], isFloating),
  logsumexp: unary("composed", true, (x, dim) => F.logsumexp(x, dim), (d, x) => [d.axis(x)], isFloating),
  norm: unary("composed", true, (x, dim) => F.norm(x, dim), (d, x) => [d.axis(x)], isFloating),
  cumsum: unary("summed", true, (x, dim) => F.cumsum(x, dim), (d, x) => [d.axis(x)]),
};

const order: Record<string, Operation> = {
  sort: unary("exact", true, (x, dim, descending) => F.sort(x, dim, { descending }).values, (d, x) => [
    d.axis(x),
    d.chance(0.5),
  ]),
  argsort: unary("exact", false, (x, dim, descending) => F.argsort(x, dim, { descending }), (d, x) => [
    d.axis(x),
    d.chance(0.5),
  ]),
  topk: unary("exact", true, (x, k, dim, largest) => F.topk(x, k, dim, { largest }).values, (d, x) => [
    d.integer(0, 4),
    d.axis(x),
    d.chance(0.5),
  ]),
};

/** An index tensor made of whatever integers there are, brought into range (seldom not). */
function indexOf(index: Tensor, size: number, wrap: boolean): Tensor {
  if (!wrap) return index;
  return size === 0 ? index : F.sub(F.remainder(index, 2 * size), size);
}

const isIndex = ({ dtype }: Known): boolean => dtype === "i32" || dtype === "i64";

const picks: Record<string, Operation> = {
  gather: {
    near: "exact",
    smooth: true,
    draw(d) {
      const x = d.any(), own = d.values[x]?.shape ?? [];
      const at = d.integer(0, Math.max(1, own.length));
      const index = d.any((value) =>
        isIndex(value) && value.shape.length === own.length &&
        value.shape.every((n, i) => i === at || n <= own[i])
      );
      return d.call([x, index], [at, d.chance(0.97)]);
    },
    run: ([x, index], [at, wrap]) => F.gather(x, at, indexOf(index, x.shape[at] ?? 1, wrap)),
  },
  ...Object.fromEntries((["scatter", "scatterAdd"] as const).map((name): [string, Operation] => [name, {
    near: name === "scatter" ? "exact" : "summed",
    smooth: true,
    draw(d) {
      const x = d.any(), own = d.values[x]?.shape ?? [], at = d.integer(0, Math.max(1, own.length));
      const source = d.any((value) =>
        value.dtype === d.values[x]?.dtype && value.shape.length === own.length
      );
      const from = d.values[source]?.shape ?? [];
      const index = d.any((value) =>
        isIndex(value) && value.shape.length === own.length &&
        value.shape.every((n, i) => n <= from[i] && (i === at || n <= own[i]))
      );
      return d.call([x, index, source], [at, d.chance(0.97)]);
    },
    run: ([x, index, source], [at, wrap]) => F[name](x, at, indexOf(index, x.shape[at] ?? 1, wrap), source),
  }])),
  indexSelect: {
    near: "exact",
    smooth: true,
    draw(d) {
      const x = d.any(), index = d.any((value) => isIndex(value) && value.shape.length < 2);
      return d.call([x, index], [d.axis(d.values[x]), d.chance(0.97)]);
    },
    run: ([x, index], [at, wrap]) => F.indexSelect(x, at, indexOf(index, x.shape.at(at) ?? 1, wrap)),
  },
  embedding: {
    near: "exact",
    smooth: true,
    draw(d) {
      return d.call([d.any((value) => isIndex(value) && sizeOf(value) < 500), d.any(rankOf(2))], [
        d.chance(0.97),
      ]);
    },
    run: ([ids, weight], [wrap]) => {
      const rows = weight.shape[0];
      return F.embedding(wrap && rows ? F.remainder(ids, rows) : ids, weight);
    },
  },
  oneHot: unary(
    "exact",
    false,
    (x, classes, wrap) => F.oneHot(wrap ? F.remainder(x, classes) : x, classes),
    (d) => [
      d.integer(1, 6),
      d.chance(0.9),
    ],
    (value) => isIndex(value) && sizeOf(value) < 500,
  ),
};

/** Elements of what is multiplied: the reference device takes its time. */
const mostFactors = 1500;

/** Two matrices that multiply. */
function matrices(d: Draw): readonly number[] {
  const a = d.any(({ shape }) => shape.length >= 1, mostFactors);
  const inner = d.values[a]?.shape.at(-1);
  const b = d.any(
    ({ shape, dtype }) =>
      shape.length >= 1 && (shape.at(-2) ?? shape[0]) === inner &&
      fitTogether(d.values[a]?.shape.slice(0, -2) ?? [], shape.slice(0, -2)) &&
      (isFloat(dtype) || dtype === "i32"),
    mostFactors,
  );
  return [a, b];
}

const products: Record<string, Operation> = {
  matmul: { near: "summed", smooth: true, draw: (d) => d.call(matrices(d)), run: ([a, b]) => F.matmul(a, b) },
  matmulTurned: {
    near: "summed",
    smooth: true,
    draw(d) {
      const a = d.any(({ shape }) => shape.length === 2, mostFactors), inner = d.values[a]?.shape[1];
      return d.call([a, d.any(({ shape }) => shape.length === 2 && shape[1] === inner, mostFactors)]);
    },
    run: ([a, b]) => F.matmul(a, F.transpose(b, 0, 1)),
  },
  gram: {
    ...unary(
      "summed",
      true,
      (x) => F.matmul(F.transpose(x, -1, -2), x),
      () => [],
      // The square of a long axis may be more than there is room for.
      ({ shape }) =>
        shape.length >= 2 && shape.reduce((n, size) => n * size, shape[shape.length - 1]) < 1e7 &&
        shape[shape.length - 1] < 2000,
    ),
  },
  affine: {
    near: "composed",
    smooth: true,
    draw(d) {
      const w = d.any((value) => value.shape.length === 2 && isFloating(value)),
        shape = d.values[w]?.shape ?? [];
      const x = d.any((value) =>
        value.shape.length > 0 && value.shape.at(-1) === shape[0] && isFloating(value)
      );
      const bias = d.any((value) =>
        value.shape.length === 1 && value.shape[0] === shape[1] && isFloating(value)
      );
      const args = bias >= 0 && d.chance(0.7) ? [x, w, bias] : [x, w];
      return d.call(args, [d.of([null, "relu", "gelu", "geluTanh", "tanh", "silu"])]);
    },
    run: ([x, w, bias], [activation]) =>
      F.affine(x, w, bias ?? null, activation === null ? {} : { activation }),
  },
  outer: {
    near: "exact",
    smooth: true,
    draw: (d) => d.call([d.any(rankOf(1), 200), d.any(rankOf(1), 200)]),
    run: ([a, b]) => F.outer(a, b),
  },
  einsum: {
    near: "summed",
    smooth: true,
    draw(d) {
      const a = d.any((value) => value.shape.length === 2 && isFloating(value)),
        own = d.values[a]?.shape ?? [];
      const b = d.any((value) => value.shape.length === 2 && isFloating(value) && value.shape[0] === own[0]);
      return d.call([a, b], [d.of(["ij,ik->jk", "ij,ik->kj", "ij,ik->i", "ij,ik->ijk", "ij,ik->"])]);
    },
    run: ([a, b], [equation]) => F.einsum(equation, a, b),
  },
};

const last = ({ shape }: Known): number => shape.at(-1) ?? 1;

const networks: Record<string, Operation> = {
  softmax: unary("composed", true, (x, dim) => F.softmax(x, dim), (d, x) => [d.axis(x)], isFloating),
  logSoftmax: unary("composed", true, (x, dim) => F.logSoftmax(x, dim), (d, x) => [d.axis(x)], isFloating),
  layerNorm: {
    near: "composed",
    smooth: true,
    draw(d) {
      const x = d.any((value) => value.shape.length > 0 && isFloating(value)),
        width = last(d.values[x] ?? { shape: [], dtype: "f32" });
      const weight = d.any((value) =>
        value.shape.length === 1 && value.shape[0] === width && isFloating(value)
      );
      return d.call(weight >= 0 && d.chance(0.7) ? [x, weight] : [x]);
    },
    run: ([x, weight]) => F.layerNorm(x, x.shape.at(-1)!, weight ?? null, weight ?? null),
  },
  rmsNorm: unary(
    "composed",
    true,
    (x) => F.rmsNorm(x, x.shape.at(-1)!),
    () => [],
    (value) => value.shape.length > 0 && isFloating(value),
  ),
  crossEntropy: {
    near: "composed",
    smooth: true,
    draw(d) {
      const x = d.any((value) => value.shape.length === 2 && isFloating(value)), rows = d.values[x]?.shape[0];
      const ids = d.any((value) => isIndex(value) && value.shape.length === 1 && value.shape[0] === rows);
      return d.call([x, ids], [d.chance(0.95), d.of([0, 0.1]), d.of(["mean", "sum", "none"])]);
    },
    run: ([x, ids], [wrap, labelSmoothing, reduction]) => {
      const classes = x.shape[1], targets = wrap && classes > 0 ? F.remainder(ids, classes) : ids;
      return F.crossEntropy(x, targets, { labelSmoothing, reduction });
    },
  },
  mseLoss: {
    near: "composed",
    smooth: true,
    draw(d) {
      const a = d.any(isFloating);
      return d.call([
        a,
        d.any((value) => isFloating(value) && String(value.shape) === String(d.values[a]?.shape)),
      ], [
        d.of(["mean", "sum", "none"]),
      ]);
    },
    run: ([a, b], [reduction]) => F.mseLoss(a, b, { reduction }),
  },
  attention: {
    near: "composed",
    smooth: true,
    draw(d) {
      const isHeads = (value: Known): boolean => value.shape.length === 4 && isFloating(value);
      const q = d.any(isHeads, mostFactors), [batch, heads, , width] = d.values[q]?.shape ?? [];
      const k = d.any(
        (value) =>
          isHeads(value) && value.shape[0] === batch && value.shape[1] > 0 && heads % value.shape[1] === 0 &&
          value.shape[3] === width,
        mostFactors,
      );
      return d.call([q, k], [d.chance(0.5)]);
    },
    // The gradient by a score is p · (g·v - Σ p g·v), in which the two dot products are computed apart; it goes on times k.
    // A score off by a rounding is a factor of its probability, large where scores are.
    cancelling: ([{ shape }], inputs, g) => {
      const root = Math.sqrt(shape[3]);
      return root * g * (inputs / 2) * inputs * (1 + root * inputs * inputs / 2);
    },
    run: ([q, k], [isCausal]) => F.scaledDotProductAttention(q, k, F.mul(k, 0.5), { isCausal }),
  },
  conv1d: {
    near: "composed",
    smooth: true,
    draw(d) {
      const x = d.any((value) => value.shape.length === 3 && isFloating(value)),
        channels = d.values[x]?.shape[1];
      const w = d.any((value) =>
        value.shape.length === 3 && isFloating(value) && value.shape[1] === channels && value.shape[2] < 6
      );
      return d.call([x, w], [d.integer(1, 3), d.integer(0, 3)]);
    },
    run: ([x, w], [stride, padding]) => F.conv1d(x, w, null, { stride, padding }),
  },
  maxPool2d: unary(
    "exact",
    true,
    (x, k) => F.maxPool2d(x, k),
    (d) => [d.integer(1, 3)],
    (value) => value.shape.length === 4 && isFloating(value),
  ),
  avgPool2d: unary(
    "composed",
    true,
    (x, k) => F.avgPool2d(x, k),
    (d) => [d.integer(1, 3)],
    (value) => value.shape.length === 4 && isFloating(value),
  ),
};

/** Every operation by name. */
export const operations: Readonly<Record<string, Operation>> = {
  ...views,
  ...joins,
  ...rows,
  ...reductions,
  ...order,
  ...picks,
  ...products,
  ...networks,
};

/** Groups from which operations are drawn with even chances, so that the many rows do not crowd out the rest. */
export const groups: readonly (readonly string[])[] = [
  views,
  joins,
  rows,
  rows,
  reductions,
  order,
  picks,
  products,
  networks,
]
  .map((group) => Object.keys(group));
