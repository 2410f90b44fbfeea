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

/**
 * The ids where there is one for each of `rows` texts: numbers, in plain lists or where they can be seen on `backend`, or i32
 * [rows, 1] that stays there; null for others.
 */
export function idsOfStep(ids: Ids, rows: number, backend: Backend): readonly number[] | Tensor | null {
  if (Array.isArray(ids)) {
    const list = ids as readonly (number | readonly number[])[];
    if (list.length !== rows) return null;
    const found = list.map((id) => typeof id === "number" ? id : id.length === 1 ? id[0] : NaN);
    const isPlain = found.every(Number.isFinite) &&
      (rows === 1 || list.every((id) => typeof id !== "number"));
    return isPlain ? found : null;
  }
  const t = ids as Tensor;
  if (ids instanceof Int32Array || t.size !== rows || t.dtype !== "i32" || t.backend !== backend) return null;
  if (rows > 1 && (t.shape.length !== 2 || t.shape[0] !== rows)) return null;
  const memory = backend.mapped?.(t.buffer);
  if (!memory) return reshape(t, [rows, 1]);
  const view = new DataView(memory.buffer, memory.byteOffset), step = rows > 1 ? t.strides[0] : 0;
  return Array.from({ length: rows }, (_, i) => view.getInt32(4 * (t.offset + i * step), true));
}

/**
 * Checks ids before they go to the device.
 * @throws {ShapeError} for an id outside the vocabulary.
 */
export function checkIds(title: string, vocabSize: number, ids: Iterable<number>, least = 0): void {
  for (const id of ids) {
    if (isDynamic(id)) {
      // In a compiled function each run has ids of its own.
      activeCapture()?.eachRun(() => checkIds(title, vocabSize, [Number(id)], least));
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
