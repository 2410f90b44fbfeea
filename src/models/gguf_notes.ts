/**
 * A model's configuration as the notes of a GGUF, the way llama.cpp's converter writes them, and the tensors of factors
 * that go with some.
 *
 * To llama.cpp an architecture has its activation and its layers without positions; a model that has others is refused.
 * What a file says and llama.cpp does not heed (windows, a scale of queries) is named.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import type { GgufNotes, TypedNote } from "../files/gguf/mod.ts";
import { rotaryFrequencies, type RotaryOptions } from "../nn/rotary.ts";
import { yarnAttention } from "../nn/yarn.ts";
import type { DecoderConfig } from "./decoder/config.ts";
import { expertArchitectures, ggufArchitecture } from "./gguf.ts";
import type { GPTNeoXConfig } from "./gpt_neox/config.ts";
import { activationNames } from "./activations.ts";
import type { GPT2Config } from "./gpt2/config.ts";
import type { Lfm2Config } from "./lfm2/config.ts";
import type { Qwen3NextConfig } from "./qwen3_next/config.ts";

/** What a configuration becomes. */
export interface ArchitectureNotes {
  /** `general.architecture`. */
  readonly architecture: string;
  /** Notes by name. */
  readonly notes: GgufNotes;
  /** Vectors that are no parameters: factors of angles. */
  readonly vectors: ReadonlyMap<string, Float32Array>;
  /** What the file says and not every reader does. */
  readonly warnings: readonly string[];
}

const f32 = (value: number): TypedNote => ({ type: "f32", value });

/** What each architecture bends values with, whatever a configuration says. */
const activations: Readonly<Record<string, string>> = {
  gemma: "geluTanh",
  gemma2: "geluTanh",
  gemma3: "geluTanh",
  gptneox: "gelu",
};

/** How many layers there are to one that is told no positions, in llama.cpp's SmolLM3. */
const smollm3Step = 4;
/** How many layers there are to one without a window, where a file does not say. */
const windowSteps: Readonly<Record<string, number>> = { gemma2: 2, gemma3: 6 };
/** The factors of one whole turn, for Llama 3's scaling: what plain frequencies are divided by. */
function llama3Factors(rotary: RotaryOptions): Float32Array {
  const { scaling: _, ...plain } = rotary;
  const scaled = rotaryFrequencies(rotary, 1).frequencies, own = rotaryFrequencies(plain, 1).frequencies;
  return Float32Array.from(own, (frequency, i) => frequency / scaled[i]);
}

/** Notes by the names of an architecture. */
class Notes {
  readonly out: Record<string, GgufNotes[string]> = {};
  readonly vectors = new Map<string, Float32Array>();
  readonly warnings: string[] = [];
  readonly architecture: string;

  constructor(architecture: string) {
    this.architecture = architecture;
  }

  set(name: string, value: GgufNotes[string]): void {
    this.out[`${this.architecture}.${name}`] = value;
  }

  get result(): ArchitectureNotes {
    const { architecture, out: notes, vectors, warnings } = this;
    return { architecture, notes, vectors, warnings };
  }
}

