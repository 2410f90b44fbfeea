/**
 * Numbers that are none: generation names the step, and the weight, the operation or the processor behind them, however
 * tokens are chosen; it never gives a token for them.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  copyInto,
  type DeviceName,
  FerrotypeError,
  type GenerateOptions,
  generateTokens,
  type GPT2,
  LogitsError,
  ones,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { Batcher } from "../src/generate/mod.ts";
import { resolveOptions } from "../src/generate/options.ts";
import { eachDevice } from "./_devices.ts";
import { smallModel } from "./_gpt2.ts";
import { run, scripted, TableModel } from "./_language_model.ts";
import { onWebGpu } from "./_webgpu.ts";

const out = -Infinity;

/** Ways of choosing tokens. */
const ways: Record<string, GenerateOptions> = {
  greedy: {},
  "sampling all": { temperature: 1, topK: 0, seed: 1 },
  "sampling some": { temperature: 0.7, topK: 5, topP: 0.9, seed: 1 },
  penalties: { repetitionPenalty: 1.2 },
  beams: { numBeams: 2 },
  contrastive: { penaltyAlpha: 0.5, topK: 3 },
  "prompt lookup": { promptLookupNumTokens: 2 },
  guidance: { guidanceScale: 1.5 },
  logprobs: { logprobs: 2 },
};

/** Puts `value` at a random place of a random weight that every text meets, and says which and where. */
function poison(
  model: GPT2,
  value: number,
  random: Generator,
  device: DeviceName,
): { name: string; where: string } {
  const weights = model.namedParameters().filter(([name]) => !/wte|wpe/.test(name));
  const [name, weight] = weights[random.integer(0, weights.length)];
  const at = weight.shape.map((n) => random.integer(0, n));
  using place = weight.detach().slice(...at.map((i): [number, number] => [i, i + 1]));
  using number = tensor([value], { device }).reshape(place.shape);
  copyInto(number, place);
  return { name, where: `[${at.join(", ")}]` };
}

eachDevice((device) => {
  for (const [way, options] of Object.entries(ways)) {
    it(`${way}: NaN and infinities in a weight are named, and no token is given`, async () => {
      const random = new Generator(way.length);
      for (const value of [NaN, Infinity, -Infinity]) {
        const model = smallModel({}, { device }), { name, where } = poison(model, value, random, device);
        const given: number[] = [];
        const asked = { maxNewTokens: 4, ...options, onToken: (id: number) => void given.push(id) };
        const { message } = await assertRejects(() => model.completion([1, 2, 3], asked), FerrotypeError);
        // An infinity may be taken in by a norm or a GELU, but not by all that comes after.
        assertMatch(
          message,
          /^generate: at new token 1 (the model's (largest )?logit|all of the model's logits are -Infinity)/,
          `${way} ${value} in ${name}`,
        );
        assert(message.includes(`weight ${name} has ${value} at ${where} of`), message);
        assertEquals(given, []);
        model.dispose();
      }
    });
  }

  it("logits that are all -Infinity are told as such, with the weight, however tokens are chosen", async () => {
    const model = smallModel({}, { device }), [wte] = model.parameters();
    copyInto(tensor(new Array(8).fill(-Infinity), { device }), model.ln_f.bias!.detach());
    copyInto(ones(wte.shape, { device }), wte.detach());
    // Every way on the cpu; what reads the choice alone, and what reads all logits, elsewhere.
    const some = device === "cpu" ? Object.keys(ways) : ["greedy", "beams"];
    for (const way of some) {
      const asked = { maxNewTokens: 4, ...ways[way] };
      const { message } = await assertRejects(() => model.completion([1, 2, 3], asked), FerrotypeError);
      assertMatch(
        message,
        /^generate: at new token 1 (all of the model's logits are -Infinity|the model's largest logit is NaN or infinite): weight ln_f.bias has -Infinity at \[0\] of \[8\]$/,
        way,
      );
    }
    model.dispose();
  });

  it("keys and values of such numbers are not kept for the next text", async () => {
    const model = smallModel({}, { device });
    const ids = (await model.completion([1, 2, 3], { maxNewTokens: 4 })).ids;
    const hole = model.h[0].ln_1.weight!, own = hole.detach().clone();
    copyInto(tensor(new Array(8).fill(NaN), { device }), hole.detach());
    await assertRejects(() => model.completion([1, 2, 3, 4], { maxNewTokens: 4 }), FerrotypeError);
    copyInto(own, hole.detach());
    assertEquals((await model.completion([1, 2, 3], { maxNewTokens: 4 })).ids, ids);
    own.dispose();
    model.dispose();
  });
}, onWebGpu);

