/**
 * How much each position looks at each before it, for looking at.
 *
 * @module
 */
import {
  arange,
  div,
  expand,
  gt,
  le,
  logicalOr,
  maskedFill,
  matmul,
  mul,
  reshape,
  softmax,
  sub,
  tanh,
  type Tensor,
  transpose,
  unsqueeze,
} from "../ops/mod.ts";
import { tidy } from "../tensor/mod.ts";
import type { AttendOptions } from "./attention.ts";

/** The probabilities of queries [batch, heads, time, width] and keys [batch, groups, time, width]: [batch, heads, time, time]. */
export function probabilities(q: Tensor, k: Tensor, options: AttendOptions = {}): Tensor {
  const [batch, heads, time, width] = q.shape, groups = k.shape[1];
  const { scale = 1 / Math.sqrt(width), softcap, window } = options;
  return tidy(() => {
    const keys = reshape(expand(unsqueeze(k, 2), [batch, groups, heads / groups, time, width]), q.shape);
    const products = mul(matmul(q, transpose(keys, 2, 3)), scale);
    const scores = softcap === undefined ? products : mul(tanh(div(products, softcap)), softcap);
    const places = arange(time, { device: q.device, dtype: "i32" }), last = unsqueeze(places, 1);
    const later = gt(places, last); // [time, time]
    const hidden = window === undefined ? later : logicalOr(later, le(places, sub(last, window)));
    return softmax(maskedFill(scores, expand(hidden, scores.shape), -Infinity));
  });
}
