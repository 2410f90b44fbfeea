/**
 * Whether subgroups can be used: they are asked for by name, and what the kernels lean on is tried.
 *
 * @module
 */
import { usage } from "./buffers.ts";
import { groupSize } from "./gpu.ts";

const code = `enable subgroups;
@group(0) @binding(0) var<storage, read_write> found: array<u32>;
@compute @workgroup_size(${groupSize})
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) place: u32) {
  let sum = subgroupAdd(lane);
  found[2u * lane] = size;
  found[2u * lane + 1u] = select(0u, sum + 1u, place == lane % size);
}`;

/**
 * Whether invocations lie in subgroups in their order, which the specification leaves open, and sums over them are
 * right. False as well where the device has no subgroups.
 */
export async function tryoutSubgroups(device: GPUDevice): Promise<boolean> {
  if (!device.features.has("subgroups")) return false;
  const bytes = groupSize * 8;
  const found = device.createBuffer({ size: bytes, usage: usage.storage });
  const staging = device.createBuffer({ size: bytes, usage: usage.staging });
  try {
    device.pushErrorScope("validation");
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
    });
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: found } }];
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(found, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    if (await device.popErrorScope() !== null) return false;
    await staging.mapAsync(1);
    const words = new Uint32Array(staging.getMappedRange().slice(0)), [size] = words;
    return Array.from({ length: groupSize }, (_, lane) => lane).every((lane) => {
      const first = lane - lane % size, count = Math.min(size, groupSize - first);
      return words[2 * lane] === size && words[2 * lane + 1] === count * first + count * (count - 1) / 2 + 1;
    });
  } catch {
    return false;
  } finally {
    found.destroy();
    staging.destroy();
  }
}
