/**
 * Language models written as ONNX: the same tokens by the graph, whose cache goes in and out, as by the model; here, by ONNX
 * Runtime, and by transformers.js, where these are installed.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  CausalLM,
  concat,
  exportOnnx,
  GPT2,
  inspectOnnx,
  Onnx,
  OptionError,
  type Tensor,
  tensor,
  zeros,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { fails, output } from "./_command.ts";
import { dataPath, repository } from "./_data.ts";
import { truth, Weights } from "./_decoder_truth.ts";
import { randomConfig, randomFamilies, vocab, writeFamily } from "./_random_families.ts";
import { type OnnxRuntime, rival } from "./_rivals.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const families = [
  "gemma",
  "gemma2",
  "gemma3",
  "gpt_neox",
  "llama3",
  "mistral",
  "phi3",
  "phi3-longrope",
  "qwen2",
  "qwen3",
];
const folders = [
  ["gpt2-tiny", dataPath("gpt2-tiny")],
  ...families.map((family) => [family, dataPath("families", family)]),
] as const;
const bundled = join(repository, "web", "models", "shakespeare");
const judge = rival<OnnxRuntime>("onnxruntime-node");
const runtime = "program" in judge && "Deno" in globalThis ? judge.program : null;

/** Runs a graph on tensors by name. */
type Run = (inputs: Record<string, Tensor>) => Promise<Record<string, Tensor>>;

async function byRuntime(path: string): Promise<{ run: Run; release(): Promise<void> }> {
  const { InferenceSession, Tensor: Theirs } = runtime!,
    session = await InferenceSession.create(readFileSync(path));
  return {
    release: () => session.release(),
    async run(inputs) {
      const given = await Promise.all(
        Object.entries(inputs).map(async ([name, t]) => [
          name,
          new Theirs(t.dtype === "i64" ? "int64" : "float32", await t.data() as Float32Array, [...t.shape]),
        ]),
      );
      const results = await session.run(Object.fromEntries(given));
      return Object.fromEntries(
        Object.entries(results).map(([name, { data, dims }]) => [name, tensor(data, { shape: [...dims] })]),
      );
    },
  };
}

const ids = (rows: readonly (readonly number[])[]): Tensor => tensor(rows as number[][], { dtype: "i64" });

function past(model: CausalLM, batch: number): Record<string, Tensor> {
  using cache = model.createCache(1, 1);
  const [, heads, , size] = cache.layers[0].keys.shape;
  return Object.fromEntries(
    cache.layers.flatMap((_, i) =>
      ["key", "value"].map((what) => [`past_key_values.${i}.${what}`, zeros([batch, heads, 0, size])])
    ),
  );
}

const next = (results: Record<string, Tensor>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(results).filter(([name]) => name !== "logits").map((
      [name, t],
    ) => [name.replace("present", "past_key_values"), t]),
  );

/** The likeliest tokens after `prompt`, one after the other, each step by the graph. */
async function greedy(
  run: Run,
  model: CausalLM,
  prompt: readonly number[],
  count: number,
): Promise<number[]> {
  let own = [...prompt], cache = past(model, 1), length = 0;
  const made: number[] = [];
  while (made.length < count) {
    const start = length;
    length += own.length;
    const results = await run({
      input_ids: ids([own]),
      attention_mask: ids([new Array<number>(length).fill(1)]),
      position_ids: ids([own.map((_, i) => start + i)]),
      ...cache,
    });
    const { logits } = results, data = await logits.slice([0, 1], [-1, null]).data() as Float32Array;
    own = [data.indexOf(Math.max(...data))];
    made.push(own[0]);
    cache = next(results);
  }
  return made;
}

/** Texts of unequal length in one batch, in three pieces: what each gives alone, which is returned. */
async function padded(run: Run, model: CausalLM): Promise<number[]> {
  const texts = [[3, 1, 4, 1, 5, 9], [2, 7, 1]], longest = 6;
  const rows = texts.map((text) => [...new Array<number>(longest - text.length).fill(0), ...text]);
  const mask = texts.map((text) => rows[0].map((_, i) => Number(i >= longest - text.length)));
  const places = mask.map((row) =>
    row.map((_, i) => Math.max(0, row.slice(0, i + 1).reduce((a, b) => a + b) - 1))
  );
  const pieces: Tensor[] = [];
  let cache = past(model, texts.length);
  for (const [from, to] of [[0, 4], [4, 5], [5, 6]]) {
    const part = (rows: number[][]): Tensor => ids(rows.map((row) => row.slice(from, to)));
    const results = await run({
      input_ids: part(rows),
      attention_mask: ids(mask.map((row) => row.slice(0, to))),
      position_ids: part(places),
      ...cache,
    });
    pieces.push(results.logits);
    cache = next(results);
  }
  const joined = concat(pieces, 1), all: number[] = [];
  for (const [i, text] of texts.entries()) {
    const want = await model.forward([text]).data(),
      got = await joined.slice([i, i + 1], [longest - text.length, null]).data();
    for (let j = 0; j < want.length; j++) assert(Math.abs(Number(want[j]) - Number(got[j])) < 1e-3);
    all.push(...Array.from(got as Float32Array));
  }
  return all;
}

