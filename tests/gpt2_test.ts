/**
 * GPT-2 against results recorded from PyTorch: logits, loss, gradients, greedy tokens, five steps of AdamW; on both
 * devices, and from files that name the same weights differently.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { freemem } from "node:os";
import {
  DTypeError,
  type GPT2,
  GPT2 as Model,
  gpt2Config,
  manualSeed,
  matmul,
  nn,
  noGrad,
  optim,
  OptionError,
  randn,
  ShapeError,
  tensor,
} from "../mod.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import {
  assertNear,
  type Golden,
  type GoldenParameter,
  inFolder,
  loadTiny,
  makeFolder,
  readGolden,
  smallModel,
} from "./_gpt2.ts";
import { describe, it } from "./_suite.ts";
import { onWebGpu } from "./_webgpu.ts";
import { asksNothing } from "./_width.ts";

function assertParameter(
  values: number[],
  expected: GoldenParameter,
  tolerance: number,
  what: string,
): void {
  assertNear(values.slice(0, 8), expected.first8, tolerance, what);
  const norm = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  assertClose([norm], [expected.l2], `l2 of ${what}`, { atol: tolerance, rtol: tolerance });
}

async function lastLogits(model: GPT2, ids: number[][]): Promise<number[]> {
  const logits = noGrad(() => model.forward(ids, { lastOnly: true }));
  assertEquals(logits.shape, [ids.length, 1, 512]);
  return await numbersOf(logits);
}

async function checkLogits(model: GPT2, golden: Golden): Promise<void> {
  for (const [name, { ids, last_logits: expected }] of Object.entries(golden.prompts)) {
    assertNear(await lastLogits(model, ids), expected.flat(), 1e-4, `logits of prompt ${name}`);
  }
  const full = noGrad(() => model.forward(golden.prompts.single.ids));
  assertEquals(full.shape, [1, 7, 512]);
  assertNear(await numbersOf(full), golden.full_logits.logits.flat(2), 1e-4, "all logits");
}

async function checkGreedy(model: GPT2, golden: Golden): Promise<void> {
  const [prompt] = golden.prompts.single.ids;
  const { ids, finishReason } = await model.completion(prompt, { maxNewTokens: 40 });
  assertEquals(ids, golden.greedy.new_ids);
  assertStrictEquals(finishReason, "length");
}

describe("GPT-2 against PyTorch", () => {
  const golden = readGolden();

  eachDevice((device) => {
    it("gives each row of a padded batch what its text gives alone", async () => {
      using model = await loadTiny({ device });
      const texts = [[3, 17, 29, 5, 41, 8], [77, 2], [9, 12, 300, 4]], longest = 6, more = [11, 23, 35];
      const padded = texts.map((text) => [...new Array<number>(longest - text.length).fill(0), ...text]);
      const mask = texts.map((text) => padded[0].map((_, i) => i < longest - text.length ? 0 : 1));
      const alone = async (ids: number[]) =>
        await numbersOf(noGrad(() => model.forward([ids], { lastOnly: true })));
      const close = async (found: number[], row: number, ids: number[]) =>
        assertNear(found.slice(row * 512, (row + 1) * 512), await alone(ids), 1e-4, `row ${row}`);
      using cache = model.createCache(3, 12);
      const first = await numbersOf(
        noGrad(() => model.forward(padded, { attentionMask: mask, lastOnly: true, cache })),
      );
      for (const [row, text] of texts.entries()) await close(first, row, text);
      // One position more for each, after those in the cache.
      const wider = mask.map((row) => [...row, 1]);
      const next = more.map((id) => [id]);
      const then = await numbersOf(noGrad(() => model.forward(next, { attentionMask: wider, cache })));
      for (const [row, text] of texts.entries()) await close(then, row, [...text, more[row]]);
      assertThrows(
        () => model.forward(padded, { attentionMask: wider }),
        ShapeError,
        "attentionMask is [batch, positions], here [3, 6], not [3, 7]",
      );
    });

    it("tells how much positions look at each other", async () => {
      using model = await loadTiny({ device });
      const ids = golden.prompts.single.ids, time = ids[0].length, { nHead, nLayer, nEmbd } = model.config;
      const all = model.attentions(ids);
      assertEquals(all.map(({ shape }) => shape), new Array(nLayer).fill([1, nHead, time, time]));
      // They sum to 1, look at nothing later, and mix values into what the layer gives.
      for (const [layer, attention] of all.entries()) {
        const rows = await numbersOf(attention);
        for (let i = 0; i < rows.length; i += time) {
          const row = rows.slice(i, i + time), at = (i / time) % time;
          assert(Math.abs(row.reduce((sum, x) => sum + x, 0) - 1) < 1e-5);
          assert(row.every((x, j) => j <= at ? x > 0 : x === 0));
        }
        const { attn } = model.h[layer], each = nEmbd / nHead, x = randn([1, time, nEmbd], { device });
        const [mixed, whole] = noGrad(() => {
          const v = attn.c_attn.forward(x).reshape(1, time, 3, nHead, each).select(2, 2).transpose(1, 2);
          const joined = matmul(attn.probabilities(x), v).transpose(1, 2).reshape(1, time, nEmbd);
          return [attn.c_proj.forward(joined), attn.forward(x)];
        });
        assertNear(await numbersOf(mixed), await numbersOf(whole), 1e-5, `layer ${layer}`);
      }
      const [last] = model.attentions(ids, { layers: [nLayer - 1] });
      assertEquals(await numbersOf(last), await numbersOf(all[nLayer - 1]));
      assertThrows(
        () => model.attentions(ids, { layers: [nLayer] }),
        Error,
        "layer 2 is none of the 2 from 0",
      );
    });

    it("gives the recorded logits", async () => {
      using model = await loadTiny({ device });
      await checkLogits(model, golden);
    });

    it("gives the recorded loss and gradients", async () => {
      using model = await loadTiny({ device });
      const loss = model.loss(golden.prompts.batch.ids);
      assertNear([await loss.item()], [golden.loss.value], 1e-5, "loss");
      loss.backward();
      const names = model.namedParameters().map(([name]) => name);
      assertEquals(names.toSorted(), Object.keys(golden.loss.grads).toSorted());
      for (const [name, p] of model.namedParameters()) {
        assertEquals(p.shape, golden.loss.grads[name].shape);
        assert(p.grad, `${name} has no gradient`);
        assertParameter(await numbersOf(p.grad), golden.loss.grads[name], 1e-5, `gradient of ${name}`);
      }
    });

    it("continues greedily with the recorded tokens", async () => {
      using model = await loadTiny({ device });
      await checkGreedy(model, golden);
    });

    it("takes the recorded steps of AdamW", async () => {
      using model = await loadTiny({ device });
      const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
      const batch = golden.prompts.batch.ids,
        { loss_before, loss_after_step, params_after } = golden.training;
      const losses: number[] = [];
      for (let step = 0; step < 5; step++) {
        optimizer.zeroGrad();
        const loss = model.loss(batch);
        losses.push(await loss.item());
        loss.backward();
        optimizer.step();
      }
      losses.push(await noGrad(() => model.loss(batch)).item());
      assertNear(losses, [loss_before, ...loss_after_step], 1e-5, "losses");
      for (const [name, p] of model.namedParameters()) {
        const values = await numbersOf(p), expected = params_after[name];
        if (!name.endsWith("c_attn.bias")) {
          assertParameter(values, expected, 2e-5, name);
          continue;
        }
        // The key bias has a true gradient of zero, so Adam makes small steps of what rounding leaves.
        assertNear(values.slice(0, 8), expected.first8, 2e-5, name);
        const norm = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
        assertNear([norm], [expected.l2], 3e-3, `l2 of ${name}`);
      }
    });

    for (const variant of ["prefixed", "old-buffers"]) {
      it(`reads ${variant}.safetensors as the same model`, async () => {
        await inFolder(async (folder) => {
          makeFolder(folder, {}, `variants/${variant}.safetensors`);
          using model = await Model.load(folder, { device });
          assertStrictEquals(model.lm_head, null);
          await checkLogits(model, golden);
          await checkGreedy(model, golden);
        });
      });
    }

    it("reads an output layer of its own when it is not tied", async () => {
      await inFolder(async (folder) => {
        makeFolder(folder, { tie_word_embeddings: false }, "variants/prefixed.safetensors");
        using model = await Model.load(folder, { device });
        assertEquals(model.lm_head?.weight.shape, [512, 32]);
        await checkLogits(model, golden);
      });
    });

    it("computes in f32 what it holds as f16 or bf16", async () => {
      const { ids, last_logits: expected } = golden.prompts.batch;
      for (const [dtype, tolerance] of [["f16", 0.03], ["bf16", 0.3]] as const) {
        using model = await loadTiny({ device, dtype });
        assertStrictEquals(model.wte.weight.dtype, dtype);
        assertStrictEquals(model.h[0].attn.c_attn.weight.dtype, dtype);
        assertStrictEquals(model.h[0].attn.c_attn.bias.dtype, "f32");
        assertNear(await lastLogits(model, ids), expected.flat(), tolerance, `${dtype} logits`);
      }
    });
  }, onWebGpu);
});

describe("GPT-2's network", { skip: asksNothing }, () => {
  eachDevice((device) => {
    it("goes on position after position, whatever its cache stores and however wide its heads are", async () => {
      for (const [nEmbd, nHead] of [[20, 2], [64, 2], [6, 1], [40, 2], [14, 2], [33, 1]]) {
        manualSeed(4);
        using model = smallModel({ nEmbd, nHead, nPositions: 32, initializerRange: 0.3 }, { device });
        const ids = Array.from({ length: 11 }, (_, i) => (i * 5) % model.config.vocabSize);
        const whole = await numbersOf(noGrad(() => model.forward([ids], { lastOnly: true })));
        for (const dtype of ["f32", "f16", "bf16"] as const) {
          using cache = model.createCache(1, 32, { dtype });
          let found: number[] = [];
          for (const id of ids) {
            using logits = noGrad(() => model.forward([[id]], { cache, lastOnly: true }));
            found = await numbersOf(logits);
          }
          const atol = { f32: 1e-4, f16: 5e-3, bf16: 4e-2 }[dtype];
          assertClose(found, whole, `${nEmbd} ${dtype}`, { atol });
        }
      }
    });

    it("says of an id by itself that the vocabulary has none such, in lists and in tensors", async () => {
      using model = smallModel({}, { device });
      using cache = model.createCache(1, 8);
      // The first step of a cache is recorded, where the device records, and the others are done by that.
      for (const id of [3, 7, 99_999, -1000]) {
        for (const ids of [[[id]], tensor([[id]], { dtype: "i32", device })]) {
          const step = async () =>
            await numbersOf(noGrad(() => model.forward(ids, { cache, lastOnly: true })));
          if (id === 3 || id === 7) assertStrictEquals((await step()).length, 11);
          else await assertRejects(step, ShapeError);
        }
      }
    });

    it("takes ids as lists, typed arrays and tensors", async () => {
      using model = smallModel({}, { device });
      const expected = await numbersOf(model.forward([[1, 2, 3]]));
      for (
        const ids of [
          [1, 2, 3],
          Int32Array.of(1, 2, 3),
          tensor([1, 2, 3], { dtype: "i32", device }),
          tensor([[1, 2, 3]], { dtype: "i64", device }),
        ]
      ) {
        assertEquals(await numbersOf(model.forward(ids)), expected);
      }
    });

    it("says what is wrong with ids", () => {
      using model = smallModel({}, { device });
      assertMatch(
        assertThrows(() => model.forward([[1, 11]]), ShapeError).message,
        /id 11 .*vocabulary of 11/,
      );
      assertThrows(() => model.forward([[1, -1]]), ShapeError);
      assertThrows(() => model.forward([[1.5]]), ShapeError);
      assertThrows(() => model.forward([[1, 2], [3]]), ShapeError);
      assertThrows(() => model.forward([]), ShapeError);
      assertThrows(() => model.forward(tensor([0.5], { device })), DTypeError);
      assertMatch(
        assertThrows(() => model.forward([Array(17).fill(1)]), ShapeError).message,
        /17 tokens.*16 positions/,
      );
      assertMatch(assertThrows(() => model.loss([[1]]), ShapeError).message, /at least 2 tokens/);
    });

    it("counts targets that are not -100", async () => {
      using model = smallModel({}, { device });
      const all = await model.loss([[1, 2, 3, 4]]).item();
      const given = await model.loss([[1, 2, 3]], [[2, 3, 4]]).item();
      const some = await model.loss([[1, 2, 3]], [[-100, 3, -100]]).item();
      const logits = await model.forward([[1, 2, 3]]).logSoftmax(-1).toArray() as number[][][];
      assertNear([given, some], [all, -logits[0][1][3]], 1e-6, "losses");
    });

    it("begins as the paper says", async () => {
      using model = new Model({ vocabSize: 64, nPositions: 32, nEmbd: 64, nLayer: 8, nHead: 4 }, { device });
      assertStrictEquals(model.training, true);
      const spread = async (values: Promise<number[]>): Promise<number> => {
        const list = await values;
        return Math.sqrt(list.reduce((sum, v) => sum + v * v, 0) / list.length);
      };
      assertNear([await spread(numbersOf(model.wte.weight))], [0.02], 0.002, "wte");
      assertNear([await spread(numbersOf(model.h[3].mlp.c_fc.weight))], [0.02], 0.001, "c_fc");
      assertNear([await spread(numbersOf(model.h[3].mlp.c_proj.weight))], [0.02 / 4], 0.0005, "c_proj");
      assertEquals(await numbersOf(model.h[3].attn.c_attn.bias), Array(192).fill(0));
      assertEquals(await numbersOf(model.ln_f.weight), Array(64).fill(1));
    });
  }, onWebGpu);

  it("refuses sizes that cannot be", () => {
    const refuses = (config: object, pattern: RegExp): void => {
      assertMatch(assertThrows(() => gpt2Config(config), OptionError).message, pattern);
    };
    refuses({ nHead: 5 }, /nHead is 5, expected a divisor of nEmbd 768/);
    refuses({ nLayer: 0 }, /nLayer is 0/);
    refuses({ residPdrop: 1 }, /residPdrop/);
    refuses({ n_layer: 2 }, /there is no option "n_layer"; did you mean "nLayer"/);
    refuses({ activationFunction: "swiglu" }, /activationFunction is "swiglu", expected "silu", "swish"/);
    refuses({ eosTokenId: "a" }, /eosTokenId/);
  });

  const where = runtimeName() !== "node"
    ? "the 124M shape runs once, on Node"
    : freemem() < 3e9
    ? "the 124M shape takes 2 GB of free memory"
    : false;
  it("runs the shape of GPT-2 124M", { skip: where }, async () => {
    // One draw for each matrix: what the constructor draws for its layers first would be drawn over.
    using model = nn.init.withoutInit(() => new Model());
    for (const p of model.parameters()) if (p.shape.length > 1) nn.init.normal(p, 0, 0.02);
    assertStrictEquals(model.numParameters(), 124_439_808);
    model.eval();
    const logits = noGrad(() => model.forward([[15496, 11, 995, 0]]));
    assertEquals(logits.shape, [1, 4, 50257]);
    const values = await logits.data() as Float32Array;
    assert(values.every(Number.isFinite));
    // The cached step gives what the whole gives.
    using cache = model.createCache(1, 4);
    noGrad(() => model.forward([[15496, 11, 995]], { cache, lastOnly: true })).dispose();
    const step = noGrad(() => model.forward([[0]], { cache, lastOnly: true }));
    assertNear(await step.data() as Float32Array, values.subarray(3 * 50257), 1e-4, "the cached step");
  });
});
