/**
 * Causal self-attention with the parameters and names of GPT-2.
 *
 * What queries find among keys and values is told apart from the layer: its own positions, those of a cache before them, or
 * what a whole network has for its layers ({@link Attend}).
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { ShapeError } from "../core/errors.ts";
import { number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { counted } from "../core/show.ts";
import {
  type AttentionOptions,
  reshape,
  scaledDotProductAttention,
  slice,
  type Tensor,
  transpose,
} from "../ops/mod.ts";
import { tidy } from "../tensor/mod.ts";
import type { KVCache } from "./kv_cache.ts";
import { Conv1D, type LayerOptions } from "./layers.ts";
import { Module } from "./module.ts";
import { demandSizes, layerOptions } from "./options.ts";
import { probabilities } from "./probabilities.ts";

/**
 * What a layer attends with; see {@link Attend}.
 *
 * @category Modules
 */
export type AttendOptions = Pick<AttentionOptions, "scale" | "dropoutP" | "softcap" | "window">;

/**
 * What queries [batch, heads, time, width] find among the keys and values of their own positions and of those before, wherever
 * these are: [batch, heads, time, width].
 *
 * @category Modules
 */
export type Attend = (q: Tensor, k: Tensor, v: Tensor, options: AttendOptions) => Tensor;

/**
 * Options of {@link CausalSelfAttention}.
 * @category Modules
 */
export interface AttentionLayerOptions extends LayerOptions {
  /** Dropout of the result while training. Default 0. */
  dropout?: number;
  /** Dropout of the attention probabilities while training. Default 0. */
  attentionDropout?: number;
  /** What scores are multiplied by. Default 1 / √(width of a head). */
  scale?: number;
}

const attentionLayerOptions: OptionTable<AttentionLayerOptions> = {
  ...layerOptions,
  dropout: number({ from: 0, to: 1 }),
  attentionDropout: number({ from: 0, to: 1 }),
  scale: number(),
};

/**
 * Each position attends to itself and those before it.
 *
 * @category Modules
 */
export class CausalSelfAttention extends Module {
  /** Query, key and value side by side. */
  c_attn: Conv1D;
  /** The output projection. */
  c_proj: Conv1D;
  /** How many heads. */
  readonly heads: number;
  /** Dropout of the result while training. */
  readonly dropout: number;
  /** Dropout of the attention probabilities while training. */
  readonly attentionDropout: number;
  /** What scores are multiplied by. */
  readonly scale: number;

  /**
   * `width` is divided evenly among `heads`.
   *
   * @throws {OptionError} for options that do not exist.
   * @throws {ShapeError} for sizes that are none, and a width that heads do not divide.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype that the device does not hold, or that is not floating-point.
   */
  constructor(width: number, heads: number, options: AttentionLayerOptions = {}) {
    demandNoMore(arguments, 3, "CausalSelfAttention");
    super();
    const { dropout = 0, attentionDropout = 0, scale, ...place } = checkOptions(
      "CausalSelfAttention",
      options,
      attentionLayerOptions,
    );
    demandSizes("CausalSelfAttention", { width, heads });
    if (width % heads !== 0) {
      throw new ShapeError(
        `CausalSelfAttention: width ${width} does not divide into ${counted(heads, "head")}`,
      );
    }
    this.heads = heads;
    this.dropout = dropout;
    this.attentionDropout = attentionDropout;
    this.scale = scale ?? (width === 0 ? 1 : 1 / Math.sqrt(width / heads));
    this.c_attn = new Conv1D(width, 3 * width, place);
    this.c_proj = new Conv1D(width, width, place);
  }

  /**
   * x [batch, time, width] → the same shape. With a cache, x holds the positions that follow it. `mask` is bool and
   * broadcasts to [batch, heads, time, all positions]: true where a position may look, if it comes later. `residual`, of
   * the shape of x, is added.
   *
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {ShapeError} for a shape that does not fit.
   * @throws {DeviceError} for tensors on different devices.
   */
  forward(x: Tensor, cache?: KVCache, mask?: Tensor, residual?: Tensor): Tensor {
    demandNoMore(arguments, 4, "forward");
    return this.attend(x, (q, k, v, options) => {
      const { keys, values } = cache ? cache.append(k, v) : { keys: k, values: v };
      return scaledDotProductAttention(q, keys, values, {
        ...options,
        isCausal: true,
        ...(mask ? { attnMask: mask } : {}),
      });
    }, residual);
  }

  /**
   * x [batch, time, width] → the same shape, by `attend`. `residual`, of the shape of x, is added.
   * @throws {ShapeError} when shapes do not fit together.
   * @throws {DeviceError} for tensors on different devices.
   */
  attend(x: Tensor, attend: Attend, residual?: Tensor): Tensor {
    demandNoMore(arguments, 3, "attend");
    const [batch, time, width] = x.shape;
    return tidy(() => {
      const [q, k, v] = this.#split(x);
      const dropoutP = this.training ? this.attentionDropout : 0;
      const mixed = attend(q, k, v, { dropoutP, scale: this.scale }); // [batch, head, time, each]
      const joined = reshape(transpose(mixed, 1, 2), [batch, time, width]);
      return this.c_proj.forward(joined, { dropout: this.training ? this.dropout : 0, residual });
    });
  }

  /**
   * How much each position of x [batch, time, width] looks at each: [batch, heads, time, time], rows of sum 1.
   * @throws {ShapeError} when shapes do not fit together.
   * @throws {DeviceError} for tensors on different devices.
   */
  probabilities(x: Tensor): Tensor {
    demandNoMore(arguments, 1, "probabilities");
    return tidy(() => {
      const [q, k] = this.#split(x);
      return probabilities(q, k, { scale: this.scale });
    });
  }

  /** Queries, keys and values of x, [batch, head, time, each]. */
  #split(x: Tensor): Tensor[] {
    const [batch, time, width] = x.shape;
    const qkv = reshape(this.c_attn.forward(x), [batch, time, 3, this.heads, width / this.heads]);
    return [0, 1, 2].map((i) => transpose(slice(qkv, null, null, i), 1, 2));
  }
}
