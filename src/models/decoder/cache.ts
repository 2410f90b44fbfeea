/**
 * What a decoder remembers of a text: keys and values, and the ids where angles change with the length.
 *
 * @module
 */
import type { LayerOptions } from "../../nn/mod.ts";
import { copyInto, indexSelect, slice, type Tensor, tensor, toDType, zeros } from "../../ops/mod.ts";
import { activeCapture, keep, noGrad, outsideCapture, tidy } from "../../tensor/mod.ts";
import { CausalCache } from "../cache.ts";
import type { DecoderConfig } from "./config.ts";

/** Keys and values of all layers, of as many heads as there are of keys. */
export class DecoderCache extends CausalCache {
  #kind = "";
  /** Ids, i32 [batch, capacity], where angles change with the length. */
  #known: Tensor | null = null;

  /** Memory for `capacity` positions of `batch` sequences. */
  constructor(config: DecoderConfig, batch: number, capacity: number, options: LayerOptions = {}) {
    const { kvHeads: heads, headDim: width, layers } = config;
    const states = layers.map(({ states }) => states ?? null);
    super({ layers: layers.length, heads, width, states }, batch, capacity, options);
  }

  /** What the angles of its positions depend on; see {@link remember}. */
  get kind(): string {
    activeCapture()?.guard(this, "kind", () => this.#kind);
    return this.#kind;
  }

  set kind(kind: string) {
    const state = { get: () => this.#kind, set: (kind: string) => void (this.#kind = kind) };
    activeCapture()?.effect(this, state, () => void (this.#kind = kind));
    this.#kind = kind;
  }

  /**
   * The ids [batch, all] of the positions it holds with `ids` [batch, time] behind them, for models whose angles change
   * with the length of a text: they compute it anew then.
   */
  remember(ids: Tensor): Tensor {
    this.layers[0].demandRoom(ids.shape[1]);
    const known = this.#ids(), end = this.length + ids.shape[1];
    noGrad(() => tidy(() => copyInto(toDType(ids, "i32"), slice(known, null, [this.length, end]))));
    return slice(known, null, [0, end]);
  }

  #ids(): Tensor {
    const { batch, capacity } = this, { device } = this.layers[0].keys;
    return this.#known ??= outsideCapture(() => keep(zeros([batch, capacity], { dtype: "i32", device })));
  }

  /** See {@link CausalCache.copyRows}. */
  override copyRows(
    from: CausalCache,
    rows: readonly number[],
    start = 0,
    end: number = from.length,
  ): void {
    super.copyRows(from, rows, start, end);
    [start, end] = [Math.min(start, this.length), this.length];
    if (!(from instanceof DecoderCache) || !from.#known) return;
    const source = from.#known;
    this.kind = from.kind;
    noGrad(() =>
      tidy(() => {
        const index = tensor([...rows], { dtype: "i32", device: source.device });
        copyInto(
          indexSelect(slice(source, null, [start, end]), 0, index),
          slice(this.#ids(), null, [start, end]),
        );
      })
    );
  }

  /** Gives the memory back. */
  override dispose(): void {
    this.#known?.dispose();
    super.dispose();
  }
}
