/**
 * The area under the ROC curve, by ranks (Mann and Whitney 1947): the probability that a row of the class is given
 * a higher score than a row outside of it, where a tie counts one half.
 *
 * @module
 */

import { demand, demandNoMore, demandNumbers } from "../../core/demand.ts";
import { counted } from "../../core/show.ts";
import { checkClassScores, type ClassScores } from "./scores.ts";

/**
 * The area for one class against the rest, in [0, 1]; one half is what a constant score gets. NaN when every row
 * is of the class, or none is.
 *
 * @param scores the score of each row; any scale, since only the order counts. `[rows]`
 * @param positive whether each row is of the class. `[rows]`
 * @throws {OptionError} for scores that are no numbers, or other lists than one entry a row.
 * @category Tables
 */
export function rankAuc(scores: ArrayLike<number>, positive: ArrayLike<boolean>): number {
  demandNoMore(arguments, 2, "rankAuc");
  demandNumbers("rankAuc", scores, "scores");
  demand(
    "rankAuc",
    "positive",
    positive,
    positive?.length === scores.length,
    `${counted(scores.length, "flag")}`,
  );
  const rows = scores.length;
  // Sorting numbers natively, then counting, is several times faster than sorting row indices by comparison.
  let positives = 0;
  for (let row = 0; row < rows; row++) if (positive[row]) positives++;
  const inside = new Float64Array(positives), outside = new Float64Array(rows - positives);
  for (let row = 0, i = 0, o = 0; row < rows; row++) {
    if (positive[row]) inside[i++] = scores[row];
    else outside[o++] = scores[row];
  }
  inside.sort();
  outside.sort();
  let below = 0, through = 0, won = 0;
  for (const score of inside) {
    while (below < outside.length && outside[below] < score) below++;
    while (through < outside.length && outside[through] <= score) through++;
    won += (below + through) / 2;
  }
  return won / (inside.length * outside.length);
}

/**
 * The area under the ROC curve. With two classes it is the second one's; with more, the mean over classes of each
 * against the rest (macro, one-vs-rest). A class that no row or every row has is left out; NaN when all are.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function auc(scores: ClassScores): number {
  demandNoMore(arguments, 1, "auc");
  checkClassScores(scores, "auc");
  const { labels, probabilities, classes } = scores;
  const column = new Float64Array(labels.length);
  const positive = new Array<boolean>(labels.length);
  let sum = 0, counted = 0;
  for (let c = classes === 2 ? 1 : 0; c < classes; c++) {
    for (let row = 0; row < labels.length; row++) {
      column[row] = probabilities[row * classes + c];
      positive[row] = labels[row] === c;
    }
    const area = rankAuc(column, positive);
    if (Number.isNaN(area)) continue;
    sum += area;
    counted++;
  }
  return sum / counted;
}
