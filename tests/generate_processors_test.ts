/**
 * What each generation option does to logits, beside values computed from its definition; and which fields of Hugging
 * Face's GenerationConfig hold, with the table of them in docs.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type GenerateOptions, OptionError } from "../mod.ts";
import { fields, refused, silentFields, unfelt } from "../src/generate/fields.ts";
import { generationDefaults } from "../src/generate/generation_config.ts";
import { type LogitsProcessor, resolveOptions } from "../src/generate/options.ts";
import { buildProcessors } from "../src/generate/processors/build.ts";
import { exponentialDecay, forceAt, minLength } from "../src/generate/processors/lengths.ts";
import { countPenalty, noRepeatNgram } from "../src/generate/processors/penalties.ts";
import {
  epsilonCutoff,
  etaCutoff,
  minP,
  removeInvalid,
  toLogProbabilities,
  topK,
  topP,
  typicalP,
} from "../src/generate/processors/warpers.ts";
import { badWords, sequenceBias, suppress, suppressAtBegin } from "../src/generate/processors/words.ts";
import { repository } from "./_data.ts";
import { assertNear } from "./_gpt2.ts";
import { run, TableModel } from "./_language_model.ts";
import { stopClock } from "./_wait.ts";

const out = -Infinity;

function processed(process: LogitsProcessor, logits: number[], ids: number[] = []): number[] {
  const values = Float32Array.from(logits);
  process(ids, values);
  return [...values];
}

/** Which tokens are left. */
const left = (process: LogitsProcessor, chances: number[]): number[] =>
  [...processed(process, chances.map(Math.log)).entries()].filter(([, v]) => v > out).map(([id]) => id);

describe("penalties", () => {
  it("count new tokens alone: presence once, frequency each time", () => {
    const ids = [0, 0, 1, 1, 1, 2];
    assertNear(processed(countPenalty(0.5, 0.25, 2), [5, 5, 5, 5], ids), [5, 3.25, 4.25, 5], 1e-6, "both");
    assertNear(processed(countPenalty(0, -1, 5), [5, 5, 5, 5], ids), [5, 5, 6, 5], 1e-6, "a reward");
  });

  it("let no row of n tokens appear twice", () => {
    const logits = [0, 0, 0, 0];
    // After 1 2 comes 3 once and 0 once; the text ends with 1 2 again.
    assertEquals(processed(noRepeatNgram(3), logits, [1, 2, 3, 1, 2, 0, 1, 2]), [out, 0, 0, out]);
    assertEquals(processed(noRepeatNgram(1), logits, [1, 3]), [0, out, 0, out]);
    assertEquals(processed(noRepeatNgram(2), logits, [2, 2]), [0, 0, out, 0]);
    assertEquals(processed(noRepeatNgram(4), logits, [1, 2, 3]), logits);
  });
});

describe("words", () => {
  it("get a bias where the tokens before their last one were just made", () => {
    const bias = sequenceBias([[[3], 1], [[1, 2], -2], [[1, 1, 0], 5]]);
    assertEquals(processed(bias, [0, 0, 0, 0], []), [0, 0, 0, 1]);
    assertEquals(processed(bias, [0, 0, 0, 0], [0, 1]), [0, 0, -2, 1]);
    assertEquals(processed(bias, [0, 0, 0, 0], [1, 1]), [5, 0, -2, 1]);
  });

  it("that are bad never come; an end-of-text token alone is no word", () => {
    const bad = badWords([[3], [1, 2], [0]], [0]);
    assertEquals(processed(bad, [0, 0, 0, 0], [1]), [0, 0, out, out]);
    assertEquals(processed(suppress([1, 2]), [0, 0, 0], []), [0, out, out]);
    assertEquals(processed(suppressAtBegin([1], 2), [0, 0], [5, 5]), [0, out]);
    assertEquals(processed(suppressAtBegin([1], 2), [0, 0], [5, 5, 5]), [0, 0]);
  });
});

