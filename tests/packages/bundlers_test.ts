/**
 * The npm form through five bundlers, with the optional packages and without, and what comes out in Chromium; and what a page
 * weighs that takes a part of the library.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import type { Browser } from "playwright-core";
import { closure } from "../../web/build.ts";
import { launchChromium, noBrowser } from "../_browser.ts";
import { repository } from "../_data.ts";
import { output, Project, run, runners, skip } from "./_consumer.ts";

/** A page that computes, loads a model by an address relative to itself, writes text, and reads a table. */
const page = `
import { defaultDevice, GPT2, openSafetensors, readCsv, tensor } from "@ferrotype/ferrotype";

const tell = (promise) => promise.then(() => "done", (error) => error.name + ": " + error.message);
globalThis.answer = (async () => {
  const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
  x.matmul(x).sum().backward();
  const model = await GPT2.load("/model/");
  const file = await openSafetensors("model/model.safetensors");
  return {
    device: defaultDevice(),
    gradient: await x.grad.toArray(),
    text: await model.complete("ROMEO:", { maxNewTokens: 12, seed: 1, temperature: 0.8 }),
    names: file.names.length,
    csv: await tell(readCsv(new Blob(["a,b\\n1,2\\n"]))),
    reference: await tell((async () => tensor([1], { device: "reference" }))()),
  };
})();
`;

/** The smallest of pages, and one that writes text. */
const small = `
import { tensor } from "@ferrotype/ferrotype";
globalThis.answer = tensor([[1, 2], [3, 4]]).matmul(tensor([[1, 2], [3, 4]])).toArray();
`;
const writer = `
import { GPT2 } from "@ferrotype/ferrotype";
globalThis.answer = GPT2.load("/model/").then((model) => model.complete("ROMEO:", { maxNewTokens: 12, temperature: 0 }));
`;

/** A script for Node that bundles `page.js` into `folder` as that bundler is used, and prints its complaints, a line each. */
const scripts: Record<string, (folder: string) => string> = {
  esbuild: (folder) => `
import { build } from ${at("node_modules/esbuild/lib/main.js")};
const { warnings } = await build({ entryPoints: ["page.js"], outdir: "${folder}", bundle: true, minify: true, format: "esm",
  platform: "browser", splitting: true, logLevel: "silent" });
for (const { text } of warnings) console.log(text);`,
  rollup: (folder) => `
import { rollup } from ${at("tests/packages/node_modules/rollup/dist/es/rollup.js")};
import { nodeResolve } from ${at("tests/packages/node_modules/@rollup/plugin-node-resolve/dist/es/index.js")};
import commonjs from ${at("tests/packages/node_modules/@rollup/plugin-commonjs/dist/es/index.js")};
const bundle = await rollup({ input: "page.js", plugins: [nodeResolve({ browser: true }), commonjs()],
  onwarn: ({ code, message }) => { if (code !== "CIRCULAR_DEPENDENCY") console.log(message); } });
await bundle.write({ dir: "${folder}", format: "es" });`,
  webpack: (folder) => `
import webpack from ${at("tests/packages/node_modules/webpack/lib/index.js")};
import { resolve } from "node:path";
const options = { mode: "production", target: "web", entry: "./page.js", context: process.cwd(), performance: { hints: false },
  optimization: { minimize: false },
  output: { path: resolve("${folder}"), filename: "page.js" } };
const stats = await new Promise((done, fail) => webpack(options, (error, stats) => error ? fail(error) : done(stats)));
const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
for (const { message } of [...errors, ...warnings]) console.log(message.split("\\n")[0]);
if (errors.length > 0) process.exitCode = 1;`,
  vite: (folder) => `
import { build } from ${at("tests/packages/node_modules/vite/dist/node/index.js")};
await build({ configFile: false, logLevel: "warn", build: { outDir: "${folder}", assetsDir: "", emptyOutDir: false,
  rollupOptions: { input: "page.js", output: { entryFileNames: "page.js" } } } });`,
};

const at = (path: string): string => JSON.stringify(new URL(`file://${join(repository, path)}`).href);

const optional = ["papaparse", "@huggingface/tokenizers", "@huggingface/jinja", "@huggingface/hub"];

