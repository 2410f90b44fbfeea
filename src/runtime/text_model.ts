/**
 * A network with its files, its tokenizer and its voice: all of a causal language model that does not depend on its family.
 *
 * @module
 */
import { demandNoMore, demandPath } from "../core/demand.ts";
import { FormatError, LogitsError, OptionError } from "../core/errors.ts";
import { checkOptions, demandObject } from "../core/options.ts";
import { counted, show } from "../core/show.ts";
import {
  Batcher,
  type BatcherOptions,
  type BatchLanguageModel,
  type FinishReason,
  generateMany,
  type GenerateOptions,
  generatePieces,
  generateText,
  generateTokens,
  generateWhole,
  type GenerationResult,
  type ResolvedOptions,
  resolveOptions,
  runToEnd,
  textOfTokens,
  type TokenPiece,
  type TokensResult,
  type TokenStep,
} from "../generate/mod.ts";
import { constrained, constrainedSoon } from "../generate/constraint/known.ts";
import { batcherOptions } from "../generate/batcher.ts";
import { checkVocabulary } from "../generate/given.ts";
import { demandLength } from "../generate/options.ts";
import { hubOptions } from "../hub/options.ts";
import type { Family } from "../models/family.ts";
import type { CausalCache, CausalNetwork } from "../models/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import type { Tokenizer } from "../text/mod.ts";
import type { ChatMessage } from "./chat_template.ts";
import { type ChatOptions, type ChatTemplateOptions, definedOf, templateOptions } from "./chat_options.ts";
import type { DeviceChoice } from "./choose_device.ts";
import { explained } from "../generate/no_choice.ts";
import { embedIds, type EmbedOptions, embedOptions, notFinite } from "./embed.ts";
import type { SaveOptions } from "./load_options.ts";
import { demandIds, demandList, demandNothingBeside, prepareAll, type Prepared } from "./model_generation.ts";
import { contentsOf } from "./model_contents.ts";
import { type Companions, companionsIn, tokenizerBeside } from "./companions.ts";
import type { ModelFile } from "./model_files.ts";
import { NetworkModel } from "./network_model.ts";
import { type FolderOptions, type GivenFiles, openFolder } from "./model_folder.ts";
import { modelFiles, writeModel } from "./save_weights.ts";
import { tokenizerOf } from "./tokenizer.ts";

/**
 * A causal language model: a network of any family ({@link CausalLM.load} makes one of files, {@link GPT2} is one), with
 * what it takes to read and write text.
 *
 * @category Models
 */
export class TextModel<N extends CausalNetwork = CausalNetwork> extends NetworkModel<N> {
  /** Text to ids and back, or null when the model has none: then prompts are ids. */
  tokenizer: Tokenizer | null = null;
  /** Why it is on its device, where `device: "auto"` chose. */
  deviceChoice: DeviceChoice | null = null;
  /** The model's own defaults for generation (its generation_config.json). */
  generationConfig: GenerateOptions = {};
  /**
   * What came beside the model in its folder, and is written back.
   * @internal
   */
  companions: Companions | null = null;

  /**
   * A network of a family, without a tokenizer.
   * @internal
   */
  constructor(network: N, family: Family<N["config"], N>) {
    demandNoMore(arguments, 2, "TextModel");
    super(network, family);
  }

