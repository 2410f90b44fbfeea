/**
 * Layers that remember a state in place of keys and values: short convolutions and gated delta networks. What a position gives is the same
 * alone, in pieces, behind padding wherever it stands, among other texts, by guesses, and after going back.
 */
import { assert, assertAlmostEquals, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CausalLM,
  checkGradients,
  convertToGguf,
  exportOnnx,
  FormatError,
  manualSeed,
  nn,
  noGrad,
  OptionError,
  type Tensor,
  tensor,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { causalConv, type CausalConvResult } from "../src/nn/causal_conv.ts";
import { deltaChunks, deltaScan, gatedDeltaRule } from "../src/nn/delta_rule.ts";
import { copyInto } from "../src/ops/mod.ts";
import { decoderConfig, decoderNetwork } from "../src/models/registry.ts";
import { inFolder } from "./_gpt2.ts";
import { width } from "./_width.ts";

const families = ["lfm2", "qwen3_next", "qwen3_5_text"];
const sizes = { vocabSize: 64, contextLength: 96, width: 32, layers: 4, heads: 2, kvHeads: 1 };

async function fresh(family: string, device: "cpu" | "reference" = "cpu"): Promise<CausalLM> {
  manualSeed(5);
  const model = await CausalLM.fromSizes(family, sizes, { device });
  // Fresh weights say next to nothing of what came before; larger ones do.
  for (const [name, p] of model.namedParameters()) {
    if (p.shape.length > 1 && !/embed/.test(name)) noGrad(() => tidy(() => nn.init.normal(p, 0, 0.3)));
  }
  return model.eval();
}

const numbers = async (t: Tensor): Promise<Float32Array> => {
  const values = (await t.data()).slice() as Float32Array;
  t.dispose();
  return values;
};

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assertStrictEquals(a.length, b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return Number.isNaN(most) ? Infinity : most;
}

async function exactly(run: () => Promise<void>): Promise<void> {
  useDeterministicAlgorithms(true);
  try {
    await run();
  } finally {
    useDeterministicAlgorithms(false);
  }
}

const greedy = { doSample: false, eosTokenId: null, maxNewTokens: 7 } as const;

describe("a causal convolution", () => {
  const plain = { real: null, seen: null };

  it("is the sum of the last inputs, whatever is padding; in pieces and whole alike", async () => {
    for (let seed = 1; seed <= width(12, 5); seed++) {
      const random = new Generator(seed), pick = (from: number, to: number) => random.integer(from, to + 1);
      const batch = pick(1, 3), time = pick(1, 9), channels = pick(1, 4), kernel = pick(1, 5);
      const list = (n: number) => Array.from({ length: n }, () => 2 * random.uniform() - 1);
      const x = list(batch * time * channels), taps = list(channels * kernel), bias = list(channels);
      const real = Array.from({ length: batch * time }, () => pick(0, 2) > 0);
      const place = { device: "reference" } as const;
      using given = tensor(x, { shape: [batch, time, channels], ...place });
      using weight = tensor(taps, { shape: [channels, 1, kernel], ...place });
      using more = tensor(bias, place);
      using mask = tensor(real, { shape: [batch, time], ...place });
      const { y } = causalConv(given, weight, more, null, { real: mask, seen: null });
      const found = await numbers(y);
      for (let b = 0; b < batch; b++) {
        const own = Array.from({ length: time }, (_, t) => t).filter((t) => real[b * time + t]);
        own.forEach((t, at) => {
          for (let c = 0; c < channels; c++) {
            let sum = bias[c];
            for (let i = 0; i < kernel; i++) {
              const from = own[at - kernel + 1 + i];
              if (from !== undefined) sum += taps[c * kernel + i] * x[(b * time + from) * channels + c];
            }
            assertAlmostEquals(found[(b * time + t) * channels + c], sum, 1e-6, `seed ${seed}`);
          }
        });
      }
      const whole = await numbers(causalConv(given, weight, null, null, plain).y), cut = pick(0, time);
      let tail: Tensor | null = null;
      const parts: number[][] = [];
      for (const [from, to] of [[0, cut], [cut, time]].filter(([from, to]) => to > from)) {
        using part = given.slice(null, [from, to]);
        const made: CausalConvResult = causalConv(part, weight, null, tail, plain);
        tail = made.tail;
        parts.push([...await numbers(made.y)]);
      }
      const rows = parts.map((p) => p.length / batch);
      const joined = Array.from(
        { length: batch },
        (_, b) => parts.flatMap((p, i) => p.slice(b * rows[i], (b + 1) * rows[i])),
      );
      assertEquals(joined.flat(), [...whole], `seed ${seed}, cut at ${cut}`);
    }
  });

  it("of one tap is a product; its gradients are those of differences", async () => {
    const place = { device: "reference", dtype: "f64" } as const, random = new Generator(3);
    const make = (...shape: number[]) =>
      tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform() - 0.5), {
        shape,
        ...place,
        requiresGrad: true,
      });
    using one = tensor([2, -3], { shape: [2, 1, 1] });
    using x = tensor([[[1, 2], [3, 4]]]);
    assertEquals(
      await numbers(causalConv(x, one, null, null, plain).y),
      new Float32Array([2, -6, 6, -12]),
    );
    using real = tensor([[false, true, true, false, true]], { device: "reference" });
    for (const mask of [null, real]) {
      assert(
        await checkGradients(
          (...[x, w, b, t]: Tensor[]) => causalConv(x, w, b, t, { real: mask, seen: null }).y,
          [make(1, 5, 2), make(2, 1, 3), make(2), make(1, 2, 2)],
        ),
      );
    }
  });
});

