/**
 * Which properties hold the tensors that a program uses: where one is exchanged, the program is of yesterday.
 *
 * Modules register themselves; a tensor in a variable that a function closes over cannot be seen from here.
 *
 * @module
 */
import { TensorBase } from "../base.ts";
import type { Storage } from "../storage.ts";
import { registeredHolders } from "./gate.ts";

/** A property that holds a tensor. */
export interface Holder {
  /** The object. */
  readonly object: Record<string, unknown>;
  /** The property. */
  readonly name: string;
  /** What it holds. */
  readonly tensor: TensorBase;
}

/** The properties of registered objects that hold tensors on one of `storages`. */
export function holdersOf(storages: readonly Storage[]): Holder[] {
  const wanted = new Set(storages), found: Holder[] = [];
  if (!wanted.size) return found;
  for (const holder of registeredHolders()) {
    const object = holder as Record<string, unknown>;
    for (const [name, tensor] of Object.entries(object)) {
      if (tensor instanceof TensorBase && !tensor.isDisposed && wanted.has(tensor.storage)) {
        found.push({ object, name, tensor });
      }
    }
  }
  return found;
}
