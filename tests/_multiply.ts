/**
 * A process that multiplies by the machine's library while signals come, run by `blas_signals_test.ts`: says "ready", multiplies
 * until so many signals were handled, and says whether every product was what it is without signals.
 *
 * @module
 */
import process from "node:process";
import { type Tensor, uniform } from "../mod.ts";

let signals = 0;
process.on("SIGUSR2", () => void signals++);

const pairs = [[768, 128, 384], [768, 512, 128], [128, 768, 512], [32, 340, 384]].map(([m, k, n]) =>
  [uniform([m, k], -1, 1, { device: "cpu" }), uniform([k, n], -1, 1, { device: "cpu" })] as const
);
const product = async ([a, b]: readonly [Tensor, Tensor]): Promise<Uint8Array> => {
  using c = a.matmul(b);
  return new Uint8Array((await c.data()).slice().buffer);
};
const expected = await Promise.all(pairs.map(product));
console.log("ready");

let wrong = 0;
for (let rounds = 0; signals < 20 && rounds < 20_000; rounds++) {
  for (const [i, pair] of pairs.entries()) {
    const found = await product(pair);
    if (!found.every((byte, at) => byte === expected[i][at])) wrong++;
  }
  // Handlers run when nothing else does.
  await new Promise((wake) => setTimeout(wake, 0));
}
console.log(`handled ${signals >= 20}, wrong ${wrong}`);
process.exit(0);
