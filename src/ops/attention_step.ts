/**
 * The attention of a decoding step: one new position for each of several texts, each with keys and values of its own.
 *
 * @module
 */
import { attentionStepKernels } from "../backends/kernels/attention_step.ts";
import type { Kernels } from "../backends/contract.ts";
import { quantBlock } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { scaledDotProductAttention } from "./attention.ts";
import { contiguousView, copyInto, demandTensor, demandTensors, empty } from "./bridge.ts";
import { arange } from "./create.ts";
import { eq, le, where } from "./elementwise.ts";
import { concat } from "./join.ts";
import { toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice, unsqueeze } from "./views.ts";

/**
 * Writes the key and value of row i of `qkv` [rows, 3, heads, width] at position `lengths[i]` of `keys[i]` and `values[i]`
 * ([1, heads, capacity, width], in place), and gives what its query finds among all positions up to that one:
 * [rows, heads, width]. Has no gradient. `lengths` may be a tensor, i32 [rows]: then they are read where they are, by a
 * program too, and whoever gives them sees to it that they are below the capacity.
 *
 * @throws {ShapeError} for lists of unequal length, or a text without room for a position.
 * @category Products, attention, norms
 */
export function attentionStep(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  lengths: readonly number[] | Tensor,
): Tensor {
  demandTensor("attentionStep", qkv, "qkv");
  demandTensors("attentionStep", keys, "keys");
  demandTensors("attentionStep", values, "values");
  if (!Array.isArray(lengths)) demandTensor("attentionStep", lengths, "lengths, which are no list,");
  const [rows, , heads, width] = qkv.shape, scale = 1 / Math.sqrt(width);
  const known = Array.isArray(lengths) ? lengths as readonly number[] : null,
    places = known ? undefined : lengths as Tensor;
  const count = known ? known.length : places!.size;
  if (qkv.shape.length !== 4 || keys.length !== rows || values.length !== rows || count !== rows) {
    throw new ShapeError(
      `attentionStep: qkv ${
        formatShape(qkv.shape)
      } is [rows, 3, heads, width], with keys, values and a length for each row`,
    );
  }
  known?.forEach((length, i) => {
    if (Number.isInteger(length) && length >= 0 && length < keys[i].shape[2]) return;
    throw new ShapeError(
      `attentionStep: text ${i} has ${length} positions, and its cache holds ${keys[i].shape[2]}`,
    );
  });
  const kernel = stepKernel(qkv, keys, values);
  return noGrad(() =>
    tidy(() => {
      if (kernel) return kernel(known ?? places!, scale);
      const mixed = keys.map((_, row) => {
        const part = (i: number): Tensor => reshape(slice(qkv, row, i), [1, heads, 1, width]),
          held = [keys[row], values[row]];
        const mixed = known
          ? attendAt(part, held, known[row], scale)
          : attendWhere(part, held, slice(places!, [row, row + 1]), scale);
        return reshape(mixed, [1, heads, width]);
      });
      return rows === 1 ? mixed[0] : concat(mixed, 0);
    })
  );
}

/**
 * The same for `qkv` [rows, heads + 2 · groups, width], where several heads of queries share one of keys; null where the device has
 * none for it.
 */
export function groupedStepKernel(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
): StepKernel | null {
  const groups = keys[0].shape[1], [rows, all, width] = qkv.shape, { backend } = qkv;
  const kernel = attentionStepKernels(backend).attentionStepGrouped;
  if (!kernel || !areRead(qkv, keys, values, groups, width)) return null;
  return runs(kernel.bind(backend.kernels), qkv, keys, values, [rows, all - 2 * groups, width]);
}

/** Runs a device's kernel: what each query of `qkv` finds, [rows, heads, width]. */
export type StepKernel = (lengths: readonly number[] | Tensor, scale: number) => Tensor;

/** The kernel for a step of these texts, or null where the device has none that reads such keys and values. */
export function stepKernel(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
): StepKernel | null {
  demandTensor("stepKernel", qkv, "qkv");
  demandTensors("stepKernel", keys, "keys");
  demandTensors("stepKernel", values, "values");
  const [rows, , heads, width] = qkv.shape, { backend } = qkv;
  const { attentionStep: kernel } = attentionStepKernels(backend);
  if (!kernel || !areRead(qkv, keys, values, heads, width)) return null;
  return runs(kernel.bind(backend.kernels), qkv, keys, values, [rows, heads, width]);
}

/** Whether kernels read such keys and values. */
function areRead(
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  heads: number,
  width: number,
): boolean {
  const { dtype } = keys[0], { attentionDTypes = [] } = attentionStepKernels(qkv.backend);
  const isStored = dtype === "f32" || (attentionDTypes.includes(dtype) && width % quantBlock === 0);
  const isLike = (t: Tensor): boolean =>
    t.dtype === dtype && t.strides[3] === 1 && t.shape[0] === 1 && t.shape[1] === heads &&
    t.shape[3] === width;
  return isStored && qkv.dtype === "f32" && keys.every(isLike) && values.every(isLike) &&
    values.every(({ strides }, i) => strides.every((step, d) => step === keys[i].strides[d]));
}

function runs(
  kernel: NonNullable<Kernels["attentionStep"]>,
  qkv: Tensor,
  keys: readonly Tensor[],
  values: readonly Tensor[],
  shape: readonly number[],
): StepKernel {
  return (lengths, scale) => {
    const known = Array.isArray(lengths) ? lengths as readonly number[] : null;
    const out = empty(shape, "f32", qkv.backend, "attentionStep");
    for (const list of [keys, values]) for (const { storage } of list) storage.version++;
    const places = known ? undefined : lengths as Tensor;
    kernel(contiguousView(qkv), keys, values, known ?? keys.map(() => 0), out, scale, places);
    return out;
  };
}

/** A step at a position that is known. */
function attendAt(part: (i: number) => Tensor, held: readonly Tensor[], at: number, scale: number): Tensor {
  const all = held.map((t, i) => {
    copyInto(part(i + 1), slice(t, null, null, [at, at + 1]));
    return slice(t, null, null, [0, at + 1]);
  });
  return scaledDotProductAttention(part(0), all[0], all[1], { scale });
}

/** The same at a position that only the device knows: all positions are written, the others as they are, and looked past. */
function attendWhere(
  part: (i: number) => Tensor,
  held: readonly Tensor[],
  place: Tensor,
  scale: number,
): Tensor {
  const positions = arange(held[0].shape[2], { dtype: "i32", device: place.device }); // [capacity]
  const here = unsqueeze(eq(positions, place), 1); // [capacity, 1]
  held.forEach((t, i) => copyInto(where(here, part(i + 1), toDType(t, "f32")), t));
  const seen = le(positions, place), [k, v] = held.map((t) => toDType(t, "f32"));
  // What is left there of earlier texts may be no number, and nothing times that is none either.
  const values = where(unsqueeze(seen, 1), v, 0);
  return scaledDotProductAttention(part(0), k, values, { scale, attnMask: reshape(seen, [1, 1, 1, -1]) });
}
