/**
 * The native library as a program in C uses it: its own threads, its own way to cut the work, on plain memory.
 *
 * @module
 */
import { openLibrary } from "../../src/platform/platform.ts";
import type { Prepare } from "./host.ts";
import { random } from "./random.ts";

const setters = ["openblas_set_num_threads", "MKL_Set_Num_Threads"];

/** Task "gemm": m, n, k, threads, path. */
export const prepare: Prepare = (_rival, _task, { m, n, k, threads, path }) => {
  const [whole, number, matrix] = ["i32", "f32", "pointer"] as const;
  const order = [whole, whole, whole, whole, whole, whole] as const;
  const parameters = [...order, number, matrix, whole, matrix, whole, number, matrix, whole] as const;
  let reason = "";
  for (const setter of setters) {
    const opened = openLibrary([path], {
      cblas_sgemm: { parameters, result: "void" },
      [setter]: { parameters: ["i32"], result: "void" },
    });
    if (!opened.library) {
      reason = opened.reason;
      continue;
    }
    const functions = opened.library.functions as unknown as Record<string, (...values: unknown[]) => void>;
    functions[setter](threads);
    const a = random(m * k), b = random(k * n), c = new Float32Array(m * n);
    return Promise.resolve(() => functions.cblas_sgemm(101, 111, 111, m, n, k, 1, a, k, b, n, 0, c, n));
  }
  throw new Error(reason);
};
