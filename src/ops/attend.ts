/**
 * Scaled dot-product attention (Vaswani et al. 2017), with the online softmax of FlashAttention (Dao et al. 2022)
 * where the device has a kernel: then no matrix of scores is ever stored.
 *
 * @module
 */
import { attendsInOrder, attentionKernels } from "../backends/kernels/attention.ts";
import { type DType, isQuantized, quantBlock } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { fused, isHalf, noGrad, tidy } from "../tensor/mod.ts";
import { contiguousView, copy, copyInto, empty, wantsGradient } from "./bridge.ts";
import { arange } from "./create.ts";
import { dropout } from "./dropout.ts";
import { add, div, gt, le, logicalOr, maskedFill, mul, sub, where } from "./elementwise.ts";
import { tanh } from "./functions.ts";
import { matmul } from "./matmul.ts";
import { toDType } from "./row.ts";
import { softmax } from "./softmax.ts";
import type { Tensor } from "./tensor.ts";
import { contiguous, expand, reshape, slice, transpose, unsqueeze } from "./views.ts";

/**
 * Options of `scaledDotProductAttention`.
 *
 * @category Products, attention, norms
 */
export interface AttentionOptions {
  /** Row i sees keys up to i + (keys − rows): with a cache of earlier keys, all of those too. Default false. */
  isCausal?: boolean;
  /** What scores are multiplied by. Default 1 / √width. */
  scale?: number;
  /** bool (true: may be seen) or added to the scores; broadcasts to [batch, heads, rows, keys]. */
  attnMask?: Tensor;
  /** Dropout of the probabilities, for training; takes the long way, with the scores in memory. Default 0. */
  dropoutP?: number;
  /** Scores are kept within ± this by `softcap · tanh(score / softcap)` (Gemma 2); takes the long way too. */
  softcap?: number;
  /** How many keys back a row looks, its own included (Mistral); only with `isCausal`. Default: all of them. */
  window?: number;
}

/** Whether rows have unit stride, which is what kernels read. */
function readable(t: Tensor): boolean {
  return t.strides[3] === 1 || t.shape[3] === 1;
}

/** Memory for a tensor like t, [batch, heads, time, width], with the heads of one time side by side: they join for free. */
function timeFirst(t: Tensor, dtype: DType = "f32"): Tensor {
  const [batch, heads, time, width] = t.shape;
  return transpose(empty([batch, time, heads, width], dtype, t.backend, "attention"), 1, 2);
}

const halfTimeFirst = (t: Tensor): Tensor => timeFirst(t, t.dtype);

/** Numbers of 16 bits that are in f32 at once. */
const mostWide = 1 << 15;

/** Calls `f` with what gives a part of the batch, so that few of its numbers are in f32 at once. */
function eachRows({ shape: [batch, ...rest] }: Tensor, f: (part: (t: Tensor) => Tensor) => void): void {
  const each = Math.max(1, Math.floor(mostWide / sizeOf(rest)));
  for (let from = 0; from < batch; from += each) {
    noGrad(() => tidy(() => f((t) => slice(t, [from, Math.min(batch, from + each)]))));
  }
}

