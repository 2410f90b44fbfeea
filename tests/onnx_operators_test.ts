/**
 * Operators that ONNX's own tests of that age do not have: against sums in plain numbers, ONNX Runtime where it is installed,
 * and finite differences.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ones, Onnx, randn, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { type Attribute, GraphBuilder } from "../src/onnx/export/builder.ts";
import { Symbols } from "../src/onnx/export/sizes.ts";
import type { TensorMessage } from "../src/onnx/messages.ts";
import { modelBytes } from "../src/onnx/model_writer.ts";
import { bytesOfCase, cases, isDrawn } from "./_onnx_cases.ts";
import { type OnnxRuntime, type OnnxTensor, rival } from "./_rivals.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const judge = rival<OnnxRuntime>("onnxruntime-node");
const runtime = "program" in judge && "Deno" in globalThis ? judge.program : null;

/** A model of one operator on x and lists of whole numbers. */
async function bytesOf(
  operator: string,
  opset: number,
  shape: readonly number[],
  lists: readonly (readonly number[])[],
  attributes: Record<string, Attribute> = {},
): Promise<Uint8Array> {
  const symbols = new Symbols([]),
    graph = new GraphBuilder(symbols, opset),
    contents = new Map<TensorMessage, Uint8Array>();
  graph.input("x", "f32", shape.map((n) => symbols.fixed(n)));
  const y = graph.node(operator, ["x", ...lists.map((list) => graph.longs(list))], attributes);
  graph.output("y", y, "f32", []);
  const model = graph.model("test", "test", "", new Map());
  model.graph.outputs[0].type.shape = null;
  for (const t of model.graph.initializers) contents.set(t, await graph.sources.get(t)!());
  return modelBytes(model, (t) => contents.get(t)!);
}

/** Runs it here and there, and gives what it gives. */
async function run(bytes: Uint8Array, x: Tensor): Promise<Tensor> {
  using model = await Onnx.load(bytes);
  const y = (await model.run({ x })).y as Tensor, data = await y.data();
  if (runtime) {
    const session = await runtime.InferenceSession.create(bytes);
    const theirs = await session.run({
      x: new runtime.Tensor("float32", await x.data() as Float32Array, [...x.shape]),
    });
    assertEquals([...theirs.y.dims], [...y.shape]);
    data.forEach((v, i) =>
      assert(Math.abs(Number(v) - theirs.y.data[i]) < 1e-4, `${v}, not ${theirs.y.data[i]} at ${i}`)
    );
    await session.release();
  }
  return y;
}

async function near(y: Tensor, want: ArrayLike<number>): Promise<void> {
  const got = await y.data();
  assertEquals(got.length, want.length);
  for (let i = 0; i < want.length; i++) {
    assert(Math.abs(Number(got[i]) - want[i]) < 1e-4, `${got[i]}, not ${want[i]} at ${i}`);
  }
}

/** A model's gradient by finite differences. */
async function differences(bytes: Uint8Array, x: Tensor): Promise<void> {
  using model = await Onnx.load(bytes, { device: "reference" });
  const wide = x.to({ device: "reference" }), given = wide.detach();
  const leaf = tensor(await given.data(), { shape: [...x.shape], device: "reference", requiresGrad: true });
  const y = (await model.run({ x: leaf })).y as Tensor;
  const weights = randn([...y.shape], { seed: 4, device: "reference" });
  y.mul(weights).sum().backward();
  const slope = await leaf.grad!.data();
  const at = async (list: Float32Array): Promise<number> => {
    const own = (await model.run({ x: tensor(list, { shape: [...x.shape], device: "reference" }) }))
      .y as Tensor;
    return Number(await own.mul(weights).sum().item());
  };
  const values = await x.data() as Float32Array, step = 1e-2;
  for (let i = 0; i < values.length; i += Math.max(1, Math.floor(values.length / 12))) {
    const [up, down] = [step, -step].map((by) => values.map((v, j) => i === j ? v + by : v));
    const wanted = (await at(up) - await at(down)) / (2 * step);
    assert(
      Math.abs(wanted - Number(slope[i])) < 2e-2 + 1e-2 * Math.abs(wanted),
      `${slope[i]}, not ${wanted} at ${i}`,
    );
  }
}

describe("operators of ONNX Runtime's own", {
  skip: "skip" in judge ? judge.skip : !runtime && "once, on Deno",
}, () => {
  for (const [name, list] of Object.entries(cases).filter(([name]) => name.startsWith("com.microsoft"))) {
    it(`${name} gives what it gives`, async () => {
      for (const [k, one] of list.entries()) {
        const bytes = bytesOfCase(one, "float"), random = new Generator(31 + k);
        using model = await Onnx.load(bytes);
        const session = await runtime!.InferenceSession.create(bytes);
        const ours: Record<string, Tensor> = {}, theirs: Record<string, OnnxTensor> = {};
        one.inputs.forEach((input, i) => {
          if (!isDrawn(input)) return;
          const { shape, low, high } = input, count = shape.reduce((a, b) => a * b, 1);
          const data = Float32Array.from({ length: count }, () => low + random.uniform() * (high - low));
          ours[`x${i}`] = tensor(data, { shape });
          theirs[`x${i}`] = new runtime!.Tensor("float32", data, [...shape]);
        });
        const [got, want] = [await model.run(ours), await session.run(theirs)];
        // Behind the end of a shorter text its cache holds whatever was there.
        const isUneven = one.inputs.some((input) =>
          input && !isDrawn(input) && new Set(input.values).size > 1
        );
        for (const { name } of isUneven ? model.outputs.slice(0, 1) : model.outputs) {
          const y = got[name] as Tensor;
          assertEquals([...y.shape], [...want[name].dims], name);
          await near(y, want[name].data);
        }
        await session.release();
      }
    });
  }
});

