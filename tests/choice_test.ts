import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type Case, cases, choose, ownName, type Speeds, usualReach } from "../src/backends/cpu/choice.ts";
import { Generator } from "../src/core/random.ts";

/** A row whose speeds are `speed(case)`. */
const row = (name: string, speed: (one: Case) => number): Speeds => ({ name, speeds: cases.map(speed) });
const own = row(ownName, () => 60);

describe("choosing a library by its speeds", () => {
  it("takes the fastest, and everything that it is faster at", () => {
    const choice = choose([own, row("slow", () => 30), row("fast", () => 110), row("middle", () => 90)]);
    assertStrictEquals(choice.library, "fast");
    const { leastRows, leastRowsTransposed, leastWork, leastQuantizedRows } = choice;
    assertEquals([leastRows, leastRowsTransposed, leastWork, leastQuantizedRows], [
      2,
      2,
      usualReach.leastWork,
      17,
    ]);
    assertMatch(choice.why, /fast gives 110 .*WebAssembly 60, slow 30, middle 90/);
  });

  it("takes none where none is faster, and says what they gave", () => {
    for (const speed of [1, 30, 60, 63]) {
      const choice = choose([own, row("one", () => speed), row("two", () => speed / 2)]);
      assertStrictEquals(choice.library, null, String(speed));
      assertMatch(choice.why, /our own kernels give 60 .*one gives \d.*two gives \d/);
    }
    assertMatch(choose([own]).why, /no library was found/);
  });

  it("takes none whose numbers are not right, and says so", () => {
    const wrong = { ...row("wrong", () => 500), refused: "its products are not exact" };
    assertStrictEquals(choose([own, wrong]).library, null);
    assertMatch(choose([own, wrong]).why, /wrong: its products are not exact/);
    assertStrictEquals(choose([own, wrong, row("right", () => 70)]).library, "right");
  });

  it("takes none that was not measured", () => {
    assertStrictEquals(choose([own, row("late", () => 0)]).library, null);
  });

  it("goes native from where the library is faster on", () => {
    const slowAt = (...slow: string[]): ReturnType<typeof choose> =>
      choose([own, row("library", ({ name }) => slow.includes(name) ? 50 : 120)]);
    assertStrictEquals(slowAt("8 rows").leastRows, 16);
    assertStrictEquals(slowAt("8 rows", "16 rows").leastRows, 32);
    assertStrictEquals(slowAt("2 rows").leastRows, 4);
    assertStrictEquals(slowAt("2 rows ᵀ", "4 rows ᵀ").leastRowsTransposed, 16);
    assertStrictEquals(slowAt("16 rows ᵀ").leastRowsTransposed, 17);
    assertStrictEquals(slowAt("32 rows").leastRows, 64, "what it wins with fewer rows is not to be trusted");
    assert(slowAt("64³").leastWork > usualReach.leastWork);
    assert(slowAt("128³", "64³").leastWork > slowAt("64³").leastWork);
    assertStrictEquals(slowAt("q8, 32 rows").leastQuantizedRows, 64);
    assertStrictEquals(slowAt("q8, 256 rows").leastQuantizedRows, Infinity);
    assertStrictEquals(slowAt("256 rows").library, null);
  });

  it("never takes a slower one, whatever the table", () => {
    const random = new Generator(8);
    for (let turn = 0; turn < 500; turn++) {
      const table = [own, ...["a", "b", "c"].map((name) => row(name, () => 200 * random.uniform()))];
      const { library, leastRows, leastRowsTransposed, leastQuantizedRows } = choose(table);
      if (library === null) {
        for (const { speeds } of table.slice(1)) assert(speeds[0] < 1.08 * own.speeds[0]);
        continue;
      }
      const { speeds } = table.find(({ name }) => name === library)!;
      cases.forEach((one, i) => {
        const least = one.weights === "q8"
          ? leastQuantizedRows
          : one.transposed
          ? leastRowsTransposed
          : leastRows;
        if (one.rows >= least && one.name.includes("rows")) {
          assert(speeds[i] > own.speeds[i], `${library}: ${one.name}`);
        }
      });
    }
  });
});
