/**
 * Bodies of requests, read strictly: a field that changes something and cannot be honoured is an error that names it.
 *
 * @module
 */
import type { ChatMessage, GenerateOptions } from "../../mod.ts";
import { hint } from "../../src/core/nearest.ts";
import { counted, show } from "../../src/core/show.ts";
import { fieldNames, fields, isPenalised, type Route, routes } from "./fields.ts";
import { formatOf } from "./format.ts";
import { parseBody, seedOf } from "./json_body.ts";
import { readMessage } from "./messages.ts";
import { checkNames, isNothing } from "./nested.ts";
import { Problem } from "./problem.ts";
import { readTools, type Tools } from "./tools.ts";
import { type Body, complaint, unhonoured } from "./unhonoured.ts";

/** What a request asks for, whatever route it came by. */
export interface Asked {
  /** The model's name, as the client wrote it. */
  readonly model: string | null;
  /** The adapter by name; null: none; undefined: what the model's name says. */
  readonly lora: string | null | undefined;
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
  /** What the request calls options that have several names. */
  readonly words: { readonly maxNewTokens: string; readonly responseFormat: string };
  /** Everything that generation itself takes. */
  readonly options: GenerateOptions;
}

/** A prompt as a client gives it. */
export type Prompt = string | readonly number[];

function fail(param: string, message: string): never {
  throw new Problem(400, message, param);
}

/** The fields of a body that were given: what is null or undefined was not. @throws {Problem} for any that cannot be. */
function given(body: Body, route: Route, contextLength: number): Body {
  const found: Record<string, unknown> = Object.create(null);
  for (const [name, value] of Object.entries(body)) {
    if (value === null || value === undefined) continue;
    if (Object.hasOwn(fields, name) && value === fields[name].none) continue;
    const isElsewhere = (fields[name]?.only ?? route) !== route && Object.hasOwn(unhonoured, name);
    if (Object.hasOwn(fields, name) && !isElsewhere) {
      const { accepts, expected, only = route } = fields[name];
      if (only !== route) {
        if (value === false || value === 0 || isNothing(value)) continue;
        fail(name, `${name} belongs to ${routes[only]}`);
      }
      if (!accepts(value)) {
        const isNumber = /^a (whole )?number/.test(expected);
        fail(
          name,
          `${name} is ${
            isNumber ? `${show(value)}, expected ${expected}` : `${expected}, not ${show(value)}`
          }`,
        );
      }
      found[name] = value;
    } else if (Object.hasOwn(unhonoured, name)) {
      const why = complaint(name, value, body, route, contextLength);
      if (why !== null) fail(name, `${name} cannot be honoured: ${why}`);
    } else if (!isNothing(value)) {
      const short = show(name);
      fail(
        short.slice(1, -1),
        `there is no field ${short}${hint(name, [...fieldNames(route), ...Object.keys(unhonoured)])}`,
      );
    }
  }
  return found;
}

function streamOptions(body: Body): boolean {
  const options = (body.stream_options ?? {}) as Body, { include_usage: usage = null } = options;
  // Pieces come as they are made, whatever else is not asked for.
  const asked = Object.entries(options).filter(([, value]) => value !== false);
  checkNames("stream_options", Object.fromEntries(asked), ["include_usage"]);
  if (usage !== null && typeof usage !== "boolean") {
    fail("stream_options", `stream_options.include_usage is ${show(usage)}, expected true or false`);
  }
  if (usage && body.stream !== true) fail("stream_options", "stream_options belong to stream: true");
  return usage === true;
}

/** How many tokens a text may have, and by which field; `byDefault` where there is none. */
function lengthOf(body: Body, byDefault: number | undefined): number | undefined {
  const { max_completion_tokens: most = body.max_tokens, max_tokens: also = most, min_tokens: least = 0 } =
    body;
  if (most !== also) {
    fail(
      "max_tokens",
      `max_tokens is ${also}, and max_completion_tokens, which means the same, is ${most}; give one`,
    );
  }
  const length = (most ?? byDefault) as number | undefined;
  if (length !== undefined && least as number > length) {
    const name = body.max_completion_tokens === undefined ? "max_tokens" : "max_completion_tokens";
    fail(
      "min_tokens",
      `min_tokens is ${least}, expected at most ${name}, which is ${length}${
        most === undefined ? " by default" : ""
      }`,
    );
  }
  return length;
}

/** At how many last tokens the penalties look; undefined where there are none, or they look at all. */
function windowOf(body: Body): number | undefined {
  const { repeat_last_n: last = body.penalty_last_n, penalty_last_n: also = last } = body;
  if (last !== also) {
    fail(
      "penalty_last_n",
      `penalty_last_n is ${also}, and repeat_last_n, which means the same, is ${last}; give one`,
    );
  }
  return isPenalised(body) ? last as number | undefined : undefined;
}

function biases(body: Body, vocabSize: number): [readonly number[], number][] | undefined {
  if (body.logit_bias === undefined) return undefined;
  return Object.entries(body.logit_bias as Record<string, number>).map(([key, bias]) => {
    const id = Number(key);
    if (id >= vocabSize) fail("logit_bias", `logit_bias has ids below ${vocabSize}, not ${key}`);
    return [[id], bias];
  });
}