describe("numbers that are none, on a model of a table", () => {
  it("in a later step are told with that step", async () => {
    const rows = [[0, 5, 0], [0, 0, 5], [NaN, 0, 0]], given: number[] = [];
    for (const options of [{}, { temperature: 1, topK: 1, seed: 1 }, { numBeams: 2 }]) {
      given.length = 0;
      const model = new TableModel((text) => rows[text.at(-1)!], 10);
      const { message } = await assertRejects(
        () => run(model, [0], { maxNewTokens: 5, ...options, onToken: (id) => void given.push(id) }),
        FerrotypeError,
      );
      assertMatch(message, /at new token 3 the model's (logit of id 0 is NaN|largest logit)/);
      if (!("numBeams" in options)) assertEquals(given, [1, 2]);
    }
  });

  it("behind guesses that hold come after these: a text that ends before them is whole", async () => {
    const rows = [[0, 5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 5], [NaN, 0, 0, 0]];
    const model = new TableModel((text) => rows[text.at(-1)!], 20), prompt = [0, 1, 2, 3, 0];
    for (const guesses of [{ promptLookupNumTokens: 4 }, { assistantModel: scripted([1, 2, 3, 0], 4, 1) }]) {
      const options = resolveOptions({ maxNewTokens: 8, temperature: 0, ...guesses }), ids: number[] = [];
      const { message } = await assertRejects(async () => {
        for await (const { id } of generateTokens(model, prompt, options)) ids.push(id);
      }, LogitsError);
      assertEquals(ids, [1, 2, 3]);
      assertMatch(message, /at new token 4 the model's logit of id 0 is NaN/);
      ids.length = 0;
      for await (const { id } of generateTokens(model, prompt, options)) {
        ids.push(id);
        if (id === 3) break;
      }
      assertEquals(ids, [1, 2, 3]);
    }
  });

  it("of an assistant are told as the assistant's, with its weight", async () => {
    const model = smallModel(), assistantModel = smallModel();
    copyInto(tensor(new Array(8).fill(NaN)), assistantModel.h[0].ln_1.weight!.detach());
    const { message } = await assertRejects(
      () => model.completion([1, 2, 3], { maxNewTokens: 6, temperature: 0, assistantModel }),
      LogitsError,
    );
    assertMatch(
      message,
      /^generate: at new token 1 the assistant model's largest logit is NaN or infinite: weight h.0.ln_1.weight has NaN at \[0\] of \[8\]$/,
    );
    model.dispose();
    assistantModel.dispose();
  });

  it("of one text in a batch leave the others alone", async () => {
    const model = smallModel(),
      batcher = new Batcher(model),
      good = { ...resolveOptions({ maxNewTokens: 4 }) };
    const bad = resolveOptions({
      maxNewTokens: 4,
      logitsProcessors: [(text, logits) => {
        if (text.length === 5) logits[3] = NaN;
      }],
    });
    const all = async (steps: AsyncGenerator<{ id: number }, unknown>): Promise<number[]> => {
      const ids: number[] = [];
      for await (const { id } of steps) ids.push(id);
      return ids;
    };
    const alone = await all(batcher.submit([1, 2, 3], good));
    const [one, two] = await Promise.allSettled([
      all(batcher.submit([1, 2, 3], good)),
      all(batcher.submit([1, 2, 3], bad)),
    ]);
    assertEquals(one.status === "fulfilled" && one.value, alone);
    assertMatch(
      String(two.status === "rejected" && two.reason),
      /at new token 3 logitsProcessors\[0\] made the logit of id 3 NaN;/,
    );
    model.dispose();
  });

  it("that a processor makes name the processor, in whatever order and company", async () => {
    const random = new Generator(3);
    const company: GenerateOptions[] = [{ repetitionPenalty: 1.1 }, { topK: 2, temperature: 0.5, seed: 1 }, {
      suppressTokens: [4],
    }, {}];
    for (let round = 0; round < 20; round++) {
      const at = random.integer(0, 3),
        list = Array.from({ length: 3 }, (_, i) => (_ids: unknown, logits: Float32Array) => {
          if (i === at) logits[random.integer(0, 5)] = round % 2 ? NaN : Infinity;
        });
      const { message } = await assertRejects(
        () =>
          run(scripted([1, 2, 3], 5, 2), [0], {
            maxNewTokens: 3,
            ...company[(round >> 1) % 4],
            logitsProcessors: list,
          }),
        FerrotypeError,
      );
      assertMatch(
        message,
        new RegExp(`at new token 1 logitsProcessors\\[${at}\\] made the logit of id \\d (NaN|Infinity);`),
      );
    }
  });

  it("all excluded name who excluded them, one after the other", async () => {
    const model = scripted([1, 2, 3], 5, 2);
    const cases: [GenerateOptions, RegExp][] = [
      [{ suppressTokens: [0, 1, 2, 3, 4] }, /at new token 1: suppressTokens left none; loosen it/],
      [
        { suppressTokens: [0, 1], badWordsIds: [[2], [3]], logitsProcessors: [(_, l) => void l.fill(out)] },
        /badWordsIds, suppressTokens and then logitsProcessors\[0\] left none; loosen them/,
      ],
      [
        {
          logitsProcessors: [(_: unknown, l: Float32Array) => void (l[3] = Infinity)],
          topP: 0.5,
          temperature: 1,
          seed: 1,
        },
        /at new token 1 logitsProcessors\[0\] made the logit of id 3 Infinity;/,
      ],
      [{ suppressTokens: [0, 1, 2, 3, 4], temperature: 1, topK: 2, seed: 1 }, /suppressTokens left none/],
      [
        { suppressTokens: [0, 1, 2, 3, 4], numBeams: 2 },
        /every token is excluded in every beam: suppressTokens left none/,
      ],
    ];
    for (const [options, expected] of cases) {
      const { message } = await assertRejects(
        () => run(model, [0], { maxNewTokens: 3, ...options }),
        FerrotypeError,
      );
      assertMatch(message, expected);
    }
  });

  it("are one error, with id and new token, however tokens are chosen, and whoever makes them", async () => {
    const random = new Generator(8);
    const modes: Record<string, GenerateOptions> = {
      ...ways,
      ...{ minP: { temperature: 1, minP: 0.1, seed: 1 }, topH: { temperature: 1, topH: 0.5, seed: 1 } },
      ...{ typicalP: { temperature: 1, typicalP: 0.5, seed: 1 }, flat: { temperature: 7, seed: 1 } },
      ...{ etaCutoff: { temperature: 1, etaCutoff: 0.1, seed: 1 }, lazy: { renormalizeLogits: true } },
      ...{ told: { logprobs: 2, outputScores: true, temperature: 1, seed: 1 } },
    };
    using model = smallModel();
    const made = (by: string, token: number, ids: string, value: string): RegExp =>
      new RegExp(`^generate: at new token ${token} ${by} made the logit of id ${ids} ${value}; give it`);
    for (const [mode, options] of Object.entries(modes)) {
      for (const value of [NaN, Infinity]) {
        const id = random.integer(0, 8), at = random.integer(4, 6), all = random.integer(0, 2) === 0;
        const spoil = (text: readonly number[], logits: Float32Array): void => {
          if (text.length === at) logits.fill(value, all ? 0 : id, all ? 8 : id + 1);
        };
        const { message } = await assertRejects(
          () => model.completion([1, 2, 3], { maxNewTokens: 4, ...options, logitsProcessors: [spoil] }),
          FerrotypeError,
          undefined,
          mode,
        );
        assertMatch(
          message,
          made("logitsProcessors\\[0\\]", at - 2, String(all ? 0 : id), String(value)),
          mode,
        );
      }
      const { message } = await assertRejects(
        () =>
          model.completion([1, 2, 3], {
            maxNewTokens: 2,
            ...options,
            sequenceBias: [[[5], 1e39], [[4], 2e39]],
          }),
        FerrotypeError,
        undefined,
        mode,
      );
      assertMatch(message, made("sequenceBias", 1, "4", "Infinity"), mode);
    }
    for (const options of [{}, { temperature: 1, seed: 1 }, { numBeams: 2 }]) {
      const asked = { ...options, maxNewTokens: 3, repetitionPenalty: 1e-300 };
      // Beams begin from log-probabilities, which are not above 0: there a penalty this low makes them 0.
      const model = new TableModel(() => [1, 0], 10);
      if ("numBeams" in options) assertStrictEquals((await run(model, [0], asked)).ids.length, 3);
      else {
        const { message } = await assertRejects(() => run(model, [0], asked), FerrotypeError);
        assertMatch(message, made("repetitionPenalty", 1, "0", "Infinity"));
      }
    }
    // Those that do not do the same twice are not named, but the id is.
    let calls = 0;
    const once = (_: unknown, logits: Float32Array): void => void (calls++ || (logits[3] = Infinity));
    const { message } = await assertRejects(
      () => run(scripted([1, 2, 3], 5, 2), [0], { maxNewTokens: 3, logitsProcessors: [once] }),
      FerrotypeError,
    );
    assertMatch(message, made("a processor", 1, "3", "Infinity"));
  });

  it("pass where removeInvalidValues asks for it, and where a later processor excludes them", async () => {
    const rows = [[NaN, 5, Infinity], [0, 0, 5], [5, 0, 0]];
    const model = new TableModel((text) => rows[text.at(-1)!], 10);
    assertStrictEquals((await run(model, [0], { maxNewTokens: 1, removeInvalidValues: true })).ids[0], 2);
    for (const value of [NaN, Infinity]) {
      const mended: GenerateOptions = {
        maxNewTokens: 1,
        logitsProcessors: [(_, logits) => void (logits[2] = value), (_, logits) => void (logits[2] = out)],
      };
      for (const options of [mended, { ...mended, temperature: 1, topK: 0, seed: 4 }]) {
        assertStrictEquals((await run(scripted([1, 2, 3], 5, 2), [0], options)).ids.includes(2), false);
      }
    }
  });
});
