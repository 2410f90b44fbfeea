/**
 * Weights as q8 and q4: made from tensors, multiplied, picked from, read back.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { holdCollection } from "./_collection.ts";
import {
  type DeviceName,
  type DType,
  DTypeError,
  embedding,
  evaluate,
  Generator,
  GPT2,
  linear,
  memory,
  noGrad,
  openSafetensors,
  randn,
  saveGguf,
  saveSafetensors,
  type Tensor,
  tensor,
} from "../mod.ts";
import { dequantizeQ4, dequantizeQ8, quantizeQ4, quantizeQ8 } from "../src/core/quantize.ts";
import { planSafetensors } from "../src/files/mod.ts";
import { call, json, output } from "./_command.ts";
import { dataPath, repository } from "./_data.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { inFolder, loadTiny, smallModel, tinyFolder, writtenBy } from "./_gpt2.ts";

const formats = [["q8", quantizeQ8, dequantizeQ8, 34], ["q4", quantizeQ4, dequantizeQ4, 18]] as const;

/** A matrix of random numbers, its blocks and their values. */
async function weight(rows: number, columns: number, device: DeviceName, format: typeof formats[number]) {
  const [dtype, quantize, dequantize, blockBytes] = format;
  const x = randn([rows, columns], { device }), values = await x.data() as Float32Array;
  const blocks = new Uint8Array(values.length / 32 * blockBytes), rounded = new Float32Array(values.length);
  quantize(values, blocks);
  dequantize(blocks, rounded);
  return { x, dtype, blocks, rounded };
}

