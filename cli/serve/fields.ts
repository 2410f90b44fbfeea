/**
 * The fields of a request, as data: what each may be and how large, who reads it, what is said of a wrong one, and what
 * `ferrotype serve --help` tells of it.
 *
 * @module
 */
import { type Kind, kind, number, whole } from "../../src/core/kinds.ts";

/** A route that takes a body. */
export type Route = "completions" | "chat" | "embeddings";

/** Their paths. */
export const routes: Readonly<Record<Route, string>> = {
  completions: "/v1/completions",
  chat: "/v1/chat/completions",
  embeddings: "/v1/embeddings",
};

/** One field. */
export interface Field extends Kind {
  /** The route that has it, where it is not both. */
  readonly only?: Route;
  /** What clients send that want nothing of it. */
  readonly none?: unknown;
  /** Whether a value asks for what is done without it, too. */
  readonly isNeutral?: (value: unknown, body: Readonly<Record<string, unknown>>) => boolean;
}

/** The most characters of a name: of a model, a user. */
const mostName = 512;
/** The most texts that end an answer, and characters of each. */
const mostStops = 16, mostStop = 1000;
/** The most tokens with a bias. */
const mostBiases = 1024;
/** The most texts for one prompt. */
const mostTexts = 128;
/** The most alternatives that are told of a token. */
const mostAlternatives = 20;
/** More tokens than any model takes. */
const mostTokens = 1e6;
/** The most messages of a conversation, and parts of a message. */
const mostMessages = 1024, mostParts = 256;
/** The most texts of a choice. */
const mostChoices = 1000;

const isText = (value: unknown, most: number): value is string =>
  typeof value === "string" && value.length <= most;
const name = kind(`a text of up to ${mostName} characters`, (x) => isText(x, mostName));
const isObject = (x: unknown): x is Readonly<Record<string, unknown>> =>
  typeof x === "object" && x !== null && !Array.isArray(x);
const tokens = whole(0, mostTokens);
/** The most tools of a request. */
const mostTools = 128;
const flag: Kind = kind("true or false", (x) => typeof x === "boolean");
const schema = kind(
  "a JSON Schema, or its text",
  (x) => isObject(x) || typeof x === "boolean" || typeof x === "string",
);

/** A kind, and the values that say what is done without them. */
const neutral = (of: Kind, ...values: readonly unknown[]): Field => ({
  ...of,
  isNeutral: (value) => values.includes(value),
});

const penalties: readonly [field: string, off: number][] = [
  ["repetition_penalty", 1],
  ["presence_penalty", 0],
  ["frequency_penalty", 0],
];
/** Whether a request's tokens lose anything for having been there. */
export const isPenalised = (body: Readonly<Record<string, unknown>>): boolean =>
  penalties.some(([name, off]) => typeof body[name] === "number" && body[name] !== off);
const wholeWindow = whole(-1, mostTokens);
/** At how many last tokens the penalties look. */
const window: Field = {
  ...wholeWindow,
  isNeutral: (value, body) => value === -1 || (wholeWindow.accepts(value) && !isPenalised(body)),
};

/** Whether it is a number that 64 bits with a sign hold. */
export const isSeed = (x: unknown): boolean =>
  typeof x === "number" && Number.isInteger(x) && x >= -(2 ** 63) && x <= 2 ** 63;

