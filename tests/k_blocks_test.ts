/**
 * Weights in the blocks of a GGUF, of 256 (q2k to q6k, iq4xs) and of 32 (q41, q50 …): values to the bit, products and rows on every device that holds them, and what
 * they are not for.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  affine,
  CausalLM,
  convertToGguf,
  DTypeError,
  indexSelect,
  linear,
  noGrad,
  openGguf,
  openSafetensors,
  randn,
  saveGguf,
  saveSafetensors,
  ShapeError,
  type Tensor,
  tensor,
  transpose,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { createCpuBackend } from "../src/backends/cpu/backend.ts";
import type { View } from "../src/backends/contract.ts";
import { isInPanels } from "../src/backends/cpu/kernels/quantized/format.ts";
import { blockValues, byteSize, type DType, type KDType } from "../src/core/dtype.ts";
import { dequantize, type GgufType } from "../src/files/gguf/mod.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { dataPath, missingData } from "./_data.ts";
import { eachDevice } from "./_devices.ts";
import { inFolder } from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";
import { onWebGpu } from "./_webgpu.ts";

const types = {
  q6k: "Q6_K",
  q5k: "Q5_K",
  q4k: "Q4_K",
  q3k: "Q3_K",
  q2k: "Q2_K",
  iq4xs: "IQ4_XS",
  q51: "Q5_1",
  q50: "Q5_0",
  q41: "Q4_1",
  iq4nl: "IQ4_NL",
  mxfp4: "MXFP4",
} as const satisfies Record<KDType, GgufType>;
/** Where the f16 factors of a block lie; that of mxfp4 is an exponent, any byte of which is one. */
const factorsAt: Readonly<Record<KDType, readonly number[]>> = {
  q6k: [208],
  q5k: [0, 2],
  q4k: [0, 2],
  q3k: [108],
  q2k: [80, 82],
  iq4xs: [0],
  q51: [0, 2],
  q50: [0],
  q41: [0, 2],
  iq4nl: [0],
  mxfp4: [],
};
const kinds = Object.keys(types) as KDType[];
/** How far products may be off, in parts of the sum of their sizes, where activations become bytes. */
const bytesOff = 2e-2;

/** Blocks (`count` times 256 values) of bits at random, with factors that are finite: half of them small, some subnormal. */
function blocksOf(
  dtype: KDType,
  count: number,
  seed: number,
): { bytes: Uint8Array<ArrayBuffer>; values: Float32Array } {
  const random = new Generator(seed), bytes = new Uint8Array(byteSize(dtype, 256 * count));
  const blocks = 256 * count / blockValues(dtype), size = byteSize(dtype, blockValues(dtype));
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(0, 256);
  for (let block = 0; block < blocks; block++) {
    // Not so large that sums of products are infinite, and now and then the least of all.
    if (dtype === "mxfp4") bytes[block * size] = random.integer(0, 8) ? random.integer(90, 130) : block % 3;
    for (const at of factorsAt[dtype]) {
      // Exponents up to 2^-7, either sign.
      const half = random.integer(0, 2) << 15 | random.integer(0, 9) << 10 | random.integer(0, 1024);
      bytes[block * size + at] = half;
      bytes[block * size + at + 1] = half >> 8;
    }
  }
  const values = new Float32Array(count * 256);
  dequantize(types[dtype], bytes, values);
  return { bytes, values };
}

/** Products over no multiple of 256, where blocks allow it: rows, depth and columns. */
const smallBlocks = (dtype: KDType): number[][] =>
  blockValues(dtype) === 32 ? [[1, 32, 8], [5, 416, 16]] : [];

const same = (a: Float32Array, b: Float32Array, what: string) =>
  assertEquals(
    new Uint32Array(a.buffer, a.byteOffset, a.length),
    new Uint32Array(b.buffer, b.byteOffset, b.length),
    what,
  );

async function floats(t: Tensor): Promise<Float32Array> {
  return await t.to({ dtype: "f32" }).data() as Float32Array;
}

