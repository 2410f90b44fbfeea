/**
 * GPT-2 (Radford, Wu, Child, Luan, Amodei, Sutskever 2019), reading like the paper and named like its checkpoints.
 *
 *     x = wte[ids] + wpe[positions]
 *     for each block: x += attn(ln_1(x)); x += mlp(ln_2(x))
 *     logits = ln_f(x) · wteᵀ
 *
 * @module
 */
import { demand, demandNoMore } from "../../core/demand.ts";
import { checkOptions } from "../../core/options.ts";
import {
  type Attend,
  CausalSelfAttention,
  Conv1D,
  Embedding,
  init,
  LayerNorm,
  type LayerOptions,
  Linear,
  Module,
} from "../../nn/mod.ts";
import { layerOptions } from "../../nn/options.ts";
import { lookedUp } from "../../nn/matrices.ts";
import { unquantized } from "../../nn/quantized.ts";
import { type Activation, add, dropout, linear, type Tensor, toDType } from "../../ops/mod.ts";
import { autocastDType, tidy } from "../../tensor/mod.ts";
import { activationNames, activations, type DecoderActivation } from "../activations.ts";
import { CausalModel } from "../causal.ts";
import type { Place } from "../place.ts";
import { GPT2Cache } from "./cache.ts";
import { type GPT2Config, gpt2Config } from "./config.ts";

