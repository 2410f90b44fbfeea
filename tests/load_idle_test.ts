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
  GPT2,
  loadChatTemplate,
  loadTokenizer,
  OptionError,
} from "../mod.ts";
import { repository } from "./_data.ts";

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
      [{ eos_token_id: [3, 64], min_new_tokens: 3 }],
      [{ num_beams: 2, early_stopping: true, eos_token_id: 0 }],
    ];
    for (const [json, ...patterns] of cases) {
      const heard = await warnings(json);
      assertEquals(heard.length, patterns.length, `${JSON.stringify(json)}: ${heard.join("; ")}`);
      patterns.forEach((pattern, i) => assertMatch(heard[i], pattern));
    }
  });
});
