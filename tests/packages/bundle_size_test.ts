/**
 * What a page weighs that takes a part of the library, packed with gzip; `deno run -A tools/bundle_size.ts` tells what it is
 * made of.
 */
import { assert, assertEquals } from "@std/assert";
import type { Metafile } from "esbuild";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { closure } from "../../web/build.ts";
import { noBrowser } from "../_browser.ts";
import { after, before, describe, it } from "../_suite.ts";
import { Project, skip } from "./_consumer.ts";
import { Pages } from "./_pages.ts";

/** Pages, what they answer, and kB that they may fetch first: made in one file, and in several. */
const cases = {
  "a product": {
    script: `import { tensor } from "@ferrotype/ferrotype";
globalThis.answer = tensor([[1, 2], [3, 4]]).matmul(tensor([[1, 2], [3, 4]])).toArray();`,
    answer: [[7, 10], [15, 22]],
    budgets: [98.5, 152],
  },
  "a GPT that writes": {
    script: `import { GPT2 } from "@ferrotype/ferrotype";
globalThis.answer = GPT2.load("/model/").then((model) => model.complete("ROMEO:", { maxNewTokens: 8, temperature: 0 }));`,
    answer: "\nThe man",
    budgets: [342, 258],
  },
  "the reference device, which comes by its name": {
    script: `import { initReference, tensor } from "@ferrotype/ferrotype";
initReference();
globalThis.answer = tensor([1, 2], { device: "reference" }).mul(2).toArray();`,
    answer: [2, 4],
    budgets: [105, 156],
  },
  "blocks, which come by their name": {
    script: `import { initQuantized, ones } from "@ferrotype/ferrotype";
initQuantized();
globalThis.answer = ones([1, 32]).linear(ones([1, 32]).to({ dtype: "q8" })).item().then(Math.round);`,
    answer: 32,
    budgets: [112, 161],
  },
};

describe("a page holds what it uses", { skip: skip || noBrowser }, () => {
  let project: Project, pages: Pages;
  before(async () => {
    project = await Project.make({});
    pages = await Pages.start();
  });
  after(async () => {
    await pages?.close();
    project?.[Symbol.dispose]();
  });

  async function bundle(script: string, outdir: string, splitting: boolean): Promise<Metafile> {
    const { build } = await import("esbuild");
    project.write({ [`${outdir}.js`]: script });
    const { metafile } = await build({
      absWorkingDir: project.folder,
      entryPoints: { page: `${outdir}.js` },
      outdir,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      splitting,
      metafile: true,
      logLevel: "silent",
    });
    return metafile;
  }

  for (const [number, [name, { script, answer, budgets }]] of Object.entries(cases).entries()) {
    it(name, async () => {
      for (const [i, splitting] of [false, true].entries()) {
        const outdir = `page-${number}-${i}`, metafile = await bundle(script, outdir, splitting);
        let size = 0;
        for (const path of closure(metafile, `${outdir}/page.js`)) {
          size += gzipSync(readFileSync(project.path(path)), { level: 9 }).length / 1000;
        }
        console.log(`    ${name}, ${splitting ? "at first" : "in one file"}: ${size.toFixed(1)} kB`);
        assertEquals(await pages.open(project.folder, outdir), answer);
        assert(size <= budgets[i], `${size} kB, and ${budgets[i]} are its budget`);
      }
    });
  }
});
