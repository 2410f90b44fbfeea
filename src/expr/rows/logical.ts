/**
 * Rows of the table: comparisons and questions, whose results are truth values and have no derivative.
 *
 * @module
 */
import { eq, ge, gt, le, lt, max, mul, ne, not, sub } from "../build.ts";
import type { Expr } from "../nodes.ts";
import { named, type Row, type Rows } from "../row.ts";

function question(arity: number, formula: (...x: Expr[]) => Expr): Omit<Row, "name"> {
  const none: readonly null[] = new Array<null>(arity).fill(null);
  return { arity, formula, derivative: () => none, saves: "none", result: "bool" };
}

/** Comparisons and questions. */
export const logical: Rows = named({
  eq: question(2, (x, y) => eq(x, y)),
  ne: question(2, (x, y) => ne(x, y)),
  lt: question(2, (x, y) => lt(x, y)),
  le: question(2, (x, y) => le(x, y)),
  gt: question(2, (x, y) => gt(x, y)),
  ge: question(2, (x, y) => ge(x, y)),
  logicalAnd: question(2, (x, y) => mul(ne(x, 0), ne(y, 0))),
  logicalOr: question(2, (x, y) => max(ne(x, 0), ne(y, 0))),
  logicalXor: question(2, (x, y) => ne(ne(x, 0), ne(y, 0))),
  logicalNot: question(1, (x) => not(x)),
  isnan: question(1, (x) => ne(x, x)),
  // ∞ - ∞ is NaN; for integers the difference is 0 and all are finite.
  isinf: question(1, (x) => mul(ne(sub(x, x), 0), eq(x, x))),
  isfinite: question(1, (x) => eq(sub(x, x), 0)),
});
