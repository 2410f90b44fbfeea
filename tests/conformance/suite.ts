/** What the parts of the conformance suite share. */
import type { Backend } from "../../src/backends/contract.ts";
import type { DType } from "../../src/core/dtype.ts";
import type { Workbench } from "../_views.ts";

/** What is known of a device before its suite runs. */
export interface ConformanceOptions {
  /** Error of an elementwise operation that is not exact, in f32 ulp. Default 4. */
  readonly tolerance?: number;
  /** Whether numbers below 2^-126 are kept (default true); WGSL lets a GPU take them for 0. */
  readonly subnormals?: boolean;
  /** Whether quotients and square roots are the correctly rounded ones. Default true. */
  readonly roundedQuotients?: boolean;
  /** Called once before the tests. */
  readonly ready?: (backend: Backend) => Promise<void>;
  /** Called once after the tests. */
  readonly close?: (backend: Backend) => void;
}

/** One part of the suite: declares tests that make their own workbench from `open`. */
export type Part = (
  open: (seed?: number) => Workbench,
  options: Required<Pick<ConformanceOptions, "tolerance" | "subnormals" | "roundedQuotients">>,
) => void;

/** The floating-point types that `bench`'s device has. */
export function floatsOf(bench: Workbench): DType[] {
  return (["f64", "f32", "f16", "bf16"] as const).filter((dtype) => bench.backend.supports(dtype));
}

/** The integer types that `bench`'s device has. */
export function integersOf(bench: Workbench): DType[] {
  return (["i64", "i32", "u8", "bool"] as const).filter((dtype) => bench.backend.supports(dtype));
}

/** The type in which a device computes with elements of `dtype`. */
export function computeType(dtype: DType): "f32" | "f64" | "i32" | "i64" {
  if (dtype === "f64" || dtype === "i64") return dtype;
  return dtype === "i32" || dtype === "u8" || dtype === "bool" ? "i32" : "f32";
}

/** Shapes that have tails, no elements, single elements, many axes. */
export const shapes: readonly (readonly number[])[] = [
  [],
  [1],
  [0],
  [7],
  [64],
  [1031],
  [3, 5],
  [5, 16],
  [17, 33],
  [4, 0, 3],
  [2, 1, 9],
  [3, 4, 5],
  [2, 3, 4, 5],
  [2, 1, 3, 2, 3],
];
