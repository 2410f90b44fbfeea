/**
 * What a causal model remembers of a text: keys and values of every layer.
 *
 * @module
 */
import { whole } from "../core/kinds.ts";
import { demandNoMore, demandRecord } from "../core/demand.ts";
import { byteSize } from "../core/dtype.ts";
import { checkOption, checkOptions } from "../core/options.ts";
import { KVCache, type LayerOptions } from "../nn/mod.ts";
import { demandSizes, layerOptions } from "../nn/options.ts";
import { copyInto, indexSelect, slice, type Tensor, tensor } from "../ops/mod.ts";
import { noGrad, outsideCapture, tidy } from "../tensor/mod.ts";

/**
 * How a cache stores keys and values.
 *
 * @category Models
 */
export type CacheDType = "f32" | "f16" | "bf16" | "q8";

/** What a cache's memory is shaped by. */
export interface CacheSizes {
  /** Layers. */
  readonly layers: number;
  /** Heads of keys and values. */
  readonly heads: number;
  /** Width of a head. */
  readonly width: number;
}

/**
 * Keys and values of all layers, and the text they belong to.
 *
 * @category Models
 */
export class CausalCache {
  /** One per layer. */
  readonly layers: readonly KVCache[];
  /** How many sequences it holds side by side. */
  readonly batch: number;
  /**
   * The text's ids, which `generate` keeps: the first `length` of them are computed, those behind wait for its next
   * step. Who fills the cache by `forward` and goes on with `generate` appends them here.
   */
  readonly ids: number[] = [];
  /**
   * Programs of steps that end with it.
   * @internal
   */
  readonly steps: Set<{ dispose(): void }> = new Set();

  /** Memory for `capacity` positions of `batch` sequences. */
  constructor(sizes: CacheSizes, batch: number, capacity: number, options: LayerOptions = {}) {
    demandNoMore(arguments, 4, "CausalCache");
    demandRecord("CausalCache", sizes, "sizes", "{ layers, heads, width }");
    const { layers, heads, width } = sizes;
    checkOption("CausalCache", "layers", layers, whole(1));
    checkOptions("CausalCache", options, layerOptions);
    demandSizes("CausalCache", { batch, heads, capacity, width });
    this.batch = batch;
    this.layers = Array.from({ length: layers }, () => new KVCache(batch, heads, capacity, width, options));
  }

  /** Positions filled. */
  get length(): number {
    return this.layers[0].length;
  }

  /** Positions that fit. */
  get capacity(): number {
    return this.layers[0].capacity;
  }

  /**
   * The number of the next position, where there is room for it. Unlike {@link length} it may be asked for in each run of a
   * compiled function.
   * @internal
   */
  next(): number {
    const [first] = this.layers;
    first.demandRoom(1);
    return outsideCapture(() => first.length);
  }

  /**
   * The next `count` positions count as filled from now on.
   * @internal
   */
  fill(count: number): void {
    for (const layer of this.layers) layer.fill(count);
  }

  /** How keys and values are stored. */
  get dtype(): CacheDType {
    return this.layers[0].keys.dtype as CacheDType;
  }

  /** Memory in use, in bytes. */
  get byteLength(): number {
    const { dtype, size } = this.layers[0].keys;
    return 2 * this.layers.length * byteSize(dtype, size);
  }

  /** Forgets the positions from `length` on, and their ids. */
  truncate(length: number): void {
    for (const layer of this.layers) layer.truncate(length);
    this.ids.length = Math.min(this.ids.length, length);
  }

  /**
   * Takes over the positions of `from` from `start` to before `end` (default: all), and the ids of those before `end`; row i
   * becomes row `rows[i]` of it, as many rows as this cache holds. `from` may be this cache itself.
   */
  copyRows(from: CausalCache, rows: readonly number[], start = 0, end: number = from.length): void {
    const first = this.layers[0].keys;
    const part = (t: Tensor): Tensor => slice(t, null, null, [start, end]);
    noGrad(() =>
      tidy(() => {
        const index = tensor([...rows], { dtype: "i32", device: first.device });
        this.layers.forEach((layer, i) => {
          copyInto(indexSelect(part(from.layers[i].keys), 0, index), part(layer.keys));
          copyInto(indexSelect(part(from.layers[i].values), 0, index), part(layer.values));
          layer.length = end;
        });
      })
    );
    this.ids.splice(0, Infinity, ...end < from.length ? from.ids.slice(0, end) : from.ids);
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const step of this.steps) step.dispose();
    for (const layer of this.layers) layer.dispose();
  }

  /** Same as {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
