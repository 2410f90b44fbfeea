/**
 * The pages in real Chromium: each does its job, and its numbers are those that the library gives here.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { Generator, GPT2, TabularModel } from "../mod.ts";
import { surfaceOf } from "../web/race/formula.ts";
import { surfaces } from "../web/race/surfaces.ts";
import { pages } from "../web/pages.ts";
import { noBrowser, Site } from "./_browser.ts";
import { repository } from "./_data.ts";

const axe = (): string => readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pathOf = ({ folder, home }: { folder: string; home?: boolean }): string => home ? "" : `${folder}/`;
const status = (page: Page, text: RegExp): Promise<unknown> =>
  page.waitForFunction(
    ([source]) => new RegExp(source).test(document.getElementById("status")?.textContent ?? ""),
    [text.source],
    { timeout: 20_000 },
  );
const ready: Readonly<Record<string, RegExp>> = {
  playground: /^Ready/,
  tabular: /^Which/,
  race: /./,
  home: /^/,
};

describe("surfaces", () => {
  it("have the slopes of their values, the visitor's own too", () => {
    const random = new Generator(1), out = new Float64Array(2);
    const own = surfaceOf(
      "x^2*sin(y) - 3/(1 + y^2) + exp(-x*x)*tanh(x*y) + log(2 + cos(x)) - -pi*sqrt(x^2+1) + abs(y)^1.5",
    );
    for (const [name, surface] of Object.entries({ ...surfaces, own })) {
      const [x0, x1, y0, y1] = surface.domain;
      for (let i = 0; i < 50; i++) {
        const x = x0 + (x1 - x0) * random.uniform(), y = y0 + (y1 - y0) * random.uniform(), d = 1e-5;
        surface.gradient(x, y, out);
        const slope = [
          (surface.value(x + d, y) - surface.value(x - d, y)) / (2 * d),
          (surface.value(x, y + d) - surface.value(x, y - d)) / (2 * d),
        ];
        for (const k of [0, 1]) {
          assert(
            Math.abs(out[k] - slope[k]) <= 1e-4 * Math.max(1, Math.abs(slope[k])),
            `${name} at (${x}, ${y}): ${out[k]} ${slope[k]}`,
          );
        }
      }
      for (const [x, y] of surface.minima) {
        surface.gradient(x, y, out);
        assert(Math.hypot(...out) < 1e-5, `${name}: its minimum`);
      }
    }
  });

  it("are refused in a sentence when they cannot be read", () => {
    for (
      const [formula, message] of [
        ["", /write a formula/],
        ["x +", /cannot be read/],
        ["z + 1", /"z" is unknown; there are x, y/],
        ["foo(x)", /"foo" is none of sin/],
        ["x.constructor", /only numbers/],
        ["alert(1)", /"alert" is none of/],
        ["'a'", /no number/],
      ] as const
    ) assert.throws(() => surfaceOf(formula), message, formula);
  });
});

describe("the pages", { skip: noBrowser }, () => {
  let site: Site;
  before(async () => site = await Site.open());
  after(() => site.close());

  it("weigh little", () => {
    const most: Record<string, number> = {
      engine: 200_000,
      Playground: 30_000,
      "Optimizer race": 25_000,
      Tables: 25_000,
      Home: 10_000,
    };
    for (const { name, gzip } of site.sizes) assert(gzip <= most[name], `${name}: ${gzip} bytes`);
  });

  for (const width of [360, 1280]) {
    it(`are accessible and fit at ${width} pixels`, async () => {
      for (const entry of pages) {
        await site.visit(pathOf(entry), async (page) => {
          await status(page, ready[entry.folder]);
          await page.evaluate(axe());
          const violations = await page.evaluate(async () => {
            interface Violation {
              id: string;
              nodes: { html: string }[];
            }
            const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
            return (await axe.run()).violations.map(({ id, nodes }) =>
              `${id}: ${nodes.map(({ html }) => html).join(" ").slice(0, 200)}`
            );
          });
          assert.deepEqual(violations, [], entry.name);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert(wide <= 0, `${entry.name} is ${wide} pixels too wide`);
        }, width);
      }
    });
  }

  it("show something within a second, and never hold the page up", async () => {
    await site.visit("playground/", async (page) => {
      await status(page, ready.playground);
      const first = await page.evaluate(() =>
        performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0
      );
      assert(first < 1000, `${first} ms`);
      await page.evaluate(() => {
        const list: number[] = [];
        Object.assign(globalThis, { list });
        new PerformanceObserver((entries) => {
          for (const { duration } of entries.getEntries()) list.push(duration);
        }).observe({ type: "longtask" });
      });
      await page.click("#go");
      await status(page, /^Wrote 100 tokens/);
      const long = await page.evaluate(() => (globalThis as unknown as { list: number[] }).list);
      assert(long.every((ms) => ms < 120) && long.length <= 2, `long tasks: ${long}`);
    });
  });

  it("write what the library writes here", async () => {
    const model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const options = { maxNewTokens: 60, temperature: 0.8, topK: 0, topP: 1, minP: 0, seed: 7 };
    const expected = await model.complete("JULIET:\n", options);
    model.dispose();
    const state = new URLSearchParams({ prompt: "JULIET:\n", maxNewTokens: "60", seed: "7" });
    await site.visit(`playground/#${state}`, async (page) => {
      await status(page, ready.playground);
      assert.match(await page.textContent("#machine") ?? "", /on \d+ threads?/);
      await page.click("#go");
      await status(page, /^Wrote 60/);
      const tokens = await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
      assert.equal(tokens, expected);
      // Every token shows what else it might have been, and choosing one goes on from there.
      await page.hover(".token:nth-of-type(10)");
      const choices = await page.$$eval(".choice", (list) => list.map((e) => e.textContent));
      assert(choices.length >= 6);
      await page.click(".choice[aria-pressed=false]");
      await status(page, /^Wrote 60/);
      assert.equal(await page.$eval(".given", (e) => e.textContent!.slice(0, 8)), "JULIET:\n");
      await page.fill("#prompt", "€");
      await page.click("#go");
      await status(page, /€/);
    });
  });

  it("race at a million steps a second, frame by frame", async () => {
    await site.visit("race/", async (page) => {
      const rate = await page.evaluate(() =>
        (globalThis as unknown as { measureRace(ms: number): number }).measureRace(500)
      );
      assert(rate >= 1e6, `${rate} steps/s`);
      const frames = await page.evaluate(() =>
        new Promise<number[]>((resolve) => {
          const list: number[] = [];
          let last = performance.now();
          const next = (now: number): void => {
            list.push(now - last);
            last = now;
            if (list.length < 60) requestAnimationFrame(next);
            else resolve(list.slice(5));
          };
          requestAnimationFrame(next);
        })
      );
      assert(frames.toSorted((a, b) => a - b)[frames.length >> 1] < 40, `frames take ${frames}`);
      await page.fill("#formula", "x^2 + 3*y^2");
      await page.press("#formula", "Enter");
      await status(page, /Your own/);
      await page.click("#play");
      const before = await page.textContent("#standings");
      await page.click("#step");
      assert.notEqual(await page.textContent("#standings"), before);
      await page.click("#map", { position: { x: 50, y: 50 } });
      await status(page, /They start at \(-/);
      await page.fill("#formula", "x +");
      await page.press("#formula", "Enter");
      await status(page, /cannot be read/);
    });
  });

  it("answer from tables what the library answers here", async () => {
    for (const name of ["titanic", "mpg"]) {
      const model = await TabularModel.load(join(repository, `web/models/tabular/${name}.safetensors`));
      const row = Object.fromEntries(
        model.schema.columns.filter(({ ignored }) => ignored === null).map((c) => [
          c.name,
          c.categories.length ? c.categories[0] : c.quantiles[10],
        ]),
      );
      const { class: label, value, probabilities } = await model.predict(row);
      await site.visit(`tabular/#${name}`, async (page) => {
        await status(page, /^(Which|How much)/);
        await page.waitForSelector("#answer .big");
        const big = await page.textContent("#answer .big");
        if (label !== null) {
          assert.equal(big, label);
          const shown = `${(100 * probabilities![label]).toFixed(1)} %`;
          assert((await page.textContent("#answer"))!.includes(shown), shown);
        } else assert.equal(Number(big), Number(value!.toPrecision(3)));
        const facts = await page.textContent("#facts");
        await page.$eval("#inputs input[type=range]", (input: HTMLInputElement) => {
          input.value = input.min;
          input.dispatchEvent(new Event("input"));
        });
        await page.waitForFunction((old) => document.getElementById("facts")?.textContent !== old, facts);
        assert.match((await page.textContent("#about"))!, /cross-validation/);
      });
      model.dispose();
    }
  });

  it("work from one import, and without a network once they were seen", async () => {
    await site.visit("", async (page) => {
      const sum = await page.evaluate(async () => {
        const { tensor } = await import("/ferrotype.js" as string);
        return await tensor([[1, 2], [3, 4]]).matmul(tensor([[1], [1]])).sum().item();
      });
      assert.equal(sum, 10);
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
      await page.reload();
      await page.goto(`${site.url}race/`);
      await page.waitForTimeout(200);
      await page.context().setOffline(true);
      await page.goto(site.url);
      assert.equal(await page.textContent("h1"), "GPT, in your browser");
      await page.goto(`${site.url}race/`);
      await page.waitForSelector("#standings tr");
      await page.context().setOffline(false);
    });
  });

  it("say what is wrong when a file is missing or WebAssembly is denied", async () => {
    const missing = async (page: Page): Promise<void> => {
      await page.route("**/model.safetensors", (route) => route.fulfill({ status: 404 }));
      await page.reload();
      await status(page, /model\.safetensors/);
      assert.equal(await page.isDisabled("#go"), true);
    };
    // Without the service worker, which would answer from what it kept.
    await site.visit("playground/", missing, 1280, "block");
    await site.visit("playground/", async (page) => {
      await page.addInitScript(() => Reflect.deleteProperty(globalThis, "WebAssembly"));
      await page.reload();
      await status(page, /does not let pages use WebAssembly/);
    });
    assert.equal((await fetch(`${site.url}nothing`)).status, 404);
    assert.equal((await fetch(`${site.url}..%2f..%2fmod.ts`)).status, 404);
    assert.equal((await fetch(site.url, { method: "POST" })).status, 405);
  });
});
