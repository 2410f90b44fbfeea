/**
 * The way to WebGPU, where the runtime has it.
 *
 * Types are kept to what is needed to choose an adapter; the WebGPU backend knows the rest.
 *
 * @module
 */
import { globals, runtimeName } from "./runtime.ts";

/** What an adapter says about itself. */
export interface GpuAdapter {
  /** Names of the optional features it has, such as "shader-f16". */
  readonly features: ReadonlySet<string>;
  /** The largest values it takes, by name. */
  readonly limits: Readonly<Record<string, number>>;
  /** Who made it. */
  readonly info?: {
    readonly vendor: string;
    readonly architecture: string;
    readonly description: string;
    readonly isFallbackAdapter?: boolean;
  };
  /** A `GPUDevice` of the WebGPU specification. */
  requestDevice(descriptor?: {
    requiredFeatures?: string[];
    requiredLimits?: Record<string, number>;
  }): Promise<unknown>;
}

/** An adapter, or why there is none. */
export type GpuAnswer = { adapter: GpuAdapter; reason: null } | { adapter: null; reason: string };

interface Gpu {
  requestAdapter(options: { powerPreference: string }): Promise<GpuAdapter | null>;
}

let packaged: Promise<{ gpu: Gpu; reason: null } | { gpu: null; reason: string }> | null = null;

/** WebGPU from the npm package "webgpu" (Dawn, the implementation that Chromium has), for Node and Bun. */
async function loadPackage(): Promise<{ gpu: Gpu; reason: null } | { gpu: null; reason: string }> {
  // Not named in the call, where tools would see it and fetch its hundred megabytes for everybody.
  const name = "webgpu";
  try {
    const { create } = await import(/* webpackIgnore: true */ /* @vite-ignore */ name) as {
      create(options: string[]): Gpu;
    };
    return { gpu: create([]), reason: null };
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    const missing = code === "ERR_MODULE_NOT_FOUND" && (message ?? "").includes(`'${name}'`);
    const reason = missing
      ? `has no WebGPU of its own, and the npm package "webgpu" that gives it one is not installed (npm install webgpu)`
      : `has no WebGPU of its own, and the npm package "webgpu" that gives it one did not load: ${
        String(message ?? error).split("\n")[0]
      }`;
    return { gpu: null, reason };
  }
}

/** Asks for the adapter that suits `powerPreference`. Never throws. */
export async function requestGpuAdapter(
  powerPreference: "high-performance" | "low-power" = "high-performance",
): Promise<GpuAnswer> {
  const name = runtimeName(), own = globals.navigator?.gpu as Gpu | undefined;
  let gpu = own;
  if (!gpu && (name === "node" || name === "bun")) {
    const loaded = await (packaged ??= loadPackage());
    if (loaded.gpu === null) return { adapter: null, reason: `${name} ${loaded.reason}` };
    gpu = loaded.gpu;
  }
  if (gpu === undefined) {
    return {
      adapter: null,
      reason: `this ${name === "browser" ? "browser or page" : "runtime"} offers no WebGPU`,
    };
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference });
    if (adapter !== null) return { adapter, reason: null };
    const what = own ? "WebGPU is there, and found" : 'the npm package "webgpu" (Dawn) found';
    return { adapter: null, reason: `${what} no adapter that it can use` };
  } catch (error) {
    return {
      adapter: null,
      reason: `WebGPU failed: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}
