/**
 * The site in a headless Chromium: built once into a temporary folder, served on loopback, opened in a fresh context.
 *
 * A page fails its test when it logs an error, throws, or asks another origin for anything. Browsers are slow, so these
 * tests run on Deno alone; where that is not it, or there is no Chromium, they are skipped and say why.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Size } from "../web/build.ts";

/** The path of a Chromium; `CHROMIUM` names one. */
function findChromium(): string | null {
  for (const name of [process.env.CHROMIUM, "chromium", "chromium-browser", "google-chrome"]) {
    if (!name) continue;
    const { status, stdout } = spawnSync("which", [name], { encoding: "utf8" });
    if (status === 0) return stdout.trim();
  }
  return null;
}

const executable = "Deno" in globalThis || process.env.ALL_RUNTIMES_BROWSE ? findChromium() : null;

/** Why there is no browser to test in; false when there is one. For the `skip` of a test. */
export const noBrowser: string | false = executable !== null
  ? false
  : "Deno" in globalThis
  ? "there is no Chromium on the path"
  : "pages are tried on Deno only, to save time";

/** How a page is opened. */
export interface OpenOptions {
  /** Of the window. Default 1280. */
  width?: number;
  /** Of the window. Default 800. */
  height?: number;
  /** Whether the server sends the headers for threads. Default true. */
  isolation?: boolean;
  /** Whether the service worker may start. Default false. */
  serviceWorker?: boolean;
  /** Errors that belong to the test. */
  expected?: RegExp;
  /** More for the context, such as `colorScheme`. */
  context?: BrowserContextOptions;
  /** Done before the page loads. */
  before?: (page: Page) => Promise<unknown>;
}

/** The site and a browser. */
export class TestSite {
  readonly #browser: Browser;
  readonly #folder: string;
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #addresses = new Map<boolean, string>();
  readonly #serve: (isolation: boolean) => Promise<{ url: string; close(): Promise<void> }>;

  /** What a visitor fetches, by page. */
  readonly sizes: readonly Size[];

  private constructor(
    browser: Browser,
    sizes: readonly Size[],
    folder: string,
    serve: (isolation: boolean) => Promise<{ url: string; close(): Promise<void> }>,
  ) {
    this.#browser = browser;
    this.sizes = sizes;
    this.#folder = folder;
    this.#serve = serve;
  }

  /** Builds the site and starts the browser. */
  static async start(...flags: string[]): Promise<TestSite> {
    const [{ buildSite }, { serveSite }, { chromium }] = await Promise.all([
      import("../web/build.ts"),
      import("../web/serve.ts"),
      import("playwright-core"),
    ]);
    const parent = mkdtempSync(join(tmpdir(), "ferrotype-site-")), folder = join(parent, "dist");
    const sizes = await buildSite(folder);
    const browser = await chromium.launch({
      executablePath: executable!,
      args: [
        ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        ...["--disable-background-networking", "--disable-component-update", "--use-gl=swiftshader"],
        ...["--enable-unsafe-swiftshader", "--enable-precise-memory-info", ...flags],
      ],
    });
    return new TestSite(browser, sizes, parent, (isolation) => serveSite({ folder, port: 0, isolation }));
  }

  /** The address of the site, with a slash at the end. */
  async url(isolation = true): Promise<string> {
    let url = this.#addresses.get(isolation);
    if (url === undefined) {
      const site = await this.#serve(isolation);
      this.#addresses.set(isolation, url = site.url);
      this.#closers.push(() => site.close());
    }
    return url;
  }

  /** Opens a page, gives it to `use`, and fails if it logged an error or asked another origin. */
  async open(path: string, use: (page: Page) => Promise<void>, options: OpenOptions = {}): Promise<void> {
    const { width = 1280, height = 800, isolation = true, expected, before } = options;
    const url = await this.url(isolation), faults: string[] = [];
    const context = await this.#browser.newContext({
      viewport: { width, height },
      serviceWorkers: options.serviceWorker ? "allow" : "block",
      ...options.context,
    });
    try {
      const page = await context.newPage();
      const fault = (text: string): void => {
        if (!expected?.test(text)) faults.push(text);
      };
      page.on("console", (message) => {
        if (message.type() === "error") fault(`logged: ${message.text()} ${message.location().url}`);
      });
      page.on("pageerror", (error) => fault(`threw: ${error.stack ?? error.message}`));
      context.on("request", (request) => {
        if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(url)) {
          fault(`asked another origin: ${request.url()}`);
        }
      });
      await before?.(page);
      await page.goto(url + path);
      try {
        await use(page);
      } catch (error) {
        if (faults.length > 0 && error instanceof Error) error.message += `\n${faults.join("\n")}`;
        throw error;
      }
      assertEquals(faults, []);
    } finally {
      await context.close();
    }
  }

  /** Ends the browser and the servers, and removes the site. */
  async close(): Promise<void> {
    await this.#browser.close();
    for (const close of this.#closers) await close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/**
 * Waits until `question` is true in the page, 20 s at most. Not playwright's own `waitForFunction`: it evaluates text in
 * the page, which the page's policy forbids.
 */
export async function until(page: Page, question: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  // A page that loads anew in between has no answer yet.
  while (!await page.evaluate(question).catch(() => false)) {
    if (performance.now() > end) throw new Error(`the page never answered yes to ${question}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Begins to watch the page's main thread; what it gives tells of the tasks above 50 ms since, and of the frames. */
export async function watchTasks(page: Page): Promise<() => Promise<{ long: number[]; frames: number }>> {
  type Watched = { tasks: { long: number[]; frames: number } };
  await page.evaluate(() => {
    const tasks = (globalThis as unknown as Watched).tasks = { long: [], frames: 0 } as Watched["tasks"];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.long.push(Math.round(duration));
    }).observe({ type: "longtask" });
    const frame = (): void => {
      tasks.frames++;
      requestAnimationFrame(frame);
    };
    frame();
  });
  return () => page.evaluate(() => (globalThis as unknown as Watched).tasks);
}

/**
 * Fails when the main thread was held up: more than one frame in eight (and more than six in all) waited for a task above
 * 50 ms. Not at the first: tests share their machine, and this browser paints in software on the same cores.
 */
export function assertQuick({ long, frames }: { long: number[]; frames: number }): void {
  console.log(`    tasks of the main thread above 50 ms: ${JSON.stringify(long)} in ${frames} frames`);
  assert(long.length <= Math.max(6, frames / 8), `${long.length} long tasks in ${frames} frames: ${long}`);
}

/** Waits until the page's status line matches, 20 s at most. */
export async function says(page: Page, text: RegExp): Promise<void> {
  const end = performance.now() + 20_000;
  for (;;) {
    const said = await page.locator("#status").textContent() ?? "";
    if (text.test(said)) return;
    if (performance.now() > end) throw new Error(`the page says "${said}", not ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** What axe-core finds on a page, a line each. */
export async function violations(page: Page): Promise<string[]> {
  // Evaluated, not added as a script: the page's policy forbids that.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: { run(): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }> };
    };
    return (await axe.run()).violations.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`
    );
  });
}
