import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { conformance } from "./backend_conformance.ts";

const { adapter } = await requestGpuAdapter();
if (adapter) {
  const backend = await openWebGpu(adapter);
  conformance("webgpu", () => backend, { close: () => backend.gpu.device.destroy() });
}
