/**
 * The table: every elementwise operation as one row, its formula, its derivative and what that needs.
 *
 * Devices, tensors, gradients and tests all read the same rows, so a new operation is one row here and one
 * conformance case. Names and conventions at kinks are PyTorch's.
 *
 * @module
 */
import type { Row } from "./row.ts";
import { activations } from "./rows/activations.ts";
import { arithmetic } from "./rows/arithmetic.ts";
import { logical } from "./rows/logical.ts";
import { transcendental } from "./rows/transcendental.ts";

export type { Row } from "./row.ts";

/** Every row by its name. */
export const table: Readonly<Record<string, Row>> = {
  ...arithmetic,
  ...transcendental,
  ...activations,
  ...logical,
};
