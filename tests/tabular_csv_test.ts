/**
 * Reading CSV as people have it: dialects, kinds of columns, and one clear sentence for what is wrong.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { CancelledError, FormatError, readCsv } from "../mod.ts";
import { parseDate } from "../src/tabular/csv/dates.ts";
import { parseNumber } from "../src/tabular/csv/numbers.ts";
import { isMissingMark, missingTexts } from "../src/tabular/csv/words.ts";
import { readTarget } from "../src/tabular/target.ts";
import { tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

async function refuses(text: string | Uint8Array, message: RegExp): Promise<void> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  {
    const error = await assertRejects(() => readCsv(bytes), Error);

    assert(error instanceof FormatError, String(error));

    assertMatch(error.message, message);

    assert(!error.message.includes("\n"), "one sentence, one line");
  }
}

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}

describe("cells", () => {
  it("are numbers in the forms that people write", () => {
    const forms: [string, number][] = [
      ["12", 12],
      ["-1.5e3", -1500],
      ["+.5", 0.5],
      [" 7 ", 7],
      ["1,234,567.5", 1234567.5],
      ["$1,200", 1200],
      ["-€3", -3],
      ["45%", 45],
    ];
    for (const [text, value] of forms) assertStrictEquals(parseNumber(text), value, text);
    for (const text of ["", "0x1f", "1e", "abc", "Infinity", "1.2.3", "--1", "0b1", "1,2,3", "1e999"]) {
      assert(Number.isNaN(parseNumber(text)), text);
    }
    // One cell that a person types: by its column's signs, else as its own signs surely say.
    assertStrictEquals(parseNumber("1.234"), 1.234);
    assertStrictEquals(parseNumber("1,234"), 1234);
    assertStrictEquals(parseNumber("3,14"), 3.14);
    assertStrictEquals(parseNumber("1.234", { decimal: "," }), 1234);
    assertStrictEquals(parseNumber("1,234", { decimal: "," }), 1.234);
    assertStrictEquals(parseNumber("1.5", { decimal: "," }), 1.5);
    assertStrictEquals(parseNumber("1 234", { thousands: " " }), 1234);
    assert(Number.isNaN(parseNumber("1,234", { thousands: " " })), "neither decimals nor thousands there");
  });

  it("are dates in days since 1970", () => {
    assertStrictEquals(parseDate("1970-01-02"), 1);
    assertStrictEquals(parseDate("1970-01-01T12:00:00Z"), 0.5);
    assertStrictEquals(parseDate("1970-01-01 13:00+01:00"), 0.5);
    assertStrictEquals(parseDate("03/04/1970", "month first"), 62);
    assertStrictEquals(parseDate("03/04/1970", "day first"), 92);
    for (
      const text of [
        "2 Jan 1970",
        "02-Jan-1970",
        "2nd January, 1970",
        "2. Jan. 1970",
        "Jan 2, 1970",
        "January 2nd 1970",
        "2-JAN-70",
      ]
    ) assertStrictEquals(parseDate(text), 1, text);
    assertStrictEquals(parseDate("Sept 3, 1970 06:00"), 245.25);
    const none = ["30 Feb 1970", "Jam 3, 1970", "3 Januar 1970", "May 1970", "room 12 1970", "Mayor 1 1970"];
    for (const text of ["1970-02-30", "1970-13-01", "yesterday", "12.34", "", ...none]) {
      assert(Number.isNaN(parseDate(text)), text);
    }
  });

  it("are missing as pandas has it, and between numbers as people mark it", () => {
    for (const text of ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "<NA>", "#N/A"]) {
      assert(missingTexts.includes(text), text);
    }
    for (const text of ["none", "-", "?", "na", "missing"]) assert(!missingTexts.includes(text), text);
    for (const text of ["?", "-", "--", ".", "…", "n.a.", "na", "none", "missing", "#DIV/0!", "\\N"]) {
      assert(isMissingMark(text), text);
    }
    for (const text of ["0", "no", "-1", "a-b", "nothing at all"]) assert(!isMissingMark(text), text);
  });
});

describe("readCsv", () => {
  it("finds delimiter, quotes, header and what columns hold", async () => {
    const table = await tableOf(
      'name;size;when;ok;kind;weight\r\n"a;1";1,5;2020-01-01;yes;x;1\r\n"b ""q""";2,5;2020-02-01;no;y;\r\n"c\nd";3,5;2020-03-01;yes;x;3\r\n',
    );
    assertStrictEquals(table.rows, 3);
    assertEquals(table.columns.map(({ kind }) => kind), [
      "categorical",
      "numeric",
      "date",
      "boolean",
      "categorical",
      "numeric",
    ]);
    assertEquals(table.column("name").texts, ["a;1", 'b "q"', "c\nd"]);
    assertEquals([...table.column("size").values], [1.5, 2.5, 3.5]);
    assertEquals([...table.column("ok").values], [1, 0, 1]);
    assertEquals([...table.column("when").values], [18262, 18293, 18322]);
    assert(Number.isNaN(table.column("weight").values[1]));
    assertThrows(() => table.column("siez"), Error, 'did you mean "size"');
  });

  it("reads tabulators, bars, apostrophes, a byte order mark, a missing last line end", async () => {
    for (const [d, q] of [["\t", '"'], ["|", '"'], [",", "'"]]) {
      const table = await tableOf(`\ufeffa${d}b\n1${d}${q}x${d}y${q}\n2${d}${q}z${q}\n3${d}${q}it${q}`);
      assertEquals(table.columns.map(({ name }) => name), ["a", "b"]);
      assertEquals(table.columns[1].texts, [`x${d}y`, "z", "it"]);
    }
  });

  it("knows a file without header, and does what it is told", async () => {
    const bare = await tableOf("5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n");
    assertStrictEquals(bare.rows, 3);
    assertEquals(bare.columns.map(({ name }) => name), ["column 1", "column 2", "column 3"]);
    const told = await tableOf("5.1,3.5,setosa\n4.9,3.0,setosa\n", { header: true });
    assertEquals(told.columns.map(({ name }) => name), ["5.1", "3.5", "setosa"]);
    const words = await tableOf("colour,shape\nred,round\nblue,square\nred,square\n");
    assertEquals(words.columns.map(({ name }) => name), ["colour", "shape"]);
    const less = await tableOf("a,b,c\n1,2,3\n4,5,6\n", { ignore: ["b"] });
    assertEquals(less.columns.map(({ name }) => name), ["a", "c"]);
  });

  it("decides day or month first for the whole column", async () => {
    const table = await tableOf("when,y\n03/04/2021,1\n25/12/2021,2\n01/02/2021,3\n");
    assertStrictEquals(table.columns[0].kind, "date");
    assertStrictEquals(table.columns[0].values[0], Date.UTC(2021, 3, 3) / 86_400_000);
  });

  it("gives the same however the bytes are cut", async () => {
    const text = 'a,b,c\r\n1,"x\r\ny",é\r\n2,"p""q",漢\r\n3,z,\u{1f600}\r\n',
      bytes = new TextEncoder().encode(text);
    const whole = await readCsv(bytes);
    for (const size of [1, 2, 3, 7]) {
      const table = await readCsv(cut(bytes, size));
      assertEquals(table.columns, whole.columns);
      assertStrictEquals(table.sha256, whole.sha256);
    }
    assertEquals(whole.columns[2].texts, ["é", "漢", "\u{1f600}"]);
  });

  it("holds a uniform sample of a file with more cells than fit", async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i},${i % 2}`),
      text = `a,b\n${lines.join("\n")}\n`;
    const table = await tableOf(text, { maxCells: 4000, seed: 3 });
    assertEquals([table.rows, table.rowsInFile], [2000, 20_000]);
    const mean = table.columns[0].values.reduce((sum, v) => sum + v, 0) / 2000;
    // The mean of 2,000 uniform draws from 0 … 19,999 has a standard deviation of 129.
    assert(Math.abs(mean - 10_000) < 5 * 129, `mean ${mean}`);
    assertStrictEquals(new Set(table.columns[0].values).size, 2000);
    assertMatch(table.notes.join(), /sample of 2000/);
  });

  it("can be stopped", async () => {
    await assertRejects(() => tableOf("a,b\n1,2\n", { signal: AbortSignal.abort() }), CancelledError);
  });

  it("refuses what is no table, naming row and column", async () => {
    await refuses("", /has no rows: it is empty/);
    await refuses("a,b,c\n", /has no rows below the names/);
    await refuses(
      "a,b,c\n1,2,3\n4,5\n6,7,8\n",
      /row 3 has 2 columns, and row 1 has 3; column "c" and on are missing/,
    );
    await refuses("a,b\n1,2\n3,4,x\n", /row 3 has 3 columns.*column 3 holds "x"/);
    await refuses('a,b\n1,2\n3,"open\n4,5\n', /row 3 opens a quote/);
    await refuses('a,b\n1,2\n"3"x,4\n', /row 3 has text behind a closing quote/);
    const numbers = Array.from({ length: 40 }, (_, i) => `${i * 1.5},${i}`);
    await refuses(
      ["a,b", ...numbers, "abc,7"].join("\n"),
      /row 42, column "a" holds "abc", where 40 other rows hold numbers/,
    );
    await refuses(
      ["a,b", ...numbers, "inf,7"].join("\n"),
      /row 42, column "a" holds "inf", which is no finite number/,
    );
  });

  it("refuses what is not UTF-8 text", async () => {
    const latin = new Uint8Array([
      ...new TextEncoder().encode("name,x\nab,1\nZo"),
      0xeb,
      ...new TextEncoder().encode(",2\n"),
    ]);
    await refuses(latin, /row 3, column 1 has the byte 0xEB \("ë" in Latin-1\); convert it/);
    await refuses(new Uint8Array(1000), /is not a text file: row 1, column 1 has a zero byte/);
    await refuses(new Uint8Array([0x50, 0x4b, 3, 4, 0, 0]), /zip archive or a spreadsheet/);
    await refuses(new Uint8Array([0x1f, 0x8b, 8, 0]), /compressed with gzip/);
    await refuses(
      new Uint8Array([...new TextEncoder().encode("a,b\n1,x"), 0xe2, 0x82]),
      /row 2, column 2 has the byte 0xE2/,
    );
  });

  it("leaves out a nameless column that a delimiter at the ends of lines makes", async () => {
    const table = await tableOf("a,b,\n1,2,\n3,4,\n");
    assertEquals(table.columns.map(({ name }) => name), ["a", "b"]);
  });
});

describe("the target", () => {
  const rows = (values: string[]): string => `x,y\n${values.map((v, i) => `${i / 2},${v}`).join("\n")}\n`;

  it("is classes or values by a rule that is said", async () => {
    const few = readTarget(await tableOf(rows(["0", "1", "0", "1"])));
    assertStrictEquals(few.task, "classification");
    assertMatch(
      few.explanation,
      /target "y" \(the last column\): binary classification \(2 different whole numbers\)/,
    );
    const many = readTarget(await tableOf(rows(Array.from({ length: 30 }, (_, i) => `${i * 3}`))));
    assertMatch(many.explanation, /regression \(numbers with more than 10 different values\)/);
    const words = readTarget(await tableOf(rows(["b", "a", "c", "a", "b", "c"])));
    assertEquals(words.classes, ["a", "b", "c"]);
    assertEquals([...words.values], [1, 0, 2, 0, 1, 2]);
    const asked = readTarget(await tableOf(rows(["3", "4", "5", "6"])), { task: "regression" });
    assertStrictEquals(asked.task, "regression");
    const first = readTarget(await tableOf(rows(["p", "q", "p", "q"])), { target: "x" });
    assertStrictEquals(first.column.name, "x");
  });

  it("is cut into classes", async () => {
    const table = await tableOf(rows(["3", "5", "6", "7", "8", "6", "4"]));
    const { classes, values } = readTarget(table, { bins: [5, 6] });
    assertEquals(classes, ["≤ 5", "6", "≥ 7"]);
    assertEquals([...values], [0, 0, 1, 2, 2, 1, 0]);
    assertThrows(() => readTarget(table, { bins: [6, 5] }), Error, "ascending");
  });

  it("is refused when nothing can be learned from it", async () => {
    const one = await tableOf(rows(["a", "a", "a"]));
    assertThrows(() => readTarget(one), Error, 'one class only ("a", in all 3 rows)');
    const lonely = await tableOf(rows(["a", "a", "b"]));
    assertThrows(() => readTarget(lonely), Error, 'class "b" in one row only (data row 3)');
    const same = await tableOf(rows(Array.from({ length: 5 }, () => "2.5")));
    assertMatch(String(assertThrows(() => readTarget(same))), /is 2.5 in every row/);
    assertThrows(() => readTarget(one, { target: "z" }), Error, 'no column "z"');
    const texts = await tableOf(rows(["a", "b", "a", "b"]));
    assertThrows(() => readTarget(texts, { task: "regression" }), Error, "regression needs numbers");
  });
});

describe("spaces before quotes", () => {
  const rows = Array.from({ length: 40 }, (_, i) => `${i % 7}, "a, ${i % 3}", "say ""hi, "" ${i % 2}"`);
  const text = `n, "label", "note"\n${rows.join("\n")}\n`;

  it("are no part of cells, wherever pieces of the file end", async () => {
    const bytes = new TextEncoder().encode(text);
    async function* pieces(size: number): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    }
    for (const size of [1, 7, 64, bytes.length]) {
      const table = await readCsv(pieces(size));
      assertStrictEquals(table.rows, 40);
      assertEquals(table.columns.map(({ name }) => name), ["n", "label", "note"]);
      assertEquals(
        [...table.columns[1].texts].sort(),
        ["a, 0", "a, 1", "a, 2"],
        `pieces of ${size}`,
      );
      assertEquals([...table.columns[2].texts].sort(), [`say "hi, " 0`, `say "hi, " 1`]);
    }
  });

  it("are left alone inside of cells", async () => {
    const table = await readCsv(new Blob(['a,b\n"x, ""y""",1\n"z",2\n"x, ""y""",3\n"z",4\n']));
    assertEquals([...table.columns[0].texts].sort(), ['x, "y"', "z"]);
  });
});
