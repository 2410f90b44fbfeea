/**
 * What all causal language models do alike, whatever they are made of: ids in, logits out, with caches, masks, several texts at
 * once, losses and compiled steps. A family says how ids become what comes out of its last norm ({@link CausalModel.through}),
 * once; prompts, steps, batches of unequal texts and training all go that way.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { counted, show } from "../core/show.ts";
import { type LayerOptions, Module } from "../nn/mod.ts";
import { probabilities } from "../nn/probabilities.ts";
import { alias } from "../ops/bridge.ts";
import { concat, contiguous, crossEntropy, reshape, slice, type Tensor } from "../ops/mod.ts";
import { checkpoint } from "../ops/transforms/checkpoint.ts";
import { activeCapture, isRecording, keep, noGrad, tidy } from "../tensor/mod.ts";
import { type CacheDType, CausalCache, endOfPrompt } from "./cache.ts";
import { DecodingStep, DecodingSteps, type Pass } from "./decoding.ts";
import { checkIds, idsAsTensor, idsOfStep } from "./ids.ts";
import type { CausalNetwork, Ids, ModelLossOptions, SeenOptions } from "./network.ts";
import { paddingOf } from "./padding.ts";
import { type Place, placeBehind, placeOfRows } from "./place.ts";
import type { Stage } from "./stage.ts";

/**
 * A causal language model; `C` is its cache.
 *
 * @category Models
 */
