/**
 * How the benches measure: ours, the machine's limit and every rival take turns in one run, several rounds of them, so
 * that a machine that is slower for a while is slower for all. What is told are medians over the rounds and their
 * quotients, so that every share and ratio follows from the figures that stand beside it.
 *
 * A turn is measured with mitata. Rivals live in processes of their own (`rivals.ts`) and sleep while others work.
 *
 * @module
 */
import { Engine } from "../src/backends/cpu/engine.ts";
import { Limits } from "../src/backends/cpu/limits.ts";
import { canBlock, hardwareConcurrency, spawnWorker } from "../src/platform/platform.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import "../src/runtime/devices.ts";
import { NativeRead } from "./native_read.ts";
import { type RivalJob, Rivals } from "./rivals.ts";

export type { RivalJob };

/** What a run is compared with: an amount per second (of a row's unit), measured now. */
export interface Limit {
  readonly name: string;
  measure(): number | Promise<number>;
}

/** One of ours. */
export interface Subject {
  readonly name: string;
  /** Does the row's amount of work once. When it gives a number, that is how many seconds count. */
  run(): unknown;
  /** Makes things so that `run` measures what the name says. */
  before?(): void;
  /** What it is held against. */
  readonly limit?: Limit;
  /** The share of the limit it should reach; of a time, how many times the limit it may take. */
  readonly share?: number;
  /** The longest time, in the row's unit, that it should take. */
  readonly atMost?: number;
  /** The least speed, in the row's unit, that it should have. */
  readonly atLeast?: number;
  /** How many times as fast as a rival it should be, by the rival's name. */
  readonly versus?: Readonly<Record<string, number>>;
}

/** One line of the table. */
export interface Row {
  readonly name: string;
  /** "…/s" is a speed; anything else a time. */
  readonly unit: string;
  /** How much of the unit one run is; for a time, what a second is in it. */
  readonly amount: number;
  readonly subjects: readonly Subject[];
  readonly rivals?: readonly RivalJob[];
  /** How many times as fast one subject should be as another. */
  readonly pairs?: readonly { readonly fast: string; readonly slow: string; readonly least: number }[];
  /** What stands below the row: what is not compared, and why. */
  readonly note?: string;
  /** Why the row cannot be measured. */
  readonly failed?: string;
  /** The curve that it lies on, whose time is that of so many runs of the first subject (default 1). */
  readonly curve?: {
    readonly name: string;
    readonly along: string;
    readonly at: number;
    readonly runs?: number;
  };
}

/** A group of rows: one file. A row's resources are made before it is yielded, and given back afterwards. */
export interface Group {
  readonly name: string;
  rows(bench: Bench): AsyncGenerator<Row>;
}

/** One of ours, measured. */
export interface SubjectResult {
  name: string;
  value: number;
  limit?: { name: string; value: number };
  /** `value` over the limit's, both medians of the same rounds. */
  share?: number;
  /** Ratios to rivals and to others of ours: above 1 is faster. */
  ratios: Record<string, number>;
  /** What was wanted and what of it was missed. */
  missed: string[];
  wanted: string[];
}

/** A row, measured. */
export interface RowResult {
  group: string;
  name: string;
  unit: string;
  subjects: SubjectResult[];
  rivals: { name: string; value?: number; missing?: string }[];
  note?: string;
  failed?: string;
  /** Its place on a curve. */
  curve?: { name: string; along: string; at: number; seconds: number };
}

/** How thorough. */
export interface Settings {
  readonly rounds: number;
  /** Milliseconds of a turn. */
  readonly turn: number;
  readonly quick: boolean;
  readonly rivals: boolean;
}

const isRate = (unit: string): boolean => unit.endsWith("/s");

/** The middle value. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** A run of the benches. */
export class Bench {
  readonly settings: Settings;
  /** The device's own engine, on every core. */
  readonly engine: Engine = cpuBackend().engine;
  readonly limits: Limits = new Limits(this.engine);
  readonly rivals: Rivals;
  readonly results: RowResult[] = [];
  /** The machine's own speed of reading; null where no library can be opened. */
  nativeRead: NativeRead | null = null;
  #single: { engine: Engine; limits: Limits } | null = null;

  /** Finds out which library the device multiplies with, if that is not known. */
  constructor(settings: Settings) {
    this.settings = settings;
    cpuBackend().tune();
    this.rivals = new Rivals(settings.rivals);
  }

  /** Has all threads started. */
  async ready(): Promise<void> {
    await this.engine.ready();
    const native = new NativeRead(this.engine.threads);
    if (native.reason !== null) return;
    await native.ready();
    this.nativeRead = native;
  }

  /** An engine with one thread, and its limits. */
  get single(): { engine: Engine; limits: Limits } {
    if (!this.#single) {
      const engine = new Engine({
        threads: 1,
        platform: { hardwareConcurrency: hardwareConcurrency(), canBlock: canBlock(), spawnWorker },
      });
      this.#single = { engine, limits: new Limits(engine) };
    }
    return this.#single;
  }

  /** f32 multiply-adds in registers, in units of `per` operations. */
  peak(per = 1e9): Limit {
    return { name: "multiply-add in registers", measure: () => this.limits.multiplyAdd() / per };
  }

  /** Dot products of bytes in registers. */
  dot(per = 1e9): Limit {
    return { name: "dot products in registers", measure: () => this.limits.dot() / per };
  }

