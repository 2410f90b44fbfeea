/**
 * The attention of a decoding step: one new position for each of several texts, each with keys and values of its own.
 *
 * @module
 */
import { attentionStepKernels } from "../backends/kernels/attention_step.ts";
import { quantBlock } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { scaledDotProductAttention } from "./attention.ts";
import { contiguousView, copyInto, empty } from "./bridge.ts";
import { concat } from "./join.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice } from "./views.ts";

/**
 * Writes the key and value of row i of `qkv` [rows, 3, heads, width] at position `lengths[i]` of `keys[i]` and `values[i]`
 * ([1, heads, capacity, width], in place), and gives what its query finds among all positions up to that one:
 * [rows, heads, width]. Has no gradient. `places`, i32 [rows], holds the same lengths on the device: a recording of the step
 * (`Backend.record`) reads them from there.
 *
 * @throws {ShapeError} for lists of unequal length, or a text without room for a position.
 */
export function attentionStep(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[],
  places?: Tensor,
): Tensor {
  const [rows, , heads, width] = qkv.shape, scale = 1 / Math.sqrt(width);
  if (qkv.shape.length !== 4 || [keys, values, lengths].some((list) => list.length !== rows)) {
    throw new ShapeError(
      `attentionStep: qkv ${
        formatShape(qkv.shape)
      } is [rows, 3, heads, width], with keys, values and a length for each row`,
    );
  }
  keys.forEach(({ shape }, i) => {
    if (Number.isInteger(lengths[i]) && lengths[i] >= 0 && lengths[i] < shape[2]) return;
    throw new ShapeError(
      `attentionStep: text ${i} has ${lengths[i]} positions, and its cache holds ${shape[2]}`,
    );
  });
  const { backend } = qkv,
    { attentionStep: kernel, attentionDTypes = [] } = attentionStepKernels(backend),
    { dtype } = keys[0];
  const isStored = dtype === "f32" || (attentionDTypes.includes(dtype) && width % quantBlock === 0);
  const isLike = (t: Tensor): boolean =>
    t.dtype === dtype && t.strides[3] === 1 && t.shape[0] === 1 && t.shape[1] === heads &&
    t.shape[3] === width;
  const isRead = kernel && isStored && qkv.dtype === "f32" && keys.every(isLike) && values.every(isLike) &&
    values.every(({ strides }, i) => strides.every((step, d) => step === keys[i].strides[d]));
  return noGrad(() =>
    tidy(() => {
      if (isRead) {
        const out = empty([rows, heads, width], "f32", backend, "attentionStep");
        for (const list of [keys, values]) for (const { storage } of list) storage.version++;
        kernel(contiguousView(qkv), keys, values, lengths, out, scale, places);
        return out;
      }
      // What follows is for these lengths.
      backend.refuseRecording?.();
      const mixed = keys.map((_, row) => {
        const part = (i: number): Tensor => reshape(slice(qkv, row, i), [1, heads, 1, width]);
        const all = [keys[row], values[row]].map((held, i) => {
          copyInto(part(i + 1), slice(held, null, null, [lengths[row], lengths[row] + 1]));
          return slice(held, null, null, [0, lengths[row] + 1]);
        });
        return reshape(scaledDotProductAttention(part(0), all[0], all[1], { scale }), [1, heads, width]);
      });
      return rows === 1 ? mixed[0] : concat(mixed, 0);
    })
  );
}
