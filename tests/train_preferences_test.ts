/**
 * Direct Preference Optimization: the loss and its gradients against the formula in float64, with a reference model and with an
 * adapter that is left out; pairs from lines; runs that go on exactly.
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
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CausalLM,
  CharTokenizer,
  type EncodedExample,
  type EncodedPreference,
  evaluatePreferences,
  FormatError,
  Generator,
  loadChatTemplate,
  manualSeed,
  nn,
  noGrad,
  openPreferences,
  optim,
  OptionError,
  preferenceBatches,
  type PreferenceSet,
  type Tensor,
  Trainer,
} from "../mod.ts";
import { fails, json, output } from "./_command.ts";
import { after, before, describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-dpo-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const sizes = { vocabSize: 40, contextLength: 24, width: 16, layers: 2, heads: 2 };

async function aModel(seed: number, dropout = 0): Promise<CausalLM> {
  manualSeed(seed);
  const model = await CausalLM.fromSizes("llama", sizes, { dropout });
  model.tokenizer = new CharTokenizer("abcdefghijklmnopqrstuvwxyz .,:<>/_|\n?!");
  // Of a scale at which answers differ.
  const wide = noGrad(() =>
    Object.entries(model.stateDict()).map(([name, t]) => [name, t.shape.length === 2 ? t.mul(4) : t.clone()])
  );
  model.loadStateDict(Object.fromEntries(wide));
  return model as CausalLM;
}

function somePairs(count: number, seed: number): PreferenceSet & { list: EncodedPreference[] } {
  const random = new Generator(seed);
  const some = (n: number): number[] => Array.from({ length: n }, () => random.integer(0, 40));
  const list = Array.from({ length: count }, (): EncodedPreference => {
    const prompt = some(random.integer(1, 6));
    const answer = (): EncodedExample => {
      const ids = [...prompt, ...some(random.integer(1, 9))];
      return { ids, counts: ids.map((_, i) => i < prompt.length ? 0 : 1) };
    };
    return { chosen: answer(), rejected: answer() };
  });
  return { list, length: count, sha256: "x", at: (i) => list[i], where: (i) => `pair ${i}` };
}

/** log π of an answer, in float64, from the model's logits. */
async function logProbability(model: CausalLM, { ids, counts }: EncodedExample): Promise<number> {
  const logits = await noGrad(() => model.forward([ids.slice(0, -1)])).toArray() as number[][][];
  let sum = 0;
  logits[0].forEach((row, i) => {
    if (!counts[i + 1]) return;
    const top = Math.max(...row);
    sum += row[ids[i + 1]] - top - Math.log(row.reduce((z, x) => z + Math.exp(x - top), 0));
  });
  return sum;
}

/** The gradients of log π of an answer. */
async function gradientOf(model: CausalLM, { ids, counts }: EncodedExample): Promise<number[]> {
  const targets = ids.slice(1).map((id, i) => counts[i + 1] ? id : -100);
  model.zeroGrad();
  model.loss([ids.slice(0, -1)], [targets]).mul(-targets.filter((id) => id >= 0).length).backward();
  return await gradients(model);
}

async function gradients(model: CausalLM): Promise<number[]> {
  const found: number[] = [];
  for (const p of model.parameters()) {
    if (p.requiresGrad && p.grad) found.push(...await (p.grad as Tensor).data() as Float32Array);
  }
  return found;
}

/** The mean loss of pairs and its gradients, by the formula. */
async function expected(
  model: CausalLM,
  reference: () => { f: (example: EncodedExample) => Promise<number> },
  list: readonly EncodedPreference[],
  beta: number,
): Promise<{ loss: number; margins: number[]; grads: number[] }> {
  let loss = 0, grads: number[] = [];
  const margins: number[] = [];
  for (const { chosen, rejected } of list) {
    const { f } = reference();
    const margin = await logProbability(model, chosen) - await f(chosen) -
      await logProbability(model, rejected) + await f(rejected);
    const [a, b] = [await gradientOf(model, chosen), await gradientOf(model, rejected)];
    loss += Math.log1p(Math.exp(-beta * margin)) / list.length;
    const slope = -beta / (1 + Math.exp(beta * margin)) / list.length;
    grads = a.map((x, i) => (grads[i] ?? 0) + slope * (x - b[i]));
    margins.push(margin);
  }
  return { loss, margins, grads };
}

