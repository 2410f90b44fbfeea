/**
 * Decoders as families: what they read, and the parameters their networks have.
 *
 * @module
 */
import { type DType, isQuantized } from "../../core/dtype.ts";
import { FormatError, OptionError } from "../../core/errors.ts";
import { hint } from "../../core/nearest.ts";
import { type LayerOptions, RotaryEmbedding } from "../../nn/mod.ts";
import type { ExpectedTensors } from "../checkpoint.ts";
import type { Family, ModelSizes } from "../family.ts";
import { digestNote, quantizedNote, torchNames } from "../notes.ts";
import { unreadFields } from "../unread.ts";
import type { CausalDecoder } from "./causal.ts";
import { decoderParameter, decoderTensors } from "./checkpoint.ts";
import type { DecoderConfig } from "./config.ts";
import { expertPieces } from "./experts.ts";
import { ConfigFields } from "./fields.ts";
import { DecoderModel } from "./model.ts";

/** What a family of decoders says of itself; all else follows. */
export interface DecoderFamily<C extends DecoderConfig = DecoderConfig> {
  /** Its name, as `model_type` has it. */
  readonly type: string;
  /** Its name in messages. */
  readonly title: string;
  /** Reads its configuration. */
  readonly config: (c: ConfigFields) => C;
  /** Its network; default: the common decoder. */
  readonly network?: new (config: C, options?: LayerOptions) => CausalDecoder;
  /** The parameters of another network than the common one. */
  readonly tensors?: (config: C) => ExpectedTensors;
  /** What names of another network's layers begin with. Default "model.". */
  readonly body?: string;
  /** What another network's output layer is called. Default "lm_head". */
  readonly head?: string;
  /** What names of files are here, and back, where they differ. */
  readonly names?: { readonly to: (name: string) => string; readonly back: (name: string) => string };
  /** What a config.json for fresh weights says besides. */
  readonly sized?: (sizes: ModelSizes) => Record<string, unknown>;
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The value of a config.json with changes, in camelCase; those that the family does not read are refused. */
function parse<C extends DecoderConfig>(
  { type, config }: DecoderFamily<C>,
  given: unknown,
  where: string,
  changes: Readonly<Record<string, unknown>> = {},
  warn: (message: string) => void = console.warn,
): C {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new FormatError(`${where}: expected an object with the model's configuration`);
  }
  const json: Record<string, unknown> = { ...given };
  for (const [name, value] of Object.entries(changes)) json[snake(name)] = value;
  const fields = new ConfigFields(json, type, where), read = config(fields);
  const unread = Object.keys(changes).find((name) => !fields.asked.has(snake(name)));
  if (unread !== undefined) {
    throw new OptionError(
      `${where}: config has "${unread}", which ${type} does not read${
        hint(snake(unread), [...fields.asked])
      }`,
    );
  }
  for (const warning of unreadFields(json, fields.asked, where, type)) warn(warning);
  // They are of the file that was read, not of the model.
  delete json[digestNote];
  delete json[quantizedNote];
  return { ...read, json };
}

/** What is written as config.json: what was read, and what the weights are held as. */
function jsonOf({ json, family }: DecoderConfig, dtype: DType): Record<string, unknown> {
  const { torch_dtype: _, dtype: own, ...rest } = json as Record<string, unknown>;
  const held = torchNames[dtype] ?? "float32";
  return {
    model_type: family,
    ...rest,
    ...(own === undefined ? { torch_dtype: held } : { dtype: held }),
    ...(isQuantized(dtype) ? { [quantizedNote]: dtype } : {}),
  };
}

/** What a config.json says for these sizes. */
function sizedFields(type: string, sizes: ModelSizes): Record<string, unknown> {
  const { vocabSize, contextLength, width, layers, heads, kvHeads, innerWidth, endTokenId: end } = sizes;
  return {
    model_type: type,
    vocab_size: vocabSize,
    max_position_embeddings: contextLength,
    hidden_size: width,
    // Two thirds of four times the width, for there are three matrices (Shazeer 2020), in whole blocks of 32.
    intermediate_size: innerWidth ?? 32 * Math.ceil(width / 12),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads ?? heads,
    tie_word_embeddings: true,
    ...(end === undefined ? {} : { eos_token_id: end, bos_token_id: end }),
  };
}

/** So many layers of a model, of each kind as soon as it comes: a cache counts positions by a layer that attends. */
function someLayers(layers: DecoderConfig["layers"], count: number): DecoderConfig["layers"] {
  const first = layers.slice(0, count), attending = layers.find(({ states }) => !states);
  return first.some(({ states }) => !states) || !attending ? first : [...first.slice(0, -1), attending];
}

/** The family, as loading and saving know it. */
export function decoderFamily<C extends DecoderConfig>(of: DecoderFamily<C>): Family<C, CausalDecoder> {
  const { body = "model.", head = "lm_head", tensors = decoderTensors } = of,
    Network = of.network ?? DecoderModel;
  return {
    type: of.type,
    title: of.title,
    parse: (json, where, changes, warn) => parse(of, json, where, changes, warn),
    sized: (sizes) => ({ ...sizedFields(of.type, sizes), ...of.sized?.(sizes) }),
    dropout: (attentionDropout) => ({ attentionDropout }),
    json: jsonOf,
    generation: ({ json }) => json,
    ends: ({ bosTokenId: bos, eosTokenId: eos }) => ({ bos, eos }),
    vocabSize: ({ vocabSize }) => vocabSize,
    expected: tensors,
    parameterName: (name, { tied }) => decoderParameter(of.names?.to(name) ?? name, body, head, tied),
    checkpointName: (name) => of.names?.back(name) ?? name,
    pieces: (parameter, { experts }) => expertPieces(parameter, experts),
    modulePath: (path) => path,
    network: (config, options) => new Network(config, options),
    // Angles that are worked out anew as a text grows would have all ranks compute all of it again.
    part: (config, from, to) =>
      config.layers.some(({ rotary }) =>
          rotary !== null && new RotaryEmbedding(rotary).reach(1) < config.maxPositions
        )
        ? null
        : { ...config, layers: config.layers.slice(from, to) },
    isTied: ({ tied }) => tied,
    trial: (config) => ({
      layers: config.layers.length,
      width: config.hiddenSize,
      small: (layers, vocabSize) => ({
        ...config,
        vocabSize,
        layers: someLayers(config.layers, layers),
        maxPositions: 64,
      }),
    }),
  };
}
