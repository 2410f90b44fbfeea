/**
 * Loads a model, or reads its file, once: `load_once.ts load|read FOLDER`. Prints the milliseconds and the peak memory.
 *
 * @module
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { GPT2 } from "../../mod.ts";

const [what, folder] = process.argv.slice(2);

/** A line of Linux's /proc/self/status in bytes. */
function status(name: string): number | null {
  if (!existsSync("/proc/self/status")) return null;
  const kilobytes = new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return kilobytes === undefined ? null : 1024 * Number(kilobytes);
}

const before = status("VmRSS"), started = performance.now();
let kept: unknown;
if (what === "load") kept = await GPT2.load(folder);
else {
  const file = openSync(join(folder, "model.safetensors"), "r"), { size } = fstatSync(file);
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size;) at += readSync(file, bytes, at, Math.min(1 << 26, size - at), at);
  closeSync(file);
  kept = bytes;
}
const milliseconds = performance.now() - started, most = status("VmHWM");
console.log(JSON.stringify({
  milliseconds,
  peak: before === null || most === null ? null : most - before,
  kept: typeof kept,
}));
process.exit(0);
