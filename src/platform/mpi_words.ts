/**
 * The memory through which a program and its communication thread speak.
 *
 * Jobs stand in a ring, sixteen words each; two counters say how many were posted and how many are done. All is written with
 * atomic instructions, so that either side may sleep until the other has gone on.
 *
 * @module
 */

/** Words (of 32 bits) of the control block. */
export const words = {
  posted: 0,
  done: 1,
  /** One of {@link threadStates}. */
  state: 2,
  /** 1 while the program does something long on its own: saves, evaluates. */
  busy: 3,
  /** 1 asks the thread to end the job. */
  abort: 4,
  /** Bytes of the text of an error, at {@link textAt}. */
  text: 5,
  rank: 6,
  size: 7,
  /** 1 while the program waits for a job. */
  waiting: 8,
  /** Always 0, and nobody is woken at it: to sleep a while. */
  sleep: 16,
  /** Where the ring begins, and how many jobs and words a job it has. */
  ring: 64,
  slots: 256,
  job: 16,
} as const;

/** Words of a job. */
export const jobWords = {
  operation: 0,
  /** An index of `types`. */
  type: 1,
  /** An index of `reductions`. */
  reduction: 2,
  /** The root, or the rank at the other end. */
  peer: 3,
  /** Byte offset in the heap of what is sent. */
  from: 4,
  /** Byte offset of where results go. */
  to: 5,
  /** Elements. */
  count: 6,
  /** An index of `elements` in the low byte, the number of axes of what is sent in the next, 1 above where ranks are asked whether they do the same. */
  what: 7,
  /** The first axes; the last of them holds what all from there on come to. */
  shape: 8,
} as const;

/** Axes of a job that are told apart. */
export const axes = 8;

/** What a job may be. The last ones are the thread's own: they do not stand in MPI. */
export const operations = [
  "allReduce",
  "exactAllReduce",
  "bf16AllReduce",
  "reduce",
  "broadcast",
  "allGather",
  "reduceScatter",
  "barrier",
  "send",
  "receive",
  "forward",
  "finalize",
] as const;

/** Element types by their index. */
export const types = ["f32", "f64", "i32", "i64", "u8", "u16"] as const;

/** What tensors are of, by its index; the first are as `types`. */
export const elements = ["f32", "f64", "i32", "i64", "u8", "u16", "f16", "bf16", "bool"] as const;

/** Reductions by their index. */
export const reductions = ["sum", "product", "max", "min"] as const;

/** States of the communication thread. */
export const threadStates = {
  starting: 0,
  ready: 1,
  failed: 2,
  over: 3,
  /** Ranks called different things; all know it. */
  unlike: 4,
} as const;

/** Bytes of the control block, and where in it requests, times and texts stand. */
export const controlBytes = 65536, requestAt = 20480, timesAt = 24576, textAt = 32768, textBytes = 16384;

/** Bytes of the memory in which the thread sums. */
export const scratchBytes = 1 << 23;
