/**
 * Features of a table's rows, as networks in training ask for them.
 *
 * @module
 */
import type { TableNormalizer } from "./normalizer.ts";
import type { RowList, RowSource } from "./stack_rows.ts";

/** At most so many features of a table are kept ready; beyond, they are worked out batch by batch. */
const mostReady = 1 << 24;

/** Added to the variances before decorrelating, so that columns that say the same stay harmless. */
const ridge = 1e-2;

/** The features at `inputs` of the first `rows` rows of a normalizer's table. */
export function featureSource(
  normalizer: TableNormalizer,
  inputs: readonly number[],
  rows: number,
): RowSource {
  const width = inputs.length;
  if (rows * width > mostReady) {
    return {
      width,
      gather(chosen, out, offset, stride) {
        const x = normalizer.transform(normalizer.tableCells(chosen), inputs);
        for (let i = 0; i < chosen.length; i++) {
          out.set(x.subarray(i * width, (i + 1) * width), offset + i * stride);
        }
      },
    };
  }
  const all = Int32Array.from({ length: rows }, (_, i) => i);
  return ready(normalizer.transform(normalizer.tableCells(all), inputs), width);
}

function ready(features: Float32Array, width: number): RowSource {
  return {
    width,
    gather(chosen, out, offset, stride) {
      for (let i = 0; i < chosen.length; i++) {
        const from = chosen[i] * width;
        for (let f = 0, to = offset + i * stride; f < width; f++) out[to + f] = features[from + f];
      }
    },
  };
}

/**
 * The same features without correlation among `train` rows, each with variance 1: z = L⁻¹x, where L·Lᵀ is the
 * covariance (Cholesky). What tells classes apart is often a small difference of two columns that move together, which
 * gradient descent on the columns themselves finds late. Standardised features come in, so the means are 0.
 */
export function decorrelatedSource(original: RowSource, train: RowList, rows: number): RowSource {
  const n = original.width, x = new Float32Array(rows * n);
  original.gather(Int32Array.from({ length: rows }, (_, i) => i), x, 0, n);
  const factor = cholesky(covariance(x, n, train), n);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i++) {
      let sum = x[row * n + i];
      for (let k = 0; k < i; k++) sum -= factor[i * n + k] * x[row * n + k];
      x[row * n + i] = sum / factor[i * n + i];
    }
  }
  return {
    ...ready(x, n),
    original,
    // wᵀz = wᵀL⁻¹x, so the weights of x are L⁻ᵀw: solved from the last to the first.
    fold(weight, outputs) {
      for (let o = 0; o < outputs; o++) {
        for (let i = n - 1; i >= 0; i--) {
          let sum = weight[i * outputs + o];
          for (let k = i + 1; k < n; k++) sum -= factor[k * n + i] * weight[k * outputs + o];
          weight[i * outputs + o] = sum / factor[i * n + i];
        }
      }
    },
  };
}

function covariance(x: Float32Array, n: number, rows: RowList): Float64Array {
  const sums = new Float64Array(n * n);
  for (const row of rows) {
    for (let i = 0; i < n; i++) {
      const a = x[row * n + i];
      for (let j = 0; j <= i; j++) sums[i * n + j] += a * x[row * n + j];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) sums[i * n + j] /= rows.length;
    sums[i * n + i] += ridge;
  }
  return sums;
}

/** The lower triangle L with L·Lᵀ = the symmetric matrix whose lower triangle is given. */
function cholesky(matrix: Float64Array, n: number): Float64Array {
  const factor = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j];
      for (let k = 0; k < j; k++) sum -= factor[i * n + k] * factor[j * n + k];
      factor[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / factor[j * n + j];
    }
  }
  return factor;
}
