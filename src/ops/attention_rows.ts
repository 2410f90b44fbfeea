/**
 * The attention of a decoding step: one new position for each of several texts, each with keys and values of its own, of which
 * several heads of queries may share a head (Ainslie et al. 2023). In one call where the device has a kernel.
 *
 * @module
 */
import { attentionStepKernels } from "../backends/kernels/attention_step.ts";
import { quantBlock } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { attend, type AttentionOptions } from "./attend.ts";
import { alias, contiguousView, copyInto, empty } from "./bridge.ts";
import { arange } from "./create.ts";
import { eq, gt, le, logicalAnd, sub, where } from "./elementwise.ts";
import { concat } from "./join.ts";
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
  const [rows, heads, width] = q.shape, groups = k.shape[1];
  if (keys.length !== rows || values.length !== rows || k.shape[0] !== rows || heads % groups !== 0) {
    throw new ShapeError(
      `attentionRows: q ${formatShape(q.shape)} and k ${
        formatShape(k.shape)
      } are [rows, heads, width], with keys, values and a length for each row`,
    );
  }
  const known = Array.isArray(lengths) ? lengths as readonly number[] : null;
  known?.forEach((length, i) => {
    if (length < keys[i].shape[2]) return;
    throw new ShapeError(
      `the key-value cache of text ${i} holds ${counted(keys[i].shape[2], "position")}, and is full`,
    );
  });
  const { scale = 1 / Math.sqrt(width), softcap, window } = options;
  return noGrad(() =>
    tidy(() => {
      const found = byKernel(q, k, v, keys, values, lengths, scale, softcap ?? 0, window ?? 0);
      if (found) return found;
      const mixed = Array.from({ length: rows }, (_, row) => {
        const upright = (t: Tensor): Tensor => reshape(slice(t, [row, row + 1]), [1, t.shape[1], 1, width]);
        const query = upright(q), added = [k, v].map(upright), held = [keys[row], values[row]];
        const given = {
          scale,
          ...(softcap === undefined ? {} : { softcap }),
          ...(window === undefined ? {} : { window }),
        };
        const mixed = known
          ? attendAt(query, added, held, known[row], given)
          : attendWhere(query, added, held, slice(lengths as Tensor, [row, row + 1]), given);
        return reshape(mixed, [1, heads, width]);
      });
      return rows === 1 ? mixed[0] : concat(mixed, 0);
    })
  );
}

/** By the kernel of a step; null where the device has none that reads such keys and values. */
function byKernel(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[] | Tensor,
  scale: number,
  softcap: number,
  window: number,
): Tensor | null {
  const { backend, shape: [, , width] } = q, { dtype } = keys[0], groups = k.shape[1];
  const { attentionStep: kernel, attentionDTypes = [] } = attentionStepKernels(backend);
  const isStored = dtype === "f32" || (attentionDTypes.includes(dtype) && width % quantBlock === 0);
  const isLike = (t: Tensor): boolean =>
    t.dtype === dtype && t.strides[3] === 1 && t.shape[0] === 1 && t.shape[1] === groups &&
    t.shape[3] === width;
  const isRead = kernel && isStored && [q, k, v].every((t) => t.dtype === "f32") && v.shape[2] === width &&
    [...keys, ...values].every(isLike) &&
    values.every(({ strides }, i) => strides.every((step, d) => step === keys[i].strides[d]));
  if (!isRead) return null;
  const out = empty(q.shape, "f32", backend, "attentionStep");
  for (const list of [keys, values]) for (const { storage } of list) storage.version++;
  const known = Array.isArray(lengths) ? lengths as readonly number[] : null;
  const qkv = sideBySide(q, k, v) ?? contiguousView(concat([q, k, v], 1));
  const places = known ? undefined : contiguousView(lengths as Tensor);
  kernel(qkv, keys, values, known ?? keys.map(() => 0), out, scale, places, softcap, window);
  return out;
}

/** Queries, keys and values as they lie, where that is side by side: [rows, heads + 2 · groups, width]. */
function sideBySide(q: Tensor, k: Tensor, v: Tensor): Tensor | null {
  const [rows, heads, width] = q.shape, groups = k.shape[1], all = heads + 2 * groups, step = all * width;
  const places = [q.offset, q.offset + heads * width, q.offset + (heads + groups) * width];
  const isBeside = [q, k, v].every((t, i) =>
    t.storage === q.storage && t.offset === places[i] && (rows === 1 || t.strides[0] === step) &&
    (t.shape[1] === 1 || t.strides[1] === width) && (width === 1 || t.strides[2] === 1)
  );
  return isBeside ? alias(q, [rows, all, width], [step, width, 1], q.offset) : null;
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
  return attend(q, k, v, { ...options, isCausal: true });
}

/** The same at a position that only the device knows: all that fit are looked at, and those behind it looked past. */
function attendWhere(
  q: Tensor,
  added: readonly Tensor[],
  held: readonly Tensor[],
  place: Tensor,
  { window, ...options }: RowOptions,
): Tensor {
  const positions = arange(held[0].shape[2], { dtype: "i32", device: place.device }); // [capacity]
  held.forEach((t, i) => {
    if (t.dtype !== "q8") return void writeAt(t, added[i], place);
    // Blocks are written whole: all positions, the others as they are.
    const here = unsqueeze(eq(positions, place), 1); // [capacity, 1]
    copyInto(where(here, added[i], toDType(t, "f32")), t);
  });
  const before = le(positions, place);
  const seen = window === undefined ? before : logicalAnd(before, gt(positions, sub(place, window)));
  const [k, v] = held.map((t) => toDType(t, q.dtype));
  // What is left there of earlier texts may be no number, and nothing times that is none either.
  const mixed = where(unsqueeze(before, 1), v, 0);
  return attend(q, k, mixed, { ...options, attnMask: reshape(seen, [1, 1, 1, -1]) });
}

/** Writes `fresh` [batch, heads, new, width] at the positions `places` (i32 [new]) of `whole`; see `appendAt`. */
export function writeAt(whole: Tensor, fresh: Tensor, places: Tensor): void {
  const { backend, dtype, shape: [batch, heads, , width] } = whole, written = toDType(fresh, dtype);
  const index = alias(places, [batch, heads, places.size, width], [0, 0, places.strides[0], 0]);
  whole.storage.version++;
  backend.scatter("set", whole, 2, index, written);
  index.dispose();
}
