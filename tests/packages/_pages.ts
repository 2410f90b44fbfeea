/**
 * Bundles of other people's projects in Chromium: each folder `name/` of a project is a page with the script `name/page.js`,
 * and the bundled model is at `/model/`.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";
import type { Browser } from "playwright-core";
import { launchChromium } from "../_browser.ts";
import { repository } from "../_data.ts";

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

/** A browser, and a server for each project. */
export class Pages {
  readonly #browser: Browser;
  readonly #servers = new Map<string, Server>();

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Starts the browser. */
  static async start(): Promise<Pages> {
    return new Pages(await launchChromium());
  }

  /** Opens a page, and gives what it puts into `globalThis.answer`, waited for. Fails when it logs an error or throws. */
  async open(project: string, name: string): Promise<unknown> {
    let server = this.#servers.get(project);
    if (server === undefined) this.#servers.set(project, server = await serve(project));
    const { port } = server.address() as AddressInfo, faults: string[] = [];
    const page = await this.#browser.newPage();
    try {
      page.on("pageerror", (error) => faults.push(error.stack ?? error.message));
      page.on("console", (message) => {
        if (message.type() === "error") faults.push(`${message.text()} ${message.location().url}`);
      });
      await page.goto(`http://127.0.0.1:${port}/${name}/`, { waitUntil: "load" });
      const answer = await page.evaluate(() => (globalThis as unknown as { answer: unknown }).answer);
      assertEquals(faults, []);
      return answer;
    } finally {
      await page.close();
    }
  }

  /** Ends the browser and the servers. */
  async close(): Promise<void> {
    await this.#browser.close();
    for (const server of this.#servers.values()) {
      server.closeAllConnections();
      server.close();
    }
  }
}