eachDevice(
  (device) => {
    describe("blocks of 256", () => {
      for (const dtype of kinds) {
        it(`${dtype}: recorded blocks of ggml, and any bits, are the values of the definition`, async () => {
          const recorded = JSON.parse(readFileSync(dataPath("quants", `${types[dtype]}.json`), "utf8"));
          const decode = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const all = decode(recorded.bytes), rows = all.length / byteSize(dtype, blockValues(dtype));
          using known = tensor(all, { dtype, device, shape: [rows, blockValues(dtype)] });
          same(await floats(known), new Float32Array(decode(recorded.dequantised_f32).buffer), "recorded");
          const { bytes, values } = blocksOf(dtype, 35, 7);
          using t = tensor(bytes, { dtype, device, shape: [7, 5 * 256] });
          same(await floats(t), values, "values");
          assertEquals(await t.data(), bytes);
          // A part of it, and it turned.
          const part = await floats(t.slice([2, 5]));
          same(part, values.slice(2 * 1280, 5 * 1280), "rows 2 to 4");
          same(
            await floats(transpose(t, 0, 1)),
            Float32Array.from({ length: 35 * 256 }, (_, i) => values[i % 7 * 1280 + Math.floor(i / 7)]),
            "turned",
          );
        });

        it(`${dtype}: rows are picked as f32`, async () => {
          const { bytes, values } = blocksOf(dtype, 3 * 20, 11);
          using table = tensor(bytes, { dtype, device, shape: [20, 768] });
          for (const [ids, kind] of [[[3, 0, 19, 3, 7], "i32"], [[18, 1], "i64"]] as const) {
            using index = tensor(ids as unknown as number[], { dtype: kind, device });
            using rows = indexSelect(table, 0, index);
            assertStrictEquals(rows.dtype, "f32");
            const wanted = new Float32Array(ids.length * 768);
            ids.forEach((id, i) => wanted.set(values.subarray(id * 768, (id + 1) * 768), i * 768));
            same(await rows.data() as Float32Array, wanted, kind);
          }
          await assertRejects(
            async () => await floats(indexSelect(table, 0, tensor([20], { dtype: "i32", device }))),
            ShapeError,
          );
        });

        it(`${dtype}: products are those of the values, whatever the sizes and the other side`, async () => {
          let seed = 20;
          const most = device === "cpu" && isInPanels(dtype) ? bytesOff : 1e-6;
          for (
            const [rows, depth, columns] of [[1, 256, 1], [1, 1024, 133], [3, 512, 70], [9, 256, 8], [
              250,
              256,
              37,
            ], ...smallBlocks(dtype)]
          ) {
            const { bytes, values } = blocksOf(dtype, depth / 256 * columns, seed++);
            using w = tensor(bytes, { dtype, device, shape: [columns, depth] });
            using x = randn([rows, depth], { seed: seed++, device }),
              bias = randn([columns], { seed: seed++, device });
            const a = await x.data() as Float32Array, c = await bias.data() as Float32Array;
            using plain = noGrad(() => linear(x, w)),
              more = noGrad(() => affine(x, transpose(w, 0, 1), bias, { activation: "relu" }));
            using narrow = noGrad(() => linear(x.to({ dtype: "bf16" }), w));
            const [p, q, n] = [await floats(plain), await floats(more), await floats(narrow)];
            assertStrictEquals(narrow.dtype, "bf16");
            for (let i = 0; i < rows; i++) {
              for (let j = 0; j < columns; j++) {
                let sum = 0, size = 0;
                for (let k = 0; k < depth; k++) {
                  const product = a[i * depth + k] * values[j * depth + k];
                  sum += product;
                  size += Math.abs(product);
                }
                const at = i * columns + j, what = `${rows} × ${depth} × ${columns}, ${i} ${j}`;
                assert(Math.abs(p[at] - sum) <= most * size + 1e-30, `${what}: ${p[at]}, not ${sum}`);
                assert(
                  Math.abs(q[at] - Math.max(0, sum + c[j])) <= most * (size + Math.abs(c[j])),
                  `${what}: epilogue`,
                );
                assert(Math.abs(n[at] - sum) <= (most + 1.2e-2) * size + 1e-30, `${what}: bf16`);
              }
            }
            // What a row gives never depends on its neighbours; where activations are bytes, not among few.
            if (rows > 1 && (most < bytesOff || rows <= 9)) {
              same(
                await floats(noGrad(() => linear(x.slice([1, 2]), w))),
                p.slice(columns, 2 * columns),
                "alone",
              );
            }
            // Columns of a are no rows of it.
            using turned = transpose(randn([depth, rows], { seed, device }), 0, 1),
              straight = turned.contiguous();
            same(
              await floats(noGrad(() => linear(turned, w))),
              await floats(noGrad(() => linear(straight, w))),
              "strided",
            );
          }
        });
      }

      it("refuse what they are not for", () => {
        const { bytes } = blocksOf("q4k", 4, 3);
        using t = tensor(bytes, { dtype: "q4k", device, shape: [4, 256] }),
          x = randn([2, 4], { seed: 1, device });
        assertThrows(() => x.to({ dtype: "q4k" }), DTypeError, "but in a file");
        assertThrows(() => t.add(1), DTypeError);
        assertThrows(() => tensor([1, 2], { dtype: "q6k", device }), DTypeError, "read from a GGUF");
      });

      it("pass gradients on to what they are multiplied with", async () => {
        const { bytes } = blocksOf("q4k", 4, 3);
        const blocks = tensor(bytes, { dtype: "q4k", device, shape: [4, 256] }),
          plain = blocks.to({ dtype: "f32" });
        const gradients: number[][][] = [];
        for (const weight of [blocks, plain]) {
          const x = randn([2, 256], { seed: 1, device, requiresGrad: true });
          linear(x, weight).pow(2).sum().backward();
          gradients.push(await x.grad!.toArray() as number[][]);
        }
        const [got, wanted] = gradients.map((g) => g.flat()), largest = Math.max(...wanted.map(Math.abs));
        got.forEach((value, i) => assertAlmostEquals(value, wanted[i], 0.03 * largest));
      });
    });
  },
);

