/**
 * Fields that clients send and that this server has nothing to do for: what each may be so that it changes nothing, and why
 * anything else is refused.
 *
 * @module
 */

import { flag, type Kind, kind, number, oneOf, text, whole } from "../../src/core/kinds.ts";
import { show } from "../../src/core/show.ts";
import { fields, isPenalised, type Route } from "./fields.ts";
import { checkNames, isObject } from "./nested.ts";
import { Problem } from "./problem.ts";
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
/** Whether it asks for no other context than the model's. */
const isContext = (value: unknown, contextLength: number): boolean =>
  typeof value === "number" && value >= contextLength && Number.isInteger(value);

/** These values, and empty lists and objects where one of them is empty. */
const only = (why: string, ...idle: readonly unknown[]): Unhonoured => ({
  isIdle: (value) => idle.includes(value) || (idle.some(isEmpty) && isEmpty(value)),
  why,
});
/** Whatever it is of this kind, it changes nothing. */
const idle = ({ accepts, expected }: Kind): Unhonoured => ({ isIdle: accepts, why: `it is ${expected}` });
/** Many of them. */
const idles = (of: Kind, ...names: readonly string[]): Record<string, Unhonoured> =>
  Object.fromEntries(names.map((name) => [name, idle(of)]));

/** An object of such names that `isIdle` is for; others are refused by their path. */
const object = (
  field: string,
  kinds: Readonly<Record<string, Kind>>,
  isIdle: (value: Body, body: Body) => boolean,
  why: string,
): Unhonoured => ({
  isIdle(value, body) {
    if (!isObject(value)) return false;
    checkNames(field, value, Object.keys(kinds));
    for (const [name, { accepts, expected }] of Object.entries(kinds)) {
      const given = value[name] ?? null;
      if (given === null || accepts(given)) continue;
      throw new Problem(400, `${field}.${name} is ${show(given)}, expected ${expected}`, field);
    }
    return isIdle(value, body);
  },
  why,
});
/** An object of fields that stand elsewhere, each of which says nothing. */
const inner = (why: string): Unhonoured => ({
  isIdle: (value, body, route, contextLength) =>
    isEmpty(value) ||
    (isObject(value) && Object.entries(value).every(([name, one]) =>
      one === null || isNeutral(name, one, body) ||
      (Object.hasOwn(unhonoured, name) && !containers.includes(name) &&
        complaint(name, one, body, route, contextLength) === null)
    )),
  why,
});
/** Fields whose values are made of fields: one does not stand in another. */
const containers: readonly string[] = ["options", "extra_body", "chat_template_kwargs"];

/** Whether a field that is honoured says what is done without it, too. */
const isNeutral = (name: string, value: unknown, body: Body): boolean =>
  Object.hasOwn(fields, name) &&
  (value === fields[name].none || fields[name].isNeutral?.(value, body) === true);

const lists = kind(
  "a text, or a list of texts",
  (x) => typeof x === "string" || (Array.isArray(x) && x.every((one) => typeof one === "string")),
);
/** No end of its own, or the one that the request has anyway. */
const isLength = (value: unknown, { max_tokens: most, max_completion_tokens: also = most }: Body): boolean =>
  value === -1 || (typeof value === "number" && value === also);
