/**
 * Builds the pages into `web/dist`: `deno task build:web`.
 *
 * ES modules with source maps and names that change with their contents; pages share what they have in common. One file
 * has a name that stays, `ferrotype.js`: the whole library for `<script type="module">`. Prints what each page weighs.
 *
 * @module
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type BuildOptions, type Metafile } from "esbuild";
import { pages } from "./pages.ts";

const here: string = dirname(fileURLToPath(import.meta.url)), root: string = dirname(here);
/** Where the pages are built. */
export const dist: string = join(here, "dist");

const common = {
  bundle: true,
  format: "esm" as const,
  platform: "browser" as const,
  target: "es2024",
  minify: true,
  sourcemap: true,
  splitting: true as boolean,
  metafile: true as const,
  outdir: dist,
  entryNames: "assets/[name]-[hash]",
  chunkNames: "assets/[name]-[hash]",
  assetNames: "assets/[name]-[hash]",
  absWorkingDir: root,
  logLevel: "error" as const,
  alias: { "@huggingface/hub": join(root, "node_modules/@huggingface/hub/dist/browser/index.mjs") },
} satisfies BuildOptions;

/** The path in `dist` of what an entry point became. */
function outputOf({ outputs }: Metafile, entry: string): string {
  const found = Object.entries(outputs).find(([, { entryPoint }]) => entryPoint === entry);
  if (!found) throw new Error(`${entry} was not built`);
  return relative(dist, join(root, found[0])).replaceAll("\\", "/");
}

/** What a file and all it imports at once weigh, gzipped; what is loaded later does not count. */
function weight({ outputs }: Metafile, file: string, seen: Set<string> = new Set()): number {
  if (seen.has(file)) return 0;
  seen.add(file);
  const own = gzipSync(readFileSync(join(root, file)), { level: 9 }).length;
  return outputs[file].imports
    .filter(({ kind, external }) => kind === "import-statement" && !external)
    .reduce((sum, { path }) => sum + weight({ outputs } as Metafile, path, seen), own);
}

/** A page's files and bytes. */
export interface PageSize {
  /** The page. */
  readonly name: string;
  /** Bytes of its script and styles, gzipped, with what they import. */
  readonly gzip: number;
}

/** Builds everything; gives what it weighs. */
export async function buildWeb(): Promise<PageSize[]> {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  const library = await build({
    ...common,
    entryPoints: [{ in: "web/engine/worker.ts", out: "engine" }, { in: "mod.ts", out: "ferrotype" }],
  });
  const engine = outputOf(library.metafile, "web/engine/worker.ts");
  const whole = outputOf(library.metafile, "mod.ts");
  writeFileSync(join(dist, "ferrotype.js"), `export * from "./${whole}";\n`);
  const site = await build({
    ...common,
    entryPoints: [...pages.map(({ folder }) => `web/${folder}/page.ts`), "web/shared/style.css"],
    define: { ENGINE_URL: JSON.stringify(`../${engine}`) },
  });
  const style = outputOf(site.metafile, "web/shared/style.css");
  await build({ ...common, splitting: false, entryPoints: ["web/sw.ts"], entryNames: "[name]" });
  const key = (file: string): string => relative(root, join(dist, file)).replaceAll("\\", "/");
  const sizes: PageSize[] = [{ name: "engine", gzip: weight(library.metafile, key(engine)) }];
  const styles = gzipSync(readFileSync(join(dist, style)), { level: 9 }).length;
  for (const { folder, name, home } of pages) {
    const script = outputOf(site.metafile, `web/${folder}/page.ts`), up = home ? "./" : "../";
    const html = readFileSync(join(here, folder, "index.html"), "utf8")
      .replaceAll("%STYLE%", `${up}${style}`)
      .replaceAll("%SCRIPT%", `${up}${script}`);
    const to = home ? dist : join(dist, folder);
    mkdirSync(to, { recursive: true });
    writeFileSync(join(to, "index.html"), html);
    sizes.push({ name, gzip: weight(site.metafile, key(script)) + styles });
  }
  cpSync(join(here, "models"), join(dist, "models"), { recursive: true });
  const files = Object.keys({ ...library.metafile.outputs, ...site.metafile.outputs })
    .filter((file) => !file.endsWith(".map"))
    .map((file) => `assets/${basename(file)}`);
  writeFileSync(join(dist, "files.json"), JSON.stringify(files));
  return sizes;
}

if (import.meta.main) {
  for (const { name, gzip } of await buildWeb()) {
    console.log(`${name.padEnd(24)}${(gzip / 1000).toFixed(1).padStart(8)} kB gzipped`);
  }
}
