/**
 * Tensors as options.
 *
 * @module
 */
import { isFloat } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { type Kind, kind } from "../core/kinds.ts";
import { show } from "../core/show.ts";
import { TensorBase } from "./base.ts";

/** A tensor. */
export const aTensor: Kind = kind("a tensor", (x) => x instanceof TensorBase);

/**
 * What every operation that reads a tensor's shape asks first.
 * @throws {DTypeError} for anything but a tensor.
 */
export function demandTensor(what: string, x: unknown, name = "x"): void {
  if (!(x instanceof TensorBase)) throw notATensor(what, x, name);
}

function notATensor(what: string, x: unknown, name: string): DTypeError {
  return new DTypeError(`${what}: ${name} is ${show(x)}, expected a tensor (tensor(…) makes one)`);
}

/** @throws {DTypeError} unless argument number `k` may have a gradient. */
export function demandDifferentiable(what: string, { dtype }: TensorBase, k: number): void {
  if (isFloat(dtype)) return;
  throw new DTypeError(
    `${what}: argument ${k} is ${dtype}, and only floating-point tensors have gradients; convert it with .to({ dtype: "f32" })`,
  );
}
