/**
 * Programs of `tests/` in one file each, for tests that start them dozens of times: a process that reads the library's 750 modules
 * one by one spends 0.4 s (Deno, Bun) to 0.6 s (Node) on that, and half or a third of it on one file with the same in it.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { repository } from "./_data.ts";

const made = new Map<string, Promise<string>>();
let folder = "";

/** The path of a program of `tests/` in one file, which lasts as long as this process. */
export function inOneFile(name: string): Promise<string> {
  if (!made.has(name)) made.set(name, bundle(name));
  return made.get(name)!;
}

async function bundle(name: string): Promise<string> {
  if (folder === "") {
    folder = mkdtempSync(join(tmpdir(), "ferrotype-program-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  }
  const { build, stop } = await import("esbuild");
  const from = join(repository, "tests", name), outfile = join(folder, basename(name, ".ts") + ".mjs");
  await build({
    entryPoints: [from],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    // What lies beside a module is looked for from the repository alone, by `_data.ts`, which is in the folder of the program.
    define: { "import.meta.url": JSON.stringify(pathToFileURL(from).href) },
    logLevel: "error",
  });
  await stop();
  return outfile;
}
