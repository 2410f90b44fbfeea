/**
 * What it costs to hand a job to the threads and to have it back.
 *
 * @module
 */
import type { Emit } from "../../src/backends/cpu/engine.ts";
import type { Bench, Group, Row } from "../harness.ts";

const nothing: Emit = (m) => void m.function("run", { params: ["i32", "i32", "i32"] });

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { engine } = bench, kernel = engine.kernel("bench nothing", nothing), { threads } = engine;
  const jobs = 1000;
  yield {
    name: "a job to the threads and back, threads awake",
    unit: "µs",
    amount: 1e6,
    subjects: [{
      name: "WebAssembly",
      run: () => {
        const start = performance.now();
        for (let i = 0; i < jobs; i++) engine.run(kernel, threads, 1);
        return (performance.now() - start) / 1e3 / jobs;
      },
      limit: { name: "0.5 µs", measure: () => 0.5 },
      share: 1,
    }],
    ...(threads === 1 ? { note: "one thread: nothing is handed out" } : {}),
  };
}

/** Dispatch. */
export const group: Group = { name: "dispatch", rows };
