/**
 * Structured operations: first and second derivatives of each against finite differences.
 */
import { describe, it } from "node:test";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { checkTwice, uneven } from "./_gradients.ts";

type Case = [name: string, f: (...x: Tensor[]) => Tensor, ...shapes: (readonly number[])[]];

const place = { device: "reference" } as const;
const i32 = (data: number[] | number[][]): Tensor => tensor(data, { ...place, dtype: "i32" });
const bool = (data: (number | number[])[]): Tensor => tensor(data, { ...place, dtype: "bool" });
const f64 = (data: number[]): Tensor => tensor(data, { ...place, dtype: "f64" });

const views: Case[] = [
  ["reshape", (x) => F.reshape(x, [3, -1]), [2, 3]],
  ["reshape of a transposed matrix", (x) => F.reshape(F.transpose(x, 0, 1), [6]), [2, 3]],
  ["flatten", (x) => F.flatten(x, 1), [2, 1, 3]],
  ["unflatten", (x) => F.unflatten(x, 1, [2, -1]), [2, 4]],
  ["permute", (x) => F.permute(x, [2, 0, 1]), [2, 2, 2]],
  ["transpose", (x) => F.transpose(x, 0, -1), [2, 1, 3]],
  ["t", (x) => F.t(x), [2, 3]],
  ["expand", (x) => F.expand(x, [2, 3, 2]), [3, 1]],
  ["sumTo", (x) => F.sumTo(x, [2, 1]), [3, 2, 2]],
  ["squeeze", (x) => F.squeeze(x, 1), [2, 1, 3]],
  ["unsqueeze", (x) => F.unsqueeze(x, 1), [2, 3]],
  ["slice", (x) => F.slice(x, [0, 2], null, 1), [3, 2, 2]],
  ["slice backwards with steps", (x) => F.slice(x, [-1, null, -2], [null, null, -1]), [4, 2]],
  ["narrow", (x) => F.narrow(x, 1, 1, 2), [2, 4]],
  ["select", (x) => F.select(x, 0, -1), [2, 3]],
  ["flip", (x) => F.flip(x, [0, 1]), [2, 3]],
  ["split", (x) => F.mul(...F.split(x, 2, 1) as [Tensor, Tensor]), [2, 4]],
  ["chunk", (x) => F.mul(...F.chunk(x, 2, 0) as [Tensor, Tensor]), [4, 2]],
  ["diagonal", (x) => F.diagonal(x, 1), [2, 3, 3]],
  ["contiguous", (x) => F.contiguous(F.transpose(x, 0, 1)), [2, 3]],
  ["clone", (x) => F.clone(x), [2, 3]],
];

const joins: Case[] = [
  ["concat", (a, b) => F.concat([a, b, a], 1), [2, 2], [2, 1]],
  ["stack", (a, b) => F.stack([a, b], 1), [2, 2], [2, 2]],
  ["repeat", (x) => F.repeat(x, [2, 1, 2]), [2, 2]],
  ["pad", (x) => F.pad(x, [1, 2, 0, 1], { value: 0.5 }), [2, 2]],
  ["pad that cuts", (x) => F.pad(x, [-1, 1]), [2, 3]],
  ["pad that reflects", (x) => F.pad(x, [2, 1], { mode: "reflect" }), [2, 3]],
  ["pad that replicates", (x) => F.pad(x, [2, 1, 1, 0], { mode: "replicate" }), [2, 2]],
];

const reductions: Case[] = [
  ["sum", (x) => F.sum(x, 1), [2, 3]],
  ["sum of all", (x) => F.sum(x), [2, 3]],
  ["mean", (x) => F.mean(x, [0, 2], true), [2, 2, 2]],
  ["prod", (x) => F.prod(x, 1), [2, 3]],
  ["prod of all", (x) => F.prod(x), [2, 2]],
  ["prod along the first axis", (x) => F.prod(x, 0), [3, 2]],
  ["max", (x) => F.max(x, 1), [2, 3]],
  ["min", (x) => F.min(x), [2, 3]],
  ["amax over two axes", (x) => F.amax(x, [0, 2]), [2, 2, 2]],
  ["amin", (x) => F.amin(x, 0, true), [3, 2]],
  ["var", (x) => F.var(x, 1), [2, 3]],
  ["var, biased", (x) => F.var(x, null, { correction: 0 }), [2, 3]],
  ["std", (x) => F.std(x, 0, { keepdim: true }), [3, 2]],
  ["logsumexp", (x) => F.logsumexp(x, 1), [2, 3]],
  ["norm", (x) => F.norm(x, 1), [2, 3]],
  ["cumsum", (x) => F.cumsum(x, 1), [2, 3]],
  ["cumsum along the first axis", (x) => F.cumsum(x, 0), [3, 2]],
];

