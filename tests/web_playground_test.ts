/** The playground in Chromium: it writes what the library writes here, shows its doubts, branches, and says what fails. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { GPT2 } from "../mod.ts";
import { noBrowser, says, TestSite } from "./_browser.ts";
import { repository } from "./_data.ts";

const skip = noBrowser;

describe("the playground", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  it("writes what the library writes here; shows and takes other choices", { skip }, async () => {
    const model = await GPT2.load(join(repository, "web/models/shakespeare"));
    const options = { maxNewTokens: 60, temperature: 0.8, topK: 0, topP: 1, minP: 0, seed: 7 };
    const expected = await model.complete("JULIET:\n", options);
    model.dispose();
    const state = new URLSearchParams({ prompt: "JULIET:\n", maxNewTokens: "60", seed: "7" });
    await site.open(`playground/#${state}`, async (page) => {
      await says(page, /^Ready/);
      assert.match(await page.textContent("#machine") ?? "", /on \d+ threads?/);
      await page.click("#go");
      await says(page, /^Wrote 60/);
      const tokens = await page.$$eval(".token", (list) => list.map((e) => e.textContent).join(""));
      assert.equal(tokens, expected);
      await page.hover(".token:nth-of-type(10)");
      assert.ok(await page.locator(".choice").count() >= 6);
      await page.locator(".choice[aria-pressed=false]").first().click();
      await says(page, /^Wrote 60/);
      assert.equal(await page.$eval(".given", (e) => e.textContent!.slice(0, 8)), "JULIET:\n");
      await page.fill("#prompt", "€");
      await page.click("#go");
      await says(page, /€/);
    });
  });

  it("writes without threads too, and never holds the page up", { skip }, async () => {
    await site.open("playground/", async (page) => {
      await says(page, /^Ready/);
      assert.match(await page.textContent("#machine") ?? "", /on 1 thread:.*isolate/);
      await page.evaluate(() => {
        const long: number[] = (globalThis as unknown as { long: number[] }).long = [];
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) long.push(duration);
        }).observe({ type: "longtask" });
      });
      await page.click("#go");
      await says(page, /^Wrote 100 tokens/);
      const long = await page.evaluate(() => (globalThis as unknown as { long: number[] }).long);
      console.log(`    tasks of the main thread above 50 ms while writing: ${JSON.stringify(long)}`);
      assert.ok(long.length <= 2, `long tasks: ${long}`);
    }, { isolation: false });
  });

  it("says what is wrong when a file is missing or WebAssembly is denied", { skip }, async () => {
    await site.open("playground/", async (page) => {
      await says(page, /model\.safetensors/);
      assert.equal(await page.isDisabled("#go"), true);
    }, {
      expected: /404/,
      before: (page) => page.route("**/model.safetensors", (route) => route.fulfill({ status: 404 })),
    });
    await site.open("playground/", async (page) => {
      await says(page, /does not let pages use WebAssembly/);
    }, { before: (page) => page.addInitScript("delete globalThis.WebAssembly") });
    await site.open("playground/", async (page) => {
      await says(page, /could not be loaded/);
    }, {
      expected: /worker|Failed to load/,
      before: (page) => page.route("**/worker-*.js", (route) => route.abort()),
    });
  });
});