describe("the gated delta rule", () => {
  const inTwos: typeof deltaScan = (steps, before) => deltaChunks(steps, before, 2);

  it("is the plain delta rule without decay: what a key held is replaced, and others are left", async () => {
    const row = (...x: number[][]) => tensor([x.map((one) => [one])], { device: "reference" });
    const gate = (...x: number[]) => tensor([x.map((one) => [one])], { device: "reference" });
    const k = row([1, 0], [0, 1], [1, 0], [0.6, 0.8]), v = row([3, 4], [5, 6], [7, 8], [0, 0]);
    const run = async (beta: Tensor, decay: Tensor, q: Tensor) => {
      const { out, state } = gatedDeltaRule({ q, k, v, decay, beta }, null);
      return [[...await numbers(out)], [...await numbers(state)]];
    };
    const ones = gate(1, 1, 1, 1), none = gate(1, 1, 1, 0);
    // Read by their own keys, as they were written; the third replaces the first, the last writes nothing.
    assertEquals(await run(none, ones, row([1, 0], [0, 1], [1, 0], [0, 1])), [[3, 4, 5, 6, 7, 8, 5, 6], [
      7,
      8,
      5,
      6,
    ]]);
    // Half of it replaced; all of it faded by a half at each position.
    assertEquals((await run(gate(1, 1, 0.5, 0), ones, row([1, 0], [1, 0], [1, 0], [1, 0])))[0].slice(4), [
      5,
      6,
      5,
      6,
    ]);
    assertEquals((await run(none, gate(1, 0.5, 0.5, 0.5), row([1, 0], [1, 0], [0, 1], [1, 0])))[0], [
      ...[3, 4, 1.5, 2, 2.5, 3, 3.5, 4],
    ]);
    // Decay 0 forgets everything.
    assertEquals((await run(none, gate(1, 1, 1, 0), row([1, 0], [1, 0], [1, 0], [1, 0])))[1], [0, 0, 0, 0]);
  });

  it("in chunks is what it is position by position, however keys repeat and whatever fades", async () => {
    for (let seed = 1; seed <= width(12, 4); seed++) {
      const random = new Generator(seed), pick = (...list: number[]) => list[random.integer(0, list.length)];
      const batch = pick(1, 2),
        time = 1 + random.integer(0, 80),
        heads = pick(1, 3),
        keys = pick(2, 8),
        values = pick(1, 5);
      const list = (n: number, make: (i: number) => number) => Array.from({ length: n }, (_, i) => make(i));
      const place = { device: "cpu" } as const, rows = batch * time * heads;
      const normal = (...shape: number[]) =>
        tensor(list(shape.reduce((a, b) => a * b, 1), () => 2 * random.uniform() - 1), { shape, ...place });
      const kind = pick(0, 1, 2, 3), one = normal(1, 1, 1, keys), all = [batch, time, heads, keys];
      const unit = (x: Tensor) => x.div(x.square().sum(-1, true).sqrt());
      // The same key again and again, decays of 0 (where texts begin), and next to 0.
      const k = unit(kind === 1 ? one.expand(all) : normal(...all)), q = unit(normal(...all));
      const fading = () =>
        kind === 1 ? 1 : kind === 3 ? Math.exp(-60 * random.uniform()) : 0.5 + random.uniform() / 2;
      const decay = list(rows, () => kind === 2 && random.uniform() < 0.3 ? 0 : fading());
      const steps = {
        q,
        k,
        v: normal(batch, time, heads, values),
        decay: tensor(decay, { shape: [batch, time, heads], ...place }),
        beta: tensor(list(rows, () => random.uniform()), { shape: [batch, time, heads], ...place }),
      };
      const before = pick(0, 1) ? normal(batch, heads, keys, values) : null, size = pick(2, 8, 16, 32, 64);
      const known = noGrad(() => deltaScan(steps, before)),
        found = noGrad(() => deltaChunks(steps, before, size));
      for (const key of ["out", "state"] as const) {
        assertEquals(found[key].shape, known[key].shape);
        const off = worst(await numbers(found[key]), await numbers(known[key]));
        assert(
          off < 2e-5,
          `seed ${seed}, kind ${kind}, ${time} in chunks of ${size}: ${key} is off by ${off}`,
        );
      }
    }
  });

  for (const [how, rule] of Object.entries({ steps: deltaScan, chunks: inTwos })) {
    it(`gradients by ${how} are those of differences, through the state too`, async () => {
      const random = new Generator(8);
      const make = (...shape: number[]) =>
        tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.uniform()), { shape });
      assert(
        await checkGradients(
          (...[q, k, v, decay, beta, before]: Tensor[]) => {
            const { out, state } = rule({ q, k, v, decay, beta }, before);
            return out.sum().add(state.mul(state).sum());
          },
          [
            make(2, 4, 2, 3),
            make(2, 4, 2, 3),
            make(2, 4, 2, 2),
            make(2, 4, 2),
            make(2, 4, 2),
            make(2, 2, 3, 2),
          ],
        ),
      );
    });
  }
});

