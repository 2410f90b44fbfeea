/**
 * What a visitor fetches, packed with gzip, stays within budgets: for each page what it needs before it runs, and for a
 * worker the engine.
 */
import { assert, assertEquals } from "@std/assert";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { putSite } from "./_site.ts";
import { describe, it } from "./_suite.ts";

/** KB by name; "page" is a page that has no row. */
const budgets: Readonly<Record<string, number>> = {
  page: 14,
  start: 7,
  train: 21,
  race: 28,
  network: 24,
  tabular: 18,
  playground: 23,
  "engine/worker.ts": 256,
  "network/worker.ts": 158,
  "race/worker.ts": 265,
  "train/worker.ts": 275,
  // All of the library, in one file.
  "ferrotype.js": 665,
};

/** Rooms that a worker does not have at hand from the beginning: they come when they are used, or never. */
const absent: Readonly<Record<string, readonly string[]>> = {
  "engine/worker.ts": ["src/tabular", "src/train", "src/optim", "src/landscape", "src/backends/webgpu"],
  "network/worker.ts": ["src/tabular", "src/train", "src/models", "src/generate", "src/text", "src/files"],
  "race/worker.ts": ["src/tabular", "src/landscape", "src/backends/webgpu"],
  "train/worker.ts": ["src/tabular", "src/landscape", "src/backends/webgpu"],
};

const skip = "Deno" in globalThis ? false : "built once, on Deno, to save time";

describe("the bundle", { skip }, () => {
  it("keeps to its budgets", { skip }, async () => {
    const { sizeTable } = await import("../web/build.ts");
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-size-"));
    try {
      const sizes = await putSite(join(folder, "dist"));
      console.log(sizeTable(sizes).replace(/^/gm, "    "));
      for (const { name, script, style } of sizes) {
        const budget = budgets[name] ?? budgets.page;
        const size = (script + style) / 1024;
        assert(size <= budget, `${name}: ${size.toFixed(1)} KB, and ${budget} are its budget`);
      }
      for (const [name, rooms] of Object.entries(absent)) {
        const found = sizes.find((size) => size.name === name)!.rooms.map((room) => room.name);
        assert(found.includes("src/ops"), `${name} has ${found}`);
        const early = found.filter((room) => rooms.some((other) => `${room}/`.startsWith(`${other}/`)));
        assertEquals(early, [], `${name} fetches too early`);
      }
      // What looks for native libraries is no use to a page.
      const dist = join(folder, "dist");
      const scripts = readdirSync(dist, { recursive: true, encoding: "utf8" }).filter((file) =>
        file.endsWith(".js")
      );
      for (const file of scripts) {
        assert(!readFileSync(join(dist, file), "utf8").includes("cblas_sgemm"), file);
      }
      for (const name of ["start", "race", "network"]) {
        assert(sizes.some((size) => size.name === name), name);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
