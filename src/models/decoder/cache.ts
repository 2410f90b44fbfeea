/**
 * What a decoder remembers of a text: keys and values, and the ids where angles change with the length.
 *
 * @module
 */
import type { LayerOptions } from "../../nn/mod.ts";
import { concat, contiguous, indexSelect, slice, type Tensor, tensor } from "../../ops/mod.ts";
import { keep, noGrad, tidy } from "../../tensor/mod.ts";
import { CausalCache } from "../cache.ts";
import type { DecoderConfig } from "./config.ts";

/** Keys and values of all layers, of as many heads as there are of keys. */
export class DecoderCache extends CausalCache {
  /** What the angles of its positions depend on; see {@link remember}. */
  kind = "";
  #known: Tensor | null = null;

  /** Memory for `capacity` positions of `batch` sequences. */
  constructor(config: DecoderConfig, batch: number, capacity: number, options: LayerOptions = {}) {
    const { kvHeads: heads, headDim: width, layers } = config;
    super({ layers: layers.length, heads, width }, batch, capacity, options);
  }

  /**
   * The ids [batch, all] of the positions it holds with `ids` [batch, time] behind them, for models whose angles change
   * with the length of a text: they compute it anew then.
   */
  remember(ids: Tensor): Tensor {
    const before = this.#known && this.length > 0 ? slice(this.#known, null, [0, this.length]) : null;
    const all = keep(before ? concat([before, ids], 1) : contiguous(ids).clone());
    this.#known?.dispose();
    return this.#known = all;
  }

  /** See {@link CausalCache.copyRows}. */
  override copyRows(
    from: CausalCache,
    rows: readonly number[],
    start = 0,
    end: number = from.length,
  ): void {
    super.copyRows(from, rows, start, end);
    if (!(from instanceof DecoderCache) || !from.#known) return;
    const source = from.#known, old = this.#known;
    this.kind = from.kind;
    this.#known = noGrad(() =>
      tidy(() => {
        const index = tensor([...rows], { dtype: "i32", device: source.device });
        return indexSelect(slice(source, null, [0, end]), 0, index);
      })
    );
    keep(this.#known);
    old?.dispose();
  }

  /** Gives the memory back. */
  override dispose(): void {
    this.#known?.dispose();
    super.dispose();
  }
}
