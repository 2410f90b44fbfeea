/**
 * Convolution as one operation: against its definition in doubles and on the reference device, whatever windows there are, with any
 * strides of the output, on any number of threads, and without a write to anybody else's memory.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { after, describe, it } from "node:test";
import {
  compile,
  conv1d,
  conv2d,
  manualSeed,
  noGrad,
  randn,
  relu,
  ShapeError,
  type Tensor,
  tensor,
} from "../mod.ts";
import { createCpuBackend } from "../src/backends/cpu/backend.ts";
import { conv } from "../src/backends/cpu/kernels/conv.ts";
import type { Epilogue } from "../src/backends/contract.ts";
import "../src/backends/kernels/conv.ts";
import { Generator } from "../src/core/random.ts";
import { sizeOf } from "../src/core/shape.ts";
import { binary, input } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { Bench, randomNumbers } from "./_cpu_kernels.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { width } from "./_width.ts";

/** What is convolved. */
interface Windows {
  readonly batch: number;
  readonly groups: number;
  readonly channels: number;
  readonly filters: number;
  readonly size: readonly number[];
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly before: readonly number[];
  readonly out: readonly number[];
}

/** The definition: for each output the sum over a group's channels and the kernel's positions. */
function defined(w: Windows, x: ArrayLike<number>, weight: ArrayLike<number>): Float64Array {
  const { batch, groups, channels, filters, size, kernel, stride, dilation, before, out } = w;
  const axes = size.length, y = new Float64Array(batch * groups * filters * sizeOf(out));
  const at = (i: number, sizes: readonly number[]): number[] =>
    sizes.map((n, axis) => Math.floor(i / sizeOf(sizes.slice(axis + 1))) % n);
  for (let i = 0; i < y.length; i++) {
    const place = at(i % sizeOf(out), out), filter = Math.floor(i / sizeOf(out)) % (groups * filters);
    const n = Math.floor(i / sizeOf(out) / groups / filters), group = Math.floor(filter / filters);
    for (let k = 0; k < sizeOf(kernel); k++) {
      const step = at(k, kernel);
      let index = 0, inside = true;
      for (let axis = 0; axis < axes; axis++) {
        const p = place[axis] * stride[axis] - before[axis] + step[axis] * dilation[axis];
        inside &&= p >= 0 && p < size[axis];
        index = index * size[axis] + p;
      }
      if (!inside) continue;
      for (let c = 0; c < channels; c++) {
        y[i] += x[((n * groups + group) * channels + c) * sizeOf(size) + index] *
          weight[(filter * channels + c) * sizeOf(kernel) + k];
      }
    }
  }
  return y;
}

const pick = (g: Generator, from: number, to: number): number =>
  from + Math.floor(g.uniform() * (to - from + 1));
const oneOf = <T>(g: Generator, list: readonly T[]): T => list[pick(g, 0, list.length - 1)];

