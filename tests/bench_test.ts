import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { curvesOf, drawCurves, lawOf } from "../bench/curves.ts";
import type { RowResult } from "../bench/harness.ts";
import { headline, type Machine, mergeResults, rowLines } from "../bench/report.ts";
import { Generator } from "../src/core/random.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { repository } from "./_data.ts";

const machine: Machine = {
  runtime: "deno 2.9.6",
  engine: "V8",
  system: "linux",
  threads: "2 of 2",
  blas: "",
  date: "2026-11-21 02:00 UTC",
  load: "0.1",
  rounds: 7,
  rivals: { slow: "1.0" },
};

const result: RowResult = {
  group: "products",
  name: "a|b",
  unit: "GFLOP/s",
  subjects: [{
    name: "ours",
    value: 120,
    limit: { name: "the peak", value: 125 },
    share: 0.96,
    ratios: { slow: 2 },
    wanted: ["≥ 95 % of the limit", "≥ 3 × slow"],
    missed: ["≥ 3 × slow"],
  }],
  rivals: [{ name: "slow", value: 60 }, { name: "absent", missing: "not installed" }],
};

describe("the law of a curve", () => {
  const xs = [1, 2, 4, 8, 16, 32, 64, 128];
  const random = new Generator(5), noise = (): number => 1 + 0.02 * (random.uniform() - 0.5);

  it("is the power that time grows by, and does not bend by noise", () => {
    for (const exponent of [-1, 0, 0.5, 1, 2, 3]) {
      const { exponent: found, bend, value } = lawOf(
        xs.map((x) => ({ x, y: 3e-6 * x ** exponent * noise() })),
      );
      assertAlmostEquals(found, exponent, 0.02);
      assertStrictEquals(bend, null);
      assertAlmostEquals(value(10), 3e-6 * 10 ** exponent, 3e-7 * 10 ** exponent);
    }
  });

  it("bends where another bound begins", () => {
    for (const at of xs.slice(1, -1)) {
      for (const [before, after] of [[0, 1], [1, 2], [2, 1]]) {
        const y = (x: number): number => 1e-3 * (x <= at ? x ** before : at ** (before - after) * x ** after);
        const { bend, value } = lawOf(xs.map((x) => ({ x, y: y(x) * noise() })));
        assertStrictEquals(Math.round(bend!.at), at);
        assertAlmostEquals(bend!.before, before, 0.1);
        assertAlmostEquals(bend!.after, after, 0.1);
        assertAlmostEquals(value(128) / y(128), 1, 0.1);
      }
    }
  });

  it("is told of the rows that lie on it, and drawn", async () => {
    const rows = xs.map((at) => ({
      ...result,
      curve: { name: "a sum", along: "numbers", at, seconds: at <= 8 ? 1e-3 : 1e-3 * at / 8 },
    }));
    const curves = curvesOf([...rows, result]), text = mergeResults("", machine, rows);
    assertStrictEquals(curves.length, 1);
    const told =
      "- a sum: from 1 to 128, time grows as numbers^0.60; it bends at 8, from numbers^0.00 to numbers^1.00.";
    assert(text.includes(told), text);
    assert(text.includes("(growth-deno.svg)"));
    let drawn: unknown;
    await drawCurves((_path, spec) => Promise.resolve(void (drawn = spec)), "a.svg", "title", curves);
    assertMatch(JSON.stringify(drawn), /"title":\{"text":"a sum",[^}]*"subtitle":"bends at 8"\}/);
  });
});

describe("the results of benches", () => {
  it("are written with ratios, what was missed, and what is missing", () => {
    const text = mergeResults("", machine, [result]);
    assertMatch(text, /\| a\\\|b \| ours \| 120\.0 GFLOP\/s \| 96\.0 % of the peak \(125\.0\) \|/);
    assertMatch(text, /slow 60\.00: \*\*2\.00 ×\*\* \|/);
    assertStrictEquals(text.match(/Not measured: absent \(not installed\)\./g)?.length, 1);
    const above = { ...result.subjects[0], value: 150, share: 1.2 };
    assertMatch(
      mergeResults("", machine, [{ ...result, subjects: [above, above] }]),
      /120\.0 % of the reference kernel, the peak \(125\.0\)/,
    );
    assertMatch(text, /MISSED: ≥ 3 × slow/);
    assertMatch(rowLines(result).join("\n"), /not measured: absent: not installed/);
  });

  it("stand in short in the README, between its marks", () => {
    const row = { ...result, group: "GPT-2 124M, decode", name: "q8" };
    const text = headline("a\n<!-- bench -->\nold\n<!-- /bench -->\nb", machine, [row]);
    assertMatch(text, /^a\n<!-- bench -->\n[\s\S]*\n<!-- \/bench -->\nb$/);
    assertMatch(
      text,
      /\| GPT-2 124M, decode: q8 \| 120\.0 GFLOP\/s \| 96\.0 % of the peak \(125\.0\) \| slow 2\.00 × \|/,
    );
    assert(!text.includes("old"));
    const [subject] = row.subjects, ratios = { slow: 2, "slow on 2": 1.5, "slow on 4": 3 };
    const rivals = Object.keys(ratios).map((name) => ({ ...row.rivals[0], name }));
    const several = headline(text, machine, [{ ...row, rivals, subjects: [{ ...subject, ratios }] }]);
    assertMatch(several, /\| slow on 2 1\.50 × \|\n/);
    assertMatch(readFileSync(join(repository, "README.md"), "utf8"), /<!-- bench -->[\s\S]*<!-- \/bench -->/);
  });

  it("replace those of the same runtime only", () => {
    const first = mergeResults("", machine, [result]);
    const both = mergeResults(first, { ...machine, runtime: "bun 1.4.5" }, [result]);
    assertEquals(both.match(/^## .*$/gm), ["## bun 1.4.5", "## deno 2.9.6"]);
    const other = { ...result, group: "other", name: "beside" };
    const some = mergeResults(both, { ...machine, date: "later" }, [other], true);
    assert(some.includes("### other\n\nMeasured by itself: later"));
    assertStrictEquals(some.match(/^### /gm)!.length, both.match(/^### /gm)!.length + 1);
    const replaced = mergeResults(some, { ...machine, date: "last" }, [other], true);
    assert(replaced.includes("itself: last") && !replaced.includes("itself: later"));
    const again = mergeResults(both, { ...machine, runtime: "deno 2.9.7" }, [{ ...result, name: "new" }]);
    assertEquals(again.match(/^## .*$/gm), ["## bun 1.4.5", "## deno 2.9.7"]);
    assertStrictEquals(again.match(/\| new \|/g)?.length, 1);
    assertStrictEquals(again.match(/^# /gm)?.length, 1);
  });
});

describe("ferrotype bench", () => {
  it("measures beside the machine's limits", () => {
    const run = runtimeName() === "deno" ? ["run", "-A", "--no-check"] : [];
    const words = ["cli/main.ts", "bench", "--small", "--rounds", "1", "--json"];
    const { stdout, stderr, status } = spawnSync(process.execPath, [...run, ...words], {
      cwd: repository,
      encoding: "utf8",
    });
    assertStrictEquals(status, 0, stderr);
    const { machine, figures } = JSON.parse(stdout);
    assert(machine.threads >= 1);
    assert(figures.length >= 4, stdout);
    for (const { name, value, unit, limit } of figures) {
      assert(value >= 0 && Number.isFinite(value), name);
      assert(typeof unit === "string" && unit !== "", name);
      if (limit) assert(limit.value > 0 && limit.share > 0, name);
    }
  });
});
