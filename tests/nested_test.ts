/**
 * Language models inside of models of texts and images: settings in `text_config`, weights beside those of other parts.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CausalLM,
  convertToGguf,
  FormatError,
  initReference,
  noGrad,
  openSafetensors,
  randn,
  saveSafetensors,
  type Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { familyOfConfig } from "../src/models/registry.ts";
import { truth, Weights } from "./_decoder_truth.ts";
import { inFolder } from "./_gpt2.ts";
import { type Config, randomConfig, vocab } from "./_random_families.ts";
import { width } from "./_width.ts";

initReference();

/** What published models call the language model's weights. */
const layouts: readonly ((name: string) => string)[] = [
  (name) => name.replace(/^model\./, "model.language_model."),
  (name) => `language_model.${name}`,
  (name) => name.replace(/^model\./, "model.text_model."),
  (name) => name,
];

/** Weights of other parts, as published models call them. */
const others = [
  "model.visual.blocks.0.attn.qkv.weight",
  "visual.patch_embed.proj.weight",
  "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
  "model.vision_model.embeddings.patch_embedding.weight",
  "multi_modal_projector.linear_1.bias",
  "model.connector.modality_projection.proj.weight",
  "model.image_newline",
  "audio_tower.layers.0.fc1.weight",
  "mtp.layers.0.input_layernorm.weight",
  "mtp.fc.weight",
];

/** A whole, the family of its language model, and how that is called in it. */
const wholes = [
  ["qwen3_5", "qwen3_5_text", "qwen3_5_text"],
  ["gemma3", "gemma3_text", "gemma3_text"],
  ["mistral3", "mistral", "mistral"],
  ["llava", "llama", undefined],
  ["smolvlm", "llama", "llama"],
  ["lfm2_vl", "lfm2", "lfm2"],
  ["qwen3_vl", "qwen3", "qwen3_vl_text"],
  ["qwen2_5_vl", "qwen2", "qwen2_5_vl_text"],
  ["internvl", "qwen3", "qwen3"],
] as const;

async function write(
  folder: string,
  config: object,
  weights: Weights,
  name: (name: string) => string,
  more: readonly string[],
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const tensors: Record<string, Tensor> = {};
  for (const [own, { shape, values }] of weights.made) tensors[name(own)] = tensor(values, { shape });
  more.forEach((own, i) => tensors[own] = randn([3, 4], { seed: i }));
  await saveSafetensors(join(folder, "model.safetensors"), tensors);
  for (const t of Object.values(tensors)) t.dispose();
}

async function logitsOf(model: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  using logits = noGrad(() => model.forward([ids]));
  return (await logits.data()).slice() as Float32Array;
}

