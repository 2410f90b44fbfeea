/**
 * Runs a process that dies at a call that changes something on the disk, as `_dying.ts` has it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { nodeCache } from "./_data.ts";

/** Runs a program, by its path, with arguments. Gives how many calls it made, null when it was killed. */
export function runDying(program: string, args: readonly string[]): Promise<number | null> {
  const before = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...before, program, ...args], {
    env: { NODE_COMPILE_CACHE: nodeCache, ...process.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "", errors = "";
  child.stdout.setEncoding("utf8").on("data", (text) => out += text);
  child.stderr.setEncoding("utf8").on("data", (text) => errors += text);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      // Deno tells a killed child by 128 + 9.
      if (signal === "SIGKILL" || code === 137) resolve(null);
      else if (code === 0) resolve(Number(out));
      else reject(new Error(`${program} ended with ${code}: ${errors}`));
    });
  });
}
