/**
 * Families with configurations that no recorded folder has, seeded: against a computation in float64 that shares nothing with
 * the library (`_decoder_truth.ts`), on the cpu and the reference device, with a cache, and as a GGUF, whole, in parts and by ranges.
 */
import { assert, assertStrictEquals } from "@std/assert";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { CausalLM, convertToGguf, initReference, noGrad, saveSafetensors, tensor } from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { Generator } from "../src/core/random.ts";
import { functions, truth, Weights } from "./_decoder_truth.ts";
import { byRange, splitGguf } from "./_gguf_files.ts";
import { inFolder } from "./_gpt2.ts";
import { width } from "./_width.ts";

type Config = Record<string, unknown>;

const vocab = 37, time = 11;

/** Writes a folder of a model with weights that the truth asked for. */
async function write(folder: string, config: Config, weights: Weights): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const tensors = [...weights.made].map(([name, { shape, values }]) =>
    [name, tensor(values, { shape })] as const
  );
  await saveSafetensors(join(folder, "model.safetensors"), new Map(tensors));
  for (const [, t] of tensors) t.dispose();
}

/** How far the logits of a model are from the truth, in parts of the largest of them. */
async function off(
  where: string | URL,
  device: DeviceName,
  ids: number[],
  known: Float64Array[],
): Promise<number> {
  using model = await CausalLM.load(where, { device, onWarning: () => {} });
  const most = Math.max(1, ...known.flatMap((row) => Array.from(row, Math.abs)));
  let worst = 0;
  const compare = (found: Float32Array, rows: readonly Float64Array[]): void =>
    rows.forEach((row, t) =>
      row.forEach((x, i) => worst = Math.max(worst, Math.abs(found[t * row.length + i] - x)))
    );
  {
    using logits = noGrad(() => model.forward([ids]));
    compare(await logits.data() as Float32Array, known);
  }
  // In two pieces and a step, through a cache; not where angles change with the length of the text.
  if (!JSON.stringify((model.config as { json?: unknown }).json ?? {}).includes("longrope")) {
    using cache = model.createCache(1, ids.length);
    for (const [from, to] of [[0, 4], [4, ids.length - 1], [ids.length - 1, ids.length]]) {
      using logits = noGrad(() => model.forward([ids.slice(from, to)], { cache }));
      compare(await logits.data() as Float32Array, known.slice(from, to));
    }
  }
  return worst / most;
}

async function check(config: Config, seed: number, ggufToo: boolean): Promise<void> {
  const ids = Array.from({ length: time }, (_, t) => (seed * 7 + t * t * 3 + 5 * t) % vocab);
  const weights = new Weights(seed), known = truth(config, ids, weights), what = JSON.stringify(config);
  await inFolder(async (folder) => {
    const where = join(folder, "model");
    await write(where, config, weights);
    for (const device of ["cpu", "reference"] as const) {
      const found = await off(where, device, ids, known);
      assert(found < 1e-5, `${device}: off by ${found} of the largest logit, seed ${seed}: ${what}`);
    }
    if (!ggufToo) return;
    const path = join(folder, "model.gguf");
    try {
      await convertToGguf(where, path, { dtype: "f32", onWarning: () => {} });
    } catch (error) {
      // What a GGUF cannot say is refused in words.
      assert(/keep it as safetensors|GGUF/.test((error as Error).message), (error as Error).message);
      return;
    }
    const near = async (as: string, from: string | URL): Promise<void> => {
      const found = await off(from, "cpu", ids, known);
      assert(found < 2e-5, `${as}: off by ${found} of the largest logit, seed ${seed}: ${what}`);
    };
    await near("GGUF", path);
    await near("GGUF in parts", await splitGguf(path, folder, 2));
    await byRange(path, (address) => near("GGUF by ranges", address));
  });
}

