/**
 * Words with a meaning: what is missing, what is true or false.
 *
 * @module
 */

/** Texts that pandas takes for a missing value in any column (`pandas.read_csv`, `na_values`). */
export const missingTexts: readonly string[] = [
  ...["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"],
  ...["N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"],
];

/** A test for texts that stand for a missing value, quick to say no; an empty text always is one. */
export function missingTest(texts: readonly string[]): (text: string) => boolean {
  const all = new Set(texts), longest = Math.max(0, ...texts.map(({ length }) => length));
  const firsts = new Set(texts.map((text) => text.charCodeAt(0)));
  return (text) =>
    text.length === 0 || (text.length <= longest && firsts.has(text.charCodeAt(0)) && all.has(text));
}

const marks =
  /^(?:[?.*\-\u2013\u2014\u2026_/]+|#?n[./]?\s?[ad]\.?|k\.\s?a\.|nan|null|none|nil|\(null\)|\(blank\)|missing|undefined|\\n|#(?:value!|div\/0!|ref!|name\?|num!|null!))$/i;

/** Whether a text among numbers or dates stands for a missing one: "?", "-", "n.a.", "missing", "#DIV/0!" … */
export function isMissingMark(text: string): boolean {
  return text.length <= 12 && marks.test(text);
}

const pairs: readonly (readonly [string, string])[] = [["false", "true"], ["no", "yes"], ["f", "t"], [
  "n",
  "y",
]];

/** The texts of false and true when the distinct texts are such a pair, in any case; else null. */
export function booleanPair(texts: readonly string[]): [string, string] | null {
  if (texts.length !== 2) return null;
  for (const [no, yes] of pairs) {
    const of = (word: string): string | undefined => texts.find((t) => t.toLowerCase() === word);
    const negative = of(no), positive = of(yes);
    if (negative !== undefined && positive !== undefined) return [negative, positive];
  }
  return null;
}

/** 0 or 1 for a word or number that means false or true; else NaN. */
export function parseBoolean(text: string): number {
  const word = text.trim().toLowerCase();
  if (word === "0" || pairs.some(([no]) => no === word)) return 0;
  return word === "1" || pairs.some(([, yes]) => yes === word) ? 1 : NaN;
}
