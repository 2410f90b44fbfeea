/**
 * How reductions bring elements together, in vectors.
 *
 * @module
 */
import type { Expr, Program } from "../../../expr/nodes.ts";
import { binary } from "../../../expr/nodes.ts";
import { emitExtreme64 } from "../math/integer.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";
import { shapeOf } from "./operations.ts";

/** What elements are folded with; `first` is the minimum of positions, which are never NaN. */
export type Fold = "sum" | "prod" | "max" | "min" | "first";

/** Every fold. */
export const folds: readonly Fold[] = ["sum", "prod", "max", "min", "first"];

type ComputeType = Program["type"];

const ops = { sum: "add", prod: "mul", max: "max", min: "min", first: "min" } as const;

/** The number that changes nothing. */
export function identityOf(fold: Fold, type: ComputeType): number | bigint {
  if (fold === "sum") return 0;
  if (fold === "prod") return 1;
  const low = fold === "max";
  if (type === "f32") return low ? -Infinity : Infinity;
  if (type === "i32") return low ? -2147483648 : 2147483647;
  return low ? -(2n ** 63n) : 2n ** 63n - 1n;
}

/** The fold of two expressions. */
export function foldOf(fold: Fold, x: Expr, y: Expr): Expr {
  return binary(ops[fold], x, y);
}

/** The fold of x and y, lane by lane. Maximum and minimum pass NaN on. */
export function emitCombine(w: VectorWriter, fold: Fold, type: ComputeType, x: Vectors, y: Vectors): Vectors {
  const shape = shapeOf(type), op = ops[fold];
  if (op === "add" || op === "mul") return w.op(`${shape}.${op}`, x, y);
  if (fold === "first" && shape === "f32x4") return w.atMost(x, y);
  if (shape === "i64x2") return emitExtreme64(w, op, x, y);
  return w.op(shape === "f32x4" ? `f32x4.${op}` : `i32x4.${op}_s`, x, y);
}
