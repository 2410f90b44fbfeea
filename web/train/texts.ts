/**
 * Short texts to learn: a rhyme, and kinds of lines that are made by a rule, so that a visitor sees whether it was found.
 *
 * @module
 */

const rhyme = `Jack and Jill went up the hill
To fetch a pail of water;
Jack fell down and broke his crown,
And Jill came tumbling after.

Up Jack got, and home did trot,
As fast as he could caper,
To old Dame Dob, who patched his nob
With vinegar and brown paper.
`;

/** Lines of a rule; the same each time. */
function lines(count: number, line: (next: (below: number) => number) => string): string {
  let state = 1;
  const next = (below: number): number => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0; // Numerical Recipes' generator
    return Math.floor(state / 2 ** 32 * below);
  };
  return Array.from({ length: count }, () => `${line(next)}\n`).join("");
}

/** What there is to choose, by name. */
export const texts: Readonly<Record<string, () => string>> = {
  "A nursery rhyme": () => rhyme,
  "Arithmetic: sums": () =>
    lines(600, (next) => {
      const a = next(50), b = next(50);
      return `${a}+${b}=${a + b}`;
    }),
  "Sorting: letters in order": () =>
    lines(600, (next) => {
      const letters = Array.from({ length: 4 }, () => "abcdefgh"[next(8)]);
      return `${letters.join("")}>${letters.toSorted().join("")}`;
    }),
};
