/**
 * Products of rows with matrices that they choose, as mixtures of experts have them (Shazeer et al. 2017).
 *
 * By a kernel where the device has one. By definition the matrices that rows chose are picked where these are fewer than all, and else
 * each matrix is multiplied with all rows.
 *
 * @module
 */
import { expertKernels } from "../backends/kernels/experts.ts";
import { isFloat, isQuantized } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { contiguousView, empty, wantsGradient } from "./bridge.ts";
import { arange } from "./create.ts";
import { add, eq, mul, where } from "./elementwise.ts";
import { indexSelect } from "./index.ts";
import { linear, matmul } from "./matmul.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice, transpose, unsqueeze } from "./views.ts";

/**
 * Row i of what is given is W[index[i]] · x[i]: x [rows, depth], `weight` [experts · columns, depth] with all matrices one below the
 * other, index i32 [rows] → [rows, columns]. Gradients are those of x and weight.
 *
 * @throws {ShapeError} for shapes that do not fit, and, where it is known at once, an index of no matrix.
 */
export function expertLinear(x: Tensor, weight: Tensor, index: Tensor, experts: number): Tensor {
  const [rows, depth] = x.shape, [all, width] = weight.shape, columns = all / experts;
  if (x.shape.length !== 2 || width !== depth || !Number.isInteger(columns) || index.shape[0] !== rows) {
    throw new ShapeError(
      `expertLinear: x ${formatShape(x.shape)}, weight ${formatShape(weight.shape)} and index ${
        formatShape(index.shape)
      } are [rows, depth], [${experts} · columns, depth] and [rows]`,
    );
  }
  const { matmulExperts: kernel } = expertKernels(x.backend);
  const isRead = isFloat(x.dtype) && x.dtype !== "f64" &&
    (isQuantized(weight.dtype) || isFloat(weight.dtype));
  if (kernel && isRead && weight.isContiguous && !wantsGradient([x, weight])) {
    return noGrad(() =>
      tidy(() => {
        const out = empty([rows, columns], x.dtype, x.backend, "expertLinear");
        kernel(contiguousView(x), weight, contiguousView(index), out);
        return out;
      })
    );
  }
  return tidy(() => {
    // A graph that is written is for any number of rows, and says so by its arithmetic (`capture/trace_backend.ts`).
    if (rows <= experts && x.backend.arithmetic !== "deterministic") {
      const place = { dtype: "i32", device: x.device } as const;
      const own = add(mul(unsqueeze(index, 1), columns), arange(columns, place)); // [rows, columns]
      const picked = reshape(indexSelect(weight, 0, reshape(own, [-1])), [rows, columns, depth]);
      return reshape(matmul(unsqueeze(x, 1), transpose(picked, 1, 2)), [rows, columns]);
    }
    let out: Tensor | null = null;
    for (let expert = 0; expert < experts; expert++) {
      const own = linear(x, slice(weight, [expert * columns, (expert + 1) * columns]));
      out = where(unsqueeze(eq(index, expert), 1), own, out ?? 0);
    }
    return out!;
  });
}