describe("quantised tensors", () => {
  it("of a file that blocks cannot hold name the tensor, the file and the place", async () => {
    const random = new Generator(8);
    await inFolder(async (folder) => {
      for (let turn = 0; turn < 6; turn++) {
        const rows = 3 + Math.floor(random.uniform() * 40_000), at = Math.floor(random.uniform() * rows * 32);
        const values = new Float32Array(rows * 32);
        values[at] = [NaN, Infinity, -3e38][turn % 3];
        const whole = tensor(values, { device: "cpu" }).reshape([rows, 32]);
        const path = join(folder, `weights${turn}.safetensors`), first = at - at % 32;
        await saveSafetensors(path, { "a.weight": whole });
        const message = `tensor "a.weight" of ${path}: values ${first} to ${first + 31} hold NaN or`;
        const file = await openSafetensors(path);
        for (const dtype of ["q8", "q4"] as const) {
          await assertRejects(() => file.tensor("a.weight", { dtype }), DTypeError, message);
          await assertRejects(
            () => file.view("a.weight").rows(at >> 5, rows).read(dtype),
            DTypeError,
            message,
          );
          await assertRejects(
            () => saveGguf(`${path}.gguf`, { "a.weight": whole }, { dtype: `${dtype}_0` }),
            DTypeError,
            'tensor "a.weight"',
          );
        }
      }
    });
  });

  eachDevice((device) => {
    for (const format of formats) {
      const [dtype] = format;
      it(`are made from matrices of floats: ${dtype}`, async () => {
        const { x, blocks, rounded } = await weight(5, 96, device, format);
        const q = x.to({ dtype });
        assertStrictEquals(q.dtype, dtype);
        assertEquals(q.shape, [5, 96]);
        assertEquals(await q.data(), blocks);
        assertEquals(await q.to({ dtype: "f32" }).data(), rounded);
        // Half precision is widened first; a view is made row-major first.
        const half = x.to({ dtype: "bf16" });
        assertEquals(
          await half.to({ dtype }).data(),
          await half.to({ dtype: "f32" }).to({ dtype }).data(),
        );
        const turned = tensor(await x.data(), { shape: [5, 96], device }).transpose(0, 1).contiguous()
          .transpose(0, 1);
        assertStrictEquals(turned.isContiguous, false);
        assertEquals(await turned.to({ dtype }).data(), blocks);
        assertEquals(await x.slice([2, 4]).to({ dtype }).data(), await q.slice([2, 4]).data());
      });

      it(`go to the other device as they are: ${dtype}`, async () => {
        const { x, blocks } = await weight(6, 64, device, format);
        const other = device === "cpu" ? "reference" : "cpu", q = x.to({ dtype });
        assertEquals(await q.to({ device: other }).data(), blocks);
        const moved = q.transpose(0, 1).to({ device: other });
        assertEquals([moved.device, moved.shape], [other, [64, 6]]);
        assertEquals(await moved.transpose(0, 1).data(), blocks);
      });

      it(`give rows as floats, also while they serve products: ${dtype}`, async () => {
        // 19 rows: two panels of eight, and three rows beside them.
        const { x, rounded, blocks } = await weight(19, 64, device, format);
        const q = x.to({ dtype });
        const ids = [[0, 18, 7, 8], [15, 16, 18, 3]];
        const expected = ids.flat().flatMap((
          id,
        ) => [...rounded.subarray(id * 64).subarray(0, 64)]);
        const pick = (type: "i32" | "i64"): Tensor => embedding(tensor(ids, { dtype: type, device }), q);
        const first = pick("i32");
        assertEquals([first.dtype, first.shape], ["f32", [2, 4, 64]]);
        assertEquals(await numbersOf(first), expected);
        for (let time = 0; time < 2; time++) {
          const product = linear(tensor([new Array(64).fill(1)], { device }), q);
          const sums = Array.from(
            { length: 19 },
            (_, r) => rounded.subarray(r * 64, r * 64 + 64).reduce((a, b) => a + b, 0),
          );
          assertClose(await numbersOf(product), sums, "row sums", { atol: 0.05, rtol: 0.01 });
          assertEquals(await numbersOf(pick("i64")), expected);
        }
        // Some rows of the table, and columns, which go through floats.
        const part = embedding(tensor([9, 0, 10], { dtype: "i32", device }), q.slice([3, 14]));
        assertEquals(
          await numbersOf(part),
          [12, 3, 13].flatMap((id) => [...rounded.subarray(id * 64, id * 64 + 64)]),
        );
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        const columns = q.transpose(0, 1).indexSelect(0, tensor([33, 2], { dtype: "i32", device }));
        assertEquals(
          await numbersOf(columns),
          [33, 2].flatMap((c) => Array.from({ length: 19 }, (_, r) => rounded[r * 64 + c])),
        );
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        assertEquals(await q.to({ dtype: "f32" }).data(), rounded);
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        assertEquals(await q.data(), blocks);
        assertThrows(
          () => embedding(tensor([19], { dtype: "i32", device }), q),
          Error,
          "id 19 is none of the 19 rows",
        );
      });
    }

    it("refuse what blocks cannot hold", () => {
      const say = (make: () => unknown, pattern: RegExp): void => {
        assertMatch(assertThrows(make, DTypeError).message, pattern);
      };
      say(
        () => randn([4, 33], { device }).to({ dtype: "q8" }),
        /q8 holds matrices .* multiple of 32, not \[4, 33\]/,
      );
      say(() => randn([64], { device }).to({ dtype: "q4" }), /q4 holds matrices/);
      say(() => randn([2, 2, 32], { device }).to({ dtype: "q4" }), /q4 holds matrices/);
      say(
        () => tensor(new Int32Array(32), { shape: [1, 32], device }).to({ dtype: "q8" }),
        /i32 does not become q8/,
      );
      using x = tensor(new Float32Array(32).fill(NaN), { shape: [1, 32], device });
      const before = memory()[device]?.buffers;
      say(() => x.to({ dtype: "q8" }), /hold NaN/);
      assertStrictEquals(memory()[device]?.buffers, before);
    });

    it("get no gradient, and pass one on", async () => {
      const q = randn([8, 32], { device }).to({ dtype: "q8" });
      const x = randn([2, 32], { device, requiresGrad: true });
      linear(x, q).sum().backward();
      const sums = await q.to({ dtype: "f32" }).sum(0).data(), got = await x.grad!.data();
      for (const [i, g] of got.entries()) assert(Math.abs(Number(g) - Number(sums[i % 32])) < 1e-5);
      assertEquals(noGrad(() => linear(x, q)).shape, [2, 8]);
      assertThrows(() => q.add(1), Error, "q8 weights take part in matrix products only");
    });
  });
});

const dtypes = ["q8", "q4"] as const;
const ids = [[3, 141, 59, 26, 500, 35, 8, 97], [9, 79, 32, 384, 62, 64, 33, 1]];
const weightsOf = (...path: string[]): Uint8Array => readFileSync(join(...path, "model.safetensors"));
const configOf = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));

async function logitsOf(model: GPT2): Promise<Float32Array> {
  using logits = noGrad(() => model.forward(ids));
  return await logits.data() as Float32Array;
}

/** What `generate --json` tells. */
interface Made {
  dtype: string;
  ids: number[];
}

/** The root of the mean square of a - b, in parts of that of b. */
function distance(a: Float32Array, b: Float32Array): number {
  let off = 0, all = 0;
  b.forEach((v, i) => {
    off += (a[i] - v) ** 2;
    all += v ** 2;
  });
  return Math.sqrt(off / all);
}

