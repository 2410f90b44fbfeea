/**
 * Options of generation as flags: what a value may be is written once, with the library's own options.
 *
 * @module
 */
import type { GenerateOptions } from "../mod.ts";
import { generateOptions } from "../src/generate/given.ts";
import { resolveOptions } from "../src/runtime/speaking.ts";
import type { Option, Options, Values } from "./command.ts";
import { note } from "./output.ts";

/** `max-new-tokens` of `maxNewTokens`. */
function flagName(option: string): string {
  return option.replace("DType", "Dtype").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What a flag takes besides its kind. */
type Shown = Omit<Option, "kind">;

const shown: Partial<Record<keyof GenerateOptions, Shown>> = {
  maxNewTokens: { short: "n", value: "N", help: "how many tokens to make at most" },
  temperature: { value: "T", help: "wildness; 0 takes the likeliest token each time" },
  topK: { value: "K", help: "draw from the K likeliest tokens (0: all)" },
  topP: { value: "P", help: "draw from the likeliest that together reach P" },
  topH: { value: "H", help: "draw from the likeliest whose share of the entropy stays within H" },
  minP: { value: "P", help: "drop tokens less likely than P times the likeliest" },
  typicalP: { value: "P", help: "draw from the tokens of most typical surprise that together reach P" },
  repetitionPenalty: { value: "R", help: "above 1 makes repetition less likely" },
  frequencyPenalty: { value: "X", help: "a token's logit loses X for each time it came" },
  presencePenalty: { value: "X", help: "a token's logit loses X when it came" },
  repeatLastN: {
    value: "N",
    help: "these three look at the last N tokens alone (0: off, -1: at the whole text)",
  },
  noRepeatNgramSize: { value: "N", help: "no N tokens in a row appear twice" },
  seed: { value: "N", help: "makes the result reproducible" },
  numBeams: { value: "N", help: "beam search with N beams" },
  lengthPenalty: {
    value: "X",
    help: "beams are scored by their log-probability over length to the power of X (default 1)",
  },
  numReturnSequences: { value: "N", help: "so many texts: draws (of seed, seed + 1, …), or the best beams" },
  logprobs: {
    value: "N",
    help: "with --json, log-probabilities of the tokens and of the N likeliest at their places",
  },
  penaltyAlpha: {
    value: "A",
    help: "contrastive search: of --top-k candidates the one that says something new (0.6 is usual)",
  },
  cacheDType: {
    value: "DTYPE",
    help: "store keys and values so (default f32); eval --cache-dtype tells what it costs",
  },
  maxTime: { value: "S", help: "begin no token after S seconds" },
};

/** Flags for these options of generation, or for all there are flags for. */
export function generationFlags(
  only: readonly (keyof GenerateOptions)[] = Object.keys(shown) as (keyof GenerateOptions)[],
  other: Partial<Record<keyof GenerateOptions, Partial<Shown>>> = {},
): Options {
  return Object.fromEntries(only.map((name) => {
    const { value = "X", help = "", ...rest } = { ...shown[name], ...other[name] };
    return [flagName(name), { ...rest, value, help, kind: generateOptions[name] }];
  }));
}

/** The options of generation that the flags say. */
export function readGeneration(values: Values): GenerateOptions {
  const options: Record<string, unknown> = {};
  for (const name of Object.keys(shown)) {
    if (values.has(flagName(name))) options[name] = values.value(flagName(name));
  }
  if (values.has("stop")) options.stop = values.texts("stop");
  return options as GenerateOptions;
}

/** Says that a model's own file asks for several texts, where another says how many there are: `because` says who. */
export async function noteSeveral(own: GenerateOptions, because: string): Promise<void> {
  const { numReturnSequences } = resolveOptions({}, own);
  if (numReturnSequences === 1) return;
  await note(
    `num_return_sequences ${numReturnSequences} of the model's generation_config.json has no effect because ${because}`,
  );
}
