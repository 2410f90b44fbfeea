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

/** Asks for the adapter that suits `powerPreference`. Never throws. */
export async function requestGpuAdapter(
  powerPreference: "high-performance" | "low-power" = "high-performance",
): Promise<GpuAnswer> {
  const gpu = globals.navigator?.gpu as
    | { requestAdapter(options: { powerPreference: string }): Promise<GpuAdapter | null> }
    | undefined;
  if (gpu === undefined) {
    const browser = runtimeName() === "browser";
    return { adapter: null, reason: `this ${browser ? "browser or page" : "runtime"} offers no WebGPU` };
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference });
    if (adapter !== null) return { adapter, reason: null };
    return { adapter: null, reason: "WebGPU is there, and found no adapter" };
  } catch (error) {
    return {
      adapter: null,
      reason: `WebGPU failed: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}
