/**
 * Options that contradict one another, or the data that they are given with, are refused by every command that takes them.
 */
import { assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { call, fails } from "./_command.ts";

const folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
const at = (name: string): string => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

describe("ways to read a table", () => {
  const rows = Array.from(
    { length: 12 },
    (_, i) => `${i % 3}.5,${i % 2 ? "yes" : "no"},0${1 + i % 9}/02/2021`,
  );
  writeFileSync(
    at("no-dates.csv"),
    `a,b\n${rows.map((row) => row.split(",").slice(0, 2).join(",")).join("\n")}\n`,
  );
  writeFileSync(at("texts.csv"), `b\n${rows.map((row) => row.split(",")[1]).join("\n")}\n`);
  writeFileSync(at("dates.csv"), `a,b,d\n${rows.join("\n")}\n`);

  it("are refused where no column is such", async () => {
    for (
      const [file, args, message] of [
        [
          "no-dates.csv",
          ["--date-order", "day-first"],
          /--date-order has no effect because no column of no-dates.csv/,
        ],
        ["no-dates.csv", ["--date-order", "a=day-first"], /--date-order has no effect on column "a" because/],
        [
          "texts.csv",
          ["--decimal", ","],
          /--decimal has no effect because no column of texts.csv holds numbers/,
        ],
        ["texts.csv", ["--thousands", "none"], /--thousands has no effect because no column/],
        ["dates.csv", ["--decimal", "b=,"], /--decimal has no effect on column "b" because/],
        [
          "dates.csv",
          ["--ignore", "b", "--kind", "b=categorical"],
          /--ignore names column "b", and another option/,
        ],
      ] as const
    ) await fails(2, ["tabular", "inspect", at(file), "--explain-csv", ...args], message);
    for (const args of [["--date-order", "day-first"], ["--date-order", "d=day-first"], ["--decimal", "."]]) {
      assertStrictEquals(
        (await call(["tabular", "inspect", at("dates.csv"), "--explain-csv", ...args])).code,
        0,
      );
    }
  });

  it("and columns that are taken and left out are refused", async () => {
    for (
      const [args, message] of [
        [["--target", "a", "--ignore", "a"], /--target is "a", which --ignore leaves out/],
        [["--keep", "b", "--ignore", "b"], /--keep "b" and --ignore "b" exclude each other/],
        [["--keep", "a", "--target", "a"], /--keep "a" has no effect because it is the target/],
      ] as const
    ) await fails(2, ["tabular", "train", at("dates.csv"), "-o", at("m"), ...args], message);
  });
});
