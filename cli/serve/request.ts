/**
 * Bodies of requests, read strictly: a field that is unknown or cannot be honoured is an error that names it.
 *
 * @module
 */
import type { ChatMessage, GenerateOptions } from "../../mod.ts";
import { hint } from "../../src/core/nearest.ts";
import { Problem } from "./problem.ts";

/** What a request asks for, whatever route it came by. */
export interface Asked {
  /** The model's name, as the client wrote it. */
  readonly model: string | null;
  /** How many texts for each prompt. */
  readonly n: number;
  /** Whether to answer piece by piece. */
  readonly stream: boolean;
  /** Whether the last piece tells of tokens. */
  readonly includeUsage: boolean;
  /** Whom the client asks for, where it tells: each has turns of its own. */
  readonly user: string | null;
  /** Repeat the prompt before the text. */
  readonly echo: boolean;
  /** How many tokens at most; undefined: as many as fit. */
  readonly maxTokens: number | undefined;
  /** Everything that generation itself takes. */
  readonly options: GenerateOptions;
}

type Body = Readonly<Record<string, unknown>>;

/** Fields of both routes. Those after the blank line are this server's own, by the names of Hugging Face. */
const shared = [
  "model",
  "n",
  "stream",
  "stream_options",
  "temperature",
  "top_p",
  "stop",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "user",
  "response_format",

  "top_k",
  "min_p",
  "typical_p",
  "repetition_penalty",
  "no_repeat_ngram_size",
  "min_tokens",
];

/** Fields that are refused with a reason, unless they have this value. */
const refused: Readonly<Record<string, { neutral: unknown; why: string }>> = {
  suffix: { neutral: null, why: "the model continues texts and does not fill gaps" },
  best_of: { neutral: 1, why: "use n" },
  tools: { neutral: [], why: "the model was not trained to call tools" },
  tool_choice: { neutral: "none", why: "the model was not trained to call tools" },
  functions: { neutral: [], why: "the model was not trained to call functions" },
  function_call: { neutral: "none", why: "the model was not trained to call functions" },
  store: { neutral: false, why: "nothing is stored here" },
  metadata: { neutral: null, why: "nothing is stored here" },
  service_tier: { neutral: "auto", why: "there is one tier" },
  parallel_tool_calls: { neutral: true, why: "the model was not trained to call tools" },
  modalities: { neutral: null, why: "the model writes text only" },
  audio: { neutral: null, why: "the model writes text only" },
  prediction: { neutral: null, why: "there is no predicted output here" },
  reasoning_effort: { neutral: null, why: "the model does not reason apart from its text" },
};

function fail(param: string, message: string): never {
  throw new Problem(400, message, param);
}

function isNeutral(value: unknown, neutral: unknown): boolean {
  return value === undefined || value === null || value === neutral ||
    (Array.isArray(neutral) && Array.isArray(value) && value.length === 0);
}

function checkFields(body: Body, own: readonly string[]): void {
  const known = [...shared, ...own];
  for (const [name, value] of Object.entries(body)) {
    if (known.includes(name)) continue;
    if (Object.hasOwn(refused, name)) {
      const { neutral, why } = refused[name];
      if (!isNeutral(value, neutral)) fail(name, `${name} cannot be honoured: ${why}`);
    } else fail(name, `there is no field "${name}"${hint(name, known)}`);
  }
}

function number(body: Body, name: string, least: number, most: number, whole = false): number | undefined {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  const ok = typeof value === "number" && Number.isFinite(value) && value >= least && value <= most &&
    (!whole || Number.isInteger(value));
  if (!ok) {
    fail(
      name,
      `${name} is ${JSON.stringify(value)}, expected a ${
        whole ? "whole " : ""
      }number from ${least} to ${most}`,
    );
  }
  return value;
}

function flag(body: Body, name: string): boolean {
  const value = body[name];
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") fail(name, `${name} is ${JSON.stringify(value)}, expected true or false`);
  return value;
}

function stops(body: Body): readonly string[] | undefined {
  const { stop } = body;
  if (stop === undefined || stop === null) return undefined;
  const list = Array.isArray(stop) ? stop : [stop];
  if (!list.every((s) => typeof s === "string" && s.length > 0) || list.length > 16) {
    fail("stop", "stop is a text of at least one character, or up to 16 of them");
  }
  return list as string[];
}

function biases(body: Body, vocabSize: number): [readonly number[], number][] | undefined {
  const given = body.logit_bias;
  if (given === undefined || given === null) return undefined;
  if (typeof given !== "object") fail("logit_bias", "logit_bias is an object of token ids and numbers");
  return Object.entries(given).map(([key, bias]) => {
    const id = Number(key);
    if (!/^\d+$/.test(key) || id >= vocabSize || typeof bias !== "number" || !(Math.abs(bias) <= 100)) {
      fail(
        "logit_bias",
        `logit_bias has ids below ${vocabSize} and numbers from -100 to 100, not "${key}": ${bias}`,
      );
    }
    return [[id], bias];
  });
}