const products: Case[] = [
  ["matmul of matrices", F.matmul, [2, 3], [3, 2]],
  ["matmul of vectors", F.matmul, [3], [3]],
  ["matmul of a vector and a matrix", F.matmul, [3], [3, 2]],
  ["matmul of a matrix and a vector", F.matmul, [2, 3], [3]],
  ["matmul of a batch and a matrix", F.matmul, [2, 2, 2], [2, 2]],
  ["matmul of batches that broadcast", F.matmul, [2, 1, 2, 2], [2, 2, 1]],
  ["matmul of a transposed batch and a matrix", (a, b) => F.matmul(F.transpose(a, 0, 1), b), [2, 2, 2], [
    2,
    2,
  ]],
  ["mm", F.mm, [2, 2], [2, 2]],
  ["dot", F.dot, [3], [3]],
  ["outer", F.outer, [2], [3]],
  ["addmm", (x, a, b) => F.addmm(x, a, b, 0.5, 2), [2], [2, 2], [2, 2]],
  ["linear", F.linear, [2, 2, 2], [3, 2], [3]],
  ["affine", (x, w, b) => F.affine(x, w, b), [2, 2], [2, 3], [3]],
  ["affine of a vector", (x, w, b) => F.affine(x, w, b), [2], [2, 3], [3]],
  [
    "affine with an activation and a residual",
    (x, w, b, r) => F.affine(x, w, b, { activation: "geluTanh", residual: r }),
    [2, 2],
    [2, 3],
    [3],
    [2, 3],
  ],
  ["einsum of attention scores", (a, b) => F.einsum("bhqd,bhkd->bhqk", a, b), [1, 2, 2, 2], [1, 2, 2, 2]],
  ["einsum of three", (a, b, c) => F.einsum("ij,jk,kl->il", a, b, c), [2, 2], [2, 2], [2, 2]],
  ["einsum of a trace", (a) => F.einsum("ii->", a), [3, 3]],
  ["einsum with ...", (a, b) => F.einsum("...ij,jk->...ik", a, b), [2, 2, 2], [2, 2]],
];

const normal: Case[] = [
  ["softmax", (x) => F.softmax(x), [2, 3]],
  ["softmax along the first axis", (x) => F.softmax(x, 0), [3, 2]],
  ["softmax of one number", (x) => F.softmax(x), []],
  ["logSoftmax", (x) => F.logSoftmax(x), [2, 3]],
  ["logSoftmax along a middle axis", (x) => F.logSoftmax(x, 1), [2, 2, 2]],
  ["layerNorm", (x, w, b) => F.layerNorm(x, 3, w, b), [2, 3], [3], [3]],
  ["layerNorm without weights", (x) => F.layerNorm(x, 3), [2, 3]],
  ["layerNorm over two axes", (x, w) => F.layerNorm(x, [2, 2], w), [2, 2, 2], [2, 2]],
  ["layerNorm with a bias alone", (x, b) => F.layerNorm(x, 2, null, b), [2, 2], [2]],
  ["rmsNorm", (x, w) => F.rmsNorm(x, 3, w, 1e-3), [2, 3], [3]],
  ["attention", (q, k, v) => F.scaledDotProductAttention(q, k, v), [1, 2, 2, 2], [1, 2, 3, 2], [1, 2, 3, 2]],
  [
    "attention, causal, with earlier keys",
    (q, k, v) => F.scaledDotProductAttention(q, k, v, { isCausal: true }),
    [1, 1, 2, 2],
    [1, 1, 3, 2],
    [1, 1, 3, 2],
  ],
  [
    "attention with shared heads and a scale",
    (q, k, v) => F.scaledDotProductAttention(q, k, v, { scale: 0.7 }),
    [1, 2, 2, 2],
    [1, 1, 2, 2],
    [1, 1, 2, 2],
  ],
  [
    "attention with a mask that is added",
    (q, k, v, mask) => F.scaledDotProductAttention(q, k, v, { attnMask: mask }),
    [1, 1, 2, 2],
    [1, 1, 2, 2],
    [1, 1, 2, 2],
    [2, 2],
  ],
  [
    "attention with a mask of truth values",
    (q, k, v) => F.scaledDotProductAttention(q, k, v, { attnMask: bool([[1, 0], [1, 1]]) }),
    [1, 1, 2, 2],
    [1, 1, 2, 2],
    [1, 1, 2, 2],
  ],
];

