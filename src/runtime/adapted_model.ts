/**
 * A model with one of its adapters, beside others that use it with another: what each text is computed with follows from its
 * cache, so that texts of several adapters can go on in turn, or in the same round.
 *
 * @module
 */
import type { BatchLanguageModel, PrefixStore } from "../generate/mod.ts";
import type { CacheDType, CausalCache, Ids } from "../models/mod.ts";
import type { AdapterSet, Lora } from "../nn/lora.ts";
import { concat, indexSelect, type Tensor, tensor } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";

/** What caches were made with. */
export interface Stamp {
  readonly set: AdapterSet;
  readonly adapter: Lora | null;
}

/** What the model does for it. */
export interface AdaptedSource extends BatchLanguageModel<CausalCache> {
  createCache(
    batch?: number,
    capacity?: number,
    options?: { dtype?: CacheDType; adapter?: string | null },
  ): CausalCache;
  hidden(ids: Ids, options?: { cache?: CausalCache }): Tensor;
  logits(hidden: Tensor): Tensor;
  namedParameters(): [string, Tensor][];
}

/** The model with the adapter of `stamp`, whatever the others use. */
export function adaptedModel(
  model: AdaptedSource,
  { set, adapter }: Stamp,
  prefixes: () => PrefixStore<CausalCache> | null,
): BatchLanguageModel<CausalCache> {
  return {
    contextLength: model.contextLength,
    get prefixes() {
      return prefixes();
    },
    createCache: (batch, capacity, options) =>
      model.createCache(batch, capacity, { ...options, adapter: adapter?.name ?? null }),
    forward: (ids, options) => model.forward(ids, options),
    forwardRows: (ids, caches) => model.forwardRows(ids, caches),
    hidden: (ids, options) => model.hidden(ids as Ids, options),
    logits: (hidden) => set.using(adapter, () => model.logits(hidden)),
    namedParameters: () => model.namedParameters(),
  };
}

/** Rows of several adapters: those of each go through the model together, and come back in their order. */
export function rowsByStamp<C extends CausalCache>(
  ids: readonly number[],
  caches: readonly C[],
  stampOf: (cache: C) => Stamp | undefined,
  run: (ids: readonly number[], caches: readonly C[]) => Tensor,
): Tensor {
  const groups = new Map<Lora | null | undefined, number[]>();
  caches.forEach((cache, row) => {
    const key = stampOf(cache)?.adapter;
    groups.set(key, [...groups.get(key) ?? [], row]);
  });
  if (groups.size === 1) return run(ids, caches);
  const order = [...groups.values()].flat(), place = new Int32Array(order.length);
  order.forEach((row, i) => place[row] = i);
  return noGrad(() =>
    tidy(() => {
      const parts = [...groups.values()].map((rows) =>
        run(rows.map((i) => ids[i]), rows.map((i) => caches[i]))
      );
      return indexSelect(concat(parts, 0), 0, tensor(place, { device: parts[0].device }));
    })
  );
}
