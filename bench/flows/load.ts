/**
 * From a safetensors file in the page cache to a model ready to decode, beside one read of the file into fresh memory. Each
 * in a process of its own, so that memory is fresh and its peak can be told.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
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
}

/** Loading. */
export const group: Group = { name: "loading", rows };