  /** Reading memory as the machine can (huge pages, widest vectors), else as the engine does, in units of `per` bytes. */
  read(per = 1e9): Limit {
    const native = this.nativeRead;
    return {
      name: "reading memory",
      measure: () => (native ? native.measure() : this.limits.read()) / per,
    };
  }

  /** Whether the native library computes large products from now on. */
  useBlas(on: boolean): void {
    this.engine.blas.enabled = on;
  }

  /** Measures a row and keeps the result. */
  async measure(group: string, row: Row): Promise<RowResult> {
    const { rounds, turn } = this.settings;
    const rivals: { job: RivalJob; values: number[]; missing?: string }[] = [];
    for (const job of row.rivals ?? []) {
      const missing = await job.prepare();
      rivals.push({ job, values: [], ...(missing === null ? {} : { missing }) });
    }
    const values = row.subjects.map(() => [] as number[]), limits = row.subjects.map(() => [] as number[]);
    for (const subject of row.subjects) {
      subject.before?.();
      await this.#seconds(subject.run, Math.min(turn, 60)); // warms up
    }
    for (let round = 0; round < rounds; round++) {
      for (const [i, subject] of row.subjects.entries()) {
        subject.before?.();
        const before = await subject.limit?.measure();
        values[i].push(await this.#seconds(subject.run, turn));
        const after = await subject.limit?.measure();
        // The higher of both is nearer to what the machine can do: a neighbour only ever takes away.
        if (before !== undefined && after !== undefined) {
          limits[i].push(isRate(row.unit) ? Math.max(before, after) : Math.min(before, after));
        }
      }
      for (const rival of rivals) {
        if (rival.missing !== undefined) continue;
        try {
          rival.values.push(await rival.job.seconds(turn));
        } catch (error) {
          rival.missing = (error as Error).message;
        }
      }
    }
    const shown = (seconds: number): number => isRate(row.unit) ? row.amount / seconds : row.amount * seconds;
    const subjects = row.subjects.map((subject, i): SubjectResult => {
      const result: SubjectResult = {
        name: subject.name,
        value: median(values[i].map(shown)),
        ratios: {},
        wanted: [],
        missed: [],
      };
      const want = (text: string, met: boolean): void => {
        result.wanted.push(text);
        if (!met) result.missed.push(text);
      };
      if (subject.limit) {
        result.limit = { name: subject.limit.name, value: median(limits[i]) };
        result.share = result.value / result.limit.value;
        if (subject.share !== undefined) {
          if (isRate(row.unit)) {
            want(`≥ ${(100 * subject.share).toFixed(0)} % of the limit`, result.share >= subject.share);
          } else want(`≤ ${subject.share} × the limit`, result.share <= subject.share);
        }
      }
      if (subject.atMost !== undefined) {
        want(`≤ ${subject.atMost} ${row.unit}`, result.value <= subject.atMost);
      }
      if (subject.atLeast !== undefined) {
        want(`≥ ${subject.atLeast} ${row.unit}`, result.value >= subject.atLeast);
      }
      for (const rival of rivals) {
        if (rival.missing !== undefined) continue;
        const ratio = median(rival.values) / median(values[i]);
        result.ratios[rival.job.name] = ratio;
        const least = subject.versus?.[rival.job.name];
        if (least !== undefined) want(`≥ ${least} × ${rival.job.name}`, ratio >= least);
      }
      for (const { fast, slow, least } of row.pairs ?? []) {
        if (fast !== subject.name) continue;
        const other = values[row.subjects.findIndex(({ name }) => name === slow)];
        if (!other) continue;
        result.ratios[slow] = median(other) / median(values[i]);
        want(`≥ ${least} × ${slow}`, result.ratios[slow] >= least);
      }
      return result;
    });
    const result: RowResult = {
      group,
      name: row.name,
      unit: row.unit,
      subjects,
      rivals: rivals.map(({ job, values, missing }) =>
        missing === undefined
          ? { name: job.name, value: median(values.map(shown)) }
          : { name: job.name, missing }
      ),
      ...(row.note ? { note: row.note } : {}),
      ...(row.failed ? { failed: row.failed } : {}),
    };
    if (row.curve && values.length > 0) {
      const { name, along, at, runs = 1 } = row.curve;
      result.curve = { name, along, at, seconds: runs * median(values[0]) };
    }
    this.results.push(result);
    return result;
  }

  /** Seconds of one run, in about `milliseconds` of runs. */
  async #seconds(run: () => unknown, milliseconds: number): Promise<number> {
    const first = performance.now(), given = await run(), once = (performance.now() - first) / 1e3;
    if (typeof given === "number") {
      const all = [given];
      while (performance.now() - first < milliseconds) all.push(await run() as number);
      return median(all);
    }
    if (once * 1e3 > milliseconds) return once;
    const { measure } = await import("mitata");
    const stats = await measure(
      run as () => void,
      {
        min_cpu_time: milliseconds * 1e6,
        min_samples: 1,
        gc: false,
        inner_gc: false,
      } as unknown as Parameters<typeof measure>[1],
    );
    return stats.p50 / 1e9;
  }

  /** Ends what was started. */
  dispose(): void {
    this.rivals.endAll();
    this.limits.dispose();
    this.nativeRead?.dispose();
    this.#single?.limits.dispose();
  }
}
