/**
 * The native library as a program in C uses it: its own threads, its own way to cut the work, on plain memory.
 *
 * @module
 */
import { openLibrary } from "../../src/platform/platform.ts";
import type { Prepare } from "./host.ts";
import { random } from "./random.ts";

const [whole, wide, number, matrix] = ["i32", "i64", "f32", "pointer"] as const;

/** How each family sets its threads and multiplies row-major matrices. */
const kinds = [
  ["openblas_set_num_threads", whole, "cblas_sgemm"],
  ["MKL_Set_Num_Threads", whole, "cblas_sgemm"],
  ["bli_thread_set_num_threads", wide, "cblas_sgemm"],
  ["omp_set_num_threads", whole, "dnnl_sgemm"],
] as const;

const signatures = {
  cblas_sgemm: [
    whole,
    whole,
    whole,
    whole,
    whole,
    whole,
    number,
    matrix,
    whole,
    matrix,
    whole,
    number,
    matrix,
    whole,
  ],
  dnnl_sgemm: [whole, whole, wide, wide, wide, number, matrix, wide, matrix, wide, number, matrix, wide],
} as const;

/** Task "gemm": m, n, k, threads, path. */
export const prepare: Prepare = (_rival, _task, { m, n, k, threads, path }) => {
  let reason = "";
  for (const [setter, type, product] of kinds) {
    const opened = openLibrary([path], {
      [product]: { parameters: signatures[product], result: product === "dnnl_sgemm" ? "i32" : "void" },
      [setter]: { parameters: [type], result: "void" },
    });
    if (!opened.library) {
      reason = opened.reason;
      continue;
    }
    const functions = opened.library.functions as unknown as Record<string, (...values: unknown[]) => void>;
    functions[setter](threads);
    const a = random(m * k), b = random(k * n), c = new Float32Array(m * n), multiply = functions[product];
    // In braces: oneDNN answers with a status, and a number that a job gives would count as its seconds.
    return Promise.resolve(
      product === "dnnl_sgemm"
        ? () => {
          multiply(78, 78, m, n, k, 1, a, k, b, n, 0, c, n);
        }
        : () => {
          multiply(101, 111, 111, m, n, k, 1, a, k, b, n, 0, c, n);
        },
    );
  }
  throw new Error(reason);
};