export abstract class CausalModel<C extends CausalCache = CausalCache> extends Module
  implements CausalNetwork {
  /** Sizes and choices. */
  abstract readonly config: object;
  /** Its layers. */
  abstract get depth(): number;
  /** Heads of queries in a layer. */
  abstract get heads(): number;
  /** Tokens that it knows. */
  abstract get vocabSize(): number;
  /** The longest sequence. */
  abstract get contextLength(): number;
  /** Token embeddings, [vocab, width]. */
  abstract get embeddings(): Tensor;
  /** Its name in messages. */
  protected abstract get title(): string;
  readonly #steps = new DecodingSteps();
  /**
   * Whether nothing is kept in training of what a layer computes but what went into it: going back, it is computed again
   * (transformers' `gradient_checkpointing`). The same gradients, bit for bit, for a third more work and much less memory.
   */
  gradientCheckpointing = false;

  /**
   * Where it stands, if others compute the layers before or after its own.
   * @internal
   */
  stage: Stage | null = null;

  /** What the first layer begins with: what `embed` makes of ids, or what the layers before gave. */
  protected begin(ids: Tensor, embed: () => Tensor): Tensor {
    return this.stage === null || this.stage.isFirst ? embed() : this.stage.enter(ids.shape[1]);
  }

  /** What comes of the last layer: what `f` makes of it, a norm or the logits, unless other layers come after. */
  protected end(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
    return this.stage === null || this.stage.isLast ? f(x) : x;
  }

  /** An empty cache of its own. */
  protected abstract cacheOf(batch: number, capacity: number, options: LayerOptions): C;

  /**
   * Ids [batch, time] → what comes out of the last norm, [batch, time, width]; of the first `depth` layers alone where given.
   * @internal
   */
  abstract through(ids: Tensor, place: Place, depth?: number): Tensor;

  /**
   * Logits [.., vocab] for what comes out of the last norm, [.., width].
   * @throws {ShapeError} for a hidden state whose last dim is not the model's width.
   * @throws {DTypeError} for what is no tensor.
   */
  abstract logits(hidden: Tensor): Tensor;

  /** What `f`, a layer, gives for x and the tensors that it needs besides, which are not kept of it where that was asked for. */
  protected layer(
    x: Tensor,
    place: Place,
    others: readonly Tensor[],
    f: (x: Tensor, place: Place, others: readonly Tensor[]) => Tensor,
  ): Tensor {
    activeCapture()?.guard(this, "gradientCheckpointing", () => this.gradientCheckpointing);
    const { held } = place, isKept = !this.gradientCheckpointing || !this.training || !isRecording();
    if (isKept || !held) return f(x, place, others);
    return checkpoint((x: Tensor, ...rest: Tensor[]) =>
      f(x, place.holding(rest.slice(others.length)), rest.slice(0, others.length))
    )(x, ...others, ...held);
  }

  /** Whether a layer attends to positions, rather than having states. */
  protected attends(_layer: number): boolean {
    return true;
  }

  /** Whether what it computes of a text depends on the text's length, so that a program is for one length alone. */
  protected get isCounting(): boolean {
    return false;
  }

  /**
   * What a compiled step of these caches depends on besides, and how long texts may become in it; null where they have to be
   * computed the ordinary way. `rows` are the ids that are about to be computed.
   */
  protected stepOf(_caches: readonly C[], _rows: readonly (readonly number[])[] | Tensor): StepForm | null {
    return { kind: "", reach: this.contextLength };
  }

  /** Where it computes. */
  protected get device(): DeviceName {
    return this.embeddings.device;
  }

  /**
   * An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. As f16 or bf16 it takes half
   * the memory of f32, the default; as q8 a little more than a quarter, where heads are a multiple of 32 wide.
   *
   * @throws {OptionError} for sizes that are no whole numbers above 0.
   * @throws {DTypeError} for other dtypes.
   * @throws {ShapeError} for a batch or a capacity that is no whole number from 0.
   */
  createCache(batch = 1, capacity: number = this.contextLength, options: { dtype?: CacheDType } = {}): C {
    demandNoMore(arguments, 3, "createCache");
    for (const [name, value] of Object.entries({ batch, capacity })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new OptionError(`createCache: ${name} is ${show(value)}, expected a whole number above 0`);
      }
    }
    const { dtype = "f32" } = checkOptions("createCache", options, cacheOptions);
    return this.cacheOf(batch, capacity, { device: this.device, dtype });
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
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for ids that are not i32 or i64.
   */
  forward(
    ids: Ids,
    options: { cache?: C | readonly C[]; lastOnly?: boolean } & SeenOptions = {},
  ): Tensor {
    demandNoMore(arguments, 2, "forward");
    const { cache, attentionMask, positionIds, lastOnly } = checkOptions("forward", options, forwardOptions);
    if (this.stage && !this.stage.isInside) {
      return this.stage.forward(
        ids,
        options,
        (ids, options) => this.forward(ids, options as typeof options & { cache?: C }),
      );
    }
    const seen = attentionMask ?? positionIds ? { attentionMask, positionIds } : null;
    const caches = (cache === undefined ? [] : [cache].flat()) as unknown as readonly C[];
    this.#checkCaches(caches);
    const isRows = Array.isArray(cache);
    return tidy(() => {
      if (caches.some(({ states }) => states.length > 0)) this.#mark(ids, caches);
      const step = seen ? null : this.#compiled(ids, caches, isRows);
      if (step) return step;
      const all = this.ids(ids);
      if (isRows) return this.#ofRows(all, caches, lastOnly ?? false, seen !== null);
      const x = this.hiddenOf(all, caches[0] ?? null, seen);
      return this.logits(lastOnly ? contiguous(slice(x, null, [-1, null])) : x);
    });
  }

  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string {
    demandNoMore(arguments, 0, "stepPlan");
    this.#demandWhole("stepPlan");
    const cache = this.createCache(), { training } = this;
    try {
      this.eval();
      return noGrad(() => {
        const { kind, reach } = this.stepOf([cache], [[0]])!, step = this.#make([cache], 1, kind, reach);
        try {
          return step.plan();
        } finally {
          step.dispose();
        }
      });
    } finally {
      this.train(training);
      cache.dispose();
    }
  }

  /**
   * What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds. With `depth`, what the
   * last norm makes of the first `depth` layers alone (0: of the embeddings): `logits` of that is what the model would say next
   * if it ended there (the logit lens, nostalgebraist 2020).
   *
   * @throws {OptionError} for more layers than there are, and for `depth` beside a cache, which all layers fill.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  hidden(ids: Ids, options: { cache?: C; depth?: number } = {}): Tensor {
    demandNoMore(arguments, 2, "hidden");
    const { cache, depth } = checkOptions("hidden", options, hiddenOptions);
    if (this.stage && !this.stage.isInside && depth === undefined) {
      return this.stage.hidden(ids, () => this.hidden(ids, options));
    }
    if (depth !== undefined) this.#demandWhole("hidden with a depth");
    if (depth === undefined) {
      return tidy(() => {
        const given = this.ids(ids);
        cache?.mark(given.shape[1]);
        return this.hiddenOf(given, cache as C | undefined ?? null);
      });
    }
    if (cache) {
      throw new OptionError(
        "hidden: depth has no place beside a cache, which all layers fill; leave one out",
      );
    }
    if (depth > this.depth) {
      throw new OptionError(
        `hidden: depth is ${depth}, and ${this.title} has ${counted(this.depth, "layer")}`,
      );
    }
    return tidy(() => {
      const given = this.ids(ids);
      return this.through(given, this.#place(given, null), depth);
    });
  }

  /**
   * How much each position looks at each before it, for every layer that attends or those of `layers`: [batch, heads, time, time], rows
   * of sum 1 (transformers' `output_attentions`). Computed for looking at: the layers themselves keep no such matrix.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  attentions(ids: Ids, options: { layers?: readonly number[] } = {}): Tensor[] {
    demandNoMore(arguments, 2, "attentions");
    const all = Array.from({ length: this.depth }, (_, i) => i).filter((layer) => this.attends(layer));
    const { layers = all } = checkOptions("attentions", options, attentionsOptions);
    this.#demandWhole("attentions");
    for (const layer of layers) {
      if (all.includes(layer)) continue;
      throw new OptionError(
        layer < this.depth
          ? `attentions: layer ${layer} attends to nothing; those that do are ${all.join(", ")}`
          : `attentions: layer ${layer} is none of the ${this.depth} from 0`,
      );
    }
    const found = new Map<number, Tensor>();
    try {
      return noGrad(() =>
        tidy(() => {
          const given = this.ids(ids), place = this.#place(given, null);
          this.through(given, {
            ...place,
            attend: (layer) => (q, k, v, options) => {
              // Kept: it outlives what the layer tidies up.
              if (layers.includes(layer)) found.set(layer, keep(probabilities(q, k, options)));
              return place.attend(layer)(q, k, v, options);
            },
          }, 1 + Math.max(-1, ...layers));
          return layers.map((layer) => alias(found.get(layer)!));
        })
      );
    } finally {
      for (const kept of found.values()) kept.dispose();
    }
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count. `options` are those of `crossEntropy` that make another objective of it, and those
   * of {@link forward} that say what positions see, with targets alone.
   *
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions, and targets or options of other shapes.
   */
  loss(ids: Ids, targets?: Ids, options: ModelLossOptions = {}): Tensor {
    demandNoMore(arguments, 3, "loss");
    const { attentionMask, positionIds, ...objective } = checkOptions("loss", options, lossOptions);
    this.#demandWhole("loss");
    const seen = attentionMask ?? positionIds ? { attentionMask, positionIds } : null;
    if (seen && targets === undefined) {
      throw new OptionError(
        `loss: ${
          attentionMask ? "attentionMask" : "positionIds"
        } has no effect because it goes with targets; give them`,
      );
    }
    return tidy(() => {
      let x = this.ids(ids), y: Tensor;
      if (targets === undefined) {
        if (x.shape[1] < 2) {
          throw new ShapeError(`${this.title}: loss needs at least 2 tokens, not ${formatShape(x.shape)}`);
        }
        y = slice(x, null, [1, null]);
        x = slice(x, null, [0, -1]);
      } else y = idsAsTensor(this.title, this, targets, -100);
      return crossEntropy(
        reshape(this.logits(this.hiddenOf(x, null, seen)), [-1, this.vocabSize]),
        reshape(y, [-1]),
        objective,
      );
    });
  }

  /**
   * Ids as a tensor [batch, time] on the model's device, checked against the vocabulary where they are plain numbers.
   * @throws {DTypeError} for ids that are not i32 or i64.
   * @throws {ShapeError} for ids that are none of the vocabulary or no [batch, time], and more than the model has
   *   positions.
   */
  ids(ids: Ids): Tensor {
    demandNoMore(arguments, 1, "ids");
    return idsAsTensor(this.title, this, ids);
  }

  /**
   * How long a text of `length` positions may become without what was computed of it being computed again.
   * @internal
   */
  reach(_length: number): number {
    return this.contextLength;
  }

  /**
   * Checks ids before they go to the device.
   * @throws {ShapeError} for an id outside the vocabulary.
   */
  checkIds(ids: Iterable<number>): void {
    demandNoMore(arguments, 1, "checkIds");
    checkIds(this.title, this.vocabSize, ids);
  }

  /** What comes out of the last norm for ids that follow what a cache holds. */
  protected hiddenOf(ids: Tensor, cache: C | null, seen: SeenOptions | null = null): Tensor {
    const isStep = cache?.batch === 1 && ids.shape[1] === 1 && !seen && !this.training;
    const time = ids.shape[1], end = time - endOfPrompt;
    if (cache?.states.length && end > endOfPrompt && !seen && !activeCapture()) {
      // What a later text has in common with this one ends before its end, most often: states are kept there.
      const parts = [[0, end], [end, time]].map(([from, to]) => {
        cache.mark(to - from);
        const own = slice(ids, null, [from, to]);
        return this.through(own, this.#place(own, cache));
      });
      return concat(parts, 1);
    }
    if (!isStep || (activeCapture() && this.isCounting)) {
      return this.through(ids, this.#place(ids, cache, seen));
    }
    if (!activeCapture()) this.#demandPlace(cache.length + 1);
    return this.#step(ids, [cache]);
  }

  /** One position more of each text. */
  #step(ids: Tensor, caches: readonly C[], most: number = this.contextLength): Tensor {
    const x = this.through(ids, placeOfRows(caches, most, this.device));
    for (const cache of caches) cache.fill(1);
    return x;
  }

  /** Keeps states of layers before ids are computed. */
  #mark(ids: Ids, caches: readonly C[]): void {
    // What is no list is refused below.
    const { shape, length: rows = 1 } = Object(ids) as { shape?: readonly number[]; length?: number };
    const [first] = Array.isArray(ids) ? ids : [],
      time = shape?.at(-1) ?? (Array.isArray(first) ? first.length : rows);
    for (const cache of caches) cache.mark(time);
  }

  #checkCaches(caches: readonly C[]): void {
    for (const [i, { depth }] of caches.entries()) {
      if (depth !== this.depth) {
        throw new OptionError(
          `forward: cache has ${
            counted(depth, "layer")
          }, ${this.title} ${this.depth}; make it with createCache()`,
        );
      }
      if (caches.indexOf(caches[i]) < i) {
        throw new OptionError("forward: cache names one cache twice; each text has its own");
      }
    }
  }

  /** Rows of ids, each behind a cache of its own. */
  #ofRows(ids: Tensor, caches: readonly C[], lastOnly: boolean, isSeen: boolean): Tensor {
    const [rows, time] = ids.shape;
    if (rows !== caches.length || caches.some(({ batch }) => batch !== 1)) {
      throw new ShapeError(
        `${this.title}: ids of ${counted(rows, "text")} for ${
          counted(caches.length, "cache")
        }; give one of batch 1 for each`,
      );
    }
    if (isSeen) {
      throw new OptionError(
        "forward: attentionMask and positionIds have no place beside a list of caches, which say how long texts are",
      );
    }
    if (time === 1 && !this.training && !this.isCounting && caches.length > 0) {
      if (!activeCapture()) this.#demandPlace(1 + Math.max(...caches.map(({ length }) => length)));
      return this.logits(this.#step(ids, caches));
    }
    const each = caches.map((cache, i) => {
      // As it would be alone, to the bit.
      const own = slice(ids, [i, i + 1]), step = this.#compiled(own, [cache], false);
      if (step) return step;
      const x = this.hiddenOf(own, cache);
      return this.logits(lastOnly ? contiguous(slice(x, null, [-1, null])) : x);
    });
    return each.length === 1 ? each[0] : concat(each, 0);
  }

  /** By a program, where ids are one more of each text and doing it again saves anything: not for a gradient or in training. */
  #compiled(ids: Ids, caches: readonly C[], isRows: boolean): Tensor | null {
    const { backend } = this.embeddings;
    if (!caches.length || this.training || isRecording() || activeCapture() || !backend.capture) return null;
    const rows = isRows ? caches.length : caches[0].batch, given = idsOfStep(ids, rows, backend);
    const isFull = caches.some(({ length, capacity }) => length >= Math.min(capacity, this.contextLength));
    if (!given || isFull || (isRows && caches.some(({ batch }) => batch !== 1))) return null;
    const form = this.stepOf(caches, Array.isArray(given) ? given.map((id) => [id]) : given as Tensor);
    if (!form) return null;
    if (Array.isArray(given)) this.checkIds(given);
    const { kind, reach } = form;
    return this.#steps.of(caches, kind, () => this.#make(caches, rows, kind, reach)).next(given);
  }

  #make(caches: readonly C[], rows: number, kind: string, reach: number): DecodingStep {
    const isOne = caches.length === 1 && rows > 1;
    const pass: Pass = (ids) =>
      this.logits(
        isOne
          ? this.through(ids, placeBehind(caches[0], 1, reach, this.device))
          : this.#step(ids, caches, reach),
      );
    return new DecodingStep(this, caches, rows, kind, pass);
  }

  #demandWhole(what: string): void {
    if (this.stage === null) return;
    throw new OptionError(
      `${what}: the layers of this model are on several ranks, which give what comes of the last one alone`,
    );
  }

  #demandPlace(length: number): void {
    if (length <= this.contextLength) return;
    throw new ShapeError(
      `${this.title}: ${counted(length, "token")} are more than the ${
        counted(this.contextLength, "position")
      } of this model`,
    );
  }

  /** Where `ids` stand that follow what a cache holds. */
  #place(ids: Tensor, cache: C | null, seen: SeenOptions | null = null): Place {
    const [batch, time] = ids.shape, { device } = this, isCounted = seen !== null || this.isCounting;
    const start = !cache ? 0 : isCounted || !activeCapture() ? cache.length : null;
    if (start !== null) this.#demandPlace(start + time);
    const padding = seen &&
      paddingOf(seen, batch, time, start! + time, device);
    return placeBehind(cache, time, this.contextLength, device, padding, isCounted);
  }
}