/** A server for a project's bundles, with the bundled model. */
async function serve(folder: string): Promise<Server> {
  const model = join(repository, "web/models/shakespeare"),
    types = { js: "text/javascript", html: "text/html" };
  const server = createServer(({ url, method, headers }, response) => {
    const path = normalize(decodeURIComponent(new URL(url!, "http://localhost").pathname));
    if (/^\/[\w-]+\/$/.test(path) && !path.startsWith("/model/")) {
      return void response.setHeader("content-type", "text/html").end(
        '<!doctype html><base href="/"><script type="module" src="' + path + 'page.js"></script>',
      );
    }
    if (path === "/favicon.ico") return void response.writeHead(204).end();
    const file = path.startsWith("/model/") ? join(model, path.slice("/model/".length)) : join(folder, path);
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
    const { size } = statSync(file), [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
    const start = Number(from ?? 0), end = to ? Math.min(Number(to), size - 1) : size - 1;
    response.writeHead(from === undefined ? 200 : 206, {
      "content-type": types[file.split(".").at(-1) as "js"] ?? "application/octet-stream",
      "content-length": end - start + 1,
      "accept-ranges": "bytes",
      ...(from === undefined ? {} : { "content-range": `bytes ${start}-${end}/${size}` }),
    });
    if (method === "HEAD") response.end();
    else createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

describe("bundles", { skip: skip || noBrowser }, () => {
  let bare: Project, full: Project, browser: Browser;
  const servers: Server[] = [];
  const [node, bun] = skip
    ? []
    : ["node", "bun"].map((name) => runners().find((one) => one.name.startsWith(name))!);

  before(async () => {
    bare = await Project.make({ "page.js": page });
    full = await Project.make({ "page.js": page }, optional);
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    bare?.[Symbol.dispose]();
    full?.[Symbol.dispose]();
  });

  /** Bundles the page of a project; the bundler's complaints. */
  async function bundle(project: Project, bundler: string): Promise<string[]> {
    if (bundler === "bun") {
      const args = ["build", "page.js", "--target=browser", "--minify", "--outdir=bun"];
      const { stderr } = await run(bun.program, args, { cwd: project.folder });
      return stderr.split("\n").filter((line) => /^(warn|error)/.test(line));
    }
    project.write({ [`${bundler}.mjs`]: scripts[bundler](bundler) });
    const said = await output(node.program, [`${bundler}.mjs`], { cwd: project.folder });
    return said.split("\n").filter((line) => line.trim() !== "");
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
    return all.filter((path) => ![...optional, "webgpu"].includes(path));
  }

  /** Opens a bundle in Chromium; what the page answered. */
  async function open(project: Project, folder: string): Promise<Record<string, unknown>> {
    const server = await serve(project.folder), { port } = server.address() as AddressInfo;
    servers.push(server);
    const opened = await browser.newPage(), faults: string[] = [];
    try {
      opened.on("pageerror", (error) => faults.push(error.stack ?? error.message));
      opened.on(
        "console",
        (message) => message.type() === "error" && faults.push(`${message.text()} ${message.location().url}`),
      );
      await opened.goto(`http://127.0.0.1:${port}/${folder}/`, { waitUntil: "load" });
      const answer = await opened.evaluate(() => (globalThis as unknown as { answer: unknown }).answer);
      assertEquals(faults, []);
      return answer as Record<string, unknown>;
    } finally {
      await opened.close();
    }
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
        const { csv, reference, text: written, ...answer } = await open(project, bundler);
        assertEquals(answer, { device: "cpu", gradient: [[7, 11], [9, 13]], names: 52 });
        assertEquals(written, "\nO, for do I");
        if (packages === "with") assertEquals(csv, "done");
        else assertMatch(csv as string, /^FerrotypeError: reading CSV needs the package papaparse, /);
        assertMatch(
          reference as string,
          /^DeviceError: device "reference" .*in a bundle, call initReference\(\) first$/,
        );
      });
    }
  }

  it("hold the reference device where it is asked for", async () => {
    bare.write({
      "oracle.js": 'import { initReference, tensor } from "@ferrotype/ferrotype";\ninitReference();\n' +
        'globalThis.answer = tensor([1, 2], { device: "reference" }).mul(2).toArray();\n',
    });
    const { build } = await import("esbuild");
    await build({
      absWorkingDir: bare.folder,
      entryPoints: { page: "oracle.js" },
      outdir: "oracle",
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      logLevel: "silent",
    });
    assertEquals(await open(bare, "oracle") as unknown, [2, 4]);
  });

  /** KB that a page fetches first, packed with gzip, made by esbuild with and without splitting; and what comes later. */
  const budgets = { small: [90, 101], writer: [207, 155] };
  for (const [name, source] of Object.entries({ small, writer })) {
    it(`keeps a page to what it uses: ${name}`, async () => {
      bare.write({ [`${name}.js`]: source });
      const { build } = await import("esbuild");
      for (const [i, splitting] of [false, true].entries()) {
        const outdir = `${name}-${i}`;
        const { metafile } = await build({
          absWorkingDir: bare.folder,
          entryPoints: { page: `${name}.js` },
          outdir,
          bundle: true,
          minify: true,
          format: "esm",
          platform: "browser",
          splitting,
          metafile: true,
          logLevel: "silent",
        });
        const first = [...closure(metafile, `${outdir}/page.js`)];
        const sizes = first.map((path) => gzipSync(readFileSync(bare.path(path)), { level: 9 }).length);
        const size = sizes.reduce((sum, one) => sum + one, 0) / 1000;
        console.log(`    ${name}, ${splitting ? "first" : "in one file"}: ${size.toFixed(1)} kB`);
        assert(size <= budgets[name as keyof typeof budgets][i], `${name}: ${size} kB`);
        assertEquals(typeof await open(bare, outdir), name === "small" ? "object" : "string");
      }
    });
  }
});
