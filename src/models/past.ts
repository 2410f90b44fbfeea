/**
 * A forward pass whose cache is given as tensors and given back as tensors: what a program or a graph says of a model, where
 * no memory outlives a run.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import {
  arange,
  concat,
  gt,
  logicalAnd,
  scaledDotProductAttention,
  sub,
  type Tensor,
  unsqueeze,
} from "../ops/mod.ts";
import { keep, tidy } from "../tensor/mod.ts";
import type { CausalModel } from "./causal.ts";
import type { SeenOptions } from "./network.ts";
import { paddingOf } from "./padding.ts";
import type { Padding, Place } from "./place.ts";

/** Keys and values of a layer, [batch, heads, positions, width]. */
export interface PastLayer {
  /** Keys. */
  readonly keys: Tensor;
  /** Values. */
  readonly values: Tensor;
}

/** What a network gives whose past is given. */
export interface PastResult {
  /** [batch, time, vocab]. */
  readonly logits: Tensor;
  /** Keys and values of all positions, by layer. */
  readonly present: readonly PastLayer[];
}

/**
 * `time` positions that follow a past which is given as tensors; `present` gets that of each layer with the new ones behind it.
 * No text becomes longer than `reach`.
 */
function placeBehindPast(
  past: readonly PastLayer[],
  present: PastLayer[],
  time: number,
  reach: number,
  { positions, seen }: Padding,
): Place {
  const place: Place = {
    time,
    held: null,
    holding: () => place,
    start: null,
    reach,
    positions: () => positions,
    recur: () => {
      throw new OptionError("a past given as tensors has keys and values, and no states of layers");
    },
    attend: (layer) => (q, k, v, { window, ...options }) => {
      const before = past[layer], keys = keep(concat([before.keys, k], 2)), all = keys.shape[2];
      const values = keep(concat([before.values, v], 2));
      present[layer] = { keys, values };
      let mask = seen!;
      if (window !== undefined) {
        // In tensors: how many keys there are differs from run to run.
        const place = { dtype: "i32", device: q.device } as const,
          own = unsqueeze(arange(all - time, all, place), 1);
        mask = logicalAnd(mask, gt(arange(all, place), sub(own, window)));
      }
      return scaledDotProductAttention(q, keys, values, { ...options, isCausal: true, attnMask: mask });
    },
  };
  return place;
}

/**
 * Logits for ids [batch, time] that follow `past`, with the keys and values of all positions. `positionIds` [batch, time] and
 * `attentionMask` [batch, all positions] are those of {@link CausalModel.forward}.
 */
export function forwardPast(
  model: CausalModel,
  ids: Tensor,
  past: readonly PastLayer[],
  seen: Required<SeenOptions>,
): PastResult {
  const present: PastLayer[] = [], [batch, time] = ids.shape, all = time + past[0].keys.shape[2];
  return tidy(() => {
    const padding = paddingOf(seen, batch, time, all, ids.device);
    const hidden = model.through(ids, placeBehindPast(past, present, time, model.reach(1), padding));
    return { logits: model.logits(hidden), present };
  });
}
