/**
 * Fields that clients send and that this server has nothing to do for: what each may be so that it changes nothing, and why
 * anything else is refused.
 *
 * @module
 */

import type { Route } from "./fields.ts";
import { checkNames, isObject } from "./nested.ts";
import { samplersComplaint } from "./samplers.ts";

/** The body of a request. */
export type Body = Readonly<Record<string, unknown>>;

interface Unhonoured {
  /** Whether a value asks for nothing. */
  readonly isIdle: (value: unknown, body: Body, route: Route, contextLength: number) => boolean;
  /** Why others are refused. */
  readonly why: string | ((value: unknown, body: Body) => string);
}

const isEmpty = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.keys(value).length === 0;
const isText = (value: unknown): boolean => typeof value === "string";
const isAny = (): boolean => true;
/** Whether it asks for no other context than the model's. */
const isContext = (value: unknown, contextLength: number): boolean =>
  typeof value === "number" && value >= contextLength && Number.isInteger(value);

/** These values, and empty lists and objects where one of them is empty. */
const only = (why: string, ...idle: readonly unknown[]): Unhonoured => ({
  isIdle: (value) => idle.includes(value) || (idle.some(isEmpty) && isEmpty(value)),
  why,
});
/** Whatever it is, it changes nothing. */
const idle = (isIdle: (value: unknown) => boolean, expected: string): Unhonoured => ({
  isIdle,
  why: `it is ${expected}`,
});

/** An object of such names that `isIdle` is for; others are refused by their path. */
const object = (
  field: string,
  names: readonly string[],
  isIdle: (value: Body, body: Body) => boolean,
  why: string,
): Unhonoured => ({
  isIdle(value, body) {
    if (!isObject(value)) return false;
    checkNames(field, value, names);
    return isIdle(value, body);
  },
  why,
});
/** An object of fields that stand elsewhere, each of which says nothing. */
const inner = (why: string): Unhonoured => ({
  isIdle: (value, body, route, contextLength) =>
    isEmpty(value) ||
    (isObject(value) && Object.entries(value).every(([name, one]) =>
      one === null || (Object.hasOwn(unhonoured, name) && !containers.includes(name) &&
        complaint(name, one, body, route, contextLength) === null)
    )),
  why,
});
/** Fields whose values are made of fields: one does not stand in another. */
const containers: readonly string[] = ["options", "extra_body", "chat_template_kwargs"];

const noTools = "tools belong to /v1/chat/completions", textOnly = "the model writes text only";
const noReasons = "the model does not reason apart from its text", noSearch = "there is no search here";
const oneSearch = "texts are drawn one by one", oneTemplate = "the model's own template is used";
const ownSampling = "this way of sampling is not known here";

