/**
 * jax-js: products, and training of nanoGPT's small model for characters.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Prepare } from "./host.ts";
import { random } from "./random.ts";
import { trainer } from "./jax_train.ts";

/** Task "gemm": m, n, k. Task "train": layers, heads, width, time, batch, vocab. */
export const prepare: Prepare = async (_rival, task, options, modules) => {
  const jax = await import(pathToFileURL(join(modules, "@jax-js/jax/dist/index.js")).href);
  await jax.init("wasm");
  jax.defaultDevice("wasm");
  if (task === "train") return trainer(jax, options);
  const { m, n, k } = options, { numpy: np, jit } = jax;
  const a = np.array(random(m * k)).reshape([m, k]), b = np.array(random(k * n)).reshape([k, n]);
  // deno-lint-ignore no-explicit-any -- its arrays
  const product = jit((x: any, y: any) => np.dot(x, y));
  return async () => {
    await product(a.ref, b.ref).data();
  };
};
