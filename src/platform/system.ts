/**
 * The machine and the process: processors, memory, environment, home folder.
 *
 * Every function answers without asking the user for anything: what Deno would prompt for is reported as missing.
 *
 * @module
 */
import { builtinModule, globals, isPermitted } from "./runtime.ts";

/** How many threads run at the same time; at least 1. */
export function hardwareConcurrency(): number {
  return Math.max(
    1,
    globals.navigator?.hardwareConcurrency ?? builtinModule("node:os")?.availableParallelism() ?? 1,
  );
}

/** Whether this thread may sleep in `Atomics.wait`. The main thread of a page may not. */
export function canBlock(): boolean {
  try {
    // 1 is not there, so a thread that may wait hears so at once; one that may not throws before it looks.
    return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1) === "not-equal";
  } catch {
    return false;
  }
}

/** Why memory cannot be shared with workers here; null when it can. */
export function sharedMemoryReason(): string | null {
  if (typeof SharedArrayBuffer !== "undefined") return null;
  return "the page is not cross-origin isolated; serve it with Cross-Origin-Opener-Policy: same-origin and " +
    "Cross-Origin-Embedder-Policy: require-corp";
}

/** An environment variable; undefined when it is not set, not permitted, or the runtime has none. */
export function environment(name: string): string | undefined {
  if (!isPermitted({ name: "env", variable: name })) return undefined;
  return globals.process?.env?.[name];
}

/** The names of all environment variables that may be known. */
export function environmentNames(): string[] {
  return isPermitted({ name: "env" }) ? Object.keys(globals.process?.env ?? {}) : [];
}

/** The user's home folder; undefined where there is none or it may not be known. */
export function homeDirectory(): string | undefined {
  const named = environment("HOME") ?? environment("USERPROFILE");
  if (named !== undefined) return named;
  return isPermitted({ name: "sys", kind: "homedir" }) ? builtinModule("node:os")?.homedir() : undefined;
}

/** The number of this process; 0 in a browser. */
export function processId(): number {
  return globals.process?.pid ?? 0;
}

/** The machine's name; undefined where it may not be known. */
export function hostName(): string | undefined {
  return isPermitted({ name: "sys", kind: "hostname" }) ? builtinModule("node:os")?.hostname() : undefined;
}

/** When this process began, in milliseconds since 1970. */
export function processStart(): number {
  return Date.now() - 1000 * (globals.process?.uptime() ?? 0);
}

/** Whether a process of this machine runs; undefined where that may not be known. */
export function isProcessAlive(pid: number): boolean | undefined {
  if (globals.process === undefined || !isPermitted({ name: "run" })) return undefined;
  try {
    globals.process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, and belongs to someone else.
    if ((error as { code?: string }).code === "ESRCH") return false;
  }
  return !isZombie(pid);
}

/** Whether a process has ended and only its parent has not asked how. Known on Linux alone. */
function isZombie(pid: number): boolean {
  if (globals.process?.platform !== "linux") return false;
  try {
    // "4242 (its name) Z …"; the name may hold anything.
    const text = builtinModule("node:fs")!.readFileSync(`/proc/${pid}/stat`, "utf8");
    return /^[ZX]/.test(text.slice(text.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** The folder for temporary files; undefined in a browser. */
export function temporaryDirectory(): string | undefined {
  if (globals.process === undefined) return undefined;
  return environment("TMPDIR") ?? environment("TEMP") ?? "/tmp";
}

/** Operating system and processor architecture, such as "linux" and "x64"; "unknown" in a browser. */
export function system(): { platform: string; arch: string } {
  return { platform: globals.process?.platform ?? "unknown", arch: globals.process?.arch ?? "unknown" };
}

/** The processor's name; undefined where it may not be known. */
export function cpuModel(): string | undefined {
  if (!isPermitted({ name: "sys", kind: "cpus" })) return undefined;
  return builtinModule("node:os")?.cpus()[0]?.model.trim();
}

/** Bytes of memory the process occupies now (resident set); undefined in a browser. */
export function residentMemory(): number | undefined {
  return globals.process?.memoryUsage?.().rss;
}

/** Milliseconds that all threads of this process have spent on processors; undefined in a browser. */
export function processorTime(): number | undefined {
  const used = globals.process?.cpuUsage?.();
  return used && (used.user + used.system) / 1000;
}

/** Bytes of memory of the machine, or of the container where it has less; undefined where that may not be known. */
export function totalMemory(): number | undefined {
  if (!isPermitted({ name: "sys", kind: "systemMemoryInfo" })) return undefined;
  const machine = builtinModule("node:os")?.totalmem(), container = globals.process?.constrainedMemory?.();
  // No limit is 0, nothing, or more than any machine has.
  return machine !== undefined && container ? Math.min(machine, container) : machine;
}
