/**
 * Which weights go: by their size, or by their size times what goes through them.
 *
 * Wanda (Sun, Liu, Bair, Kolter, "A simple and effective pruning approach for large language models", 2023) compares |w| · ‖x‖, the
 * norm of its input over a calibration text, among the weights of one output. Magnitude compares |w| in the whole matrix. In 2:4 two
 * of every four weights in a row of an output go, which hardware can make use of.
 *
 * @module
 */

/** How many go. */
export type Sparsity = { readonly part: number } | { readonly of: 4; readonly keep: 2 };

/** Indices of `count` scores that are the least, of those from `from` on; of equal ones the first. */
function least(scores: Float32Array, from: number, length: number, count: number): number[] {
  const order = Array.from({ length }, (_, i) => from + i);
  return order.sort((a, b) => scores[a] - scores[b] || a - b).slice(0, count);
}

/**
 * 1 where a weight stays and 0 where it goes, for `rows` [outputs, inputs].
 * @param norms Of each input, [parts · inputs]; null: weights are compared by their size alone.
 * @param parts How many matrices of as many outputs each the rows are of.
 */
export function maskOf(
  rows: Float32Array,
  inputs: number,
  norms: Float32Array | null,
  sparsity: Sparsity,
  parts = 1,
): Float32Array {
  const each = rows.length / parts;
  const normOf = (i: number): number => norms ? norms[Math.floor(i / each) * inputs + i % inputs] : 1;
  const scores = Float32Array.from(rows, (w, i) => Math.abs(w) * normOf(i));
  const mask = new Float32Array(rows.length).fill(1);
  const drop = (from: number, length: number, count: number): void => {
    for (const i of least(scores, from, length, count)) mask[i] = 0;
  };
  if ("part" in sparsity) {
    const group = norms ? inputs : each, count = Math.round(sparsity.part * group);
    for (let from = 0; from < rows.length; from += group) drop(from, group, count);
  } else {
    for (let from = 0; from < rows.length; from += sparsity.of) {
      drop(from, sparsity.of, sparsity.of - sparsity.keep);
    }
  }
  return mask;
}
