/**
 * The npm form through five bundlers, with the optional packages and without, and what comes out in Chromium.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { noBrowser } from "../_browser.ts";
import { repository } from "../_data.ts";
import { after, before, describe, it } from "../_suite.ts";
import { output, Project, run, runners, skip } from "./_consumer.ts";
import { Pages } from "./_pages.ts";

/**
 * A page that computes, loads a model by an address relative to itself, as it is and in blocks, writes text, and reads a table.
 */
const page = `
import { defaultDevice, GPT2, ones, openSafetensors, readCsv, tensor } from "@ferrotype/ferrotype";

const tell = (promise) => promise.then(() => "done", (error) => error.name + ": " + error.message);
globalThis.answer = (async () => {
  const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
  x.matmul(x).sum().backward();
  const blocks = await tell((async () => ones([2, 32]).to({ dtype: "q8" }))());
  const model = await GPT2.load("/model/"), small = await GPT2.load("/model/", { dtype: "q8" });
  const file = await openSafetensors("model/model.safetensors");
  return {
    device: defaultDevice(),
    gradient: await x.grad.toArray(),
    text: await model.complete("ROMEO:", { maxNewTokens: 12, seed: 1, temperature: 0.8 }),
    blocks,
    small: await small.complete("ROMEO:", { maxNewTokens: 8, temperature: 0 }),
    names: file.names.length,
    csv: await tell(readCsv(new Blob(["a,b\\n1,2\\n"]))),
    reference: await tell((async () => tensor([1], { device: "reference" }))()),
  };
})();
`;

/**
 * What Node does to bundle `page.js` of the folder it is in as that bundler is used, into a folder of the bundler's name, and to
 * print its complaints, a line each: imports, then the rest.
 */
const scripts: Record<string, () => [imports: string, rest: string]> = {
  esbuild: () => [
    `import { build } from ${at("node_modules/esbuild/lib/main.js")};`,
    `const { warnings } = await build({ entryPoints: ["page.js"], outdir: "esbuild", bundle: true, minify: true, format: "esm",
  absWorkingDir: process.cwd(), platform: "browser", splitting: true, logLevel: "silent" });
for (const { text } of warnings) console.log(text);`,
  ],
  rollup: () => [
    `import { rollup } from ${at("tests/packages/node_modules/rollup/dist/es/rollup.js")};
import { nodeResolve } from ${at("tests/packages/node_modules/@rollup/plugin-node-resolve/dist/es/index.js")};
import commonjs from ${at("tests/packages/node_modules/@rollup/plugin-commonjs/dist/es/index.js")};`,
    `const bundle = await rollup({ input: "page.js", plugins: [nodeResolve({ browser: true }), commonjs()],
  onwarn: ({ code, id, message }) => {
    // What other packages hold of "this" is their affair.
    if (code !== "CIRCULAR_DEPENDENCY" && (id ?? "@ferrotype").includes("@ferrotype")) console.log(message);
  } });
await bundle.write({ dir: "rollup", format: "es" });`,
  ],
  webpack: () => [
    `import webpack from ${at("tests/packages/node_modules/webpack/lib/index.js")};
import { resolve } from "node:path";`,
    `const options = { mode: "production", target: "web", entry: "./page.js", context: process.cwd(), performance: { hints: false },
  optimization: { minimize: false },
  output: { path: resolve("webpack"), filename: "page.js" } };
const stats = await new Promise((done, fail) => webpack(options, (error, stats) => error ? fail(error) : done(stats)));
const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
for (const { message } of [...errors, ...warnings]) console.log(message.split("\\n")[0]);
if (errors.length > 0) process.exitCode = 1;`,
  ],
  vite: () => [
    `import { build } from ${at("tests/packages/node_modules/vite/dist/node/index.js")};`,
    `await build({ configFile: false, logLevel: "warn", build: { outDir: "vite", assetsDir: "", emptyOutDir: false,
  rollupOptions: { input: "page.js", output: { entryFileNames: "page.js" } } } });`,
  ],
};

/** A script that does it in each of the folders that it is given, one after the other, in one process: bundlers load slowly. */
function inEach([imports, rest]: readonly [string, string]): string {
  return `${imports}
for (const folder of process.argv.slice(2)) {
  process.chdir(folder);
  console.log("in " + folder);
  await (async () => {
${rest}
  })();
}`;
}

