/**
 * Functions and modules written as ONNX: run here, and by ONNX Runtime where it is installed, for sizes other than those they
 * were traced with.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ft from "../mod.ts";
import { nn, Onnx, OptionError, type Tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { type OnnxRuntime, type OnnxTensor, rival } from "./_rivals.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

/** One of the inputs of a case: sizes that are texts differ from run to run; integers below `below`. */
interface Given {
  readonly shape: readonly (number | string)[];
  readonly dtype?: "f32" | "i32" | "bool" | "i64";
  readonly below?: number;
  /** All above 0. */
  readonly positive?: true;
}

type Case = readonly [name: string, inputs: readonly Given[], f: (...t: Tensor[]) => unknown];

const x: Given = { shape: ["a", "b", 4] }, m: Given = { shape: ["a", 6] }, all: Given = { shape: [3, 4] };
const unary = (name: string, f: (t: Tensor) => Tensor, given: Given = m): Case => [name, [given], f];

const cases: readonly Case[] = [
  ...Object.entries({
    exp: ft.exp,
    expm1: ft.expm1,
    tanh: ft.tanh,
    sigmoid: ft.sigmoid,
    gelu: ft.gelu,
    silu: ft.silu,
    erf: ft.erf,
    round: ft.round,
    trunc: ft.trunc,
    sign: ft.sign,
    abs: ft.abs,
    sin: ft.sin,
    relu: ft.relu,
    isnan: ft.isnan,
  }).map(([name, f]) => unary(name, f as (t: Tensor) => Tensor)),
  ...Object.entries({ log: ft.log, log1p: ft.log1p, sqrt: ft.sqrt, rsqrt: ft.rsqrt }).map(([name, f]) =>
    unary(name, f as (t: Tensor) => Tensor, { ...m, positive: true })
  ),
  [
    "arithmetic with broadcasting",
    [x, { shape: ["b", 1] }, { shape: [4] }],
    (a, b, c) => a.mul(b).add(c).div(3),
  ],
  ["a number of the inputs' sizes", [x], (t) => t.sum().div(t.size)],
  ["integers", [{ shape: ["a", 3], dtype: "i32", below: 9 }], (t) => t.mul(3).sub(7).maximum(-2)],
  ["remainders", [{ shape: ["a", 3], dtype: "i32", below: 9 }], (t) => ft.remainder(t.sub(4), 3)],
  ["truth", [m, m], (a, b) => ft.logicalXor(a.gt(b), ft.logicalOr(a.lt(0), b.ge(0.5)))],
  ["where", [m, m], (a, b) => ft.where(a.gt(b), a, b.neg())],
  ["clamp", [m], (t) => t.clamp(-0.3, 0.4)],
  ["casts", [m], (t) => t.mul(5).to({ dtype: "i32" }).to({ dtype: "f32" }).add(0.5)],
  ["a sum", [x], (t) => t.sum(1)],
  ["a sum of all", [x], (t) => t.sum()],
  ["a mean over what differs", [x], (t) => t.mean([0, 1], true)],
  ["max and min", [x], (t) => [t.max(-1), t.min(0)]],
  ["a product", [{ shape: [2, 3] }], (t) => t.prod(1)],
  ["argmax", [x], (t) => t.argmax(1)],
  ["variance", [x], (t) => t.var(-1)],
  [
    "rotary positions",
    [{ shape: ["a", 3, "b", 6] }, { shape: ["b", 2] }, { shape: ["a", 1, "b", 3] }],
    (t, c, d) => [
      nn.applyRotary(t, { cos: c, sin: c.mul(0.5) }),
      nn.applyRotary(t, { cos: d, sin: d.neg() }),
    ],
  ],
  ["softmax along the middle", [x], (t) => t.softmax(1)],
  ["logSoftmax", [x], (t) => t.logSoftmax(-1)],
  ["layerNorm", [x], (t) => ft.layerNorm(t, [4])],
  ["rmsNorm", [x, { shape: [4] }], (t, w) => ft.rmsNorm(t, [4], w)],
  ["matmul", [x, { shape: [4, 5] }], (t, w) => t.matmul(w)],
  ["matmul of batches", [x, { shape: ["a", 4, 3] }], (t, w) => t.matmul(w)],
  ["matmul of what differs", [x, { shape: ["a", "b", 2] }], (t, u) => t.transpose(1, 2).matmul(u)],
  ["einsum", [x, { shape: [4, "c"] }], (t, u) => ft.einsum("abd,dc->acb", t, u)],
  ["reshape and permute", [x], (t) => t.reshape(t.shape[0], t.shape[1], 2, 2).permute(2, 0, 3, 1)],
  ["flatten", [x], (t) => t.reshape(t.shape[0], -1)],
  ["flatten what differs", [x], (t) => t.reshape(-1, 4).add(1)],
  ["transposed and flattened", [x], (t) => t.transpose(0, 1).reshape(-1).mul(2)],
  ["slices", [x], (t) => t.slice(null, [1, null], [1, 3])],
  ["the last", [x], (t) => t.slice(null, [-1, null])],
  ["every other", [{ shape: ["a", 6] }], (t) => t.slice(null, [0, null, 2])],
  ["backwards", [x], (t) => ft.flip(t, [2]).add(0)],
  ["one of an axis", [x], (t) => ft.select(t, 1, 0)],
  ["expand", [{ shape: ["a", 1] }, m], (t, u) => ft.concat([t.expand(t.shape[0], 2), u], 1)],
  ["concat along what differs", [x, { shape: ["a", "c", 4] }], (a, b) => ft.concat([a, b], 1)],
  ["concat in front", [x, { shape: ["c", "b", 4] }], (a, b) => ft.concat([a, b, a], 0)],
  ["concat of one and one", [{ shape: ["a", 1] }, { shape: ["a", 1] }], (a, b) => ft.concat([a, b], 1)],
  ["stack", [m, m], (a, b) => ft.stack([a, b], 1)],
  ["repeat", [m], (t) => ft.repeat(t, [2, 3])],
  ["pad", [m], (t) => ft.pad(t, [1, 2], { value: 0.5 })],
  ["pad by mirrors", [m], (t) => ft.pad(t, [2, 1], { mode: "reflect" })],
  ["gather", [x, { shape: ["a", "b", 2], dtype: "i32", below: 4 }], (t, i) => ft.gather(t, 2, i)],
  ["indexSelect", [x, { shape: [5], dtype: "i32", below: 4 }], (t, i) => ft.indexSelect(t, 2, i)],
  [
    "embedding",
    [{ shape: [7, 3] }, { shape: ["a", "b"], dtype: "i32", below: 7 }],
    (w, i) => ft.embedding(i, w),
  ],
  ["scatterAdd", [m, { shape: ["a", 6], dtype: "i32", below: 6 }, m], (t, i, s) => ft.scatterAdd(t, 1, i, s)],
  ["cumsum", [x], (t) => t.cumsum(1)],
  ["sort", [m], (t) => {
    const { values, indices } = ft.sort(t);
    return { values, indices };
  }],
  ["topk", [m], (t) => ft.topk(t, 2).values],
  ["tril", [{ shape: ["a", 4, 4] }], (t) => ft.tril(t)],
  ["arange of a size", [x], (t) => t.sum(-1).add(ft.arange(t.shape[1], { dtype: "f32" }))],
  [
    "arange from a size",
    [x],
    (t) => t.sum([0, 2]).add(ft.arange(t.shape[1], 2 * t.shape[1], { dtype: "f32" })),
  ],
  [
    "attention",
    [{ shape: ["a", 2, "b", 4] }, { shape: ["a", 2, "c", 4] }],
    (q, k) => ft.scaledDotProductAttention(q, k, k),
  ],
  [
    "causal attention in groups",
    [{ shape: ["a", 4, "b", 4] }, { shape: ["a", 2, "b", 4] }],
    (q, k) => ft.scaledDotProductAttention(q, k, k.mul(0.5), { isCausal: true, softcap: 2 }),
  ],
  [
    "attention past a mask",
    [{ shape: ["a", 2, "b", 4] }, { shape: ["a", 2, "b", "b"] }],
    (q, m) =>
      ft.scaledDotProductAttention(q, q, q, { attnMask: ft.logicalOr(m.gt(0), ft.eye(m.shape[2]).gt(0)) }),
  ],
  ["conv1d", [{ shape: ["a", 3, 9] }, { shape: [4, 3, 3] }], (t, w) => ft.conv1d(t, w, null, { padding: 1 })],
  [
    "conv2d",
    [{ shape: ["a", 2, 5, 6] }, { shape: [3, 2, 3, 2] }],
    (t, w) => ft.conv2d(t, w, null, { stride: 2 }),
  ],
  [
    "convTranspose2d",
    [{ shape: ["a", 2, 3, 4] }, { shape: [2, 3, 2, 2] }],
    (t, w) => ft.convTranspose2d(t, w, null, { stride: 2 }),
  ],
  ["maxPool2d", [{ shape: ["a", 2, 6, 6] }], (t) => ft.maxPool2d(t, 2)],
  ["avgPool2d", [{ shape: ["a", 2, 6, 6] }], (t) => ft.avgPool2d(t, 3, { stride: 1, padding: 1 })],
  [
    "batchNorm",
    [{ shape: ["a", 2, 3, 3] }, { shape: [2] }, { shape: [2], positive: true }],
    (t, mean, variance) => ft.batchNorm(t, mean, variance, null, null),
  ],
  [
    "crossEntropy",
    [{ shape: ["a", 5] }, { shape: ["a"], dtype: "i32", below: 5 }],
    (t, y) => ft.crossEntropy(t, y),
  ],
  ["a compiled function", [m], ft.compile((t: Tensor) => t.mul(2).tanh().sum(1)) as (t: Tensor) => Tensor],
  ["what it was given", [all], (t) => ({ same: t, twice: t.add(t) })],
];