/** By name. Those after the blank line are of other servers than OpenAI's. */
export const unhonoured: Readonly<Record<string, Unhonoured>> = {
  suffix: only("the model continues texts and does not fill gaps", ""),
  best_of: { isIdle: (value, { n }) => value === (n ?? 1), why: "texts are not ranked; use n" },
  tools: only(noTools, []),
  tool_choice: only(noTools, "none", "auto"),
  parallel_tool_calls: idle((value) => typeof value === "boolean", "true or false"),
  functions: only("they are called tools now; use tools", []),
  function_call: only("functions are called tools now; use tool_choice", "none", "auto"),
  store: only("nothing is stored here", false),
  metadata: idle((value) => typeof value === "object" && !Array.isArray(value), "an object of texts"),
  service_tier: only("there is one tier", "auto", "default"),
  modalities: {
    isIdle: (value) => Array.isArray(value) && value.every((one) => one === "text"),
    why: textOnly,
  },
  audio: only(textOnly, {}),
  prediction: idle((value) => typeof value === "object" && !Array.isArray(value), "an object"),
  reasoning_effort: only(noReasons, "none", "medium"),
  reasoning: object(
    "reasoning",
    ["effort", "enabled", "exclude", "max_tokens", "summary"],
    ({ effort = null, enabled = null, max_tokens: most = null }) =>
      effort === "none" || enabled === false || (effort === null && enabled === null && most === null),
    noReasons,
  ),
  verbosity: only("the model writes as it writes", "medium"),
  prompt_cache_key: idle(isText, "a text"),
  prompt_cache_retention: idle(isText, "a text"),
  web_search_options: only(noSearch),

  add_generation_prompt: only("conversations are always continued by an answer", true),
  continue_final_message: only("conversations are always continued by an answer", false),
  add_special_tokens: {
    isIdle: (value, _body, route) => value === (route !== "chat"),
    why: "special tokens are the tokenizer's and the template's affair",
  },
  skip_special_tokens: only("special tokens are left out of answers", true),
  spaces_between_special_tokens: only("special tokens are left out of answers", true),
  include_stop_str_in_output: only("what ends a text is cut off", false),
  stop_token_ids: only("use stop", []),
  bad_words: only("use logit_bias", []),
  allowed_token_ids: only("use logit_bias", []),
  bad_words_ids: only("use logit_bias", []),
  use_beam_search: only(oneSearch, false),
  num_beams: only(oneSearch, 1),
  length_penalty: only(oneSearch, 1),
  early_stopping: only(oneSearch, false),
  // -1: as many as the model takes, of which there are no more.
  truncate_prompt_tokens: {
    isIdle: (value, _body, _route, contextLength) => value === -1 || isContext(value, contextLength),
    why: "prompts are taken whole",
  },
  // Ollama's, which cuts what is longer than the model's context; here that is refused, and nothing else cut.
  truncate: idle((value) => typeof value === "boolean", "true or false"),
  prompt_logprobs: only("prompts are not scored", false),
  return_tokens_as_token_ids: only("log-probabilities tell texts of tokens", false),
  return_token_ids: only("answers are texts", false),
  detokenize: only("answers are texts", true),
  documents: only("there are no documents here", []),
  chat_template: only(oneTemplate),
  chat_template_kwargs: inner(oneTemplate),
  priority: only("turns are fair", 0),
  request_id: idle(isText, "a text"),
  cache_salt: idle(isText, "a text"),
  guided_grammar: only("grammars are not read; use guided_regex or guided_json", ""),
  guided_decoding_backend: idle(isText, "a text"),
  guided_whitespace_pattern: only("spaces stand only behind commas and colons"),
  grammar: only("grammars are not read; use json_schema or guided_regex", ""),
  mirostat: only(ownSampling, 0),
  mirostat_mode: only(ownSampling, 0),
  // What belongs to a way to draw that is off says nothing, whatever it says.
  ...Object.fromEntries(
    [
      "mirostat_tau",
      "mirostat_eta",
      "dynatemp_exponent",
      "xtc_threshold",
      "dry_base",
      "dry_allowed_length",
      "dry_penalty_last_n",
      "dry_sequence_breakers",
    ].map((name): [string, Unhonoured] => [name, idle(isAny, "anything")]),
  ),
  repeat_penalty: only("use repetition_penalty", 1),
  repeat_last_n: idle(isAny, "anything"),
  penalty_last_n: idle(isAny, "anything"),
  penalize_nl: only("use logit_bias", false),
  min_keep: only(ownSampling, 0),
  n_predict: only("use max_tokens", -1),
  num_predict: only("use max_tokens", -1),
  t_max_predict_ms: only("a request has no time of its own", 0, -1),
  slot_id: only("places are given out in turns", -1),
  post_sampling_probs: only("use logprobs", false),
  return_tokens: only("answers are texts", false),
  include_reasoning: idle(isAny, "anything"),
  tfs_z: only(ownSampling, 1),
  top_a: only(ownSampling, 0),
  top_n_sigma: only(ownSampling, -1),
  dynatemp_range: only(ownSampling, 0),
  xtc_probability: only(ownSampling, 0),
  dry_multiplier: only(ownSampling, 0),
  n_probs: only("use logprobs", 0),
  n_keep: only("prompts are taken whole", 0, -1),
  id_slot: only("places are given out in turns", -1),
  samplers: {
    isIdle: (value, body) => samplersComplaint(value, body) === null,
    why: (value, body) => samplersComplaint(value, body) ?? "",
  },
  num_ctx: {
    isIdle: (value, _body, _route, contextLength) => isContext(value, contextLength),
    why: "the context is as long as the model's",
  },
  route: only("there is one model", "fallback"),
  usage: object(
    "usage",
    ["include"],
    ({ include = null }, { stream }) =>
      include === null || include === false || (include === true && stream !== true),
    "it belongs to stream_options: { include_usage: true }",
  ),
  timings_per_token: only("answers tell of tokens in usage", false),
  thinking: {
    isIdle: (value) => {
      if (value === false || isEmpty(value)) return true;
      if (!isObject(value)) return false;
      checkNames("thinking", value, ["type"]);
      return value.type === "disabled";
    },
    why: noReasons,
  },
  enable_thinking: only(noReasons, false),
  think: only(noReasons, false),
  reasoning_format: idle(isText, "a text"),
  keep_alive: idle(isAny, "anything"),
  options: inner("fields stand in the request itself"),
  images: only(textOnly, []),
  raw: only("use /v1/completions", false),
  provider: only("there is one provider", {}),
  models: only("there is one model", []),
  transforms: only("prompts are taken as they are", []),
  plugins: only("there are no plugins here", []),
  extra_body: inner("fields stand in the request itself"),
  extra_headers: only("headers are no field of the request", {}),
};

/** Why a field of {@link unhonoured} is refused; null where it changes nothing. */
export function complaint(
  name: string,
  value: unknown,
  body: Body,
  route: Route,
  contextLength: number,
): string | null {
  const { isIdle, why } = unhonoured[name];
  if (isIdle(value, body, route, contextLength)) return null;
  return typeof why === "string" ? why : why(value, body);
}
