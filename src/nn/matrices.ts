/**
 * The matrices of a model, and which of them lie in blocks when the model is quantised: the one answer for what is saved, loaded and
 * trained in blocks.
 *
 * @module
 */
import { type DType, isQuantized } from "../core/dtype.ts";
import type { Tensor } from "../ops/mod.ts";
import { Conv1D } from "./layers.ts";
import { isParameter, type Module } from "./module.ts";
import { matrixDType } from "./quantized.ts";

/** Whether `value` is a weight that lies transposed when it is quantised. */
export function isTransposing(module: Module, value: Tensor): boolean {
  return module instanceof Conv1D && module.weight === value;
}

const tables = new WeakSet<Module>();

/** Marks `module` as never quantised: a table that is only looked up, row by row, or a router whose choices would change. */
export function lookedUp<M extends Module>(module: M): M {
  tables.add(module);
  return module;
}

/** Whether `module` was marked as never quantised. */
export function isLookedUp(module: Module): boolean {
  return tables.has(module);
}

/** A matrix, and where it stands in a model. */
export interface MatrixPlace {
  readonly holder: Record<string, unknown>;
  readonly key: string;
  /** Its path in the model. */
  readonly name: string;
  readonly weight: Tensor;
  /** Whether it is [in, out], and its blocks are those of its transpose. */
  readonly isTurned: boolean;
  /** Whether it is only looked up. */
  readonly isTable: boolean;
}

/** Where parameters of two or more axes stand in `model`; one that stands in two places comes twice. */
export function matrixPlaces(model: Module): MatrixPlace[] {
  return model.namedModules().flatMap(([path, module]) =>
    Object.entries(module).flatMap(([key, weight]) =>
      !isParameter(weight) || weight.shape.length < 2 ? [] : [{
        holder: module as unknown as Record<string, unknown>,
        key,
        name: path ? `${path}.${key}` : key,
        weight,
        isTurned: isTransposing(module, weight),
        isTable: isLookedUp(module),
      }]
    )
  );
}

/** Over how many values the sums of a matrix run. */
export function depthOf({ weight: { shape }, isTurned }: MatrixPlace): number {
  return shape[isTurned ? 0 : 1];
}

/** What a matrix is held as when `dtype` is wanted. */
export function heldUnder(dtype: DType, place: MatrixPlace): DType {
  return isQuantized(dtype) && place.isTable ? "f32" : matrixDType(dtype, depthOf(place));
}