describe("lengths", () => {
  it("keep the end away, force it, or make it likelier", () => {
    assertEquals(processed(minLength(3, [1]), [0, 0], [5, 5]), [0, out]);
    assertEquals(processed(minLength(3, [1]), [0, 0], [5, 5, 5]), [0, 0]);
    assertEquals(processed(forceAt(2, [1, 2]), [7, 7, 7], [5, 5]), [out, 0, 0]);
    assertEquals(processed(forceAt(2, [1]), [7, 7], [5]), [7, 7]);
    // Two tokens beyond the third: |−4| · (1.5² − 1) = 5, |2| · 1.25 = 2.5.
    const decay = exponentialDecay(3, 1.5, 1, [0, 1]);
    const excluded = Float32Array.of(out, 2);
    decay([0, 0, 0, 0, 0], excluded);
    assertEquals([...excluded], [out, 3], "what is excluded stays so");
    assertNear(processed(decay, [-4, 2, 1], new Array(6).fill(9)), [1, 4.5, 1], 1e-6, "decay");
    assertEquals(processed(decay, [-4, 2, 1], new Array(4).fill(9)), [-4, 2, 1]);
  });
});

describe("the tail", () => {
  it("is cut by typicality", () => {
    // Entropy of the four is 1.2080; surprises 0.69, 1.39, 1.90, 3.00 are 0.51, 0.18, 0.69, 1.79 from it.
    const chances = [0.5, 0.25, 0.15, 0.1 / 2, 0.1 / 2];
    const entropy = -chances.reduce((sum, p) => sum + p * Math.log(p), 0);
    const order = [...chances.keys()].sort((a, b) =>
      Math.abs(-Math.log(chances[a]) - entropy) - Math.abs(-Math.log(chances[b]) - entropy)
    );
    assertEquals(order.slice(0, 3), [1, 0, 2]);
    assertEquals(left(typicalP(0.2), chances), [1]);
    assertEquals(left(typicalP(0.6), chances), [0, 1]);
    assertEquals(left(typicalP(0.8), chances), [0, 1, 2]);
    assertEquals(left(typicalP(0.2, 2), chances), [0, 1]);
  });

  it("is cut at a probability, fixed or by entropy", () => {
    const chances = [0.6, 0.3, 0.06, 0.04];
    assertEquals(left(epsilonCutoff(0.05), chances), [0, 1, 2]);
    assertEquals(left(epsilonCutoff(0.9), chances), [0]);
    assertEquals(left(epsilonCutoff(0.9, 3), chances), [0, 1, 2]);
    // Entropy 0.9653: √0.2 · e^−0.9653 = 0.1703, below 0.2.
    assertEquals(left(etaCutoff(0.2), chances), [0, 1]);
    // √0.01 · e^−0.9653 = 0.0381, but ε itself is 0.01.
    assertEquals(left(etaCutoff(0.01), chances), [0, 1, 2, 3]);
    assertEquals(left(etaCutoff(0.999), chances), [0]);
  });

  it("leaves what must be kept", () => {
    const chances = [0.9, 0.06, 0.04];
    assertEquals(left(topK(1, 2), chances), [0, 1]);
    assertEquals(left(topP(0.1, 2), chances), [0, 1]);
    assertEquals(left(minP(1, 3), chances), [0, 1, 2]);
  });

  it("is left to values that are numbers, and that sum to one", () => {
    const values = Float32Array.of(NaN, Infinity, -Infinity, 2);
    removeInvalid(values);
    assertEquals([...values], [0, 3.4028234663852886e38, -3.4028234663852886e38, 2]);
    const logits = Float32Array.of(0, Math.log(3), out);
    toLogProbabilities(logits);
    assertNear(logits.slice(0, 2), [Math.log(0.25), Math.log(0.75)], 1e-6, "ln softmax");
    assertStrictEquals(logits[2], out);
  });
});

