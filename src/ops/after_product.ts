/**
 * What may follow a product before the next layer: an activation, dropout, a residual.
 *
 * @module
 */
import { tidy } from "../tensor/mod.ts";
import { dropout } from "./dropout.ts";
import { add } from "./elementwise.ts";
import type { AffineOptions } from "./matmul.ts";
import { row } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/** dropout(activation(product)) + residual, of a product whose bias is added already. */
export function afterProduct(product: Tensor, options: AffineOptions): Tensor {
  const { activation, dropout: p = 0, residual } = options;
  return tidy(() => {
    const kept = dropout(activation ? row(activation, product) : product, p, true);
    return residual ? add(residual, kept) : kept;
  });
}