for (const family of width(families, ["lfm2", "qwen3_5_text"])) {
  describe(`${family}: layers with states`, () => {
    it("padding is passed over, wherever it stands, and several texts stand in a row", async () => {
      using model = await fresh(family);
      const random = new Generator(9), vocab = model.vocabSize;
      for (let turn = 0; turn < width(6, 1); turn++) {
        const all = 14,
          rows = [0, 1, 2].map((row) => {
            const mask = Array.from(
              { length: all },
              (_, t) => row === 0 ? 1 : random.integer(0, 3) > 0 ? 1 : t === 5 ? 1 : 0,
            );
            return {
              ids: mask.map(() => random.integer(0, 64)),
              mask,
            };
          });
        const attentionMask = rows.map(({ mask }) => mask);
        const found = await numbers(
          noGrad(() => model.forward(rows.map(({ ids }) => ids), { attentionMask })),
        );
        for (const [b, { ids, mask }] of rows.entries()) {
          const own = ids.map((_, t) => t).filter((t) => mask[t] === 1);
          const alone = await numbers(noGrad(() => model.forward([own.map((t) => ids[t])])));
          own.forEach((t, at) => {
            const at0 = (b * all + t) * vocab;
            const off = worst(found.subarray(at0, at0 + vocab), alone.subarray(at * vocab, (at + 1) * vocab));
            assert(off < 5e-5, `row ${b}, position ${t} is off by ${off}`);
          });
        }
        // In one row: those that stand behind one another see themselves alone.
        const texts = [5, 1, 4, 6].map((n) => Array.from({ length: n }, () => random.integer(0, 64)));
        const owner = texts.flatMap((text, i) => text.map(() => i)), time = owner.length;
        using seen = tensor(owner.flatMap((a) => owner.map((b) => a === b)), { shape: [1, 1, time, time] });
        const packed = await numbers(noGrad(() =>
          model.forward([texts.flat()], {
            attentionMask: seen,
            positionIds: [texts.flatMap((text) => text.map((_, t) => t))],
          })
        ));
        let at = 0;
        for (const text of texts) {
          const alone = await numbers(noGrad(() => model.forward([text])));
          const off = worst(packed.subarray(at * vocab, (at += text.length) * vocab), alone);
          assert(off < 5e-5, `a text of ${text.length} is off by ${off}`);
        }
      }
    });

    it("goes back to where states are kept, and says so where they are not", async () => {
      using model = await fresh(family);
      await exactly(async () => {
        const ids = Array.from({ length: 60 }, (_, i) => (i * i + 3 * i) % 64);
        const known = await numbers(noGrad(() => model.forward([ids])));
        using cache = model.createCache(1, 80);
        const feed = (from: number, to: number) =>
          numbers(noGrad(() => model.forward([ids.slice(from, to)], { cache })));
        const check = (found: Float32Array, from: number) =>
          assertStrictEquals(worst(found, known.subarray(from * 64, from * 64 + found.length)), 0);
        check(await feed(0, 50), 0);
        for (let t = 50; t < 56; t++) check(await feed(t, t + 1), t);
        const error = assertThrows(() => cache.truncate(53), OptionError);
        assert(
          /truncate: length is 53.*kept after 0, 33, 50 of 56 positions/.test(error.message),
          error.message,
        );
        assertStrictEquals(cache.length, 56);
        cache.ids.push(...ids.slice(0, 56));
        cache.rewind(53);
        assertEquals([cache.length, cache.ids.length], [50, 53]);
        check(await feed(50, 54), 50);
        cache.truncate(33);
        check(await feed(33, 60), 33);
        cache.truncate(0);
        check(await feed(0, 3), 0);
        // Rows of it take over what it holds, and what it held.
        cache.truncate(0);
        check(await feed(0, 40), 0);
        using wide = model.createCache(2, 80), row = model.createCache(1, 80);
        wide.copyRows(cache, [0, 0]);
        row.copyRows(cache, [0], 0, 30);
        assertEquals([wide.length, row.length], [40, 23]);
        const two = await numbers(
          noGrad(() => model.forward([ids.slice(40, 44), ids.slice(40, 44)], { cache: wide })),
        );
        check(two.slice(0, 4 * 64), 40);
        check(two.slice(4 * 64), 40);
        check(await numbers(noGrad(() => model.forward([ids.slice(23, 27)], { cache: row }))), 23);
      });
    });

    it("greedy tokens, however they are come by", async () => {
      using model = await fresh(family);
      await exactly(async () => {
        const prompt = [3, 14, 15, 9, 26, 5, 3, 14, 15],
          long = Array.from({ length: 60 }, (_, i) => (i * 7) % 64);
        const ids: number[] = [...prompt];
        for (let i = 0; i < 7; i++) {
          const last = await numbers(noGrad(() => model.forward([ids], { lastOnly: true })));
          ids.push(last.indexOf(Math.max(...last)));
        }
        const known = ids.slice(prompt.length);
        const tokens = async (more: object, text = prompt) =>
          (await model.completion(text, { ...greedy, ...more })).ids;
        assertEquals(await tokens({}), known, "with a cache");
        assertEquals(await tokens({ promptLookupNumTokens: 4 }), known, "guesses of the text");
        assertEquals(
          await tokens({ assistantModel: model, numAssistantTokens: 3 }),
          known,
          "guesses of a model",
        );
        using other = await fresh(family);
        for (const p of other.parameters()) noGrad(() => tidy(() => copyInto(p.mul(1.1), p)));
        assertEquals(await tokens({ assistantModel: other, numAssistantTokens: 5 }), known, "wrong guesses");
        assertEquals(await tokens({ penaltyAlpha: 1e-9, topK: 2 }), known, "contrastive");
        const batch = await model.completeBatch([prompt, prompt.slice(1), [7], prompt], greedy);
        assertEquals([batch[0].ids, batch[3].ids], [known, known], "in a batch");
        assertEquals(batch[1].ids, await tokens({}, prompt.slice(1)));
        const plain = await tokens({ cachePrompt: false }, long), before = model.prefixes?.reused ?? 0;
        assertEquals(await tokens({}, long), plain, "kept");
        assertEquals(await tokens({}, long), plain, "from what is kept");
        assertStrictEquals((model.prefixes?.reused ?? 0) - before, long.length - 17);
        const next = [...long, ...plain, 9, 8, 7, ...long.slice(0, 20)];
        assertEquals(
          await tokens({}, next.slice(0, 80)),
          await tokens({ cachePrompt: false }, next.slice(0, 80)),
        );
        const draws = await model.completions(prompt, {
          ...greedy,
          doSample: true,
          seed: 4,
          numReturnSequences: 3,
        });
        for (const [i, { ids }] of draws.entries()) {
          assertEquals(
            ids,
            (await model.completion(prompt, { ...greedy, doSample: true, seed: 4 + i })).ids,
            `draw ${i}`,
          );
        }
        const [best] = await model.completions(prompt, { ...greedy, numBeams: 1 });
        assertEquals(best.ids, known);
        const beams = await model.completions(prompt, { ...greedy, numBeams: 3, numReturnSequences: 2 });
        using reference = await fresh(family, "reference");
        const same = await reference.completions(prompt, { ...greedy, numBeams: 3, numReturnSequences: 2 });
        assertEquals(beams.map(({ ids }) => ids), same.map(({ ids }) => ids), "beams");
        using cache = model.createCache();
        const first = await model.completion(prompt, { ...greedy, maxNewTokens: 3, cache });
        const rest = await model.completion([], { ...greedy, maxNewTokens: 4, cache });
        assertEquals([...first.ids, ...rest.ids], known, "in two parts");
      });
    });

    it("gradients: the same when layers are computed again; attention where there is some; no graph", async () => {
      using model = await fresh(family);
      const text = [
        Array.from({ length: 20 }, (_, i) => (i * 5) % 64),
        Array.from({ length: 20 }, (_, i) => (i * i) % 64),
      ];
      const mask = text.map((row, b) => row.map((_, t) => b === 1 && (t < 3 || t === 9) ? 0 : 1));
      const gradients = async (isAgain: boolean): Promise<Float32Array[]> => {
        model.train();
        model.network.gradientCheckpointing = isAgain;
        tidy(() => {
          model.loss(text.map((row) => row.slice(0, -1)), text.map((row) => row.slice(1)), {
            attentionMask: mask.map((row) => row.slice(0, -1)),
          }).backward();
        });
        const all = await Promise.all(
          model.parameters().map(async (p) => (await p.grad!.data()).slice() as Float32Array),
        );
        model.network.zeroGrad();
        model.eval();
        return all;
      };
      assertEquals(await gradients(true), await gradients(false));
      const error = assertThrows(() => model.attentions([1, 2, 3], { layers: [0] }), OptionError);
      assert(/layer 0 attends to nothing; those that do are/.test(error.message), error.message);
      const looked = model.attentions([1, 2, 3]);
      assertEquals(looked.map(({ shape }) => [...shape]), looked.map(() => [1, 2, 3, 3]));
      for (const t of looked) t.dispose();
      await assertRejectsWith(() => exportOnnx(model, "/nowhere.onnx"), /has layers with states/);
    });
  });
}

