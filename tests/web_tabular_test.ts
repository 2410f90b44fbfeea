/** The page of tables in Chromium: it answers what the library answers here, at every drag. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { TabularModel } from "../mod.ts";
import { noBrowser, says, TestSite } from "./_browser.ts";
import { repository } from "./_data.ts";

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
        const big = await page.textContent("#answer .big");
        if (label !== null) {
          assert.equal(big, label);
          const shown = `${(100 * probabilities![label]).toFixed(1)} %`;
          assert.ok((await page.textContent("#answer"))!.includes(shown), shown);
        } else assert.equal(Number(big), Number(value!.toPrecision(3)));
        const facts = await page.textContent("#facts");
        await page.$eval("#inputs input[type=range]", (input: HTMLInputElement) => {
          input.value = input.min;
          input.dispatchEvent(new Event("input"));
        });
        for (let i = 0; i < 200 && await page.textContent("#facts") === facts; i++) {
          await page.waitForTimeout(20);
        }
        assert.notEqual(await page.textContent("#facts"), facts);
        assert.match((await page.textContent("#about"))!, /cross-validation/);
      });
    });
  }

  it("says what is wrong when a model is missing", { skip }, async () => {
    await site.open("tabular/#iris", async (page) => {
      await says(page, /iris\.safetensors/);
    }, {
      expected: /404/,
      before: (page) => page.route("**/iris.safetensors", (route) => route.fulfill({ status: 404 })),
    });
  });
});
