/**
 * Adapters: against recorded runs, in PEFT's files and back, merged and not, beside weights of every form.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CausalLM,
  type DType,
  FormatError,
  GPT2,
  linear,
  manualSeed,
  nn,
  openSafetensors,
  optim,
  OptionError,
  rand,
  randn,
  saveGguf,
  saveSafetensors,
  type Tensor,
  tensor,
  zeros,
} from "../mod.ts";
import { dataPath, missingData } from "./_data.ts";
import { after, before, describe, it } from "./_suite.ts";

type Golden = {
  full_logits: { logits: number[][][] };
  lr: number;
  loss_before: number;
  loss_after_step: number[];
  grads_before: Record<string, { l2: number; first8: number[] }>;
  params_after: Record<string, { l2: number; first8: number[] }>;
};

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data() as Float32Array);
const bytesOf = async (t: Tensor): Promise<Uint8Array> => {
  const data = await t.data();
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
};
/** The parameter of an adapter that a file calls `name`. */
const own = (name: string): string => name.replace("base_model.model.", "").replace(/\.weight$/, "");
const furthest = (a: number[], b: number[]): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

const recorded: [string, string[], number][] = [
  ["a Qwen 2", ["families", "qwen2"], 1e-3],
  ["stories260K, all its layers", ["llama", "stories260K"], 2e-3],
];

for (const [title, place, tolerance] of recorded) {
  describe(`the recorded adapter of ${title}`, { skip: missingData(...place, "lora", "golden.json") }, () => {
    const golden = (): Golden => JSON.parse(readFileSync(dataPath(...place, "lora", "golden.json"), "utf8"));
    const prompts = (name: string): number[][] =>
      JSON.parse(readFileSync(dataPath(...place, "golden.json"), "utf8")).prompts[name].ids;

    it("gives the recorded logits, beside the weights and in them; the weights come back bit for bit", async () => {
      using model = await CausalLM.load(dataPath(...place));
      const plain = await values(model.forward(prompts("single"))), weights = model.namedParameters();
      const before = await Promise.all(weights.map(([, p]) => bytesOf(p)));
      await model.loadAdapter(dataPath(...place, "lora"), { name: "recorded" });
      assertEquals([model.adapter, model.adapters], ["recorded", ["recorded"]]);
      const wanted = golden().full_logits.logits.flat(2);
      assert(furthest(await values(model.forward(prompts("single"))), wanted) < tolerance);
      model.mergeAdapter();
      assert(furthest(await values(model.forward(prompts("single"))), wanted) < tolerance);
      model.unmergeAdapter();
      const named = new Map(model.namedParameters());
      for (const [i, [name]] of weights.entries()) {
        assertEquals(await bytesOf(named.get(name)!), before[i], name);
      }
      model.setAdapter(null);
      assertEquals(await values(model.forward(prompts("single"))), plain);
    });

    it("is trained as it was recorded", async () => {
      using model = await CausalLM.load(dataPath(...place));
      const adapter = await model.loadAdapter(dataPath(...place, "lora")), g = golden();
      const ids = prompts("batch"), named = new Map(adapter.namedParameters());
      const optimizer = new optim.AdamW(model.parameters().filter((p) => p.requiresGrad), {
        lr: g.lr,
        weightDecay: 0,
      });
      const losses: number[] = [];
      for (let step = 0; step < 9; step++) {
        const loss = model.loss(ids);
        losses.push(await loss.item());
        optimizer.zeroGrad();
        loss.backward();
        if (step === 0) {
          for (const [name, { first8 }] of Object.entries(g.grads_before)) {
            const { grad } = named.get(own(name))!;
            assert(furthest((await values(grad!)).slice(0, 8), first8) < tolerance, name);
          }
        }
        if (step < 8) optimizer.step();
      }
      for (const [i, wanted] of [g.loss_before, ...g.loss_after_step].entries()) {
        assertAlmostEquals(losses[i], wanted, tolerance, `step ${i}`);
      }
      for (const [name, { first8 }] of Object.entries(g.params_after)) {
        assert(furthest((await values(named.get(own(name))!)).slice(0, 8), first8) < 10 * tolerance, name);
      }
    });
  });
}

/** A model of a family with weights that all show. */
async function small(family: string, config: Record<string, unknown> = {}, spread = 0.3): Promise<CausalLM> {
  manualSeed(5);
  const sizes = { vocabSize: 40, contextLength: 32, width: 32, layers: 2, heads: 2 };
  const made = await CausalLM.fromSizes(family, sizes);
  const model = await CausalLM.fromConfig({ ...made.toConfig(), ...config });
  made.dispose();
  for (const p of model.parameters()) nn.init.normal(p, p.shape.length > 1 ? 0 : 1, spread);
  return model.eval();
}

