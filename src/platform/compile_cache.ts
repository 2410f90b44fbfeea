/**
 * Compiled code kept for the next start: a program of some hundred modules spends most of its start on reading and compiling
 * them.
 *
 * @module
 */
import { builtinModule, runtimeName } from "./runtime.ts";

/**
 * Has Node keep what it compiles from now on, in the folder that `NODE_COMPILE_CACHE` names or in that for temporary files.
 * Where that may not be written, nothing is. Deno and Bun do it by themselves.
 */
export function cacheCompiledCode(): void {
  if (runtimeName() === "node") builtinModule("node:module")?.enableCompileCache?.();
}
