/**
 * A network of a family, with its caches and its adapters: what of a model does not depend on text.
 *
 * @module
 */
import { demand, demandNoMore, demandPath } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { checkOption, demandObject } from "../core/options.ts";
import { flag, orNull, someText } from "../core/kinds.ts";
import { type BatchLanguageModel, PrefixStore } from "../generate/mod.ts";
import type { Family } from "../models/family.ts";
import type {
  CacheDType,
  CausalCache,
  CausalNetwork,
  Ids,
  ModelLossOptions,
  SeenOptions,
} from "../models/mod.ts";
import { withoutInit } from "../nn/init.ts";
import * as lora from "../nn/lora.ts";
import type { AdapterSet, Lora } from "../nn/lora.ts";
import { Module } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import type { Openable } from "../platform/platform.ts";
import { adaptedModel, rowsByStamp, type Stamp } from "./adapted_model.ts";
import type { Adapted, LoadAdapterOptions, SaveAdapterOptions } from "./adapters.ts";
import { areDeterministicAlgorithmsEnabled } from "./devices.ts";
import type { GivenFiles } from "./model_folder.ts";
import { readInto, tensorToSave } from "./safetensors.ts";
import { writeBeside } from "./save_weights.ts";

/** What is computed with other arithmetic has other bits: positions are kept apart by it as by the weights. */
const arithmetic = {
  get version(): number {
    return areDeterministicAlgorithmsEnabled() ? 1 : 0;
  },
};

/** Whether there are several caches, one a text. */
function isList(cache: CausalCache | readonly CausalCache[] | undefined): cache is readonly CausalCache[] {
  return Array.isArray(cache);
}

/**
 * A network of any family with what it takes to compute: caches of positions, adapters. {@link TextModel} adds text.
 *
 * @category Models
 */