/** Whether the test's own numbers are near those of a run. */
function assertNear(got: ArrayLike<number | bigint>, want: ArrayLike<number | bigint>, what: string): void {
  assertStrictEquals(got.length, want.length, what);
  for (let i = 0; i < want.length; i++) {
    const a = Number(got[i]), b = Number(want[i]);
    const isNear = Object.is(a, b) || Math.abs(a - b) <= 1e-4 + 1e-4 * Math.abs(b);
    assert(isNear, `${what}: ${a} instead of ${b} at ${i}`);
  }
}

/** Tensors of a tree in order, with names as outputs have them. */
function leaves(tree: unknown, path = ""): [string, Tensor][] {
  if (tree instanceof ft.Tensor) {
    return [[path === "" ? "output" : /^\d/.test(path) ? `output_${path}` : path, tree]];
  }
  return Object.entries(tree as object).flatMap(([name, item]) =>
    leaves(item, path === "" ? name : `${path}.${name}`)
  );
}

const judge = rival<OnnxRuntime>("onnxruntime-node");
const runtime = "program" in judge && "Deno" in globalThis ? judge.program : null;
const types = { f32: "float32", i32: "int32", i64: "int64", bool: "bool" } as const;

/** Runs a file of bytes by ONNX Runtime. */
async function theirs(
  bytes: Uint8Array,
  inputs: Record<string, Tensor>,
): Promise<Record<string, OnnxTensor>> {
  const session = await runtime!.InferenceSession.create(bytes), given: Record<string, OnnxTensor> = {};
  for (const [name, t] of Object.entries(inputs)) {
    given[name] = new runtime!.Tensor(types[t.dtype as "f32"], await t.data() as Float32Array, [...t.shape]);
  }
  try {
    return await session.run(given);
  } finally {
    await session.release();
  }
}