onWebGpu((device) => {
  describe("blocks of 256 on a device that holds none", () => {
    it("are q8 where that has the same integers and factors", () =>
      inFolder(async (folder) => {
        const sizes = { vocabSize: 64, contextLength: 32, width: 96, layers: 1, heads: 3, innerWidth: 160 };
        {
          using made = await CausalLM.fromSizes("llama", sizes, { device: "cpu" });
          await made.save(join(folder, "model"));
        }
        // Rows of 96 and 160 fill no blocks of 256: they are Q5_0 in the file.
        const path = join(folder, "model.gguf"), told: string[] = [], ids = [[5, 9, 2, 33, 60]];
        await convertToGguf(join(folder, "model"), path, { dtype: "q4_k" });
        using model = await CausalLM.load(path, { device, onWarning: (message) => void told.push(message) });
        const held = new Set(
          model.parameters().filter(({ shape }) => shape.length > 1).map(({ dtype }) => dtype),
        );
        assertEquals([[...held], told], [["q8"], []]);
        using plain = await CausalLM.load(path, { device: "reference" });
        using logits = noGrad(() => model.forward(ids)), known = noGrad(() => plain.forward(ids));
        const [a, b] = [await logits.data(), await known.data()] as Float32Array[];
        assert(b.every((x, i) => Math.abs(x - a[i]) < 2e-4));
      }));

    it("become f32 while they are read, which is said once", {
      skip: missingData("quants", "llama-256-q4_k_m.gguf"),
    }, async () => {
      const path = dataPath("quants", "llama-256-q4_k_m.gguf"), told: string[] = [];
      using model = await CausalLM.load(path, { device, onWarning: (message) => void told.push(message) });
      assertEquals(told.length, 1);
      assertMatch(told[0], /Q4_K.* are held as f32 on webgpu and take more memory than the file/);
      const golden = JSON.parse(readFileSync(dataPath("quants", "llama-256-q4_k_m.golden.json"), "utf8"));
      using logits = noGrad(() => model.network.forward(golden.prompts.single.ids, { lastOnly: true }));
      const values = await logits.data() as Float32Array;
      const wanted: number[] = golden.prompts.single.last_logits.flat();
      assert(wanted.every((x, i) => Math.abs(x - values[i]) < 2e-4));
      await using file = await openGguf(path);
      using t = await file.tensor("output.weight", { device });
      assertStrictEquals(t.dtype, "f32");
    });
  });
});

