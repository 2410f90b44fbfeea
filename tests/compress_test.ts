/**
 * `ferrotype prune` and `ferrotype distill`: what goes is what counts least, and it is really gone.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { inputNorms, layersOf, rowsOf } from "../cli/compress/layers.ts";
import { maskOf } from "../cli/compress/masks.ts";
import { smaller } from "../cli/compress/structure.ts";
import { BpeTokenizer, CausalLM, CharTokenizer, copyInto, manualSeed, noGrad, tensor, tidy } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { call, fails, json } from "./_command.ts";
import { width } from "./_width.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-compress-"));
const at = (name: string): string => join(folder, name);
after(() => rmSync(folder, { recursive: true, force: true }));
const text = "to be or not to be, that is the question. ".repeat(40);
writeFileSync(at("t.txt"), text);

const sizes = { vocabSize: 40, contextLength: 32, width: 16, layers: 2, heads: 4 };
const made = async (family: string, more: object = {}, seed = 1): Promise<CausalLM> => {
  manualSeed(seed);
  const model = await CausalLM.fromSizes(family, { ...sizes, ...more });
  return model.eval();
};
const logits = async (model: CausalLM): Promise<Float32Array> =>
  await noGrad(() => tidy(() => model.forward([[1, 5, 9, 2, 7, 3]]))).data() as Float32Array;

/** Sets columns of a matrix [out, in] (or of its transpose) to 0: what goes into them does not count. */
async function silence(
  model: CausalLM,
  name: RegExp,
  columns: (inputs: number) => number[],
): Promise<number> {
  let count = 0;
  for (const { name: path, weight, isTurned, inputs, outputs } of layersOf(model)) {
    if (!name.test(path)) continue;
    const data = Float32Array.from(await weight.detach().data() as Float32Array);
    for (const column of columns(inputs)) {
      for (let o = 0; o < outputs; o++) data[isTurned ? column * outputs + o : o * inputs + column] = 0;
    }
    noGrad(() => tidy(() => copyInto(tensor(data).reshape(weight.shape), weight)));
    count++;
  }
  return count;
}

describe("masks", () => {
  it("drop as many as they should, and what counts least of those that are compared", () => {
    const random = new Generator(3);
    for (let i = 0; i < width(60, 15); i++) {
      const inputs = 4 * random.integer(1, 9), outputs = random.integer(1, 7);
      const rows = Float32Array.from({ length: inputs * outputs }, () => random.normal());
      const norms = random.uniform() < 0.5
        ? null
        : Float32Array.from({ length: inputs }, () => random.uniform());
      const isPattern = random.uniform() < 0.3, part = random.uniform();
      const mask = maskOf(rows, inputs, norms, isPattern ? { of: 4, keep: 2 } : { part });
      const group = isPattern ? 4 : norms ? inputs : rows.length;
      const score = (k: number): number => Math.fround(Math.abs(rows[k]) * (norms ? norms[k % inputs] : 1));
      for (let from = 0; from < rows.length; from += group) {
        const all = Array.from({ length: group }, (_, k) => from + k);
        const gone = all.filter((k) => mask[k] === 0), kept = all.filter((k) => mask[k] === 1);
        assertEquals([gone.length, gone.length + kept.length], [
          isPattern ? 2 : Math.round(part * group),
          group,
        ]);
        assert(Math.max(0, ...gone.map(score)) <= Math.min(Infinity, ...kept.map(score)));
      }
    }
  });
});

describe("heads and neurons", () => {
  it("that count for nothing leave a model that says the same, whatever its family", async () => {
    const families: [family: string, more: object, heads: number, name: RegExp, perHead: number][] = [
      ["gpt2", {}, 0, /none/, 0],
      ["gpt_neox", { width: 32 }, 0, /none/, 0],
      ["llama", { kvHeads: 2 }, 1, /o_proj$/, 8],
      ["qwen2", { kvHeads: 2 }, 1, /o_proj$/, 8],
      ["qwen3", {}, 2, /o_proj$/, 4],
      ["phi3", { kvHeads: 2 }, 1, /o_proj$/, 8],
      ["olmo2", {}, 1, /o_proj$/, 4],
      ["gemma", { kvHeads: 1 }, 2, /o_proj$/, 4],
    ];
    for (const [family, more, heads, name, perHead] of families) {
      using model = await made(family, more);
      const mlp = /\.(?:c_proj|down_proj|dense_4h_to_h)$/, quarter = (n: number): number => n / 4;
      // Every fourth neuron, and the first heads.
      const count = await silence(
        model,
        new RegExp(`mlp${mlp.source}`),
        (n) => Array.from({ length: quarter(n) }, (_, i) => 4 * i + 1),
      );
      assertStrictEquals(count, 2, family);
      if (heads) await silence(model, name, () => Array.from({ length: heads * perHead }, (_, i) => i));
      // A norm of all queries together changes with what leaves: only there it may.
      const before = await logits(model), layers = layersOf(model);
      using less = await smaller(model, layers, null, { neurons: 0.25, heads });
      assert(less.numParameters() < model.numParameters(), family);
      const now = await logits(less.eval());
      if (family !== "olmo2") now.forEach((x, i) => assertAlmostEquals(x, before[i], 1e-4, family));
      const path = at(`less-${family}`);
      await less.save(path);
      using again = await CausalLM.load(path);
      // Its matrices lie otherwise, and are added up in another order.
      const loaded = await logits(again.eval());
      now.forEach((x, i) => assertAlmostEquals(x, loaded[i], 1e-5, family));
    }
  });

  it("are refused where a family's files cannot be without them, and where none would stay", async () => {
    using gpt2 = await made("gpt2"), llama = await made("llama");
    await assertRejects(
      () => smaller(gpt2, layersOf(gpt2), null, { neurons: 0, heads: 1 }),
      Error,
      "all heads together are as wide as the model",
    );
    await assertRejects(
      () => smaller(llama, layersOf(llama), null, { neurons: 0, heads: 4 }),
      Error,
      "expected less than the 4 heads of keys and values",
    );
    await assertRejects(
      () => smaller(llama, layersOf(llama), null, { neurons: 0.001, heads: 0 }),
      Error,
      "expected at least 1",
    );
  });
});

