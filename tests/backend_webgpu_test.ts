/**
 * The webgpu device under the suite that every device must pass, on whatever adapter the runtime finds.
 */
import { it } from "node:test";
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { conformance } from "./backend_conformance.ts";
import { webgpuElsewhere } from "./_webgpu.ts";

const { adapter, reason } = webgpuElsewhere === null
  ? await requestGpuAdapter()
  : { adapter: null, reason: webgpuElsewhere };
if (adapter === null) it("webgpu conforms", { skip: reason }, () => {});
else {
  const backend = await openWebGpu(adapter);
  conformance("webgpu", () => backend, { close: () => backend.gpu.device.destroy() });
}
