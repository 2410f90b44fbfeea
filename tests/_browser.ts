/**
 * Real Chromium for the tests of the pages. `CHROMIUM` names it, or one is found on the path.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { type Browser, chromium, type Page } from "playwright-core";
import { buildWeb, dist, type PageSize } from "../web/build.ts";
import { serveFolder } from "../web/serve.ts";

function findChromium(): string | null {
  for (const name of [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"]) {
    if (!name) continue;
    const { status, stdout } = spawnSync("which", [name], { encoding: "utf8" });
    if (status === 0) return stdout.trim();
  }
  return null;
}

/** Why pages are not tested here; false when they are. One runtime drives the browser, since it is the browser that runs. */
export const noBrowser: string | false = !("Deno" in globalThis)
  ? "the pages are tested once, under Deno"
  : findChromium() === null
  ? "there is no Chromium (set CHROMIUM to its path)"
  : false;

/** The built pages in a browser. */
export class Site {
  readonly url: string;
  readonly sizes: readonly PageSize[];
  readonly #browser: Browser;
  readonly #server: Server;

  private constructor(browser: Browser, server: Server, sizes: readonly PageSize[]) {
    this.#browser = browser;
    this.#server = server;
    this.sizes = sizes;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  /** Builds, serves, and starts the browser. */
  static async open(): Promise<Site> {
    const sizes = await buildWeb(), server = await serveFolder(dist, 0);
    const browser = await chromium.launch({
      executablePath: findChromium()!,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
      ],
    });
    return new Site(browser, server, sizes);
  }

  /** A page of its own; it fails the test when it logs an error or asks another origin for something. */
  async visit(
    path: string,
    use: (page: Page) => Promise<void>,
    width = 1280,
    serviceWorkers: "allow" | "block" = "allow",
  ): Promise<void> {
    const context = await this.#browser.newContext({
      viewport: { width, height: 900 },
      reducedMotion: "no-preference",
      serviceWorkers,
    });
    const problems: string[] = [];
    try {
      const page = await context.newPage();
      page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("request", (request) => {
        const url = new URL(request.url());
        if (url.protocol.startsWith("http") && url.origin !== new URL(this.url).origin) {
          problems.push(`asked ${url}`);
        }
      });
      await page.goto(new URL(path, this.url).href);
      await use(page);
      assert.deepEqual(problems, []);
    } finally {
      await context.close();
    }
  }

  /** Ends both. */
  async close(): Promise<void> {
    await this.#browser.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