export abstract class NetworkModel<N extends CausalNetwork = CausalNetwork> extends Module
  implements BatchLanguageModel<CausalCache> {
  /** The network: token ids to logits. Its parameters are the model's, under the checkpoint's names. */
  readonly network: N;
  readonly #family: Family<N["config"], N>;
  /** What caches were made for, of models with adapters. */
  readonly #stamps: WeakMap<CausalCache, Stamp> = new WeakMap();
  /** Positions that were computed with each adapter, and with none. */
  readonly #prefixes: Map<Lora | null, PrefixStore<CausalCache>> = new Map();

  /**
   * A network of a family.
   * @internal
   */
  constructor(network: N, family: Family<N["config"], N>) {
    demandNoMore(arguments, 2, "NetworkModel");
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

  /**
   * What loading and saving know of its family.
   * @internal
   */
  protected get kind(): Family<N["config"], N> {
    return this.#family;
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

  /**
   * Whether nothing is kept in training of what a layer computes but what went into it: going back, it is computed again
   * (transformers' `gradient_checkpointing`). The gradients are the same, bit for bit, for a third more work and much less memory.
   * Default false.
   * @throws {OptionError} for what is neither true nor false.
   */
  get gradientCheckpointing(): boolean {
    return this.network.gradientCheckpointing;
  }

  set gradientCheckpointing(on: boolean) {
    checkOption("gradientCheckpointing", "on", on, flag);
    this.network.gradientCheckpointing = on;
  }

  /** Tokens that the network knows; a tokenizer may have fewer. */
  get vocabSize(): number {
    return this.network.vocabSize;
  }

  /** The longest sequence. */
  get contextLength(): number {
    return this.network.contextLength;
  }

  /**
   * How long a text of `length` positions may become without what was computed of it being computed again.
   * @internal
   */
  reach(length: number): number {
    return this.network.reach?.(length) ?? this.contextLength;
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
    demandNoMore(arguments, 0, "namedChildren");
    return this.network.namedChildren();
  }

  /** This model, its network, and all modules below, with their paths. */
  override namedModules(prefix = ""): [string, Module][] {
    demandNoMore(arguments, 1, "namedModules");
    return [[prefix, this], ...this.network.namedModules(prefix)];
  }

  /** Its adapters; null while there are none. */
  get #adapters(): AdapterSet | null {
    for (const [, module] of this.network.namedModules()) {
      const { adapters } = module as { adapters?: { set: AdapterSet } | null };
      if (adapters) return adapters.set;
    }
    return null;
  }

  /**
   * Reads an adapter in a GGUF; null where the class reads none.
   * @internal
   */
  get openGguf(): Adapted["openGguf"] {
    return null;
  }

  /** What reading and writing adapters works on, and with. */
  get #adapted() {
    const { network } = this, family: Family<object> = this.#family as Family<object>;
    return {
      network,
      family,
      lora,
      withoutInit,
      readInto,
      tensorToSave,
      writeBeside,
      openGguf: this.openGguf,
    };
  }

  /** @throws {OptionError} where the model has no adapter. */
  #demandAdapters(what: string): AdapterSet {
    const set = this.#adapters;
    if (set) return set;
    throw new OptionError(
      `${what}: the model has no adapters; loadAdapter(dir) or nn.lora(model) gives it one`,
    );
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
   * does what is not honoured here.
   * @throws {OptionError} for a name that is taken.
   */
  async loadAdapter(
    where: string | URL | GivenFiles | Openable,
    options: LoadAdapterOptions = {},
  ): Promise<Lora> {
    demandNoMore(arguments, 2, "loadAdapter");
    const { loadAdapter } = await import("./adapters.ts");
    return await loadAdapter(this.#adapted, where, options);
  }

  /**
   * Puts an adapter into use, by the name it was loaded or made under, or none. Nothing is read or copied.
   * @throws {OptionError} for a name that there is not, and while an adapter is merged.
   */
  setAdapter(name: string | null): void {
    demandNoMore(arguments, 1, "setAdapter");
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
    demandNoMore(arguments, 0, "mergeAdapter");
    this.#demandAdapters("mergeAdapter").merge("mergeAdapter", this.network);
  }

  /**
   * Puts the weights back that were there before, bit for bit.
   * @throws {OptionError} when no adapter is merged.
   */
  unmergeAdapter(): void {
    demandNoMore(arguments, 0, "unmergeAdapter");
    const set = this.#demandAdapters("unmergeAdapter");
    if (!set.merged) throw new OptionError("unmergeAdapter: no adapter is merged");
    set.unmerge();
  }

  /**
   * Takes an adapter away and gives its memory back.
   * @throws {OptionError} while it is merged, and for an unknown name.
   */
  deleteAdapter(name: string): void {
    demandNoMore(arguments, 1, "deleteAdapter");
    const set = this.#demandAdapters("deleteAdapter"), adapter = set.get("deleteAdapter", name);
    set.remove("deleteAdapter", this.network, adapter);
    this.#prefixes.get(adapter)?.clear();
    this.#prefixes.delete(adapter);
  }

  /**
   * Writes an adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors`, both at once or not at all.
   * @throws {OptionError} when none is in use and none is named.
   * @throws {FerrotypeError} for a folder that is there already or cannot be written.
   */
  async saveAdapter(dir: string | URL, options: SaveAdapterOptions = {}): Promise<void> {
    demandNoMore(arguments, 2, "saveAdapter");
    demandPath("saveAdapter", dir);
    const { saveAdapter } = await import("./adapters.ts");
    await saveAdapter(this.#adapted, dir, options);
  }

  /**
   * The adapter called `name`, with those beside it; undefined: the one in use. Null where the model has none.
   * @internal
   */
  protected stamp(what: string, name: string | null | undefined): Stamp | null {
    const set = this.#adapters;
    if (!set) {
      if (typeof name === "string") this.#demandAdapters(what);
      return null;
    }
    if (name === undefined) return { set, adapter: set.active };
    return { set, adapter: name === null ? null : set.get(what, name) };
  }

  /**
   * What a cache was made for, of a model with adapters.
   * @internal
   */
  protected stampOf(cache: CausalCache): Stamp | undefined {
    return this.#stamps.get(cache);
  }

  /** Runs `f` with the adapter that `cache` was made for. */
  #under<T>(cache: CausalCache | undefined, f: () => T): T {
    const stamp = cache && this.#stamps.get(cache);
    return stamp ? stamp.set.using(stamp.adapter, f) : f();
  }

  /**
   * The model with the adapter of this name, or none, whatever other texts use.
   * @internal
   */
  adapted(name: string | null): BatchLanguageModel<CausalCache> {
    demandNoMore(arguments, 1, "adapted");
    const stamp = this.stamp("adapter", name);
    if (!stamp) return this;
    return adaptedModel(this, stamp, () => this.training ? null : this.#prefixesOf(stamp.adapter));
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

  /** Gives all memory back, that of kept prompts too. The model cannot be used afterwards. */
  override dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    for (const prefixes of this.#prefixes.values()) prefixes.clear();
    this.#adapters?.unmerge();
    this.network.dispose();
  }

  /**
   * An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. As f16 or bf16 it takes half
   * the memory of f32, the default; as q8 a little more than a quarter, where heads are a multiple of 32 wide.
   *
   * What goes through it is computed with the adapter named `adapter` (null: with none), by default the one that is in use now,
   * whatever is in use later.
   *
   * @throws {OptionError} for sizes that are no whole numbers above 0, and an adapter that there is not.
   * @throws {DTypeError} for other dtypes.
   * @throws {ShapeError} for a batch or a capacity that is no whole number from 0.
   */
  createCache(
    batch = 1,
    capacity: number = this.contextLength,
    options: { dtype?: CacheDType; adapter?: string | null } = {},
  ): ReturnType<N["createCache"]> {
    demandNoMore(arguments, 3, "createCache");
    const { adapter, ...rest } = demandObject("createCache", options, {
      dtype: 0,
      adapter: 0,
    }) as typeof options;
    if (adapter !== undefined) checkOption("createCache", "adapter", adapter, orNull(someText));
    const stamp = this.stamp("createCache", adapter);
    const cache = this.network.createCache(batch, capacity, rest) as ReturnType<N["createCache"]>;
    if (stamp) this.#stamps.set(cache, stamp);
    return cache;
  }

  /**
   * Logits [batch, time, vocab] for ids [batch, time] (or [time]: batch 1).
   *
   * With a cache, ids are what follows the positions it holds; with a list of caches, each of one text, row i of the ids follows
   * those in cache i, however long that text is, and gives what it would give alone. `lastOnly` computes the logits of the
   * last position alone: [batch, 1, vocab]. `attentionMask` [batch, positions in the cache and in ids] is 0 where texts of
   * unequal length are padded: no other position looks there, and positions are counted without them, so that a row gives what
   * its text gives alone. What it gives at the padding means nothing. Or it is bool [batch, 1, time, positions]: true where a
   * position may look, if it comes later; `positionIds` [batch, time] then says which number each has in its own text. So several
   * texts can stand in one row.
   *
   * @throws {ShapeError} for more positions than the model has, an id outside the vocabulary, or a mask of another shape.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  forward(
    ids: Ids,
    options: { cache?: CausalCache | readonly CausalCache[]; lastOnly?: boolean } & SeenOptions = {},
  ): Tensor {
    demandNoMore(arguments, 2, "forward");
    const cache = options?.cache;
    if (!isList(cache)) return this.#under(cache, () => this.network.forward(ids, options));
    return rowsByStamp(
      ids,
      cache,
      (one) => this.#stamps.get(one),
      (ids, caches) => this.#under(caches[0], () => this.network.forward(ids, { ...options, cache: caches })),
    );
  }

  /**
   * What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds. With `depth`, what the
   * last norm makes of the first `depth` layers alone (0: of the embeddings): `logits` of that is what the model would say next
   * if it ended there (the logit lens).
   *
   * @throws {OptionError} for more layers than there are, and for `depth` beside a cache, which all layers fill.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  hidden(ids: Ids, options: { cache?: CausalCache; depth?: number } = {}): Tensor {
    demandNoMore(arguments, 2, "hidden");
    return this.#under(options?.cache, () => this.network.hidden(ids, options));
  }

  /**
   * Logits [.., vocab] for what comes out of the last norm, [.., width].
   * @throws {ShapeError} for a hidden state whose last dim is not the model's width.
   * @throws {DTypeError} for what is no tensor.
   */
  logits(hidden: Tensor): Tensor {
    demandNoMore(arguments, 1, "logits");
    return this.network.logits(hidden);
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count. `options` are those of `crossEntropy` that make another objective of it, and those
   * of {@link forward} that say what positions see, with targets alone.
   *
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions, and targets or options of other shapes.
   */
  loss(ids: Ids, targets?: Ids, options: ModelLossOptions = {}): Tensor {
    demandNoMore(arguments, 3, "loss");
    return this.network.loss(ids, targets, options);
  }

  /**
   * How much each position looks at each before it, for every layer or those of `layers`: [batch, heads, time, time], rows
   * of sum 1 (transformers' `output_attentions`). Computed for looking at: the layers themselves keep no such matrix.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  attentions(ids: Ids, options: { layers?: readonly number[] } = {}): Tensor[] {
    demandNoMore(arguments, 2, "attentions");
    return this.network.attentions(ids, options);
  }

  /**
   * Checks ids before they go to the device.
   * @throws {ShapeError} for an id outside the vocabulary.
   */
  checkIds(ids: Iterable<number>): void {
    demandNoMore(arguments, 1, "checkIds");
    this.network.checkIds(ids);
  }

  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string {
    demandNoMore(arguments, 0, "stepPlan");
    return this.network.stepPlan();
  }
}