describe("processors in generation", () => {
  const flat = (): TableModel => new TableModel(() => [3, 2, 1, 0]);
  const ids = async (options: GenerateOptions, prompt = [3]): Promise<number[]> =>
    (await run(flat(), prompt, options.maxLength ? options : { maxNewTokens: 4, ...options })).ids;

  it("each act in their turn", async () => {
    assertEquals(await ids({}), [0, 0, 0, 0]);
    assertEquals(await ids({ frequencyPenalty: 0.75 }), [0, 0, 1, 0]);
    assertEquals(await ids({ presencePenalty: 1.5 }), [0, 1, 0, 0]);
    assertEquals(await ids({ presencePenalty: 1.5, repeatLastN: 1 }), [0, 1, 0, 1]);
    assertEquals(await ids({ presencePenalty: 1.5, repeatLastN: 0 }), [0, 0, 0, 0]);
    assertEquals(await ids({ frequencyPenalty: 0.75, repeatLastN: 1 }), [0, 0, 0, 0]);
    assertEquals(await ids({ repetitionPenalty: 4 }, [0, 3]), [1, 2, 0, 0]);
    assertEquals(await ids({ repetitionPenalty: 4, repeatLastN: 1 }, [0, 3]), [0, 1, 0, 1]);
    assertEquals(await ids({ repetitionPenalty: 4, repeatLastN: -1 }, [0, 3]), [1, 2, 0, 0]);
    assertEquals(await ids({ noRepeatNgramSize: 2 }), [0, 0, 1, 0]);
    assertEquals(await ids({ badWordsIds: [[0, 0]] }), [0, 1, 0, 1]);
    assertEquals(await ids({ suppressTokens: 0 }), [1, 1, 1, 1]);
    assertEquals(await ids({ beginSuppressTokens: [0, 1] }), [2, 0, 0, 0]);
    assertEquals(await ids({ sequenceBias: [[[0, 2], 5]] }), [0, 2, 0, 2]);
    assertEquals(await ids({ forcedBosTokenId: 2 }), [2, 0, 0, 0]);
    assertEquals(await ids({ forcedBosTokenId: 2 }, [3, 3]), [0, 0, 0, 0]);
    assertEquals(await ids({ forcedEosTokenId: 3 }), [0, 0, 0, 3]);
    assertEquals(await ids({ eosTokenId: 0, minNewTokens: 2 }), [1, 1, 0]);
    assertEquals(await ids({ eosTokenId: 0, minLength: 4 }), [1, 1, 1, 0]);
    assertEquals(await ids({ eosTokenId: [2, 0] }), [0]);
    assertEquals(await ids({ eosTokenId: 2, exponentialDecayLengthPenalty: [1, 2] }), [0, 0, 0, 2]);
    assertEquals(await ids({ maxLength: 3 }), [0, 0]);
    await assertRejects(() => ids({ maxLength: 1 }), Error, "maxLength 1 leaves room");
  });

  it("are followed by criteria, which end the text", async () => {
    const result = await run(flat(), [3], { stoppingCriteria: [(text) => text.length === 3] });
    assertEquals([result.ids, result.finishReason], [[0, 0], "stop"]);
  });

  it("stop after so many seconds", async () => {
    using clock = stopClock();
    const slow = new TableModel(() => {
      clock.advance(30);
      return [1, 0];
    });
    const { ids, finishReason } = await run(slow, [0], { maxNewTokens: 60, maxTime: 0.1 });
    assertEquals([ids.length, finishReason], [4, "length"]);
  });

  it("leave the logits of each step behind, before and after", async () => {
    const result = await run(flat(), [3], {
      maxNewTokens: 2,
      suppressTokens: [0],
      outputScores: true,
      outputLogits: true,
    });
    assertEquals(result.scores?.map((row) => [...row]), [[out, 2, 1, 0], [out, 2, 1, 0]]);
    assertEquals(result.logits?.map((row) => [...row]), [[3, 2, 1, 0], [3, 2, 1, 0]]);
  });

  it("come in the order of Hugging Face", () => {
    // A bias makes the seen token positive before the repetition penalty divides it, and a forced token wins over both.
    const options = resolveOptions({ sequenceBias: [[[1], 4]], repetitionPenalty: 2, maxNewTokens: 2 });
    const logits = Float32Array.of(1, -2);
    for (const process of buildProcessors(options, 1)) process([1], logits);
    assertEquals([...logits], [1, 1]);
    const forced = resolveOptions({ suppressTokens: [1], forcedEosTokenId: 1, maxNewTokens: 1 });
    const last = Float32Array.of(1, 1);
    for (const process of buildProcessors(forced, 1)) process([0], last);
    assertEquals([...last], [out, out], "suppressing comes after forcing");
  });
});