describe("what goes into a layer", () => {
  it("is measured where it goes in, and nothing stays of the measuring", async () => {
    using model = await made("gpt2");
    const layers = layersOf(model), before = await logits(model);
    // A norm that gives nothing for its third feature.
    for (const [name, p] of model.namedParameters()) {
      if (!/^h\.1\.ln_2\./.test(name)) continue;
      const data = Float32Array.from(
        { length: p.size },
        (_, i) => i === 2 ? 0 : name.endsWith("weight") ? 1 : 0,
      );
      noGrad(() => tidy(() => copyInto(tensor(data), p)));
    }
    const ids = Int32Array.from({ length: 200 }, (_, i) => i * 7 % 40);
    const norms = await inputNorms(
      model,
      layers,
      { ids, held: ids, blockSize: 16, batchSize: 4, seed: 1 },
      3,
    );
    assertEquals([...norms.keys()], layers.map(({ name }) => name));
    const behind = norms.get("h.1.mlp.c_fc")!;
    assertEquals([behind.length, behind[2]], [16, 0]);
    assert(behind.every((x, i) => i === 2 || x > 0));
    // Features of mean square 1 over 3 windows of 16, one of 16 being 0.
    const all = behind.reduce((sum, x) => sum + x * x, 0) / (3 * 16);
    assert(all > 13 && all < 16, String(all));
    assert(layers.every(({ owner }) => !Object.hasOwn(owner, "forward")));
    assertStrictEquals((await logits(model)).length, before.length);
  });

  it("is measured for each expert, and each expert loses as much as others, but not who chooses among them", async () => {
    for (const [family, gate] of [["mixtral", 0], ["qwen2_moe", 1]] as const) {
      using model = await made(family);
      const layers = layersOf(model), experts = layers.filter(({ parts }) => parts > 1);
      assertEquals([experts.length, layers.filter(({ name }) => /gate$/.test(name))], [6, []], family);
      const ids = Int32Array.from({ length: 200 }, (_, i) => i * i % 40);
      const text = { ids, held: ids, blockSize: 16, batchSize: 4, seed: 1 };
      const norms = await inputNorms(model, layers, text, 3);
      assert(layers.every(({ owner }) => !Object.hasOwn(owner, "product")), family);
      for (const layer of experts) {
        const { name, inputs, outputs, parts } = layer, found = norms.get(name)!, rows = await rowsOf(layer);
        assertEquals([found.length, rows.length], [parts * inputs, outputs * inputs], name);
        // What goes into gate and up is what was chosen: all experts together see each position as often as it chooses.
        const all = (of: Float32Array): number => of.reduce((sum, x) => sum + x * x, 0);
        if (name.endsWith("gate_proj")) {
          assertEquals([...found], [...norms.get(name.replace("gate_proj", "up_proj"))!]);
          if (gate) {
            const shared = norms.get(name.replace("experts.gate_proj", "shared_expert.gate_proj"))!;
            assertAlmostEquals(all(found) / all(shared), 2, 1e-4);
          }
        }
        const mask = maskOf(rows, inputs, found, { part: 0.25 }, parts);
        for (let row = 0; row < outputs; row++) {
          const part = Math.floor(row / (outputs / parts)), at = (i: number): number => row * inputs + i;
          const places = Array.from({ length: inputs }, (_, i) => i);
          const score = (i: number): number => Math.fround(Math.abs(rows[at(i)]) * found[part * inputs + i]);
          const gone = places.filter((i) => mask[at(i)] === 0),
            kept = places.filter((i) => mask[at(i)] === 1);
          assertStrictEquals(gone.length, Math.round(inputs / 4), name);
          assert(Math.max(...gone.map(score)) <= Math.min(...kept.map(score)), name);
        }
      }
    }
  });
});

