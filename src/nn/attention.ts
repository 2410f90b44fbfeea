/**
 * Causal self-attention with the parameters and names of GPT-2.
 *
 * The layer also takes a cache of earlier keys and values: then x holds only the new positions, whose keys and values
 * are written behind those in the cache, and attention runs over all of them.
 *
 * @module
 */
import { quantBlock } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { number } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import {
  add,
  arange,
  attentionStep,
  concat,
  copyInto,
  empty,
  expand,
  full,
  gt,
  maskedFill,
  matmul,
  mul,
  reshape,
  scaledDotProductAttention,
  slice,
  softmax,
  type Tensor,
  transpose,
  unsqueeze,
  zeros,
} from "../ops/mod.ts";
import { appendAt } from "../ops/appended.ts";
import { activeCapture, keep, perRun, tidy, wantsGradient } from "../tensor/mod.ts";
import { Conv1D, type LayerOptions } from "./layers.ts";
import { Module } from "./module.ts";
import { layerOptions } from "./options.ts";

/**
 * Keys and values of one layer, in memory planned once: [batch, heads, capacity, width].
 *
 * @category Modules
 */
export class KVCache {
  /** [batch, heads, capacity, width]. */
  readonly keys: Tensor;
  /** [batch, heads, capacity, width]. */
  readonly values: Tensor;
  #length = 0;
  /** What is being captured, and the length when it began, where it fills positions. */
  #began: { capture: unknown; length: number } | null = null;

  /**
   * Memory for `capacity` positions, as f32 or, by `options.dtype`, in fewer bits: f16, bf16 or q8.
   * @throws {DTypeError} for q8 where heads are not whole blocks of 32 wide, and for other dtypes.
   */
  constructor(batch: number, heads: number, capacity: number, width: number, options: LayerOptions = {}) {
    const { dtype = "f32" } = checkOptions("KVCache", options, layerOptions),
      shape = [batch, heads, capacity, width];
    if (!["f32", "f16", "bf16", "q8"].includes(dtype)) {
      throw new DTypeError(`KVCache: dtype "${dtype}" is none of f32, f16, bf16, q8`);
    }
    if (dtype === "q8" && width % quantBlock !== 0) {
      throw new DTypeError(
        `KVCache: q8 takes heads whose width is a multiple of ${quantBlock}, not ${width}; use f16`,
      );
    }
    // Blocks have no zeros of their own; nothing reads what was not written.
    const make = dtype === "q8" ? empty : zeros;
    this.keys = keep(make(shape, options));
    this.values = keep(make(shape, options));
  }

  /** Positions filled so far. A function that is compiled and asks for them is traced anew for each number of them. */
  get length(): number {
    this.#look();
    return this.#length;
  }

