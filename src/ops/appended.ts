/**
 * Keys and values behind those that a cache holds, at positions that only the device knows.
 *
 * In a compiled function the number of positions that are filled differs from run to run. So what is new is written where a
 * tensor of positions says, and what comes back looks like the filled part as it is while the function is traced, with a note
 * of what it really is. Attention reads the note, and looks at all positions, past those that are not filled. Whoever
 * asks for the shape instead is told the one of now, and the program is then for that number of positions alone.
 *
 * @module
 */
import { tidy } from "../tensor/mod.ts";
import { attend, type AttentionOptions } from "./attend.ts";
import { attentionRows, writeAt } from "./attention_rows.ts";
import { arange } from "./create.ts";
import { gt, le, logicalAnd, sub, where } from "./elementwise.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { contiguous, expand, reshape, slice, unsqueeze } from "./views.ts";

/** What a tensor that looks like the filled part of a cache really is. */
interface Appended {
  /** The whole cache, [batch, heads, capacity, width]. */
  readonly whole: Tensor;
  /** What was written, [batch, heads, new, width]. */
  readonly fresh: Tensor;
  /** Where: i32 [new], the last of them the last that is filled. */
  readonly places: Tensor;
}

const notes = new WeakMap<object, Appended>();

/**
 * Writes `fresh` [batch, heads, new, width] at the positions `places` (i32 [new]) of `whole` [batch, heads, capacity, width],
 * which is contiguous, and gives a view of its first `end` positions. `look` is called when its shape is asked for.
 */
export function appendAt(
  whole: Tensor,
  fresh: Tensor,
  places: Tensor,
  end: number,
  look: () => void,
): Tensor {
  const written = toDType(fresh, whole.dtype);
  writeAt(whole, written, places);
  const view = slice(whole, null, null, [0, end]), seen = view.shape;
  for (const [name, value] of [["shape", seen], ["strides", view.strides], ["size", view.size]] as const) {
    Object.defineProperty(view, name, {
      get() {
        look();
        return value;
      },
    });
  }
  notes.set(view, { whole, fresh: written, places });
  return view;
}

/** Attention over keys and values of {@link appendAt}, whatever their number; null for others, and where a mask counts them. */
export function attendAppended(
  q: Tensor,
  keys: Tensor,
  values: Tensor,
  options: AttentionOptions,
): Tensor | null {
  const k = notes.get(keys), v = notes.get(values);
  if (!k || !v || k.places !== v.places || options.attnMask || options.dropoutP) return null;
  const [batch, heads, rows, width] = q.shape, [, groups, capacity] = k.whole.shape, { places } = k;
  const { isCausal = false, scale, softcap, window } = options;
  if (q.shape.length !== 4 || rows !== places.size) return null;
  const isStep = rows === 1 && heads % groups === 0 && v.whole.shape[3] === width &&
    q.dtype === "f32";
  const given = {
    ...(scale === undefined ? {} : { scale }),
    ...(softcap === undefined ? {} : { softcap }),
  };
  return tidy(() => {
    if (isStep) {
      const flat = (t: Tensor): Tensor => reshape(toDType(t, "f32"), [batch, t.shape[1], width]);
      const texts = (t: Tensor): Tensor[] => Array.from({ length: batch }, (_, i) => slice(t, [i, i + 1]));
      const all = contiguous(expand(places, [batch])),
        own = window === undefined ? given : { ...given, window };
      const parts = [q, k.fresh, v.fresh].map(flat) as [Tensor, Tensor, Tensor];
      return reshape(attentionRows(...parts, texts(k.whole), texts(v.whole), all, own), q.shape);
    }
    const all = arange(capacity, { dtype: "i32", device: q.device }), own = unsqueeze(places, 1);
    const filled = le(all, slice(places, [rows - 1, rows])); // [capacity]
    let seen = isCausal ? le(all, own) : expand(unsqueeze(filled, 0), [rows, capacity]); // [rows, capacity]
    if (window !== undefined) seen = logicalAnd(seen, gt(all, sub(own, window)));
    // What is left of earlier texts may be no number, and nothing times that is none either.
    const mixed = where(unsqueeze(filled, 1), toDType(v.whole, q.dtype), 0);
    return attend(q, toDType(k.whole, q.dtype), mixed, { ...given, attnMask: seen });
  });
}
