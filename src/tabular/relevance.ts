/**
 * Whether groups of rows differ in what is to be predicted by more than chance (a permutation test: Fisher, "The design
 * of experiments", 1935).
 *
 * A column that counts the rows, or holds a different text in nearly every row, is an identifier when it tells nothing
 * of the target, and a day, a year or a name when it does. Its values alone cannot say which.
 *
 * @module
 */
import { Generator } from "../core/random.ts";
import { shuffle } from "./predict.ts";
import { everyNth } from "./split.ts";

/** More rows than these tell no better. */
const mostRows = 2000;

/** Shuffles that the rows as they are have to beat, all of them: by chance that happens once in 200 times. */
const shuffles = 199;

/** How much the groups differ: Σ rows · (mean of the group − mean of all)², summed over the outputs. */
function spread(
  groups: ArrayLike<number>,
  targets: Float64Array,
  order: Uint32Array,
  outputs: number,
): number {
  const counts = new Map<number, number>(), sums = new Map<number, Float64Array>();
  for (let i = 0; i < order.length; i++) {
    const group = groups[i];
    counts.set(group, (counts.get(group) ?? 0) + 1);
    let own = sums.get(group);
    if (own === undefined) sums.set(group, own = new Float64Array(outputs));
    if (outputs === 1) own[0] += targets[order[i]];
    else own[targets[order[i]]]++;
  }
  let total = 0;
  for (const [group, own] of sums) for (const sum of own) total += sum * sum / counts.get(group)!;
  return total;
}

/**
 * Whether the groups of rows differ in their targets by more than chance: values when `classes` is 0, else indices of
 * classes.
 */
export function differ(groups: ArrayLike<number>, targets: ArrayLike<number>, classes: number): boolean {
  const n = groups.length;
  if (n < 4) return false;
  const mean = classes > 0 ? 0 : Array.from(targets).reduce((sum, v) => sum + v / n, 0);
  const values = Float64Array.from(targets, (v) => v - mean), outputs = Math.max(1, classes);
  const order = Uint32Array.from({ length: n }, (_, i) => i), generator = new Generator(n);
  // Sums of the same numbers in another order are not the same to the last digit.
  const own = spread(groups, values, order, outputs) * (1 - 1e-9);
  for (let i = 0; i < shuffles; i++) {
    shuffle(order, generator);
    if (spread(groups, values, order, outputs) >= own) return false;
  }
  return true;
}

/** Whether the place of rows in the order of a column of numbers tells of their targets. */
export function orderTells(
  values: Float64Array,
  targets: Float64Array,
  rows: ArrayLike<number>,
  classes: number,
): boolean {
  const known = Int32Array.from(rows).filter((row) =>
    !Number.isNaN(values[row]) && !Number.isNaN(targets[row])
  );
  const chosen = everyNth(known, mostRows).sort((a, b) => values[a] - values[b]), n = chosen.length;
  const count = Math.max(2, Math.min(16, Math.floor(Math.sqrt(n))));
  return differ(
    chosen.map((_, i) => Math.floor(i * count / n)),
    Float64Array.from(chosen, (row) => targets[row]),
    classes,
  );
}

/** Whether texts that come more than once tell of their rows' targets. */
export function textsTell(
  codes: Float64Array,
  counts: ArrayLike<number>,
  targets: Float64Array,
  rows: ArrayLike<number>,
  classes: number,
): boolean {
  const again = Int32Array.from(rows).filter((row) =>
    codes[row] >= 0 && counts[codes[row]] > 1 && !Number.isNaN(targets[row])
  );
  const chosen = everyNth(again, mostRows);
  return differ(
    Float64Array.from(chosen, (row) => codes[row]),
    Float64Array.from(chosen, (row) => targets[row]),
    classes,
  );
}