/** Fields that are honoured. Those after the blank line are other servers', by their names. */
export const fields: Readonly<Record<string, Field>> = {
  model: name,
  lora: kind(
    "the name of an adapter, or null for none",
    // llama.cpp's list of numbers and scales, where it names none.
    (x) => x === null || isText(x, mostName) || Array.isArray(x) && x.length === 0,
  ),
  prompt: {
    ...kind(
      "a text, token ids, or a list of such; at most as many as --max-texts",
      (x) => typeof x === "string" || Array.isArray(x),
    ),
    only: "completions",
  },
  messages: {
    ...kind(
      `a list of 1 to ${mostMessages} messages, each of up to ${mostParts} parts`,
      (x) =>
        Array.isArray(x) && x.length > 0 && x.length <= mostMessages &&
        x.every((m) => !isObject(m) || !Array.isArray(m.content) || m.content.length <= mostParts),
    ),
    only: "chat",
  },
  tools: {
    ...kind(
      `a list of up to ${mostTools} tools, { type: "function", function: { name, description, parameters } }`,
      (x) => Array.isArray(x) && x.length <= mostTools,
    ),
    only: "chat",
  },
  tool_choice: {
    ...kind(
      '"none", "auto", "required", or { type: "function", function: { name } }',
      (x) => x === "none" || x === "auto" || x === "required" || isObject(x),
    ),
    only: "chat",
  },
  parallel_tool_calls: { ...neutral(flag, true, false), only: "chat" },
  max_tokens: tokens,
  max_completion_tokens: tokens,
  n: neutral(whole(1, mostTexts), 1),
  stream: neutral(flag, false),
  stream_options: {
    ...kind("an object", isObject),
    isNeutral: (x) => isObject(x) && Object.values(x).every((value) => value === false),
  },
  temperature: neutral(number({ from: 0, to: 2 }), 1),
  top_p: neutral(number({ from: 0, to: 1 }), 1),
  stop: {
    ...kind(
      `a text of 1 to ${mostStop} characters, or up to ${mostStops} of them`,
      (x) =>
        (Array.isArray(x) ? x : [x]).length <= mostStops &&
        (Array.isArray(x) ? x : [x]).every((s) => isText(s, mostStop) && s !== ""),
    ),
    none: "",
  },
  seed: kind("a whole number of 64 bits, from -2^63 to 2^63 - 1", isSeed),
  presence_penalty: neutral(number({ from: -2, to: 2 }), 0),
  frequency_penalty: neutral(number({ from: -2, to: 2 }), 0),
  logit_bias: kind(
    `an object of up to ${mostBiases} token ids, each with a number from -100 to 100`,
    (x) =>
      isObject(x) && Object.keys(x).length <= mostBiases &&
      Object.entries(x).every(([id, bias]) =>
        /^\d{1,9}$/.test(id) && typeof bias === "number" && Math.abs(bias) <= 100
      ),
  ),
  logprobs: neutral(
    kind(
      `a whole number from 0 to ${mostAlternatives} for /v1/completions, true or false for /v1/chat/completions`,
      (x) => typeof x === "boolean" || whole(0, mostAlternatives).accepts(x),
    ),
    false,
  ),
  top_logprobs: { ...neutral(whole(0, mostAlternatives), 0), only: "chat" },
  echo: { ...neutral(flag, false), only: "completions" },
  response_format: {
    ...kind("an object with a type", isObject),
    isNeutral: (x) => isObject(x) && x.type === "text" && Object.keys(x).length === 1,
  },
  user: name,
  safety_identifier: name,

  top_k: neutral(whole(-1, mostTokens), 0, -1),
  min_p: neutral(number({ from: 0, to: 1 }), 0),
  typical_p: neutral(number({ from: 0, to: 1 }), 1),
  repetition_penalty: neutral(number({ from: 0.001, to: 100 }), 1),
  repeat_last_n: window,
  penalty_last_n: window,
  no_repeat_ngram_size: neutral(whole(0, 1000), 0),
  min_tokens: neutral(tokens, 0),
  ignore_eos: neutral(flag, false),
  cache_prompt: neutral(flag, true, false),
  guided_json: schema,
  guided_regex: kind("a regular expression", (x) => typeof x === "string"),
  guided_choice: kind(
    `a list of 1 to ${mostChoices} texts`,
    (x) =>
      Array.isArray(x) && x.length > 0 && x.length <= mostChoices &&
      x.every((s) => typeof s === "string" && s),
  ),
  structured_outputs: kind("an object with json, regex, choice or json_object", isObject),
  json_schema: schema,
  format: { ...kind(`"json" or a JSON Schema`, (x) => x === "json" || isObject(x)), none: "" },
};

/** Names of the fields of a route. */
export function fieldNames(route: Route): string[] {
  return Object.keys(fields).filter((name) => (fields[name].only ?? route) === route);
}

/** What each field may be, a line each. */
export function fieldLines(): string[] {
  const width = Math.max(...Object.keys(fields).map(({ length }) => length)) + 2;
  return Object.entries(fields).map(([name, { expected, only }]) =>
    `  ${name.padEnd(width)}${expected}${only ? ` (${routes[only]})` : ""}`
  );
}
