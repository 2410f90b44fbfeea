/**
 * In which dtype a network's activations are while it trains in mixed precision.
 *
 * As with PyTorch's `torch.autocast`: within {@link autocast} layers that multiply take what they are given in 16 bits, embeddings
 * begin so, norms and attention compute in f32 and give 16 bits on, and softmax and losses are in f32. Weights are the
 * caller's: a trainer puts copies of 16 bits in their place.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";
import { activeCapture } from "./capture/gate.ts";

/** The dtypes that activations may have instead of f32. */
export type HalfType = "f16" | "bf16";

const scope: { dtype: HalfType | null } = { dtype: null };

/** The dtype of activations: f32 outside of {@link autocast}. */
export function autocastDType(): "f32" | HalfType {
  activeCapture()?.guard(scope, "dtype", () => scope.dtype);
  return scope.dtype ?? "f32";
}

/** Whether `dtype` is one of 16 bits. */
export function isHalf(dtype: DType): dtype is HalfType {
  return dtype === "f16" || dtype === "bf16";
}

/** Runs `f`, in which activations are of `dtype`. */
export function autocast<T>(dtype: HalfType, f: () => T): T {
  const before = scope.dtype;
  scope.dtype = dtype;
  try {
    return f();
  } finally {
    scope.dtype = before;
  }
}
