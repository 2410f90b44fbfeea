/**
 * Where the positions at work stand, and what their queries find: all that a forward pass has to be told of caches, of texts of
 * unequal length and of padding. So each network has one pass, whatever it is used for.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { Attend, KVCache, Recurrence } from "../nn/mod.ts";
import { attentionRows, type RowOptions } from "../ops/attention_rows.ts";
import {
  arange,
  concat,
  reshape,
  scaledDotProductAttention,
  slice,
  type Tensor,
  tensor,
} from "../ops/mod.ts";
import { activeCapture, perRun } from "../tensor/mod.ts";
import type { CausalCache } from "./cache.ts";

/**
 * What a network is told of the positions at work.
 *
 * @category Models
 */
export interface Place {
  /** How many of them in a text. */
  readonly time: number;
  /** The first of them, where all texts begin alike and it is known in JavaScript. */
  readonly start: number | null;
  /** The longest that a text may be by then: what tables of positions have to reach. */
  readonly reach: number;
  /** Their numbers, i32: [time], or [batch, time] where texts differ. */
  positions(): Tensor;
  /** What queries of a layer find among keys and values of their own positions and of those before. */
  attend(layer: number): Attend;
  /** What a layer with states finds of the positions before, and where it leaves them. */
  recur(layer: number): Recurrence;
  /** The tensors that `attend` needs, for whoever calls it when they are gone; null where a cache is filled, which is done once. */
  readonly held: readonly Tensor[] | null;
  /** The same place, with others that are the same in their stead. */
  holding(held: readonly Tensor[]): Place;
}

/** What is there of texts that are padded; see `padding.ts`. */
export interface Padding {
  /** Position numbers, [batch, time]. */
  readonly positions: Tensor;
  /** What may be seen, [batch, 1, time, all]; null: all that came before. */
  readonly seen: Tensor | null;
  /** Which of the positions at work are no padding, bool [batch, time]; null: all. */
  readonly real: Tensor | null;
}

/** `time` positions that follow those in a cache (or none), of texts that are equally long but for padding. */
export function placeBehind(
  cache: CausalCache | null,
  time: number,
  most: number,
  device: DeviceName,
  padding: Padding | null = null,
  isCounted = false,
): Place {
  // In a compiled function the length differs from run to run; who has to know it has a program for each.
  const isKnown = !cache || !activeCapture() || padding !== null || isCounted || cache.capacity > most;
  const start = isKnown ? cache?.length ?? 0 : null;
  let places: Tensor | null = null;
  const masks = [padding?.seen, padding?.real].filter((mask) => !!mask), held = cache ? null : masks;
  return {
    time,
    held,
    holding: (held) => {
      const others = [...held], next = (is: Tensor | null): Tensor | null => is && others.shift()!;
      const own = padding && { ...padding, seen: next(padding.seen), real: next(padding.real) };
      return placeBehind(cache, time, most, device, own, isCounted);
    },
    start: padding ? null : start,
    reach: start === null ? Math.min(most, cache!.capacity) : start + time,
    positions: () =>
      places ??= padding?.positions ??
        (start === null
          ? cache!.layers[0].positions(time)
          : arange(start, start + time, { dtype: "i32", device })),
    attend: (layer) => (q, k, v, options) => {
      const { keys, values } = cache ? cache.keysOf(layer).append(k, v) : { keys: k, values: v };
      return scaledDotProductAttention(q, keys, values, {
        ...options,
        isCausal: true,
        ...(padding?.seen ? { attnMask: padding.seen } : {}),
      });
    },
    recur: (layer) => ({
      before: cache?.stateOf(layer).now ?? null,
      real: padding?.real ?? null,
      seen: padding?.real ? null : padding?.seen ?? null,
      leave: (after) => cache?.stateOf(layer).leave(after),
    }),
  };
}

/**
 * One position more of each of several texts, each in a cache of its own, for texts that become no longer than `most`. What a
 * text gives does not depend on the others. Whoever uses it says {@link CausalCache.fill} afterwards.
 */
export function placeOfRows(caches: readonly CausalCache[], most: number, device: DeviceName): Place {
  const isCaptured = activeCapture() !== null,
    lengths = perRun(caches.length, () => caches.map((c) => c.next()));
  const places = tensor([...lengths], { dtype: "i32", device }); // [rows]
  const known = isCaptured ? null : lengths;
  const place: Place = {
    time: 1,
    held: null,
    holding: () => place,
    start: null,
    reach: known
      ? 1 + Math.max(...known)
      : Math.min(most, Math.max(...caches.map(({ capacity }) => capacity))),
    positions: () => reshape(places, [-1, 1]),
    attend: (layer) => (q, k, v, { scale, softcap, window }) => {
      const flat = (t: Tensor): Tensor => reshape(t, [t.shape[0], t.shape[1], t.shape[3]]);
      const held = (of: (layer: KVCache) => Tensor): Tensor[] =>
        caches.map((cache) => of(cache.keysOf(layer)));
      const options: RowOptions = {
        ...(scale === undefined ? {} : { scale }),
        ...(softcap === undefined ? {} : { softcap }),
        ...(window === undefined ? {} : { window }),
      };
      const keys = held((own) => own.keys), values = held((own) => own.values);
      return reshape(
        attentionRows(flat(q), flat(k), flat(v), keys, values, known ?? places, options),
        q.shape,
      );
    },
    recur: (layer) => {
      const own = caches.map((cache) => cache.stateOf(layer)), [{ now }] = own;
      return {
        before: now.map((state, i) => own.length === 1 ? state : concat(own.map(({ now }) => now[i]))),
        real: null,
        seen: null,
        leave: (after) =>
          own.forEach((state, row) =>
            state.leave(own.length === 1 ? after : after.map((t) => slice(t, [row, row + 1])))
          ),
      };
    },
  };
  return place;
}
