/**
 * What tensors are called, for messages: the longest path under which a module was asked for its parameters.
 *
 * @module
 */
import type { TensorBase } from "./base.ts";

const names = new WeakMap<TensorBase, string>();

/** Remembers that `t` stands at `path` of a module; the module around it gives the longer path, which stays. */
export function nameTensor(t: TensorBase, path: string): void {
  if (path.length > (names.get(t)?.length ?? 0)) names.set(t, path);
}

/** Its name, or undefined where no module was asked. */
export function nameOf(t: TensorBase): string | undefined {
  return names.get(t);
}