describe("the language model of a model of texts and images", () => {
  wholes.slice(0, width(wholes.length, 3)).forEach(([outer, family, inner], i) => {
    it(`${outer}: is read as ${family}, what stands beside it is left out in a line, and saved it is that alone`, async () => {
      const random = new Generator(17 + i),
        ids = Array.from({ length: 9 }, (_, t) => (t * t + 3 * t + i) % vocab);
      const { model_type: _, tie_word_embeddings: tied, ...text }: Config = randomConfig(family, 40 + i);
      const rotary = outer.startsWith("qwen2") && !text.rope_parameters
        ? { rope_scaling: { type: "mrope", mrope_section: [1, 1, 1] } }
        : {};
      const plain = { ...text, ...rotary, tie_word_embeddings: tied, model_type: family };
      const whole = {
        model_type: outer,
        architectures: ["OneForConditionalGeneration"],
        text_config: { ...text, ...rotary, ...inner ? { model_type: inner } : {}, bos_token_id: 3 },
        vision_config: { hidden_size: 5, quantization_config: 3 },
        ...tied === undefined ? {} : { tie_word_embeddings: tied },
        bos_token_id: 4,
      };
      const weights = new Weights(60 + i), known = truth(plain, ids, weights);
      const most = Math.max(1, ...known.flatMap((row) => Array.from(row, Math.abs)));
      await inFolder(async (folder) => {
        const more = others.filter(() => random.uniform() < 0.5).concat(others[i % others.length]);
        await write(join(folder, "plain"), plain, weights, (name) => name, []);
        await write(join(folder, "whole"), whole, weights, layouts[i % layouts.length], more);
        const told: string[] = [], onWarning = (message: string): void => void told.push(message);
        using own = await CausalLM.load(join(folder, "plain"), { device: "cpu", onWarning });
        assertEquals(told, []);
        using model = await CausalLM.load(join(folder, "whole"), { device: "cpu", onWarning });
        assertStrictEquals(model.family, family);
        assertStrictEquals(told.length, 1, told.join("\n"));
        assertMatch(
          told[0],
          new RegExp(
            `whole: of this ${outer} the language model alone is read; .* left out: \\S+ \\(\\d+\\)`,
          ),
        );
        const found = await logitsOf(model, ids);
        known.flatMap((row) => [...row]).forEach((x, j) =>
          assert(Math.abs(x - found[j]) < 1e-4 * most, `${j}: ${found[j]} is not ${x}`)
        );
        assertEquals(found, await logitsOf(own, ids));
        await model.save(join(folder, "saved"));
        const saved = JSON.parse(readFileSync(join(folder, "saved", "config.json"), "utf8"));
        assertEquals(
          [saved.model_type, saved.text_config, saved.vision_config, saved.architectures, saved.bos_token_id],
          [family, undefined, undefined, undefined, 4],
        );
        {
          await using file = await openSafetensors(join(folder, "saved", "model.safetensors"));
          assert(
            file.names.every((name) =>
              /^(?:model\.(?:embed_tokens|layers|norm|embedding_norm)|lm_head)\./.test(name)
            ),
          );
        }
        told.length = 0;
        using again = await CausalLM.load(join(folder, "saved"), { device: "cpu", onWarning });
        assertEquals(await logitsOf(again, ids), found);
        assertEquals(told, []);
        let gguf: string | null = join(folder, "whole.gguf");
        try {
          await convertToGguf(join(folder, "whole"), gguf, { onWarning });
        } catch (error) {
          assertMatch((error as Error).message, /keep it as safetensors/);
          gguf = null;
        }
        if (gguf) {
          assert(told.some((line) => line.includes("language model alone")), told.join("\n"));
          using back = await CausalLM.load(gguf, { device: "cpu", onWarning });
          (await logitsOf(back, ids)).forEach((x, j) => assert(Math.abs(x - found[j]) < 2e-5 * most));
        }
        // What is inside of the language model is still all of it, and no more.
        const layout = layouts[i % layouts.length];
        await write(join(folder, "whole"), whole, weights, layout, [layout("model.layers.0.more.weight")]);
        await assertRejects(() => CausalLM.load(join(folder, "whole")), FormatError, "unexpected: ");
      });
    });
  });

  const parsed = (json: Config): Record<string, unknown> => {
    const told: string[] = [];
    const config = familyOfConfig(json, "config.json").parse(
      json,
      "config.json",
      {},
      (m) => void told.push(m),
    );
    assertEquals(told, []);
    return config as Record<string, unknown>;
  };

  it("what an entry leaves out is what transformers has for it", () => {
    // As published with Gemma 3 4B, LLaVA 1.5 7B and LLaVA 1.6 of Mistral.
    const gemma = parsed({
      model_type: "gemma3",
      eos_token_id: [1, 106],
      text_config: {
        hidden_size: 2560,
        intermediate_size: 10240,
        model_type: "gemma3_text",
        num_hidden_layers: 34,
        rope_scaling: { factor: 8, rope_type: "linear" },
        sliding_window: 1024,
      },
      vision_config: { hidden_size: 1152, model_type: "siglip_vision_model" },
    });
    const { hiddenSize, heads, kvHeads, headDim, vocabSize, tied, eosTokenId, bosTokenId, maxPositions } =
      gemma;
    assertEquals([hiddenSize, heads, kvHeads, headDim, vocabSize, tied], [2560, 8, 4, 256, 262_208, true]);
    assertEquals([eosTokenId, bosTokenId, maxPositions], [[1, 106], 2, 131_072]);
    const llava = parsed({
      model_type: "llava",
      text_config: {
        architectures: ["LlamaForCausalLM"],
        max_position_embeddings: 4096,
        model_type: "llama",
        rms_norm_eps: 1e-5,
        vocab_size: 32064,
      },
    });
    assertEquals([llava.hiddenSize, llava.intermediateSize, llava.kvHeads, llava.tied], [
      4096,
      11008,
      32,
      false,
    ]);
    assertEquals([llava.maxPositions, llava.vocabSize, (llava.layers as unknown[]).length], [
      4096,
      32064,
      32,
    ]);
    const window = (more: object) =>
      (parsed({ model_type: "llava_next", text_config: { model_type: "mistral", ...more } })
        .layers as { window: unknown }[])[0].window;
    assertEquals([window({}), window({ sliding_window: null })], [4096, null]);
    // The first Qwen-VLs have no entry.
    const flat = parsed({
      model_type: "qwen2_5_vl",
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      max_position_embeddings: 64,
      vocab_size: 50,
      vision_config: { hidden_size: 7 },
      rope_scaling: { type: "mrope", mrope_section: [1, 1, 2] },
    });
    assertEquals([flat.family, flat.hiddenSize, flat.qkvBias], ["qwen2", 32, true]);
  });

  it("what is not read is refused by name", () => {
    const small = { hidden_size: 8, num_attention_heads: 2, num_hidden_layers: 1, intermediate_size: 8 };
    for (
      const [json, message] of [
        [{ model_type: "llava", text_config: { model_type: "opt" } }, /text_config: model_type is "opt"/],
        [{ model_type: "llava", text_config: 3 }, /text_config is 3, expected an object/],
        [{ model_type: "llava", text_config: [] }, /text_config is \[\], expected an object/],
        [{ model_type: "lava", text_config: {} }, /model_type is "lava".*nearest.*"llava"/],
        [{ model_type: "gemma3", text_config: { hidden_size: "8" } }, /text_config: hidden_size is "8"/],
        [
          { model_type: "llava", quantization_config: { bits: 4 }, text_config: small },
          /quantization_config/,
        ],
        [{ model_type: "llava", text_config: { ...small, num_local_experts: 4 } }, /num_local_experts/],
      ] as const
    ) assertMatch(assertThrows(() => parsed(json as Config), FormatError).message, message);
  });
});