describe("preferences", () => {
  for (const withAdapter of [false, true]) {
    it(`give the loss and the gradients of the formula, against ${withAdapter ? "the model without its adapter" : "a reference"}`, async () => {
      const model = await aModel(3), reference = await aModel(5), { list, ...set } = somePairs(4, 11);
      if (withAdapter) {
        manualSeed(9);
        const adapter = nn.lora(model, { rank: 2, alpha: 8, targets: "all-linear" });
        // As it begins, an adapter changes nothing.
        const trained = new optim.SGD(adapter.parameters(), { lr: 1 });
        for (let i = 0; i < 3; i++) {
          trained.zeroGrad();
          model.loss([[1, 2, 3, 4, 5, 6, 7]]).backward();
          trained.step();
        }
      }
      for (const beta of width([0.1, 0.7], [withAdapter ? 0.7 : 0.1])) {
        const f = async (example: EncodedExample): Promise<number> => {
          if (!withAdapter) return await logProbability(reference, example);
          const name = model.adapter;
          model.setAdapter(null);
          const found = await logProbability(model, example);
          model.setAdapter(name);
          return found;
        };
        const want = await expected(model, () => ({ f }), list, beta);
        assert(want.margins.some((x) => Math.abs(x) > 0.05), String(want.margins));
        const options = { beta, ...(withAdapter ? {} : { reference }) };
        const source = preferenceBatches({ ...set, at: (i) => list[i] }, {
          batchSize: 4,
          blockSize: 20,
          device: "cpu",
        });
        const batch = source.next();
        model.zeroGrad();
        const loss = batch.loss(model, options);
        loss.backward();
        assertAlmostEquals(await loss.item(), want.loss, 2e-6);
        const grads = await gradients(model);
        assertStrictEquals(grads.length, want.grads.length);
        grads.forEach((x, i) => assertAlmostEquals(x, want.grads[i], 2e-6, `gradient ${i}`));
        assert(grads.some((x) => Math.abs(x) > 1e-4));
        const margins = (await noGrad(() => batch.margins(model, options)).toArray() as number[]).sort((
          a,
          b,
        ) => a - b);
        [...want.margins].sort((a, b) => a - b).forEach((x, i) => assertAlmostEquals(margins[i], x, 1e-4));
        for (const batchSize of [1, 3]) {
          const found = await evaluatePreferences(model, { ...set, at: (i) => list[i] }, {
            batchSize,
            blockSize: 20,
            ...options,
          });
          assertAlmostEquals(found.loss, want.loss, 2e-6);
          assertStrictEquals(found.accuracy, want.margins.filter((x) => x > 0).length / 4);
        }
      }
    });
  }

  it("leave reference and model as they were, whatever they were at", async () => {
    const model = await aModel(3, 0.2), reference = await aModel(3, 0.2), set = somePairs(4, 2);
    const batch = preferenceBatches(set, { batchSize: 4, blockSize: 20 }).next();
    reference.train();
    model.eval();
    // In evaluation mode both say the same, so that nothing is preferred.
    assertAlmostEquals(await batch.loss(model, { reference }).item(), Math.LN2, 1e-6);
    assertEquals([reference.training, model.training], [true, false]);
    model.train();
    assert(
      Math.abs(await batch.loss(model, { reference }).item() - Math.LN2) > 1e-6,
      "dropout is the model's",
    );
    assert(reference.parameters().every((p) => !p.grad));
    assertThrows(() => batch.loss(model), OptionError, "the model has no adapter to be without");
    assertThrows(() => batch.loss(model, { reference, beta: 0 }), OptionError, "beta");
  });

  it("are read from lines, texts and conversations", async () => {
    const model = await aModel(1), tokenizer = model.tokenizer!;
    const lines = [
      { prompt: "the cat ", chosen: "sat.", rejected: "ran away." },
      {
        prompt: [{ role: "user", content: "hi" }],
        chosen: [{ role: "assistant", content: "hello" }],
        rejected: [{ role: "assistant", content: "no" }],
      },
    ];
    const config = {
      chat_template:
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}|{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    };
    const chatTemplate = (await loadChatTemplate({
      "tokenizer_config.json": new TextEncoder().encode(JSON.stringify(config)),
    }))!;
    const file = new TextEncoder().encode(lines.map((line) => JSON.stringify(line)).join("\n"));
    const pairs = await openPreferences(file, { model, chatTemplate });
    const said = ({ ids, counts }: EncodedExample): [string, string] => [
      tokenizer.decode(ids.filter((_, i) => !counts[i])),
      tokenizer.decode(ids.filter((_, i) => counts[i])),
    ];
    assertEquals([said(pairs.at(0).chosen), said(pairs.at(0).rejected)], [["the cat ", "sat."], [
      "the cat ",
      "ran away.",
    ]]);
    assertEquals([said(pairs.at(1).chosen), said(pairs.at(1).rejected)], [
      ["<user>hi|<assistant>", "hello|"],
      ["<user>hi|<assistant>", "no|"],
    ]);
    for (
      const [line, says] of [
        [
          '{"prompt": "a", "completion": "b"}',
          /line 1 has "prompt", "completion", expected \{"prompt", "chosen", "rejected"\}/,
        ],
        ['{"prompt": "a", "chosen": "b", "rejected": ""}', /line 1: rejected is ""/],
        [
          '{"prompt": "a", "chosen": "b", "rejected": [{"role": "x", "content": ""}]}',
          /line 1: prompt is a text and rejected is a list/,
        ],
      ] as const
    ) {
      const error = await assertRejects(
        () => openPreferences(new TextEncoder().encode(line), { model }),
        FormatError,
      );
      assertMatch(error.message, says);
    }
    await assertRejects(
      () => openPreferences(file, { model, trainOnPrompt: true } as never),
      OptionError,
      'no option "trainOnPrompt"',
    );
  });

  it("are learned: the chosen answer becomes likelier, the other one does not", async () => {
    const model = await aModel(3), reference = await aModel(3), set = somePairs(8, 4);
    const judged = (): Promise<{ loss: number; accuracy: number }> =>
      evaluatePreferences(model, set, { batchSize: 8, blockSize: 20, reference });
    const before = await judged();
    assertAlmostEquals(before.loss, Math.LN2, 1e-6);
    await new Trainer({
      model,
      data: preferenceBatches(set, { batchSize: 4, blockSize: 20, seed: 1 }),
      loss: (batch) => batch.loss(model, { reference }),
      optimizer: new optim.AdamW(model.parameters(), { lr: 1e-2 }),
      steps: 12,
      gradAccum: 2,
    }).run();
    const after = await judged();
    assert(after.loss < 0.5 && after.accuracy === 1, JSON.stringify(after));
  });
});

