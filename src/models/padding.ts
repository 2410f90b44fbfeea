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
  expand,
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
import type { Ids, SeenOptions } from "./network.ts";
import type { Padding } from "./place.ts";

/** Numbers of ids or of a mask as a tensor. */
function asTensor(given: Ids, device: DeviceName): Tensor {
  return Array.isArray(given) || given instanceof Int32Array
    ? tensor(given as number[], { dtype: "i32", device })
    : given as Tensor;
}

/**
 * The position numbers of the last `time` of `all` columns, [batch, time], and which positions they may see, [batch, 1, time,
 * all]. The mask [batch, all] is 0 at padding; or it says itself what is seen: bool [batch, 1, time, all]. `positionIds` [batch,
 * time] are the numbers where they do not follow from the mask.
 *
 * @throws {ShapeError} for a mask or numbers of another shape.
 */
export function paddingOf(
  { attentionMask: mask, positionIds }: SeenOptions,
  batch: number,
  time: number,
  all: number,
  device: DeviceName,
): Padding {
  const numbers = positionIds === undefined ? null : positionsOf(positionIds, batch, time, all, device);
  if (mask === undefined) return { positions: numbers!, seen: null, real: null };
  const given = asTensor(mask, device);
  if (given.shape.length === 4) {
    const { shape: [rows, heads, queries, keys], dtype } = given;
    if (rows !== batch || heads !== 1 || queries !== time || keys !== all || dtype !== "bool") {
      throw new ShapeError(
        `attentionMask of 4 dims is bool [batch, 1, time, positions], here [${batch}, 1, ${time}, ${all}], not ${dtype} ` +
          formatShape(given.shape),
      );
    }
    const own = (): Tensor => expand(arange(all - time, all, { device, dtype: "i32" }), [batch, time]);
    return { positions: numbers ?? own(), seen: given, real: null };
  }
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
    positions: numbers ?? contiguous(slice(counted, null, last)),
    seen: logicalOr(reshape(real, [batch, 1, 1, all]), itself),
    real: contiguous(slice(real, null, last)),
  };
}

/**
 * Numbers of positions, [batch, time].
 * @throws {ShapeError} for another shape, and where the text has no such position.
 */
function positionsOf(given: Ids, batch: number, time: number, all: number, device: DeviceName): Tensor {
  const t = asTensor(given, device), whole = t.shape.length === 1 ? reshape(t, [1, -1]) : t;
  if (
    whole.shape.length !== 2 || whole.shape[0] !== batch || whole.shape[1] !== time || whole.dtype !== "i32"
  ) {
    throw new ShapeError(
      `positionIds is i32 [batch, time], here [${batch}, ${time}], not ${whole.dtype} ${
        formatShape(t.shape)
      }`,
    );
  }
  const plain = t === given ? [] : (given as readonly (number | readonly number[])[]);
  for (const id of Array.from(plain as ArrayLike<number | readonly number[]>).flat()) {
    if (Number.isInteger(id) && id >= 0 && id < all) continue;
    throw new ShapeError(
      `positionIds has ${id}, expected whole numbers below ${all}, the positions of a row`,
    );
  }
  return whole;
}