  /** What makes a text, and its options: with an adapter of its own the model is seen with that. */
  #speaker({ adapter, ...options }: ResolvedOptions): [BatchLanguageModel<CausalCache>, ResolvedOptions] {
    const { cache } = options;
    if (adapter === undefined) return [this, options];
    const stamp = this.stamp("adapter", adapter), made = cache && this.stampOf(cache as CausalCache);
    if (cache && (made?.adapter ?? null) !== (stamp?.adapter ?? null)) {
      throw new OptionError(
        `generate: adapter is ${show(adapter)}, and the cache was made for ${
          show(made?.adapter?.name ?? null)
        }; leave adapter out`,
      );
    }
    return [this.adapted(adapter), options];
  }

  /**
   * The ids of a prompt.
   * @throws {OptionError} for what is no prompt, and for text without a tokenizer.
   * @throws {ShapeError} for ids that are none of the vocabulary.
   * @throws {FormatError} for a character that the tokenizer does not have.
   */
  encode(prompt: string | readonly number[]): number[] {
    demandNoMore(arguments, 1, "encode");
    if (typeof prompt !== "string") {
      demandIds(prompt);
      this.checkIds(prompt);
      return [...prompt];
    }
    if (!this.tokenizer) {
      throw new OptionError(
        "this model has no tokenizer, so prompts are token ids; set model.tokenizer to give text",
      );
    }
    const ids = this.tokenizer.encode(prompt);
    this.checkIds(ids);
    return ids;
  }

  /**
   * What begins a text: as is asked for, or the configuration says, or else the token that GPT-2 and its kin both begin and end
   * texts with.
   */
  #begin(asked: number | null): number | null {
    if (asked !== null && asked < this.vocabSize) return asked;
    const { bos } = this.kind.ends(this.config), { tokenizer } = this, end = tokenizer?.eosTokenId;
    if (bos !== null || end === undefined || end >= this.vocabSize) return bos;
    return tokenizer!.idToToken(end) === "<|endoftext|>" ? end : null;
  }

  /** The ids to begin or go on with. A text of nothing begins at the end-of-text token, as texts did in training. */
  #promptIds(
    prompt: string | readonly number[],
    { cache, minLength, maxLength, bosTokenId }: GenerateOptions,
    resolved: ResolvedOptions,
    encoded?: number[],
  ): number[] {
    if (encoded) this.checkIds(encoded);
    const own = encoded ?? this.encode(prompt), begin = this.#begin(resolved.bosTokenId);
    const isEmpty = prompt === "" && !cache?.ids.length;
    if (!isEmpty && typeof bosTokenId === "number") {
      throw new OptionError(
        `generate: bosTokenId has no effect because it begins a prompt of nothing, and ${
          prompt === "" ? "the cache holds a text" : "this one has something"
        }; leave it out, or put it into the ids of the prompt`,
      );
    }
    const ids = isEmpty && begin !== null ? [begin] : own, length = (cache?.ids.length ?? 0) + ids.length;
    demandLength(minLength, length, resolved);
    if (maxLength == null && resolved.maxLength !== null && length >= resolved.maxLength) {
      throw new OptionError(
        `generate: the prompt has ${
          counted(length, "token")
        }, and the model's own generation_config.json says max_length ${resolved.maxLength}, which ` +
          `leaves room for none; give maxNewTokens`,
      );
    }
    return ids;
  }

  /**
   * Continues a prompt (text, or token ids) and yields pieces of text as they become certain. The iterator's return
   * value is the {@link GenerationResult}. Stopping the loop stops the work.
   *
   * A cache can be kept from one call to the next, so that what was computed is not computed again:
   *
   * ```ts
   * using cache = model.createCache();
   * const answer = await model.complete("ROMEO:", { cache, maxNewTokens: 50 });
   * const more = await model.complete("\n\nJULIET:", { cache, maxNewTokens: 50 });
   * ```
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  generate(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<string, GenerationResult> {
    demandNoMore(arguments, 2, "generate");
    if (!this.tokenizer) {
      throw new OptionError(
        "generate: this model has no tokenizer to make text with; use generateIds, or set model.tokenizer",
      );
    }
    const [speaker, resolved] = this.#speaker(this.#resolve(options));
    return generateText(speaker, this.tokenizer, this.#promptIds(prompt, options, resolved), resolved);
  }

  /**
   * Continues a prompt and gives the new text.
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  async complete(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<string> {
    demandNoMore(arguments, 2, "complete");
    demandNothingBeside("complete", options, "complete gives the text alone; use completion");
    return (await this.completion(prompt, options)).text;
  }

  /**
   * Continues a prompt and yields token after token: its id, the text that became certain with it, and with
   * `{ logprobs: n }` its log-probability and the n likeliest tokens at its place.
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  stream(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<TokenPiece, GenerationResult> {
    demandNoMore(arguments, 2, "stream");
    const [speaker, resolved] = this.#speaker(this.#resolve(options));
    return generatePieces(speaker, this.tokenizer, this.#promptIds(prompt, options, resolved), resolved);
  }

  /**
   * Continues a prompt and gives text, ids, the reason for the end, and times; with `logprobs`, `outputScores` or
   * `outputLogits` also those. Needs no tokenizer when given ids.
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  async completion(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): Promise<GenerationResult> {
    demandNoMore(arguments, 2, "completion");
    const [speaker, settled] = this.#speaker(this.#resolve(options)), { numReturnSequences = 1 } = options;
    if (numReturnSequences > 1) {
      throw new OptionError(
        `completion gives one text, and numReturnSequences is ${numReturnSequences}; use completions`,
      );
    }
    // Of several that the model's own file asks for this is the first.
    const resolved = { ...settled, numReturnSequences: 1 };
    return await generateWhole(speaker, this.tokenizer, this.#promptIds(prompt, options, resolved), resolved);
  }

  /**
   * `numReturnSequences` continuations of a prompt: the best of a beam search, or draws.
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  async completions(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): Promise<GenerationResult[]> {
    demandNoMore(arguments, 2, "completions");
    const [speaker, resolved] = this.#speaker(this.#resolve(options));
    return await generateMany(speaker, this.tokenizer, this.#promptIds(prompt, options, resolved), resolved);
  }

  /**
   * Continues several prompts together, each as it would be alone, and each to its own end. With a `seed` every prompt
   * has that seed.
   *
   * ```ts
   * const [a, b] = await model.completeBatch(["ROMEO:", "First Citizen:\nBefore"], { maxNewTokens: 50 });
   * ```
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  async completeBatch(
    prompts: readonly (string | readonly number[])[],
    options: GenerateOptions & BatcherOptions = {},
  ): Promise<GenerationResult[]> {
    demandNoMore(arguments, 2, "completeBatch");
    demandObject("completeBatch", options, batcherOptions);
    demandList(prompts);
    const { maxBatch, prefillChunk, formatSeconds, ...rest } = options;
    const settled = await constrainedSoon(this.#resolve(rest), this.tokenizer);
    const resolved = { ...settled, numReturnSequences: 1 };
    if ((rest.numReturnSequences ?? 1) > 1) {
      throw new OptionError("completeBatch gives one text for each prompt; leave numReturnSequences out");
    }
    const batcher = this.batcher({
      ...(maxBatch === undefined ? {} : { maxBatch }),
      ...(formatSeconds === undefined ? {} : { formatSeconds }),
      // In one piece, as alone.
      prefillChunk: prefillChunk ?? this.contextLength,
    });
    const ids = prompts.map((prompt) => this.#promptIds(prompt, rest, resolved));
    return await Promise.all(
      ids.map((own) => runToEnd(textOfTokens(batcher.submit(own, resolved), this.tokenizer, own, resolved))),
    );
  }

  /**
   * The model's answer to a conversation, written as its own chat template has it (of its folder or its GGUF); `tools` and what
   * else a template takes go beside the options of generation. {@link chatIds} gives the ids, to `stream` an answer from.
   *
   * ```ts
   * const answer = await model.chat([{ role: "user", content: "Why is the sky blue?" }], { maxNewTokens: 200 });
   * ```
   *
   * @throws {OptionError} for a model without a chat template, and options that do not exist or do not take their value.
   * @throws {FormatError} for a conversation that it refuses.
   */
  async chat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<string> {
    demandNoMore(arguments, 2, "chat");
    demandObject("chat", options, templateOptions);
    const { tools, documents, template, variables, now, ...rest } = options;
    const written = definedOf({ tools, documents, template, variables, now });
    this.#resolve(rest);
    return await this.complete(await this.chatIds(messages, written), rest);
  }

  /**
   * The ids of a conversation as the model's chat template writes it, ready for the answer.
   * @throws {OptionError} for a model without a chat template, and options that do not exist or do not take their value.
   * @throws {FormatError} for a conversation that it refuses.
   */
  async chatIds(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<number[]> {
    demandNoMore(arguments, 2, "chatIds");
    checkOptions("chatIds", options, templateOptions);
    const { idsOfChat } = await import("./chat_template.ts");
    return await idsOfChat(this, messages, options);
  }

  /**
   * Vectors [texts, width] of texts (or of their ids): what comes out of the last norm, pooled over the positions of a text. Each
   * is computed alone. A model that was not trained for it gives vectors of little use for search.
   *
   * ```ts
   * const vectors = await model.embed(["a cat", "a dog"], { pooling: "last" });
   * ```
   *
   * @throws {OptionError} for no texts, and for one without tokens.
   * @throws {ShapeError} for one that is too long.
   * @throws {LogitsError} for vectors that are no numbers, naming the weight or the operation behind it.
   * @throws {FormatError} for a character that the tokenizer does not have.
   */
  async embed(texts: readonly (string | readonly number[])[], options: EmbedOptions = {}): Promise<Tensor> {
    demandNoMore(arguments, 2, "embed");
    checkOptions("embed", options, embedOptions);
    demandList(texts, "embed");
    const ids = await Promise.resolve().then(() => texts.map((text) => this.encode(text)));
    const vectors = embedIds(this.network, ids, options), wrong = await notFinite(vectors);
    if (wrong === null) return vectors;
    vectors.dispose();
    throw await explained(
      new LogitsError(`embed: the vector of text ${wrong.text} has ${wrong.has}`),
      this,
      ids[wrong.text],
    );
  }

  /**
   * Something that runs many requests on this model, their steps taken together: for a server.
   *
   * @throws {OptionError} for options that do not exist.
   */
  batcher(options: BatcherOptions = {}): Batcher<CausalCache> {
    demandNoMore(arguments, 1, "batcher");
    return new Batcher(this, options);
  }

  /**
   * The ids of prompts, and their settled options, for {@link TextModel.batcher}; in slices, so that a server goes on.
   *
   * @throws {OptionError} for options that do not exist or contradict each other, and for prompts that are none.
   * @throws {ShapeError} for ids that are none of the vocabulary.
   * @throws {FormatError} for a character that the tokenizer does not have.
   */
  prepare(
    prompts: readonly (string | readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Prepared> {
    demandNoMore(arguments, 2, "prepare");
    const settled = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    return prepareAll(
      prompts,
      settled,
      this.tokenizer,
      (prompt, encoded) => this.#promptIds(prompt, options, settled, encoded),
    );
  }

  /** What to call texts that end generation: whoever asks for them. */
  #stopWords({ stop, stopStrings }: GenerateOptions): string {
    return stop ?? stopStrings ? "stop texts" : "the stop_strings of the model's own generation_config.json";
  }

  /** How those that the model's own file asks for are left out. */
  #stopOut({ stop, stopStrings }: GenerateOptions): string {
    return stop ?? stopStrings ? "" : " with { stop: [] }";
  }

  #resolve(options: GenerateOptions): ResolvedOptions {
    const resolved = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    if (resolved.stop.length && !this.tokenizer) {
      throw new OptionError(
        `generate: ${this.#stopWords(options)} need a tokenizer; set model.tokenizer, or leave them out${
          this.#stopOut(options)
        }`,
      );
    }
    return constrained(resolved, this.tokenizer);
  }

  /**
   * Continues a prompt and yields token ids.
   *
   * @throws {OptionError} for options that do not exist, contradict each other or name no tokens of the model.
   * @throws {ShapeError} for a prompt that is too long.
   * @throws {CancelledError} when the signal fires.
   * @throws {FormatError} for a character that the tokenizer does not have.
   * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
   * @throws {FerrotypeError} when every token is excluded.
   */
  generateIds(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<number, FinishReason> {
    demandNoMore(arguments, 2, "generateIds");
    demandNothingBeside("generateIds", options, "generateIds gives the ids alone; use completion or stream");
    const resolved = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    if (resolved.stop.length) {
      throw new OptionError(
        `generateIds: ${this.#stopWords(options)} belong to generate, which makes text; leave them out${
          this.#stopOut(options)
        }`,
      );
    }
    const [speaker, settled] = this.#speaker(resolved);
    return this.#ids(generateTokens(speaker, this.#promptIds(prompt, options, settled), settled));
  }

  async *#ids(tokens: AsyncGenerator<TokenStep, TokensResult>): AsyncGenerator<number, FinishReason> {
    try {
      for (;;) {
        const step = await tokens.next();
        if (step.done) return step.value.finishReason;
        yield step.value.id;
      }
    } finally {
      await tokens.return(undefined as never);
    }
  }

  /**
   * Takes the tokenizer of a folder, a repository, or files at hand, and what came with it: its chat template, its special
   * tokens. All of it is saved with the model.
   *
   * @throws {FormatError} when there is none, or it is malformed.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  async loadTokenizer(where: string | URL | GivenFiles, options: FolderOptions = {}): Promise<Tokenizer> {
    demandNoMore(arguments, 2, "loadTokenizer");
    const folder = await openFolder(where, checkOptions("loadTokenizer", options, hubOptions));
    const tokenizer = await tokenizerOf(folder);
    if (!tokenizer) throw new FormatError(`${folder.name} holds no tokenizer`);
    this.companions = await companionsIn(folder, tokenizer);
    return this.tokenizer = tokenizer;
  }

  /** The tokenizer's part of what {@link save} writes, as texts. */
  tokenizerFiles(): { name: string; content: string }[] {
    demandNoMore(arguments, 0, "tokenizerFiles");
    const { tokenizer, companions } = this;
    const files = tokenizer ? tokenizerBeside(tokenizer, companions, this.contextLength) : [];
    return files.map(({ name, content }) => ({ name, content: content("") }));
  }

  /** What config.json says of it, but for what its weights are held as. */
  toConfig(): Record<string, unknown> {
    demandNoMore(arguments, 0, "toConfig");
    const { torch_dtype: _, dtype: _d, ...json } = this.kind.json(this.config, "f32");
    return json;
  }

  /**
   * Writes a folder that Hugging Face transformers reads: config.json, model.safetensors (or shards),
   * generation_config.json, and the tokenizer's files. They replace the model that is there all at once or not at all;
   * other files stay.
   *
   * Weights stored as q8 or q4 are for this library: the file is safetensors and keeps its names, but transformers has no
   * name for blocks. Loaded again they are the same bytes.
   *
   * @throws {OptionError} for options that do not exist and for an adapter in use.
   * @throws {FerrotypeError} where nothing can be written.
   */
  async save(dir: string | URL, options: SaveOptions = {}): Promise<void> {
    demandNoMore(arguments, 2, "save");
    demandPath("save", dir);
    const { tensors, weights, beside } = contentsOf(this, this.kind, "save", options);
    await writeModel(dir, tensors, weights, beside);
  }

  /**
   * The files that {@link save} writes, for where there is no disk: a page's download, an archive. Weights are read when
   * it is their turn.
   *
   * @throws {OptionError} for options that do not exist and for an adapter in use.
   */
  files(options: SaveOptions = {}): ModelFile[] {
    demandNoMore(arguments, 1, "files");
    const { tensors, weights, beside } = contentsOf(this, this.kind, "files", options);
    return modelFiles(tensors, weights, beside);
  }
}
