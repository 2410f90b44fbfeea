/**
 * What carries numbers between ranks: jobs on ranges of the cpu device's memory, in one order on all ranks.
 *
 * `src/platform` fills it with MPI; nothing here knows of that.
 *
 * @module
 */

/** Element types that travel. */
export type WireType = "f32" | "f64" | "i32" | "i64" | "u8" | "u16";

/** How numbers of all ranks become one. */
export type WireReduction = "sum" | "product" | "max" | "min";

/** One job. Offsets are bytes in the memory of the cpu device. */
export interface Job {
  /**
   * What is done. `exactAllReduce` sums f32 pairwise, neighbours first, `bf16AllReduce` in the same order with 16 bits a number
   * on the wire. `forward` sends nothing: ranks are asked whether they go through a model with the same.
   */
  readonly operation:
    | "allReduce"
    | "exactAllReduce"
    | "bf16AllReduce"
    | "reduce"
    | "broadcast"
    | "allGather"
    | "reduceScatter"
    | "barrier"
    | "send"
    | "receive"
    | "forward";
  /** What is sent. */
  readonly type?: WireType;
  /** How it is reduced. */
  readonly reduction?: WireReduction;
  /** The root, or the rank at the other end. */
  readonly peer?: number;
  /** Where what is sent lies. */
  readonly from?: number;
  /** Where results go, where that is another place. */
  readonly to?: number;
  /** Elements; of each rank where every rank has its own. */
  readonly count?: number;
  /** What is sent is of, where that is more than its type says. */
  readonly dtype?: WireType | "f16" | "bf16" | "bool";
  /** Its shape, where all ranks are asked for it. */
  readonly shape?: readonly number[];
  /**
   * Whether ranks are asked if they all do the same, where they do not talk in pairs; what follows from what was asked need not be.
   * Default true.
   */
  readonly isAsked?: boolean;
}

/** A process among others. */
export interface Messenger {
  /** This process, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** The hosts of all ranks. */
  readonly hosts: readonly string[];
  /** What carries: "Open MPI 4.1.4". */
  readonly library: string;
  /** Begins a job, and gives its number. */
  post(job: Job): number;
  /** Sleeps until the job is done. */
  wait(number: number): void;
  /** Whether the job is done. */
  isDone(number: number): boolean;
  /** When the job was at work, in milliseconds since 1970. */
  timesOf(number: number): { readonly start: number; readonly end: number };
  /** Whether the program does something long on its own, so that others have patience with it. */
  busy: boolean;
  /** Takes leave, once all ranks have come so far. */
  finalize(): void;
  /** Ends the job on all ranks. */
  abort(message: string | null): void;
}

/** Joins the others; null where nobody started this process as one of several. */
export type Join = (options: { timeout: number }) => Promise<Messenger | null>;
