/**
 * A blind comparison: which of two answers is better, while nobody knows whose they are.
 *
 * @module
 */

/** One side: a server, a model (or adapter) of it, and how it chooses. */
export interface Contender {
  readonly server: string;
  readonly model: string;
  readonly temperature: number;
}

/** What a visitor said of one pair. */
export interface Verdict {
  readonly prompt: string;
  readonly a: Contender;
  readonly b: Contender;
  readonly answers: { readonly a: string; readonly b: string };
  readonly better: "a" | "b" | "neither";
  /** Which of them stood at the left. */
  readonly left: "a" | "b";
}

/** How often each was better, by what the two are; and how likely so uneven a count is where both are alike (sign test). */
export interface Tally {
  readonly a: Contender;
  readonly b: Contender;
  readonly wins: { readonly a: number; readonly b: number; readonly neither: number };
  readonly p: number;
}

const nameOf = ({ server, model, temperature }: Contender): string =>
  JSON.stringify([server, model, temperature]);

/** The two-sided sign test: of n fair coins, that as many or more fall on one side as did. */
export function signTest(wins: number, losses: number): number {
  const n = wins + losses, most = Math.max(wins, losses);
  let term = 0.5 ** n, tail = 0; // n over k · 2^−n, from k = 0
  for (let k = 0; k <= n; k++) {
    if (k >= most) tail += term;
    term *= (n - k) / (k + 1);
  }
  return Math.min(1, 2 * tail);
}

/** Counts verdicts by pair, whichever of the two was called a. */
export function tally(verdicts: readonly Verdict[]): Tally[] {
  const pairs = new Map<
    string,
    { a: Contender; b: Contender; wins: { a: number; b: number; neither: number } }
  >();
  for (const { a, b, better } of verdicts) {
    const isTurned = nameOf(a) > nameOf(b), [first, second] = isTurned ? [b, a] : [a, b];
    const key = nameOf(first) + nameOf(second);
    const pair = pairs.get(key) ?? { a: first, b: second, wins: { a: 0, b: 0, neither: 0 } };
    pair.wins[better === "neither" || !isTurned ? better : better === "a" ? "b" : "a"]++;
    pairs.set(key, pair);
  }
  return [...pairs.values()].map((pair) => ({ ...pair, p: signTest(pair.wins.a, pair.wins.b) }));
}
