/**
 * What the server does with a request once it is read: texts in, answers out, all on one model and one batch.
 *
 * @module
 */
import {
  type Batcher,
  CancelledError,
  type CausalCache,
  type CausalLM,
  type ChatTemplate,
  DeviceError,
  encodeChat,
  FerrotypeError,
  FormatError,
  type GenerationResult,
  LogitsError,
  type Pooling,
  type ResolvedOptions,
  textOfTokens,
  type Tokenizer,
  type TokenPiece,
} from "../../mod.ts";
import { counted as amount, nounOf, show } from "../../src/core/show.ts";
import { breather } from "../../src/core/breathe.ts";
import { finish, slice, slicer } from "../../src/core/steps.ts";
import { turn } from "../../src/core/turn.ts";
import {
  chatLogprobs,
  completionLogprobs,
  finishReason,
  type TokenInfo,
  type Usage,
  usageOf,
} from "./answer.ts";
import { readEmbeddings, vectorAs } from "./embeddings.ts";
import { Metrics } from "./metrics.ts";
import { Problem } from "./problem.ts";
import { type Asked, type Prompt, readChat, readCompletion } from "./request.ts";
import { type Said, type ToolCall, ToolCallReader } from "./tool_calls.ts";
import type { Tools } from "./tools.ts";
import { inWords } from "./words.ts";

/** What is served, and how much of it. */
export interface ServiceOptions {
  /** The model; it has a tokenizer. */
  readonly model: CausalLM;
  /** Its name in answers. */
  readonly name: string;
  /** Names of its adapters, each of which is asked for as a model of its own. */
  readonly adapters?: readonly string[];
  /** How it wants conversations, if it does. */
  readonly template: ChatTemplate | null;
  /** Texts that take steps together. */
  readonly maxBatch: number;
  /** Texts that may wait. */
  readonly maxQueue: number;
  /** Texts that one request may ask for. */
  readonly maxTexts: number;
  /** Seconds of work that one text's format may take. Default: as long as it takes. */
  readonly formatSeconds?: number;
  /** How positions become a vector of `/v1/embeddings`. Default "mean". */
  readonly pooling?: Pooling;
}

/** One text to be made. */
interface Text {
  readonly index: number;
  readonly echo: string;
  readonly promptIds: readonly number[];
  readonly options: ResolvedOptions;
}

/** A request that was accepted. */
export interface Work {
  readonly asked: Asked;
  readonly chat: boolean;
  /** What the model may call. */
  readonly tools: Tools | null;
  readonly texts: readonly Text[];
  /** Tokens of the prompts. */
  readonly prompts: readonly number[];
  /** Whose turn it takes. */
  readonly client: string;
  readonly head: Readonly<Record<string, unknown>>;
}

/** More characters than a token has, for what is said to be too long before it is encoded. */
const longestToken = 256;

/** Runs requests. */
export class Service {
  readonly #options: ServiceOptions;
  readonly #batcher: Batcher<CausalCache>;
  /** What was done so far. */
  readonly metrics: Metrics = new Metrics();
  #count = 0;
  /** Texts of requests that are being read. */
  #reading = 0;
  /** When it began, in seconds since 1970. */
  readonly created: number = Math.floor(Date.now() / 1000);

