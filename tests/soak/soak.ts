/**
 * Rounds, and what is held after each.
 *
 * @module
 */
import { type Usage, usage, workersStarted } from "./usage.ts";
import { holdCollection } from "../_collection.ts";
import { until } from "../_wait.ts";
import { round, type Work } from "./parts.ts";

/** Rounds in which runtime and library fill what they keep: compiled kernels, pools, caches. */
const warmUp = 2;

/** How long a soak goes. */
export interface SoakOptions {
  /** Whether there is another round, after so many. */
  readonly goesOn: (done: number) => boolean;
  /** Hears of each. */
  readonly onRound?: (done: number) => void;
}

/** What came of it. */
export interface SoakResult {
  readonly warmUp: number;
  readonly work: Work;
  /** What was held after each round. */
  readonly samples: readonly Usage[];
  /** What was left: a line for each round after which counts were not what they were at first. */
  readonly left: readonly string[];
  /** Threads that were started. */
  readonly workersStarted: number;
}

const counts = ["buffers", "bytes", "descriptors", "workers"] as const;

const same = (a: Usage, b: Usage): boolean => counts.every((name) => a[name] === b[name]);

/** Rounds of `seed`. Nothing is freed meanwhile because it was collected: what is not given back is left. */
export async function soak(seed: number, { goesOn, onRound }: SoakOptions): Promise<SoakResult> {
  using _still = holdCollection();
  const work: Work = { tokens: 0, steps: 0, requests: 0 }, samples: Usage[] = [], left: string[] = [];
  for (let i = 0; i < warmUp; i++) await round(seed, i, work);
  // The system closes connections and ends threads a little later than they are told.
  let before: Usage | null = null;
  await until(() => {
    const now = usage(), isStill = before !== null && same(before, now);
    before = now;
    return isStill && now.workers === 0;
  }, "a process that holds still");
  const first = before as unknown as Usage;
  while (goesOn(samples.length)) {
    await round(seed, warmUp + samples.length, work);
    const now = await settled(first);
    samples.push(now);
    const changed = counts.filter((name) => now[name] !== first[name]);
    if (changed.length > 0 && left.length < 20) {
      const told = changed.map((name) => `${now[name]} ${name} instead of ${first[name]}`).join(", ");
      left.push(`after round ${samples.length}: ${told}`);
    }
    onRound?.(samples.length);
  }
  return { warmUp, work, samples, left, workersStarted: workersStarted() };
}

/** What is held, as soon as it is what was held at first; after some looks, whatever it is. */
async function settled(first: Usage): Promise<Usage> {
  let now = usage();
  for (let look = 0; look < 30 && !same(now, first); look++) {
    await new Promise((wake) => setTimeout(wake, 50));
    now = usage();
  }
  return now;
}

/** How something went over the rounds. */
export interface Trend {
  readonly name: string;
  readonly first: number | null;
  readonly last: number | null;
  /** The median slope, a round. Null where it cannot be told. */
  readonly slope: number | null;
  readonly isGrowing: boolean;
}

/** What memory may grow by in a round, the median of all slopes: samples scatter by megabytes. */
const allowed: Readonly<Partial<Record<keyof Usage, number>>> = { heap: 16 << 10, resident: 128 << 10 };

function slopes(samples: readonly number[]): number[] {
  const found: number[] = [];
  for (let i = 0; i < samples.length; i++) {
    for (let j = i + 1; j < samples.length; j++) found.push((samples[j] - samples[i]) / (j - i));
  }
  return found.sort((a, b) => a - b);
}

/** The trend of each thing that is held. The first third of the rounds is left out: it still warms up. */
export function trends(samples: readonly Usage[]): Trend[] {
  const late = samples.slice(Math.floor(samples.length / 3));
  return (["buffers", "bytes", "descriptors", "workers", "heap", "resident"] as const).map((name) => {
    const all = slopes(late.map((sample) => sample[name] ?? 0)),
      at = (part: number) => all[Math.floor(part * all.length)];
    const slope = all.length > 0 ? at(0.5) : null, most = allowed[name];
    return {
      name,
      first: samples[0]?.[name] ?? null,
      last: samples.at(-1)?.[name] ?? null,
      slope,
      // Counts are judged one by one; few samples show no trend.
      isGrowing: most !== undefined && all.length >= 45 && slope! > most && at(0.25) > 0,
    };
  });
}