function read(
  text: string,
  body: Body,
  vocabSize: number,
  logprobs: number | undefined,
  length?: number,
): Asked {
  const number = (name: string): number | undefined => body[name] as number | undefined;
  const temperature = number("temperature") ?? 1, greedy = temperature === 0;
  // Between a greedy request and sampling options there is no contradiction in this API: they have no effect.
  const sampling = {
    temperature,
    // Other servers say -1 for all.
    topK: Math.max(number("top_k") ?? 0, 0),
    topP: Math.max(number("top_p") ?? 1, 1e-9),
    minP: number("min_p") ?? 0,
    typicalP: Math.max(number("typical_p") ?? 1, 1e-9),
  };
  const options: GenerateOptions = { ...(greedy ? { doSample: false } : { doSample: true, ...sampling }) };
  const set = <K extends keyof GenerateOptions>(name: K, value: GenerateOptions[K] | undefined): void => {
    if (value !== undefined) options[name] = value;
  };
  const seed = number("seed"), stop = body.stop as string | readonly string[] | undefined;
  set("stop", typeof stop === "string" ? [stop] : stop);
  const ownSeed = seed === undefined ? undefined : seedOf(text, seed);
  set("seed", greedy ? undefined : ownSeed);
  set("presencePenalty", number("presence_penalty"));
  set("frequencyPenalty", number("frequency_penalty"));
  set("repetitionPenalty", number("repetition_penalty"));
  set("repeatLastN", windowOf(body));
  set("noRepeatNgramSize", number("no_repeat_ngram_size"));
  set("minNewTokens", number("min_tokens"));
  set("sequenceBias", biases(body, vocabSize));
  set("logprobs", logprobs);
  const format = formatOf(body);
  set("responseFormat", format?.format);
  if (body.ignore_eos === true) options.eosTokenId = [];
  if (body.cache_prompt === false) options.cachePrompt = false;
  return {
    model: (body.model as string | undefined) ?? null,
    lora: Array.isArray(body.lora) ? undefined : body.lora as string | null | undefined,
    user: (body.user ?? body.safety_identifier ?? null) as string | null,
    n: number("n") ?? 1,
    stream: body.stream === true,
    includeUsage: streamOptions(body),
    echo: body.echo === true,
    maxTokens: lengthOf(body, length),
    words: {
      maxNewTokens: body.max_completion_tokens === undefined ? "max_tokens" : "max_completion_tokens",
      responseFormat: format?.name ?? "tool_choice",
    },
    options,
  };
}

/** A request of `/v1/completions`: its prompts, at most `mostTexts` of them, and what else it asks for. @throws {Problem} */
export function readCompletion(
  text: string,
  vocabSize: number,
  mostTexts: number,
  contextLength = Infinity,
): Asked & { prompts: readonly Prompt[] } {
  const body = given(parseBody(text), "completions", contextLength), { prompt = "", logprobs } = body;
  const list = Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt : [prompt as Prompt];
  checkCount(list.length, (body.n as number | undefined) ?? 1, mostTexts);
  const isId = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabSize;
  const isIds = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && x.every(isId);
  if (!list.length || !list.every((one) => typeof one === "string" || isIds(one))) {
    fail("prompt", `prompt is a text, token ids below ${vocabSize}, or a list of such`);
  }
  if (logprobs === true) {
    fail("logprobs", "logprobs is true, expected how many of the likeliest tokens to tell of");
  }
  const told = logprobs === false ? undefined : logprobs as number | undefined;
  return { ...read(text, body, vocabSize, told, 16), prompts: list };
}

/** A request of `/v1/chat/completions`: its messages, and what else it asks for. @throws {Problem} */
export function readChat(
  text: string,
  vocabSize: number,
  mostTexts: number,
  contextLength = Infinity,
): Asked & { messages: ChatMessage[]; tools: Tools | null } {
  const body = given(parseBody(text), "chat", contextLength), { messages, logprobs } = body;
  if (messages === undefined) fail("messages", `messages is missing, expected ${fields.messages.expected}`);
  checkCount(1, (body.n as number | undefined) ?? 1, mostTexts);
  const said = (messages as unknown[]).map(readMessage), tools = readTools(body);
  if (logprobs !== undefined && typeof logprobs !== "boolean") {
    fail("logprobs", `logprobs is ${show(logprobs)}, expected true or false`);
  }
  const top = body.top_logprobs as number | undefined;
  if (top && !logprobs) fail("top_logprobs", "top_logprobs belong to logprobs: true");
  const asked = read(text, body, vocabSize, logprobs ? top ?? 0 : undefined);
  if (tools && asked.options.responseFormat !== undefined) {
    fail(
      "response_format",
      'what an answer must be cannot be honoured beside tools, which are called in the model\'s own way; give tool_choice "none"',
    );
  }
  if (tools?.format) asked.options.responseFormat = tools.format;
  return { ...asked, messages: said, tools };
}

function checkCount(prompts: number, n: number, most: number): void {
  if (prompts * n <= most) return;
  const each = prompts === 1 ? "" : `${counted(prompts, "prompt")}, `;
  fail(
    prompts > 1 ? "prompt" : "n",
    `${each}${counted(n, "text")} each: a request asks for at most ${most} texts (--max-texts)`,
  );
}