function putScaling(to: Notes, rotary: RotaryOptions): void {
  const scaling = rotary.scaling ?? { ropeType: "default" };
  switch (scaling.ropeType) {
    case "default":
      return;
    case "linear":
      to.set("rope.scaling.type", "linear");
      to.set("rope.scaling.factor", f32(scaling.factor));
      return;
    case "dynamic":
      to.warnings.push(
        `a GGUF knows no dynamic scaling: texts of more than ${
          counted(rotary.maxPositions, "token")
        } get plain angles`,
      );
      return;
    case "factors":
      to.vectors.set("rope_freqs.weight", Float32Array.from(scaling.factors));
      return;
    case "llama3":
      to.vectors.set("rope_freqs.weight", llama3Factors(rotary));
      return;
    case "yarn": {
      const { attentionFactor, betaFast, betaSlow, mscale, mscaleAllDim, truncate } = scaling;
      to.set("rope.scaling.type", "yarn");
      to.set("rope.scaling.factor", f32(scaling.factor));
      to.set("rope.scaling.original_context_length", scaling.originalMaxPositionEmbeddings);
      const attention = attentionFactor ??
        (mscale && mscaleAllDim ? rotaryFrequencies(rotary, 1).factor : null);
      // llama.cpp's stands beside what follows from the factor of lengths.
      if (attention !== null) {
        to.set("rope.scaling.attn_factor", f32(attention / yarnAttention(scaling.factor)));
      }
      if (betaFast !== undefined) to.set("rope.scaling.yarn_beta_fast", f32(betaFast));
      if (betaSlow !== undefined) to.set("rope.scaling.yarn_beta_slow", f32(betaSlow));
      if (truncate === false) {
        to.warnings.push("a GGUF does not say that YaRN's borders are not rounded (truncate false)");
      }
      return;
    }
    case "longrope":
      to.set("rope.scaling.type", "longrope");
      to.set("rope.scaling.original_context_length", scaling.originalMaxPositionEmbeddings);
      to.set("rope.scaling.attn_factor", f32(rotaryFrequencies(rotary, 1).factor));
      to.vectors.set("rope_factors_long.weight", Float32Array.from(scaling.longFactor));
      to.vectors.set("rope_factors_short.weight", Float32Array.from(scaling.shortFactor));
  }
}

/** Windows of layers, and the angles of those that have one. */
function putWindows(to: Notes, { layers, family }: DecoderConfig): void {
  const windows = layers.map(({ window }) => window), window = windows.find((w) => w !== null);
  const { architecture } = to, step = windowSteps[architecture];
  if (step === undefined) {
    // llama.cpp wants to be told that a Phi-3 has none.
    if (architecture === "phi3") to.set("attention.sliding_window", window ?? 0);
    if (window === undefined) return;
    const isMistral = family === "mistral" || family === "mixtral",
      isWritten = architecture === "phi3" || isMistral;
    if (isWritten && windows.every((w) => w === window)) {
      if (isMistral) to.set("attention.sliding_window", window);
      to.warnings.push(`llama.cpp does not heed this model's window of ${counted(window, "token")}`);
    } else {
      throw new FormatError(
        `a GGUF of ${architecture} does not say that layers see ${
          counted(window, "token")
        } alone; keep it as safetensors`,
      );
    }
    return;
  }
  to.set("attention.sliding_window", window ?? 0);
  const isUsual = windows.every((w, i) => (w !== null) === ((i + 1) % step !== 0));
  if (!isUsual) to.set("attention.sliding_window_pattern", windows.map((w) => w !== null));
  const near = layers.find((layer) => layer.window !== null)?.rotary;
  if (!near || architecture !== "gemma3") return;
  if ((near.scaling?.ropeType ?? "default") !== "default") {
    throw new FormatError(
      `a GGUF of ${architecture} does not say that angles of layers with a window are stretched (${
        near.scaling!.ropeType
      }); keep it as safetensors`,
    );
  }
  to.set("rope.freq_base_swa", f32(near.theta));
}

/**
 * What an LFM2's convolutions are.
 * @throws {FormatError} for those that llama.cpp does not compute.
 */
function putShortConv(to: Notes, { kernel, convBias, heads, headDim, hiddenSize }: Lfm2Config): void {
  const is = kernel < 2
    ? "convolutions that see one position"
    : convBias
    ? "convolutions with biases"
    : heads * headDim !== hiddenSize
    ? `heads of ${headDim}, of which ${heads} are not the width of ${hiddenSize}`
    : null;
  if (is) throw new FormatError(`a GGUF of lfm2 does not say that a model has ${is}; keep it as safetensors`);
  to.set("shortconv.l_cache", kernel);
}

/**
 * What experts are.
 * @throws {FormatError} for those that llama.cpp computes otherwise.
 */
