/**
 * Texts as vectors: what comes out of a model's last norm, pooled over the positions of a text.
 *
 * @module
 */
import { flag, oneOf } from "../core/kinds.ts";
import { OptionError } from "../core/errors.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import type { CausalNetwork } from "../models/mod.ts";
import {
  abs,
  clamp,
  concat,
  div,
  max,
  mean,
  norm,
  reshape,
  slice,
  type Tensor,
  toDType,
} from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";

/**
 * How positions become one vector: the mean of all, the last one (which has seen the whole text), or the first, as models
 * that see both ways have it.
 *
 * @category Models
 */
export type Pooling = "mean" | "last" | "cls";

/**
 * Options of `embed`.
 *
 * @category Models
 */
export interface EmbedOptions {
  /** How positions become one vector. Default "mean". */
  pooling?: Pooling;
  /** Whether vectors have the length 1, so that their product is the cosine between them. Default true. */
  normalize?: boolean;
}

/** {@link EmbedOptions} as data. */
export const embedOptions: OptionTable<EmbedOptions> = {
  pooling: oneOf("mean", "last", "cls"),
  normalize: flag,
};

/** The vectors [texts, width] of texts of ids, each computed alone, so that none depends on its neighbours. */
export function embedIds(
  network: CausalNetwork,
  texts: readonly (readonly number[])[],
  options: EmbedOptions,
): Tensor {
  const { pooling = "mean", normalize = true } = checkOptions("embed", options, embedOptions);
  if (texts.length === 0) throw new OptionError("embed: there are no texts; give a list of at least one");
  const empty = texts.findIndex(({ length }) => length === 0);
  if (empty >= 0) throw new OptionError(`embed: text ${empty} has no tokens; leave it out`);
  return noGrad(() =>
    tidy(() => {
      const rows = texts.map((ids) => {
        const hidden = toDType(network.hidden([ids]), "f32"); // [1, time, width]
        const pooled = pooling === "mean"
          ? mean(hidden, 1)
          : slice(hidden, null, pooling === "last" ? -1 : 0);
        return reshape(pooled, [1, -1]);
      });
      const all = concat(rows, 0);
      return normalize ? div(all, clamp(norm(all, 1, true), 1e-12)) : all;
    })
  );
}

/** The first text whose vector is not all finite numbers, and what it has; null where all are. */
export async function notFinite(vectors: Tensor): Promise<{ text: number; has: string } | null> {
  using sizes = noGrad(() => tidy(() => max(abs(vectors), 1)));
  const found = await sizes.data() as Float32Array, text = found.findIndex((x) => !Number.isFinite(x));
  return text < 0 ? null : { text, has: Number.isNaN(found[text]) ? "NaN" : "an infinity" };
}