describe("ferrotype train --objective dpo", () => {
  it("stopped and resumed is what it would have been, with an adapter or all weights", async () => {
    const text = join(folder, "text.txt"), pairs = join(folder, "pairs.jsonl"), base = join(folder, "base");
    writeFileSync(text, "the cat sat on the mat. a dog ran to the hat. ".repeat(30));
    const lines = Array.from(
      { length: 20 },
      (_, i) =>
        JSON.stringify({
          prompt: i % 2 ? "the cat " : "a dog ",
          chosen: "sat.",
          rejected: "ran to the hat.",
        }),
    );
    writeFileSync(pairs, lines.join("\n"));
    const small = [
      "--n-layer",
      "1",
      "--n-head",
      "2",
      "--n-embd",
      "16",
      "--block-size",
      "32",
      "--batch-size",
      "4",
    ];
    await output(["train", text, "-o", base, ...small, "--steps", "20", "--threads", "1", "--quiet"]);
    for (const more of [[], ["--lora", "2", "--lora-targets", "c_attn"]]) {
      const at = (name: string): string => join(folder, `${name}${more.length}`);
      const tune = (out: string, ...own: string[]): string[] =>
        ["train", "--data", pairs, "--objective", "dpo", "-o", at(out), "--init", base, "--steps", "12"]
          .concat(
            [
              "--threads",
              "1",
              "--batch-size",
              "4",
              "--eval-every",
              "4",
              "--lr",
              "0.01",
              "--beta",
              "0.2",
              "--quiet",
              ...more,
              ...own,
            ],
          );
      const whole = await json<{ best_loss: number }>([...tune("whole"), "--json"]);
      assert(whole.best_loss < 0.68, String(whole.best_loss));
      await output(tune("parts", "--stop-after", "5"));
      const again = ["train", "--data", pairs, "-o", at("parts"), "--resume", "--threads", "1", "--quiet"];
      await output(again);
      const file = more.length ? "adapter_model.safetensors" : "model.safetensors";
      assertEquals(readFileSync(join(at("parts"), file)), readFileSync(join(at("whole"), file)));
      const held = readFileSync(join(at("whole"), "log.jsonl"), "utf8").trim().split("\n").map((line) =>
        JSON.parse(line)
      )
        .filter(({ eval_loss }) => eval_loss !== undefined);
      assertEquals(held.map(({ step }) => step), [4, 8, 12]);
      assertStrictEquals(held.at(-1).eval_accuracy, 1);
      await fails(2, [...again, "--beta", "0.1"], /begun with --beta 0\.2; it cannot go on with 0\.1/);
    }
    // What the answers were measured against must be there as it was.
    const other = ["train", text, "-o", join(folder, "new"), ...small, "--steps", "3", "--seed", "5"];
    await output([...other, "--threads", "1", "--quiet"]);
    cpSync(join(folder, "new"), base, { recursive: true, force: true });
    await fails(
      2,
      ["train", "--data", pairs, "-o", join(folder, "parts0"), "--resume", "--threads", "1", "--quiet"],
      /holds other weights than those that answers were measured against/,
    );
    await fails(
      1,
      ["train", "--data", pairs, "-o", join(folder, "x"), "--init", base],
      /line 1 has "prompt", "chosen"/,
    );
  });
});