interface Pruned {
  parameters_before: number;
  parameters: number;
  sparsity: number;
  loss_before: number;
  loss_pruned: number;
  loss_recovered: number;
}

describe("the commands", () => {
  const train = (out: string, ...more: string[]): string[] => [
    ...[
      "train",
      at("t.txt"),
      "-o",
      at(out),
      "--n-embd",
      "32",
      "--n-layer",
      "1",
      "--n-head",
      "2",
      "--block-size",
      "16",
    ],
    ...["--lr", "0.01", "--quiet", ...more],
  ];

  it("prune and train what is left, which stays gone", async () => {
    assertStrictEquals((await call(train("model", "--steps", "40"))).code, 0);
    const args = [
      "prune",
      at("model"),
      at("pruned"),
      "--text",
      at("t.txt"),
      "--samples",
      "4",
      "--block-size",
      "16",
    ];
    const told = await json<Pruned>([
      ...args,
      "--pattern",
      "2:4",
      "--neurons",
      "0.5",
      "--recover",
      "30",
      "--lr",
      "0.003",
    ]);
    assert(told.parameters < told.parameters_before);
    assertStrictEquals(told.sparsity, 0.5);
    assert(
      told.loss_pruned > told.loss_before && told.loss_recovered < told.loss_pruned,
      JSON.stringify(told),
    );
    using model = await CausalLM.load(at("pruned"));
    for (const layer of layersOf(model)) {
      const rows = await rowsOf(layer);
      for (let i = 0; i < rows.length; i += 4) {
        assertStrictEquals(rows.subarray(i, i + 4).filter((x) => x === 0).length, 2, layer.name);
      }
    }
    assertStrictEquals(JSON.parse(readFileSync(join(at("pruned"), "config.json"), "utf8")).n_inner, 64);
    await fails(2, [...args, "--sparsity", "0.5"], /holds files already; give --force to replace it/);
    const plain = ["prune", at("model"), at("none")];
    await fails(2, plain, /say what goes, by --sparsity P, --pattern 2:4, --neurons P or --heads N/);
    await fails(2, [...plain, "--sparsity", "0.5", "--pattern", "2:4"], /both say which weights go/);
    await fails(2, [...plain, "--sparsity", "0.5", "--method", "wanda"], /give a text with --text FILE/);
  });

  it("prune names a weight that is no number, whatever it goes by", async () => {
    {
      using model = await CausalLM.load(at("model"));
      const [name, weight] = model.namedParameters().find(([name]) => name.endsWith("mlp.c_fc.weight"))!;
      using place = weight.detach().slice([3, 4], [2, 3]);
      copyInto(tensor([[NaN]]), place);
      assertStrictEquals(name, "h.0.mlp.c_fc.weight");
      await model.save(at("none of a number"));
    }
    for (const what of [["--sparsity", "0.5"], ["--pattern", "2:4"], ["--neurons", "0.25"]]) {
      await fails(
        1,
        ["prune", at("none of a number"), at("none"), ...what],
        /^ferrotype: prune: weight h\.0\.mlp\.c_fc\.weight has NaN at \[3, 2\] of \[32, 128\], which is of no size/,
      );
    }
  });

  it("distill: another family comes to say what the teacher does; other tokens are refused", async () => {
    assertStrictEquals(
      (await call(train("student", "--steps", "1", "--family", "llama", "--n-kv-head", "1"))).code,
      0,
    );
    const args = ["distill", at("model"), at("student"), at("t.txt"), "--block-size", "16", "--steps", "40"];
    const more = ["--lr", "0.01", "--hidden", "0.5"];
    const told = await json<{ loss_teacher: number; loss_before: number; loss_after: number }>(
      [...args, "-o", at("taught"), ...more],
    );
    assert(told.loss_after < (told.loss_before + told.loss_teacher) / 2, JSON.stringify(told));
    using taught = await CausalLM.load(at("taught"));
    assertStrictEquals(taught.family, "llama");
    const { stdout } = await call([
      "eval",
      at("t.txt"),
      "--model",
      at("taught"),
      "--block-size",
      "16",
      "--fraction",
      "0.1",
    ]);
    assertMatch(stdout, /^loss \d/);
    for (
      const [name, tokenizer] of [
        ["few", CharTokenizer.from("to be")],
        ["turned", CharTokenizer.from([...new Set(text)].toReversed().join("") + "x")],
        ["bytes", BpeTokenizer.train(text, { vocabSize: 260 })],
      ] as const
    ) {
      using other = await made("llama", { vocabSize: tokenizer.vocabSize });
      other.tokenizer = tokenizer;
      await other.save(at(name));
      await fails(
        2,
        ["distill", at("model"), at(name), at("t.txt"), "-o", at("none")],
        /have other tokenizers/,
      );
    }
  });
});
