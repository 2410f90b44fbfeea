/**
 * The word that was probably meant, for messages about one that does not exist.
 *
 * @module
 */

/** How many single-letter changes make one word of another (Levenshtein 1966). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** The entry of `list` that `word` was probably meant to be; capital letters count as small ones. */
export function nearest(word: string, list: readonly string[]): string {
  const score = (w: string): number => distance(word.toLowerCase(), w.toLowerCase());
  return [...list].sort((a, b) => score(a) - score(b))[0];
}
