/**
 * Writes the npm form into `npm/`: `deno task build:npm`. `npm pack ./npm` gives what users of Node, Bun and bundlers install.
 *
 * Node runs no TypeScript below `node_modules`, and bundlers want a package that tells what may be left out. So types are
 * erased file by file: paths stay those of the repository with the ending `.js`, each with its `.d.ts` (TypeScript's work) and
 * a source map that holds the source (esbuild's). What else differs from the sources: optional packages are imported by name
 * (`packages.ts`), the command begins in `bin.js` and is a few files in `bin/`, for Node spends most of a start on finding and
 * reading hundreds, and the hub's client for browsers, which its package hides behind a field that
 * its exports forbid, comes along as one small file.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { ensurePackages } from "../tests/_install.ts";
import { linkedFrom, relinked } from "./links.ts";
import { withUndefined } from "./optional_types.ts";
import { withImports } from "./packages.ts";
import { readTask } from "./task.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** What is copied, with all that README and the changelog name; pages name there what is there. The bundled model is what `ferrotype generate` speaks with. */
const copied = [
  ...await linkedFrom("README.md", "CHANGELOG.md"),
  "LICENSE",
  ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    .map((name) => `web/models/shakespeare/${name}`),
];

/** The part of package.json that counts here. */
interface Package {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: Record<string, string>;
  readonly browser: Record<string, string>;
  readonly sideEffects: readonly string[];
  readonly peerDependencies: Record<string, string>;
  readonly peerDependenciesMeta: Record<string, unknown>;
}

const js = (path: string): string => path.replace(/\.ts$/, ".js");

/** package.json of the npm form, from the repository's. */
function packageOf(own: Package): object {
  // One form for all: what differs where there is no disk is in `browser`, file by file.
  const entry = (path: string): object => ({
    types: `./${path}.d.ts`,
    ...Object.fromEntries(["deno", "bun", "node", "browser", "default"].map((on) => [on, `./${path}.js`])),
  });
  return {
    name: own.name,
    version: own.version,
    description: own.description,
    keywords: [
      "tensor",
      "autograd",
      "gpt",
      "transformer",
      "webassembly",
      "webgpu",
      "safetensors",
      "machine-learning",
    ],
    license: own.license,
    type: "module",
    main: "./mod.js",
    types: "./mod.d.ts",
    exports: { ".": entry("mod"), "./cli": entry("cli/main"), "./package.json": "./package.json" },
    // Bundlers for browsers take these files' twins, which know no native libraries and no disk.
    browser: {
      ...Object.fromEntries(Object.entries(own.browser).map(([from, to]) => [js(from), js(to)])),
      "./src/hub/package.js": "./src/hub/package_browser.js",
    },
    bin: { ferrotype: "./bin.js" },
    files: ["mod.*", "bin.js", "bin", "src", "cli", "web", "docs", "examples", "bench", "*.md", "LICENSE"],
    sideEffects: own.sideEffects.map(js),
    peerDependencies: own.peerDependencies,
    peerDependenciesMeta: own.peerDependenciesMeta,
    engines: own.engines,
  };
}

/** `text` with `.js` for `.ts` in its relative imports. */
function withEndings(text: string): string {
  return text.replace(/((?:\bfrom|\bimport)\s*\(?\s*"\.{1,2}\/[^"\n]+)\.ts"/g, '$1.js"');
}

/** Scripts and source maps, by esbuild: a file stays a file. */
async function erase(out: string): Promise<void> {
  const { build } = await import("esbuild");
  const sources = ["mod.ts"];
  for (const folder of ["src", "cli"]) sources.push(...await filesOf(join(root, folder)));
  await build({
    entryPoints: sources,
    outdir: out,
    outbase: root,
    absWorkingDir: root,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    sourcemap: true,
    logLevel: "error",
    plugins: [{
      name: "as a package",
      setup(plugin) {
        plugin.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
          return { contents: withImports(withEndings(await readFile(path, "utf8"))), loader: "ts" };
        });
      },
    }],
  });
}

/** Declarations, by TypeScript. */
function declare(out: string): void {
  const tsc = join(root, "node_modules/typescript/bin/tsc"),
    flags = "Deno" in globalThis ? ["run", "-A"] : [];
  const run = spawnSync(
    process.execPath,
    [...flags, tsc, "-p", join(root, "tools/tsconfig.npm.json"), "--outDir", out],
    { encoding: "utf8" },
  );
  if (run.status !== 0) throw new Error(`tsc failed:\n${run.stdout}${run.stderr}`);
}

