/**
 * A part of a model: some of its layers, where others are computed elsewhere, before and after these.
 *
 * The network is one of fewer layers. What it begins with comes from the stage before, unless it is the first; what comes out of its
 * layers goes on as it is, unless it is the last.
 *
 * @module
 */
import type { Tensor } from "../ops/mod.ts";
import type { CausalCache } from "./cache.ts";
import type { Ids, SeenOptions } from "./network.ts";

/** Options of a network's `forward`. */
export type ForwardOptions =
  & { cache?: CausalCache | readonly CausalCache[]; lastOnly?: boolean }
  & SeenOptions;

/** Where the network stands among the others that make the model with it. */
export interface Stage {
  /** Whether it reads the ids. */
  readonly isFirst: boolean;
  /** Whether it gives the logits. */
  readonly isLast: boolean;
  /** Whether the network computes its own part now. */
  readonly isInside: boolean;
  /** What the layers before gave for the next `time` positions: [batch, time, width]. */
  enter(time: number): Tensor;
  /** The logits of the whole model; `own` computes this part. */
  forward(ids: Ids, options: ForwardOptions, own: (ids: Ids, options: ForwardOptions) => Tensor): Tensor;
  /** What comes out of the whole model's last norm; `own` computes this part. */
  hidden(ids: Ids, own: () => Tensor): Tensor;
}