function putExperts(to: Notes, { experts, layers, heads, kvHeads }: DecoderConfig): void {
  const { architecture } = to;
  if (!experts) return;
  const { count, active, inner, normalised, shared } = experts;
  const is = !layers.every(({ sparse }) => sparse)
    ? "layers without experts"
    : architecture === "olmoe" && kvHeads !== heads
    ? "fewer heads of keys than of queries"
    : normalised !== expertArchitectures[architecture]
    ? `probabilities of experts that ${normalised ? "sum" : "do not sum"} to 1`
    : null;
  if (is) {
    throw new FormatError(
      `a GGUF of ${architecture} does not say that a model has ${is}; keep it as safetensors`,
    );
  }
  to.set("expert_count", count);
  to.set("expert_used_count", active);
  if (architecture !== "llama" && architecture !== "olmoe") to.set("expert_feed_forward_length", inner);
  if (shared !== null) to.set("expert_shared_feed_forward_length", shared);
}

/**
 * What a Qwen's delta networks are.
 * @throws {FormatError} for those that llama.cpp does not compute.
 */
function putDelta(to: Notes, config: Qwen3NextConfig): void {
  const { keyHeads, keyWidth, valueHeads, valueWidth, kernel, layers, outputBias, normEps, json } = config;
  const is = kernel < 2
    ? "convolutions that see one position"
    : keyWidth !== valueWidth
    ? `values of another width (${valueWidth}) than keys (${keyWidth})`
    : outputBias
    ? "biases in attention"
    : to.architecture === "qwen3next" && !config.experts
    ? "no experts"
    : null;
  if (is) {
    throw new FormatError(
      `a GGUF of ${to.architecture} does not say that a model has ${is}; keep it as safetensors`,
    );
  }
  to.set("ssm.conv_kernel", kernel);
  to.set("ssm.state_size", keyWidth);
  to.set("ssm.group_count", keyHeads);
  to.set("ssm.time_step_rank", valueHeads);
  to.set("ssm.inner_size", valueHeads * valueWidth);
  const attends = layers.map(({ states }) => !states), every = attends.indexOf(true) + 1;
  if (attends.every((is, i) => is === ((i + 1) % every === 0))) to.set("full_attention_interval", every);
  to.set("attention.recurrent_layers", attends.map((is) => !is));
  if (to.architecture === "qwen35") {
    const { rope_parameters: rope } = json as { rope_parameters?: { mrope_section?: unknown } };
    const said = rope?.mrope_section, isSaid = Array.isArray(said) && said.length > 2 && said.length < 5;
    // Of images; what stands for a text is the same in all of them.
    to.set("rope.dimension_sections", [...(isSaid ? said : [11, 11, 10]), 0].slice(0, 4));
  }
  if (Math.abs(normEps / 1e-6 - 1) > 1e-3) {
    to.warnings.push(
      `llama.cpp adds this model's rms_norm_eps ${normEps} where keys are made of length 1, and transformers 1e-6`,
    );
  }
}

/**
 * The notes of a decoder.
 * @throws {FormatError} for a model that llama.cpp would compute otherwise.
 */
