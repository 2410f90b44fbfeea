/**
 * Where the kernels of attention find heads and rows, [batch, heads, time, width].
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { param } from "../gpu.ts";
import { type Binding, load } from "../wgsl/elements.ts";

/** Up to so many rows have a workgroup each; more are taken in tiles. */
export const fewRows = 4;

/** Views of [batch, heads, time, width] as parameters: the offset and three strides each; the last stride is 1. */
export function headParams(views: readonly View[]): number[] {
  return views.flatMap((v) => [v.offset, v.strides[0], v.strides[1], v.strides[2]]);
}

/** Where a row begins; `first` is the parameter at which the view's four stand. */
export function headRow(first: number, batch: string, head: string, row: string): string {
  return `(${param(first)} + ${batch} * ${param(first + 1)} + ${head} * ${param(first + 2)} + ${row} * ${
    param(first + 3)
  })`;
}

/** Element `at` of a view of f32. */
export function element(b: Binding, at: string): string {
  return load(b, "f32", at, "f32");
}

/** Views of [batch, heads, …] are cut between texts: the heads of one lie among each other. */
export function byBatch(): number {
  return 0;
}

/** From one batch, and one head, of log Σ exp [batch, heads, rows] to the next. */
export function lseSteps(lse: View | null): number[] {
  return lse ? [lse.strides[0], lse.strides[1]] : [0, 0];
}
