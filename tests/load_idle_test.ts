/**
 * What loading is told and would not heed: a caller's options of a hub are refused where there is none; a file of others'
 * making loads, and what of it changes nothing is said.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import {
  CausalLM,
  FormatError,
  type GenerateOptions,
  Generator,
  GPT2,
  loadChatTemplate,
  loadTokenizer,
  OptionError,
} from "../mod.ts";
import { idleFields } from "../src/generate/generation_config.ts";
import { fields, snake } from "../src/generate/fields.ts";
import { resolveOptions } from "../src/generate/options.ts";
import { repository } from "./_data.ts";
import { width } from "./_width.ts";

const bundled = join(repository, "web", "models", "shakespeare");
const folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
after(() => rmSync(folder, { recursive: true }));
cpSync(bundled, folder, { recursive: true });

describe("options of a hub", () => {
  const loads: Record<string, (where: string, options: object) => Promise<unknown>> = {
    "CausalLM.load": (where, options) => CausalLM.load(where, options),
    "GPT2.load": (where, options) => GPT2.load(where, options),
    loadTokenizer: (where, options) => loadTokenizer(where, options),
    loadChatTemplate: (where, options) => loadChatTemplate(where, options),
  };

  it("are refused for a folder, an address and a file", async () => {
    const told = {
      revision: "abc",
      endpoint: "http://x",
      token: "x",
      cacheDir: "/x",
      timeout: 3,
      retryDelay: 1,
    };
    for (const [name, load] of Object.entries(loads)) {
      for (const [option, value] of Object.entries(told)) {
        for (
          const [where, is] of [[folder, "is on this machine"], ["http://127.0.0.1:1/x", "is an address"]]
        ) {
          const { message } = await assertRejects(() => load(where, { [option]: value }), OptionError);
          assertMatch(
            message,
            new RegExp(`: ${option} has no effect because .* on the hub, and .* ${is}; leave it out$`),
            name,
          );
        }
      }
    }
    await assertRejects(
      () => CausalLM.load(join(folder, "x.gguf"), { token: "x" }),
      OptionError,
      "is on this machine",
    );
    await assertRejects(
      () => CausalLM.load("http://127.0.0.1:1/x", { offline: true }),
      OptionError,
      "offline",
    );
    // Of what is here nothing is fetched.
    (await CausalLM.load(folder, { offline: true })).dispose();
  });
});

describe("generation_config.json", () => {
  const warnings = async (json: object): Promise<string[]> => {
    const heard: string[] = [], file = join(folder, "generation_config.json");
    writeFileSync(file, JSON.stringify(json));
    (await CausalLM.load(folder, { onWarning: (message) => heard.push(message) })).dispose();
    return heard.map((message) => message.replace(`${file}: `, ""));
  };

  it("never ends a call by what a caller did not say", async () => {
    const own: object[] = [
      { do_sample: true, temperature: 0 },
      { num_return_sequences: 3 },
      { num_beams: 3, num_beam_groups: 2, diversity_penalty: 1 },
      { penalty_alpha: 0.6, top_k: 1 },
      { penalty_alpha: 0.6, top_k: 4, num_beams: 2 },
      { prompt_lookup_num_tokens: 2, num_beams: 2 },
      { guidance_scale: 2, num_beams: 2 },
      { max_new_tokens: 2, min_new_tokens: 2, eos_token_id: 0 },
    ];
    const asked: GenerateOptions[] = [
      {},
      { doSample: true },
      { doSample: false },
      { temperature: 0 },
      { topK: 3, seed: 1 },
      { numBeams: 2 },
      { numBeams: 1 },
      { numReturnSequences: 1 },
      { penaltyAlpha: 0.5, topK: 2 },
      { maxNewTokens: 1 },
    ];
    for (const json of own) {
      writeFileSync(join(folder, "generation_config.json"), JSON.stringify(json));
      using model = await CausalLM.load(folder, { onWarning: () => {} });
      for (const options of asked) {
        const { ids } = await model.completion([1, 2, 3], { maxNewTokens: 2, ...options });
        assert(ids.length > 0 && ids.length <= 2, JSON.stringify([json, options]));
      }
      // Options of the caller's that contradict each other are refused as ever.
      await assertRejects(
        () => model.completion([1], { doSample: true, temperature: 0 }),
        OptionError,
        "generate: temperature is 0",
      );
    }
  });

  it("is named with its folder and its own words where it cannot be followed", async () => {
    const file = join(folder, "generation_config.json");
    for (
      const [json, said] of [
        [[1], "is [1], expected an object"],
        ["x", 'is "x", expected an object'],
        [{ forced_bos_token_id: 9999 }, "forced_bos_token_id names token 9999"],
        [{ sequence_bias: 5 }, "sequence_bias is 5, expected"],
        [{ do_sample: "yes" }, 'do_sample is "yes", expected'],
        [{ top_h: 5 }, "top_h is 5, expected"],
        [{ repetition_penalty: -1 }, "repetition_penalty is -1, expected"],
        [{ temperature: "a" }, 'temperature is "a", expected'],
      ] as const
    ) {
      writeFileSync(file, JSON.stringify(json));
      const error = await assertRejects(() => CausalLM.load(folder), FormatError);
      assert(error.message.startsWith(file) && error.message.includes(said), error.message);
    }
  });

  it("loads with fields that change nothing, and each is said", async () => {
    const cases: [object, ...RegExp[]][] = [
      [{ top_h: 0.5 }, /^top_h has no effect because it acts when sampling, and do_sample is not true$/],
      [{ temperature: 0.7, top_p: 0.9 }, /^temperature has no effect/, /^top_p has no effect/],
      [{ max_matching_ngram_size: 3 }, /^max_matching_ngram_size .* belongs to prompt_lookup_num_tokens$/],
      [{ min_new_tokens: 3 }, /^min_new_tokens has no effect because no token ends the text/],
      [{ eos_token_id: 9999 }, /^eos_token_id names token 9999, and the model's tokens go from 0 to 64$/],
      [{ suppress_tokens: [1, 65] }, /^suppress_tokens names token 65,/],
      [{ begin_suppress_tokens: 70 }, /^begin_suppress_tokens names token 70,/],
      [{ bad_words_ids: [[1], [2, 99]] }, /^bad_words_ids names token 99,/],
      [{ num_beam_groups: 3 }, /^num_beam_groups has no effect because it acts in beam search/],
      [
        { num_beams: 3, num_beam_groups: 2 },
        /^num_beam_groups is 2, expected a divisor of num_beams 3; num_beam_groups is left aside$/,
      ],
      [
        { do_sample: true, temperature: 0 },
        /^temperature is 0, expected .*do_sample.*; temperature is left aside$/,
      ],
      [{ num_return_sequences: 3 }, /^num_return_sequences is 3, .*; num_return_sequences is left aside$/],
      [{ min_new_tokens: 9, max_new_tokens: 9, eos_token_id: 0 }],
      [{ sequence_bias: [[[1, 99], 2.5]] }, /^sequence_bias names token 99,/],
      // What is heeded, what is off, and what is as it is without being said.
      [
        { min_length: 50, max_length: 10, eos_token_id: 0 },
        /^min_length is 50, which no text reaches, as max_length is 10$/,
      ],
      [
        { min_new_tokens: 4, max_new_tokens: 3, eos_token_id: 0 },
        /^min_new_tokens is 4, which no text reaches, as max_new_tokens is 3$/,
      ],
      [{ min_length: 10, max_length: 10, eos_token_id: 0 }],
      [{ do_sample: true, top_h: 0.5, temperature: 0.8 }],
      [{ do_sample: false, temperature: 1, top_k: 50, top_p: 1, num_beams: 1, length_penalty: 1 }],
      [{ temperature: 0 }],
      [{ temperature: 0, top_p: 0.9 }, /^top_p has no effect because it acts when sampling/],
      // What leaves one field aside leaves those aside that mean nothing without it.
      [
        { num_beams: 4, num_beam_groups: 3, diversity_penalty: 0.5 },
        /^num_beam_groups is 3, expected a divisor of num_beams 4; num_beam_groups and diversity_penalty are left aside$/,
      ],
      [
        { num_beams: 4, num_beam_groups: 2, do_sample: true, top_p: 0.5 },
        /; do_sample is left aside$/,
        /^top_p has no effect because it acts when sampling, and do_sample is left aside$/,
      ],
      // What is said with a call, and what a file spells otherwise.
      ...["seed", "logprobs", "on_token", "context_overflow", "cache_prompt", "cacheDType", "signal"].map((
        name,
      ): [object, RegExp] => [
        { [name]: 1 },
        new RegExp(`^there is no field "${name}", so it is passed over; it is an option of a call$`),
      ]),
      ...([["maxNewTokens", "max_new_tokens"], ["stop", "stop_strings"], ["stopStrings", "stop_strings"]]
        .map(([name, meant]): [object, RegExp] => [
          { [name]: 1 },
          new RegExp(`^there is no field "${name}", so it is passed over; did you mean "${meant}"\\?$`),
        ])),
      [{ seed: null, chat_format: "chatml" }, /^there is no field "chat_format", so it is passed over$/],
      [{ eos_token_id: [3, 64], min_new_tokens: 3 }],
      [{ num_beams: 2, early_stopping: true, eos_token_id: 0 }],
    ];
    for (const [json, ...patterns] of cases) {
      const heard = await warnings(json);
      assertEquals(heard.length, patterns.length, `${JSON.stringify(json)}: ${heard.join("; ")}`);
      patterns.forEach((pattern, i) => assertMatch(heard[i], pattern));
    }
  });

  it("says of any file no more and no less than what becomes of it", () => {
    const random = new Generator(21),
      one = <T>(list: readonly T[]): T => list[random.integer(0, list.length)];
    const values: Record<string, readonly (number | boolean | string)[]> = {
      numBeams: [1, 2, 3, 4],
      numBeamGroups: [1, 2, 3, 4],
      diversityPenalty: [0, 0.5],
      lengthPenalty: [1, 2],
      earlyStopping: [false, true, "never"],
      numReturnSequences: [1, 2, 5],
      doSample: [true, false],
      temperature: [0, 0.5, 1],
      topK: [1, 4, 50],
      topP: [0.5, 1],
      minP: [0, 0.1],
      penaltyAlpha: [0, 0.6],
      promptLookupNumTokens: [2],
      maxMatchingNgramSize: [2, 3],
      guidanceScale: [1, 2],
      outputScores: [true, false],
      minNewTokens: [0, 3],
      maxNewTokens: [2, 9],
      eosTokenId: [0],
    };
    for (let n = 0; n < width(3000, 500); n++) {
      const own: Record<string, unknown> = {};
      for (const name of Object.keys(values)) if (random.uniform() < 0.35) own[name] = one(values[name]);
      const said = idleFields(own as GenerateOptions, 9), all = said.join("\n"), of = JSON.stringify(own);
      const settled = resolveOptions({}, own as GenerateOptions) as unknown as Record<string, unknown>;
      for (const [name, value] of Object.entries(own)) {
        const isHeld = name === "eosTokenId" || settled[name] === value;
        const { default: usual } = fields[name as keyof typeof fields];
        const isTold =
          new RegExp(`\\b${snake(name)}( and \\w+)* (is|are) left aside|^${snake(name)} `, "m").test(all) ||
          new RegExp(` and ${snake(name)}\\b`).test(all);
        assert(isHeld || isTold || value === usual, `${of}: ${name} is dropped without a word: ${all}`);
      }
      for (const [, name, value] of all.matchAll(/\b([a-z]+(?:_[a-z]+)*) is (\d[\d.]*|true)\b/g)) {
        const plain = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
        if (!Object.hasOwn(fields, plain)) continue;
        const stands = own[plain] ?? fields[plain as keyof typeof fields].default;
        assertEquals(value.replace(/\.$/, ""), String(stands), `${of}: ${all}`);
      }
    }
  });
});
