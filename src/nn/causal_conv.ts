/**
 * A depthwise causal convolution along time: each channel's sum of its last few values, as the mixers beside attention have it.
 *
 * Its memory of earlier positions is the tail of what it saw. Padding is skipped, wherever it stands: a text gives what it gives
 * without. Sums run tap by tap, so that a position gives the same bits alone and among others.
 *
 * @module
 */
import {
  add,
  arange,
  argsort,
  concat,
  expand,
  full,
  gather,
  indexSelect,
  maximum,
  mul,
  reshape,
  slice,
  sub,
  type Tensor,
  toDType,
  unsqueeze,
  zeros,
} from "../ops/mod.ts";
import type { Recurrence } from "./state_cache.ts";

/** Whether each of the last `time` positions sees the one `back` before it, by `seen` [batch, 1, time, positions]: [batch, time, 1]. */
export function seesBack(seen: Tensor, time: number, back: number): Tensor {
  const [batch, , , keys] = seen.shape, place = { dtype: "i32", device: seen.device } as const;
  const index = maximum(add(mul(arange(time, place), keys + 1), keys - time - back), 0);
  return reshape(indexSelect(reshape(seen, [batch, time * keys]), 1, index), [batch, time, 1]);
}

/** Results of a causal convolution, and what later positions need of it. */
export interface CausalConvResult {
  /** [batch, time, channels]. */
  readonly y: Tensor;
  /** The last inputs, [batch, kernel − 1, channels]; null for a kernel of 1. */
  readonly tail: Tensor | null;
}

/**
 * x [batch, time, channels] → the same shape: `y[t] = Σ weight[.., 0, i] · x[t − kernel + 1 + i] + bias`. weight [channels, 1,
 * kernel] as PyTorch's depthwise `Conv1d` has it; `tail` is what an earlier call gave, null where the text begins.
 */
export function causalConv(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  tail: Tensor | null,
  { real, seen }: Pick<Recurrence, "real" | "seen">,
): CausalConvResult {
  const [batch, time, channels] = x.shape, past = weight.shape[2] - 1, all = past + time;
  const place = { dtype: "i32", device: x.device } as const;
  let z = x, back: Tensor | null = null;
  if (past > 0) {
    const before = tail ?? zeros([batch, past, channels], { device: x.device });
    z = concat([toDType(before, x.dtype), x], 1);
    if (real) {
      // Padding goes before everything else, so that what is left stands side by side.
      const is = concat([full([batch, past], 1, place), toDType(real, "i32")], 1);
      const order = argsort(add(mul(is, all), arange(all, place)), 1);
      const along = (index: Tensor): Tensor => expand(unsqueeze(index, 2), [batch, index.shape[1], channels]);
      z = gather(z, 1, along(order));
      back = along(maximum(sub(slice(argsort(order, 1), null, [past, null]), past), 0));
    }
  }
  let y: Tensor | null = null;
  for (let i = 0; i <= past; i++) {
    const values = slice(z, null, [i, i + time]), own = slice(weight, null, 0, i);
    const visible = seen && i < past ? mul(values, toDType(seesBack(seen, time, past - i), x.dtype)) : values;
    const part = mul(visible, own);
    y = y ? add(y, part) : part;
  }
  if (bias) y = add(y!, bias);
  return {
    y: back ? gather(y!, 1, back) : y!,
    tail: past > 0 ? slice(z, null, [time, all]) : null,
  };
}