describe("kernels of blocks of 256", () => {
  it("write what is theirs and nothing else, and give the same bits on any number of threads", async () => {
    for (const deterministic of [false, true]) {
      const results: Float32Array[][] = [];
      for (const threads of [1, 3]) {
        const backend = createCpuBackend({ platform: testPlatform(), guard: true, deterministic, threads });
        const found: Float32Array[] = [];
        await backend.engine.ready();
        const random = new Generator(31);
        const viewOf = (dtype: DType, shape: number[], bytes?: Uint8Array): View => {
          const size = shape.reduce((a, b) => a * b, 1), buffer = backend.allocate(byteSize(dtype, size));
          if (bytes) backend.upload(buffer, 0, bytes);
          return { buffer, dtype, shape, strides: [shape[1], 1], offset: 0 };
        };
        const floatsOf = (count: number) =>
          Float32Array.from({ length: count }, () => 2 * random.uniform() - 1);
        for (const dtype of kinds) {
          for (
            const [rows, depth, columns] of [
              [1, 512, 77],
              [17, 256, 33],
              [241, 256, 9],
              ...smallBlocks(dtype),
            ]
          ) {
            const { bytes, values } = blocksOf(dtype, columns * depth / 256, 5), x = floatsOf(rows * depth);
            const a = viewOf("f32", [rows, depth], new Uint8Array(x.buffer)),
              w = viewOf(dtype, [columns, depth], bytes);
            const out = viewOf("f32", [rows, columns]);
            backend.matmul(a, { ...w, shape: [depth, columns], strides: [1, depth] }, out);
            const y = new Float32Array(backend.mapped(out.buffer).slice(0, 4 * rows * columns).buffer);
            for (let i = 0; i < y.length; i += 1 + (y.length >> 6)) {
              let sum = 0, size = 0;
              for (let k = 0; k < depth; k++) {
                const product = x[Math.floor(i / columns) * depth + k] * values[i % columns * depth + k];
                sum += product;
                size += Math.abs(product);
              }
              const most = isInPanels(dtype) ? bytesOff : 1e-6;
              assert(Math.abs(y[i] - sum) <= most * size + 1e-30, `${dtype} ${rows} × ${depth} × ${columns}`);
            }
            found.push(y);
            for (const { buffer } of [a, w, out]) backend.release(buffer);
          }
        }
        assertStrictEquals(backend.engine.heap.check(true), null);
        backend.engine.dispose();
        results.push(found);
      }
      results[0].forEach((one, i) => same(one, results[1][i], `product ${i}`));
    }
  });
});

describe("blocks of 32 that products bring in another order", () => {
  for (const dtype of ["q50", "iq4nl"] as const) {
    it(`${dtype}: stay what they are for whoever reads or picks rows; in deterministic mode a row depends on no other`, async () => {
      for (const [columns, depth] of [[24, 512], [37, 256], [8, 1280]]) {
        const { bytes, values } = blocksOf(dtype, columns * depth / 256, columns);
        using w = tensor(bytes, { dtype, device: "cpu", shape: [columns, depth] });
        using x = randn([300, depth], { seed: 2, device: "cpu" });
        using index = tensor([columns - 1, 0, 5, 5, 7], { dtype: "i32", device: "cpu" });
        const check = async () => {
          const picked = await floats(noGrad(() => indexSelect(w, 0, index)));
          [columns - 1, 0, 5, 5, 7].forEach((row, i) =>
            same(
              picked.slice(i * depth, (i + 1) * depth),
              values.slice(row * depth, (row + 1) * depth),
              `row ${row}`,
            )
          );
        };
        await check();
        (await floats(noGrad(() => linear(x.slice([0, 2]), w)))).forEach((y) => assert(Number.isFinite(y)));
        await check();
        assertEquals(await w.data(), bytes);
        await check();
        useDeterministicAlgorithms(true);
        try {
          const all = await floats(noGrad(() => linear(x, w)));
          for (const row of [0, 7, 299]) {
            const one = await floats(noGrad(() => linear(x.slice([row, row + 1]), w)));
            same(one, all.slice(row * columns, (row + 1) * columns), `row ${row} alone`);
          }
          await check();
        } finally {
          useDeterministicAlgorithms(false);
        }
        same(await floats(w), values, "values");
      }
    });
  }
});

