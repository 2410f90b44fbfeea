/**
 * Texts of unequal length in one batch: a mask says which positions are padding. They are not counted, and nothing but they
 * themselves looks at them, so that a row gives what its text gives alone (transformers' `attention_mask`, with the
 * `position_ids` that its `generate` makes of it).
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import {
  arange,
  contiguous,
  cumsum,
  eq,
  logicalOr,
  maximum,
  ne,
  reshape,
  slice,
  sub,
  type Tensor,
  tensor,
  toDType,
  unsqueeze,
} from "../ops/mod.ts";
import type { Ids } from "./network.ts";

/**
 * The position numbers of the last `time` of `all` columns, [batch, time], and which positions they may see, [batch, 1, time,
 * all]. `mask` [batch, all] is 0 at padding.
 *
 * @throws {ShapeError} for a mask of another shape.
 */
export function paddingOf(
  mask: Ids,
  batch: number,
  time: number,
  all: number,
  device: DeviceName,
): { positions: Tensor; seen: Tensor } {
  const given = Array.isArray(mask) || mask instanceof Int32Array
    ? tensor(mask as number[], { dtype: "i32", device })
    : mask as Tensor;
  const whole = given.shape.length === 1 ? reshape(given, [1, -1]) : given;
  if (whole.shape.length !== 2 || whole.shape[0] !== batch || whole.shape[1] !== all) {
    throw new ShapeError(
      `attentionMask is [batch, positions], here [${batch}, ${all}], not ${formatShape(given.shape)}`,
    );
  }
  const real = ne(whole, 0), last: [number, null] = [all - time, null];
  const counted = maximum(sub(cumsum(toDType(real, "i32"), 1), 1), 0);
  // Padding sees itself: with nothing to see it would be NaN, and 0 times that is NaN for all who look past it.
  const places = arange(all, { device, dtype: "i32" });
  const itself = eq(unsqueeze(slice(places, last), 1), places); // [time, all]
  return {
    positions: contiguous(slice(counted, null, last)),
    seen: logicalOr(reshape(real, [batch, 1, 1, all]), itself),
  };
}