function read(
  body: Body,
  vocabSize: number,
  maxTokens: number | undefined,
  logprobs: number | undefined,
): Asked {
  const temperature = number(body, "temperature", 0, 2) ?? 1, greedy = temperature === 0;
  const format = body.response_format as GenerateOptions["responseFormat"] | undefined | null;
  const streamOptions = body.stream_options as { include_usage?: unknown } | undefined | null;
  if (streamOptions && body.stream !== true) fail("stream_options", "stream_options belong to stream: true");
  // Between a greedy request and sampling options there is no contradiction in this API: they have no effect.
  const sampling = {
    temperature,
    topK: number(body, "top_k", 0, 1e6, true) ?? 0,
    topP: Math.max(number(body, "top_p", 0, 1) ?? 1, 1e-9),
    minP: number(body, "min_p", 0, 1) ?? 0,
    typicalP: Math.max(number(body, "typical_p", 0, 1) ?? 1, 1e-9),
  };
  const options: GenerateOptions = { ...(greedy ? { doSample: false } : { doSample: true, ...sampling }) };
  const set = <K extends keyof GenerateOptions>(name: K, value: GenerateOptions[K] | undefined): void => {
    if (value !== undefined) options[name] = value;
  };
  set("stop", stops(body));
  set("seed", number(body, "seed", 0, Number.MAX_SAFE_INTEGER, true));
  set("presencePenalty", number(body, "presence_penalty", -2, 2));
  set("frequencyPenalty", number(body, "frequency_penalty", -2, 2));
  set("repetitionPenalty", number(body, "repetition_penalty", 1e-3, 100));
  set("noRepeatNgramSize", number(body, "no_repeat_ngram_size", 0, 1000, true));
  set("minNewTokens", number(body, "min_tokens", 0, 1e6, true));
  set("sequenceBias", biases(body, vocabSize));
  set("logprobs", logprobs);
  set("responseFormat", format ?? undefined);
  for (const name of ["model", "user"]) {
    const value = body[name];
    if (value !== undefined && value !== null && typeof value !== "string") fail(name, `${name} is a text`);
  }
  return {
    model: (body.model as string | undefined | null) ?? null,
    user: (body.user as string | undefined | null) ?? null,
    n: number(body, "n", 1, 128, true) ?? 1,
    stream: flag(body, "stream"),
    includeUsage: streamOptions?.include_usage === true,
    echo: flag(body, "echo"),
    maxTokens,
    options,
  };
}

/** A body as an object. */
export function parseBody(text: string): Body {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Problem(400, `the body is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Problem(400, "the body is a JSON object");
  }
  return value as Body;
}

/** A request of `/v1/completions`: its prompts, and what else it asks for. */
export function readCompletion(
  body: Body,
  vocabSize: number,
): Asked & { prompts: (string | readonly number[])[] } {
  checkFields(body, ["prompt", "max_tokens", "logprobs", "echo"]);
  const { prompt = "" } = body;
  const isIds = (x: unknown): x is number[] =>
    Array.isArray(x) && x.length > 0 && x.every((id) => Number.isInteger(id) && id >= 0 && id < vocabSize);
  const prompts = typeof prompt === "string" || isIds(prompt) ? [prompt] : prompt;
  if (
    !Array.isArray(prompts) || !prompts.length || !prompts.every((p) => typeof p === "string" || isIds(p))
  ) {
    fail("prompt", `prompt is a text, token ids below ${vocabSize}, or a list of such`);
  }
  const maxTokens = number(body, "max_tokens", 0, 1e6, true) ?? 16;
  return { ...read(body, vocabSize, maxTokens, number(body, "logprobs", 0, 20, true)), prompts };
}

/** A request of `/v1/chat/completions`: its messages, and what else it asks for. */
export function readChat(body: Body, vocabSize: number): Asked & { messages: ChatMessage[] } {
  checkFields(body, ["messages", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"]);
  const { messages } = body;
  if (!Array.isArray(messages) || !messages.length) {
    fail("messages", "messages is a list of at least one message");
  }
  const read1 = messages.map((message, i): ChatMessage => {
    const { role, content } = (message ?? {}) as Record<string, unknown>;
    const parts = Array.isArray(content) ? content as { type?: unknown; text?: unknown }[] : null;
    const text = parts?.every(({ type, text }) => type === "text" && typeof text === "string")
      ? parts.map(({ text }) => text).join("")
      : content;
    if (typeof role !== "string" || typeof text !== "string") {
      fail("messages", `messages[${i}] has a role and a content, both of them texts`);
    }
    return { role, content: text };
  });
  const top = number(body, "top_logprobs", 0, 20, true), wanted = flag(body, "logprobs");
  if (top !== undefined && !wanted) fail("top_logprobs", "top_logprobs belong to logprobs: true");
  const maxTokens = number(body, "max_completion_tokens", 0, 1e6, true) ??
    number(body, "max_tokens", 0, 1e6, true);
  return { ...read(body, vocabSize, maxTokens, wanted ? top ?? 0 : undefined), messages: read1 };
}
