/**
 * A network with its files, its tokenizer and its voice: all of a causal language model that does not depend on its family.
 *
 * @module
 */
import { demand } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { checkOptions, demandObject } from "../core/options.ts";
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
  PrefixStore,
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
import { hubOptions } from "../hub/options.ts";
import type { Family } from "../models/family.ts";
import type { CacheDType, CausalCache, CausalNetwork, Ids } from "../models/mod.ts";
import { Module } from "../nn/mod.ts";
import type { AdapterSet, Lora } from "../nn/lora.ts";
import type { Openable } from "../platform/platform.ts";
import type { Tensor } from "../ops/mod.ts";
import type { Tokenizer } from "../text/mod.ts";
import type { LoadAdapterOptions, SaveAdapterOptions } from "./adapters.ts";
import type { DeviceChoice } from "./choose_device.ts";
import { areDeterministicAlgorithmsEnabled } from "./devices.ts";
import type { SaveOptions } from "./load_options.ts";
import { demandIds, demandList, prepareAll, type Prepared } from "./model_generation.ts";
import { contentsOf } from "./model_contents.ts";
import { type Companions, companionsIn, tokenizerBeside } from "./companions.ts";
import type { ModelFile } from "./model_files.ts";
import { type FolderOptions, type GivenFiles, openFolder } from "./model_folder.ts";
import { modelFiles, writeModel } from "./save_weights.ts";
import { tokenizerOf } from "./tokenizer.ts";

/**
 * A causal language model: a network of any family ({@link CausalLM.load} makes one of files, {@link GPT2} is one), with
 * what it takes to read and write text.
 *
 * @category Models
 */
