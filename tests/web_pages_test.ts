/** Every page: it loads, breaks no rule of accessibility, fits a phone; the library in a page; the server. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { GPT2 } from "../mod.ts";
import { pages } from "../web/pages.ts";
import { noBrowser, TestSite, until, violations } from "./_browser.ts";
import { repository } from "./_data.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until as waitUntil } from "./_wait.ts";

const skip = noBrowser;

describe("the site", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  /** What a page is for, which its first screen of 1280 × 800 shows whole. */
  const main: Readonly<Record<string, readonly string[]>> = {
    "": ["h1"],
    playground: ["#go"],
    train: ["#text", "#go", "#loss", "#samples li"],
    race: ["#play"],
    network: ["#play"],
    tabular: ["h1"],
    compare: ["#connect"],
  };

  for (const { id, nav, title, about } of pages) {
    const path = id === "" ? "" : `${id}/`;
    it(`${nav}: what it is for on its first screen, a preview, nothing for axe-core, a phone of 360 pixels`, {
      skip,
    }, async () => {
      // One visit: a new one costs the browser a new profile and a new process.
      await site.open(path, async (page) => {
        await page.locator("h1").waitFor();
        assertEquals(await violations(page), []);
        for (const part of main[id]) {
          await page.locator(part).first().waitFor();
          // In one go: while it trains, what was first a moment ago is not.
          const box = await page.evaluate((part) => {
            const { top, bottom } = document.querySelector(part)!.getBoundingClientRect();
            return { top, bottom };
          }, part);
          assert(box.top >= 0 && box.bottom <= 800, `${part}: ${JSON.stringify(box)}`);
        }
        const preview = (name: string) => page.getAttribute(`meta[property="og:${name}"]`, "content");
        assertStrictEquals(await preview("title"), `${title} – ferrotype`);
        assertStrictEquals(await preview("description"), about);

        await page.emulateMedia({ colorScheme: "dark" });
        assertEquals(await violations(page, "color-contrast", "link-in-text-block"), [], "in the dark");

        await page.setViewportSize({ width: 360, height: 740 });
        await page.reload();
        await page.locator("h1").waitFor();
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert(width <= 360, `${width} pixels wide`);
      }, { context: { colorScheme: "light" } });
    });
  }

  it("without JavaScript each page says so, in its first screen", { skip }, async () => {
    await site.open("", async (page) => {
      for (const { id } of pages) {
        await page.goto(`${await site.url()}${id === "" ? "" : `${id}/`}`);
        const box = await page.locator("noscript .notice").boundingBox();
        assert(box !== null && box.y + box.height <= 844, `${id}: ${JSON.stringify(box)}`);
      }
    }, { context: { javaScriptEnabled: false }, width: 390, height: 844 });
  });

  it("the foot of a page says WebGPU where an adapter answers, and else why not", { skip }, async () => {
    await site.open("", async (page) => {
      for (const answer of ["async () => null", "async () => ({})", "async () => { throw new Error() }"]) {
        // The last one that was added has the last word.
        await page.addInitScript(
          `Object.defineProperty(navigator, "gpu", { value: { requestAdapter: ${answer} }, configurable: true })`,
        );
        await page.reload();
        await page.locator("#capabilities li").first().waitFor();
        const foot = await page.textContent("#capabilities") ?? "";
        assertMatch(foot, answer.includes("({})") ? /WebGPU on/ : /WebGPU off.*no adapter answers/);
      }
    });
  });

  it("a message never covers the tour", { skip }, async () => {
    await site.open("race/", async (page) => {
      await page.locator(".tour").waitFor();
      await page.click("#theme-toggle");
      await page.locator("#status.shown").waitFor();
      const [tour, status] = [
        await page.locator(".tour").boundingBox(),
        await page.locator("#status").boundingBox(),
      ];
      assert(tour && status && status.y + status.height <= tour.y, JSON.stringify({ tour, status }));
    }, { width: 390, height: 844 });
  });

  for (const isolation of [true, false]) {
    it(`one import computes in a worker, ${isolation ? "with" : "without"} threads`, { skip }, async () => {
      await site.open("", async (page) => {
        const { threads, sum } = await page.evaluate(async () => {
          const source = `import { tensor, ones, getThreads } from "${new URL(
            "ferrotype.js",
            location.href,
          )}";
            const x = ones([300, 300]);
            const sum = await x.matmul(x).sum().item();
            postMessage({ threads: getThreads(), sum });`;
          const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), {
            type: "module",
          });
          return await new Promise<{ threads: number; sum: number }>((resolve, reject) => {
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = (event) => reject(new Error(event.message));
          });
        });
        assertStrictEquals(sum, 300 ** 3);
        assertStrictEquals(
          threads > 1,
          isolation && (await page.evaluate(() => navigator.hardwareConcurrency)) > 1,
        );
      }, { isolation });
    });
  }

  it("one script of a page that knows nothing else imports it and computes", { skip }, async () => {
    const own = `<!doctype html><link rel="icon" href="data:,"><script type="module">
      import { GPT2, tensor } from "/ferrotype.js";
      const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
      x.matmul(x).sum().backward();
      const model = await GPT2.load(new URL("/models/shakespeare/", location.href));
      const text = await model.complete("ROMEO:", { maxNewTokens: 20, seed: 1, temperature: 0.8 });
      document.title = JSON.stringify({ values: await x.grad.toArray(), text });
    </script>`;
    const model = await GPT2.load("web/models/shakespeare");
    const text = await model.complete("ROMEO:", { maxNewTokens: 20, seed: 1, temperature: 0.8 });
    model.dispose();
    await site.open("own.html", async (page) => {
      await until(page, () => document.title !== "");
      assertEquals(JSON.parse(await page.title()), { values: [[7, 11], [9, 13]], text });
    }, {
      before: (page) =>
        page.route("**/own.html", (route) => route.fulfill({ body: own, contentType: "text/html" })),
    });
  });

  it("under forced colours, colours that are data stay, and what is chosen is seen", { skip }, async () => {
    const context = { forcedColors: "active" } as const;
    await site.open("network/", async (page) => {
      await until(page, () => /^step [1-9]/.test(document.getElementById("facts")!.textContent!));
      const seen = await page.evaluate(() => {
        const plane = document.getElementById("plane") as HTMLCanvasElement, found = new Set<number>();
        const { data } = plane.getContext("2d")!.getImageData(0, 0, plane.width, plane.height);
        for (let i = 0; i < data.length; i += 4) found.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
        const look = (pressed: boolean): string =>
          getComputedStyle(document.querySelector(`#features [aria-pressed=${pressed}]`)!).backgroundColor;
        return { colors: found.size, isChosenSeen: look(true) !== look(false) };
      });
      assert(seen.colors > 20, `${seen.colors} colours on the plane`);
      assert(seen.isChosenSeen);
      assertEquals(await violations(page), []);
    }, { context });
    await site.open("tabular/", async (page) => {
      await page.waitForSelector("#answer .bar > span");
      const [full, empty] = await page.evaluate(() =>
        ["#answer .bar > span", "#answer .bar"].map((name) =>
          getComputedStyle(document.querySelector(name)!).backgroundColor
        )
      );
      assert(full !== empty, `${full} on ${empty}`);
    }, { context });
  });

  it("a page of another origin imports the one file, alone, and fetches a model", { skip }, async () => {
    const url = await site.url(), asked: string[] = [];
    const own = `<!doctype html><link rel="icon" href="data:,"><script type="module">
      import { GPT2 } from "${url}ferrotype.js";
      const model = await GPT2.load("${url}models/shakespeare/");
      document.title = await model.complete("ROMEO:", { maxNewTokens: 20, seed: 1, temperature: 0.8 });
    </script>`;
    const model = await GPT2.load("web/models/shakespeare");
    const text = await model.complete("ROMEO:", { maxNewTokens: 20, seed: 1, temperature: 0.8 });
    model.dispose();
    // "localhost" is another origin than 127.0.0.1.
    const other = createServer((_, response) => response.setHeader("content-type", "text/html").end(own));
    await new Promise<void>((resolve) => other.listen(0, "localhost", resolve));
    try {
      await site.open("", async (page) => {
        page.on("request", (request) => asked.push(request.url().slice(url.length)));
        await page.goto(`http://localhost:${(other.address() as AddressInfo).port}/`);
        await until(page, () => document.title !== "");
        assertStrictEquals(await page.title(), text.trim().replaceAll(/\s+/g, " "));
        assertEquals(asked.filter((path) => path.endsWith(".js")), ["ferrotype.js"]);
      }, { expected: /asked another origin: http:\/\/localhost/ });
    } finally {
      other.close();
    }
  });

  it(
    "the server: types, headers, a page for what is not there, nothing outside the folder",
    { skip },
    async () => {
      const url = await site.url();
      const start = await fetch(url);
      assertMatch(await start.text(), /<main/);
      assertStrictEquals(start.headers.get("cross-origin-opener-policy"), "same-origin");
      assertStrictEquals(start.headers.get("cross-origin-embedder-policy"), "require-corp");
      assertMatch((await fetch(`${url}ferrotype.js`)).headers.get("content-type") ?? "", /javascript/);
      const none = await fetch(`${url}nothing/here`);
      assertStrictEquals(none.status, 404);
      assertMatch(await none.text(), /no such page/);
      for (
        const path of ["..%2fbuild.ts", "%2e%2e/%2e%2e/package.json", "assets/..%2f..%2f..%2fetc/passwd"]
      ) {
        const answer = await fetch(url + path);
        assertStrictEquals(answer.status, 404, path);
        await answer.body?.cancel();
      }
      const part = await fetch(`${url}models/shakespeare/model.safetensors`, {
        headers: { range: "bytes=0-7" },
      });
      assertStrictEquals(part.status, 206);
      assertStrictEquals((await part.arrayBuffer()).byteLength, 8);
    },
  );

  it(
    "fetches each model once, whoever needs it first; after one visit all are there offline",
    { skip },
    async () => {
      // A server between, which counts.
      const counts = new Map<string, number>(), behind = await site.url();
      const server = createServer(async ({ url = "/", method, headers }, answer) => {
        if (url.includes("/models/")) {
          counts.set(`${method} ${url}`, (counts.get(`${method} ${url}`) ?? 0) + 1);
        }
        const { status, headers: told, body } = await fetch(behind + url.slice(1), {
          headers: headers.range ? { range: headers.range } : {},
        });
        const kept = [...told].filter(([name]) =>
          !/^(content-encoding|content-length|transfer-encoding)$/.test(name)
        );
        answer.writeHead(status, Object.fromEntries(kept));
        for await (const piece of body ?? []) {
          answer.write(piece);
        }
        answer.end();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      try {
        await site.open("own.html", async (page) => {
          // The page and the service worker begin at once, and both want the model.
          await page.goto(`${address}playground/`);
          await page.locator(".token").nth(99).waitFor();
          await until(page, () => navigator.serviceWorker.controller !== null);
          const all = readdirSync(join(repository, "web/models/tabular")).length + 5;
          await waitUntil(
            () =>
              page.evaluate(async (all) => {
                const cache = await caches.open("ferrotype-models");
                return (await cache.keys()).length === all;
              }, all),
            "all models in the store",
          );
          const first = await page.textContent("#text");
          await page.reload();
          await page.locator(".token").nth(99).waitFor();
          await page.context().setOffline(true);
          await page.reload();
          await page.locator(".token").nth(99).waitFor();
          assertStrictEquals(await page.textContent("#text"), first);
          await page.goto(`${address}tabular/#housing`);
          await page.waitForSelector("#answer .big");
          assertEquals([...counts].filter(([, count]) => count > 1), []);
          assertStrictEquals(counts.get("GET /models/shakespeare/model.safetensors"), 1);
          // Who asks for a part of a file gets that part of what is kept.
          const part = await page.evaluate(async (url) => {
            const answer = await fetch(url, { headers: { range: "bytes=2-5" } });
            return [
              answer.status,
              answer.headers.get("content-range"),
              (await answer.arrayBuffer()).byteLength,
            ];
          }, `${address}models/shakespeare/config.json`);
          assertEquals(part, [206, "bytes 2-5/465", 4]);
        }, {
          serviceWorker: true,
          expected: /asked another origin|net::ERR|404/,
          before: (page) =>
            page.route("**/own.html", (route) => route.fulfill({ body: "", contentType: "text/html" })),
        });
      } finally {
        server.closeAllConnections();
        server.close();
      }
    },
  );

  it("works offline once it was seen, and isolates where the server does not", { skip }, async () => {
    await site.open("", async (page) => {
      await until(page, () => navigator.serviceWorker.controller !== null && crossOriginIsolated);
      await page.context().setOffline(true);
      for (const { id, title } of pages) {
        await page.goto(`${await site.url(false)}${id === "" ? "" : `${id}/`}`);
        assertMatch(await page.title(), new RegExp(title));
        assertStrictEquals(await page.evaluate(() => crossOriginIsolated), true);
      }
    }, { isolation: false, serviceWorker: true });
  });
});