function decoderNotes(config: DecoderConfig): ArchitectureNotes {
  const { family, heads, kvHeads, headDim, layers } = config, architecture = ggufArchitecture(family);
  const to = new Notes(architecture), isNeox = family === "gpt_neox";
  const activation = activations[architecture] ?? "silu";
  if (config.activation !== activation) {
    throw new FormatError(
      `a GGUF of ${architecture} is always computed with ${activation}, and this model has ${config.activation}; keep it as safetensors`,
    );
  }
  if (
    family === "smollm3" &&
    layers.some(({ rotary }, i) => (rotary === null) !== ((i + 1) % smollm3Step === 0))
  ) {
    throw new FormatError(
      `in a GGUF of smollm3 every ${smollm3Step}th layer is told no positions, and in this model others; keep it as safetensors`,
    );
  }
  to.set("block_count", layers.length);
  to.set("context_length", config.maxPositions);
  to.set("embedding_length", config.hiddenSize);
  to.set("feed_forward_length", config.intermediateSize);
  to.set("attention.head_count", heads);
  if (!isNeox) {
    const isMixed = family === "lfm2" && layers.some(({ states }) => states);
    to.set("attention.head_count_kv", isMixed ? layers.map(({ states }) => states ? 0 : kvHeads) : kvHeads);
  }
  putExperts(to, config);
  if (family === "lfm2") putShortConv(to, config as Lfm2Config);
  if (family === "qwen3_5_text" || family === "qwen3_next") putDelta(to, config as Qwen3NextConfig);
  to.set("vocab_size", config.vocabSize);
  to.set(isNeox ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", f32(config.normEps));
  if (isNeox) to.set("use_parallel_residual", (config as GPTNeoXConfig).parallelResidual);
  else {
    to.set("attention.key_length", headDim);
    to.set("attention.value_length", headDim);
  }
  const global = layers.find(({ window, rotary }) =>
    rotary && (window === null || windowSteps[architecture] === undefined)
  );
  const rotary = (global ?? layers.find((layer) => layer.rotary))?.rotary;
  if (!rotary) throw new FormatError("a GGUF tells positions, and no layer of this model is told any");
  to.set("rope.freq_base", f32(rotary.theta));
  to.set("rope.dimension_count", rotary.width);
  putScaling(to, rotary);
  putWindows(to, config);
  if (family === "gemma2" && (config.attentionSoftcap === null || config.logitSoftcap === null)) {
    to.warnings.push("llama.cpp gives a Gemma 2 soft caps of 50 and 30 where a GGUF says none");
  }
  if (config.attentionSoftcap !== null) to.set("attn_logit_softcapping", f32(config.attentionSoftcap));
  if (config.logitSoftcap !== null) to.set("final_logit_softcapping", f32(config.logitSoftcap));
  if (family === "granite") {
    to.set("attention.scale", f32(config.attentionScale));
    to.set("embedding_scale", f32(config.embeddingScale));
    to.set("residual_scale", f32(config.residualScale));
    to.set("logit_scale", f32(1 / config.logitScale));
  } else if (Math.abs(config.attentionScale * headDim ** 0.5 - 1) > 1e-6) {
    to.set("attention.scale", f32(config.attentionScale));
    to.warnings.push(
      `llama.cpp multiplies queries by ${(headDim ** -0.5).toPrecision(4)}, not by this model's ${
        config.attentionScale.toPrecision(4)
      }`,
    );
  }
  return to.result;
}

/**
 * The notes of a GPT-2.
 * @throws {FormatError} for a model that llama.cpp would compute otherwise.
 */
function gpt2Notes(config: GPT2Config): ArchitectureNotes {
  const to = new Notes("gpt2"), { nEmbd, nInner, activationFunction } = config;
  if (!config.scaleAttnWeights || config.scaleAttnByInverseLayerIdx) {
    throw new FormatError(
      "a GGUF of gpt2 is always computed with scores divided by the root of a head's width alone, and this model has others; " +
        "keep it as safetensors",
    );
  }
  if (activationNames[activationFunction] !== "geluTanh") {
    throw new FormatError(
      `a GGUF of gpt2 is always computed with gelu_new, and this model has ${activationFunction}; keep it as safetensors`,
    );
  }
  to.set("block_count", config.nLayer);
  to.set("context_length", config.nPositions);
  to.set("embedding_length", nEmbd);
  to.set("feed_forward_length", nInner ?? 4 * nEmbd);
  to.set("attention.head_count", config.nHead);
  to.set("attention.layer_norm_epsilon", f32(config.layerNormEpsilon));
  to.set("vocab_size", config.vocabSize);
  return to.result;
}

/** The notes of a model of any family. */
export function architectureNotes(family: string, config: unknown): ArchitectureNotes {
  return family === "gpt2" ? gpt2Notes(config as GPT2Config) : decoderNotes(config as DecoderConfig);
}