const convolutions: Case[] = [
  ["conv1d", (x, w, b) => F.conv1d(x, w, b, { stride: 2, padding: 1 }), [1, 2, 4], [2, 2, 2], [2]],
  ["conv1d with groups and dilation", (x, w) => F.conv1d(x, w, null, { groups: 2, dilation: 2 }), [1, 2, 4], [
    2,
    1,
    2,
  ]],
  ["conv2d", (x, w, b) => F.conv2d(x, w, b, { padding: [0, 1] }), [1, 1, 3, 2], [2, 1, 2, 2], [2]],
  ["conv3d", (x, w, b) => F.conv3d(x, w, b, { padding: [1, 0, 0] }), [1, 1, 2, 2, 3], [2, 1, 2, 2, 2], [2]],
  ["convTranspose1d", (x, w, b) => F.convTranspose1d(x, w, b, { stride: 2, padding: 1, outputPadding: 1 }), [
    1,
    2,
    3,
  ], [
    2,
    1,
    3,
  ], [1]],
  ["convTranspose2d with groups", (x, w) => F.convTranspose2d(x, w, null, { groups: 2, dilation: [1, 2] }), [
    1,
    2,
    2,
    2,
  ], [2, 1, 2, 2]],
  ["convTranspose3d", (x, w) => F.convTranspose3d(x, w, null, { stride: 2 }), [1, 1, 1, 2, 2], [
    1,
    1,
    2,
    1,
    2,
  ]],
  ["batchNorm", (x, w, b) => F.batchNorm(x, null, null, w, b, { training: true }), [3, 2, 2], [2], [2]],
  ["instanceNorm", (x, w, b) => F.instanceNorm(x, w, b), [2, 2, 3], [2], [2]],
  ["groupNorm", (x, w, b) => F.groupNorm(x, 2, w, b), [2, 4, 2], [4], [4]],
  ["atan", (x) => F.atan(x), [2, 3]],
  ["asin", (x) => F.asin(F.mul(F.tanh(x), 0.9)), [2, 3]],
  ["acos", (x) => F.acos(F.mul(F.tanh(x), 0.9)), [2, 3]],
  ["asinh", (x) => F.asinh(x), [2, 3]],
  ["acosh", (x) => F.acosh(F.add(F.square(x), 1.5)), [2, 3]],
  ["atanh", (x) => F.atanh(F.mul(F.tanh(x), 0.9)), [2, 3]],
  ["maxPool2d", (x) => F.maxPool2d(x, 2, { stride: 1, padding: 1 }), [1, 1, 3, 3]],
  ["avgPool2d", (x) => F.avgPool2d(x, [2, 1], { stride: 1 }), [1, 1, 3, 2]],
  ["maxPool1d", (x) => F.maxPool1d(x, 2, { dilation: 2, stride: 1 }), [1, 2, 5]],
  ["maxPool3d", (x) => F.maxPool3d(x, 2), [1, 1, 2, 4, 2]],
  ["avgPool1d", (x) => F.avgPool1d(x, 3, { padding: 1 }), [1, 2, 5]],
  ["avgPool3d", (x) => F.avgPool3d(x, [1, 2, 2], { stride: 1 }), [1, 1, 2, 3, 2]],
  ["lpPool2d", (x) => F.lpPool2d(F.square(x), 3, 2, { stride: 1 }), [1, 1, 3, 2]],
  ["adaptiveAvgPool2d", (x) => F.adaptiveAvgPool2d(x, [2, 3]), [1, 1, 4, 4]],
  ["adaptiveMaxPool2d", (x) => F.adaptiveMaxPool2d(x, [2, null]), [1, 1, 3, 2]],
  ["interpolate, nearest", (x) => F.interpolate(x, { size: [3, 1] }), [1, 1, 2, 2]],
  ["interpolate, bicubic", (x) => F.interpolate(x, { size: [3, 2], mode: "bicubic" }), [1, 1, 2, 3]],
  ["interpolate, smoothed", (x) => F.interpolate(x, { size: 2, mode: "bilinear", antialias: true }), [
    1,
    1,
    5,
    4,
  ]],
  [
    "avgPool2d over the edge",
    (x) => F.avgPool2d(x, 2, { ceilMode: true, padding: 1, countIncludePad: false }),
    [1, 1, 3, 3],
  ],
];

