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
import { counted } from "../../core/show.ts";

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
  /** Whether b lies as [columns, depth] in memory, as a linear layer's weights do; ᵀ in its name. */
  readonly transposed?: true;
}

const few = { columns: 1024, depth: 512, weights: "f32" } as const;

/** What is measured: many rows, ever fewer, small squares, and bytes for weights. */
export const cases: readonly Case[] = [
  { name: "256 rows", rows: 256, columns: 512, depth: 512, weights: "f32" },
  ...[32, 16, 8, 4, 2].map((rows) => ({ name: counted(rows, "row"), ...few, rows })),
  ...[16, 4, 2].map((rows) => ({
    name: `${counted(rows, "row")} ᵀ`,
    ...few,
    rows,
    transposed: true as const,
  })),
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
  /** From so many rows on where b lies as [columns, depth]: our own kernels are faster there. */
  readonly leastRowsTransposed: number;
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
export const usualReach: Reach = {
  leastRows: 8,
  leastRowsTransposed: 17,
  leastWork: 1 << 17,
  leastQuantizedRows: Infinity,
};

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
  const wins = (name: string): boolean => {
    const i = cases.findIndex((one) => one.name === name);
    return library.speeds[i] > gain * own.speeds[i];
  };
  /** The fewest of `rows` that it still wins with; what it wins with fewer than it lost with is not to be trusted. */
  const least = (rows: readonly number[], mark: string, otherwise: number): number => {
    const lost = rows.findIndex((count) => !wins(counted(count, "row") + mark));
    return rows[(lost < 0 ? rows.length : lost) - 1] ?? otherwise;
  };
  return {
    leastRows: least([32, 16, 8, 4, 2], "", firstRows),
    leastRowsTransposed: least([16, 4, 2], " ᵀ", usualReach.leastRowsTransposed),
    leastWork: !wins("128³") ? 1 << 24 : wins("64³") ? usualReach.leastWork : 1 << 20,
    leastQuantizedRows: !wins("q8, 256 rows") ? Infinity : wins("q8, 32 rows") ? 17 : 64,
  };
}

/** The case of this name. */
export function caseOf(name: string): Case {
  return cases.find((one) => one.name === name) as Case;
}
