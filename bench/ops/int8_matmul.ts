/**
 * Products with quantised weights: activations become bytes on the way, beside the dot-product peak of the engine.
 *
 * @module
 */
import { linear, noGrad, randn, tidy } from "../../mod.ts";
import { runtimeName } from "../../src/platform/platform.ts";
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  for (const [dtype, share] of [["q8", 0.7], ["q4", undefined]] as const) {
    for (const [m, n, k] of [[512, 3072, 768], [64, 3072, 768]]) {
      const x = randn([m, k]), full = randn([n, k]), w = full.to({ dtype });
      full.dispose();
      yield {
        name: `${dtype} [${m},${k}]×[${k},${n}]`,
        unit: "GOP/s",
        amount: 2 * m * n * k / 1e9,
        subjects: [{
          name: "WebAssembly",
          run: () => noGrad(() => tidy(() => void linear(x, w))),
          limit: bench.dot(),
          ...(share && m >= 512 && runtimeName() !== "bun" ? { share } : {}),
        }],
      };
      x.dispose();
      w.dispose();
    }
  }
}

/** Products with quantised weights. */
export const group: Group = { name: "products with quantised weights", rows };