describe("operators of later opsets", () => {
  it("Col2Im adds up what lies in the same place", async () => {
    const random = new Generator(21);
    for (let i = 0; i < width(8, 3); i++) {
      const rank = i % 4 === 3 ? 1 : i % 4 === 2 ? 3 : 2,
        pick = (least: number, most: number) => random.integer(least, most + 1);
      const list = (least: number, most: number): number[] =>
        Array.from({ length: rank }, () => pick(least, most));
      const image = list(4, 6), block = list(1, 3), strides = list(1, 2), dilations = list(1, 2);
      const pads = [...list(0, 2), ...list(0, 2)], batch = pick(1, 2), channels = pick(1, 3);
      const counts = image.map((n, k) =>
        Math.floor((n + pads[k] + pads[rank + k] - dilations[k] * (block[k] - 1) - 1) / strides[k]) + 1
      );
      if (counts.some((n) => n < 1)) continue;
      const size = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
      const shape = [batch, channels * size(block), size(counts)], x = randn(shape, { seed: i });
      const digits = (n: number, sizes: readonly number[]): number[] =>
        sizes.map((_, k) => Math.floor(n / size(sizes.slice(k + 1))) % sizes[k]);
      const data = await x.data(), want = new Float64Array(batch * channels * size(image));
      data.forEach((value, at) => {
        const [b, row, place] = digits(at, shape), channel = Math.floor(row / size(block));
        const cell = digits(row % size(block), block), start = digits(place, counts);
        const spot = cell.map((n, k) => n * dilations[k] + start[k] * strides[k] - pads[k]);
        if (spot.some((n, k) => n < 0 || n >= image[k])) return;
        want[(b * channels + channel) * size(image) + spot.reduce((sum, n, k) => sum * image[k] + n, 0)] +=
          Number(value);
      });
      const bytes = await bytesOf("Col2Im", 18, shape, [image, block], {
        strides: strides.map(BigInt),
        dilations: dilations.map(BigInt),
        pads: pads.map(BigInt),
      });
      const y = await run(bytes, x);
      assertEquals([...y.shape], [batch, channels, ...image]);
      await near(y, want);
      if (i < 2) await differences(bytes, x);
    }
  });

  it("AffineGrid takes places where a map says", async () => {
    for (const sizes of [[3, 2], [1, 4], [2, 3, 4]]) {
      for (const aligned of [0, 1]) {
        if (aligned && sizes.includes(1)) continue;
        const axes = sizes.length, shape = [2, axes, axes + 1], x = randn(shape, { seed: 3 });
        const bytes = await bytesOf("AffineGrid", 20, shape, [[2, 5, ...sizes]], {
          align_corners: BigInt(aligned),
        });
        const theta = await x.data(),
          y = await run(bytes, x),
          count = sizes.reduce((a, b) => a * b),
          want: number[] = [];
        for (let b = 0; b < 2; b++) {
          for (let p = 0; p < count; p++) {
            let rest = p;
            const spot = sizes.toReversed().map((n) => {
              const k = rest % n;
              rest = Math.floor(rest / n);
              return aligned ? 2 * k / (n - 1) - 1 : (2 * k + 1) / n - 1;
            });
            for (let row = 0; row < axes; row++) {
              const own = [...spot, 1].map((v, k) => v * Number(theta[(b * axes + row) * (axes + 1) + k]));
              want.push(own.reduce((s, v) => s + v));
            }
          }
        }
        assertEquals([...y.shape], [2, ...sizes, axes]);
        await near(y, want);
        await differences(bytes, x);
      }
    }
  });

  it("GlobalLpPool is a norm over places", async () => {
    for (const p of [1, 2, 3]) {
      const x = randn([2, 3, 4, 5], { seed: p }),
        bytes = await bytesOf("GlobalLpPool", 18, x.shape, [], { p: BigInt(p) });
      const data = await x.data(), y = await run(bytes, x);
      await near(
        y,
        Array.from(
          { length: 6 },
          (_, i) =>
            Array.from(data.slice(20 * i, 20 * i + 20) as Float32Array, (v) => Math.abs(v) ** p).reduce((
              a,
              b,
            ) => a + b) ** (1 / p),
        ),
      );
      await differences(bytes, x);
    }
  });

  it("lists that do not fit are refused", async () => {
    const refuse = async (
      operator: string,
      opset: number,
      shape: number[],
      lists: number[][],
      message: string,
    ) => {
      using model = await Onnx.load(await bytesOf(operator, opset, shape, lists));
      await assertRejects(() => model.run({ x: ones(shape) }), Error, message);
    };
    await refuse("Col2Im", 18, [1, 4, 9], [[4, 4], [2]], "not one for each of 2 axes");
    await refuse("Col2Im", 18, [1, 4, 8], [[4, 4], [2, 2]], "a multiple of 4, 9");
    await refuse("Col2Im", 18, [1, 4, 9], [[100_000, 100_000], [2, 2]], "an image of");
    await refuse("AffineGrid", 20, [1, 2, 2], [[1, 1, 2, 2]], "expected [1, 2, 3]");
  });
});
