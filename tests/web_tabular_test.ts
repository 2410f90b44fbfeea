/** The page of tables in Chromium: it answers what the library answers here, at every drag. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { TabularModel } from "../mod.ts";
import { noBrowser, says, shows, TestSite } from "./_browser.ts";
import { repository } from "./_data.ts";
import { dragTimes } from "./_page_rates.ts";
import { after, before, describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";

const skip = noBrowser;

describe("the page of tables", { skip }, () => {
  let site: TestSite;
  before(async () => {
    if (!skip) site = await TestSite.start();
  });
  after(() => site?.close());

  for (const name of ["titanic", "mpg"]) {
    it(`${name}: the answers of the library, and others when a slider moves`, { skip }, async () => {
      const model = await TabularModel.load(join(repository, `web/models/tabular/${name}.safetensors`));
      const row = Object.fromEntries(
        model.schema.columns.filter(({ ignored }) => ignored === null).map((c) => [
          c.name,
          c.categories.length ? c.categories[0] : c.quantiles[10],
        ]),
      );
      const { class: label, value, probabilities } = await model.predict(row);
      model.dispose();
      await site.open(`tabular/#${name}`, async (page) => {
        await says(page, /^(Which|How much)/);
        await page.waitForSelector("#answer .big");
        const first = await page.textContent("#answer .big");
        if (label !== null) {
          assertStrictEquals(first, label);
          const shown = `${(100 * probabilities![label]).toFixed(1)} %`;
          assert((await page.textContent("#answer"))!.includes(shown), shown);
        } else assertStrictEquals(Number(first), Number(value!.toPrecision(3)));
        const facts = await page.textContent("#facts");
        await page.$eval("#inputs input[type=range]", (input: HTMLInputElement) => {
          input.value = input.min;
          input.dispatchEvent(new Event("input"));
        });
        await until(async () => await page.textContent("#facts") !== facts, "other facts");
        // Rows to begin from: each class has one that the model is sure of; of numbers a low and a high one.
        await page.locator("#presets button").last().waitFor();
        const big = async (): Promise<string> => await page.textContent("#answer .big") ?? "";
        const press = async (name: string): Promise<string> => {
          await page.$eval("#answer .big", (old) => old.setAttribute("data-old", ""));
          await page.click(`#presets button:text-is("${name}")`);
          await page.locator("#answer .big:not([data-old])").waitFor();
          return await big();
        };
        if (label !== null) {
          for (const one of Object.keys(probabilities!)) {
            assertStrictEquals(await press(`clearly ${one}`), one);
          }
        } else {
          const [low, middle, high] = [await press("low"), await press("middle"), await press("high")].map(
            Number,
          );
          assert(low < middle && middle < high, `${low} ${middle} ${high}`);
          assertStrictEquals(middle, Number(value!.toPrecision(3)));
        }
        assertMatch((await page.textContent("#about"))!, /cross-validation/);
      });
    });
  }

  it("answers every drag", { skip }, async () => {
    await site.open("tabular/#titanic", async (page) => {
      await page.waitForSelector("#answer .big");
      assertStrictEquals((await dragTimes(page)).length, 40);
    });
  });

  it("trains on a CSV file of one's own, and says what is wrong with one", { skip }, async () => {
    const rows = Array.from({ length: 90 }, (_, i) => `${i % 9},${i % 5},${i % 9 > 4 ? "high" : "low"}`);
    const buffer = Buffer.from(["level,noise,kind", ...rows].join("\n"));
    await site.open("tabular/", async (page) => {
      await says(page, /^Which species/);
      await page.setInputFiles("#csv", { name: "levels.csv", mimeType: "text/csv", buffer });
      await says(page, /^Which kind/);
      assertMatch(await page.textContent("#about") ?? "", /levels\.csv: 90 rows/);
      const slider = page.getByLabel("level", { exact: true });
      for (const [value, kind] of [["8", "high"], ["0", "low"]]) {
        await slider.fill(value);
        await shows(page, "#answer .big", new RegExp(`^${kind}$`));
      }
      // Another column of the same file.
      await page.selectOption("#target", "noise");
      await says(page, /noise/);
      assertEquals(await page.$$eval("#controls label", (list) => list.length > 0), true);
      await page.selectOption("#target", "kind");
      await says(page, /^Which kind/);
      await page.getByLabel("level", { exact: true }).fill("0");
      await shows(page, "#answer .big", /^low$/);
      await page.setInputFiles("#csv", {
        name: "bad.csv",
        mimeType: "text/csv",
        buffer: Buffer.from("a,b\n1,2\n"),
      });
      await page.locator("#status[data-kind=error]").waitFor();
      assertStrictEquals(await page.textContent("#answer .big"), "low");
    });
  });

  it("says what is wrong when a model is missing", { skip }, async () => {
    await site.open("tabular/#iris", async (page) => {
      await says(page, /iris\.safetensors/);
    }, {
      expected: /404/,
      before: (page) => page.route("**/iris.safetensors", (route) => route.fulfill({ status: 404 })),
    });
  });
});