const at = (path: string): string => JSON.stringify(new URL(`file://${join(repository, path)}`).href);

const optional = [
  "@bufbuild/protobuf",
  "@huggingface/tokenizers",
  "@huggingface/jinja",
  "@huggingface/hub",
];

describe("bundles", { skip: skip || noBrowser }, () => {
  let bare: Project, full: Project, pages: Pages;
  const [node, bun] = skip
    ? []
    : ["node", "bun"].map((name) => runners().find((one) => one.name.startsWith(name))!);

  before(async () => {
    bare = await Project.make({ "page.js": page });
    full = await Project.make({ "page.js": page }, optional);
    pages = await Pages.start();
  });
  after(async () => {
    await pages?.close();
    bare?.[Symbol.dispose]();
    full?.[Symbol.dispose]();
  });

  const made = new Map<string, Promise<string>>();

  /** Bundles the page of a project; the bundler's complaints. */
  async function bundle(project: Project, bundler: string): Promise<string[]> {
    if (bundler === "bun") {
      const args = ["build", "page.js", "--target=browser", "--minify", "--outdir=bun"];
      const { stderr } = await run(bun.program, args, { cwd: project.folder });
      return stderr.split("\n").filter((line) => /^(warn|error)/.test(line));
    }
    const folders = [bare.folder, full.folder];
    if (!made.has(bundler)) {
      bare.write({ [`${bundler}.mjs`]: inEach(scripts[bundler]()) });
      made.set(bundler, output(node.program, [`${bundler}.mjs`, ...folders], { cwd: bare.folder }));
    }
    const parts = (await made.get(bundler)!).split(/^in .*\n/m).slice(1);
    assertEquals(parts.length, folders.length);
    return parts[folders.indexOf(project.folder)].split("\n").filter((line) => line.trim() !== "");
  }

  const script = (project: Project, folder: string): string =>
    readdirSync(project.path(folder)).filter((name) => name.endsWith(".js"))
      .map((name) => readFileSync(project.path(folder, name), "utf8")).join("\n");

  /** What a bundle imports from elsewhere, but for the optional packages. */
  async function imports(project: Project, folder: string): Promise<string[]> {
    const { build } = await import("esbuild");
    const { metafile } = await build({
      entryPoints: [project.path(folder, "page.js")],
      bundle: true,
      write: false,
      metafile: true,
      platform: "browser",
      logLevel: "silent",
      plugins: [{
        name: "elsewhere",
        setup: ({ onResolve }) => onResolve({ filter: /^[^./]/ }, ({ path }) => ({ path, external: true })),
      }],
    });
    const all = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
    // Which of them WebGPU needs on Node alone, and bun sees through the variable.
    return all.filter((path) => ![...optional, "webgpu"].some((name) => `${path}/`.startsWith(`${name}/`)));
  }

  for (const bundler of [...Object.keys(scripts), "bun"]) {
    for (const packages of ["without", "with"] as const) {
      it(`are made by ${bundler} ${packages} the optional packages, and run`, async () => {
        const project = packages === "with" ? full : bare;
        const complaints = await bundle(project, bundler);
        // Some say that a package is not there, and build all the same.
        const others = complaints.filter((line) =>
          packages === "with" ||
          !optional.some((name) => line.includes(name)) && !/^\.\/node_modules/.test(line)
        );
        assertEquals(others, []);
        // A native library is no use to a page, and Node's modules are not there.
        assert(!script(project, bundler).includes("cblas_sgemm"));
        assertEquals(await imports(project, bundler), []);
        const { blocks, csv, reference, text: written, ...answer } = await pages.open(
          project.folder,
          bundler,
        ) as Record<string, unknown>;
        assertEquals(answer, { device: "cpu", gradient: [[7, 11], [9, 13]], names: 52, small: "\nThe man" });
        assertEquals(written, "\nO, for do I");
        assertEquals(csv, "done");
        assertMatch(
          blocks as string,
          /^DTypeError: device "cpu" does not hold q8; in a bundle, call initQuantized\(\) first$/,
        );
        assertMatch(
          reference as string,
          /^DeviceError: device "reference" .*in a bundle, call initReference\(\) first$/,
        );
      });
    }
  }
});
