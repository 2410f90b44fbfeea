/**
 * The attention of a decoding step with grouped heads: one new position for each of several texts, each with keys and values of
 * its own, of which several heads of queries may share a head (Ainslie et al. 2023).
 *
 * A device without a kernel for groups has one with as many heads of keys as of queries: of queries that share keys it takes one
 * of each group at a time; what it writes each time is the same key and value. What it does not know (a cap of scores, a window that some keys
 * are out of) is done in ordinary operations.
 *
 * @module
 */
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { type AttentionOptions, scaledDotProductAttention } from "./attention.ts";
import { groupedStepKernel, stepKernel } from "./attention_step.ts";
import { copyInto } from "./bridge.ts";
import { arange } from "./create.ts";
import { eq, gt, le, logicalAnd, sub, where } from "./elementwise.ts";
import { concat, stack } from "./join.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice, unsqueeze } from "./views.ts";

/** How scores are made of queries and keys; see {@link AttentionOptions}. */
export type RowOptions = Pick<AttentionOptions, "scale" | "softcap" | "window">;

/**
 * Writes row i of `k` and `v` [rows, groups, width] at position `lengths[i]` of `keys[i]` and `values[i]` ([1, groups, capacity,
 * width], in place), and gives what the queries `q` [rows, heads, width] find among all positions up to that one: [rows, heads,
 * width]. Has no gradient. `lengths` may be a tensor, i32 [rows], which a program reads anew each time it runs.
 */
export function attentionRows(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[] | Tensor,
  options: RowOptions = {},
): Tensor {
  const [rows, heads, width] = q.shape, groups = k.shape[1], share = heads / groups;
  if (keys.length !== rows || values.length !== rows || k.shape[0] !== rows || !Number.isInteger(share)) {
    throw new ShapeError(
      `attentionRows: q ${formatShape(q.shape)} and k ${
        formatShape(k.shape)
      } are [rows, heads, width], with keys, values and a length for each row`,
    );
  }
  const known = Array.isArray(lengths) ? lengths as readonly number[] : null;
  known?.forEach((length, i) => {
    if (length < keys[i].shape[2]) return;
    throw new ShapeError(`the key-value cache of text ${i} holds ${keys[i].shape[2]} positions, and is full`);
  });
  const { scale = 1 / Math.sqrt(width), softcap, window = Infinity } = options;
  // A window that no key is out of is none; each text goes its own way, so that it is what it would be alone.
  const isPlain = (row: number): boolean =>
    softcap === undefined && (known ? known[row] < window : window === Infinity);
  const all = Array.from({ length: rows }, (_, row) => row);
  return noGrad(() =>
    tidy(() => {
      if (all.every(isPlain)) {
        const found = bySteps(q, k, v, keys, values, lengths, scale);
        if (found) return found;
      }
      const mixed = all.map((row) => {
        const own = (t: Tensor): Tensor => slice(t, [row, row + 1]), at = known?.[row];
        const [query, ...added] = [q, k, v].map(own), held = [keys[row], values[row]];
        const place = at === undefined ? own(lengths as Tensor) : [at];
        const found = isPlain(row)
          ? bySteps(query, added[0], added[1], [held[0]], [held[1]], place, scale)
          : null;
        if (found) return found;
        const upright = (t: Tensor): Tensor => reshape(t, [1, t.shape[1], 1, width]);
        const others = added.map(upright), rest = { ...options, scale };
        return reshape(
          at === undefined
            ? attendWhere(upright(query), others, held, place as Tensor, rest)
            : attendAt(upright(query), others, held, at, rest),
          [1, heads, width],
        );
      });
      return rows === 1 ? mixed[0] : concat(mixed, 0);
    })
  );
}

/** By the kernel of a step, where there is one: [rows, heads, width]. */
function bySteps(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[] | Tensor,
  scale: number,
): Tensor | null {
  const [rows, heads, width] = q.shape, groups = k.shape[1], share = heads / groups;
  if (share > 1) {
    const grouped = groupedStepKernel(concat([q, k, v], 1), keys, values);
    if (grouped) return grouped(lengths, scale);
  }
  const each = reshape(q, [rows, groups, share, width]), parts: Tensor[] = [];
  for (let i = 0; i < share; i++) {
    const qkv = reshape(concat([slice(each, null, null, i), k, v], 1), [rows, 3, groups, width]);
    const kernel = stepKernel(qkv, keys, values);
    if (!kernel) return null;
    parts.push(kernel(lengths, scale));
  }
  return share === 1 ? parts[0] : reshape(stack(parts, 2), q.shape);
}

/** A step at a position that is known. */
function attendAt(
  q: Tensor,
  added: readonly Tensor[],
  held: readonly Tensor[],
  at: number,
  options: RowOptions,
): Tensor {
  const [k, v] = held.map((t, i) => {
    copyInto(added[i], slice(t, null, null, [at, at + 1]));
    return slice(t, null, null, [0, at + 1]);
  });
  return scaledDotProductAttention(q, k, v, { ...options, isCausal: true });
}

/** The same at a position that only the device knows: all positions are written, the others as they are, and looked past. */
function attendWhere(
  q: Tensor,
  added: readonly Tensor[],
  held: readonly Tensor[],
  place: Tensor,
  { window, ...options }: RowOptions,
): Tensor {
  const positions = arange(held[0].shape[2], { dtype: "i32", device: place.device }); // [capacity]
  const here = unsqueeze(eq(positions, place), 1); // [capacity, 1]
  held.forEach((t, i) => copyInto(where(here, added[i], toDType(t, "f32")), t));
  const before = le(positions, place);
  const seen = window === undefined ? before : logicalAnd(before, gt(positions, sub(place, window)));
  const [k, v] = held.map((t) => toDType(t, "f32"));
  return scaledDotProductAttention(q, k, v, { ...options, attnMask: reshape(seen, [1, 1, 1, -1]) });
}