describe("blocks of 256 in files", () => {
  it("are read as they are, written as they are, and become floats elsewhere", () =>
    inFolder(async (folder) => {
      const path = join(folder, "x.gguf"), x = randn([6, 512], { seed: 5 });
      for (const [dtype, name] of [["q4k", "q4_k"], ["q6k", "q6_k"]] as const) {
        await saveGguf(path, { x }, { dtype: name });
        await using file = await openGguf(path);
        using t = await file.tensor("x"), wide = await file.tensor("x", { dtype: "f32" });
        assertEquals([t.dtype, [...t.shape]], [dtype, [6, 512]]);
        assertEquals(await t.data(), await file.view("x").bytes());
        same(await floats(t), await wide.data() as Float32Array, "values");
        await saveGguf(join(folder, "again.gguf"), { x: t });
        await using again = await openGguf(join(folder, "again.gguf"));
        assertEquals([again.info("x").type, await again.view("x").bytes()], [types[dtype], await t.data()]);
        await saveSafetensors(join(folder, "x.safetensors"), { x: t });
        await using plain = await openSafetensors(join(folder, "x.safetensors"));
        using back = await plain.tensor("x");
        same(await back.data() as Float32Array, await wide.data() as Float32Array, "safetensors");
      }
    }));

  it("of one factor and integers are those of q8, to the bit, where that is asked for", () =>
    inFolder(async (folder) => {
      const path = join(folder, "x.gguf");
      for (const dtype of ["q50", "iq4nl"] as const) {
        const { bytes, values } = blocksOf(dtype, 9, 8);
        await saveGguf(path, { x: tensor(bytes, { dtype, shape: [24, 96] }) });
        await using file = await openGguf(path);
        assertEquals([file.info("x").type, file.info("x").dtype], [types[dtype], dtype]);
        using blocks = await file.tensor("x", { dtype: "q8" });
        same(await floats(blocks), values, dtype);
      }
    }));

  it("of llama.cpp give what their dequantised weights give", {
    skip: missingData("quants", "llama-256-q4_k_m.gguf"),
  }, async () => {
    const path = dataPath("quants", "llama-256-q4_k_m.gguf"), told: string[] = [];
    await using file = await openGguf(path);
    const infos = file.names.map((name) => file.info(name)), found = new Set(infos.map(({ dtype }) => dtype));
    assert(found.has("q4k") && found.has("q6k"));
    const golden = JSON.parse(readFileSync(dataPath("quants", "llama-256-q4_k_m.golden.json"), "utf8"));
    for (const device of ["cpu", "reference"] as const) {
      const onWarning = (message: string) => void told.push(message);
      using model = await CausalLM.load(path, { device, onWarning });
      // Nothing is wider than in the file.
      const bytes = model.parameters().reduce((sum, p) => sum + byteSize(p.dtype, p.size), 0);
      assertStrictEquals(bytes, infos.reduce((sum, { byteLength }) => sum + byteLength, 0));
      for (
        const { ids, last_logits } of Object.values(golden.prompts) as {
          ids: number[][];
          last_logits: number[][];
        }[]
      ) {
        using logits = noGrad(() => model.network.forward(ids, { lastOnly: true }));
        const values = await logits.data() as Float32Array;
        const worst = Math.max(...last_logits.flat().map((x, i) => Math.abs(x - values[i])));
        assert(worst < 5e-5, `${device}: ${worst}`);
      }
      const { ids } = await model.completion(golden.prompts.single.ids[0], {
        maxNewTokens: 12,
        doSample: false,
      });
      assertEquals(ids, golden.greedy.ids.slice(0, 12));
      if (device === "reference") continue;
      // As a folder it is the same model, in f32 or in this library's own blocks.
      await inFolder(async (folder) => {
        await model.save(folder);
        using again = await CausalLM.load(folder, { device });
        const [prompt] = golden.prompts.single.ids;
        using a = noGrad(() => model.network.forward(prompt)),
          b = noGrad(() => again.network.forward(prompt));
        assert(await a.sub(b).abs().max().item() < 1e-4);
        await model.save(folder, { dtype: "q8" });
        using blocks = await CausalLM.load(folder, { device });
        assertStrictEquals(blocks.dtype, "q8");
      });
    }
    assertEquals(told, []);
  });
});