/** The part of `@huggingface/hub` that is used, for browsers, in one file. */
async function hubForBrowsers(to: string): Promise<void> {
  const { build } = await import("esbuild");
  const client = join(root, "node_modules/@huggingface/hub/dist/browser/index.mjs");
  await build({
    stdin: {
      contents: `import { listFiles, modelInfo } from ${JSON.stringify(client)};\n` +
        "export const hubPackage = () => Promise.resolve({ listFiles, modelInfo });\n",
      resolveDir: root,
    },
    outfile: to,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    banner: { js: "// From @huggingface/hub (MIT, Hugging Face): what lists a repository's files." },
    logLevel: "error",
    plugins: [{
      name: "only what is used",
      setup(plugin) {
        plugin.onResolve({ filter: /.*/ }, async ({ path, pluginData, ...from }) => {
          if (pluginData) return null;
          const found = await plugin.resolve(path, { ...from, pluginData: true });
          return { ...found, sideEffects: false };
        });
      },
    }],
  });
}

/** The command in few files: what each command needs, and what several do. Optional packages stay outside. */
async function bundleCommand(out: string): Promise<void> {
  const { build } = await import("esbuild");
  await build({
    entryPoints: [join(out, "cli/main.js")],
    outdir: join(out, "bin"),
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node24",
    packages: "external",
    chunkNames: "[hash]",
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "error",
  });
}

/** Node keeps what it compiles, from the first file on (`platform/compile_cache.ts`). */
const bin = `#!/usr/bin/env node
import module from "node:module";

if (!process.versions.bun) module.enableCompileCache?.();
const { main } = await import(new URL("bin/main.js", import.meta.url));
process.exit(await main(process.argv.slice(2)));
`;

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Builds into `out`, which is replaced as a whole once everything is there. */
export async function buildNpm(out: string = join(root, "npm")): Promise<void> {
  const temporary = `${out}.${process.pid}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    const own = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Package;
    await erase(temporary);
    declare(temporary);
    for (const path of await filesOf(temporary)) {
      const text = await readFile(path, "utf8");
      // `using` and its symbols belong to a library that a user's compiler may not read by itself.
      const library = /\b(?:asyncDispose|dispose)\]|\b(?:Async)?Disposable\b/.test(text)
        ? '/// <reference lib="esnext.disposable" />\n'
        : "";
      if (path.endsWith(".d.ts")) {
        // An import of nothing declares nothing, and leads a compiler to files that need more of its libraries.
        const plain = withEndings(text).replace(/^import "[^"]+";\n/gm, "");
        await writeFile(path, library + withUndefined(plain));
      }
      // A source lies, as far as a debugger is concerned, beside its script, wherever this was built.
      if (path.endsWith(".map")) {
        await writeFile(
          path,
          JSON.stringify({ ...JSON.parse(text), sources: [basename(path, ".js.map") + ".ts"] }),
        );
      }
    }
    await hubForBrowsers(join(temporary, "src/hub/package_browser.js"));
    await bundleCommand(temporary);
    await writeFile(join(temporary, "bin.js"), bin, { mode: 0o755 });
    await writeFile(join(temporary, "package.json"), `${JSON.stringify(packageOf(own), null, 2)}\n`);
    for (const path of copied) {
      await cp(join(root, path), join(temporary, path), { recursive: true });
    }
    for (const path of copied.filter((path) => /\.(md|ts)$/.test(path))) {
      const to = join(temporary, path), text = await readFile(to, "utf8");
      await writeFile(
        to,
        path.endsWith(".md")
          ? relinked(path, text, (other) => existsSync(join(temporary, other)))
          // A lesson is a user's program.
          : text.replace(/from "\.\.\/mod\.ts"/, `from "${own.name}"`),
      );
    }
    await appendFile(
      join(temporary, "README.md"),
      `\nWhat is named here lies in the package: \`node_modules/${own.name}/docs\`, beside this page.\n`,
    );
    await rm(out, { recursive: true, force: true });
    await rename(temporary, out);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  readTask({
    name: "build:npm",
    summary: "Writes the npm form into npm/; npm pack ./npm makes the package.",
  });
  ensurePackages();
  await buildNpm();
  console.log("npm/ is built; npm pack ./npm makes the package");
}
