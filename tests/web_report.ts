/**
 * What the site is, in figures: sizes, the rates of the race, what axe-core finds, what each page shows and fetches.
 * `deno task report:web`.
 *
 * @module
 */
import { sizeTable } from "../web/build.ts";
import { pages } from "../web/pages.ts";
import { noBrowser, TestSite, violations } from "./_browser.ts";
import { describeRates, measureRace } from "./_race.ts";

if (noBrowser) throw new Error(noBrowser);
const site = await TestSite.start("--js-flags=--expose-gc");
try {
  console.log(`${sizeTable(site.sizes)}\n`);
  for (const { id, nav } of pages) {
    for (const colorScheme of ["light", "dark"] as const) {
      await site.open(id === "" ? "" : `${id}/`, async (page) => {
        await page.waitForLoadState("networkidle");
        const found = await violations(page);
        const axe = `axe-core, ${colorScheme}: ${found.length === 0 ? "no violations" : found.join("; ")}`;
        if (colorScheme === "dark") return console.log(`  ${axe}`);
        const { first, count, kilobytes } = await page.evaluate(() => ({
          first: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
          count: performance.getEntriesByType("resource").length + 1,
          kilobytes: (performance.getEntriesByType("resource") as PerformanceResourceTiming[])
            .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0) / 1024,
        }));
        console.log(`${nav}: ${(await page.locator("h1").innerText()).replaceAll("\n", " ")}`);
        console.log(`  ${(await page.locator("main h2").allInnerTexts()).join(" · ")}`);
        console.log(
          `  first content after ${first.toFixed(0)} ms; ${count} files, ${kilobytes.toFixed(0)} KB, ` +
            "none of another origin",
        );
        console.log(`  ${axe}`);
      }, { context: { colorScheme } });
    }
  }
  await site.open("race/", async (page) => {
    await page.locator(".tour").waitFor();
    console.log(`\nRace: ${describeRates(await measureRace(page))}`);
  });
} finally {
  await site.close();
}