/**
 * What rounding activations may cost on this tiny, random model. Where the dot instruction of bytes is one instruction
 * of the machine, a product of several rows keeps 7 bits of them and is off by about 0.045; elsewhere 8 bits and 0.02.
 */
const sevenBits = 0.07;

describe("GPT-2 in q8 and q4", () => {
  eachDevice((device) => {
    it("is quantised while it is read", async () => {
      using wide = await loadTiny({ device, dtype: "f32" });
      for (const [dtype, least, most] of [["q8", 0.005, 0.08], ["q4", 0.05, 0.6]] as const) {
        using model = await loadTiny({ device, dtype });
        for (const [name, p] of model.namedParameters()) {
          const matrix = p.shape.length === 2 && name !== "wpe.weight";
          assertStrictEquals(p.dtype, matrix ? dtype : "f32", name);
          assertStrictEquals(p.requiresGrad, false, name);
        }
        // [in, out] as ever, blocks along `in`.
        const { weight } = model.h[0].mlp.c_fc, own = wide.h[0].mlp.c_fc.weight;
        assertEquals([weight.shape, weight.strides], [[32, 128], [1, 32]]);
        assertEquals(
          await weight.transpose(0, 1).data(),
          await noGrad(() => own.transpose(0, 1).to({ dtype })).data(),
        );
        assertEquals(
          await model.wte.weight.data(),
          await noGrad(() => wide.wte.weight.to({ dtype })).data(),
        );
        const off = distance(await logitsOf(model), await logitsOf(wide));
        assert(off > least && off < most, `${dtype} is off by ${off}`);
      }
    });

    it("generates, and gathers no gradients but those asked for", async () => {
      using model = await loadTiny({ device, dtype: "q8" });
      assertStrictEquals(
        (await model.completion([1, 2, 3], { maxNewTokens: 4, temperature: 0 })).ids.length,
        4,
      );
      // Gradients are not asked for, so nothing has to be switched off.
      const loss = model.loss(ids);
      assertStrictEquals(loss.requiresGrad, false);
      assert(Number.isFinite(await loss.item()));
      model.h[0].ln_1.weight.requiresGrad_();
      model.loss(ids).backward();
      const grads = model.parameters().filter((p) => p.grad !== null);
      assertEquals(grads, [model.h[0].ln_1.weight]);
    });
  });

  it("is the same on both devices, up to the rounding of activations", async () => {
    for (const [dtype, most] of [["q8", sevenBits], ["q4", sevenBits]] as const) {
      using fast = await loadTiny({ device: "cpu", dtype }),
        plain = await loadTiny({ device: "reference", dtype });
      for (const [i, [name, p]] of fast.namedParameters().entries()) {
        const rows = (t: Tensor): Tensor => t.isContiguous ? t : t.transpose(0, 1);
        assertEquals(await rows(p).data(), await rows(plain.parameters()[i]).data(), name);
      }
      const off = distance(await logitsOf(fast), await logitsOf(plain));
      assert(off < most, `${dtype} is off by ${off}`);
    }
  });

  it("is saved and loaded again as the same bytes", async () => {
    await inFolder(async (folder) => {
      const at = (name: string): string => join(folder, name);
      using wide = await loadTiny();
      for (const dtype of dtypes) {
        await wide.save(at(dtype), { dtype });
        using loaded = await GPT2.load(at(dtype)), direct = await loadTiny({ dtype });
        await loaded.save(at("loaded"));
        await direct.save(at("direct"));
        const bytes = weightsOf(at(dtype));
        assertEquals(weightsOf(at("loaded")), bytes);
        assertEquals(weightsOf(at("direct")), bytes);
        assertEquals(await logitsOf(loaded), await logitsOf(direct));
        // Also after products have moved the blocks about.
        await loaded.save(at("used"));
        assertEquals(weightsOf(at("used")), bytes);
        assertEquals(
          [configOf(at(dtype)).torch_dtype, configOf(at(dtype)).ferrotype_dtype],
          ["float32", dtype],
        );
        await loaded.save(at("shards"), { shardSize: 20_000 });
        using shards = await GPT2.load(at("shards"));
        assertEquals(await logitsOf(shards), await logitsOf(direct));
      }
    });
  });

  it("becomes floats again, the right way round", async () => {
    await inFolder(async (folder) => {
      using model = await loadTiny({ dtype: "q8" });
      await model.save(folder);
      using read = await GPT2.load(folder, { dtype: "f32" });
      await model.save(join(folder, "wide"), { dtype: "f32" });
      using saved = await GPT2.load(join(folder, "wide"));
      assertStrictEquals(configOf(join(folder, "wide")).ferrotype_dtype, undefined);
      for (const [i, [name, p]] of model.namedParameters().entries()) {
        const values = await noGrad(() => p.to({ dtype: "f32" })).data();
        assertEquals(await read.parameters()[i].data(), values, name);
        assertEquals(await saved.parameters()[i].data(), values, name);
        assertStrictEquals(read.parameters()[i].requiresGrad, true);
      }
      // The reference device does not round activations, so what is left of the blocks are their values.
      using blocks = await GPT2.load(folder, { device: "reference" });
      using floats = await GPT2.load(folder, { device: "reference", dtype: "f32" });
      assert(distance(await logitsOf(blocks), await logitsOf(floats)) < 1e-6);
      // From blocks to other blocks, by file or while loading.
      await model.save(join(folder, "q4"), { dtype: "q4" });
      using other = await GPT2.load(folder, { dtype: "q4" });
      await other.save(join(folder, "other"));
      assertEquals(weightsOf(folder, "other"), weightsOf(folder, "q4"));
    });
  });

  it("moves to another device and to floats, but is not quantised in place", async () => {
    using model = await loadTiny({ device: "cpu", dtype: "q8" });
    const before = await logitsOf(model);
    model.to({ device: "reference" });
    assertEquals([model.wte.weight.device, model.h[1].attn.c_proj.weight.dtype], ["reference", "q8"]);
    assert(distance(await logitsOf(model), before) < sevenBits);
    model.to({ dtype: "f32", device: "cpu" });
    assertEquals([model.h[1].attn.c_proj.weight.dtype, model.wte.weight.requiresGrad], ["f32", false]);
    assert(distance(await logitsOf(model), before) < sevenBits);
    assertThrows(() => model.to({ dtype: "q4" }), Error, "GPT2 does not become q4 in place; load it so");
    assertStrictEquals(model.wte.weight.dtype, "f32");
  });

  it("shows weights by their names, and keeps them so in other files", async () => {
    await inFolder(async (folder) => {
      using model = await loadTiny({ dtype: "q4" });
      await model.save(folder);
      const name = "h.0.mlp.c_fc.weight";
      await using file = await openSafetensors(join(folder, "model.safetensors"));
      assertEquals(
        [file.info(name).shape, file.info(name).transposed, file.info("wte.weight").transposed],
        [[128, 32], true, undefined],
      );
      const blocks = await file.tensor(name), floats = await file.tensor(name, { dtype: "f32" });
      assertEquals([blocks.dtype, blocks.shape, floats.shape], ["q4", [32, 128], [32, 128]]);
      assertEquals(await blocks.to({ dtype: "f32" }).data(), await floats.data());
      await saveSafetensors(join(folder, "one.safetensors"), { [name]: blocks });
      await using one = await openSafetensors(join(folder, "one.safetensors"));
      assertEquals(await one.view(name).bytes(), await file.view(name).bytes());
      assertStrictEquals(one.info(name).transposed, true);
      // What cannot be: floats marked as transposed, and blocks that are no matrix.
      const bytes = (): Uint8Array => new Uint8Array(128);
      for (const [dtype, shape] of [["f32", [1, 32]], ["q8", [32]]] as const) {
        assertThrows(
          () => planSafetensors([{ name, dtype, shape, transposed: true, bytes }]),
          Error,
          "only q8 and q4 matrices are written transposed",
        );
      }
    });
  });

  it("keeps a matrix without whole blocks in f32", async () => {
    await inFolder(async (folder) => {
      using model = smallModel({ nEmbd: 16, nInner: 32 });
      await model.save(folder, { dtype: "q8" });
      for (const options of [{}, { dtype: "q8" }] as const) {
        using loaded = await GPT2.load(folder, options);
        const held = [loaded.wte, loaded.h[0].attn.c_attn, loaded.h[0].mlp.c_fc, loaded.h[0].mlp.c_proj];
        assertEquals(held.map(({ weight }) => weight.dtype), ["f32", "f32", "f32", "q8"]);
        assertEquals(loaded.h[0].mlp.c_proj.weight.shape, [32, 16]);
      }
    });
  });

  it("takes an output layer of its own", async () => {
    await inFolder(async (folder) => {
      using model = smallModel({ nEmbd: 32, tieWordEmbeddings: false });
      await model.save(folder, { dtype: "q4" });
      using loaded = await GPT2.load(folder);
      assertStrictEquals(loaded.lm_head?.weight.dtype, "q4");
      assertEquals(noGrad(() => loaded.forward([[1, 2]])).shape, [1, 2, 11]);
    });
  });

  it("takes the memory of its blocks", async () => {
    const held = async (dtype: DType): Promise<number> => {
      using model = await loadTiny({ dtype });
      assertStrictEquals(model.numParameters(), 43_904);
      return model.parameters().reduce((sum, p) => sum + p.buffer.byteLength, 0);
    };
    // Two blocks of twelve matrices' worth of 32 × 32, and 512 embeddings; positions and vectors stay f32.
    const blocks = (2 * 12 * 32 * 32 + 512 * 32) / 32, rest = 43_904 - 32 * blocks;
    assertStrictEquals(await held("f32"), 4 * 43_904);
    assertStrictEquals(await held("q8"), 4 * rest + 34 * blocks);
    assertStrictEquals(await held("q4"), 4 * rest + 18 * blocks);
  });

  it("refuses dtypes that weights do not have", async () => {
    using model = smallModel();
    await inFolder(async (folder) => {
      await assertRejects(
        () => loadTiny({ dtype: "i32" }),
        Error,
        'GPT2.load: dtype is "i32", expected',
      );
      await assertRejects(
        () => model.save(folder, { dtype: "u8" }),
        Error,
        'save: dtype is "u8", expected',
      );
    });
  });

  it("is made, shown and used by the command", async () => {
    await inFolder(async (folder) => {
      const at = (name: string): string => join(folder, name);
      for (const dtype of dtypes) {
        await call(["convert", tinyFolder, at(dtype), "--dtype", dtype]);
        using direct = await loadTiny({ dtype });
        await direct.save(at(`direct-${dtype}`));
        assertEquals(weightsOf(at(dtype)), weightsOf(at(`direct-${dtype}`)));
        const listed = await output(["inspect", at(dtype)]);
        assertMatch(listed, new RegExp(`^h\\.0\\.mlp\\.c_fc\\.weight +${dtype} +\\[128, 32\\]`, "m"));
        assertMatch(listed, /^wpe\.weight +f32 /m);
        const generate = ["generate", "--prompt-ids", "1,2,3", "-n", "3", "--temperature", "0", "--model"];
        const kept = await json<Made>([...generate, at(dtype)]);
        const made = await json<Made>([...generate, tinyFolder, "--dtype", dtype]);
        assertEquals([kept.dtype, made.dtype, kept.ids], [dtype, dtype, made.ids]);
      }
      // A file alone says nothing of layers: blocks run along its last axis.
      mkdirSync(at("plain"));
      await call([
        "convert",
        dataPath("gpt2-tiny", "model.safetensors"),
        at("plain/model.safetensors"),
        "--dtype",
        "q8",
      ]);
      await call(["convert", at("q8/model.safetensors"), at("back.safetensors"), "--dtype", "f32"]);
      const back = await output(["inspect", at("back.safetensors")]);
      assertMatch(back, /^h\.0\.mlp\.c_fc\.weight +f32 +\[32, 128\]/m);
      assertMatch(await output(["inspect", at("plain/model.safetensors")]), /c_fc\.weight +q8 +\[32, 128\]/);
    });
  });
});