/** As Go writes them: `1h30m`. */
const duration = kind(
  'seconds, or a text such as "5m"',
  (x) =>
    (typeof x === "number" && Number.isFinite(x)) ||
    (typeof x === "string" && /^-?(\d+|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)$/.test(x)),
);
const noDraft = "no smaller model guesses here";
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
  parallel_tool_calls: idle(flag),
  functions: only("they are called tools now; use tools", []),
  function_call: only("functions are called tools now; use tool_choice", "none", "auto"),
  store: only("nothing is stored here", false),
  metadata: idle(
    kind(
      "an object of texts",
      (x) => isObject(x) && Object.values(x).every((one) => typeof one === "string"),
    ),
  ),
  service_tier: only("there is one tier", "auto", "default"),
  modalities: {
    isIdle: (value) => Array.isArray(value) && value.every((one) => one === "text"),
    why: textOnly,
  },
  audio: only(textOnly, {}),
  prediction: object(
    "prediction",
    {
      type: oneOf("content"),
      content: kind("a text, or a list of parts", (x) => text.accepts(x) || Array.isArray(x)),
    },
    () => true,
    "it is an object of type and content",
  ),
  reasoning_effort: only(noReasons, "none", "medium"),
  reasoning: object(
    "reasoning",
    {
      effort: text,
      enabled: flag,
      exclude: flag,
      max_tokens: whole(0),
      summary: oneOf("auto", "concise", "detailed", "none"),
    },
    ({ effort = null, enabled = null, max_tokens: most = null }) =>
      effort === "none" || enabled === false || (effort === null && enabled === null && most === null),
    noReasons,
  ),
  verbosity: only("the model writes as it writes", "medium"),
  ...idles(text, "prompt_cache_key", "prompt_cache_retention"),
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
  truncate: idle(flag),
  prompt_logprobs: only("prompts are not scored", false),
  return_tokens_as_token_ids: only("log-probabilities tell texts of tokens", false),
  return_token_ids: only("answers are texts", false),
  detokenize: only("answers are texts", true),
  documents: only("there are no documents here", []),
  chat_template: only(oneTemplate),
  chat_template_kwargs: inner(oneTemplate),
  priority: only("turns are fair", 0),
  ...idles(text, "request_id", "cache_salt"),
  guided_grammar: only("grammars are not read; use guided_regex or guided_json", ""),
  guided_decoding_backend: idle(text),
  guided_whitespace_pattern: only("spaces stand only behind commas and colons"),
  grammar: only("grammars are not read; use json_schema or guided_regex", ""),
  mirostat: only(ownSampling, 0),
  mirostat_mode: only(ownSampling, 0),
  // What belongs to a way to draw that is off says nothing, whatever it says.
  ...idles(number({ from: 0 }), "mirostat_tau", "mirostat_eta", "dry_base", "adaptive_decay"),
  ...idles(number(), "dynatemp_exponent", "smoothing_curve"),
  xtc_threshold: idle(number({ from: 0, to: 1 })),
  dry_allowed_length: idle(whole(0)),
  dry_penalty_last_n: idle(whole(-1)),
  dry_sequence_breakers: idle(lists),
  repeat_penalty: only("use repetition_penalty", 1),
  penalize_nl: {
    isIdle: (value, body) => value === true || (value === false && !isPenalised(body)),
    why: "line ends are penalised as other tokens are; use logit_bias",
  },
  min_keep: only(ownSampling, 0),
  n_predict: { isIdle: isLength, why: "use max_tokens" },
  num_predict: { isIdle: isLength, why: "use max_tokens" },
  t_max_predict_ms: only("a request has no time of its own", 0, -1),
  slot_id: only("places are given out in turns", -1),
  post_sampling_probs: only("use logprobs", false),
  return_tokens: only("answers are texts", false),
  ...idles(flag, "include_reasoning", "separate_reasoning"),
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
    { include: flag },
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
  reasoning_format: idle(text),
  thinking_forced_open: only(noReasons, false),
  keep_alive: idle(duration),
  ttl: idle(number()),
  // llama.cpp's.
  n_indent: only("texts are written as the model writes them", 0),
  n_discard: only("prompts are taken whole", 0),
  n_cache_reuse: only("what prompts have in common is found by itself", 0),
  return_progress: only("answers tell of tokens in usage", false),
  grammar_lazy: only("grammars are not read; use json_schema or guided_regex", false),
  adaptive_target: {
    isIdle: (value) => typeof value === "number" && value < 0,
    why: ownSampling,
  },
  backend_sampling: idle(flag),
  ...idles(whole(0), "speculative.n_max", "speculative.n_min"),
  "speculative.p_min": idle(number({ from: 0, to: 1 })),
  "speculative.type": only(noDraft, "none"),
  // Ollama's: how a model is run, which changes no text.
  ...idles(whole(-1), "num_gpu"),
  ...idles(whole(0), "num_thread", "num_batch", "main_gpu"),
  ...idles(flag, "use_mmap", "use_mlock", "low_vram", "numa", "f16_kv"),
  num_keep: only("prompts are taken whole", 0, -1),
  vocab_only: only("the whole model is loaded", false),
  logits_all: only("prompts are not scored", false),
  template: only(oneTemplate, ""),
  system: only("what a system says is a message of it, or stands in the prompt", ""),
  // Text Generation Inference's.
  watermark: only("texts carry no mark", false),
  details: only("use logprobs", false),
  decoder_input_details: only("prompts are not scored", false),
  top_n_tokens: only("use logprobs", 0),
  return_full_text: only("use echo", false),
  do_sample: {
    isIdle: (value, { temperature }, route) =>
      value === true || (value === false && (temperature === 0 || route === "embeddings")),
    why: "texts are drawn unless temperature is 0; use temperature",
  },
  typical: only("use typical_p", 1),
  // SGLang's, Mistral's, LM Studio's and text-generation-webui's.
  no_stop_trim: only("what ends a text is cut off", false),
  safe_prompt: only("nothing is put before a prompt", false),
  epsilon_cutoff: only(ownSampling, 0),
  eta_cutoff: only(ownSampling, 0),
  smoothing_factor: only(ownSampling, 0),
  penalty_alpha: only(ownSampling, 0),
  guidance_scale: only(ownSampling, 1),
  negative_prompt: only(ownSampling, ""),
  mode: only("conversations follow the model's own template", "instruct"),
  background: only("answers are waited for", false),
  truncation: only("prompts are taken whole", "disabled"),
  encoding_format: only("it belongs to /v1/embeddings", "float"),
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
