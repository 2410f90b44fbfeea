/**
 * What the library says of its options, told in the words of the request.
 *
 * @module
 */
import { OptionError } from "../../mod.ts";
import { Problem } from "./problem.ts";
import type { Asked } from "./request.ts";

/** The fields of options that a request can set; those of {@link Asked.words} have several. */
const fieldOf: Readonly<Record<string, string>> = {
  minNewTokens: "min_tokens",
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  typicalP: "typical_p",
  repetitionPenalty: "repetition_penalty",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  repeatLastN: "repeat_last_n",
  noRepeatNgramSize: "no_repeat_ngram_size",
  sequenceBias: "logit_bias",
  eosTokenId: "ignore_eos",
  cachePrompt: "cache_prompt",
  logprobs: "logprobs",
};

/** An error of the library about options as one of the request's fields; any other as it is. */
export function inWords(error: unknown, { words }: Pick<Asked, "words">): unknown {
  if (!(error instanceof OptionError)) return error;
  const names: Readonly<Record<string, string>> = { ...fieldOf, ...words };
  let param: string | null = null;
  // Not what stands in quotes: those words are the request's own.
  const message = error.message.replace(/^generate: /, "").replace(
    /"(?:[^"\\]|\\.)*"|\b[a-zA-Z]+\b/g,
    (word) => {
      if (!Object.hasOwn(names, word)) return word;
      param ??= names[word];
      return names[word];
    },
  );
  return new Problem(400, message, param);
}
