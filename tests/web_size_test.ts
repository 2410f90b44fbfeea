/**
 * What a visitor fetches, packed with gzip, stays within budgets: for each page what it needs before it runs, and for a
 * worker the engine.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";

/** KB by name; "page" is a page that has no row. */
const budgets: Readonly<Record<string, number>> = {
  page: 15,
  start: 6,
  race: 20,
  tabular: 12,
  playground: 15,
  "engine/worker.ts": 168,
  "network/worker.ts": 125,
  "train/worker.ts": 208,
  "ferrotype.js": 220,
};

const skip = "Deno" in globalThis ? false : "built once, on Deno, to save time";

describe("the bundle", { skip }, () => {
  it("keeps to its budgets", { skip }, async () => {
    const { buildSite, sizeTable } = await import("../web/build.ts");
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-size-"));
    try {
      const sizes = await buildSite(join(folder, "dist"));
      console.log(sizeTable(sizes).replace(/^/gm, "    "));
      for (const { name, script, style } of sizes) {
        const budget = budgets[name] ?? budgets.page;
        const size = (script + style) / 1024;
        assert.ok(size <= budget, `${name}: ${size.toFixed(1)} KB, and ${budget} are its budget`);
      }
      for (const name of ["start", "race", "network"]) {
        assert.ok(sizes.some((size) => size.name === name), name);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
