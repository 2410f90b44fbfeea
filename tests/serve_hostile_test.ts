/**
 * Requests made to hurt, beside ordinary ones: the server goes on, each gets its answer, and nobody waits for work that was
 * not bounded before it was begun.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { GPT2, manualSeed } from "../mod.ts";
import { slicer } from "../src/core/steps.ts";
import { Dice, manyTexts, randomPattern, tokenizerOf } from "./_constraint.ts";
import { byteModel, post, withServer } from "./_serve.ts";

interface Answer {
  status: number;
  text: string;
}

async function ask(url: string, body: unknown): Promise<Answer> {
  const response = await fetch(`${url}/v1/completions`, { ...post, body: JSON.stringify(body) });
  return { status: response.status, text: await response.text() };
}

/** Units that a turn of the event loop may take: a slice, and one step beyond it. */
const mostAtOnce = 120_000;

describe("serve, under attack", () => {
  let model: GPT2, bytes: GPT2;
  before(() => {
    bytes = byteModel(400);
    const tokenizer = tokenizerOf(manyTexts(new Dice(1), 3000));
    manualSeed(5);
    model = new GPT2({
      vocabSize: tokenizer.vocabSize,
      nPositions: 400,
      nEmbd: 16,
      nLayer: 1,
      nHead: 2,
      eosTokenId: null,
    }).eval();
    model.tokenizer = tokenizer;
  });
  after(() => {
    model.dispose();
    bytes.dispose();
  });

  const schema = (own: unknown): unknown => ({
    response_format: { type: "json_schema", json_schema: { name: "x", schema: own } },
  });
  const properties = Object.fromEntries(Array.from({ length: 15_000 }, (_, i) => [`p${i}`, {}]));
  const hostile: Record<string, unknown> = {
    "maxItems: 1e9": schema({ type: "array", maxItems: 1e9 }),
    "minItems: 1e9": schema({ type: "array", minItems: 1e9 }),
    "maxLength: 1e9": schema({ type: "string", maxLength: 1e9 }),
    "nested counts": schema({
      type: "array",
      maxItems: 1e9,
      items: { type: "array", minItems: 1e6, maxItems: 1e9 },
    }),
    "(a{1000}){1000}": { response_format: { type: "regex", pattern: "(a{1000}){1000}" } },
    "15,000 properties": schema({ type: "object", properties }),
    "references in a ring": schema({
      $ref: "#/$defs/a",
      $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } },
    }),
    "100,000 prompts": { prompt: Array(100_000).fill("a"), n: 128 },
    "a name of a million characters": { ["x".repeat(1 << 20)]: 1 },
    "a million characters": { prompt: "word ".repeat(200_000) },
    "one word of a million characters": { prompt: "a".repeat(1 << 20) },
    "many numbers": { prompt: Array(200_000).fill(1) },
    "many stops": { stop: Array(100_000).fill("x") },
    "many biases": { logit_bias: Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [i, 1])) },
    "ambiguous": { response_format: { type: "regex", pattern: "(.*a.{200}){1,9}" } },
  };

  it("answers everyone, and ordinary requests as if they were alone", async () => {
    const ordinary = Array.from({ length: 6 }, (_, i) => ({ prompt: `word ${i}`, max_tokens: 20, seed: i }));
    await withServer({ maxBody: 8 << 20, maxBatch: 8 }, async ({ url, service }) => {
      const alone = await Promise.all(ordinary.map((body) => ask(url, body)));
      slicer.largest = 0;
      const attacks = Object.values(hostile).map((more) =>
        ask(url, { prompt: "a", max_tokens: 12, ...more as object })
      );
      const beside = await Promise.all(ordinary.map((body) => ask(url, body)));
      const told = await Promise.all(attacks);
      const choices = ({ text }: Answer): unknown => JSON.parse(text).choices;
      assertEquals(beside.map(choices), alone.map(choices));
      Object.keys(hostile).forEach((name, i) => {
        const { status, text } = told[i];
        assert(status === 200 || status === 400, `${name}: ${status} ${text.slice(0, 300)}`);
        if (status === 400) assert(JSON.parse(text).error.message.length < 1000, name);
      });
      assertEquals(told.filter(({ status }) => status === 200).length, 3);
      assert(slicer.largest > 0 && slicer.largest <= mostAtOnce, `${slicer.largest} units in one turn`);
      assertEquals(service.load, { active: 0, waiting: 0 });
    }, model);
  });

  it("lets an ordinary request go by one whose format takes long", async () => {
    await withServer({ maxBatch: 4 }, async ({ url }) => {
      let isLongDone = false;
      const long = ask(url, {
        prompt: "a",
        max_tokens: 300,
        temperature: 1,
        seed: 1,
        response_format: {
          type: "regex",
          pattern: `(${Array.from({ length: 12 }, (_, i) => `.{${i}}[a-k]`).join("|")}|x){1,999}`,
        },
      }).finally(() => isLongDone = true);
      for (let i = 0; i < 4; i++) {
        assertStrictEquals((await ask(url, { prompt: "b", max_tokens: 3, seed: i })).status, 200);
      }
      assert(!isLongDone, "the short ones were not kept");
      const { status, text } = await long;
      assertStrictEquals(status, 200, text);
    }, model);
  });

  it("reads no more at once than may wait", async () => {
    await withServer({ maxBatch: 1, maxQueue: 3, maxTexts: 4 }, async ({ url, service }) => {
      // Each is a format of its own to prepare, and all come in one turn.
      const { signal } = new AbortController();
      const asked = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => {
        const format = schema({ enum: Array.from({ length: 500 }, (_, k) => `${i} ${k}`) }) as object;
        return service.completion(JSON.stringify({ prompt: "a", max_tokens: 10, ...format }), "", signal);
      }));
      const refused = asked.filter((one) => one.status === "rejected").map(({ reason }) => reason.message);
      assertStrictEquals(refused.filter((message) => /try again later/.test(message)).length, 16);
      const many = await ask(url, { prompt: ["a", "b"], n: 3 });
      assertStrictEquals(many.status, 400);
    }, model);
  });

  it("stands random requests of every kind", async () => {
    const dice = new Dice(9);
    const value = (depth: number): unknown => {
      switch (dice.below(depth > 0 ? 10 : 7)) {
        case 0:
          return dice.pick([0, 1, -1, 1e9, 1e308, -1e308, 0.1, 2 ** 53]);
        case 1:
          return dice.text([...'ab{}[]()*+?\\"é\u0000\ud800'], 40);
        case 2:
          return dice.pick([null, true, false]);
        case 3:
          return "x".repeat(10 ** dice.below(5));
        case 4:
          return {
            type: dice.pick(["json_object", "text", "regex", "json_schema"]),
            pattern: randomPattern(dice, 3, 1000),
            schema: value(depth - 1),
          };
        case 5:
          return Array(10 ** dice.below(5)).fill(dice.pick(["a", 1, null, []]));
        case 6:
          return {
            type: dice.pick(["string", "array", "object", "integer", "number"]),
            maxLength: 1e9,
            maxItems: 1e9,
            minimum: -1e300,
          };
        case 7:
          return Array.from({ length: dice.below(4) }, () => value(depth - 1));
        case 8:
          return {
            properties: value(depth - 1),
            items: value(depth - 1),
            anyOf: [value(depth - 1), value(depth - 1)],
          };
        default:
          return Object.fromEntries(
            Array.from({ length: dice.below(4) }, () => [dice.text([..."abc_"], 6), value(depth - 1)]),
          );
      }
    };
    const names = [
      "prompt",
      "n",
      "stop",
      "logit_bias",
      "response_format",
      "guided_json",
      "guided_regex",
      "guided_choice",
      "seed",
      "temperature",
      "top_k",
      "logprobs",
      "user",
      "stream_options",
      "format",
      "zzz",
    ];
    await withServer({ maxBatch: 8, maxBody: 1 << 20 }, async ({ url, service }) => {
      slicer.largest = 0;
      for (let round = 0; round < 15; round++) {
        const bodies = Array.from({ length: 10 }, () => ({
          prompt: "a",
          max_tokens: 1 + dice.below(8),
          ...Object.fromEntries(
            Array.from({ length: 1 + dice.below(3) }, () => [dice.pick(names), value(3)]),
          ),
        }));
        const found = await Promise.all(bodies.map((body) => ask(url, body)));
        found.forEach(({ status, text }, i) =>
          assert(
            [200, 400, 404, 413, 429].includes(status),
            `${status} ${text.slice(0, 300)}: ${JSON.stringify(bodies[i]).slice(0, 600)}`,
          )
        );
      }
      assert(slicer.largest <= mostAtOnce, `${slicer.largest} units in one turn`);
      assertEquals(service.load, { active: 0, waiting: 0 });
      assertStrictEquals((await ask(url, { prompt: "a", max_tokens: 2 })).status, 200);
    }, bytes);
  });
});
