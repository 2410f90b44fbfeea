/**
 * What a row of the table says about one elementwise operation.
 *
 * @module
 */
import type { Expr } from "./nodes.ts";

/** One elementwise operation: its meaning, its derivative, and what the derivative needs. */
export interface Row {
  /** Its name, PyTorch's in camelCase. */
  readonly name: string;
  /** How many operands it takes; each may be a tensor or a number. */
  readonly arity: number;
  /** How many further parameters follow the operands; these are always numbers. Default 0. */
  readonly scalars?: number;
  /** The result as an expression of the operands, then the parameters. */
  formula(...x: Expr[]): Expr;
  /**
   * ∂y/∂x for each operand, from the operands (and parameters) `x` and the result `y`; null where the operation is
   * not differentiable at all (comparisons, conditions). At kinks the value is PyTorch's.
   */
  derivative(x: readonly Expr[], y: Expr): readonly (Expr | null)[];
  /** What the derivative reads: its operands, the result alone, or neither. */
  readonly saves: "inputs" | "output" | "none";
  /**
   * The dtype of the result: `same` as the promoted operands (default); `float`, where integers promote to f32;
   * `bool`.
   */
  readonly result?: "same" | "float" | "bool";
}

/** Rows by name. */
export type Rows = Readonly<Record<string, Row>>;

/** Gives each row the name it stands under. */
export function named(rows: Readonly<Record<string, Omit<Row, "name">>>): Rows {
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, { name, ...row }]));
}
