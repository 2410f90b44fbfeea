/**
 * What the site is, in figures: sizes, the rates of the race, what axe-core finds, what each page shows and fetches.
 * `deno task report:web`.
 *
 * @module
 */
import { join, relative } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { readTask } from "../tools/task.ts";
import { closure, roomTable, sizeTable } from "../web/build.ts";
import { pages } from "../web/pages.ts";
import { repository } from "./_data.ts";
import { ensurePackages } from "./_install.ts";

/** What the engine's weight is made of: each line with all that it stands on, gzipped. */
async function engineParts(): Promise<string> {
  const parts = {
    "the cpu device: assembler, kernels, heap, threads": ["backends/cpu/backend.ts"],
    "tensors, gradients, operations": ["ops/mod.ts"],
    "with the cpu device": ["ops/mod.ts", "backends/cpu/backend.ts"],
    "with the network of GPT-2": ["ops/mod.ts", "backends/cpu/backend.ts", "models/mod.ts"],
    "with files, tokenizers and generation": ["runtime/gpt2.ts"],
  };
  const { build } = await import("esbuild"), lines: string[] = [];
  for (const [name, files] of Object.entries(parts)) {
    const contents = files.map((file, i) =>
      `import * as m${i} from "../src/${file}"; globalThis.m${i} = m${i};`
    );
    const { outputFiles, metafile } = await build({
      stdin: { contents: contents.join("\n"), resolveDir: join(repository, "tests"), loader: "ts" },
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      splitting: true,
      metafile: true,
      absWorkingDir: repository,
      outdir: "parts",
      write: false,
      external: ["node:*", "@huggingface/*", "../hub/mod.ts"],
    });
    // What is imported later is not in it.
    const entry = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === "<stdin>")![0];
    const first = closure(metafile, entry);
    const bytes = outputFiles.filter(({ path }) =>
      first.has(relative(repository, path).replaceAll("\\", "/"))
    )
      .reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
    lines.push(`${(bytes / 1024).toFixed(1).padStart(7)}  ${name}`);
  }
  return lines.join("\n");
}

readTask({
  name: "report:web",
  summary: "What the site is, in figures: sizes, rates, and what axe-core finds.",
});
ensurePackages();
const { noBrowser, says, TestSite, until, violations } = await import("./_browser.ts");
const { describeRates, dragTimes, measureHeap, measureRace, watchTasks } = await import("./_page_rates.ts");
if (noBrowser) {
  console.error(`report:web: ${noBrowser}; install one, or name it with CHROMIUM`);
  process.exit(1);
}
const site = await TestSite.start("--js-flags=--expose-gc");
try {
  console.log(`${sizeTable(site.sizes)}\n`);
  const engine = site.sizes.find(({ name }) => name === "engine/worker.ts")!;
  console.log(`${roomTable(engine)}\n`);
  console.log(`of which, KB gzipped\n${await engineParts()}\n`);
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
    console.log(`\nRace: ${describeRates(await measureRace(page), await measureHeap(page))}`);
  });
  await site.open("tabular/#titanic", async (page) => {
    await page.waitForSelector("#answer .big");
    const times = await dragTimes(page),
      at = (part: number) => times[Math.floor(part * times.length)].toFixed(1);
    console.log(`Tables: from a drag to the answer: median ${at(0.5)} ms, p95 ${at(0.95)} ms`);
  });
  console.log("\nTasks of the main thread above 50 ms");
  const formula = Array.from({ length: 12 }, (_, i) => `sin(x*${i})*cos(y)`).join("+");
  const works: [what: string, path: string, work: (page: Page) => Promise<unknown>][] = [
    [
      "a race through a long formula, 2 s",
      `race/#${new URLSearchParams({ surface: "formula", speed: "4096", formula })}`,
      (page) => page.waitForTimeout(2000),
    ],
    ["training a network, 2 s", "network/", async (page) => {
      await until(page, () => !(document.getElementById("play") as HTMLButtonElement).disabled);
      await page.click("#play");
      await page.waitForTimeout(2000);
    }],
    ["writing 100 tokens", "playground/", async (page) => {
      await says(page, /^Ready/);
      await page.click("#go");
      await says(page, /^Wrote/);
    }],
    ["training a GPT, 50 steps", "train/", async (page) => {
      await page.getByLabel("Steps", { exact: true }).fill("50");
      await page.click("#go");
      await says(page, /It has learnt/);
    }],
  ];
  for (const [what, path, work] of works) {
    await site.open(path, async (page) => {
      const tasks = await watchTasks(page);
      await work(page);
      const { long, frames } = await tasks();
      console.log(`  ${what}: ${JSON.stringify(long)} in ${frames} frames`);
    });
  }
} finally {
  await site.close();
}
