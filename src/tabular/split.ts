/**
 * Cutting rows into parts: shuffled folds, the classes spread evenly over them.
 *
 * @module
 */
import { Generator } from "../core/random.ts";
import { shuffle } from "./predict.ts";

/**
 * `rows` in `folds` parts of (nearly) equal size, shuffled. With `classes` (the class of each row of the table) every
 * part has (nearly) the same share of each class.
 */
export function makeFolds(
  rows: ArrayLike<number>,
  folds: number,
  seed: number,
  classes: ArrayLike<number> | null,
): Int32Array[] {
  const order = Uint32Array.from(rows);
  shuffle(order, new Generator(seed));
  // The sort is stable: within a class the shuffled order stays.
  const sorted = classes === null
    ? Array.from(order)
    : Array.from(order).sort((a, b) => classes[a] - classes[b]);
  const parts: number[][] = Array.from({ length: folds }, () => []);
  sorted.forEach((row, i) => parts[i % folds].push(row));
  return parts.map((part) => Int32Array.from(part));
}

/** The rows of all parts but one. */
export function otherParts(parts: readonly Int32Array[], left: number): Int32Array {
  const chosen = parts.filter((_, i) => i !== left);
  const out = new Int32Array(chosen.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of chosen) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** At most `most` of the rows, evenly spread over the list. */
export function everyNth(rows: Int32Array, most: number): Int32Array {
  if (rows.length <= most) return rows;
  return Int32Array.from({ length: most }, (_, i) => rows[Math.floor(i * rows.length / most)]);
}
