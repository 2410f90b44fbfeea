/**
 * Fields of a config.json that nothing reads: refused where they would change the numbers, told of where they are slips.
 */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CausalLM, type DecoderConfig, GPT2 } from "../mod.ts";
import { FormatError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { unreadFields } from "../src/models/unread.ts";
import { familyNames, familyOf } from "../src/models/registry.ts";
import { repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

describe("what a config.json leaves out", () => {
  const sizes = {
    vocab_size: 40,
    hidden_size: 64,
    intermediate_size: 32,
    num_hidden_layers: 4,
    num_attention_heads: 4,
  };
  const read = (type: string, more: object = {}): DecoderConfig => {
    const experts = /mixtral|moe/.test(type) ? { num_experts: 4, num_experts_per_tok: 2 } : {};
    const json = { model_type: type, ...sizes, ...experts, ...more };
    return familyOf(type, "").parse(json, "config.json", {}, () => {}) as DecoderConfig;
  };
  const windows = (type: string, more: object = {}): (number | null)[] =>
    read(type, more).layers.map(({ window }) => window);

  it("is what transformers' class has, and null is no default", () => {
    const said = (type: string) => {
      const { maxPositions, normEps, attentionSoftcap, logitSoftcap, layers } = read(type);
      return [
        maxPositions,
        normEps,
        attentionSoftcap,
        logitSoftcap,
        layers[3].rotary?.theta,
        layers[0].window,
      ];
    };
    assertEquals(said("llama"), [2048, 1e-6, null, null, 10_000, null]);
    assertEquals(said("mistral"), [131_072, 1e-6, null, null, 10_000, 4096]);
    assertEquals(said("mixtral"), [131_072, 1e-5, null, null, 1_000_000, null]);
    assertEquals(said("qwen3"), [32_768, 1e-6, null, null, 10_000, null]);
    assertEquals(said("phi3"), [4096, 1e-5, null, null, 10_000, null]);
    assertEquals(said("olmo2"), [2048, 1e-5, null, null, 10_000, null]);
    assertEquals(said("olmoe"), [4096, 1e-5, null, null, 10_000, null]);
    assertEquals(said("gemma2"), [8192, 1e-6, 50, 30, 10_000, 4096]);
    assertEquals(said("gemma3_text"), [131_072, 1e-6, null, null, 10_000, 4096]);
    assertEquals(said("lfm2"), [128_000, 1e-5, null, null, 1_000_000, null]);
    const none = read("gemma2", {
      attn_logit_softcapping: null,
      final_logit_softcapping: null,
      sliding_window: null,
    });
    assertEquals([none.attentionSoftcap, none.logitSoftcap, none.layers[0].window], [null, null, null]);
    assertEquals(windows("mistral", { sliding_window: null }), [null, null, null, null]);
  });

  it("windows of Qwen's models stand where each of them has them", () => {
    const used = { use_sliding_window: true, sliding_window: 5, max_window_layers: 3 };
    for (const type of ["qwen2", "qwen3"]) {
      assertEquals(windows(type, used), [null, null, null, 5]);
      assertEquals(windows(type, { ...used, max_window_layers: 0 }), [5, 5, 5, 5]);
      assertEquals(windows(type, { ...used, use_sliding_window: false }), [null, null, null, null]);
      assertEquals(windows(type, { use_sliding_window: true, max_window_layers: 3 }), [
        null,
        null,
        null,
        4096,
      ]);
    }
    assertEquals(windows("qwen2_moe", used), [5, null, 5, null]);
    assertEquals(windows("qwen3_moe", used), [5, 5, 5, 5]);
  });

  it("experts are counted by either name", () => {
    for (const type of ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe"]) {
      for (const name of ["num_experts", "num_local_experts"]) {
        assertEquals(read(type, { num_experts: null, [name]: 6 }).experts?.count, 6, `${type} ${name}`);
      }
    }
  });

  it("biases count where transformers has them", () => {
    for (const type of familyNames.filter((name) => !/gpt|lfm|next|qwen3_5/.test(name))) {
      const { qkvBias, outputBias, mlpBias } = read(type, { attention_bias: true, mlp_bias: true });
      const has = !/^(?:mistral|mixtral|phi3)$/.test(type), isQwen2 = /^qwen2/.test(type);
      assertEquals([qkvBias, outputBias], [has, has && !isQwen2], type);
      assertEquals(mlpBias, ["llama", "granite", "smollm3"].includes(type), type);
    }
  });
});

describe("fields of a config.json that nothing reads", () => {
  const sized = (type: string): Record<string, unknown> =>
    familyOf(type, "").sized({ vocabSize: 40, contextLength: 64, width: 64, layers: 2, heads: 2 } as never);

  for (const type of familyNames) {
    it(`${type}: what would change the numbers is refused by name`, () => {
      const family = familyOf(type, "config.json");
      family.parse(sized(type), "config.json");
      const wrong = {
        clip_qkv: 8,
        quantization_config: { bits: 4 },
        alibi: true,
        ...(/mixtral|moe|next/.test(type) ? {} : { num_local_experts: 8 }),
        kv_lora_rank: 64,
      };
      for (const [name, value] of Object.entries(wrong)) {
        const error = assertThrows(
          () => family.parse({ ...sized(type), [name]: value }, "config.json"),
          FormatError,
        );
        assertMatch(error.message, new RegExp(`^config.json: ${name} `));
        for (const off of [null, {}]) {
          if (off === null || name === "quantization_config") {
            family.parse({ ...sized(type), [name]: off }, "config.json");
          }
        }
      }
    });
  }

  it("a slip is told with the name that was meant; other names are kept in silence", () => {
    const random = new Generator(42),
      read = ["n_head", "hidden_size", "rope_theta", "attention_bias", "num_hidden_layers"];
    for (let round = 0; round < 200; round++) {
      const meant = read[random.integer(0, read.length)],
        letters = [...meant],
        at = random.integer(1, letters.length - 1);
      if (random.uniform() < 0.5) letters.splice(at, 2, letters[at + 1], letters[at]);
      else letters.splice(at, 1);
      const name = letters.join("");
      if (read.includes(name)) continue;
      const said = unreadFields({ [name]: 1 }, new Set(read), "c", "gpt2");
      assertEquals(said.length, 1, name);
      assert(said[0].endsWith(`did you mean ${meant}?`), said[0]);
    }
    assertEquals(
      unreadFields(
        { _name_or_path: "x", transformers_version: "5", task_specific_params: { a: 1 } },
        new Set(read),
        "c",
        "x",
      ),
      [],
    );
  });

  it("a slip in a folder is heard by who loads it, and by nobody else", async () => {
    const folder = join(repository, "web/models/shakespeare"), given: Record<string, Uint8Array> = {};
    for (const name of readdirSync(folder).filter((name) => /json|safetensors/.test(name))) {
      given[name] = new Uint8Array(readFileSync(join(folder, name)));
    }
    const { layer_norm_epsilon, ...rest } = JSON.parse(new TextDecoder().decode(given["config.json"]));
    const config = { ...rest, layer_norm_epsilom: layer_norm_epsilon };
    given["config.json"] = new TextEncoder().encode(JSON.stringify(config));
    const heard: string[] = [], warned: unknown[] = [], { warn } = console;
    console.warn = (...text) => void warned.push(text);
    try {
      const options = { device: "reference", onWarning: (message: string) => heard.push(message) } as const;
      (await GPT2.load(given as never, options)).dispose();
      (await CausalLM.load(given as never, options)).dispose();
      assertEquals(heard.filter((message) => /layer_norm_epsilom is not read/.test(message)).length, 2);
      for (const type of familyNames) {
        const own: string[] = [], { bos_token_id: _, ...json } = sized(type);
        familyOf(type, "").parse({ ...json, bos_tokn_id: 4 }, "c", {}, (message) => own.push(message));
        assertEquals(own, ["c: bos_tokn_id is not read; did you mean bos_token_id?"], type);
      }
      assertEquals(warned, []);
    } finally {
      console.warn = warn;
    }
  });
});