/** What `GenerationConfig` of transformers 4.55 takes (generation/configuration_utils.py), but for notes on the file itself. */
const fieldsOfTransformers = (
  "max_length max_new_tokens min_length min_new_tokens early_stopping max_time stop_strings do_sample num_beams " +
  "num_beam_groups penalty_alpha dola_layers use_cache cache_implementation cache_config return_legacy_cache " +
  "prefill_chunk_size temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff diversity_penalty " +
  "repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size bad_words_ids force_words_ids " +
  "renormalize_logits constraints forced_bos_token_id forced_eos_token_id remove_invalid_values " +
  "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens forced_decoder_ids sequence_bias token_healing " +
  "guidance_scale low_memory watermarking_config num_return_sequences output_attentions output_hidden_states output_scores " +
  "output_logits return_dict_in_generate pad_token_id bos_token_id eos_token_id encoder_no_repeat_ngram_size " +
  "decoder_start_token_id is_assistant num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold " +
  "prompt_lookup_num_tokens max_matching_ngram_size assistant_early_exit assistant_lookbehind target_lookbehind " +
  "compile_config disable_compile"
).split(" ");

describe("the fields of GenerationConfig", () => {
  const rejected = (options: object, pattern: RegExp): void => {
    {
      const error = assertThrows(() => resolveOptions(options as GenerateOptions), Error);

      assert(error instanceof OptionError);

      assertMatch(error.message, pattern);
    }
  };

  const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

  it("that cannot hold throw with the reason, unless their value changes nothing", () => {
    for (const [name, { neutral, why, besides }] of Object.entries(refused)) {
      rejected({ [name]: 0.123 }, new RegExp(`${name} 0.123 cannot be honoured: .`));
      assert(why.length > 10, name);
      for (const value of neutral) resolveOptions({ [name]: value } as GenerateOptions);
      const inFile = { [snake(name)]: 0.123 };
      if (besides) assertEquals(generationDefaults(inFile), {}, name);
      else {
        assertMatch(
          String(assertThrows(() => generationDefaults(inFile))),
          /generation_config\.json: .* cannot be honoured/,
        );
      }
    }
  });

  it("that change no token are accepted, in files whatever they say", () => {
    const values: Record<string, unknown[]> = {
      useCache: [true, false],
      cacheImplementation: ["dynamic", "static", "offloaded"],
      disableCompile: [true, false],
      lowMemory: [true, false],
      returnDictInGenerate: [true, false],
      numAssistantTokensSchedule: ["constant", "heuristic"],
      prefillChunkSize: [64],
      compileConfig: [{ fullgraph: true }],
      cacheConfig: [{ max_cache_len: 128 }],
      padTokenId: [0, -1],
    };
    const plain = resolveOptions({});
    for (const name of Object.keys(unfelt)) {
      for (const value of [null, undefined, ...values[name] ?? []]) {
        assertEquals(resolveOptions({ [name]: value } as GenerateOptions), plain, name);
      }
      for (const value of [null, "odd", 0.123, { a: 1 }, ...values[name] ?? []]) {
        assertEquals(generationDefaults({ [snake(name)]: value }), {}, name);
      }
    }
    rejected({ useCache: "no" }, /useCache is "no", expected true or false/);
    rejected({ cacheImplementation: "sttic" }, /cacheImplementation is "sttic", expected "dynamic"/);
    rejected({ cacheImplementation: "quantized" }, /cannot be honoured: .*cacheDType: "q8"/);
    assertMatch(
      String(assertThrows(() => generationDefaults({ cache_implementation: "quantized" }))),
      /generation_config.json: cache_implementation "quantized" cannot be honoured/,
    );
  });

  it("of other programs say nothing here", () => {
    assertEquals(generationDefaults({ chat_format: "chatml", max_window_size: 6144, toString: 1 }), {});
    assertEquals(generationDefaults(JSON.parse(`{ "__proto__": { "temperature": 0.1 } }`)), {});
  });

  it("that hold refuse what they cannot be", () => {
    for (const [name, { expected }] of Object.entries(fields)) {
      rejected({ [name]: { wrong: true } }, new RegExp(`${name} is .*expected`));
      assert(expected.length > 3);
    }
    rejected({ numBeamGroups: 2, numBeams: 3 }, /divisor of numBeams 3/);
    rejected({ diversityPenalty: 1, numBeams: 2 }, /numBeamGroups above 1/);
    rejected({ lengthPenalty: 2 }, /lengthPenalty acts? only in beam search/);
    rejected({ numReturnSequences: 2 }, /one text only/);
    rejected({ numReturnSequences: 3, numBeams: 2 }, /at most numBeams 2/);
    rejected({ maxLength: 5, maxNewTokens: 5 }, /the same in two ways/);
    rejected({ stop: "a", stopStrings: "b" }, /another name/);
    rejected({ repeatLastN: -2 }, /repeatLastN is -2, expected a whole number from -1/);
    rejected({ repeatLastN: 5 }, /repeatLastN has no effect because nothing is penalised/);
    rejected({ numBeams: 2, logprobs: 1 }, /beam search has several/);
  });

  it("are read from a file as other programs write it", () => {
    const read = generationDefaults({
      _from_model_config: true,
      bos_token_id: 50256,
      eos_token_id: 50256,
      pad_token_id: 50256,
      transformers_version: "4.50.0",
      use_cache: true,
      max_length: 50,
      max_new_tokens: 9,
      no_repeat_ngram_size: 3,
      stop_strings: "x",
      suppress_tokens: [1],
      guidance_scale: null,
    });
    assertEquals(read, {
      bosTokenId: 50256,
      eosTokenId: 50256,
      maxNewTokens: 9,
      noRepeatNgramSize: 3,
      stop: "x",
      suppressTokens: [1],
    });
    assertThrows(() => generationDefaults({ top_p: 7 }), Error, "generation_config.json: top_p is 7");
  });

  it("stand in the table of docs/generation.md, each with what becomes of it", () => {
    const text = readFileSync(join(repository, "docs", "generation.md"), "utf8");
    const row = (name: string): string => new RegExp(`^\\| *\`${name}\` *\\|.*$`, "m").exec(text)?.[0] ?? "";
    for (const name of Object.keys(fields)) {
      assertMatch(row(name), /\| honoured/, `${name} in docs/generation.md`);
    }
    for (const name of Object.keys(refused)) {
      assertMatch(row(name), /\| throws/, `${name} in docs/generation.md`);
    }
    for (const name of Object.keys(unfelt)) {
      assertMatch(row(name), /\| changes no token/, `${name} in docs/generation.md`);
    }
    assert(silentFields.includes("padTokenId"));
  });

  it("are all that transformers has", () => {
    const text = readFileSync(join(repository, "docs", "generation.md"), "utf8");
    for (const name of fieldsOfTransformers) {
      const plain = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      const own = plain === "stopStrings" ? "stop" : plain;
      assertMatch(text, new RegExp(`^\\| *\`${own}\` *\\|`, "m"), `${name} has no row in docs/generation.md`);
      assert([fields, refused, unfelt].some((table) => Object.hasOwn(table, own)), `${name} is in no table`);
    }
  });
});
