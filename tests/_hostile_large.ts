/**
 * Headers as long as the format allows, in time and memory: `deno run -A tests/hostile.ts --large`.
 *
 * Each is opened in a process of its own, whose time is that of its processor and whose memory is the most it had, less
 * what it had before.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { readSafetensors } from "../src/files/mod.ts";
import { openBytes } from "../src/platform/platform.ts";

/** What stands in the header. */
const shapes: Readonly<Record<string, (i: number) => string>> = {
  "least tensors": (i) => `"${i.toString(36)}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]}`,
  "tensors of nothing": (i) => `"${i.toString(36)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`,
  "names as in models": (i) =>
    `"model.layers.${i}.self_attn.q_proj.weight":{"dtype":"U8","shape":[1,1],"data_offsets":[${i},${i + 1}]}`,
  "names with escapes": (i) =>
    `"\\u0061${i.toString(36)}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]}`,
  "names in other scripts": (i) =>
    `"é漢😀${i.toString(36)}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]}`,
  "long shapes": (i) =>
    `"${i.toString(36)}":{"dtype":"U8","shape":[${"1,".repeat(1000)}1],"data_offsets":[${i},${i + 1}]}`,
  "unknown keys": (i) =>
    `"${i.toString(36)}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]${
      Array.from({ length: 60 }, (_, k) => `,"k${k}":[[1]]`).join("")
    }}`,
  "one note": (i) =>
    i === 0
      ? `"__metadata__":{"a":"${"x".repeat(17_000_000)}"}`
      : `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`,
};

function fileWith(shape: (i: number) => string, megabytes: number): Uint8Array {
  const parts: string[] = [];
  let length = 2, covered = 0;
  for (let i = 0; length < megabytes * 1e6 - 6000; i++) {
    const part = shape(i), [, end] = /,(\d+)\]/.exec(part.slice(part.indexOf("data_offsets"))) ?? [];
    parts.push(part);
    length += part.length + 1;
    covered = Math.max(covered, Number(end ?? 0));
    if (length > megabytes * 1e6) break;
  }
  const json = new TextEncoder().encode(`{${parts.join(",")}}`),
    bytes = new Uint8Array(8 + json.length + covered);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

async function measure(name: string, megabytes: number): Promise<void> {
  const bytes = fileWith(shapes[name], megabytes), collect = (globalThis as { gc?: () => void }).gc;
  collect?.();
  const memory = process.memoryUsage().rss, before = process.cpuUsage();
  const file = await readSafetensors(openBytes(bytes)).catch((error: Error) => error.message);
  const { user, system } = process.cpuUsage(before), after = process.memoryUsage().rss;
  const found = typeof file === "string" ? file.slice(0, 60) : `${file.names.length} tensors`;
  const seconds = (user + system) / 1e6, size = bytes.length / 1e6;
  console.log(
    `${name.padEnd(24)}${megabytes.toString().padStart(4)} MB  ${seconds.toFixed(2).padStart(6)} s  ` +
      `${(seconds / size * 20).toFixed(2)} s a 20 MB  ${
        ((after - memory) / 1e6 / size).toFixed(1)
      } x memory  ${found}`,
  );
}

/** Prints a line for each header of 20 and of 100 MB. */
export async function large(): Promise<void> {
  const [name, megabytes] = process.env.FERROTYPE_LARGE?.split(":") ?? [];
  if (name) return await measure(name, Number(megabytes));
  const file = fileURLToPath(new URL("./hostile.ts", import.meta.url));
  const before = "Deno" in globalThis
    ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc"]
    : "Bun" in globalThis
    ? []
    : ["--expose-gc"];
  for (const megabytes of [20, 100]) {
    for (const name of Object.keys(shapes)) {
      spawnSync(process.execPath, [...before, file, "--large"], {
        env: { ...process.env, FERROTYPE_LARGE: `${name}:${megabytes}` },
        stdio: "inherit",
      });
    }
  }
}
