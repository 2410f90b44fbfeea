/**
 * Which library multiplies, and which products: worked out from a table of speeds, for a library that is there is not
 * for that the faster one. An OpenBLAS that does not know the processor is slower than our own kernels, and which of
 * several is fastest differs from processor to processor.
 *
 * Speeds are of one thread, so that what is chosen does not depend on how many there are. Nothing is measured here
 * (`tune.ts`) and nothing remembered (`runtime/tuning.ts`).
 *
 * @module
 */

/** A product that speeds are measured of: `rows` × `depth` by `depth` × `columns`. */
export interface Case {
  /** Its name in tables. */
  readonly name: string;
  /** Rows of a. */
  readonly rows: number;
  /** Columns of b. */
  readonly columns: number;
  /** The length of the sums. */
  readonly depth: number;
  /** What b is. */
  readonly weights: "f32" | "q8";
}

/** What is measured: many rows, ever fewer, small squares, and bytes for weights. */
export const cases: readonly Case[] = [
  { name: "256 rows", rows: 256, columns: 512, depth: 512, weights: "f32" },
  { name: "32 rows", rows: 32, columns: 512, depth: 512, weights: "f32" },
  { name: "16 rows", rows: 16, columns: 512, depth: 512, weights: "f32" },
  { name: "8 rows", rows: 8, columns: 512, depth: 512, weights: "f32" },
  { name: "128³", rows: 128, columns: 128, depth: 128, weights: "f32" },
  { name: "64³", rows: 64, columns: 64, depth: 64, weights: "f32" },
  { name: "q8, 256 rows", rows: 256, columns: 512, depth: 512, weights: "q8" },
  { name: "q8, 32 rows", rows: 32, columns: 512, depth: 512, weights: "q8" },
];

/** The speeds of one engine. */
export interface Speeds {
  /** The library, or {@link ownName}. */
  readonly name: string;
  /** Thousand million operations a second by case; 0 where it was not measured. */
  readonly speeds: readonly number[];
  /** Why it is not to be used whatever its speed: its numbers are not right. */
  readonly refused?: string;
}

/** The name of our own kernels in tables. */
export const ownName = "WebAssembly";

/** Which products go to a library. */
export interface Reach {
  /** From so many rows on. */
  readonly leastRows: number;
  /** From so many multiply-adds on. */
  readonly leastWork: number;
  /** From so many rows on where weights are quantised; Infinity where those are never for the library. */
  readonly leastQuantizedRows: number;
}

/** What was chosen. */
export interface Choice extends Reach {
  /** The library; null where none is faster than our own kernels. */
  readonly library: string | null;
  /** The reason, for people. */
  readonly why: string;
}

/** What a library gets that nobody measured: with fewer rows or work our kernels are as fast as any that was met. */
export const usualReach: Reach = { leastRows: 8, leastWork: 1 << 17, leastQuantizedRows: Infinity };

// A library is used where it is faster by more than noise.
const gain = 1.08;

/** The rows of the next case, for a library that has won no case with fewer. */
const firstRows = 64;

/** Chooses by a table whose first row is our own. */
export function choose(table: readonly Speeds[]): Choice {
  const [own, ...libraries] = table;
  if (libraries.length === 0) return { ...usualReach, library: null, why: "no library was found" };
  let best: Speeds | null = null;
  for (const one of libraries) {
    if (one.refused !== undefined || !(one.speeds[0] > gain * own.speeds[0])) continue;
    if (best === null || score(own, one) > score(own, best)) best = one;
  }
  if (best === null) {
    const why = libraries.map(({ name, speeds, refused }) =>
      refused ? `${name}: ${refused}` : `${name} gives ${figure(speeds[0])}`
    );
    return {
      ...usualReach,
      library: null,
      why: `our own kernels give ${figure(own.speeds[0])} GFLOP/s a thread, ${why.join(", ")}`,
    };
  }
  const { name, speeds } = best;
  const others = table.filter((one) => one !== best).map((one) =>
    `${one.name} ${one.refused ?? figure(one.speeds[0])}`
  );
  return {
    library: name,
    ...reachOf(own, best),
    why: `${name} gives ${figure(speeds[0])} GFLOP/s a thread, ${others.join(", ")}`,
  };
}

const figure = (speed: number): string => speed.toFixed(speed < 10 ? 1 : 0);

/** The logarithm of how fast products are when those go to `library` that it is faster at. */
function score(own: Speeds, library: Speeds): number {
  return own.speeds.reduce((sum, speed, i) => sum + Math.log(Math.max(speed, library.speeds[i])), 0);
}

function reachOf(own: Speeds, library: Speeds): Reach {
  const wins = (i: number): boolean => library.speeds[i] > gain * own.speeds[i];
  let leastRows = firstRows, leastQuantizedRows = Infinity, leastWork = 1 << 24;
  for (let i = 1; i < 4 && wins(i); i++) leastRows = cases[i].rows;
  if (wins(4)) leastWork = wins(5) ? usualReach.leastWork : 1 << 20;
  if (wins(6)) leastQuantizedRows = wins(7) ? 17 : 64;
  return { leastRows, leastWork, leastQuantizedRows };
}
