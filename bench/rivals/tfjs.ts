/**
 * TensorFlow.js on WebAssembly.
 *
 * @module
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Prepare } from "./host.ts";
import { random } from "./random.ts";

/** Task "gemm": m, n, k, threads. Tasks "exp", "add", "softmax": rows, columns. */
export const prepare: Prepare = async (_rival, task, options, modules) => {
  const require = createRequire(join(modules, "x.js"));
  const tf = require("@tensorflow/tfjs"), wasm = require("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(join(modules, "@tensorflow/tfjs-backend-wasm/dist/"));
  if (options.threads) wasm.setThreadsCount(options.threads);
  await tf.setBackend("wasm");
  await tf.ready();
  const matrix = (rows: number, columns: number) => tf.tensor2d(random(rows * columns), [rows, columns]);
  if (task === "gemm") {
    const { m, n, k } = options, a = matrix(m, k), b = matrix(k, n);
    return () => tf.matMul(a, b).dispose();
  }
  const { rows, columns } = options, x = matrix(rows, columns), y = matrix(rows, columns);
  const work: Record<string, () => { dispose(): void }> = {
    exp: () => tf.exp(x),
    add: () => tf.add(x, y),
    softmax: () => tf.softmax(x),
  };
  return () => work[task]().dispose();
};
