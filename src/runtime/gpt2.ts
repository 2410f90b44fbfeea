/**
 * GPT-2 whole: the network with its files, its tokenizer and its voice.
 *
 * @module
 */
import { type DType, isQuantized } from "../core/dtype.ts";
import { FormatError, OptionError, throwIfAborted } from "../core/errors.ts";
import { checkOptions, demandObject } from "../core/options.ts";
import { checkTogether, type SafetensorsFile } from "../files/mod.ts";
import {
  Batcher,
  type BatcherOptions,
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
import { generationJson } from "../generate/generation_config.ts";
import { checkVocabulary } from "../generate/given.ts";
import {
  checkpointName,
  configJson,
  digestNote,
  expectedTensors,
  type GPT2Cache,
  gpt2Config,
  GPT2Model,
  layOutWeight,
  layOutWeights,
  matchNames,
  parseConfig,
} from "../models/mod.ts";
import { init, isParameter, type Module, parameter } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import { type Tokenizer, tokenizerConfig } from "../text/mod.ts";
import { type DeviceChoice, readyDevice } from "./choose_device.ts";
import { areDeterministicAlgorithmsEnabled } from "./devices.ts";
import { emptyMatrix, heldAs, isTransposing, matrixToSave, readMatrix } from "./matrices.ts";
import {
  checkTokenizer,
  demandIds,
  demandList,
  generationOf,
  prepareAll,
  type Prepared,
} from "./model_generation.ts";
import { type LoadOptions, loadOptions, type SaveOptions, saveOptions } from "./gpt2_options.ts";
import { type FolderContents, jsonFile, type ModelFile } from "./model_files.ts";
import { type GivenFiles, openFolder, readJson } from "./model_folder.ts";
import { tensorToSave } from "./safetensors.ts";
import { modelFiles, writeModel } from "./save_weights.ts";
import { tokenizerOf } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

/**
 * A GPT-2 language model.
 *
 * ```ts
 * const model = await GPT2.load("web/models/shakespeare");
 * for await (const piece of model.generate("ROMEO:", { maxNewTokens: 100, temperature: 0.8 })) print(piece);
 * ```
 *
 * `new GPT2(config)` gives fresh weights, in training mode; `GPT2.load` a trained model, in evaluation mode.
 *
 * @category Models
 */
export class GPT2 extends GPT2Model {
  /** Text to ids and back, or null when the model has none: then prompts are ids. */
  tokenizer: Tokenizer | null = null;
  /** Why it is on its device, where `device: "auto"` chose. */
  deviceChoice: DeviceChoice | null = null;
  /** The model's own defaults for generation (its generation_config.json). */
  generationConfig: GenerateOptions = {};
  readonly #prefixes: PrefixStore<GPT2Cache> = new PrefixStore(
    () => [arithmetic, ...this.parameters().map((p) => p.storage)],
  );

  /**
   * Prompts that were computed before, from which the next ones go on where they begin alike. Null in training mode, where
   * dropout makes each pass another.
   */
  get prefixes(): PrefixStore<GPT2Cache> | null {
    return this.training ? null : this.#prefixes;
  }

  /** Gives all memory back, that of kept prompts too. The model cannot be used afterwards. */
  override dispose(): void {
    this.#prefixes.clear();
    super.dispose();
  }

  /**
   * Reads a Hugging Face GPT-2: a folder (in a page its address, "/model/"), a URL of one, a hub repository, or files at hand
   * (in a page, those of a folder that the visitor chose), with `model.safetensors` or its shards.
   *
   * @throws {FormatError} for files that are not a GPT-2, naming what is missing, unexpected and misshapen.
   * @throws {CancelledError} when `signal` was aborted.
   */
  static async load(where: string | URL | GivenFiles, options: LoadOptions = {}): Promise<GPT2> {
    const { dtype, device: wanted, onProgress, onWarning, config: changes, ...rest } = checkOptions(
      "GPT2.load",
      options,
      loadOptions,
    );
    const folder = await openFolder(where, {
      ...rest,
      ...(onProgress ? { onDownload: (file) => onProgress({ phase: "download", ...file }) } : {}),
    });
    const json = await readJson(folder, "config.json");
    if (json === null) {
      throw new FormatError(`${folder.name} holds no config.json; it is not a model's folder`);
    }
    const config = gpt2Config({ ...parseConfig(json, `${folder.name}/config.json`), ...changes });
    const generation = await generationOf(folder, config);
    const file = await openWeights(folder);
    let model: GPT2 | null = null;
    try {
      const noted = (json as Record<string, unknown>)[digestNote];
      checkTogether(
        `${folder.name}/config.json`,
        typeof noted === "string" ? noted : null,
        "the weights",
        file.digest,
      );
      // Before anything of the model's size is made.
      const offered = file.names.map((name) => file.info(name));
      const names = matchNames(offered, expectedTensors(config), config.tieWordEmbeddings, folder.name);
      const { device, choice } = await readyDevice(wanted, config);
      const stored = new Set<string>(offered.map(({ dtype }) => dtype));
      const like = (["q8", "q4", "f16", "bf16"] as const).find((d) => stored.has(d));
      const made = dtype ?? like ?? "f32";
      model = init.withoutInit(() => new GPT2(config, { ...(device ? { device } : {}), dtype: made }));
      await model.#read(file, names, folder.name, dtype, onProgress, options.signal);
      if (model.parameters().some((p) => isQuantized(p.dtype))) {
        for (const p of model.parameters()) if (p.requiresGrad) p.requiresGrad_(false);
      }
      layOutWeights(model);
      model.deviceChoice = choice;
      model.tokenizer = checkTokenizer(await tokenizerOf(folder), config, folder.name, onWarning);
      model.generationConfig = generation;
      return model.eval();
    } catch (error) {
      model?.dispose();
      throw error;
    } finally {
      await file.close();
    }
  }

  async #read(
    file: SafetensorsFile,
    names: ReadonlyMap<string, string>,
    where: string,
    dtype: DType | undefined,
    onProgress: LoadOptions["onProgress"],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const total = [...names.values()].reduce((sum, name) => sum + file.info(name).byteLength, 0);
    let loaded = 0, read: Module & { weight?: unknown } | null = null;
    for (const [path, module] of this.namedModules()) {
      const holder = module as unknown as Record<string, unknown>;
      for (const [key, value] of Object.entries(holder)) {
        if (!isParameter(value)) continue;
        throwIfAborted(signal, `loading ${where}`);
        const name = names.get(path ? `${path}.${key}` : key) as string, info = file.info(name);
        const transposing = isTransposing(module, value);
        // Vectors (biases, norms) stay f32: they are small, and every kernel reads them so. What is made quantised was
        // decided when the model was.
        const wanted = value.shape.length < 2
          ? "f32"
          : dtype === undefined
          ? heldAs(info, value.dtype, transposing)
          : isQuantized(dtype)
          ? value.dtype
          : dtype;
        const target = wanted === value.dtype
          ? value
          : replaceParameter(holder, key, value, emptyMatrix(value, wanted, transposing));
        const reading = readMatrix(file, name, target, transposing);
        // While the system reads, the layer that is there is laid out.
        if (read && read.weight !== target && total < mostAside && isSteady(target)) layOutWeight(read);
        await reading;
        read = module;
        onProgress?.({ phase: "read", loaded: loaded += info.byteLength, total });
      }
    }
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
    const ids = this.encode(prompt), begin = this.config.bosTokenId;
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
  batcher(options: BatcherOptions = {}): Batcher<GPT2Cache> {
    return new Batcher(this, options);
  }

  /** The ids of prompts, and their settled options, for {@link GPT2.batcher}; in slices, so that a server goes on. */
  prepare(
    prompts: readonly (string | readonly number[])[],
    options: GenerateOptions = {},
  ): Promise<Prepared> {
    const settled = resolveOptions(options, this.generationConfig);
    checkVocabulary(options, this.config.vocabSize);
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
    checkVocabulary(options, this.config.vocabSize);
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
    checkVocabulary(options, this.config.vocabSize);
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
   * Writes a folder that Hugging Face transformers reads: config.json, model.safetensors (or shards),
   * generation_config.json, and the tokenizer's files. They replace the model that is there all at once or not at all;
   * other files stay.
   *
   * Weights stored as q8 or q4 are for this library: the file is safetensors and keeps its names, but transformers has no
   * name for blocks. Loaded again they are the same bytes.
   */
  async save(dir: string | URL, options: SaveOptions = {}): Promise<void> {
    const { tensors, weights, beside } = this.#folder("GPT2.save", options);
    await writeModel(dir, tensors, weights, beside);
  }

  /**
   * The files that {@link save} writes, for where there is no disk: a page's download, an archive. Weights are read when
   * it is their turn.
   */
  files(options: SaveOptions = {}): ModelFile[] {
    const { tensors, weights, beside } = this.#folder("GPT2.files", options);
    return modelFiles(tensors, weights, beside);
  }

  #folder(what: string, options: SaveOptions): FolderContents {
    const { dtype, shardSize } = checkOptions(what, options, saveOptions);
    const transposing = new Set(
      this.namedModules().flatMap(([, module]) =>
        module.parameters().filter((p) => isTransposing(module, p))
      ),
    );
    const tensors = this.namedParameters().map(([name, p]) => {
      const own = checkpointName(name, this.config.tieWordEmbeddings);
      if (p.shape.length < 2) return tensorToSave(own, p);
      const wanted = p === this.wpe.weight && dtype && isQuantized(dtype) ? "f32" : dtype ?? p.dtype;
      return matrixToSave(own, p, wanted, transposing.has(p));
    });
    const blocks = tensors.map((t) => t.dtype).find((d) => isQuantized(d as DType));
    const stored = (blocks ?? (dtype && !isQuantized(dtype) ? dtype : this.wte.weight.dtype)) as DType;
    const { bosTokenId, eosTokenId } = this.config;
    const config = configJson(this.config, stored);
    const beside = [
      jsonFile("config.json", (digest: string) => ({ ...config, [digestNote]: digest })),
      jsonFile("generation_config.json", {
        ...(bosTokenId === null ? {} : { bos_token_id: bosTokenId }),
        ...(eosTokenId === null ? {} : { eos_token_id: eosTokenId }),
        ...generationJson(this.generationConfig),
      }),
    ];
    if (this.tokenizer) {
      beside.push(
        jsonFile("tokenizer.json", this.tokenizer.toJSON()),
        jsonFile("tokenizer_config.json", tokenizerConfig(this.tokenizer, this.config.nPositions)),
      );
    }
    return {
      tensors,
      weights: { metadata: { format: "pt" }, ...(shardSize === undefined ? {} : { shardSize }) },
      beside,
    };
  }
}

/** Bytes of weights up to which none are moved out of the device's memory while others are read into it. */
const mostAside = 2 ** 31;

/** Whether memory that is being read into stays where it is when more is taken. */
function isSteady({ backend, buffer }: Tensor): boolean {
  return typeof SharedArrayBuffer !== "undefined" &&
    backend.mapped?.(buffer).buffer instanceof SharedArrayBuffer;
}

/** What is computed with other arithmetic has other bits: positions are kept apart by it as by the weights. */
const arithmetic = {
  get version(): number {
    return areDeterministicAlgorithmsEnabled() ? 1 : 0;
  },
};

function replaceParameter(holder: Record<string, unknown>, key: string, old: Tensor, memory: Tensor): Tensor {
  const made = parameter(memory);
  holder[key] = made;
  old.dispose();
  return made;
}