describe("the bundled model in q8 and q4", () => {
  let text = "";
  const measure = async (dtype: DType): Promise<{ perplexity: number; bytes: number }> => {
    using _still = holdCollection();
    const before = memory().cpu?.bytes ?? 0;
    using model = await GPT2.load(join(repository, "web", "models", "shakespeare"), { device: "cpu", dtype });
    const bytes = (memory().cpu?.bytes ?? 0) - before;
    // What the model in f32, which is measured first, thinks likely: any other opinion costs.
    text ||= await writtenBy(model, 1000);
    const options = { blockSize: 128, stride: 64, batchSize: 8 };
    return { perplexity: (await evaluate(model, model.encode(text), options)).perplexity, bytes };
  };
  let wide: Awaited<ReturnType<typeof measure>> | null = null;

  for (
    const [dtype, most, share] of [["bf16", 0.001, 0.55], ["q8", 0.003, 0.33], ["q4", 0.04, 0.21]] as const
  ) {
    it(`predicts text nearly as well, in less memory: ${dtype}`, async () => {
      wide ??= await measure("f32");
      const { perplexity, bytes } = await measure(dtype), rise = perplexity / wide.perplexity - 1;
      assert(rise <= most, `${dtype}: perplexity rises by ${(100 * rise).toFixed(3)} %`);
      assert(bytes <= share * wide.bytes, `${dtype}: ${bytes} bytes instead of ${wide.bytes}`);
    });
  }
});