export class TextModel<N extends CausalNetwork = CausalNetwork> extends Module
  implements BatchLanguageModel<CausalCache> {
  /** The network: token ids to logits. Its parameters are the model's, under the checkpoint's names. */
  readonly network: N;
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
  readonly #family: Family<N["config"], N>;
  /** Positions that were computed with each adapter, and with none. */
  readonly #prefixes: Map<Lora | null, PrefixStore<CausalCache>> = new Map();

  /**
   * A network of a family, without a tokenizer.
   * @internal
   */
  constructor(network: N, family: Family<N["config"], N>) {
    super();
    const isWhole = network instanceof Module && typeof family?.type === "string";
    demand(
      "new TextModel",
      "what is given",
      network,
      isWhole,
      "a network and its family; call CausalLM.load or new GPT2",
    );
    this.network = network;
    this.#family = family;
  }

  /** The family's name, as `model_type` of `config.json` has it: "gpt2", "llama", "qwen3" … */
  get family(): string {
    return this.#family.type;
  }

  /** Sizes and choices of the network. */
  get config(): N["config"] {
    return this.network.config;
  }

  /** Layers. */
  get layers(): number {
    return this.network.depth;
  }

  /** Heads of queries in a layer. */
  get heads(): number {
    return this.network.heads;
  }

  /** Tokens that the network knows; a tokenizer may have fewer. */
  get vocabSize(): number {
    return this.network.vocabSize;
  }

  /** The longest sequence. */
  get contextLength(): number {
    return this.network.contextLength;
  }

  /** Where it computes. */
  get device(): DeviceName {
    return this.network.embeddings.device;
  }

  /** What its token embeddings, and most of its matrices, are held as. */
  get dtype(): DType {
    return this.network.embeddings.dtype;
  }

  /** The network's own children: its parameters have the checkpoint's names. */
  override namedChildren(): [string, Module][] {
    return this.network.namedChildren();
  }

  /** This model, its network, and all modules below, with their paths. */
  override namedModules(prefix = ""): [string, Module][] {
    return [[prefix, this], ...this.network.namedModules(prefix)];
  }

  /**
   * Prompts that were computed before, from which the next ones go on where they begin alike. Null in training mode, where
   * dropout makes each pass another.
   */
  get prefixes(): PrefixStore<CausalCache> | null {
    return this.training ? null : this.#prefixesOf(this.#adapters?.active ?? null);
  }

  #prefixesOf(adapter: Lora | null): PrefixStore<CausalCache> {
    let found = this.#prefixes.get(adapter);
    if (!found) {
      found = new PrefixStore(() => [arithmetic, ...this.parameters().map((p) => p.storage)]);
      this.#prefixes.set(adapter, found);
    }
    return found;
  }

  /** Its adapters; null while there are none. */
  get #adapters(): AdapterSet | null {
    for (const [, module] of this.network.namedModules()) {
      const { adapters } = module as { adapters?: { set: AdapterSet } | null };
      if (adapters) return adapters.set;
    }
    return null;
  }

  /** @throws {OptionError} where the model has no adapter. */
  #demandAdapters(what: string): AdapterSet {
    const set = this.#adapters;
    if (set) return set;
    throw new OptionError(`${what}: the model has no adapters; loadAdapter(dir) or nn.lora(model) gives it one`);
  }

  /** The names of its adapters. */
  get adapters(): string[] {
    return [...this.#adapters?.all.keys() ?? []];
  }

  /** The name of the adapter in use; null for none. */
  get adapter(): string | null {
    return this.#adapters?.active?.name ?? null;
  }

  /** Whether the adapter in use is in the weights. */
  get isMerged(): boolean {
    return (this.#adapters?.merged ?? null) !== null;
  }

  /**
   * Reads a LoRA adapter: a folder, URL or hub repository as PEFT writes it (`adapter_config.json`,
   * `adapter_model.safetensors`), files at hand, or a GGUF of llama.cpp's. It stands beside the weights, which stay as they
   * are and learn no more. The first one is in use at once; others wait for {@link setAdapter}.
   *
   * @throws {FormatError} for an adapter of another model, listing what is missing, unexpected and misshapen, and for one that
   * does what is not honoured here. @throws {OptionError} for a name that is taken.
   */
  async loadAdapter(
    where: string | URL | GivenFiles | Openable,
    options: LoadAdapterOptions = {},
  ): Promise<Lora> {
    const { loadAdapter } = await import("./adapters.ts");
    return await loadAdapter({ network: this.network, family: this.#family }, where, options);
  }

  /**
   * Puts an adapter into use, by the name it was loaded or made under, or none. Nothing is read or copied.
   * @throws {OptionError} for a name that there is not, and while an adapter is merged.
   */
  setAdapter(name: string | null): void {
    if (name === null) return void this.#adapters?.activate("setAdapter", null);
    const set = this.#demandAdapters("setAdapter");
    set.activate("setAdapter", set.get("setAdapter", name));
  }

  /**
   * Puts the adapter in use into the weights, so that it costs no time; {@link save} writes them so. The weights before are
   * kept for {@link unmergeAdapter}; layers in blocks (q8, q4 …) become f32, as blocks would lose what was learned.
   * @throws {OptionError} when there is none in use, or one is merged.
   */
  mergeAdapter(): void {
    this.#demandAdapters("mergeAdapter").merge("mergeAdapter", this.network);
  }

  /** Puts the weights back that were there before, bit for bit. @throws {OptionError} when no adapter is merged. */
  unmergeAdapter(): void {
    const set = this.#demandAdapters("unmergeAdapter");
    if (!set.merged) throw new OptionError("unmergeAdapter: no adapter is merged");
    set.unmerge();
  }

  /** Takes an adapter away and gives its memory back. @throws {OptionError} while it is merged, and for an unknown name. */
  deleteAdapter(name: string): void {
    const set = this.#demandAdapters("deleteAdapter"), adapter = set.get("deleteAdapter", name);
    set.remove("deleteAdapter", this.network, adapter);
    this.#prefixes.get(adapter)?.clear();
    this.#prefixes.delete(adapter);
  }

  /**
   * Writes an adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`, both at once or not at all.
   * @throws {OptionError} when none is in use and none is named.
   */
  async saveAdapter(dir: string | URL, options: SaveAdapterOptions = {}): Promise<void> {
    const { saveAdapter } = await import("./adapters.ts");
    await saveAdapter({ network: this.network, family: this.#family }, dir, options);
  }

  /** Gives all memory back, that of kept prompts too. The model cannot be used afterwards. */
  override dispose(): void {
    for (const prefixes of this.#prefixes.values()) prefixes.clear();
    this.#adapters?.unmerge();
    this.network.dispose();
  }

  /**
   * An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. As f16 or bf16 it takes half
   * the memory of f32, the default; as q8 a little more than a quarter, where heads are a multiple of 32 wide.
   *
   * @throws {OptionError} for sizes that are no whole numbers above 0. @throws {DTypeError} for other dtypes.
   */
  createCache(
    batch = 1,
    capacity: number = this.contextLength,
    options: { dtype?: CacheDType } = {},
  ): ReturnType<N["createCache"]> {
    return this.network.createCache(batch, capacity, options) as ReturnType<N["createCache"]>;
  }

  /**
   * Logits [batch, time, vocab] for ids [batch, time] (or [time]: batch 1).
   *
   * With a cache, ids are what follows the positions it holds. `lastOnly` computes the logits of the last position
   * alone: [batch, 1, vocab]. `attentionMask` [batch, positions in the cache and in ids] is 0 where texts of unequal length
   * are padded: no other position looks there, and positions are counted without them, so that a row gives what its text
   * gives alone. What it gives at the padding means nothing.
   *
   * @throws {ShapeError} for more positions than the model has, an id outside the vocabulary, or a mask of another shape.
   */
  forward(
    ids: Ids,
    options: { cache?: CausalCache; lastOnly?: boolean; attentionMask?: Ids } = {},
  ): Tensor {
    return this.network.forward(ids, options);
  }

  /**
   * The next position of several texts at once, each of its own length: logits [rows, vocab] for `ids[i]`, which
   * follows the positions in `caches[i]` (a cache of one text). What a row gives does not depend on the others.
   *
   * @throws {ShapeError} when a text has no positions left, or the lists differ in length.
   */
  forwardRows(ids: readonly number[], caches: readonly CausalCache[]): Tensor {
    return this.network.forwardRows(ids, caches);
  }

  /** What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds. */
  hidden(ids: Ids, options: { cache?: CausalCache } = {}): Tensor {
    return this.network.hidden(ids, options);
  }

  /** Logits [.., vocab] for what comes out of the last norm, [.., width]. */
  logits(hidden: Tensor): Tensor {
    return this.network.logits(hidden);
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count.
   */
  loss(ids: Ids, targets?: Ids): Tensor {
    return this.network.loss(ids, targets);
  }

  /**
   * How much each position looks at each before it, for every layer or those of `layers`: [batch, heads, time, time], rows
   * of sum 1 (transformers' `output_attentions`). Computed for looking at: the layers themselves keep no such matrix.
   */
  attentions(ids: Ids, options: { layers?: readonly number[] } = {}): Tensor[] {
    return this.network.attentions(ids, options);
  }

  /** Checks ids before they go to the device. @throws {ShapeError} for an id outside the vocabulary. */
  checkIds(ids: Iterable<number>): void {
    this.network.checkIds(ids);
  }

  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string {
    return this.network.stepPlan();
  }

  /** The ids of a prompt. @throws {OptionError} for what is no prompt, and for text without a tokenizer. */
  encode(prompt: string | readonly number[]): number[] {
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

  /** The ids to begin or go on with. A text of nothing begins at the end-of-text token, as texts did in training. */
  #promptIds(prompt: string | readonly number[], { cache }: GenerateOptions): number[] {
    const ids = this.encode(prompt), begin = this.#family.ends(this.config).bos;
    return prompt === "" && begin !== null && !cache?.ids.length ? [begin] : ids;
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
   */
  generate(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<string, GenerationResult> {
    if (!this.tokenizer) {
      throw new OptionError(
        "generate: this model has no tokenizer to make text with; use generateIds, or set model.tokenizer",
      );
    }
    const resolved = this.#resolve(options);
    return generateText(this, this.tokenizer, this.#promptIds(prompt, options), resolved);
  }

  /** Continues a prompt and gives the new text. */
  async complete(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<string> {
    for (const name of ["outputScores", "outputLogits", "returnDictInGenerate"] as const) {
      if ((options as Record<string, unknown> | null)?.[name] !== true) continue;
      throw new OptionError(
        `complete: ${name} has no effect because complete gives the text alone; use completion`,
      );
    }
    return (await this.completion(prompt, options)).text;
  }

  /**
   * Continues a prompt and yields token after token: its id, the text that became certain with it, and with
   * `{ logprobs: n }` its log-probability and the n likeliest tokens at its place.
   */
  stream(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<TokenPiece, GenerationResult> {
    const resolved = this.#resolve(options);
    return generatePieces(this, this.tokenizer, this.#promptIds(prompt, options), resolved);
  }

  /**
   * Continues a prompt and gives text, ids, the reason for the end, and times; with `logprobs`, `outputScores` or
   * `outputLogits` also those. Needs no tokenizer when given ids.
   */
  async completion(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): Promise<GenerationResult> {
    const resolved = this.#resolve(options);
    if (resolved.numReturnSequences > 1) {
      throw new OptionError(
        `completion gives one text, and numReturnSequences is ${resolved.numReturnSequences}; use completions`,
      );
    }
    return await generateWhole(this, this.tokenizer, this.#promptIds(prompt, options), resolved);
  }

  /** `numReturnSequences` continuations of a prompt: the best of a beam search, or draws. */
  async completions(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): Promise<GenerationResult[]> {
    const resolved = this.#resolve(options);
    return await generateMany(this, this.tokenizer, this.#promptIds(prompt, options), resolved);
  }

  /**
   * Continues several prompts together, each as it would be alone, and each to its own end. With a `seed` every prompt
   * has that seed.
   *
   * ```ts
   * const [a, b] = await model.completeBatch(["ROMEO:", "First Citizen:\nBefore"], { maxNewTokens: 50 });
   * ```
   */
  async completeBatch(
    prompts: readonly (string | readonly number[])[],
    options: GenerateOptions & BatcherOptions = {},
  ): Promise<GenerationResult[]> {
    demandObject("completeBatch", options, batcherOptions);
    demandList(prompts);
    const { maxBatch, prefillChunk, ...rest } = options;
    const resolved = await constrainedSoon(this.#resolve(rest), this.tokenizer);
    if (resolved.numReturnSequences > 1) {
      throw new OptionError("completeBatch gives one text for each prompt; leave numReturnSequences out");
    }
    const batcher = this.batcher({
      ...(maxBatch === undefined ? {} : { maxBatch }),
      // In one piece, as alone.
      prefillChunk: prefillChunk ?? this.contextLength,
    });
    const ids = prompts.map((prompt) => this.#promptIds(prompt, rest));
    return await Promise.all(
      ids.map((own) => runToEnd(textOfTokens(batcher.submit(own, resolved), this.tokenizer, own, resolved))),
    );
  }

  /** Something that runs many requests on this model, their steps taken together: for a server. */
  batcher(options: BatcherOptions = {}): Batcher<CausalCache> {
    return new Batcher(this, options);
  }

  /** The ids of prompts, and their settled options, for {@link TextModel.batcher}; in slices, so that a server goes on. */
  prepare(
    prompts: readonly (string | readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Prepared> {
    const settled = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    return prepareAll(
      prompts,
      settled,
      this.tokenizer,
      (p) => this.#promptIds(p, options),
      (p) => this.checkIds(p),
    );
  }

  #resolve(options: GenerateOptions): ResolvedOptions {
    const resolved = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    if (resolved.stop.length && !this.tokenizer) {
      throw new OptionError("generate: stop texts need a tokenizer");
    }
    return constrained(resolved, this.tokenizer);
  }

  /** Continues a prompt and yields token ids. */
  generateIds(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<number, FinishReason> {
    const resolved = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.vocabSize);
    if (resolved.stop.length) {
      throw new OptionError("generateIds: stop texts belong to generate, which makes text");
    }
    return this.#ids(generateTokens(this, this.#promptIds(prompt, options), resolved));
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
   */
  async loadTokenizer(where: string | URL | GivenFiles, options: FolderOptions = {}): Promise<Tokenizer> {
    const folder = await openFolder(where, checkOptions("loadTokenizer", options, hubOptions));
    const tokenizer = await tokenizerOf(folder);
    if (!tokenizer) throw new FormatError(`${folder.name} holds no tokenizer`);
    this.companions = await companionsIn(folder, tokenizer);
    return this.tokenizer = tokenizer;
  }

  /** The tokenizer's part of what {@link save} writes, as texts. */
  tokenizerFiles(): { name: string; content: string }[] {
    const { tokenizer, companions } = this;
    const files = tokenizer ? tokenizerBeside(tokenizer, companions, this.contextLength) : [];
    return files.map(({ name, content }) => ({ name, content: content("") }));
  }

  /** What config.json says of it, but for what its weights are held as. */
  toConfig(): Record<string, unknown> {
    const { torch_dtype: _, dtype: _d, ...json } = this.#family.json(this.config, "f32");
    return json;
  }

  /**
   * Writes a folder that Hugging Face transformers reads: config.json, model.safetensors (or shards),
   * generation_config.json, and the tokenizer's files. They replace the model that is there all at once or not at all;
   * other files stay.
   *
   * Weights stored as q8 or q4 are for this library: the file is safetensors and keeps its names, but transformers has no
   * name for blocks. Loaded again they are the same bytes.
   */
  async save(dir: string | URL, options: SaveOptions = {}): Promise<void> {
    const { tensors, weights, beside } = contentsOf(this, this.#family, "save", options);
    await writeModel(dir, tensors, weights, beside);
  }

  /**
   * The files that {@link save} writes, for where there is no disk: a page's download, an archive. Weights are read when
   * it is their turn.
   */
  files(options: SaveOptions = {}): ModelFile[] {
    const { tensors, weights, beside } = contentsOf(this, this.#family, "files", options);
    return modelFiles(tensors, weights, beside);
  }
}

/** What is computed with other arithmetic has other bits: positions are kept apart by it as by the weights. */
const arithmetic = {
  get version(): number {
    return areDeterministicAlgorithmsEnabled() ? 1 : 0;
  },
};
