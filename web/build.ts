/**
 * Builds the site into `web/dist`: `deno task build:web`.
 *
 * Pages and workers are bundled with code splitting, source maps and names that carry a hash of their content; the
 * HTML is written around them from `pages.ts`. A worker is named in a page as any browser would take it,
 * `new Worker(new URL("../engine/worker.ts", import.meta.url), { type: "module" })`, and the URL is rewritten.
 * `dist/ferrotype.js` is the whole library for a page elsewhere, in one file.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { BuildOptions, BuildResult, Metafile, Plugin } from "esbuild";
import { ensurePackages } from "../tests/_install.ts";
import { withImports } from "../tools/packages.ts";
import { readTask } from "../tools/task.ts";
import { type PageInfo, pages } from "./pages.ts";
import { renderPage } from "./shared/shell.ts";

const web = dirname(fileURLToPath(import.meta.url)), root = dirname(web);

/** How many bytes, packed with gzip, a visitor fetches before a thing runs. */
export interface Size {
  /** A page, a worker, or the library. */
  readonly name: string;
  /** Of its scripts. */
  readonly script: number;
  /** Of its style sheets. */
  readonly style: number;
  /** Of scripts that come later, when what needs them is used. */
  readonly later: number;
  /** What the scripts that come first are made of, by room of the house, the heaviest first: each room's part of `script`. */
  readonly rooms: readonly { readonly name: string; readonly size: number }[];
}

const common: BuildOptions = {
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  splitting: true,
  minify: true,
  sourcemap: true,
  metafile: true,
  absWorkingDir: root,
  entryNames: "assets/[name]-[hash]",
  chunkNames: "assets/[name]-[hash]",
  external: ["node:*", "vega", "vega-lite"],
  // The package names this build of it for browsers in a field that its exports hide.
  alias: { "@huggingface/hub": join(root, "node_modules/@huggingface/hub/dist/browser/index.mjs") },
  logLevel: "error",
};

/** Optional packages become part of the pages. */
const packages: Plugin = {
  name: "packages",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
      return { contents: withImports(await readFile(path, "utf8")), loader: "ts" };
    });
  },
};

/** esbuild, loaded when something is built. */
async function build(options: BuildOptions): Promise<BuildResult> {
  const esbuild = await import("esbuild");
  return await esbuild.build({ ...options, plugins: [packages, ...options.plugins ?? []] });
}

async function workers(): Promise<string[]> {
  const names = await readdir(web, { recursive: true });
  return names.map((name) => name.replaceAll("\\", "/"))
    .filter((name) => /(^|\/)worker\.ts$/.test(name) && !name.startsWith("dist/"))
    .map((name) => `web/${name}`).sort();
}

/** Points `new URL("….ts", import.meta.url)` at what became of that file. */
function workerUrls(built: ReadonlyMap<string, string>): Plugin {
  return {
    name: "worker-urls",
    setup({ onLoad }) {
      onLoad({ filter: /[\\/]web[\\/].*\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        const contents = text.replace(/new URL\("([^"]+\.ts)", import\.meta\.url\)/g, (all, name: string) => {
          const source = relative(root, resolve(dirname(path), name)).replaceAll("\\", "/");
          const output = built.get(source);
          if (output === undefined) throw new Error(`${path}: ${all}: no worker is built from ${source}`);
          return `new URL("./${basename(output)}", import.meta.url)`;
        });
        return { contents, loader: "ts" };
      });
    },
  };
}

/** Bundles `entries` into `out`; the output of each entry, from the repository. */
async function bundle(
  entries: string[] | Record<string, string>,
  out: string,
  options: BuildOptions = {},
): Promise<{ outputs: Map<string, string>; metafile: Metafile }> {
  const { metafile } = await build({ ...common, entryPoints: entries, outdir: out, ...options });
  const outputs = new Map<string, string>();
  for (const [path, { entryPoint }] of Object.entries(metafile!.outputs)) {
    if (entryPoint !== undefined) outputs.set(entryPoint, path);
  }
  return { outputs, metafile: metafile! };
}

/** `path` and every module it imports at once; with `later` also those that it may import later on. */
export function closure(
  metafile: Metafile,
  path: string,
  later = false,
  found: Set<string> = new Set(),
): Set<string> {
  if (found.has(path) || metafile.outputs[path] === undefined) return found;
  found.add(path);
  for (const { path: next, kind } of metafile.outputs[path].imports) {
    if (later || kind === "import-statement") closure(metafile, next, later, found);
  }
  return found;
}

/** The weight of an output's scripts. */
async function weigh(metafile: Metafile, output: string): Promise<Pick<Size, "script" | "later" | "rooms">> {
  const first = closure(metafile, output), script = await packed(first), rooms = new Map<string, number>();
  let plain = 0;
  for (const path of first) {
    for (const [input, { bytesInOutput }] of Object.entries(metafile.outputs[path].inputs)) {
      // src/ops, src/backends/cpu/kernels, web/race, and packages under their own names.
      const parts = input.split("/").slice(0, -1), packages = parts.lastIndexOf("node_modules");
      const depth = parts[1] === "backends" ? 4 : 2;
      const room = packages < 0 ? parts.slice(0, depth) : parts.slice(packages + 1, packages + 3);
      const name = room.join("/") || input;
      rooms.set(name, (rooms.get(name) ?? 0) + bytesInOutput);
      plain += bytesInOutput;
    }
  }
  return {
    script,
    later: await packed(closure(metafile, output, true)) - script,
    rooms: [...rooms].map(([name, bytes]) => ({ name, size: script * bytes / plain }))
      .sort((a, b) => b.size - a.size),
  };
}