/** Gives every part of an adapter values that show. */
function stir(adapter: nn.Lora, spread = 0.2): void {
  for (const [name, p] of adapter.namedParameters()) {
    if (name.endsWith("vector")) continue;
    nn.init.normal(p, 0, spread);
  }
}

const ids = [[3, 1, 4, 1, 5, 9, 2, 6]];

describe("adapters of every kind", () => {
  let folder: string;
  before(() => folder = mkdtempSync(join(tmpdir(), "ferrotype-lora-")));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const untied = { tie_word_embeddings: false };
  const kinds: [string, Record<string, unknown>, Partial<nn.LoraOptions>][] = [
    ["gpt2", {}, { alpha: 16 }],
    ["gpt2", untied, { targets: ["attn.c_proj", "lm_head"], dora: true }],
    ["llama", untied, { targets: ["lm_head", "down_proj"], rslora: true, alpha: 3 }],
    ["qwen3", {}, { targets: "all-linear", dora: true }],
    ["phi3", {}, {}],
    ["gpt_neox", untied, { targets: ["query_key_value", "embed_out"] }],
    ["gemma2", {}, { targets: ["gate_proj"], rslora: true, dora: true }],
  ];
  for (const [n, [family, config, options]] of kinds.entries()) {
    it(`${family} with ${JSON.stringify(options)}: nothing at first; merged as beside; through files`, async () => {
      using model = await small(family, config);
      const plain = await values(model.forward(ids));
      const adapter = nn.lora(model, { rank: 3, name: "own", ...options });
      assert(furthest(await values(model.forward(ids)), plain) < 1e-5);
      stir(adapter);
      const changed = await values(model.forward(ids));
      assert(furthest(changed, plain) > 1e-2, "the adapter shows");
      const dir = join(folder, String(n));
      await model.saveAdapter(dir, { baseModel: "org/base" });
      const json = JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8"));
      assertEquals([json.peft_type, json.r, json.use_dora], ["LORA", 3, options.dora ?? false]);
      await using file = await openSafetensors(join(dir, "adapter_model.safetensors"));
      const prefix = family === "gpt2"
        ? /^base_model\.model\.(transformer\.h\.\d|lm_head)/
        : /^base_model\.model\.(model|gpt_neox|lm_head|embed_out)\b/;
      for (const name of file.names) assert(prefix.test(name), name);
      await model.loadAdapter(dir, { name: "again" });
      assertEquals([model.adapter, model.adapters], ["own", ["own", "again"]]);
      model.setAdapter("again");
      assertEquals(await values(model.forward(ids)), changed);
      model.mergeAdapter();
      assert(furthest(await values(model.forward(ids)), changed) < 2e-4);
      assertThrows(() => model.setAdapter("own"), OptionError, "unmergeAdapter() first");
      model.unmergeAdapter();
      assertEquals(await values(model.forward(ids)), changed);
      model.deleteAdapter("own");
      model.deleteAdapter("again");
      assertEquals(await values(model.forward(ids)), plain);
      assertEquals(model.adapters, []);
      assert(model.parameters().every((p) => p.requiresGrad));
    });
  }

  for (const dtype of ["q8", "q4", "bf16"] as DType[]) {
    it(`beside weights held as ${dtype}: gradients are those beside the same weights as f32`, async () => {
      using made = await small("llama", {}, 0.1);
      const dir = join(folder, `held-${dtype}`);
      await made.save(dir, { dtype });
      using held = await CausalLM.load(dir), wide = await CausalLM.load(dir, { dtype: "f32" });
      const gradients: number[][][] = [];
      for (const model of [held, wide]) {
        manualSeed(9);
        const adapter = nn.lora(model, { rank: 2, targets: "all-linear" });
        manualSeed(10);
        stir(adapter);
        model.loss(ids).backward();
        gradients.push(await Promise.all(adapter.parameters().map((p) => values(p.grad as Tensor))));
      }
      for (const [i, got] of gradients[0].entries()) {
        const size = Math.max(...gradients[1][i].map(Math.abs));
        // Products with blocks round what they multiply with, too.
        assert(furthest(got, gradients[1][i]) < 0.1 * size + 1e-4, `parameter ${i}`);
      }
      held.mergeAdapter();
      const merged = await values(held.forward(ids));
      held.unmergeAdapter();
      assert(furthest(merged, await values(held.forward(ids))) < 0.3);
    });
  }

  it("the gradient that goes through blocks is that of their values", async () => {
    for (const dtype of ["q8", "q4"] as DType[]) {
      using weight = randn([6, 64], { seed: 3 }).to({ dtype }), wide = weight.to({ dtype: "f32" });
      using g = randn([5, 6], { seed: 4 }), x = randn([5, 64], { seed: 5, requiresGrad: true });
      linear(x, weight).mul(g).sum().backward();
      assert(furthest(await values(x.grad as Tensor), await values(g.matmul(wide))) < 1e-5, dtype);
    }
  });

  it("an adapter in a GGUF is the one in PEFT's files", async () => {
    for (const family of ["llama", "qwen2", "gpt_neox"]) {
      using model = await small(family);
      const adapter = nn.lora(model, { rank: 2, alpha: 5, targets: "all-linear", name: "own" });
      stir(adapter);
      const wanted = await values(model.forward(ids)), tensors: Record<string, Tensor> = {};
      const names: Record<string, string> = {
        q_proj: "attn_q",
        k_proj: "attn_k",
        v_proj: "attn_v",
        o_proj: "attn_output",
        gate_proj: "ffn_gate",
        up_proj: "ffn_up",
        down_proj: "ffn_down",
        query_key_value: "attn_qkv",
        dense: "attn_output",
        dense_h_to_4h: "ffn_up",
        dense_4h_to_h: "ffn_down",
      };
      // What llama.cpp's converter does with rows, said once more: heads of 16, halves to pairs; q, k, v apart.
      const order = (last: string, row: number): number => {
        const head = Math.floor(row / 16), i = row % 16;
        if (family === "llama" && /^[qk]_proj$/.test(last)) return 16 * head + (i % 2) * 8 + (i >> 1);
        if (last !== "query_key_value") return row;
        const part = Math.floor(row / 32), within = row % 32;
        return Math.floor(within / 16) * 48 + part * 16 + within % 16;
      };
      for (const [name, p] of adapter.namedParameters()) {
        const [, layer, last, matrix] = /layers\.(\d)\..*\.(\w+)\.lora_(A|B)$/.exec(name)!;
        const [rows, columns] = p.shape, given = await p.data() as Float32Array, turned = given.slice();
        for (let row = 0; matrix === "B" && row < rows; row++) {
          const from = order(last, row) * columns;
          turned.set(given.subarray(from, from + columns), row * columns);
        }
        tensors[`blk.${layer}.${names[last]}.weight.lora_${matrix.toLowerCase()}`] = tensor(turned, {
          shape: p.shape,
        });
      }
      const path = join(folder, `${family}.gguf`);
      await saveGguf(path, tensors, {
        metadata: {
          "general.architecture": family === "gpt_neox" ? "gptneox" : family,
          "general.type": "adapter",
          "adapter.type": "lora",
          "adapter.lora.alpha": 5.5 - 0.5,
        },
      });
      await model.loadAdapter(path, { name: "gguf" });
      model.setAdapter("gguf");
      assert(furthest(await values(model.forward(ids)), wanted) < 1e-6, family);
    }
  });

  it("a text goes on as it would without steps' programs, with each adapter in turn", async () => {
    for (const family of ["gpt2", "llama"]) {
      using model = await small(family);
      for (const name of ["a", "b"]) stir(nn.lora(model, { rank: 2, name, targets: "all-linear" }), 0.5);
      const options = { maxNewTokens: 12, temperature: 0 }, prompt = ids[0];
      const alone = async (): Promise<number[]> => {
        const text = [...prompt];
        for (let i = 0; i < 12; i++) {
          const logits = await values(model.forward([text], { lastOnly: true }));
          text.push(logits.indexOf(Math.max(...logits)));
        }
        return text.slice(prompt.length);
      };
      const wanted = new Map<string | null, number[]>();
      for (const name of ["a", "b", null]) {
        model.setAdapter(name);
        wanted.set(name, await alone());
      }
      assertEquals(new Set([...wanted.values()].map(String)).size, 3);
      for (const name of ["b", "a", null, "b"]) {
        model.setAdapter(name);
        const { ids: got } = await model.completion(prompt, options);
        assertEquals(got, wanted.get(name), `${family} ${name}`);
      }
    }
  });

  it("texts of several adapters are made at once, each as alone, whatever is in use", async () => {
    for (const family of ["gpt2", "llama"]) {
      using model = await small(family);
      for (const name of ["a", "b"]) stir(nn.lora(model, { rank: 2, name, targets: "all-linear" }), 0.5);
      // Long enough to have positions in common.
      const prompt = Array.from({ length: 20 }, (_, i) => (7 * i * i) % 40),
        names = ["a", null, "b", "a", undefined];
      const options = { maxNewTokens: 8, temperature: 3, doSample: true, seed: 4 }, wanted: number[][] = [];
      for (const name of names) {
        model.setAdapter(name === undefined ? "b" : name);
        wanted.push((await model.completion(prompt, options)).ids);
      }
      assert(new Set(wanted.map(String)).size > 2);
      model.setAdapter("b");
      const batcher = model.batcher();
      const made = await Promise.all(names.map(async (name) => {
        const { options: own, promptIds } = await model.prepare([prompt], {
          ...options,
          ...(name === undefined ? {} : { adapter: name }),
        });
        const ids: number[] = [];
        for await (const { id } of batcher.submit(promptIds[0], own)) ids.push(id);
        return ids;
      }));
      assertEquals(made, wanted, family);
      for (const [i, name] of names.entries()) {
        if (name === undefined) continue;
        assertEquals((await model.completion(prompt, { ...options, adapter: name })).ids, wanted[i]);
        const { ids: text } = await model.completion(prompt, { maxNewTokens: 8, adapter: name, numBeams: 2 });
        assertEquals(text.length, 8);
      }
      await assertRejects(() => model.completion(prompt, { adapter: "c" }), OptionError, '"c"');
      using cache = model.createCache(1, 32, { adapter: "a" });
      await assertRejects(
        () => model.completion(prompt, { adapter: "b", cache }),
        OptionError,
        'made for "a"',
      );
      assertEquals((await model.completion(prompt, { ...options, cache })).ids, wanted[0]);
    }
  });

  it("dropout acts in training mode alone", async () => {
    using model = await small("llama");
    stir(nn.lora(model, { rank: 2, dropout: 0.5 }));
    const seen = async (): Promise<number[]> => await values(model.forward(ids));
    assertEquals(await seen(), await seen());
    model.train();
    assert(furthest(await seen(), await seen()) > 0);
  });

  it("says what is wrong", async () => {
    using model = await small("llama");
    assertThrows(() => model.setAdapter("x"), OptionError, "no adapters");
    assertThrows(() => model.mergeAdapter(), OptionError, "no adapters");
    await assertRejects(() => model.saveAdapter(folder), OptionError, "no adapter is in use");
    assertThrows(() => nn.lora(model, { rank: 2, targets: ["q_prj"] }), OptionError, '"q_prj"');
    assertThrows(() => nn.lora(model, { rank: 0 }), OptionError, "rank");
    nn.lora(model, { rank: 2 });
    assertThrows(() => nn.lora(model, { rank: 2 }), OptionError, "already");
    assertThrows(() => model.setAdapter("x"), OptionError, 'loaded: "default"');
    await assertRejects(() => model.save(join(folder, "no")), OptionError, "mergeAdapter()");
    const dir = join(folder, "wrong");
    await model.saveAdapter(dir);
    const config = JSON.parse(readFileSync(join(dir, "adapter_config.json"), "utf8"));
    const wrong: [Record<string, unknown>, string][] = [
      [{ peft_type: "IA3" }, "peft_type"],
      [{ bias: "all" }, "bias"],
      [{ modules_to_save: ["lm_head"] }, "modules_to_save"],
      [{ init_lora_weights: "pissa" }, "init_lora_weights"],
      [{ r: 3 }, "expected [3, 32]"],
      [{ use_dora: true }, "missing: lora_magnitude [32]"],
      [{ lora_alpha: 0 }, "lora_alpha"],
      [{ rank_pattern: { "(a+)+$": 2 } }, "rank_pattern"],
      [
        { target_modules: ["q_proj"] },
        'target_modules ["q_proj"] leaves model.layers.0.self_attn.v_proj out',
      ],
      [{ target_modules: ".*\\.q_proj" }, "leaves model.layers.0.self_attn.v_proj out"],
      [{ target_modules: "q_proj" }, "leaves model.layers.0.self_attn.q_proj out"],
      [{ exclude_modules: ["layers.1.self_attn.q_proj"] }, "leaves model.layers.1.self_attn.q_proj out"],
      [{ exclude_modules: ".*v_proj" }, 'exclude_modules ".*v_proj" leaves model.layers.0.self_attn.v_proj'],
      [{ layers_to_transform: [1] }, "layers_to_transform [1] leaves model.layers.0.self_attn.q_proj out"],
      [{ layers_to_transform: 0, layers_pattern: "layers" }, "leaves model.layers.1.self_attn.q_proj out"],
      [{ layers_to_transform: [0, 1], layers_pattern: ["h"] }, "leaves model.layers.0.self_attn.q_proj out"],
      [{ layers_to_transform: "first" }, 'layers_to_transform is "first"'],
      [{ target_modules: 7 }, "target_modules is 7"],
    ];
    for (const [change, message] of wrong) {
      writeFileSync(join(dir, "adapter_config.json"), JSON.stringify({ ...config, ...change }));
      await assertRejects(() => model.loadAdapter(dir, { name: "w" }), FormatError, message);
    }
    const right: Record<string, unknown>[] = [
      { target_modules: "all-linear" },
      { target_modules: null },
      { target_modules: "(?!vision).*(q|v)_proj" },
      { target_modules: ".*\\.(q_proj|v_proj)" },
      { target_modules: ["self_attn.q_proj", "v_proj", "lm_head"], exclude_modules: ["proj"] },
      { layers_to_transform: [0, 1], layers_pattern: "layers" },
      { layers_to_transform: [], exclude_modules: [] },
    ];
    for (const [i, change] of right.entries()) {
      writeFileSync(join(dir, "adapter_config.json"), JSON.stringify({ ...config, ...change }));
      assertStrictEquals((await model.loadAdapter(dir, { name: `r${i}` })).layers.size, 4);
    }
    writeFileSync(join(dir, "adapter_config.json"), JSON.stringify({ ...config, novelty: 1 }));
    const said: string[] = [];
    await model.loadAdapter(dir, { name: "new", onWarning: (m) => said.push(m) });
    assert(said.length === 1 && said[0].includes("novelty"), String(said));
    await saveSafetensors(join(dir, "adapter_model.safetensors"), {
      "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": rand([2, 32]),
      "base_model.model.model.embed_tokens.lora_embedding_A": rand([2, 32]),
    });
    await assertRejects(() => model.loadAdapter(dir, { name: "w" }), FormatError, "unexpected: base_model");
    await saveSafetensors(join(dir, "adapter_model.safetensors"), {
      "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": zeros([2, 32], { dtype: "i64" }),
      "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": rand([32, 2]),
    });
    await assertRejects(() => model.loadAdapter(dir, { name: "w" }), FormatError, "lora_A.weight of i64");
    using other = new GPT2({ vocabSize: 9, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 1 });
    await assertRejects(() => other.loadAdapter(dir), FormatError, "does not hold an adapter for this");
  });

  it("ranks and alphas of single layers are read and written", async () => {
    using model = await small("llama");
    const adapter = nn.lora(model, { rank: 2, alpha: 4, targets: ["q_proj", "k_proj"] }),
      dir = join(folder, "pattern");
    stir(adapter);
    await model.saveAdapter(dir);
    const path = "model.layers.1.self_attn.q_proj", stem = `base_model.model.${path}`;
    const tensors: Record<string, Tensor> = {};
    {
      await using file = await openSafetensors(join(dir, "adapter_model.safetensors"));
      for (const name of file.names) tensors[name] = await file.tensor(name);
    }
    tensors[`${stem}.lora_A.weight`] = rand([5, 32]);
    tensors[`${stem}.lora_B.weight`] = rand([32, 5]);
    await saveSafetensors(join(dir, "adapter_model.safetensors"), tensors);
    const file = join(dir, "adapter_config.json"), json = JSON.parse(readFileSync(file, "utf8"));
    const patterns = { rank_pattern: { "layers.1.self_attn.q_proj": 5 }, alpha_pattern: { "q_proj": 7 } };
    writeFileSync(file, JSON.stringify({ ...json, ...patterns }));
    const read = await model.loadAdapter(dir, { name: "patterned" });
    assertEquals(read.layers.get(path)!.options.scale, 7 / 5);
    assertEquals(read.layers.get("model.layers.0.self_attn.k_proj")!.options.scale, 2);
    await model.saveAdapter(dir, { name: "patterned" });
    const again = await model.loadAdapter(dir, { name: "again" });
    for (const [at, { options }] of read.layers) assertEquals(again.layers.get(at)!.options, options);
  });
});