/** Activations that a product computes with its result, where it lies. */
const atOnce: Readonly<Partial<Record<DecoderActivation, Activation>>> = {
  geluTanh: "geluTanh",
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
  readonly #activation: DecoderActivation;
  readonly #dropout: number;

  /**
   * Sizes from the configuration.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(config: GPT2Config, options: LayerOptions = {}) {
    demandNoMore(arguments, 2, "GPT2MLP");
    super();
    checkOptions("GPT2MLP", options, layerOptions);
    const { nEmbd, nInner, activationFunction, residPdrop } = gpt2Config(config), inner = nInner ?? 4 * nEmbd;
    this.c_fc = new Conv1D(nEmbd, inner, options);
    this.c_proj = new Conv1D(inner, nEmbd, options);
    this.#activation = activationNames[activationFunction];
    this.#dropout = residPdrop;
  }

  /**
   * The same shape as x; `residual`, of that shape too, is added.
   * @throws {ShapeError} for an x whose last dim is not nEmbd.
   * @throws {DTypeError} for what is no tensor.
   */
  forward(x: Tensor, residual?: Tensor): Tensor {
    demandNoMore(arguments, 2, "forward");
    return tidy(() => {
      const activation = atOnce[this.#activation];
      const inner = activation
        ? this.c_fc.forward(x, { activation })
        : activations[this.#activation](this.c_fc.forward(x));
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

  /**
   * Sizes from the configuration; `layer` is its number, the first being 0.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype that the device does not hold, or that is not floating-point.
   */
  constructor(config: GPT2Config, options: LayerOptions = {}, layer = 0) {
    demandNoMore(arguments, 3, "GPT2Block");
    super();
    checkOptions("GPT2Block", options, layerOptions);
    demand("GPT2Block", "layer", layer, Number.isInteger(layer) && layer >= 0, "a whole number from 0 on");
    const { nEmbd, nHead, residPdrop, attnPdrop, layerNormEpsilon, ...scaling } = gpt2Config(config);
    const scale = scaling.scaleAttnWeights ? 1 / Math.sqrt(nEmbd / nHead) : 1;
    const norm = { ...options, dtype: "f32" as const, eps: layerNormEpsilon };
    this.ln_1 = new LayerNorm(nEmbd, norm);
    this.attn = new CausalSelfAttention(nEmbd, nHead, {
      ...options,
      dropout: residPdrop,
      attentionDropout: attnPdrop,
      scale: scaling.scaleAttnByInverseLayerIdx ? scale / (layer + 1) : scale,
    });
    this.ln_2 = new LayerNorm(nEmbd, norm);
    this.mlp = new GPT2MLP(config, options);
  }

  /**
   * x [batch, time, width] → the same shape; `attend`: what queries find, by default among their own positions and before.
   * @throws {DTypeError} for what is no tensor.
   * @throws {ShapeError} for an x that is not [batch, time, nEmbd].
   */
  forward(x: Tensor, attend?: Attend): Tensor {
    demandNoMore(arguments, 2, "forward");
    return tidy(() => {
      const inner = this.ln_1.forward(x);
      const y = attend
        ? this.attn.attend(inner, attend, x)
        : this.attn.forward(inner, undefined, undefined, x);
      return this.mlp.forward(this.ln_2.forward(y), y);
    });
  }
}

/**
 * The network: token ids to logits. `GPT2` (see `mod.ts`) adds files, text and generation.
 *
 * @category Models
 */
export class GPT2Model extends CausalModel<GPT2Cache> {
  /** Sizes and choices. */
  override readonly config: GPT2Config;
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

  /**
   * A model with fresh weights: normal with deviation `initializerRange`, those that end a residual branch divided by
   * √(2 · layers), biases 0 (the paper's section 2.3). Seeded by `manualSeed`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  constructor(config: Partial<GPT2Config> = {}, options: LayerOptions = {}) {
    demandNoMore(arguments, 2, "GPT2Model");
    super();
    checkOptions("GPT2", options, layerOptions);
    this.config = gpt2Config(config);
    const { vocabSize, nPositions, nEmbd, nLayer, layerNormEpsilon, initializerRange } = this.config;
    this.wte = new Embedding(vocabSize, nEmbd, options);
    this.wpe = lookedUp(new Embedding(nPositions, nEmbd, unquantized(options)));
    this.h = Array.from({ length: nLayer }, (_, layer) => new GPT2Block(this.config, options, layer));
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
  override get depth(): number {
    return this.config.nLayer;
  }

  /** Heads of a block. */
  override get heads(): number {
    return this.config.nHead;
  }

  /** Tokens that it knows. */
  override get vocabSize(): number {
    return this.config.vocabSize;
  }

  /** Token embeddings, [vocab, width]. */
  override get embeddings(): Tensor {
    return this.wte.weight;
  }

  /** The longest sequence. */
  override get contextLength(): number {
    return this.config.nPositions;
  }

  /** Its name in messages. */
  protected override get title(): string {
    return "GPT2";
  }

  /** See {@link CausalModel}. */
  protected override cacheOf(batch: number, capacity: number, options: LayerOptions): GPT2Cache {
    return new GPT2Cache(this.config, batch, capacity, options);
  }

  /**
   * Embeddings of tokens and positions, the blocks, the last layer norm.
   * @internal
   */
  override through(ids: Tensor, place: Place, depth?: number): Tensor {
    demandNoMore(arguments, 3, "through");
    const { embdPdrop } = this.config, dtype = autocastDType();
    let x = this.begin(ids, () => {
      const tokens = toDType(this.wte.forward(ids), dtype);
      const positions = toDType(this.wpe.forward(place.positions()), dtype);
      return dropout(add(tokens, positions), embdPdrop, this.training);
    });
    this.h.slice(0, depth).forEach((block, i) =>
      x = this.layer(x, place, [], (x, place) => block.forward(x, place.attend(i)))
    );
    return this.end(x, (x) => this.ln_f.forward(x));
  }

  /**
   * Logits [.., vocab] for what comes out of the last layer norm, [.., width].
   * @throws {ShapeError} for a hidden state whose last dim is not the model's width.
   * @throws {DTypeError} for what is no tensor.
   */
  override logits(hidden: Tensor): Tensor {
    demandNoMore(arguments, 1, "logits");
    return this.end(hidden, (x) => this.lm_head?.forward(x) ?? linear(x, this.wte.weight));
  }
}
