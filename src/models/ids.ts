/**
 * Token ids as callers give them, checked and as tensors.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { isDynamic } from "../core/number.ts";
import { formatShape } from "../core/shape.ts";
import { reshape, type Tensor, tensor } from "../ops/mod.ts";
import { activeCapture } from "../tensor/mod.ts";
import type { CausalNetwork, Ids } from "./network.ts";

/** What ids are for: a network, with its name for messages. */
type For = Pick<CausalNetwork, "embeddings" | "vocabSize">;

/** The id, where there is just one: in plain lists, or i32 on `backend`, which stays there where no number can be seen. */
export function onlyId(ids: Ids, backend: Backend): number | Tensor | null {
  if (!Array.isArray(ids)) {
    const t = ids as Tensor;
    if (ids instanceof Int32Array || t.size !== 1 || t.dtype !== "i32" || t.backend !== backend) return null;
    const memory = backend.mapped?.(t.buffer);
    return memory ? new DataView(memory.buffer, memory.byteOffset).getInt32(4 * t.offset, true) : t;
  }
  if (ids.length !== 1) return null;
  const [first] = ids as readonly (number | readonly number[])[];
  const id = typeof first === "number" ? first : first.length === 1 ? first[0] : null;
  return typeof id === "number" ? id : null;
}

/** Checks ids before they go to the device. @throws {ShapeError} for an id outside the vocabulary. */
export function checkIds(title: string, vocabSize: number, ids: Iterable<number>, least = 0): void {
  for (const id of ids) {
    if (isDynamic(id)) {
      // In a compiled function each run has ids of its own.
      activeCapture()?.effect({}, () => {}, () => checkIds(title, vocabSize, [Number(id)], least));
      continue;
    }
    if (!Number.isInteger(id) || id < least || id >= vocabSize) {
      throw new ShapeError(`${title}: token id ${id} is outside the vocabulary of ${vocabSize}`);
    }
  }
}

/** Ids as a tensor [batch, time] on the model's device, checked against the vocabulary where they are plain numbers. */
export function idsAsTensor(title: string, { embeddings, vocabSize }: For, ids: Ids, least = 0): Tensor {
  const { device } = embeddings;
  let t: Tensor;
  if (ids instanceof Int32Array || Array.isArray(ids)) {
    const all = ids instanceof Int32Array ? ids : (ids as readonly (number | readonly number[])[]).flat();
    checkIds(title, vocabSize, all, least);
    t = ids instanceof Int32Array
      ? tensor(ids, { device })
      : tensor(ids as number[], { dtype: "i32", device });
  } else {
    t = ids as Tensor;
    if (t.dtype !== "i32" && t.dtype !== "i64") {
      throw new DTypeError(`${title}: token ids are i32 or i64, not ${t.dtype}`);
    }
  }
  if (t.shape.length === 1) t = reshape(t, [1, t.shape[0]]);
  if (t.shape.length !== 2 || t.size === 0) {
    throw new ShapeError(
      `${title}: ids are [batch, time] with at least one token, not ${formatShape(t.shape)}`,
    );
  }
  return t;
}
