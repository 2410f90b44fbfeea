/**
 * The webgpu device under the suite that every device must pass, on whatever adapter the runtime finds.
 */
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { after, describe, it } from "./_suite.ts";
import { conformance } from "./backend_conformance.ts";
import { matmul } from "./conformance/matmul.ts";
import { Workbench } from "./_views.ts";
import { webgpuElsewhere } from "./_webgpu.ts";

const { adapter, reason } = webgpuElsewhere === null
  ? await requestGpuAdapter()
  : { adapter: null, reason: webgpuElsewhere };
if (adapter === null) it("webgpu conforms", { skip: reason }, () => {});
else {
  const backend = await openWebGpu(adapter);
  const { software } = backend.gpu;
  conformance("webgpu", () => backend, {
    close: () => backend.gpu.device.destroy(),
    // WGSL asks a GPU for neither; processors in disguise give both.
    subnormals: software,
    roundedQuotients: software,
  });
  // Adapters that are processors have products of their own; those of a GPU are tried on them all the same.
  const asGpu = await openWebGpu(adapter, { software: false });
  describe("webgpu conforms with a GPU's products", () => {
    after(() => asGpu.gpu.device.destroy());
    matmul((seed) => new Workbench(asGpu, seed), {
      tolerance: 4,
      subnormals: software,
      roundedQuotients: software,
    });
  });
}