function draw(
  random: Generator,
  { shape, dtype = "f32", below = 2, positive }: Given,
  sizes: Map<string, number>,
): Tensor {
  const own = shape.map((n) => typeof n === "number" ? n : sizes.get(n)!);
  const count = own.reduce((a, b) => a * b, 1);
  const list = Array.from(
    { length: count },
    () =>
      dtype === "f32"
        ? random.uniform() * (positive ? 1 : 2) - (positive ? -0.1 : 1)
        : Math.floor(random.uniform() * below),
  );
  return ft.tensor(list, { shape: own, dtype });
}

describe("functions as ONNX", () => {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-"));
  const list = width(cases, cases.filter((_, i) => i % 6 === 0));
  for (const [name, given, f] of list) {
    for (const opsetVersion of /attention|rmsNorm|rotary/.test(name) ? [18, 23] : [18]) {
      it(`${name}, opset ${opsetVersion}`, async () => {
        const random = new Generator(11), path = join(folder, "f.onnx");
        const names = [...new Set(given.flatMap(({ shape }) => shape.filter((n) => typeof n === "string")))];
        const inputNames = given.map((_, i) => `x${i}`);
        const first = new Map(names.map((n, i) => [n, 2 + i]));
        const dynamicAxes = Object.fromEntries(given.map(({ shape }, i) => [
          `x${i}`,
          Object.fromEntries(shape.flatMap((n, axis) => typeof n === "string" ? [[axis, n]] : [])),
        ]));
        await ft.exportOnnx(f, path, {
          args: given.map((one) => draw(random, one, first)),
          inputNames,
          dynamicAxes,
          opsetVersion,
        });
        const bytes = readFileSync(path);
        using model = await Onnx.load(bytes);
        for (const base of names.length ? [1, 4] : [3]) {
          const sizes = new Map(names.map((n, i) => [n, base + i]));
          const inputs = Object.fromEntries(given.map((one, i) => [`x${i}`, draw(random, one, sizes)]));
          const want = leaves(f(...Object.values(inputs))), got = await model.run(inputs);
          assertEquals(model.outputs.map((output) => output.name), want.map(([name]) => name));
          const others = runtime && base > 1 ? await theirs(bytes, inputs) : null;
          for (const [output, t] of want) {
            const own = got[output] as Tensor, data = await t.data();
            assertEquals([...own.shape], [...t.shape], `${output} at ${base}`);
            assertStrictEquals(own.dtype, t.dtype);
            assertNear(await own.data(), data, `${output} at ${base}`);
            if (!others) continue;
            assertEquals([...others[output].dims], [...t.shape], `ONNX Runtime, ${output} at ${base}`);
            assertNear(others[output].data, data, `ONNX Runtime, ${output} at ${base}`);
          }
        }
      });
    }
  }

  it("a module: its parameters by their names, as in eval(), and in training again afterwards", async () => {
    const net = new nn.Sequential(
      new nn.Linear(3, 5),
      new nn.GELU(),
      new nn.Dropout(0.5),
      new nn.Linear(5, 2),
    );
    const path = join(folder, "net.onnx"), input = ft.randn([4, 3], { seed: 3 });
    await ft.exportOnnx(net, path, {
      args: [ft.zeros([2, 3])],
      dynamicAxes: { input: [0] },
      outputNames: ["scores"],
    });
    assert(net.training);
    using model = await Onnx.load(path);
    assertEquals(model.inputs, [{ name: "input", type: "float", shape: ["input_0", 3] }]);
    assertEquals([...model.parameters().keys()].filter((name) => !name.startsWith("constant")).sort(), [
      "0.bias",
      "0.weight",
      "3.bias",
      "3.weight",
    ]);
    net.eval();
    const { scores } = await model.run({ input });
    assertNear(await (scores as Tensor).data(), await net.forward(input).data(), "scores");
  });

  it("what no graph says is refused in words, and nothing is written", async () => {
    const path = join(folder, "no.onnx"), args = [ft.zeros([2, 3])], dynamicAxes = { input: { 0: "rows" } };
    const held = ft.zeros([3]);
    const refused: [unknown, ft.ExportOnnxOptions, new (...args: never[]) => Error, string][] = [
      [5, {}, OptionError, "expected a language model, a module"],
      [new (class extends nn.Module {})(), { args }, OptionError, "expected a language model, a module"],
      [(t: Tensor) => t, {}, OptionError, "args is missing"],
      [(t: Tensor) => t, { args: [] }, OptionError, "args"],
      [(t: Tensor) => t, { args, numeric: "float" }, OptionError, "numeric has no effect"],
      [(t: Tensor) => t, { args, inputNames: ["a", "b"] }, OptionError, "2 names for 1 args"],
      [
        (t: Tensor) => t,
        { args, outputNames: ["a", "b"] },
        OptionError,
        "2 names, and what is written gives 1",
      ],
      [(t: Tensor) => t, { args, dynamicAxes: { y: { 0: "n" } } }, OptionError, 'dynamicAxes names "y"'],
      [(t: Tensor) => t, { args, dynamicAxes: { input: { 2: "n" } } }, OptionError, "an axis of [2, 3]"],
      [
        (a: Tensor, b: Tensor) => a.add(b),
        { args: [...args, ft.zeros([4, 3])], dynamicAxes: { input_0: { 0: "n" }, input_1: { 0: "n" } } },
        OptionError,
        "is 2 and 4 in args",
      ],
      [
        async (t: Tensor) => await t.item(),
        { args },
        ft.CaptureError,
        "exportOnnx: the function gives a promise",
      ],
      [() => 3, { args }, ft.CaptureError, "gives no tensor"],
      [
        (t: Tensor) => t.shape[0] > 3 ? t.mul(2) : t.sum(0),
        { args, dynamicAxes },
        ft.CaptureError,
        "leave the sizes",
      ],
      [
        (t: Tensor) => t.sum().mul(1 / (t.shape[0] ** 3 + 1)),
        { args, dynamicAxes },
        ft.CaptureError,
        "dynamicAxes",
      ],
      [
        (t: Tensor) => {
          ft.copyInto(t.sum(0), held);
          return held;
        },
        { args },
        ft.CaptureError,
        "changes a tensor",
      ],
      [
        (t: Tensor) => t.add(ft.tensor(t.shape.map((n) => n ** 2)).sum()),
        { args, dynamicAxes },
        ft.CaptureError,
        "dynamicAxes",
      ],
    ];
    for (const [model, options, kind, message] of refused) {
      await assertRejects(() => ft.exportOnnx(model as never, path, options), kind as never, message);
    }
    assert(!existsSync(path));
  });

  it("is removed", () => rmSync(folder, { recursive: true }));
});
