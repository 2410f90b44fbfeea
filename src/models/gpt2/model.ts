/**
 * GPT-2 (Radford, Wu, Child, Luan, Amodei, Sutskever 2019), reading like the paper and named like its checkpoints.
 *
 *     x = wte[ids] + wpe[positions]
 *     for each block: x += attn(ln_1(x)); x += mlp(ln_2(x))
 *     logits = ln_f(x) · wteᵀ
 *
 * @module
 */
import { OptionError, ShapeError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { formatShape } from "../../core/shape.ts";
import {
  CausalSelfAttention,
  Conv1D,
  Embedding,
  init,
  type KVCache,
  LayerNorm,
  type LayerOptions,
  Linear,
  Module,
} from "../../nn/mod.ts";
import { layerOptions } from "../../nn/options.ts";
import { unquantized } from "../../nn/quantized.ts";
import {
  type Activation,
  add,
  arange,
  contiguous,
  crossEntropy,
  dropout,
  linear,
  reshape,
  slice,
  type Tensor,
  tensor,
  toDType,
} from "../../ops/mod.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import type { CacheDType, CausalCache } from "../cache.ts";
import { checkIds, idsAsTensor, onlyId } from "../ids.ts";
import type { CausalNetwork, Ids } from "../network.ts";
import { paddingOf } from "../padding.ts";
import { planOf, Steps } from "../step.ts";
import { GPT2Cache } from "./cache.ts";
import { type GPT2Config, gpt2Config } from "./config.ts";

const activations: Record<string, Activation> = {
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu: "gelu",
  relu: "relu",
  silu: "silu",
  tanh: "tanh",
};

/**
 * The part of a block that works on each position alone.
 *
 * @category Models
 */
export class GPT2MLP extends Module {
  /** Width to inner width. */
  c_fc: Conv1D;
  /** Back to width. */
  c_proj: Conv1D;
  readonly #activation: string;
  readonly #dropout: number;

  /** Sizes from the configuration. */
  constructor(config: GPT2Config, options: LayerOptions = {}) {
    super();
    checkOptions("GPT2MLP", options, layerOptions);
    const { nEmbd, nInner, activationFunction, residPdrop } = gpt2Config(config), inner = nInner ?? 4 * nEmbd;
    this.c_fc = new Conv1D(nEmbd, inner, options);
    this.c_proj = new Conv1D(inner, nEmbd, options);
    this.#activation = activationFunction;
    this.#dropout = residPdrop;
  }

  /** The same shape as x; `residual`, of that shape too, is added. */
  forward(x: Tensor, residual?: Tensor): Tensor {
    return tidy(() => {
      const inner = this.c_fc.forward(x, { activation: activations[this.#activation] });
      return this.c_proj.forward(inner, { dropout: this.training ? this.#dropout : 0, residual });
    });
  }
}

/**
 * Attention and MLP, each behind a layer norm and added to what came in.
 *
 * @category Models
 */
export class GPT2Block extends Module {
  /** Before attention. */
  ln_1: LayerNorm;
  /** Attention. */
  attn: CausalSelfAttention;
  /** Before the MLP. */
  ln_2: LayerNorm;
  /** The MLP. */
  mlp: GPT2MLP;

  /** Sizes from the configuration. */
  constructor(config: GPT2Config, options: LayerOptions = {}) {
    super();
    checkOptions("GPT2Block", options, layerOptions);
    const { nEmbd, nHead, residPdrop, attnPdrop, layerNormEpsilon } = gpt2Config(config);
    const norm = { ...options, dtype: "f32" as const, eps: layerNormEpsilon };
    this.ln_1 = new LayerNorm(nEmbd, norm);
    this.attn = new CausalSelfAttention(nEmbd, nHead, {
      ...options,
      dropout: residPdrop,
      attentionDropout: attnPdrop,
    });
    this.ln_2 = new LayerNorm(nEmbd, norm);
    this.mlp = new GPT2MLP(config, options);
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, cache?: KVCache, mask?: Tensor): Tensor {
    return tidy(() => {
      const y = this.attn.forward(this.ln_1.forward(x), cache, mask, x);
      return this.mlp.forward(this.ln_2.forward(y), y);
    });
  }

  /** x [rows, 1, width], a position for each of several texts → the same shape. */
  forwardRows(x: Tensor, caches: readonly KVCache[], places?: Tensor): Tensor {
    return tidy(() => {
      const y = this.attn.forwardRows(this.ln_1.forward(x), caches, places, x);
      return this.mlp.forward(this.ln_2.forward(y), y);
    });
  }
}

const cacheOptions: OptionTable<{ dtype?: CacheDType }> = {
  dtype: kinds.oneOf("f32", "f16", "bf16", "q8"),
};
const aCache = kinds.kind("a cache of createCache()", (x) => x instanceof GPT2Cache);
const hiddenOptions: OptionTable<{ cache?: GPT2Cache }> = { cache: aCache };
const forwardOptions: OptionTable<{ cache?: GPT2Cache; lastOnly?: boolean; attentionMask?: Ids }> = {
  cache: aCache,
  lastOnly: kinds.flag,
  attentionMask: kinds.kind("a tensor or lists of 0 and 1", (x) => typeof x === "object" && x !== null),
};
const attentionsOptions: OptionTable<{ layers?: readonly number[] }> = {
  layers: kinds.listOf(kinds.whole(0), "a list of numbers of blocks, the first being 0"),
};

/**
 * The network: token ids to logits. `GPT2` (see `mod.ts`) adds files, text and generation.
 *
 * @category Models
 */
export class GPT2Model extends Module implements CausalNetwork {
  /** Sizes and choices. */
  readonly config: GPT2Config;
  /** Token embeddings, [vocab, width]. */
  wte: Embedding;
  /** Position embeddings, [positions, width]. */
  wpe: Embedding;
  /** The blocks. */
  h: GPT2Block[];
  /** The last layer norm. */
  ln_f: LayerNorm;
  /** The output layer, when it is not tied to wte. */
  lm_head: Linear | null;
  readonly #steps = new Steps(this, (ids, places, caches) => this.#rows(ids, places, caches));

  /**
   * A model with fresh weights: normal with deviation `initializerRange`, those that end a residual branch divided by
   * √(2 · layers), biases 0 (the paper's section 2.3). Seeded by `manualSeed`.
   */
  constructor(config: Partial<GPT2Config> = {}, options: LayerOptions = {}) {
    super();
    checkOptions("GPT2", options, layerOptions);
    this.config = gpt2Config(config);
    const { vocabSize, nPositions, nEmbd, nLayer, layerNormEpsilon, initializerRange } = this.config;
    this.wte = new Embedding(vocabSize, nEmbd, options);
    this.wpe = new Embedding(nPositions, nEmbd, unquantized(options));
    this.h = Array.from({ length: nLayer }, () => new GPT2Block(this.config, options));
    this.ln_f = new LayerNorm(nEmbd, { ...options, dtype: "f32", eps: layerNormEpsilon });
    this.lm_head = this.config.tieWordEmbeddings
      ? null
      : new Linear(nEmbd, vocabSize, { ...options, bias: false });
    for (const [name, p] of this.namedParameters()) {
      if (p.shape.length < 2) continue;
      init.normal(
        p,
        0,
        name.endsWith("c_proj.weight") ? initializerRange / Math.sqrt(2 * nLayer) : initializerRange,
      );
    }
  }

  /** Its blocks. */
  get depth(): number {
    return this.config.nLayer;
  }

  /** Heads of a block. */
  get heads(): number {
    return this.config.nHead;
  }

  /** Tokens that it knows. */
  get vocabSize(): number {
    return this.config.vocabSize;
  }

  /** Token embeddings, [vocab, width]. */
  get embeddings(): Tensor {
    return this.wte.weight;
  }

  /** The longest sequence. */
  get contextLength(): number {
    return this.config.nPositions;
  }

  /**
   * An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. As f16 or bf16 it takes half
   * the memory of f32, the default; as q8 a little more than a quarter, where heads are a multiple of 32 wide.
   *
   * @throws {OptionError} for sizes that are no whole numbers above 0. @throws {DTypeError} for other dtypes.
   */
  createCache(
    batch = 1,
    capacity: number = this.config.nPositions,
    options: { dtype?: CacheDType } = {},
  ): GPT2Cache {
    for (const [name, value] of Object.entries({ batch, capacity })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new OptionError(`createCache: ${name} is a whole number above 0, not ${value}`);
      }
    }
    const { dtype = "f32" } = checkOptions("createCache", options, cacheOptions);
    return new GPT2Cache(this.config, batch, capacity, { device: this.wte.weight.device, dtype });
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
    options: { cache?: GPT2Cache; lastOnly?: boolean; attentionMask?: Ids } = {},
  ): Tensor {
    const { cache } = checkOptions("forward", options, forwardOptions),
      id = cache && !options.attentionMask ? onlyId(ids, this.wte.weight.backend) : null;
    if (cache?.batch === 1 && id !== null && cache.length < Math.min(cache.capacity, this.contextLength)) {
      if (typeof id === "number") this.checkIds([id]);
      const logits = tidy(() => {
        const one = typeof id === "number" ? [id] : reshape(id, [1, 1]);
        const row = this.#steps.next(one, [cache]);
        return row && reshape(row, [1, 1, -1]);
      });
      if (logits) return logits;
    }
    return tidy(() => {
      const x = this.#hidden(this.ids(ids), options.cache, options.attentionMask);
      return this.logits(options.lastOnly ? contiguous(slice(x, null, [-1, null])) : x);
    });
  }

  /**
   * The next position of several texts at once, each of its own length: logits [rows, vocab] for `ids[i]`, which
   * follows the positions in `caches[i]` (a cache of one text). What a row gives does not depend on the others.
   *
   * @throws {ShapeError} when a text has no positions left, or the lists differ in length.
   */
  forwardRows(ids: readonly number[], caches: readonly GPT2Cache[]): Tensor {
    const { nPositions } = this.config, { device } = this.wpe.weight;
    if (ids.length !== caches.length || ids.length === 0) {
      throw new ShapeError(`GPT2.forwardRows: ${ids.length} ids for ${caches.length} caches`);
    }
    const places = caches.map(({ length }) => length);
    if (Math.max(...places) >= nPositions) {
      throw new ShapeError(`GPT2: a text has all of the ${nPositions} positions of this model`);
    }
    this.checkIds(ids);
    return tidy(() => {
      const isRoom = caches.every(({ length, capacity }) => length < capacity);
      const logits = isRoom && this.#steps.next(ids, caches);
      if (logits) return logits;
      const all = this.ids([...ids].map((id) => [id]));
      return this.#rows(all, tensor(places, { dtype: "i32", device }), caches, false);
    });
  }

  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string {
    const cache = this.createCache(), { training } = this;
    try {
      this.eval();
      return noGrad(() => planOf(this, [cache], (ids, places, caches) => this.#rows(ids, places, caches)));
    } finally {
      this.train(training);
      cache.dispose();
    }
  }

  /**
   * Logits [rows, vocab] for ids [rows, 1] at positions `places` [rows], which follow those in the caches; `isStep`: what they
   * are is read on the device, and the caches' lengths are left alone.
   */
  #rows(ids: Tensor, places: Tensor, caches: readonly CausalCache[], isStep = true): Tensor {
    const rows = ids.shape[0];
    const tokens = toDType(this.wte.forward(ids), "f32"); // [rows, 1, width]
    const positions = toDType(this.wpe.forward(places), "f32");
    let x = add(tokens, reshape(positions, tokens.shape));
    this.h.forEach((block, i) => {
      x = block.forwardRows(x, caches.map(({ layers }) => layers[i]), isStep ? places : undefined);
    });
    return reshape(this.logits(this.ln_f.forward(x)), [rows, -1]);
  }

  /** What comes out of the last layer norm: [batch, time, width]. With a cache, of ids that follow what it holds. */
  hidden(ids: Ids, options: { cache?: GPT2Cache } = {}): Tensor {
    const { cache } = checkOptions("hidden", options, hiddenOptions);
    return tidy(() => this.#hidden(this.ids(ids), cache));
  }

  /**
   * How much each position looks at each before it, for every block or those of `layers`: [batch, heads, time, time], rows
   * of sum 1 (transformers' `output_attentions`). Computed for looking at: the blocks themselves keep no such matrix.
   */
  attentions(ids: Ids, options: { layers?: readonly number[] } = {}): Tensor[] {
    const { layers = this.h.map((_, i) => i) } = checkOptions("attentions", options, attentionsOptions);
    for (const layer of layers) {
      if (this.h[layer]) continue;
      throw new OptionError(`attentions: layer ${layer} is none of the ${this.h.length} from 0`);
    }
    return noGrad(() =>
      tidy(() => {
        const found = new Map<number, Tensor>(), last = Math.max(-1, ...layers);
        let x = this.#embed(this.ids(ids));
        this.h.slice(0, last + 1).forEach((block, i) => {
          if (layers.includes(i)) found.set(i, block.attn.probabilities(block.ln_1.forward(x)));
          if (i < last) x = block.forward(x);
        });
        return layers.map((layer) => found.get(layer) as Tensor);
      })
    );
  }

  /** Logits [.., vocab] for what comes out of the last layer norm, [.., width]. */
  logits(hidden: Tensor): Tensor {
    return this.lm_head?.forward(hidden) ?? linear(hidden, this.wte.weight);
  }

  /** Token and position embeddings, from position `start` on or at `positions`. */
  #embed(ids: Tensor, start = 0, positions?: Tensor): Tensor {
    const time = ids.shape[1], { nPositions, embdPdrop } = this.config, { device } = this.wpe.weight;
    if (start + time > nPositions) {
      throw new ShapeError(
        `GPT2: ${start + time} tokens are more than the ${nPositions} positions of this model`,
      );
    }
    const tokens = toDType(this.wte.forward(ids), "f32");
    const places = this.wpe.forward(positions ?? arange(start, start + time, { device }));
    return dropout(add(tokens, toDType(places, "f32")), embdPdrop, this.training);
  }

  #hidden(ids: Tensor, cache?: GPT2Cache, mask?: Ids): Tensor {
    const [batch, time] = ids.shape, start = cache?.length ?? 0, { device } = this.wpe.weight;
    const padding = mask === undefined ? null : paddingOf(mask, batch, time, start + time, device);
    let x = this.#embed(ids, start, padding?.positions);
    this.h.forEach((block, i) => x = block.forward(x, cache?.layers[i], padding?.seen));
    return this.ln_f.forward(x);
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count.
   */
  loss(ids: Ids, targets?: Ids): Tensor {
    return tidy(() => {
      let x = this.ids(ids), y: Tensor;
      if (targets === undefined) {
        if (x.shape[1] < 2) {
          throw new ShapeError(`GPT2.loss: needs at least 2 tokens, not ${formatShape(x.shape)}`);
        }
        y = slice(x, null, [1, null]);
        x = slice(x, null, [0, -1]);
      } else y = idsAsTensor("GPT2", this, targets, -100);
      const logits = this.logits(this.#hidden(x));
      return crossEntropy(reshape(logits, [-1, this.config.vocabSize]), reshape(y, [-1]));
    });
  }

  /** Ids as a tensor [batch, time] on the model's device, checked against the vocabulary where they are plain numbers. */
  ids(ids: Ids): Tensor {
    return idsAsTensor("GPT2", this, ids);
  }

  /** Checks ids before they go to the device. @throws {ShapeError} for an id outside the vocabulary. */
  checkIds(ids: Iterable<number>): void {
    checkIds("GPT2", this.config.vocabSize, ids);
  }
}
