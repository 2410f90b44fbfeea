/**
 * GPT-2 as a family: its files, its names, its network.
 *
 * @module
 */
import type { Family } from "../family.ts";
import { checkpointName, expectedTensors, parameterName } from "./checkpoint.ts";
import { configJson, type GPT2Config, gpt2Config, parseConfig } from "./config.ts";
import { GPT2Model } from "./model.ts";

/** What loading and saving know of GPT-2. */
export const gpt2Family: Family<GPT2Config, GPT2Model> = {
  type: "gpt2",
  title: "GPT-2",
  parse: (json, where, changes, warn) => gpt2Config({ ...parseConfig(json, where, warn), ...changes }),
  sized: ({ vocabSize, contextLength, width, layers, heads, innerWidth, endTokenId: end }) => ({
    vocab_size: vocabSize,
    n_positions: contextLength,
    n_embd: width,
    n_layer: layers,
    n_head: heads,
    ...(innerWidth === undefined ? {} : { n_inner: innerWidth }),
    ...(end === undefined ? {} : { eos_token_id: end, bos_token_id: end }),
  }),
  dropout: (p) => ({ residPdrop: p, embdPdrop: p, attnPdrop: p }),
  json: configJson,
  generation: ({ other }) => other,
  ends: ({ bosTokenId: bos, eosTokenId: eos }) => ({ bos, eos }),
  vocabSize: ({ vocabSize }) => vocabSize,
  expected: expectedTensors,
  parameterName: (name, { tieWordEmbeddings }) => parameterName(name, tieWordEmbeddings),
  checkpointName: (name, { tieWordEmbeddings }) => checkpointName(name, tieWordEmbeddings),
  modulePath: (path) => path === "lm_head" ? path : `transformer.${path}`,
  network: (config, options) => new GPT2Model(config, options),
  part: (config, from, to) => config.scaleAttnByInverseLayerIdx ? null : { ...config, nLayer: to - from },
  isTied: ({ tieWordEmbeddings }) => tieWordEmbeddings,
  trial: (config) => ({
    layers: config.nLayer,
    width: config.nEmbd,
    small: (nLayer, vocabSize) => ({
      ...config,
      nLayer,
      vocabSize,
      nPositions: 64,
      bosTokenId: null,
      eosTokenId: null,
    }),
  }),
};