/**
 * What a compiled step depends on.
 *
 * @category Models
 */
export interface StepForm {
  /** In a word. */
  readonly kind: string;
  /** Texts that become no longer. */
  readonly reach: number;
}

const aCache = kinds.kind("a cache of createCache()", (x) => x instanceof CausalCache);
const seenOptions: OptionTable<SeenOptions> = {
  attentionMask: kinds.kind("a tensor or lists of 0 and 1", (x) => typeof x === "object" && x !== null),
  positionIds: kinds.kind("a tensor or lists of numbers", (x) => typeof x === "object" && x !== null),
};
const lossOptions: OptionTable<ModelLossOptions> = {
  labelSmoothing: kinds.number({ from: 0, to: 1 }),
  zLoss: kinds.number({ from: 0 }),
  ...seenOptions,
};
const cacheOptions: OptionTable<{ dtype?: CacheDType }> = {
  dtype: kinds.oneOf("f32", "f16", "bf16", "q8"),
};
const hiddenOptions: OptionTable<{ cache?: CausalCache; depth?: number }> = {
  cache: aCache,
  depth: kinds.whole(0),
};
const forwardOptions: OptionTable<
  { cache?: CausalCache | readonly CausalCache[]; lastOnly?: boolean } & SeenOptions
> = {
  cache: kinds.kind(
    "a cache of createCache(), or a list of them",
    (x) => [x].flat().every((one) => one instanceof CausalCache),
  ),
  lastOnly: kinds.flag,
  ...seenOptions,
};
const attentionsOptions: OptionTable<{ layers?: readonly number[] }> = {
  layers: kinds.listOf(kinds.whole(0), "a list of numbers of layers, the first being 0"),
};
