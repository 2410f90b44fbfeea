/**
 * What may be an argument or a result beside tensors: what says by itself whether it is still the same.
 *
 * @module
 */
import { CaptureError } from "../../core/errors.ts";
import { isDynamic } from "../../core/number.ts";
import { TensorBase } from "../base.ts";
import { TraceBackend } from "./trace_backend.ts";
import type { Leaf } from "./tree.ts";

/** @throws {CaptureError} for an argument whose contents would stay those of the first call. */
export function demandSteady(leaves: readonly Leaf[]): void {
  for (const leaf of leaves) {
    if (typeof leaf !== "object" || leaf === null || leaf instanceof TensorBase) continue;
    const isNumbers = ArrayBuffer.isView(leaf) || leaf instanceof ArrayBuffer;
    if (!isNumbers && !(leaf instanceof Map || leaf instanceof Set || leaf instanceof Date)) continue;
    throw new CaptureError(
      `compile: an argument is a ${leaf.constructor.name}, whose ${
        isNumbers ? "numbers" : "contents"
      } would stay those of the first call: pass ${
        isNumbers ? "a tensor of it" : "numbers and tensors in lists and plain objects"
      }`,
    );
  }
}

/** @throws {CaptureError} for a result that would be made while the function is traced and never again. */
export function demandResult(leaf: Leaf): void {
  if (typeof leaf !== "object" || leaf === null || isDynamic(leaf)) return;
  const { next, then } = leaf as Record<string, unknown>;
  if (typeof next === "function" || typeof then === "function") {
    throw new CaptureError(
      `compile: the function gives ${
        typeof next === "function" ? "an iterator" : "a promise"
      }, which goes on when it has ended: give all results in lists and plain objects`,
    );
  }
  const held = Object.values(leaf).find((item) =>
    item instanceof TensorBase && (item.isDisposed || item.storage.backend instanceof TraceBackend)
  );
  if (held) {
    throw new CaptureError(
      `compile: the function gives ${
        nameOf(leaf)
      } that holds a tensor it made: give tensors in lists and plain objects`,
    );
  }
}

function nameOf(leaf: object): string {
  return leaf.constructor?.name ? `a ${leaf.constructor.name}` : "an object";
}
