/**
 * A program for webgpu_dawn_test.ts: uses the webgpu device that this runtime finds, and prints what came of it as JSON.
 *
 * @module
 */
import { join } from "node:path";
import { DeviceError, GPT2, initWebGPU, optim, tensor } from "../mod.ts";
import type { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { backendOf } from "../src/tensor/mod.ts";
import { repository } from "./_data.ts";

const { adapter, reason } = await requestGpuAdapter();
if (adapter === null) console.log(JSON.stringify({ reason }));
else {
  await initWebGPU();
  const folder = join(repository, "web", "models", "shakespeare"),
    texts: string[] = [],
    losses: number[][] = [];
  for (const device of ["cpu", "webgpu"] as const) {
    using model = await GPT2.load(folder, { device });
    texts.push(await model.complete("ROMEO:", { maxNewTokens: 8, doSample: false }));
    texts.push(await model.complete("ROMEO:", { maxNewTokens: 8, topK: 8, seed: 5 }));
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 }), list: number[] = [];
    for (let step = 0; step < 2; step++) {
      optimizer.zeroGrad();
      const loss = model.loss([Array.from({ length: 8 }, (_, i) => (i * 7) % 60)]);
      loss.backward();
      optimizer.step();
      list.push(await loss.item());
    }
    losses.push(list);
  }
  const { gpu } = backendOf("webgpu") as WebGpuBackend, x = tensor([1, 2], { device: "webgpu" });
  gpu.device.destroy();
  await gpu.device.lost;
  const said = await x.data().then(() => "nothing", (e) => e instanceof DeviceError ? e.message : String(e));
  await initWebGPU();
  const again = await tensor([1, 2], { device: "webgpu" }).add(1).toArray();
  const name = adapter.info?.description || adapter.info?.architecture;
  console.log(JSON.stringify({ adapter: name, texts, losses, said, again }));
}
