/**
 * The word that was probably meant, for messages about one that does not exist.
 *
 * A guess is made only where one is near: a hint that misleads is worse than none.
 *
 * @module
 */

/** How many changes make one word of another: a letter more, less or other, or two neighbours exchanged. */
function distance(a: string, b: string): number {
  let before: number[] = [], row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        next[j] = Math.min(next[j], before[j - 2] + 1);
      }
    }
    before = row;
    row = next;
  }
  return row[b.length];
}

/** `max_new_tokens`, `--max-new-tokens` and `maxNewTokens` are one word. */
const plain = (word: string): string => word.replace(/[^\p{L}\p{N}]/gu, "").toLowerCase();

/** The first letters of the parts of a name: "lr" of `learningRate`. */
const initials = (word: string): string =>
  plain(
    word.replace(/([a-z\d])([A-Z])/g, "$1 $2").split(/[^\p{L}\p{N}]+/u).map((part) => part.slice(0, 1)).join(
      "",
    ),
  );

/** The parts of a name: "max", "new" and "tokens". */
const partsOf = (word: string): string[] =>
  word.replace(/([\p{Ll}\d])(\p{Lu})/gu, "$1 $2").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter((part) =>
    part
  );

/** How many changes are a slip, in a word of so many letters. */
const slips = (length: number): number => Math.floor(length / 3);

/** With how many of the same entries two lists begin. */
function shared(a: readonly string[], b: readonly string[]): number {
  const first = a.findIndex((part, i) => part !== b[i]);
  return first < 0 ? a.length : first;
}

/**
 * Whether what two names do not share is a slip, and no other word: "safe" of `safe_prompt` is none of "cache", however much of
 * `cache_prompt` is the same.
 */
function differsBySlips(given: string, name: string): boolean {
  const a = partsOf(given), b = partsOf(name);
  const [before, behind] = [shared(a, b), shared(a.toReversed(), b.toReversed())];
  const rest = (parts: readonly string[]): string =>
    parts.slice(before, Math.max(before, parts.length - behind)).join("");
  const mine = rest(a), other = rest(b);
  if (mine === "" || other === "") return true;
  return distance(mine, other) <= Math.max(1, slips(Math.min(mine.length, other.length)));
}

/** How far apart two names are, or Infinity where one is no guess for the other. */
function apart(given: string, name: string): number {
  // Nobody mistypes a name this long, and the table of distances would be as large as the square.
  if (given.length > 100 || name.length > 100) return Infinity;
  const a = plain(given), b = plain(name), changes = distance(a, b);
  if (changes <= slips(Math.min(a.length, b.length)) && differsBySlips(given, name)) return changes;
  const shorter = Math.min(a.length, b.length), longer = Math.max(a.length, b.length);
  const isPart = shorter >= 3 &&
    (b.includes(a) && 2 * shorter >= longer || a.startsWith(b) && 3 * shorter >= 2 * longer);
  if (isPart) return changes;
  return a.length > 1 && b.length > 1 && (initials(given) === b || initials(name) === a) ? changes : Infinity;
}

/** The entry of `list` that `word` was probably meant to be; undefined when none is near. */
export function nearest(word: string, list: Iterable<string>): string | undefined {
  let best: string | undefined, least = Infinity;
  for (const name of list) {
    const changes = apart(word, name);
    if (changes < least) [best, least] = [name, changes];
  }
  return best;
}

/** How many names are told where none is near. */
const mostTold = 12;

/**
 * The end of a sentence about a name that is not in `list`: the one that was probably meant, or else the few there are.
 * `spell` writes a name as its readers do.
 */
export function hint(
  word: string,
  list: readonly string[],
  spell: (name: string) => string = (n) => `"${n}"`,
): string {
  const guess = nearest(word, list);
  if (guess !== undefined) return `; did you mean ${spell(guess)}?`;
  return list.length > 0 && list.length <= mostTold
    ? `; there ${list.length === 1 ? "is" : "are"} ${list.map(spell).join(", ")}`
    : "";
}
