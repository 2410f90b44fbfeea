/**
 * The site in a headless Chromium: served on loopback from a folder of the test's own, opened in a fresh context.
 *
 * A page fails its test when it logs an error, throws, or asks another origin for anything. Browsers are slow, so these
 * tests run on Deno alone; where that is not it, or there is no Chromium, they are skipped and say why.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Size } from "../web/build.ts";
import { putSite } from "./_site.ts";
import { patience, until as waitUntil } from "./_wait.ts";

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

/** Starts the browser. */
export async function launchChromium(...flags: string[]): Promise<Browser> {
  const { chromium } = await import("playwright-core");
  return await chromium.launch({
    executablePath: executable!,
    timeout: patience,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
      ...["--disable-background-networking", "--disable-component-update", "--use-gl=swiftshader"],
      // Without a GPU it paints by itself: 38 s of processor time without these for web_race_test.ts, 32 s with them.
      ...["--disable-gpu-compositing", "--disable-accelerated-2d-canvas", "--num-raster-threads=1"],
      ...["--enable-unsafe-swiftshader", "--enable-precise-memory-info", ...flags],
    ],
  });
}

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
    const { serveSite } = await import("../web/serve.ts");
    const parent = mkdtempSync(join(tmpdir(), "ferrotype-site-")), folder = join(parent, "dist");
    const sizes = await putSite(folder);
    const browser = await launchChromium(...flags);
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
      context.setDefaultTimeout(patience);
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

/** Milliseconds between two questions to a page: each goes through four processes, and what they compute waits for them. */
const pause = 40;

/**
 * Waits until `question` is true in the page. Not playwright's own `waitForFunction`: it evaluates text in the page, which
 * the page's policy forbids.
 */
export async function until(page: Page, question: () => boolean): Promise<void> {
  // A page that loads anew in between has no answer yet.
  await waitUntil(
    () => page.evaluate(question).catch(() => false),
    `a yes of the page to ${question}`,
    pause,
  );
}

/** Waits until the page's status line matches. */
export async function says(page: Page, text: RegExp): Promise<void> {
  await shows(page, "#status", text);
}

/** Waits until the text of an element matches. */
export async function shows(page: Page, selector: string, text: RegExp): Promise<void> {
  let said = "";
  try {
    await waitUntil(async () => text.test(said = await page.textContent(selector) ?? ""), `${text}`, pause);
  } catch (error) {
    throw new Error(`${(error as Error).message}; ${selector} says "${said}"`);
  }
}

/** What axe-core finds on a page, a line each; of some rules, where only what they look at has changed. */
export async function violations(page: Page, ...rules: string[]): Promise<string[]> {
  // Evaluated, not added as a script: the page's policy forbids that.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  // What is on its way from one colour to another has the contrast of neither.
  await page.emulateMedia({ reducedMotion: "reduce" });
  const found = await page.evaluate(async (rules) => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(
          options: object,
        ): Promise<{ violations: { id: string; help: string; nodes: { html: string }[] }[] }>;
      };
    };
    return (await axe.run(rules.length > 0 ? { runOnly: rules } : {})).violations.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`
    );
  }, rules);
  await page.emulateMedia({ reducedMotion: null });
  return found;
}
