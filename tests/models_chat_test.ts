/**
 * Conversations and vectors: a model's own chat template, and texts pooled, in the library and over HTTP.
 */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  BpeTokenizer,
  CausalLM,
  CharTokenizer,
  convertToGguf,
  copyInto,
  encodeChat,
  FerrotypeError,
  full,
  loadChatTemplate,
  manualSeed,
  noGrad,
  OptionError,
  ShapeError,
} from "../mod.ts";
import { familyNames } from "../src/models/registry.ts";
import { inFolder } from "./_gpt2.ts";
import { refused, withServer } from "./_serve.ts";
import { describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

const device = "cpu" as const, letters = " abcdefghijklmnopqrstuvwxyz.:\n<|>/_";
const template =
  "{% if tools %}tools {{ tools | length }}\n{% endif %}{% for m in messages %}<{{ m.role }}>" +
  "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<model>{% endif %}{{ style }}";
const messages = [{ role: "user", content: "hello there" }];

async function make(family: string, tokens?: number): Promise<CausalLM> {
  manualSeed(11);
  const tokenizer = new CharTokenizer(letters), vocabSize = tokens ?? tokenizer.vocabSize;
  const sizes = { vocabSize, contextLength: 64, width: 32, layers: 2, heads: 2 };
  const model = await CausalLM.fromSizes(family, { ...sizes, endTokenId: 0 }, { device });
  model.tokenizer = tokenizer;
  return model.eval() as CausalLM;
}

/** Vectors by the definition, from what comes out of the last norm. */
async function pooled(model: CausalLM, ids: number[], pooling: string, unit: boolean): Promise<number[]> {
  using hidden = noGrad(() => model.hidden([ids]));
  const values = await hidden.data() as Float32Array, width = hidden.shape[2];
  const rows = ids.map((_, i) => values.subarray(i * width, (i + 1) * width));
  const chosen = pooling === "mean" ? rows : [rows.at(pooling === "last" ? -1 : 0)!];
  const sums = Array.from(
    { length: width },
    (_, k) => chosen.reduce((s, row) => s + row[k], 0) / chosen.length,
  );
  const length = unit ? Math.hypot(...sums) : 1;
  return sums.map((x) => x / length);
}

describe("vectors of texts", () => {
  for (const family of familyNames) {
    it(`${family}: are what comes out of the last norm, pooled, each text alone`, async () => {
      using model = await make(family);
      const texts = ["a cat", "the longer text of a dog.", "x"],
        ids = texts.map((text) => model.encode(text));
      for (const pooling of ["mean", "last", "cls"] as const) {
        for (const normalize of [true, false]) {
          using found = await model.embed(texts, { pooling, normalize });
          assertEquals([...found.shape], [3, 32]);
          assert(!found.requiresGrad);
          const values = await found.data() as Float32Array;
          for (const [i, own] of ids.entries()) {
            const wanted = await pooled(model, own, pooling, normalize);
            wanted.forEach((x, k) => assertAlmostEquals(values[32 * i + k], x, 1e-5));
            using alone = await model.embed([own], { pooling, normalize });
            assertEquals(await alone.data(), values.slice(32 * i, 32 * i + 32));
          }
        }
      }
      using one = await model.embed(["a cat"]),
        same = await model.embed(["a cat"], { pooling: "mean", normalize: true });
      assertEquals(await one.data(), await same.data());
    });
  }

  it("are asked for with texts that there are, and that fit", { skip: asksNothing }, async () => {
    using model = await make("llama");
    await assertRejects(() => model.embed([]), OptionError, "no texts");
    await assertRejects(() => model.embed(["a", ""]), OptionError, "text 1 has no tokens");
    await assertRejects(() => model.embed(["a".repeat(65)]), ShapeError, "65 tokens");
    await assertRejects(() => model.embed("a" as never), OptionError, "a list of texts");
    await assertRejects(() => model.embed(["a"], { pooling: "max" as never }), OptionError, '"mean"');
  });

  it("are numbers, or the weight that is none is named", { skip: asksNothing }, async () => {
    for (const value of [NaN, Infinity]) {
      using model = await make("llama");
      const [name, weight] = model.namedParameters().find(([, p]) => p.shape.length === 1)!;
      copyInto(full(weight.shape, value, { dtype: weight.dtype, device: weight.device }), weight.detach());
      const error = await assertRejects(() => model.embed(["a cat", "a dog"]), FerrotypeError);
      assertMatch(error.message, /^embed: the vector of text 0 has NaN: weight /);
      assert(error.message.includes(`weight ${name} has ${value} at [0]`), error.message);
    }
  });

  it("come over HTTP as OpenAI's", async () => {
    using model = await make("qwen2");
    await withServer({ model, pooling: "last" }, async (_server, client) => {
      const input = ["a cat", "a dog"], asked = { model: "shakespeare", input };
      using known = await model.embed(input, { pooling: "last" });
      const values = await known.data() as Float32Array;
      // The client asks for base64 where nothing is said, and reads it.
      for (const more of [{}, { encoding_format: "float" as const }, { dimensions: 32, user: "u" }]) {
        const { data, usage } = await client.embeddings.create({ ...asked, ...more });
        assertEquals(data.map(({ index }) => index), [0, 1]);
        assertEquals(data.map(({ embedding }) => embedding.length), [32, 32]);
        data.forEach(({ embedding }, i) =>
          embedding.forEach((x, k) => assertStrictEquals(Math.fround(x), values[32 * i + k]))
        );
        assertEquals(usage, { prompt_tokens: 10, total_tokens: 10 });
      }
      const ids = await client.embeddings.create({ model: "shakespeare", input: model.encode("a cat") });
      assertEquals(ids.data[0].embedding.map(Math.fround), [...values.slice(0, 32)]);
      for (
        const [more, message] of [
          [{ input: [] }, /input is a text/],
          [{ input: [""] }, /input is a text/],
          [{ input: [[1e6]] }, /input is a text/],
          [{ input: "a".repeat(65) }, /65 tokens; shorten it/],
          [{ dimensions: 8 }, /dimensions cannot be honoured: this model's vectors have 32/],
          [{ encoding_format: "int8" }, /encoding_format is "int8"/],
          [{ pooling: "cls" }, /no field "pooling"/],
        ] as [object, RegExp][]
      ) await refused(client.embeddings.create({ ...asked, ...more } as never), 400, message);
      await refused(client.embeddings.create({ ...asked, model: "other" }), 404, /no model "other"/);
    }, model as never);
  });
});

describe("a conversation", { skip: asksNothing }, () => {
  for (const kind of ["folder", "GGUF"]) {
    it(`is written as the model's own template has it, of a ${kind}`, async () => {
      using made = await make("llama", 280);
      await inFolder(async (folder) => {
        const from = join(folder, "from"), gguf = join(folder, "model.gguf");
        made.tokenizer = BpeTokenizer.train("hello there user model tools ".repeat(9), {
          vocabSize: made.vocabSize,
        });
        await made.save(from);
        writeFileSync(join(from, "chat_template.jinja"), template);
        const where = kind === "GGUF" ? gguf : from;
        if (kind === "GGUF") await convertToGguf(from, gguf);
        using model = await CausalLM.load(where, { device });
        const options = { maxNewTokens: 8, doSample: false, eosTokenId: null };
        const write = (await loadChatTemplate(where))!;
        const ids = await encodeChat(model.tokenizer!, write(messages));
        assertEquals(await model.chatIds(messages), ids);
        assertStrictEquals(await model.chat(messages, options), await model.complete(ids, options));
        const tools = [{ type: "function", function: { name: "f" } }], variables = { style: "abc" };
        const more = await encodeChat(model.tokenizer!, write(messages, { tools, variables }));
        assertStrictEquals(
          await model.chat(messages, { ...options, tools, variables }),
          await model.complete(more, options),
        );
        assertEquals(
          await model.chatIds(messages, { addGenerationPrompt: false }),
          model.encode("<user>hello there\n"),
        );
        // Saved and loaded again it is the same conversation.
        await model.save(join(folder, "again"));
        using again = await CausalLM.load(join(folder, "again"), { device });
        assertEquals(await again.chatIds(messages), ids);
      });
    });
  }

  it("is refused by a model without a template, and options by their names", async () => {
    using model = await make("llama");
    await assertRejects(() => model.chat(messages), OptionError, "no chat template");
    await assertRejects(() => model.chat(messages, { maxNewToken: 3 } as never), OptionError, "maxNewTokens");
    await assertRejects(() => model.chat(messages, { tools: 3 } as never), OptionError, "a list of objects");
  });
});
