/**
 * The webgpu device in a page: conformance and GPT-2's recorded results in a headless Chromium, whose software adapter
 * stands in for a GPU. Runs once, on Node; skipped without Chromium (`CHROMIUM` names it).
 *
 * Most of its time shaders are compiled, so every third test of the suite runs, from each of its rooms;
 * all of them with `FERROTYPE_WIDTH=full`.
 */
import { assert, assertStrictEquals } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { runtimeName } from "../src/platform/platform.ts";
import { dataPath, repository } from "./_data.ts";
import { describe, it } from "./_suite.ts";

const browser = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
]
  .find((path) => path !== undefined && existsSync(path));
const parts = process.env.FERROTYPE_WIDTH === "full" ? 1 : 3;
const skip = runtimeName() !== "node"
  ? "runs on Node"
  : browser === undefined
  ? "there is no Chromium; CHROMIUM can name one"
  : false;

interface Report {
  missing?: string;
  adapter?: string;
  outcomes?: { name: string; error: string | null; milliseconds: number }[];
}

async function bundle(): Promise<string> {
  const { build } = await import("esbuild");
  const here = join(repository, "tests", "browser");
  const { outputFiles: [file] } = await build({
    entryPoints: [join(here, "webgpu.ts")],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2024",
    alias: { "node:test": join(here, "test_runner.ts") },
    external: ["node:*", "npm:*", "@huggingface/*"],
    logLevel: "error",
  });
  return file.text;
}

describe("webgpu in Chromium", () => {
  it("conforms, and GPT-2 gives its recorded results", { skip }, async (context) => {
    const script = await bundle();
    const folders: Record<string, string> = {
      bundled: join(repository, "web", "models", "shakespeare"),
      tiny: dataPath("gpt2-tiny"),
    };
    const server = createServer((request, response) => {
      const [, folder, name] = (request.url ?? "").split("/");
      if (folder === "") {
        return void response.setHeader("content-type", "text/html").end(
          "<script type=module src=/main.js></script>",
        );
      }
      if (folder === "main.js") return void response.setHeader("content-type", "text/javascript").end(script);
      const path = folders[folder] && join(folders[folder], name ?? "");
      if (!path || !existsSync(path)) return void response.writeHead(404).end();
      const bytes = readFileSync(path),
        [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? "") ?? [];
      if (from === undefined) return void response.setHeader("accept-ranges", "bytes").end(bytes);
      const end = to ? Math.min(Number(to), bytes.length - 1) : bytes.length - 1;
      response.writeHead(206, {
        "content-range": `bytes ${from}-${end}/${bytes.length}`,
        "accept-ranges": "bytes",
      });
      response.end(bytes.subarray(Number(from), end + 1));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { chromium } = await import("playwright-core");
    const app = await chromium.launch({
      executablePath: browser as string,
      args: [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
      ],
    });
    try {
      const page = await app.newPage();
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await page.waitForFunction("'run' in globalThis");
      const report = await page.evaluate(`run(${parts})`) as Report;
      if (report.missing !== undefined) return context.skip(report.missing);
      const failed = report.outcomes!.filter(({ error }) => error !== null);
      console.log(`${report.adapter}: ${report.outcomes!.length} tests, ${failed.length} failed`);
      for (
        const { name, milliseconds } of report.outcomes!.toSorted((a, b) => b.milliseconds - a.milliseconds)
          .slice(0, 5)
      ) {
        console.log(`${(milliseconds / 1e3).toFixed(1)} s: ${name}`);
      }
      assertStrictEquals(failed.length, 0, failed.map(({ name, error }) => `\n${name}: ${error}`).join(""));
      assert(report.outcomes!.length > 100 / parts);
    } finally {
      await app.close();
      server.close();
      server.closeAllConnections();
    }
  });
});
