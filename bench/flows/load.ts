/**
 * From a safetensors file in the page cache to a model ready to decode, beside one read of the file into fresh memory. Each
 * in a process of its own, so that memory is fresh and its peak can be told.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openSafetensors } from "../../mod.ts";
import { runtimeName } from "../../src/platform/platform.ts";
import { gpt2Folder } from "../gpt2.ts";
import type { Bench, Group, Row } from "../harness.ts";

interface Loading {
  milliseconds: number;
  /** The most bytes resident while it loaded, above those before; null where the system does not tell. */
  peak: number | null;
}

function once(what: "load" | "read", folder: string): Loading {
  const script = join(dirname(fileURLToPath(import.meta.url)), "load_once.ts");
  const run = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : [];
  const { stdout, stderr } = spawnSync(process.execPath, [...run, script, what, folder], {
    encoding: "utf8",
  });
  try {
    return JSON.parse(stdout.trim().split("\n").at(-1)!);
  } catch {
    throw new Error(`load_once: ${stderr.trim().split("\n").at(-1)}`);
  }
}

async function* rows(_bench: Bench): AsyncGenerator<Row> {
  const folder = await gpt2Folder(), { size } = statSync(join(folder, "model.safetensors"));
  once("read", folder);
  const peaks: number[] = [];
  const row: { note?: string } & Row = {
    name: "124M, f32, ready to decode",
    unit: "ms",
    amount: 1e3,
    subjects: [{
      name: "GPT2.load",
      run: () => {
        const { milliseconds, peak } = once("load", folder);
        if (peak !== null) peaks.push(peak / size);
        return milliseconds / 1e3;
      },
      limit: { name: "one read into fresh memory", measure: () => once("read", folder).milliseconds },
      share: 1.3,
    }],
    get note() {
      const middle = peaks.toSorted((a, b) => a - b)[peaks.length >> 1];
      return middle === undefined
        ? "peak memory is not known here"
        : `peak memory ${middle.toFixed(2)} × the file (wanted: ≤ 1.15 ×)`;
    },
  };
  yield row;

  const sparse = sparseFile();
  yield {
    name: "a file of 500 MB in 125 tensors, opened: its header is read",
    unit: "ms",
    amount: 1e3,
    subjects: [{
      name: "openSafetensors",
      run: async () => {
        const started = performance.now();
        await using _file = await openSafetensors(sparse);
        return (performance.now() - started) / 1e3;
      },
      limit: { name: "5 ms", measure: () => 5 },
      share: 1,
    }],
  };
  rmSync(dirname(sparse), { recursive: true });
}

/** A safetensors file of 125 matrices that takes no room on the disk; its path, in a folder of its own. */
function sparseFile(): string {
  const size = 4_000_000, names = Array.from({ length: 125 }, (_, i) => `h.${i}.weight`);
  const header = JSON.stringify(Object.fromEntries(names.map((name, i) => [
    name,
    { dtype: "F32", shape: [1000, 1000], data_offsets: [i * size, (i + 1) * size] },
  ])));
  const length = Math.ceil(header.length / 8) * 8, head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(new TextEncoder().encode(header), 8);
  const path = join(mkdtempSync(join(tmpdir(), "ferrotype-bench-")), "sparse.safetensors");
  writeFileSync(path, head);
  truncateSync(path, head.length + names.length * size);
  return path;
}

/** Loading. */
export const group: Group = { name: "loading", rows };
