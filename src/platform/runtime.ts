/**
 * Which runtime this is, and the doors to what it builds in.
 *
 * Built-in modules are asked for through `process.getBuiltinModule`, which Deno, Bun and Node share: it is
 * synchronous, a browser simply lacks it, and a bundler finds no import to trip over. Nothing here runs at import.
 *
 * @module
 */
import type { BuiltinModules, PermissionDescriptor, RuntimeGlobals } from "./builtin_modules.ts";

/** The runtimes the package knows. */
export type RuntimeName = "deno" | "bun" | "node" | "browser";

/** `globalThis`, seen as what may be there. */
export const globals: RuntimeGlobals = globalThis as unknown as RuntimeGlobals;

/** The runtime this code runs on; anything that is no server runtime counts as a browser. */
export function runtimeName(): RuntimeName {
  if (globals.Deno !== undefined) return "deno";
  if (globals.Bun !== undefined) return "bun";
  return globals.process?.versions?.node !== undefined ? "node" : "browser";
}

/** The version of the runtime, such as "2.9.6"; a browser's user agent. */
export function runtimeVersion(): string {
  if (globals.Deno !== undefined) return globals.Deno.version.deno;
  if (globals.Bun !== undefined) return globals.Bun.version;
  return globals.process?.versions?.node ?? globals.navigator?.userAgent ?? "unknown";
}

/** A module that the runtime builds in, or undefined where it does not. */
export function builtinModule<Name extends keyof BuiltinModules>(
  name: Name,
): BuiltinModules[Name] | undefined {
  return rawBuiltinModule(name) as BuiltinModules[Name] | undefined;
}

/** A built-in module that has no types here, such as "bun:ffi". */
export function rawBuiltinModule(name: string): unknown {
  return globals.process?.getBuiltinModule?.(name);
}

/** Whether Deno would do it without asking; true where there is nothing to ask. Never prompts. */
export function isPermitted(descriptor: PermissionDescriptor): boolean {
  return globals.Deno === undefined || globals.Deno.permissions.querySync(descriptor).state === "granted";
}
