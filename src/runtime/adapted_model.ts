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
    reach: (length) => model.reach?.(length) ?? model.contextLength,
    get prefixes() {
      return prefixes();
    },
    createCache: (batch, capacity, options) =>
      model.createCache(batch, capacity, { ...options, adapter: adapter?.name ?? null }),
    forward: (ids, options) => model.forward(ids, options),
    hidden: (ids, options) => model.hidden(ids as Ids, options),
    logits: (hidden) => set.using(adapter, () => model.logits(hidden)),
    namedParameters: () => model.namedParameters(),
  };
}

/** Rows of several adapters: those of each go through the model together, and come back in their order. */
export function rowsByStamp<C extends CausalCache>(
  ids: Ids,
  caches: readonly C[],
  stampOf: (cache: C) => Stamp | undefined,
  run: (ids: Ids, caches: readonly C[]) => Tensor,
): Tensor {
  // Every step of every batch comes this way, and most models have no adapter.
  if (caches.every((cache) => stampOf(cache) === undefined)) return run(ids, caches);
  const groups = Map.groupBy(caches.keys(), (row) => stampOf(caches[row])?.adapter);
  // Lists of unequal lengths are refused where all are read.
  const rows = Array.isArray(ids) ? ids.length : (ids as Tensor).shape?.[0];
  if (groups.size < 2 || rows !== caches.length) return run(ids, caches);
  const order = [...groups.values()].flat(), place = new Int32Array(order.length);
  order.forEach((row, i) => place[row] = i);
  const pick = (all: readonly number[]): Ids => {
    if (Array.isArray(ids)) return all.map((i) => ids[i]) as Ids;
    const t = ids as Tensor;
    return indexSelect(t, 0, tensor(Int32Array.from(all), { device: t.device }));
  };
  return noGrad(() =>
    tidy(() => {
      const parts = [...groups.values()].map((all) => run(pick(all), all.map((i) => caches[i])));
      return indexSelect(concat(parts, 0), 0, tensor(place, { device: parts[0].device }));
    })
  );
}