/** What `scaledDotProductAttention` does once its options are known and k and v are what they look like. */
export function attend(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { isCausal = false, attnMask, dropoutP = 0, softcap, window = Infinity } = options;
  const [batch, heads, rows, width] = q.shape, keys = k.shape[2], groups = k.shape[1];
  const fits = q.shape.length === 4 && k.shape.length === 4 && v.shape.length === 4 && k.shape[0] === batch &&
    v.shape[0] === batch && k.shape[3] === width && v.shape[2] === keys && v.shape[1] === groups &&
    heads % groups === 0;
  if (!fits) {
    throw new ShapeError(
      `scaledDotProductAttention: q ${formatShape(q.shape)}, k ${formatShape(k.shape)}, v ${
        formatShape(v.shape)
      } do ` +
        `not fit: they are [batch, heads, time, width]`,
    );
  }
  // Scores and sums of probabilities in half precision would lose digits: worked on in f32.
  const isSmall = isHalf(q.dtype) && q.dtype === k.dtype && q.dtype === v.dtype && wantsGradient([q, k, v]);
  if (isHalf(q.dtype) && !isSmall) {
    const wide = (t: Tensor): Tensor => toDType(t, "f32");
    return tidy(() => toDType(attend(wide(q), wide(k), wide(v), options), q.dtype));
  }
  const scale = options.scale ?? 1 / Math.sqrt(width);
  const isPlain = !attnMask && !dropoutP && softcap === undefined && window >= keys;
  // Kernels count in 31 bits; keys that repeat may be more.
  const isCounted = Math.max(k.size, v.size) < 2 ** 31;
  const { attention, attentionBackward, attentionDTypes = [], attentionInOrder } = attentionKernels(
    q.backend,
  );
  // A row before all keys sees none: its softmax is NaN, and so are gradients, by the definition alone.
  const seesKeys = !isCausal || rows <= keys;
  // In order it is computed whatever is hidden.
  const isOrderly = attendsInOrder(q.backend, keys) && !dropoutP &&
    (!attnMask || attnMask.dtype === "bool") && seesKeys &&
    (isPlain || !wantsGradient([q, k, v]));
  /** By the kernel, into `output`. */
  const byKernel = (output: Tensor, lse: Tensor | null): void => {
    if (!isOrderly) {
      return attention!(readable(q) ? q : contiguousView(q), k, v, output, lse, scale, isCausal);
    }
    const mask = attnMask && expand(attnMask, [batch, heads, rows, keys]), far = window < keys ? window : 0;
    const seen = mask && (readable(mask) ? mask : contiguous(mask));
    const query = readable(q) ? q : contiguousView(q);
    attentionInOrder!(query, k, v, output, lse, scale, isCausal, softcap ?? 0, far, seen ?? null);
  };
  if (!isSmall && [k, v].some(({ dtype }) => isHalf(dtype) || isQuantized(dtype))) {
    // A cache in fewer bits: read as it is, or as floats made of it.
    const isRead = attention && k.dtype === v.dtype && attentionDTypes.includes(k.dtype) &&
      width % quantBlock === 0 &&
      v.shape[3] === width && (isPlain || isOrderly) && q.dtype === "f32" && q.size > 0 && keys > 0 &&
      isCounted && readable(k) && readable(v) && !wantsGradient([q, k, v]);
    if (!isRead) {
      const wide = (t: Tensor): Tensor => toDType(t, q.dtype);
      return tidy(() => attend(q, wide(k), wide(v), options));
    }
    return tidy(() => {
      const output = timeFirst(q);
      byKernel(output, null);
      return output;
    });
  }
  const isTaken = attention && (isPlain || isOrderly) && seesKeys && v.shape[3] === width && q.size > 0 &&
    keys > 0 && isCounted;
  if (isSmall) {
    if (isTaken && attentionBackward && isPlain) return attendInHalf(q, k, v, { ...options, scale });
    const wide = (t: Tensor): Tensor => toDType(t, "f32");
    return tidy(() => toDType(attend(wide(q), wide(k), wide(v), options), q.dtype));
  }
  const usable = isTaken && [q, k, v].every((t) => t.dtype === "f32");
  if (usable && ![q, k, v].every(readable)) {
    return tidy(() => attend(contiguous(q), contiguous(k), contiguous(v), options));
  }
  const inputs = [q, k, v];
  return fused<Tensor>({
    name: "scaledDotProductAttention",
    inputs: attnMask ? [...inputs, attnMask] : inputs,
    definition(q, k, v, mask) {
      const wide = (t: Tensor): Tensor =>
        groups === heads ? t : reshape(
          expand(unsqueeze(t, 2), [batch, groups, heads / groups, keys, t.shape[3]]),
          [batch, heads, keys, t.shape[3]],
        );
      let scores = mul(matmul(q, transpose(wide(k), 2, 3)), scale);
      if (softcap !== undefined) scores = mul(tanh(div(scores, softcap)), softcap);
      if (isCausal) {
        const place = { device: q.device, dtype: "i32" } as const, all = arange(keys, place);
        const last = add(unsqueeze(arange(rows, place), 1), keys - rows);
        const hidden = window < keys ? logicalOr(gt(all, last), le(all, sub(last, window))) : gt(all, last);
        scores = maskedFill(scores, expand(hidden, scores.shape), -Infinity);
      }
      if (mask) scores = mask.dtype === "bool" ? where(mask, scores, -Infinity) : add(scores, mask);
      return matmul(dropout(softmax(scores), dropoutP), wide(v));
    },
    kernel: usable
      ? () => {
        const output = timeFirst(q);
        const lse = empty([batch, heads, rows], "f32", q.backend, "attention");
        byKernel(output, lse);
        return { output, keep: [output, lse] };
      }
      : null,
    gradient: attentionBackward && isPlain
      ? (g, [q, k, v], [out, lse]) => {
        const [dq, dk, dv] = [q, k, v].map((t) => timeFirst(t));
        const dout = readable(g) ? g : contiguousView(g);
        attentionBackward(dout, q, k, v, out, lse, dq, dk, dv, scale, isCausal);
        return [dq, dk, dv];
      }
      : null,
  });
}

/**
 * Attention of f16 or bf16 that is trained, by the device's kernels: they compute in f32, and what is kept for the gradient is
 * as small as what was given.
 */
function attendInHalf(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { attention, attentionBackward } = attentionKernels(q.backend);
  const { scale = 1, isCausal = false } = options, [batch, heads, rows] = q.shape;
  const wide = (t: Tensor): Tensor => copy(t, "f32");
  return fused<Tensor>({
    name: "scaledDotProductAttention",
    inputs: [q, k, v],
    definition(...inputs) {
      const [q, k, v] = inputs.map((t) => toDType(t, "f32"));
      return toDType(attend(q, k, v, options), inputs[0].dtype);
    },
    kernel() {
      const output = halfTimeFirst(q), lse = empty([batch, heads, rows], "f32", q.backend, "attention");
      eachRows(q, (part) => {
        const out = timeFirst(part(q));
        attention!(wide(part(q)), wide(part(k)), wide(part(v)), out, part(lse), scale, isCausal);
        copyInto(out, part(output));
      });
      return { output, keep: [output, lse] };
    },
    gradient(g, [q, k, v], [out, lse]) {
      const flow = [q, k, v].map(halfTimeFirst);
      eachRows(q, (part) => {
        const [dq, dk, dv] = [q, k, v].map((t) => timeFirst(part(t)));
        const [dout, wq, wk, wv, y] = [g, q, k, v, out].map((t) => wide(part(t)));
        attentionBackward!(dout, wq, wk, wv, y, part(lse), dq, dk, dv, scale, isCausal);
        [dq, dk, dv].forEach((t, i) => copyInto(t, part(flow[i])));
      });
      return flow;
    },
  });
}
