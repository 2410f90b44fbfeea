/**
 * From a checkpoint's names to the model's: the one place that knows how GPT-2 files differ.
 *
 * Published files come with and without the prefix `transformer.`, with the causal masks as buffers (`attn.bias`,
 * `attn.masked_bias`), and with the output layer written out although it is tied.
 *
 * @module
 */
import { type ExpectedTensors, layeredTensors, type Shapes } from "../checkpoint.ts";
import type { GPT2Config } from "./config.ts";

const buffer = /(^|\.)h\.\d+\.attn\.(bias|masked_bias)$/;

/** The name without `transformer.`, or null for a buffer that is no parameter, and for an output layer that is tied. */
export function parameterName(name: string, tied: boolean): string | null {
  const bare = name.replace(/^transformer\./, "");
  return buffer.test(name) || (tied && bare === "lm_head.weight") ? null : bare;
}

/**
 * The name to write a parameter under: bare where the output layer is tied, as in the published files; otherwise with
 * `transformer.`, as transformers takes a file with `lm_head.weight` for one that has it throughout.
 */
export function checkpointName(name: string, tied: boolean): string {
  return tied || name === "lm_head.weight" ? name : `transformer.${name}`;
}

/** A block's parameters, by their names inside it. */
function blockShapes({ nEmbd, nInner }: GPT2Config): Shapes {
  const inner = nInner ?? 4 * nEmbd;
  return {
    "ln_1.weight": [nEmbd],
    "ln_1.bias": [nEmbd],
    "attn.c_attn.weight": [nEmbd, 3 * nEmbd],
    "attn.c_attn.bias": [3 * nEmbd],
    "attn.c_proj.weight": [nEmbd, nEmbd],
    "attn.c_proj.bias": [nEmbd],
    "ln_2.weight": [nEmbd],
    "ln_2.bias": [nEmbd],
    "mlp.c_fc.weight": [nEmbd, inner],
    "mlp.c_fc.bias": [inner],
    "mlp.c_proj.weight": [inner, nEmbd],
    "mlp.c_proj.bias": [nEmbd],
  };
}

/** The parameters of a GPT-2 of this configuration. */
export function expectedTensors(config: GPT2Config): ExpectedTensors {
  const { vocabSize, nPositions, nEmbd, nLayer, tieWordEmbeddings } = config;
  return layeredTensors("h.", nLayer, blockShapes(config), {
    "wte.weight": [vocabSize, nEmbd],
    "wpe.weight": [nPositions, nEmbd],
  }, {
    "ln_f.weight": [nEmbd],
    "ln_f.bias": [nEmbd],
    ...(tieWordEmbeddings ? {} : { "lm_head.weight": [vocabSize, nEmbd] }),
  });
}
