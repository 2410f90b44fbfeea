/**
 * Half precision for weights: what a model file keeps.
 *
 * @module
 */
import { fromF16, toF16 } from "../core/half.ts";

/** The nearest values that f16 has. */
export function roundF16(values: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, (value) => fromF16(toF16(value)));
}
