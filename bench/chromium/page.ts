/**
 * A headless Chromium with the library in a worker of a page, which is served with the headers that allow threads.
 * `CHROMIUM` names the browser, or one is found on the path.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import type { Question } from "./worker.ts";

const html = `<!doctype html><title>bench</title><script type="module">
  const worker = new Worker("/worker.js", { type: "module" });
  globalThis.ask = (question) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => data.error === undefined ? resolve(data.value) : reject(new Error(data.error));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(question);
  });
</script>`;

/** The path of a Chromium, or null. */
export function findChromium(): string | null {
  for (const name of [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"]) {
    if (!name) continue;
    const { status, stdout } = spawnSync("which", [name], { encoding: "utf8" });
    if (status === 0) return stdout.trim();
  }
  return null;
}

function contentType(url: string): string {
  if (/\.m?js$/.test(url)) return "text/javascript";
  return url.endsWith(".wasm")
    ? "application/wasm"
    : url.endsWith(".onnx")
    ? "application/octet-stream"
    : "text/html";
}

/** The page. */
export class ChromiumPage {
  readonly #close: () => Promise<void>;
  readonly #page: Page;
  /** The browser's name and version. */
  readonly version: string;

  private constructor(page: Page, version: string, close: () => Promise<void>) {
    this.#page = page;
    this.version = version;
    this.#close = close;
  }

  /** Bundles the worker, serves it and opens the page. `folders` are served too, by what their addresses begin with. */
  static async open(
    executablePath: string,
    folders: Readonly<Record<string, string>> = {},
  ): Promise<ChromiumPage> {
    const { outputFiles } = await build({
      entryPoints: [join(dirname(fileURLToPath(import.meta.url)), "worker.ts")],
      bundle: true,
      format: "esm",
      platform: "browser",
      // Loaded only when they are used, which is never here.
      external: ["node:*", "@huggingface/*"],
      write: false,
      logLevel: "error",
    });
    const headers = {
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    };
    const server = createServer(({ url = "/" }, response) => {
      const folder = Object.keys(folders).find((start) => url.startsWith(start));
      const file = folder && join(folders[folder], ...url.slice(folder.length).split("/"));
      if (file && existsSync(file)) {
        response.writeHead(200, { ...headers, "content-type": contentType(file) });
        return void createReadStream(file).pipe(response);
      }
      response.writeHead(200, { ...headers, "content-type": contentType(url) })
        .end(url === "/worker.js" ? outputFiles[0].contents : html);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    let browser: Browser;
    try {
      browser = await chromium.launch({
        executablePath,
        args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
      });
    } catch (error) {
      server.close();
      throw error;
    }
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    return new ChromiumPage(page, `Chromium ${browser.version()}`, async () => {
      await browser.close();
      server.close();
    });
  }

  /** Asks the worker. */
  ask(question: Question): Promise<number> {
    return this.#page.evaluate(
      (q) => (globalThis as unknown as { ask(q: unknown): Promise<number> }).ask(q),
      question,
    );
  }

  /** Ends the browser and the server. */
  close(): Promise<void> {
    return this.#close();
  }
}