describe("language models as ONNX", () => {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-onnx-text-"));
  for (const [name, dir] of width(folders, [folders[0], folders[5]])) {
    for (
      const opsetVersion of name === "gpt2-tiny" || name === "gemma2" ? [18, 23] : [name.length % 2 ? 18 : 23]
    ) {
      it(`${name}, opset ${opsetVersion}: the same tokens`, async () => {
        using model = await CausalLM.load(dir);
        const path = join(folder, `${name}.onnx`), random = new Generator(opsetVersion);
        await exportOnnx(model, path, { opsetVersion });
        const prompt = Array.from({ length: 7 }, () => Math.floor(random.uniform() * model.vocabSize)),
          count = 6;
        const want: number[] = [];
        for (let i = 0; i < count; i++) {
          const data = await model.forward([[...prompt, ...want]], { lastOnly: true }).data() as Float32Array;
          want.push(data.indexOf(Math.max(...data)));
        }
        using graph = await Onnx.load(path);
        const own: Run = async (inputs) => await graph.run(inputs) as Record<string, Tensor>;
        assertEquals(await greedy(own, model, prompt, count), want);
        if (!runtime) return;
        const theirs = await byRuntime(path);
        try {
          assertEquals(await greedy(theirs.run, model, prompt, count), want, "by ONNX Runtime");
        } finally {
          await theirs.release();
        }
      });
    }
  }

  const seeds = Number(process.env.RANDOM_FAMILIES ?? 1);
  for (const family of width(randomFamilies, [])) {
    it(`${family} of a configuration at random: logits are those of float64`, async () => {
      for (let seed = 1; seed <= seeds; seed++) {
        const config = randomConfig(family, seed),
          dir = join(folder, "random"),
          path = join(folder, "random.onnx");
        const own = {
          ...config,
          ...config.model_type === "phi3" ? { original_max_position_embeddings: 16 } : {},
        };
        const weights = new Weights(seed),
          text = Array.from({ length: 11 }, (_, t) => (seed * 5 + t * t + 3 * t) % vocab),
          known = truth(own, text, weights);
        await writeFamily(dir, own, weights);
        using model = await CausalLM.load(dir, { onWarning: () => {} });
        using sample = model.createCache(1, 1);
        if (sample.states.length > 0) {
          await assertRejects(
            () => exportOnnx(model, path),
            OptionError,
            "layers with states in place of keys",
          );
          continue;
        }
        await exportOnnx(model, path, { opsetVersion: seed % 2 ? 18 : 23 });
        using graph = await Onnx.load(path);
        const most = Math.max(1, ...known.flatMap((row) => Array.from(row, Math.abs)));
        let cache = past(model, 1);
        for (const [from, to] of [[0, 4], [4, 10], [10, 11]]) {
          const results = await graph.run({
            input_ids: ids([text.slice(from, to)]),
            attention_mask: ids([new Array<number>(to).fill(1)]),
            position_ids: ids([text.slice(from, to).map((_, i) => from + i)]),
            ...cache,
          }) as Record<string, Tensor>;
          const logits = await results.logits.data();
          known.slice(from, to).forEach((row, t) =>
            row.forEach((x, i) => {
              const difference = Math.abs(Number(logits[t * vocab + i]) - x) / most;
              assert(
                difference < 1e-5,
                `off by ${difference} of the largest logit, seed ${seed}: ${JSON.stringify(own)}`,
              );
            })
          );
          cache = next(results);
        }
      }
    });
  }

  it("texts of unequal length in one batch give what each gives alone, in pieces too", async () => {
    using model = await CausalLM.load(dataPath("families", "llama3"));
    const path = join(folder, "padded.onnx");
    await exportOnnx(model, path);
    using graph = await Onnx.load(path);
    await padded(async (inputs) => await graph.run(inputs) as Record<string, Tensor>, model);
  });

  it("opset 23 has attention, norms and rotary positions as one operator each", async () => {
    using model = await CausalLM.load(dataPath("families", "llama3"));
    const path = join(folder, "23.onnx"), { layers } = model;
    await exportOnnx(model, path, { opsetVersion: 23 });
    const { operators, opsets } = await inspectOnnx(path);
    assertEquals(opsets, { "": 23 });
    assertEquals(operators.Attention, layers);
    assertEquals(operators.RMSNormalization, 2 * layers + 1);
    assertEquals(operators.RotaryEmbedding, 2 * layers);
    assertEquals(operators.Softmax, undefined);
  });

  it("weights have the model's names and dtypes, and lie beside the graph where that is asked for", async () => {
    using model = await GPT2.load(dataPath("gpt2-tiny"), { dtype: "bf16" });
    const path = join(folder, "beside.onnx");
    await exportOnnx(model, path, { externalData: true });
    assert(readFileSync(path).length < 50_000 && existsSync(`${path}_data`));
    const { tensors, metadata } = await inspectOnnx(path);
    const found = new Map(tensors.map(({ name, type, shape }) => [name, `${type} ${shape}`]));
    for (const [name, p] of model.namedParameters()) {
      assertEquals(found.get(name), `${p.dtype === "bf16" ? "bfloat16" : "float"} ${p.shape}`, name);
    }
    assertEquals(metadata.model_type, "gpt2");
    using graph = await Onnx.load(path);
    const run: Run = async (inputs) => await graph.run(inputs) as Record<string, Tensor>;
    const text = (await model.completion([5, 3, 1], { maxNewTokens: 5, temperature: 0 })).ids;
    assertEquals(await greedy(run, model, [5, 3, 1], 5), [...text]);
  });

  /** In blocks and with attention in one, what each step gives is what the model gives where nothing else is rounded. */
  for (
    const [name, dtype, opsetVersion] of width(
      [["qwen2", "q4", 18], ["gpt2-tiny", "q8", 23], ["gemma2", "q8", 18], ["mistral", "q4", 23], [
        "phi3",
        undefined,
        18,
      ]] as const,
      [["qwen2", "q4", 18]] as const,
    )
  ) {
    it(`${name} by operators of ONNX Runtime's own, ${dtype ?? "f32"}, opset ${opsetVersion}`, async () => {
      const dir = folders.find(([own]) => own === name)![1], path = join(folder, "contrib.onnx");
      using model = await CausalLM.load(dir, {
        device: "reference",
        onWarning: () => {},
        ...dtype ? { dtype } : {},
      });
      await exportOnnx(model, path, { contribOps: true, opsetVersion });
      const { operators } = await inspectOnnx(path);
      using cache = model.createCache(1, 1);
      const isEven = cache.layers[0].keys.shape[3] % 8 === 0;
      assertEquals(operators["com.microsoft.GroupQueryAttention"], isEven ? model.layers : undefined);
      assertEquals(Boolean(operators["com.microsoft.MatMulNBits"]), dtype !== undefined);
      const random = new Generator(opsetVersion), count = 5;
      const prompt = Array.from({ length: 6 }, () => Math.floor(random.uniform() * model.vocabSize));
      const want: number[] = [];
      for (let i = 0; i < count; i++) {
        const data = await model.forward([[...prompt, ...want]], { lastOnly: true }).data() as Float32Array;
        want.push(data.indexOf(Math.max(...data)));
      }
      using graph = await Onnx.load(path);
      const own: Run = async (inputs) => await graph.run(inputs) as Record<string, Tensor>;
      assertEquals(await greedy(own, model, prompt, count), want);
      const batch = await padded(own, model);
      if (!runtime) return;
      const theirs = await byRuntime(path);
      try {
        assertEquals(await greedy(theirs.run, model, prompt, count), want, "by ONNX Runtime");
        (await padded(theirs.run, model)).forEach((x, i) =>
          assert(Math.abs(x - batch[i]) < 2e-3, `${x}, not ${batch[i]}`)
        );
      } finally {
        await theirs.release();
      }
    });
  }

  it("blocks of q8 are written as the floats that they stand for", async () => {
    using model = await CausalLM.load(dataPath("families", "qwen2"), {
      dtype: "q8",
      // Where nothing but the weights is rounded to blocks.
      device: "reference",
      onWarning: () => {},
    });
    const path = join(folder, "q8.onnx");
    await exportOnnx(model, path);
    using graph = await Onnx.load(path);
    const prompt = [[1, 2, 3]],
      [logits] = [
        (await graph.run({
          input_ids: ids(prompt),
          attention_mask: ids([[1, 1, 1]]),
          position_ids: ids([[0, 1, 2]]),
          ...past(model, 1),
        })).logits as Tensor,
      ];
    const got = await logits.data(), want = await model.forward(prompt).data();
    for (let i = 0; i < want.length; i++) assert(Math.abs(Number(want[i]) - Number(got[i])) < 1e-3);
  });

  const transformers = rival<unknown>("@huggingface/transformers");
  const once = "Deno" in globalThis ? false : "done once, on Deno, to save time";
  it(
    "transformers.js generates with the folder",
    { skip: once || ("skip" in transformers ? transformers.skip : false) },
    async () => {
      const dir = join(folder, "folder", "shakespeare");
      await output(["convert", bundled, dir, "--format", "onnx"]);
      const { AutoModelForCausalLM, AutoTokenizer, env } = createRequire(
        join(repository, "tests", "rivals", "package.json"),
        // deno-lint-ignore no-explicit-any
      )("@huggingface/transformers") as any;
      env.allowRemoteModels = false;
      env.localModelPath = `${join(folder, "folder")}/`;
      const tokenizer = await AutoTokenizer.from_pretrained("shakespeare");
      const theirs = await AutoModelForCausalLM.from_pretrained("shakespeare", { dtype: "fp32" });
      using model = await GPT2.load(bundled);
      for (const prompt of ["ROMEO:", "First Citizen:\nBefore"]) {
        const given = tokenizer(prompt),
          made = await theirs.generate({ ...given, max_new_tokens: 30, do_sample: false });
        const list = made.tolist()[0].map(Number) as number[];
        const want = await model.completion(prompt, { maxNewTokens: 30, temperature: 0 });
        assertEquals(list, [...model.encode(prompt), ...want.ids]);
      }
      await theirs.dispose();
    },
  );

  it("refuses what has no effect, and what it is not made of", async () => {
    using model = await GPT2.load(dataPath("gpt2-tiny"));
    const path = join(folder, "no.onnx");
    await assertRejects(
      () => exportOnnx(model, path, { args: [zeros([1])] }),
      OptionError,
      "args has no effect",
    );
    await assertRejects(
      () => exportOnnx((x: Tensor) => x.add(1), path, { args: [zeros([1])], contribOps: true }),
      OptionError,
      "contribOps has no effect",
    );
    await assertRejects(() => exportOnnx(model, path, { opsetVersion: 17 }), OptionError, "18 to 23");
    for (
      const [args, message] of [
        [["convert", dataPath("gpt2-tiny", "model.safetensors"), path], /a model's folder or a GGUF/],
        [["convert", dataPath("gpt2-tiny"), path, "--dtype", "q8"], /--dtype q8 is none of.*--contrib-ops/],
        [
          ["convert", dataPath("gpt2-tiny"), path, "--dtype", "q4_k", "--contrib-ops"],
          /--dtype q4_k is none of/,
        ],
        [
          ["convert", dataPath("gpt2-tiny"), join(folder, "x.gguf"), "--contrib-ops"],
          /--contrib-ops is for ONNX/,
        ],
        [["convert", dataPath("gpt2-tiny"), path, "--shard-size", "1MB"], /--shard-size is for safetensors/],
        [["convert", dataPath("gpt2-tiny"), path, "--format", "onnx"], /--format makes a folder/],
        [["convert", dataPath("gpt2-tiny"), join(folder, "x.gguf"), "--opset", "18"], /--opset is for ONNX/],
      ] as const
    ) {
      await fails(2, args, message);
    }
    assert(!existsSync(path));
  });

  it("the command writes blocks and attention in one", async () => {
    const path = join(folder, "command.onnx");
    await output(["convert", dataPath("families", "mistral"), path, "--dtype", "q4", "--contrib-ops"]);
    const { operators, opsets } = await inspectOnnx(path);
    assertEquals(opsets["com.microsoft"], 1);
    assert(
      operators["com.microsoft.MatMulNBits"] > 0 && operators["com.microsoft.GatherBlockQuantized"] === 1,
    );
  });

  it("is removed", () => rmSync(folder, { recursive: true }));
});
