/**
 * What it costs to hand a job to the threads and to have it back.
 *
 * @module
 */
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  yield {
    name: "a job to the threads and back, threads awake",
    unit: "µs",
    amount: 1e6,
    subjects: [{
      name: "WebAssembly",
      run: () => bench.limits.dispatch(),
      atMost: 0.5,
    }],
    ...(bench.engine.threads === 1 ? { note: "one thread: nothing is handed out" } : {}),
  };
}

/** Dispatch. */
export const group: Group = { name: "dispatch", rows };