async function assertRejectsWith(run: () => unknown, message: RegExp): Promise<void> {
  try {
    await run();
  } catch (error) {
    assert(error instanceof OptionError && message.test(error.message), String(error));
    return;
  }
  throw new Error("nothing was refused");
}

describe("an LFM2's config.json", () => {
  const json = {
    model_type: "lfm2",
    vocab_size: 40,
    hidden_size: 8,
    num_attention_heads: 2,
    max_position_embeddings: 32,
  };

  it("is read field by field; what is not computed is refused by name; a GGUF gives the same model", async () => {
    const read = (more: object) =>
      decoderConfig({ ...json, intermediate_size: 20, num_hidden_layers: 2, ...more });
    const types = { layer_types: ["conv", "full_attention"] };
    assertStrictEquals(read(types).intermediateSize, 256);
    assertStrictEquals(
      read({ ...types, block_ff_dim: 12288, block_multiple_of: 256 }).intermediateSize,
      8192,
    );
    assertStrictEquals(read({ ...types, block_auto_adjust_ff_dim: false }).intermediateSize, 20);
    for (
      const [more, word] of [
        [{ layer_types: ["conv", "conv"] }, "full_attention"],
        [{ layer_types: ["conv"] }, "layer_types"],
        [{ full_attn_idxs: [0.5] }, "full_attn_idxs"],
        [{ ...types, conv_dim: 9 }, "conv_dim"],
        [{ ...types, num_heads: 3 }, "num_heads"],
        [{ ...types, conv_L_cache: 0 }, "conv_L_cache"],
        [{ ...types, attention_bias: true }, "attention_bias"],
        [{ ...types, hidden_act: "gelu" }, "hidden_act"],
        [{ ...types, num_local_experts: 4 }, "num_local_experts"],
      ] as const
    ) {
      const { message } = assertThrows(() => read(more), FormatError);
      assert(message.includes(word), message);
    }
    await inFolder(async (folder) => {
      const config = read({ ...types, conv_bias: true, block_auto_adjust_ff_dim: false });
      const network = decoderNetwork(config, { device: "reference" });
      assertEquals(
        [...network.namedParameters()].some(([name]) => name === "model.layers.0.conv.conv.bias"),
        true,
      );
      network.dispose();
      using model = await CausalLM.fromSizes("lfm2", { ...sizes }, { device: "reference" });
      await model.save(join(folder, "plain"));
      await convertToGguf(join(folder, "plain"), join(folder, "plain.gguf"));
      using back = await CausalLM.load(join(folder, "plain.gguf"), { device: "reference" });
      using a = noGrad(() => model.eval().forward([[1, 2, 3]])), b = noGrad(() => back.forward([[1, 2, 3]]));
      assert(worst(await a.data() as Float32Array, await b.data() as Float32Array) < 1e-6);
    });
  });
});

