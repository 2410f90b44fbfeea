/**
 * Shares of candidates in the average, from predictions of rows they were not trained on.
 *
 * Greedy selection with replacement (Caruana et al., "Ensemble selection from libraries of models", ICML 2004), which
 * begins with every candidate once: with few rows the best on these rows is often not the best.
 *
 * @module
 */

/** Candidates worse than the best by this factor take no part. */
const mostLoss = 1.3;

/** How many selections follow the first round. */
const rounds = 12;

/** The mean log-loss, or mean squared error when `classes` is 0, of predictions [rows, max(1, classes)]. */
export function meanLoss(predictions: Float32Array, targets: ArrayLike<number>, classes: number): number {
  let sum = 0;
  for (let row = 0; row < targets.length; row++) {
    if (classes === 0) sum += (predictions[row] - targets[row]) ** 2;
    else sum -= Math.log(Math.max(1e-7, predictions[row * classes + targets[row]]));
  }
  return sum / targets.length;
}

/** The share of each candidate; they sum to 1. */
export function mixShares(
  predictions: readonly Float32Array[],
  targets: ArrayLike<number>,
  classes: number,
): number[] {
  const losses = predictions.map((p) => meanLoss(p, targets, classes)), least = Math.min(...losses);
  const chosen = losses.map((loss) => loss <= least * mostLoss ? 1 : 0);
  let count = chosen.reduce<number>((a, b) => a + b, 0);
  const sum = new Float32Array(predictions[0].length), trial = new Float32Array(sum.length);
  predictions.forEach((p, c) => {
    if (chosen[c]) p.forEach((v, i) => sum[i] += v);
  });
  if (count === 1) return chosen;
  for (let round = 0; round < rounds; round++) {
    let best = -1, bestLoss = Infinity;
    predictions.forEach((p, c) => {
      if (!chosen[c]) return;
      for (let i = 0; i < sum.length; i++) trial[i] = (sum[i] + p[i]) / (count + 1);
      const loss = meanLoss(trial, targets, classes);
      if (loss < bestLoss) [best, bestLoss] = [c, loss];
    });
    if (best < 0) break;
    chosen[best]++;
    count++;
    predictions[best].forEach((v, i) => sum[i] += v);
  }
  return chosen.map((n) => n / count);
}
