/**
 * Getting a device: the adapter's own limits are asked for, since the defaults of WebGPU are those of a telephone.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import { WebGpuBackend } from "./backend.ts";
import type { GpuOptions } from "./gpu.ts";
import { tryoutSubgroups } from "./subgroups.ts";

/** What is needed of an adapter; `GPUAdapter` has it. */
export interface WebGpuAdapter {
  readonly features: ReadonlySet<string>;
  readonly limits: object;
  readonly info?: {
    readonly description: string;
    readonly architecture: string;
    readonly isFallbackAdapter?: boolean;
  };
  requestDevice(descriptor?: {
    requiredFeatures?: string[];
    requiredLimits?: Record<string, number>;
  }): Promise<unknown>;
}

const limits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
];

const features = ["shader-f16", "subgroups", "timestamp-query"];

/**
 * A webgpu device on `adapter`; `options` may narrow what it uses.
 * @throws {DeviceError} when the adapter gives none.
 */
export async function openWebGpu(adapter: WebGpuAdapter, options: GpuOptions = {}): Promise<WebGpuBackend> {
  const most = adapter.limits as Record<string, number>;
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({
      requiredFeatures: features.filter((name) => adapter.features.has(name)),
      requiredLimits: Object.fromEntries(
        limits.filter((name) => name in most).map((name) => [name, most[name]]),
      ),
    }) as GPUDevice;
  } catch (cause) {
    throw new DeviceError("webgpu: the adapter gave no device", { cause });
  }
  const { allowFp16ReducedPrecisionReduction: half = false } = options;
  if (half && !device.features.has("shader-f16")) {
    device.destroy();
    throw new DeviceError(
      "webgpu: allowFp16ReducedPrecisionReduction needs an adapter with shader-f16, which this one has not; leave it out",
    );
  }
  const subgroups = (options.subgroups ?? true) && await tryoutSubgroups(device);
  const { info } = adapter, name = `${info?.description ?? ""} ${info?.architecture ?? ""}`;
  const software = info?.isFallbackAdapter ?? /llvmpipe|swiftshader/i.test(name);
  return new WebGpuBackend(device, { software, ...options, subgroups });
}
