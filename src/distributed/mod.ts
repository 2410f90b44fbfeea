/**
 * Several processes as one program: collectives, and training runs that are divided over ranks.
 *
 * @module
 */
export type { BatchPart } from "./data_parallel.ts";
export {
  type BroadcastOptions,
  Distributed,
  type InitOptions,
  type ReduceOp,
  type ReduceOptions,
} from "./distributed.ts";
export type { TraceEvent } from "./timeline.ts";