/** Windows of any kind, with about `most` operations. */
function randomWindows(g: Generator, most: number): Windows {
  const axes = pick(g, 1, 2),
    ranged = (from: number, to: number) => Array.from({ length: axes }, () => pick(g, from, to));
  const groups = oneOf(g, [1, 1, 2, 3, 6]), channels = oneOf(g, [1, 1, 2, 3, 8, 40]);
  const filters = oneOf(g, [1, 1, 2, 3, 4, 6, 7, 13, 30]), kernel = ranged(1, 5), stride = ranged(1, 4);
  const dilation = ranged(1, 3), before = ranged(-1, 4), batch = pick(g, 1, 3);
  const each = 2 * batch * groups * filters * channels * sizeOf(kernel);
  const room = Math.max(1, Math.floor((most / each) ** (1 / axes))), out = ranged(1, Math.min(70, room));
  // The windows end before, at, or behind the end of the input.
  const size = out.map((n, i) => {
    const reach = (n - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 - before[i];
    return Math.max(1, reach + pick(g, -3, 3));
  });
  return { batch, groups, channels, filters, size, kernel, stride, dilation, before, out };
}

/** What is cut into blocks: many weights, wide rows, many filters, batches, long columns of one channel. */
const large: readonly Windows[] = [
  { channels: 200, filters: 13, size: [7, 9], kernel: [3, 3], out: [7, 9] },
  { channels: 2, filters: 7, size: [3, 700], kernel: [2, 3], out: [2, 698] },
  { channels: 64, filters: 310, size: [9], kernel: [5], out: [9] },
  { groups: 3, channels: 1, filters: 1, size: [90, 300], kernel: [3, 3], out: [90, 300] },
  { groups: 2, channels: 1, filters: 2, size: [300, 9], kernel: [5, 5], out: [300, 9] },
  // Rows that do not fit into a thread's scratch, and weights that are far apart.
  { groups: 2, channels: 1, filters: 1, size: [3, 5000], kernel: [1, 2], dilation: [1, 4000], out: [3, 990] },
  {
    groups: 2,
    channels: 1,
    filters: 1,
    size: [400, 700],
    kernel: [2, 2],
    dilation: [399, 650],
    out: [1, 50],
  },
  { channels: 1, filters: 40, size: [1500], kernel: [256], stride: [64], out: [20] },
  // So much border that batches are taken in parts.
  {
    batch: 3,
    channels: 1,
    filters: 4,
    size: [5, 5],
    kernel: [1, 2],
    stride: [350, 1],
    dilation: [1, 3000],
    before: [350, 0],
    out: [3, 10],
  },
].map((given) => {
  const ones = given.size.map(() => 1), isPlain = !given.dilation && !given.stride;
  const before = given.kernel.map((k) => isPlain ? Math.floor(k / 2) : 0);
  return { batch: 1, groups: 1, stride: ones, dilation: ones, before, ...given };
});

const benches = [new Bench(), new Bench(2), new Bench(1, true), new Bench(2, true)];
await Promise.all(benches.map(({ engine }) => engine.ready()));
after(() => benches.forEach(({ engine }) => engine.dispose()));

/** max(result + bias, 0) · scale + residual. */
const finishing = program("f32", [
  binary("add", binary("max", binary("add", input(0), input(1)), input(3)), input(2)),
], { inputs: 4, scalars: 0 });

describe("the kernel of convolution", () => {
  const tried = (w: Windows, g: Generator, message: string): void => {
    const { batch, groups, channels, filters, size, kernel, out } = w, all = groups * filters;
    const x = randomNumbers(g, batch * groups * channels * sizeOf(size));
    const weight = randomNumbers(g, all * channels * sizeOf(kernel)), bias = randomNumbers(g, all);
    const shape = [batch, all, ...out], residual = randomNumbers(g, sizeOf(shape)), zero = [0];
    const plain = defined(w, x, weight), area = sizeOf(out);
    const finished = plain.map((v, i) => Math.max(v + bias[Math.floor(i / area) % all], 0) + residual[i]);
    const turned = g.uniform() < 0.5 ? shape.map((_, i) => i).reverse() : undefined, gap = pick(g, 0, 1) * 5;
    const bits: (readonly Float32Array[])[] = benches.map((bench) => {
      const given = bench.view([batch, groups * channels, ...size], x);
      const weights = bench.view([all, channels, ...kernel], weight);
      const [own, more] = [bench.view([all], bias), bench.view(shape, residual)],
        none = bench.view([1], zero);
      const repeated = { ...own, shape, strides: shape.map((_, i) => i === 1 ? 1 : 0) };
      const still = { ...none, shape, strides: shape.map(() => 0) };
      const epilogue: Epilogue = { program: finishing, inputs: [repeated, more, still], scalars: [] };
      const results = [undefined, epilogue].map((after) => {
        const y = bench.view(shape, [], turned, gap);
        conv(bench.engine, given, weights, w.stride, w.dilation, w.before, groups, y, after);
        const values = bench.values(y);
        bench.release(y);
        return values;
      });
      for (const view of [given, weights]) bench.values(view);
      bench.release(given, weights, own, more, none);
      return results;
    });
    const depth = channels * sizeOf(kernel), limit = 2e-6 * Math.sqrt(depth) + 1e-6;
    for (const [i, want] of [plain, finished].entries()) {
      for (const found of bits) {
        want.forEach((v, k) =>
          assert(
            Math.abs(found[i][k] - v) <= limit * (1 + Math.abs(v)),
            `${message}: ${found[i][k]}, not ${v}`,
          )
        );
      }
      assertEquals(bits[1][i], bits[0][i], `${message}: two threads give other bits`);
      assertEquals(bits[3][i], bits[2][i], `${message}: two threads give other bits, deterministic`);
    }
  };

  it("computes what the definition says, for windows of any kind", () => {
    const g = new Generator(21);
    for (let i = 0; i < width(70, 15); i++) {
      const w = randomWindows(g, 80_000);
      tried(w, g, JSON.stringify(w));
    }
  });

  it("computes it for what is cut into blocks", () => {
    const g = new Generator(22);
    for (const w of large) tried(w, g, JSON.stringify(w));
  });

  it("writes to its output and nowhere else", () => {
    const backend = createCpuBackend({ guard: true }), g = new Generator(23), { engine } = backend;
    for (let i = 0; i < width(25, 6); i++) {
      const w = randomWindows(g, 30_000), { batch, groups, channels, filters, size, kernel, out } = w;
      const [x, weight, y] = [
        [batch, groups * channels, ...size],
        [groups * filters, channels, ...kernel],
        [batch, groups * filters, ...out],
      ].map((shape) => {
        const buffer = backend.allocate(4 * sizeOf(shape));
        engine.f32.fill(1, buffer.pointer / 4, buffer.pointer / 4 + sizeOf(shape));
        const strides = shape.map((_, k) => sizeOf(shape.slice(k + 1)));
        return { buffer, dtype: "f32" as const, shape, strides, offset: 0 };
      });
      backend.kernels.conv!(x, weight, w.stride, w.dilation, w.before, groups, y);
      for (const { buffer } of [x, weight, y]) backend.release(buffer);
    }
  });
});

describe("convolution on cpu", () => {
  it("gives what the reference device gives, with its gradients", async () => {
    manualSeed(4);
    const g = new Generator(24);
    for (let i = 0; i < width(12, 4); i++) {
      const axes = pick(g, 1, 2),
        each = (from: number, to: number) => Array.from({ length: axes }, () => pick(g, from, to));
      const groups = pick(g, 1, 3), channels = groups * pick(g, 1, 2), filters = groups * pick(g, 1, 2);
      const options = { stride: each(1, 3), padding: each(0, 2), dilation: each(1, 2), groups };
      const x = randn([2, channels, ...each(7, 11)]), w = randn([filters, channels / groups, ...each(1, 3)]);
      const b = randn([filters]), f = axes === 1 ? conv1d : conv2d, results: number[][][] = [];
      for (const device of ["cpu", "reference"] as const) {
        const own = await Promise.all(
          [x, w, b].map(async (t) => (await t.to({ device })).detach().requiresGrad_(true)),
        );
        const y = f(own[0], own[1], own[2], options);
        y.square().sum().backward();
        results.push(
          await Promise.all([y, ...own.map((t) => t.grad!)].map(async (t) => [...await numbersOf(t)])),
        );
      }
      results[0].forEach((found, k) =>
        assertClose(found, results[1][k], `case ${i}, ${k}`, { atol: 1e-3, rtol: 1e-4 })
      );
    }
  });

  it("takes what follows into itself, as a program", async () => {
    const w = randn([6, 4, 3, 3], { seed: 1 }),
      b = randn([6], { seed: 2 }),
      x = randn([2, 4, 9, 10], { seed: 3 });
    const more = randn([2, 6, 9, 10], { seed: 4 });
    const eager = (x: Tensor): Tensor => relu(conv2d(x, w, b, { padding: 1 }).mul(0.3)).add(more);
    using f = compile(eager);
    noGrad(() => f(x));
    const plan = noGrad(() => f.plan(x));
    assert(/done in each run: 1 operation/.test(plan), plan);
    assertClose(await numbersOf(noGrad(() => f(x))), await numbersOf(noGrad(() => eager(x))), "program", {
      atol: 1e-5,
    });
  });

  it("of nothing is nothing, or zeros", async () => {
    for (
      const [x, w] of [[[0, 2, 5, 5], [3, 2, 3, 3]], [[1, 0, 5, 5], [3, 0, 3, 3]], [[1, 2, 5, 5], [
        0,
        2,
        3,
        3,
      ]]]
    ) {
      const [found, wanted] = (["cpu", "reference"] as const).map((device) =>
        conv2d(randn(x, { device, seed: 1 }), randn(w, { device, seed: 2 }))
      );
      assertEquals([...found.shape], [...wanted.shape]);
      assertEquals([...await numbersOf(found)], [...await numbersOf(wanted)]);
    }
  });

  it("refuses a bias that is not one number for each filter", () => {
    const x = tensor([[[1, 2, 3]]]), w = tensor([[[1, 1]], [[1, 1]]]);
    for (const bias of [tensor([1, 2, 3]), tensor([[1], [2]])]) {
      assertThrows(() => conv1d(x, w, bias), ShapeError, "bias");
    }
  });
});