describe("a Qwen3-Next's config.json", () => {
  it("is read field by field; what is not computed is refused by name", () => {
    const json = {
      vocab_size: 40,
      hidden_size: 8,
      intermediate_size: 12,
      num_attention_heads: 2,
      max_position_embeddings: 32,
      num_hidden_layers: 4,
    };
    const next = { model_type: "qwen3_next", num_experts: 0, ...json },
      five = { model_type: "qwen3_5_text", ...json };
    const attends = (config: object) =>
      decoderConfig(config as Record<string, unknown>).layers.map(({ states }) => !states);
    assertEquals(attends(next), [false, false, false, true]);
    assertEquals(attends({ ...five, full_attention_interval: 2 }), [false, true, false, true]);
    assertEquals(attends({ ...next, num_experts: 8, mlp_only_layers: [0, 1, 2, 3] }), [
      false,
      false,
      false,
      true,
    ]);
    for (
      const [config, word] of [
        [{ ...next, num_experts: 8 }, "num_experts_per_tok is 10, expected at most the 8 num_experts"],
        [{ ...next, num_experts: 8, num_experts_per_tok: 9 }, "num_experts_per_tok"],
        [{ ...next, num_experts: 5000 }, "num_experts is 5000, expected at most 4096"],
        [{ ...next, num_experts: 16, mlp_only_layers: ["0"] }, "mlp_only_layers"],
        [{ ...next, num_experts: 16, output_router_logits: true }, "output_router_logits"],
        [{ ...five, num_experts: 8 }, "num_experts"],
        [{ ...five, attn_output_gate: false }, "attn_output_gate"],
        [{ ...five, linear_num_key_heads: 3 }, "linear_num_value_heads"],
        [{ ...five, linear_conv_kernel_dim: 65 }, "linear_conv_kernel_dim"],
        [{ ...five, layer_types: ["linear_attention", "sliding_attention"] }, "layer_types"],
      ] as const
    ) {
      const { message } = assertThrows(() => attends(config), FormatError);
      assert(message.includes(word), message);
    }
  });
});