/** A configuration of a family at random, of what transformers allows. */
function randomConfig(family: string, seed: number): Config {
  const random = new Generator(seed);
  const pick = <T>(...list: T[]): T => list[random.integer(0, list.length)];
  const layers = 3, heads = pick(1, 2, 3, 4), groups = pick(...[1, 2, 3, 4].filter((n) => heads % n === 0));
  const headDim = pick(4, 8, 16), hidden = pick(heads * headDim, 24, 20), window = pick(1, 3, 5);
  const act = pick(...Object.keys(functions));
  if (family === "gpt2") {
    return {
      model_type: family,
      vocab_size: vocab,
      n_positions: 16,
      n_embd: heads * headDim,
      n_head: heads,
      n_layer: layers,
      ...pick({}, { n_inner: 20 }),
      activation_function: act,
      ...pick({}, { scale_attn_by_inverse_layer_idx: true }, { scale_attn_weights: false }),
      ...pick({}, { reorder_and_upcast_attn: true }),
      ...pick({}, { tie_word_embeddings: false }),
      layer_norm_epsilon: pick(1e-5, 1e-3),
    };
  }
  const share = family === "gpt_neox" || family === "phi3" ? pick(1, 0.5, 0.5) : 1;
  const dims = family === "gpt_neox" ? headDim : headDim, pairs = dims * share / 2;
  const factors = (least: number): number[] => Array.from({ length: pairs }, (_, i) => least + 0.25 * i);
  const scalings: Config[] = [
    {},
    { rope_type: "default" },
    { rope_type: "linear", factor: 2.5 },
    {
      rope_type: "yarn",
      factor: 4,
      original_max_position_embeddings: 8,
      ...pick({}, { beta_fast: 8, beta_slow: 2 }),
    },
    {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
  ];
  const isPhi = family === "phi3";
  const scaling = isPhi
    ? pick<Config>({}, {
      rope_type: "longrope",
      short_factor: factors(1),
      long_factor: factors(2),
    })
    : pick(...scalings);
  const theta = pick(100, 10_000), isGemma3 = family === "gemma3_text";
  const typed = pick(false, true),
    rope: Config = isGemma3
      ? typed
        ? {
          rope_parameters: {
            full_attention: { rope_theta: theta, ...scaling },
            sliding_attention: { rope_theta: 50, rope_type: "default" },
          },
        }
        : {
          rope_theta: theta,
          rope_local_base_freq: 50,
          ...Object.keys(scaling).length ? { rope_scaling: scaling } : {},
        }
      : typed
      ? {
        rope_parameters: {
          rope_theta: theta,
          ...scaling,
          ...share < 1 ? { partial_rotary_factor: share } : {},
        },
      }
      : {
        [family === "gpt_neox" ? "rotary_emb_base" : "rope_theta"]: theta,
        ...Object.keys(scaling).length ? { rope_scaling: scaling } : {},
        ...family === "gpt_neox" ? { rotary_pct: share } : share < 1 ? { partial_rotary_factor: share } : {},
      };
  if (family === "gpt_neox" && typed && share === 1) {
    (rope.rope_parameters as Config).partial_rotary_factor = 1;
  }
  const types = pick(undefined, ["sliding_attention", "full_attention", "sliding_attention"]);
  const common: Config = {
    model_type: family,
    ...pick({ torch_dtype: "float32" }, { dtype: "float32" }),
    vocab_size: vocab,
    max_position_embeddings: 32,
    hidden_size: family === "gpt_neox" ? heads * headDim : hidden,
    intermediate_size: pick(20, 32),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    ...pick({}, { tie_word_embeddings: true }, { tie_word_embeddings: false }),
    ...rope,
  };
  if (family === "gpt_neox") {
    return {
      ...common,
      hidden_act: act,
      layer_norm_eps: 1e-5,
      ...pick({}, { use_parallel_residual: false }, { attention_bias: false }),
    };
  }
  const isQwen = family === "qwen2" || family === "qwen3", isSmol = family === "smollm3";
  return {
    ...common,
    num_key_value_heads: groups,
    ...isPhi ? { original_max_position_embeddings: pick(8, 16), pad_token_id: 0 } : {},
    ...hidden === heads * headDim && !family.startsWith("gemma")
      ? pick({}, { head_dim: headDim })
      : { head_dim: headDim },
    rms_norm_eps: pick(1e-6, 1e-5, 1e-3),
    ...family.startsWith("gemma") ? { hidden_activation: act } : { hidden_act: act },
    ...["llama", "qwen3", "smollm3", "olmo2", "granite", "gemma", "gemma2", "gemma3_text"].includes(family)
      ? pick({}, { attention_bias: true })
      : {},
    ...["llama", "granite", "smollm3"].includes(family) ? pick({}, { mlp_bias: true }) : {},
    ...family === "mistral" || isPhi ? { sliding_window: pick(null, window) } : {},
    ...isQwen
      ? pick<Config>({}, { use_sliding_window: true, sliding_window: window, max_window_layers: 1 }, {
        use_sliding_window: true,
        sliding_window: window,
        layer_types: types ?? ["full_attention", "full_attention", "sliding_attention"],
      })
      : {},
    ...isSmol ? pick<Config>({}, { no_rope_layers: [1, 0, 1] }, { no_rope_layer_interval: 2 }) : {},
    ...isSmol ? pick<Config>({}, { use_sliding_window: true, sliding_window: window }) : {},
    ...family === "granite"
      ? { attention_multiplier: 0.3, embedding_multiplier: 2.5, residual_multiplier: 0.7, logits_scaling: 3 }
      : {},
    ...family === "gemma2" || isGemma3
      ? {
        sliding_window: window,
        query_pre_attn_scalar: pick(12, 20),
        ...types ? { layer_types: types } : {},
      }
      : {},
    ...family === "gemma2"
      ? { attn_logit_softcapping: pick(null, 2), final_logit_softcapping: pick(null, 3) }
      : {},
    ...isGemma3 && !types ? { sliding_window_pattern: 2 } : {},
  };
}

const known = [
  "gpt2",
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "smollm3",
  "phi3",
  "olmo2",
  "granite",
  "gemma",
  "gemma2",
  "gemma3_text",
  "gpt_neox",
];

initReference();

describe("families of configurations at random", () => {
  const seeds = Number(process.env.RANDOM_FAMILIES ?? width(3, 1));
  for (const family of known) {
    it(`${family}: logits are those of float64, as a folder and as a GGUF`, async () => {
      for (let seed = 1; seed <= seeds; seed++) await check(randomConfig(family, seed), seed, seed % 2 === 1);
    });
  }

  it("gpt2: every activation that transformers has by name", async () => {
    for (const name of Object.keys(functions)) {
      const config = { ...randomConfig("gpt2", 3), n_layer: 1, activation_function: name };
      await check(config, 11, false);
    }
    assertStrictEquals(Object.keys(functions).length, 20);
  });
});
