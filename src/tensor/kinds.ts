/**
 * Tensors as options.
 *
 * @module
 */
import { type Kind, kind } from "../core/kinds.ts";
import { TensorBase } from "./base.ts";

/** A tensor. */
export const aTensor: Kind = kind("a tensor", (x) => x instanceof TensorBase);