  set length(length: number) {
    const before = this.#length, set = (): void => void (this.#length = length);
    activeCapture()?.effect(this, () => this.#length = before, set);
    this.#length = length;
  }

  /** Lets the program that is captured depend on how many positions were filled when it began. */
  #look(): void {
    const capture = activeCapture();
    if (!capture) return;
    const began = this.#began?.capture === capture ? this.#began.length : undefined;
    capture.guard(this, "length", () => this.#length, began);
  }

  /**
   * The next `count` positions, i32 [count]. A compiled function reads them anew in each run, where it would be traced again
   * for each {@link length}.
   */
  positions(count: number): Tensor {
    return tidy(() => {
      const options = { dtype: "i32", device: this.keys.device } as const;
      const [start] = perRun(1, () => {
        this.#demandRoom(count);
        return [this.#length];
      });
      return add(arange(count, options), full([1], start, options));
    });
  }

  /** The next `count` positions, which count as filled from now on. */
  advance(count: number): Tensor {
    this.#demandRoom(count);
    const places = this.positions(count), before = this.#length, capture = activeCapture();
    if (capture) {
      if (this.#began?.capture !== capture) this.#began = { capture, length: before };
      capture.effect(this, () => this.#length = before, () => void (this.#length += count));
    }
    this.#length += count;
    return places;
  }

  #demandRoom(count: number): void {
    const end = this.#length + count;
    if (end <= this.capacity) return;
    throw new ShapeError(`the key-value cache holds ${this.capacity} positions; ${end} are asked for`);
  }

  /** How many positions fit. */
  get capacity(): number {
    return this.keys.shape[2];
  }

  /**
   * Writes keys and values [batch, heads, new, width] behind those that are there; gives views of all. What a compiled
   * function does with them by {@link scaledDotProductAttention} is one program for any number of positions.
   */
  append(keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    const count = keys.shape[2];
    this.#demandRoom(count);
    // Where gradients flow, or blocks are written, positions are known.
    if (activeCapture() && this.keys.dtype !== "q8" && !wantsGradient([keys, values])) {
      const places = this.advance(count), look = (): void => this.#look();
      return {
        keys: appendAt(this.keys, keys, places, this.#length, look),
        values: appendAt(this.values, values, places, this.#length, look),
      };
    }
    const start = this.length, end = start + count;
    copyInto(keys, slice(this.keys, null, null, [start, end]));
    copyInto(values, slice(this.values, null, null, [start, end]));
    this.length = end;
    return { keys: slice(this.keys, null, null, [0, end]), values: slice(this.values, null, null, [0, end]) };
  }

  /** Forgets the positions from `length` on. */
  truncate(length: number): void {
    this.length = Math.min(this.length, length);
  }

  /** Gives the memory back. */
  dispose(): void {
    this.keys.dispose();
    this.values.dispose();
  }

  /** Same as {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Options of {@link CausalSelfAttention}. */
export interface AttentionLayerOptions extends LayerOptions {
  /** Dropout of the result while training. Default 0. */
  dropout?: number;
  /** Dropout of the attention probabilities while training. Default 0. */
  attentionDropout?: number;
}

const attentionLayerOptions: OptionTable<AttentionLayerOptions> = {
  ...layerOptions,
  dropout: number({ from: 0, to: 1 }),
  attentionDropout: number({ from: 0, to: 1 }),
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

  /** `width` is divided evenly among `heads`. */
  constructor(width: number, heads: number, options: AttentionLayerOptions = {}) {
    super();
    const { dropout = 0, attentionDropout = 0, ...place } = checkOptions(
      "CausalSelfAttention",
      options,
      attentionLayerOptions,
    );
    if (width % heads !== 0) {
      throw new ShapeError(`CausalSelfAttention: width ${width} does not divide into ${heads} heads`);
    }
    this.heads = heads;
    this.dropout = dropout;
    this.attentionDropout = attentionDropout;
    this.c_attn = new Conv1D(width, 3 * width, place);
    this.c_proj = new Conv1D(width, width, place);
  }

  /**
   * x [batch, time, width] → the same shape. With a cache, x holds the positions that follow it. `mask` is bool and
   * broadcasts to [batch, heads, time, all positions]: true where a position may look, if it comes later. `residual`, of
   * the shape of x, is added.
   */
  forward(x: Tensor, cache?: KVCache, mask?: Tensor, residual?: Tensor): Tensor {
    const [batch, time, width] = x.shape, each = width / this.heads;
    if (cache && batch === 1 && time === 1 && !mask && !this.training) {
      return this.forwardRows(x, [cache], undefined, residual);
    }
    return tidy(() => {
      const qkv = reshape(this.c_attn.forward(x), [batch, time, 3, this.heads, each]); // [batch, time, 3, head, each]
      const part = (i: number): Tensor => transpose(slice(qkv, null, null, i), 1, 2); // [batch, head, time, each]
      const q = part(0);
      const { keys, values } = cache ? cache.append(part(1), part(2)) : { keys: part(1), values: part(2) };
      const dropoutP = this.training ? this.attentionDropout : 0;
      const mixed = scaledDotProductAttention(q, keys, values, {
        isCausal: true,
        dropoutP,
        ...(mask ? { attnMask: mask } : {}),
      }); // [batch, head, time, each]
      const joined = reshape(transpose(mixed, 1, 2), [batch, time, width]);
      return this.c_proj.forward(joined, { dropout: this.training ? this.dropout : 0, residual });
    });
  }

  /** How much each position of x [batch, time, width] looks at each: [batch, heads, time, time], rows of sum 1. */
  probabilities(x: Tensor): Tensor {
    const [batch, time, width] = x.shape, each = width / this.heads;
    return tidy(() => {
      const qkv = reshape(this.c_attn.forward(x), [batch, time, 3, this.heads, each]);
      const part = (i: number): Tensor => transpose(slice(qkv, null, null, i), 1, 2); // [batch, head, time, each]
      const scores = mul(matmul(part(0), transpose(part(1), 2, 3)), 1 / Math.sqrt(each));
      const places = arange(time, { device: x.device, dtype: "i32" });
      const later = gt(places, unsqueeze(places, 1)); // [time, time]
      return softmax(maskedFill(scores, expand(later, scores.shape), -Infinity));
    });
  }

  /**
   * One new position for each of several texts: x [rows, 1, width] → the same shape. Row i follows the positions in
   * `caches[i]`, of which there are as many as that text has. Where `places` holds their lengths ({@link attentionStep}),
   * the caches' own are neither looked at nor changed. `residual`, of the shape of x, is added.
   */
  forwardRows(x: Tensor, caches: readonly KVCache[], places?: Tensor, residual?: Tensor): Tensor {
    const [rows, , width] = x.shape, each = width / this.heads;
    return tidy(() => {
      const qkv = reshape(this.c_attn.forward(x), [rows, 3, this.heads, each]),
        isCaptured = activeCapture() !== null;
      const mixed = attentionStep(
        qkv,
        caches.map(({ keys }) => keys),
        caches.map(({ values }) => values),
        places ??
          (isCaptured
            ? concat(caches.map((cache) => cache.advance(1)), 0)
            : caches.map(({ length }) => length)),
      );
      if (!places && !isCaptured) { for (const cache of caches) cache.length++; }
      return this.c_proj.forward(reshape(mixed, [rows, 1, width]), { residual });
    });
  }
}