  /** Computes nothing yet. */
  constructor(options: ServiceOptions) {
    this.#options = options;
    const { maxBatch, formatSeconds } = options;
    this.#batcher = options.model.batcher({
      maxBatch,
      ...(formatSeconds === undefined ? {} : { formatSeconds }),
    });
  }

  /** Makes two tokens of nothing much, so that the kernels of a step are there before somebody waits for them. */
  async warm(signal: AbortSignal): Promise<void> {
    const asked = { maxNewTokens: 2, doSample: true, seed: 0, eosTokenId: [], cachePrompt: false, signal };
    try {
      const { promptIds: [ids], options } = await this.#options.model.prepare([[0]], asked);
      const steps = this.#batcher.submit(ids, options);
      while (!(await steps.next()).done);
    } catch (error) {
      // What is wrong with the model is told to who asks it.
      if (error instanceof CancelledError) throw error;
    }
  }

  /** Texts at work and in the queue. */
  get load(): { active: number; waiting: number } {
    return this.#batcher.load;
  }

  /** Whether another text may wait. */
  get hasRoom(): boolean {
    const { active, waiting } = this.load, { maxBatch, maxQueue } = this.#options;
    return active + waiting + this.#reading < maxBatch + maxQueue;
  }

  /** {@link Service.metrics} and what is at work, as Prometheus reads it. */
  get metricsText(): string {
    const { maxBatch, model } = this.#options;
    return this.metrics.text004({ ...this.load, room: maxBatch * model.contextLength });
  }

  /** The model's name. */
  get name(): string {
    return this.#options.name;
  }

  /** The names that a request may ask for: the model's, then those of its adapters. */
  get names(): readonly string[] {
    return [this.#options.name, ...this.#options.adapters ?? []];
  }

  /** What is said of a name that there is not. */
  missing(name: string): Problem {
    const have = this.names.map((known) => `"${known}"`).join(", ");
    const message = `there is no model ${show(name)} here; there ${
      this.names.length > 1 ? "are" : "is"
    } ${have}`;
    return new Problem(404, message, "model", "model_not_found");
  }

  get #tokenizer(): Tokenizer {
    return this.#options.model.tokenizer as Tokenizer;
  }

  /** Reads a request of `/v1/completions`. @throws {Problem} */
  async completion(text: string, client: string, signal: AbortSignal): Promise<Work> {
    const { model, maxTexts } = this.#options;
    const { prompts, ...asked } = readCompletion(text, model.vocabSize, maxTexts, model.contextLength);
    if (asked.echo && asked.options.logprobs !== undefined) {
      throw new Problem(400, "echo with logprobs cannot be honoured: prompts are not scored", "logprobs");
    }
    return await this.#accept(asked, prompts, client, false, signal);
  }

  /** Reads a request of `/v1/chat/completions`. @throws {Problem} */
  async chat(text: string, client: string, signal: AbortSignal): Promise<Work> {
    const { template, model, name, maxTexts } = this.#options;
    if (!template) {
      throw new Problem(
        400,
        `the model ${name} has no chat template: it continues texts; use /v1/completions`,
        "messages",
        "no_chat_template",
      );
    }
    const { messages, tools, ...asked } = readChat(text, model.vocabSize, maxTexts, model.contextLength);
    // A template takes all of them at once, and every one takes a token at least.
    if (messages.length > model.contextLength) {
      this.#tooLong(`${amount(messages.length, "token")} at least`, "messages");
    }
    this.#checkLength(messages.reduce((sum, { content }) => sum + content.length, 0), "messages");
    let prompt: number[];
    try {
      const written = template(messages, tools ? { tools: tools.list } : {});
      if (tools && written === template(messages)) {
        throw new Problem(
          400,
          `tools cannot be honoured: the chat template of ${name} tells the model of none, so it was not trained to call them`,
          "tools",
        );
      }
      prompt = await encodeChat(model.tokenizer!, written, { signal });
    } catch (error) {
      if (error instanceof CancelledError || error instanceof Problem) throw error;
      throw new Problem(
        400,
        `the chat template refuses these messages: ${(error as Error).message.slice(0, 500)}`,
        "messages",
      );
    }
    return await this.#accept(asked, [prompt], client, true, signal, tools);
  }

  /** The answer to a request of `/v1/embeddings`. @throws {Problem} */
  async embeddings(text: string, signal: AbortSignal): Promise<unknown> {
    const { model, maxTexts, pooling } = this.#options, { vocabSize, contextLength } = model;
    const width = model.network.embeddings.shape[1];
    const asked = readEmbeddings(text, { vocabSize, width, mostTexts: maxTexts, contextLength }),
      { input } = asked;
    this.#checkName(asked.model);
    for (const one of input) if (typeof one === "string") this.#checkLength(one.length, "input");
    this.#checkRoom(input.length);
    this.#reading += input.length;
    try {
      const { promptIds } = await model.prepare(input, { maxNewTokens: 1, signal });
      const data: unknown[] = [], options = pooling === undefined ? {} : { pooling };
      for (const ids of promptIds) {
        if (ids.length > contextLength) this.#tooLong(amount(ids.length, "token"), "input");
      }
      for (const [index, ids] of promptIds.entries()) {
        // Between two texts, steps of others have their turn.
        await turn();
        if (signal.aborted) throw new CancelledError("the client has gone");
        using vector = await model.embed([ids], options);
        const embedding = vectorAs(await vector.data() as Float32Array, asked.isBase64);
        data.push({ object: "embedding", index, embedding });
      }
      const tokens = promptIds.reduce((sum, { length }) => sum + length, 0);
      const usage = { prompt_tokens: tokens, total_tokens: tokens };
      return { object: "list", data, model: this.name, usage };
    } finally {
      this.#reading -= input.length;
    }
  }

  /** @throws {Problem} for another model than this one. */
  #checkName(model: string | null): void {
    const { name } = this.#options;
    if (model === null || model === name) return;
    const message = `there is no model ${show(model)} here; there is "${name}"`;
    throw new Problem(404, message, "model", "model_not_found");
  }

  /** @throws {Problem} for so many characters that they cannot be few enough tokens. */
  #checkLength(characters: number, param: string): void {
    const { contextLength } = this.#options.model;
    if (characters > contextLength * longestToken) this.#tooLong(amount(characters, "character"), param);
  }

  #tooLong(found: string, param: string): never {
    throw new Problem(
      400,
      `this model's maximum context length is ${
        amount(this.#options.model.contextLength, "token")
      }, and the ${param === "messages" ? "messages have" : `${param} has`} ${found}; shorten ${
        param === "messages" ? "them" : "it"
      }`,
      param,
      "context_length_exceeded",
    );
  }

  async #accept(
    asked: Asked,
    prompts: readonly Prompt[],
    client: string,
    chat: boolean,
    signal: AbortSignal,
    tools: Tools | null = null,
  ): Promise<Work> {
    const count = prompts.length * asked.n, adapter = this.#adapterOf(asked);
    const name = adapter ?? this.#options.name;
    this.#checkRoom(count);
    this.#reading += count;
    try {
      // Without adapters there is nothing to choose.
      const own = this.#options.adapters?.length ? { adapter } : {};
      const texts = await this.#texts(asked, prompts, chat ? "messages" : "prompt", signal, own);
      const id = `${chat ? "chatcmpl" : "cmpl"}-${this.created.toString(36)}${(this.#count++).toString(36)}`;
      const head = { id, created: Math.floor(Date.now() / 1000), model: name };
      const turns = asked.user === null ? client : `${client} ${asked.user}`;
      const lengths = texts.filter((_, i) => i % asked.n === 0).map(({ promptIds }) => promptIds.length);
      return { asked, chat, tools, texts, prompts: lengths, client: turns, head };
    } finally {
      this.#reading -= count;
    }
  }

  /** The adapter that a request names as its model, or as `lora`; null for none. @throws {Problem} */
  #adapterOf({ model, lora }: Asked): string | null {
    const { name, adapters = [] } = this.#options;
    if (model !== null && !this.names.includes(model)) throw this.missing(model);
    const named = model === null || model === name ? null : model;
    if (lora === undefined) return named;
    if (lora !== null && !adapters.includes(lora)) {
      const have = adapters.map((known) => `"${known}"`).join(", ") || "none";
      throw new Problem(
        404,
        `there is no adapter ${show(lora)} here; there are: ${have}`,
        "lora",
        "adapter_not_found",
      );
    }
    if (named !== null && named !== lora) {
      throw new Problem(
        400,
        `model names the adapter ${show(named)}, and lora ${show(lora)}; leave one out`,
        "lora",
      );
    }
    return lora;
  }

  /** @throws {Problem} where so many texts cannot wait. */
  #checkRoom(count: number): void {
    const { active, waiting } = this.load, { maxBatch, maxQueue } = this.#options;
    if (active + waiting + this.#reading + count <= maxBatch + maxQueue) return;
    throw new Problem(
      429,
      `${amount(waiting + this.#reading, "text")} ${
        nounOf(waiting + this.#reading, "waits", "wait")
      }, and no more than ${maxQueue} may; try again later`,
      null,
      "queue_full",
    );
  }

  /** The texts of a request: those of the first prompt, then those of the next. */
  async #texts(
    asked: Asked,
    prompts: readonly Prompt[],
    param: string,
    signal: AbortSignal,
    own: { adapter?: string | null },
  ): Promise<Text[]> {
    const { model } = this.#options, { contextLength } = model;
    for (const prompt of prompts) {
      if (typeof prompt === "string") this.#checkLength(prompt.length, param);
      else if (prompt.length > contextLength) this.#tooLong(amount(prompt.length, "token"), param);
    }
    const wanted = { ...asked.options, ...own, maxNewTokens: asked.maxTokens ?? contextLength, signal };
    // Where nothing ends a text early it is long enough, so in this API that is no contradiction.
    const ends = [wanted.eosTokenId ?? model.generationConfig.eosTokenId ?? []].flat();
    if (ends.length === 0) delete wanted.minNewTokens;
    const { promptIds, options } = await model.prepare(prompts, wanted).catch(
      (error) => {
        // What is wrong with a text is wrong with the prompt; options are all read.
        throw error instanceof FormatError ? new Problem(400, error.message, param) : inWords(error, asked);
      },
    );
    return promptIds.flatMap((ids, i) => {
      const { length } = ids, most = contextLength + 1 - length;
      if (most < 1) this.#tooLong(amount(length, "token"), param);
      const maxNewTokens = asked.maxTokens ?? most;
      if (maxNewTokens > most) {
        throw new Problem(
          400,
          `this model's maximum context length is ${
            amount(contextLength, "token")
          }: ${length} of the ${param} and ${maxNewTokens} ` +
            `new ones are more than the ${
              amount(contextLength, "position")
            } of the model; ask for at most ${most}`,
          "max_tokens",
          "context_length_exceeded",
        );
      }
      const echo = asked.echo ? this.#tokenizer.decode(ids, { skipSpecialTokens: false }) : "";
      return Array.from({ length: asked.n }, (_, k): Text => ({
        index: i * asked.n + k,
        echo,
        promptIds: ids,
        options: { ...options, maxNewTokens, seed: seedFor(options.seed, k) },
      }));
    });
  }

  /** All texts of a request, in the queue. */
  async #enter(work: Work, signal: AbortSignal): Promise<AsyncGenerator<TokenPiece, GenerationResult>[]> {
    const { texts } = work, out: AsyncGenerator<TokenPiece, GenerationResult>[] = [];
    const breathe = breather(slice.milliseconds);
    // Until they are there nobody else has their room.
    this.#reading += texts.length;
    try {
      for (const text of texts) {
        await breathe();
        out.push(this.#pieces(text, work, signal));
        this.#reading--;
      }
    } finally {
      this.#reading -= texts.length - out.length;
    }
    return out;
  }

  #pieces(
    text: Text,
    { client, asked }: Work,
    signal: AbortSignal,
  ): AsyncGenerator<TokenPiece, GenerationResult> {
    const options = { ...text.options, signal };
    const count = this.metrics.text(text.promptIds.length);
    // Who leaves before it has begun leaves by this.
    signal.addEventListener("abort", count.end, { once: true });
    return textOfTokens(
      counted(this.#batcher.submit(text.promptIds, options, client), count, asked),
      this.#tokenizer,
      text.promptIds,
      options,
    );
  }

  /** The whole answer. */
  async whole(work: Work, signal: AbortSignal): Promise<unknown> {
    const { asked, chat, tools, texts, prompts, head } = work;
    // All are in the queue before the first is waited for.
    const started = await this.#enter(work, signal);
    const made: number[] = [];
    const choices = await Promise.all(started.map(async (pieces, i) => {
      for (;;) {
        const step = await pieces.next();
        if (!step.done) continue;
        const result = step.value, { index, echo } = texts[i];
        made.push(result.ids.length);
        const tokens = result.ids.map((id, k): TokenInfo => ({
          id,
          details: result.logprobs?.[k] as TokenInfo["details"],
        }));
        const known = asked.options.logprobs !== undefined, said = chat ? spoken(result.text, tools) : null;
        return {
          index,
          ...(said
            ? { message: { role: "assistant", ...said, refusal: null } }
            : { text: echo + result.text }),
          logprobs: !known ? null : await slicer.run(
            chat
              ? chatLogprobs(this.#tokenizer, tokens)
              : completionLogprobs(this.#tokenizer, tokens, echo.length),
            signal,
          ),
          finish_reason: finishReason(result, said?.tool_calls?.length),
        };
      }
    }));
    return {
      ...head,
      object: chat ? "chat.completion" : "text_completion",
      choices,
      usage: usageOf(prompts, made),
    };
  }

  /** The answer in pieces, each the data of one event. */
  async stream(work: Work, signal: AbortSignal, send: (data: string) => Promise<unknown>): Promise<void> {
    const { asked, chat, tools, texts, prompts, head } = work;
    const object = chat ? "chat.completion.chunk" : "text_completion";
    const made: number[] = [], usage = asked.includeUsage ? { usage: null } : {};
    const write = (index: number, part: Record<string, unknown>, logprobs: unknown, finish: string | null) =>
      send(JSON.stringify({
        ...head,
        object,
        choices: [{ index, ...part, logprobs, finish_reason: finish }],
        ...usage,
      }));
    const started = await this.#enter(work, signal);
    await Promise.all(started.map(async (pieces, i) => {
      const { index, echo } = texts[i];
      if (chat) await write(index, { delta: { role: "assistant", content: "" } }, null, null);
      else if (echo) await write(index, { text: echo }, null, null);
      let at = echo.length, held: TokenInfo[] = [];
      const reader = tools && readerOf(tools);
      /** Calls go whole, each in a piece of its own. */
      const call = async ({ calls }: Said): Promise<void> => {
        const first = reader!.count - calls.length;
        for (const [i, one] of calls.entries()) {
          await write(index, { delta: { tool_calls: [{ index: first + i, ...one }] } }, null, null);
        }
      };
      const logprobs = (): unknown => {
        if (!held.length) return null;
        const tokens = held;
        held = [];
        return finish(
          chat ? chatLogprobs(this.#tokenizer, tokens) : completionLogprobs(this.#tokenizer, tokens, at),
        );
      };
      for (;;) {
        const step = await pieces.next();
        if (step.done) {
          made.push(step.value.ids.length);
          const rest = reader?.end();
          if (rest?.text) await write(index, { delta: { content: rest.text } }, logprobs(), null);
          if (rest) await call(rest);
          const finish = finishReason(step.value, reader?.count);
          // Tokens without text: of a stop text that was cut off, and the end of the text itself.
          await write(index, chat ? { delta: {} } : { text: "" }, logprobs(), finish);
          return;
        }
        const { id, text: piece, details } = step.value;
        if (id !== null && details) held.push({ id, details });
        const said = reader?.push(piece), text = said?.text ?? piece;
        if (said && !text) await call(said);
        if (!text) continue;
        await write(index, chat ? { delta: { content: text } } : { text }, logprobs(), null);
        at += text.length;
        if (said) await call(said);
      }
    }));
    if (asked.includeUsage) {
      const all: Usage = usageOf(prompts, made);
      await send(JSON.stringify({ ...head, object, choices: [], usage: all }));
    }
    await send("[DONE]");
  }
}

const readerOf = ({ names, most }: Tools): ToolCallReader => new ToolCallReader(names, most);

/** What an answer says, and which tools it calls. */
function spoken(text: string, tools: Tools | null): { content: string | null; tool_calls?: ToolCall[] } {
  if (!tools) return { content: text };
  const reader = readerOf(tools), parts = [reader.push(text), reader.end()];
  const content = parts.map((part) => part.text).join(""), calls = parts.flatMap((part) => part.calls);
  return calls.length > 0 ? { content: content || null, tool_calls: calls } : { content };
}

/** The same tokens, counted; what is wrong is told in the request's words. */
async function* counted<T, R>(
  tokens: AsyncGenerator<T, R>,
  { token, end }: { token: () => void; end: () => void },
  asked: Asked,
): AsyncGenerator<T, R> {
  try {
    for (;;) {
      const step = await tokens.next();
      if (step.done) return step.value;
      token();
      yield step.value;
    }
  } catch (error) {
    throw inWords(error, asked);
  } finally {
    end();
    await tokens.return(undefined as R);
  }
}

/** Text k of several has its own seed. */
function seedFor(seed: number | undefined, k: number): number | undefined {
  return seed === undefined ? undefined : (seed + k) % 2 ** 53;
}

/** Any error as an answer. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof FerrotypeError) {
    // Not the request's: a model of numbers that are none, a device without memory.
    const isOurs = error instanceof LogitsError || error instanceof DeviceError;
    return new Problem(isOurs ? 500 : 400, error.message);
  }
  return new Problem(500, `the server failed: ${error instanceof Error ? error.message : String(error)}`);
}