const classes = i32([2, 0, -100, 1]);
const losses: Case[] = [
  ["mseLoss", (x, y) => F.mseLoss(x, y), [2, 2], [2, 2]],
  ["mseLoss, none", (x, y) => F.mseLoss(x, y, { reduction: "none" }), [2, 2], [2]],
  ["l1Loss", (x, y) => F.l1Loss(x, y, { reduction: "sum" }), [2, 2], [2, 2]],
  ["huberLoss", (x, y) => F.huberLoss(x, y, { delta: 0.7 }), [2, 3], [2, 3]],
  ["bceWithLogits", (x, y) => F.bceWithLogits(x, y), [2, 2], [2, 2]],
  [
    "bceWithLogits with weights",
    (x) => F.bceWithLogits(x, f64([0, 1, 0.3]), { weight: f64([1, 2, 3]), posWeight: f64([2, 0.5, 3]) }),
    [2, 3],
  ],
  ["nllLoss", (x) => F.nllLoss(x, classes, { weight: f64([1, 2, 3]) }), [4, 3]],
  ["crossEntropy", (x) => F.crossEntropy(x, classes), [4, 3]],
  ["crossEntropy, none", (x) => F.crossEntropy(x, classes, { reduction: "none" }), [4, 3]],
  [
    "crossEntropy with weights and smoothing",
    (x) => F.crossEntropy(x, classes, { weight: f64([1, 2, 3]), labelSmoothing: 0.2 }),
    [4, 3],
  ],
  ["crossEntropy with a z-loss", (x) => F.crossEntropy(x, classes, { zLoss: 0.3 }), [4, 3]],
  [
    "crossEntropy with weights, smoothing and a z-loss",
    (x) => F.crossEntropy(x, classes, { weight: f64([1, 2, 3]), labelSmoothing: 0.2, zLoss: 0.3 }),
    [4, 3],
  ],
  ["crossEntropy over positions", (x) => F.crossEntropy(x, i32([[0, 2], [1, 1]])), [2, 3, 2]],
  ["crossEntropy of one row", (x) => F.crossEntropy(x, tensor(1, { ...place, dtype: "i32" })), [3]],
];

const picking: Case[] = [
  ["gather", (x) => F.gather(x, 1, i32([[0, 0, -1], [1, 2, 2]])), [2, 3]],
  ["gather from a part", (x) => F.gather(x, 0, i32([[1, 0], [1, 1], [0, 0]])), [2, 3]],
  ["scatter", (x, s) => F.scatter(x, 1, i32([[0, 2], [1, 0]]), s), [2, 3], [2, 2]],
  ["scatter of a larger source", (x, s) => F.scatter(x, 1, i32([[0], [1]]), s), [2, 3], [3, 2]],
  ["scatter of a number", (x) => F.scatter(x, 0, i32([[0, 1, 1]]), 0.4), [2, 3]],
  ["scatterAdd", (x, s) => F.scatterAdd(x, 1, i32([[0, 0], [1, 0]]), s), [2, 3], [2, 2]],
  ["indexSelect", (x) => F.indexSelect(x, 1, i32([2, 0, 2])), [2, 3]],
  ["embedding", (w) => F.embedding(i32([[0, 2], [2, 1]]), w), [3, 2]],
  ["maskedFill", (x) => F.maskedFill(x, bool([1, 0, 1]), 0.3), [2, 3]],
  ["where", (x, y) => F.where(bool([[1], [0]]), x, y), [2, 3], [3]],
  ["tril", (x) => F.tril(x), [2, 3]],
  ["triu", (x) => F.triu(x, 1), [2, 3, 3]],
  ["sort", (x) => F.sort(x, 0, { descending: true }).values, [3, 2]],
  ["sort along the last axis", (x) => F.sort(x).values, [2, 3]],
  ["topk", (x) => F.topk(x, 2).values, [2, 3]],
  ["topk along the first axis, smallest", (x) => F.topk(x, 2, 0, { largest: false }).values, [3, 2]],
];

const groups = { views, joins, reductions, products, normal, convolutions, losses, picking };

for (const [group, cases] of Object.entries(groups)) {
  describe(`derivatives: ${group}`, () => {
    for (const [name, f, ...shapes] of cases) {
      it(name, () => checkTwice(f, shapes.map((shape, i) => uneven(shape, -2, 2, i + 1))));
    }
  });
}

describe("derivatives at special places", () => {
  const zeros = (...values: number[]): Tensor => f64(values);
  it("prod with one zero", () => checkTwice((x) => F.prod(x), [zeros(0, 2, 3)]));
  it("prod with two zeros", () => checkTwice((x) => F.prod(x), [zeros(0, 2, 0)]));
  it("prod along an axis with zeros here and there", () =>
    checkTwice((x) => F.prod(F.reshape(x, [2, 3]), 1), [zeros(0, 2, 3, 1.5, 0.5, 2)]));
  it("softmax of large numbers", () => checkTwice((x) => F.softmax(F.add(x, 1000)), [zeros(0.1, 0.7, -0.3)]));
  it("bceWithLogits at 0", () => checkTwice((x) => F.bceWithLogits(x, f64([0, 1, 0.3])), [zeros(0, 0, 0)]));
  it("logsumexp of large numbers", () =>
    checkTwice((x) => F.logsumexp(F.sub(x, 1000)), [zeros(0.1, 0.7, -0.3)]));
});
