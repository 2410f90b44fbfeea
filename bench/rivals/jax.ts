/**
 * jax-js: products, and training of nanoGPT's small model for characters.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Prepare } from "./host.ts";
import { random } from "./random.ts";
import { compiled, netTrainer } from "./jax_compile.ts";
import { trainer } from "./jax_train.ts";

/** Tasks "compiled" and "net": see `jax_compile.ts`. Task "gemm": m, n, k. Task "chain": products one on another, of m rows by a square of width k. Task "train": layers, heads, width, time, batch, vocab. */
export const prepare: Prepare = async (rival, task, options, modules) => {
  const jax = await import(pathToFileURL(join(modules, "@jax-js/jax/dist/index.js")).href);
  const device = rival === "jax-js on WebGPU" ? "webgpu" : "wasm";
  await jax.init(device);
  jax.defaultDevice(device);
  if (task === "train") return trainer(jax, options);
  if (task === "compiled") return compiled(jax, options);
  if (task === "net") return netTrainer(jax, options);
  if (task === "chain") return chain(jax, options);
  const { m, n, k } = options, { numpy: np, jit } = jax;
  const a = np.array(random(m * k)).reshape([m, k]), b = np.array(random(k * n)).reshape([k, n]);
  // deno-lint-ignore no-explicit-any -- its arrays
  const product = jit((x: any, y: any) => np.dot(x, y));
  return async () => {
    await product(a.ref, b.ref).data();
  };
};

// What nobody reads is never computed there, so each product takes the one before.
// deno-lint-ignore no-explicit-any -- jax-js is loaded at run time, without its types
function chain({ numpy: np, jit }: any, { m, k, steps }: Record<string, number>): () => Promise<void> {
  const x = np.array(random(m * k)).reshape([m, k]),
    w = np.array(random(k * k).map((v) => v / k)).reshape([k, k]);
  // deno-lint-ignore no-explicit-any -- its arrays
  const product = jit((x: any, y: any) => np.dot(x, y));
  return async () => {
    let y = x.ref;
    for (let i = 0; i < steps; i++) y = product(y, w.ref);
    await y.data();
  };
}
