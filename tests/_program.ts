/**
 * Programs in few files each, for tests that start them dozens of times: a process that reads the library's 750 modules one by one
 * spends 0.4 s (Deno, Bun) to 0.6 s (Node) on that, and half or a third of it on a file or two with the same in them.
 *
 * A run of the suite makes each once, for all of its processes: `run.ts` says where, by `FERROTYPE_PROGRAMS`.
 *
 * @module
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { repository } from "./_data.ts";
import { alone } from "./packages/_alone.ts";

const made = new Map<string, Promise<string>>();
let own = "";

/** Where programs lie: for the whole run, or for as long as this process lasts. */
function place(): string {
  if (process.env.FERROTYPE_PROGRAMS) return process.env.FERROTYPE_PROGRAMS;
  if (own === "") {
    // Beside the packages that they import by name.
    const cache = join(repository, "node_modules/.cache");
    mkdirSync(cache, { recursive: true });
    own = mkdtempSync(join(cache, "ferrotype-programs-"));
    process.on("exit", () => rmSync(own, { recursive: true, force: true }));
  }
  return own;
}

/** The path of a program, by that of its source in the repository, made of few files. */
export function inFewFiles(source: string): Promise<string> {
  if (!made.has(source)) made.set(source, make(source));
  return made.get(source)!;
}

async function make(source: string): Promise<string> {
  const folder = join(place(), source.replace(/\.ts$/, "").replaceAll("/", "-"));
  const program = join(folder, `${basename(source, ".ts")}.mjs`);
  if (existsSync(program)) return program;
  return await alone(async () => {
    if (!existsSync(program)) await bundle(join(repository, source), folder);
    return program;
  }, "programs");
}

/** Files that ask where they lie, or whether they are what was started. */
const asking = /[\\/](?:cli[\\/](?:model|main)|tests[\\/]_\w+)\.ts$/;

async function bundle(source: string, folder: string): Promise<void> {
  const { build, stop } = await import("esbuild");
  mkdirSync(dirname(folder), { recursive: true });
  const begun = mkdtempSync(`${folder}-`);
  await build({
    entryPoints: [source],
    outdir: begun,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // What is imported as it is called for stays apart.
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    chunkNames: "[hash]",
    logLevel: "error",
    plugins: [{
      name: "as they would be answered",
      setup: ({ onLoad }) =>
        onLoad({ filter: asking }, ({ path }) => {
          const text = readFileSync(path, "utf8"), at = JSON.stringify(pathToFileURL(path).href);
          const contents = path === source
            ? text
            : text.replaceAll("import.meta.url", at).replaceAll("import.meta.main", "false");
          return { contents, loader: "ts" };
        }),
    }],
  });
  await stop();
  renameSync(begun, folder);
}
