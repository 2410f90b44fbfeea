/**
 * What each rank does when, in the format that Chrome's tracing page and Perfetto open.
 *
 * @module
 */
import type { Messenger } from "./messenger.ts";

/**
 * One span; times in microseconds.
 *
 * @category Distributed
 */
export interface TraceEvent {
  /** What was done. */
  name: string;
  /** A span. */
  ph: "X";
  /** When it began, since 1970. */
  ts: number;
  /** How long it took. */
  dur: number;
  /** The rank. */
  pid: number;
  /** 0: the program, 1: its communication thread. */
  tid: number;
}

const now = (): number => performance.timeOrigin + performance.now();

/** Gathers spans. */
export class Timeline {
  /** The spans so far. */
  readonly events: TraceEvent[] = [];
  readonly #rank: number;

  /** Of a rank. */
  constructor(rank: number) {
    this.#rank = rank;
  }

  /** Now, for {@link Timeline.end}. */
  begin(): number {
    return now();
  }

  /** Adds what the program did since `start`. */
  end(name: string, start: number): void {
    this.#add(name, start, now(), 0);
  }

  /** Adds a job of the communication thread. */
  job(name: string, messenger: Messenger, job: number): void {
    const { start, end } = messenger.timesOf(job);
    this.#add(name, start, end, 1);
  }

  #add(name: string, start: number, end: number, tid: number): void {
    this.events.push({
      name,
      ph: "X",
      ts: Math.round(start * 1000),
      dur: Math.max(0, Math.round((end - start) * 1000)),
      pid: this.#rank,
      tid,
    });
  }

  /**
   * The share of the communication that the program did not wait for, from 0 to 1; 1 where there was none. Waits and jobs are
   * those of the spans.
   */
  hidden(): number {
    const total = (tid: number, part: (e: TraceEvent) => boolean): number =>
      this.events.filter((e) => e.tid === tid && part(e)).reduce((sum, e) => sum + e.dur, 0);
    const sent = total(1, () => true), waited = total(0, (e) => e.name === "wait for gradients");
    return sent === 0 ? 1 : Math.max(0, 1 - waited / sent);
  }
}