async function packed(paths: Iterable<string>): Promise<number> {
  let sum = 0;
  for (const path of paths) sum += gzipSync(await readFile(join(root, path)), { level: 9 }).length;
  return sum;
}

const sourceOf = ({ id }: PageInfo, file: string): string => `web/${id === "" ? "" : `${id}/`}${file}`;

/** Every file below `folder`, from there. */
async function filesOf(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true });
  return all.filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/")).sort();
}

/** What a visitor's browser keeps of the models, and a hash of each file, by its path from the root of the site. */
async function modelHashes(): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of await filesOf(join(web, "models"))) {
    // The rest is for people: how a model was trained.
    if (/(^|\/)checkpoints\/|(\.md|\.jsonl|\.svg|training\.json)$/.test(name)) continue;
    const content = await readFile(join(web, "models", name));
    hashes[`models/${name}`] = createHash("sha256").update(content).digest("hex").slice(0, 12);
  }
  return hashes;
}

/** Builds everything; gives the sizes. `out` is replaced as a whole once everything is there. */
export async function buildSite(out: string = join(web, "dist")): Promise<Size[]> {
  const temporary = `${out}.${process.pid}.tmp`, sizes: Size[] = [];
  const fromRoot = (path: string): string => relative(temporary, join(root, path)).replaceAll("\\", "/");
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    const models = { MODELS: JSON.stringify(await modelHashes()) };
    const workerBuild = await bundle(await workers(), temporary, { define: models });
    for (const source of await workers()) {
      const weight = await weigh(workerBuild.metafile, workerBuild.outputs.get(source)!);
      sizes.push({ name: relative("web", source), style: 0, ...weight });
    }
    const scripts = pages.map((page) => sourceOf(page, "main.ts"));
    const styles = ["web/shared/style.css", ...pages.map((page) => sourceOf(page, "page.css"))]
      .filter((path) => existsSync(join(root, path)));
    const { outputs, metafile } = await bundle([...scripts, ...styles], temporary, {
      plugins: [workerUrls(workerBuild.outputs)],
    });
    // Part of files that visitors take with them.
    await bundle({ standalone: "web/tabular/standalone.ts" }, temporary, {
      ...{ splitting: false, format: "iife", sourcemap: false, entryNames: "assets/[name]" },
    });
    const theme = await bundle(["web/shared/theme.ts"], temporary, { splitting: false, format: "iife" });
    for (const page of pages) {
      const prefix = page.id === "" ? "./" : "../";
      const at = (path: string): string => prefix + fromRoot(path);
      const script = outputs.get(sourceOf(page, "main.ts"))!;
      const modules = closure(metafile, script);
      const sheets = ["web/shared/style.css", sourceOf(page, "page.css")].flatMap((path) =>
        outputs.get(path) ?? []
      );
      const content = await readFile(join(root, sourceOf(page, "page.html")), "utf8");
      await mkdir(join(temporary, page.id), { recursive: true });
      await writeFile(
        join(temporary, page.id, "index.html"),
        renderPage(page, content, {
          root: prefix,
          styles: sheets.map(at),
          theme: at(theme.outputs.get("web/shared/theme.ts")!),
          script: at(script),
          preload: [...modules].filter((path) => path !== script).map(at),
        }),
      );
      sizes.push({
        name: page.id || "start",
        style: await packed(sheets),
        ...await weigh(metafile, script),
      });
    }
    const library = await bundle({ ferrotype: "mod.ts" }, temporary, {
      ...{ splitting: false, entryNames: "[name]" },
    });
    const weight = await weigh(library.metafile, library.outputs.get("mod.ts")!);
    sizes.push({ name: "ferrotype.js", style: 0, ...weight });
    await cp(join(web, "models"), join(temporary, "models"), {
      recursive: true,
      filter: (path) => !/checkpoints/.test(path),
    });
    await buildServiceWorker(temporary, models);
    await rm(out, { recursive: true, force: true });
    await rename(temporary, out);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return sizes;
}

/** The service worker knows every file of the site and is renewed with any of them. */
async function buildServiceWorker(out: string, models: Record<string, string>): Promise<void> {
  const files = (await filesOf(out)).filter((name) => !name.endsWith(".map") && !name.startsWith("models/"));
  const hash = createHash("sha256");
  for (const name of files) hash.update(name).update(await readFile(join(out, name)));
  hash.update(models.MODELS);
  await build({
    ...common,
    splitting: false,
    format: "iife",
    entryPoints: ["web/sw.ts"],
    outdir: out,
    entryNames: "[name]",
    define: {
      ...models,
      FILES: JSON.stringify(files.map((name) => name.replace(/(^|\/)index\.html$/, "$1"))),
      VERSION: JSON.stringify(hash.digest("hex").slice(0, 12)),
    },
  });
}

const kilobytes = (bytes: number): string => (bytes / 1024).toFixed(1).padStart(8);

/** The sizes as a table. */
export function sizeTable(sizes: readonly Size[]): string {
  return [
    "gzipped, KB                 script    style    later",
    ...sizes.map(({ name, script, style, later }) =>
      `${name.padEnd(24)} ${[script, style, later].map(kilobytes).join(" ")}`
    ),
  ].join("\n");
}

/** What a size is made of, as a table. */
export function roomTable({ name, rooms }: Size): string {
  const lines = rooms.map((room) => `  ${room.name.padEnd(30)} ${kilobytes(room.size)}`);
  return [`${name}, each room's part of the KB above`, ...lines].join("\n");
}

if (import.meta.main) {
  readTask({
    name: "build:web",
    summary: "Builds the site into web/dist, and prints what a visitor fetches.",
  });
  ensurePackages();
  console.log(sizeTable(await buildSite()));
}
