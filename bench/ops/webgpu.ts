/**
 * The webgpu device, on whatever adapter there is: products one on another, of many rows and of one (what generating a
 * token consists of), beside jax-js on the same adapter. Needs a runtime with WebGPU: Deno.
 *
 * @module
 */
import { initWebGPU, matmul, rand, tidy } from "../../mod.ts";
import { requestGpuAdapter } from "../../src/platform/gpu.ts";
import type { Bench, Group, Row } from "../harness.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  await initWebGPU();
  const { adapter } = await requestGpuAdapter(), device = "webgpu";
  for (const [m, k, steps] of [[512, 512, 4], [64, 768, 8], [1, 768, 64], [1, 2048, 24]] as const) {
    const x = rand([m, k], { device }), w = rand([k, k], { device }).mul(1 / k);
    const rival = "jax-js on WebGPU";
    yield {
      name: `[${m},${k}]×[${k},${k}], ${steps} times`,
      unit: "GFLOP/s",
      amount: 2 * m * k * k * steps / 1e9,
      subjects: [{
        name: "WebGPU",
        async run() {
          const y = tidy(() => {
            let y = x;
            for (let i = 0; i < steps; i++) y = matmul(y, w);
            return y;
          });
          await y.data();
          y.dispose();
        },
        versus: { [rival]: 1 },
      }],
      rivals: [bench.rivals.job(rival, "chain", { m, k, steps })],
      note: `adapter: ${adapter?.info?.description || adapter?.info?.vendor || "without a name"}`,
    };
    x.dispose();
    w.dispose();
  }
}

/** WebGPU. */
export const group: Group = { name: "WebGPU", rows };
