/**
 * What arguments are like: a program is for tensors of these shapes, strides and dtypes, sharing memory in this way.
 *
 * @module
 */
import { sameShape, type Shape } from "../../core/shape.ts";
import { TensorBase } from "../base.ts";
import { defaultDevice } from "../device.ts";
import { isRecording } from "../tape.ts";
import type { Leaf } from "./tree.ts";

/** A form of arguments that a program is for. */
export interface Form {
  readonly shape: string;
  readonly leaves: readonly LeafForm[];
  readonly isRecording: boolean;
  readonly device: string;
}

/** What an argument is like. */
export type LeafForm =
  | {
    readonly kind: "tensor";
    readonly dtype: string;
    readonly shape: Shape;
    readonly strides: readonly number[];
    readonly backend: unknown;
    readonly tape: "none" | "leaf" | "inside";
    /** The first argument on the same memory. */
    readonly shares: number;
  }
  | { readonly kind: "number"; value: number | null }
  | { readonly kind: "other"; readonly value: unknown };

/** How a tensor stands on the tape. */
export const tapeOf = (t: TensorBase): "none" | "leaf" | "inside" =>
  !t.node ? "none" : t.node.leaf ? "leaf" : "inside";

/** The form of arguments with these leaves, now. */
export function formOf(shape: string, leaves: readonly Leaf[]): Form {
  const forms = leaves.map((leaf, i): LeafForm => {
    if (leaf instanceof TensorBase) {
      const { dtype, shape, strides, storage } = leaf;
      const shares = leaves.findIndex((other) => other instanceof TensorBase && other.storage === storage);
      return {
        kind: "tensor",
        dtype,
        shape,
        strides,
        backend: storage.backend,
        tape: tapeOf(leaf),
        shares: shares < 0 ? i : shares,
      };
    }
    if (typeof leaf === "number") return { kind: "number", value: null };
    return { kind: "other", value: leaf };
  });
  return { shape, leaves: forms, isRecording: isRecording(), device: defaultDevice() };
}

/** Whether a program for `form` is one for these arguments, as far as they tell by themselves. */
export function fits(form: Form, shape: string, leaves: readonly Leaf[], recording: boolean): boolean {
  if (form.shape !== shape || form.isRecording !== recording || form.device !== defaultDevice()) return false;
  for (let i = 0; i < leaves.length; i++) {
    const own = form.leaves[i], leaf = leaves[i];
    if (own.kind === "number") {
      if (own.value !== null && !Object.is(own.value, leaf)) return false;
    } else if (own.kind === "other") {
      if (!Object.is(own.value, leaf)) return false;
    } else {
      const t = leaf as TensorBase, { storage } = t;
      if (own.dtype !== t.dtype || own.backend !== storage.backend || own.tape !== tapeOf(t)) return false;
      if (!sameShape(own.shape, t.shape) || !sameShape(own.strides, t.strides)) return false;
      if (own.shares !== i) {
        if ((leaves[own.shares] as TensorBase).storage !== storage) return false;
      } else {
        for (let j = 0; j < i; j++) {
          const other = leaves[j];
          if (other instanceof TensorBase && other.storage === storage) return false;
        }
      }
    }
  }
  return true;
}
