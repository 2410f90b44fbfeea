/**
 * What columns hold: one grammar of numbers and dates a column, decided by all of its cells, by the file where they do
 * not tell, and said; cells that fail are named, never turned into texts.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { type CsvOptions, FormatError, OptionError, type TableColumn } from "../mod.ts";
import { scanDate } from "../src/tabular/csv/dates.ts";
import { numberForm, scanNumber } from "../src/tabular/csv/numbers.ts";
import { tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

/** A file of one column beside another that tells nothing, delimited so that no sign of numbers needs quotes. */
function oneColumn(cells: readonly string[], delimiter = "|"): string {
  return `n${delimiter}y\n${cells.map((cell, i) => `${cell}${delimiter}${i % 2 ? "a" : "b"}`).join("\n")}\n`;
}

async function read(
  cells: readonly string[],
  options: CsvOptions = {},
  delimiter = "|",
): Promise<TableColumn> {
  return (await tableOf(oneColumn(cells, delimiter), options)).columns[0];
}

async function numbers(
  cells: readonly string[],
  values: readonly number[],
  options?: CsvOptions,
  delimiter?: string,
) {
  const column = await read(cells, options, delimiter);
  assertStrictEquals(column.kind, "numeric", cells.join(" | "));
  assertEquals([...column.values], [...values], cells.join(" | "));
}

async function refuses(text: string, message: RegExp, options: CsvOptions = {}): Promise<void> {
  const error = await assertRejects(() => tableOf(text, options), FormatError);
  assertMatch(error.message, message);
  assert(!error.message.includes("\n"), "one sentence, one line");
}

describe("a number's text", () => {
  it("has a value and shows its signs", () => {
    const cases: [text: string, value: number, shows: Record<string, unknown>][] = [
      ["1,234,567.5", 1234567.5, { decimal: ".", thousands: "," }],
      ["1.234,5", 1234.5, { decimal: ",", thousands: "." }],
      ["1.234", 1234, { either: "." }],
      ["12,340", 12340, { either: ",", round: true }],
      ["0.500", 0.5, { decimal: "." }],
      ["1234.567", 1234.567, { decimal: "." }],
      ["1 234", 1234, { thousands: " " }],
      ["1\u00a0234\u00a0567,8", 1234567.8, { decimal: ",", thousands: " " }],
      ["1\u202f234", 1234, { thousands: " " }],
      ["1'234.5", 1234.5, { decimal: ".", thousands: "'" }],
      ["1’234", 1234, { thousands: "'" }],
      ["12,34,567", 1234567, { thousands: "," }],
      ["1,23,456.70", 123456.7, { decimal: ".", thousands: "," }],
      ["\u22125", -5, { whole: "small" }],
      ["(1,234.5)", -1234.5, { decimal: ".", thousands: "," }],
      ["($5)", -5, { unit: "$", whole: "small" }],
      ["$(5)", -5, { unit: "$", whole: "small" }],
      ["-$1,234.50", -1234.5, { decimal: ".", thousands: ",", unit: "$" }],
      ["1.234,50-", -1234.5, { decimal: ",", thousands: "." }],
      ["+7", 7, { whole: "small" }],
      ["CHF 1’234.50", 1234.5, { decimal: ".", thousands: "'", unit: "CHF" }],
      ["1.234,56 €", 1234.56, { decimal: ",", thousands: ".", unit: "€" }],
      ["R$ 5", 5, { unit: "R$", whole: "small" }],
      ["5 kr", 5, { unit: "kr", whole: "small" }],
      ["₹1,00,000", 100000, { thousands: ",", unit: "₹" }],
      ["12,5 %", 12.5, { decimal: ",", unit: "%" }],
      ["1,5e3", 1500, { decimal: "," }],
      ["1.5E-3", 0.0015, { decimal: "." }],
      ["0042", 42, { whole: "padded" }],
      ["12345678901234567890", 12345678901234567890, { whole: "huge" }],
    ];
    for (const [text, value, shows] of cases) {
      const found = scanNumber(text)!;
      assertStrictEquals(found?.value, value, text);
      const form = Object.fromEntries(
        Object.entries(numberForm(found.form)).filter(([, v]) => v !== "" && v !== false),
      );
      assertEquals(form, shows, text);
    }
  });

  it("is none where signs do not fit", () => {
    for (
      const text of [
        "",
        "-",
        "€",
        "1.2.3",
        "1,23,45",
        "12 34",
        "1'23",
        "1.234.56",
        "0,123,456",
        "1,,234",
        "5-",
        "5€5",
        "ABC 5",
      ]
        .concat(
          "1 2",
          "1e",
          "e5",
          "0x1f",
          "1_000",
          "192.168.1.1",
          "12:30",
          "NaN",
          "--1",
          "+-1",
          "1.234,5,6",
          "5 USDX",
        )
    ) assertStrictEquals(scanNumber(text), null, text);
    assertStrictEquals(scanNumber("-inf")?.value, -Infinity);
    assertStrictEquals(scanNumber("1e999")?.value, Infinity);
  });
});

describe("a column of numbers", () => {
  it("is read by its own cells: those with one reading decide for those with two", async () => {
    await numbers(["500", "750,5", "1.000", "12.500"], [500, 750.5, 1000, 12500]);
    await numbers(["500", "750.5", "1,000", "12.500"], [500, 750.5, 1000, 12.5]);
    await numbers(["950", "12.500", "1.250.000"], [950, 12500, 1250000]);
    await numbers(["950", "12,500", "1,250,000"], [950, 12500, 1250000]);
    await numbers(["1,23,456", "12,345"], [123456, 12345]);
    await numbers(["1.234", "0.5"], [1.234, 0.5]);
    await numbers(["1,234", "0,5"], [1.234, 0.5]);
    await numbers(["1 234,5", "1\u202f234", "7\u00a0000"], [1234.5, 1234, 7000]);
    await numbers(["1'234", "1’234.5", "5"], [1234, 1234.5, 5]);
    await numbers(["$1,234", "($5.50)", "-$3", "$0"], [1234, -5.5, -3, 0]);
    await numbers(["5%", "12.5%", "0"], [5, 12.5, 0]);
    await numbers(["\u22125", "+5", "1e3"], [-5, 5, 1000]);
    await numbers(['"1"', '"2"', '"3.5"'], [1, 2, 3.5]);
  });

  it("is read by the file where its own cells do not tell, and says so", async () => {
    const german = await tableOf("a;b;y\n1.234;0,5;u\n5.678;1,5;v\n");
    assertEquals([...german.columns[0].values], [1234, 5678]);
    assertMatch(
      german.notes.join("\n"),
      /column "a": "1\.234" is read as 1234 \(decimal comma: column "b" has "0,5" in row 2\)/,
    );
    const english = await tableOf("a;b;y\n1.234;0.5;u\n5.678;1.5;v\n");
    assertEquals([...english.columns[0].values], [1.234, 5.678]);
    const quoted = await tableOf('a,b,y\n"1,234",0.5,u\n"5,678",1.5,v\n');
    assertEquals([...quoted.columns[0].values], [1234, 5678]);
    const odd = await tableOf('a,b,y\n"1,234","0,5",u\n"5,678","1,5",v\n');
    assertEquals([...odd.columns[0].values], [1.234, 5.678]);
    // Unless its whole numbers say more: no program writes 500 and 1.000 with decimals.
    const mixed = await tableOf("a;b;y\n500;0.5;u\n1.000;1.5;v\n12.500;2.5;v\n");
    assertEquals([...mixed.columns[0].values], [500, 1000, 12500]);
    assertMatch(
      mixed.notes.join("\n"),
      /column "a": "1\.000" is read as 1000 \(decimal comma: whole numbers like "500"/,
    );
    const commas = await tableOf("a,b,y\n500,0.5,u\n1.000,1.5,v\n");
    assertEquals([...commas.columns[0].values], [500, 1]);
    // A column of texts is no witness.
    const version = await tableOf("a;v;y\n1.234;1.5;u\n5.678;x;v\n1.000;y;u\n");
    assertEquals([...version.columns[0].values], [1234, 5678, 1000]);
  });

  it("is read by what its whole numbers show, then by the delimiter, and says so", async () => {
    await numbers(["500", "1.000", "12.500", "999"], [500, 1000, 12500, 999]);
    await numbers(["500", "1,000", "12,500", "999"], [500, 1000, 12500, 999]);
    // Whole numbers beyond a thousand without a sign: thousands are not parted.
    await numbers(["1500", "1.234"], [1500, 1.234]);
    await numbers(["1.234", "5.678"], [1.234, 5.678]);
    await numbers(["1.234", "5.678"], [1234, 5678], {}, ";");
    await numbers(["1,234", "5,678"], [1234, 5678]);
    for (const delimiter of ["|", ";"]) {
      const { notes } = await tableOf(oneColumn(["1.234", "5.678"], delimiter));
      assertMatch(
        notes.join("\n"),
        /column "n": "1\.234" is read as 1(\.)?234 \(decimal (point|comma): no cell tells/,
      );
    }
  });

  it("is read as asked", async () => {
    await numbers(["1.234", "5"], [1234, 5], { decimal: "," });
    await numbers(["1,234", "5"], [1.234, 5], { decimal: "," });
    await numbers(["1.234", "5"], [1234, 5], { thousands: "." });
    await numbers(["1.234", "5"], [1.234, 5], { thousands: null }, ";");
    await numbers(["1.234", "5"], [1.234, 5], { decimal: { n: ".", "": "," } }, ";");
    await refuses(
      oneColumn(["1,234", "5.5"]),
      /row 2, column "n" holds "1,234".*numbers have a decimal point/,
      { thousands: null },
    );
    await assertRejects(
      () => tableOf("a,b\n1,2\n", { decimal: "x" as "." }),
      OptionError,
      'decimal is "x", expected',
    );
    await assertRejects(
      () => tableOf("a,b\n1,2\n", { decimal: ",", thousands: "," }),
      OptionError,
      "another sign",
    );
    await refuses("a,b\n1,2\n", /no column "c" that options name; there are "a", "b"$/, {
      decimal: { c: "." },
    });
  });

  it("is said to have been asked for in vain where no cell leaves it open", async () => {
    const dates = {
      iso: ["2021-03-04", "2021-05-06"],
      open: ["03/04/2021", "05/06/2021"],
      told: ["13/04/2021", "05/06/2021"],
    };
    const numbers = { whole: ["1", "2000"], point: ["1.5", "2"], parted: ["1,234", "5"] };
    const idleNotes = async (cells: readonly string[], options: CsvOptions): Promise<string[]> =>
      (await tableOf(oneColumn(cells), options)).notes.filter((note) => note.includes("has no effect"));
    for (
      const [given, on] of [[(x: string) => x, ""], [(x: string) => ({ n: x }), ' on column "n"']] as const
    ) {
      const cases: [readonly string[], CsvOptions, string | null][] = [
        [dates.iso, { dateOrder: given("day first") as "day first" }, "--date-order"],
        [dates.open, { dateOrder: given("day first") as "day first" }, null],
        [dates.told, { dateOrder: given("day first") as "day first" }, null],
        [numbers.whole, { decimal: given(",") as "," }, "--decimal"],
        [numbers.whole, { thousands: given(".") as "." }, "--thousands"],
        [numbers.whole, { thousands: given(" ") as " " }, "--thousands"],
        [numbers.point, { decimal: given(".") as "." }, null],
        [numbers.point, { thousands: given(",") as "," }, "--thousands"],
        [numbers.parted, { decimal: given(",") as "," }, null],
        [numbers.parted, { thousands: given(",") as "," }, null],
      ];
      for (const [cells, options, flag] of cases) {
        const notes = await idleNotes(cells, options),
          what = `${cells.join(" | ")} ${JSON.stringify(options)}`;
        assertStrictEquals(notes.length, flag === null ? 0 : 1, what);
        if (flag !== null) assert(notes[0].startsWith(`${flag} has no effect${on} because `), notes[0]);
      }
    }
    const marks: [string, CsvOptions, string | null][] = [
      ["a,b\n1,x\n2,y\n", { missing: ["y"] }, null],
      ["a,b\n1,x\n2,y\n", { missing: ["y", "zz"] }, '--missing "zz" has no effect'],
      ["a,b\n1,x\n#,y\n2,y\n", { comment: "#" }, null],
      ["# by hand\na,b\n1,x\n2,y\n", { comment: "#" }, null],
      ["a,b\n1,x\n2,y#\n", { comment: "#" }, "--comment has no effect"],
      ['a,b\n1,"x\\"k"\n2,y\n', { escape: "\\" }, null],
      ['a,b\n1,"x"\n2,y\\\n', { escape: "\\" }, "--escape has no effect"],
    ];
    for (const [text, options, said] of marks) {
      const notes = (await tableOf(text, options)).notes.filter((note) => note.includes("has no effect"));
      assertStrictEquals(notes.length, said === null ? 0 : 1, JSON.stringify([text, notes]));
      if (said !== null) assert(notes[0].startsWith(said), notes[0]);
    }
    // What is said of all, and of one: each by itself.
    const two = await tableOf("n|m\n1.5|1\n2.5|2\n", { decimal: { n: ".", "": "," } });
    assertMatch(two.notes.join("\n"), /^--decimal has no effect on other columns because no number there/m);
  });

  it("is refused when cells are written in different ways, naming one of the few", async () => {
    await refuses(
      oneColumn(["1.5", "2.5", "1,5"]),
      /row 4, column "n" holds "1,5", where numbers have a decimal point: "1.5" in row 2/,
    );
    await refuses(
      oneColumn(["1,5", "2,5", "3.25"]),
      /row 4, column "n" holds "3.25", where numbers have a decimal comma/,
    );
    await refuses(oneColumn(["1 234", "1,234,567", "1 000"]), /row 3, column "n" holds "1,234,567"/);
    await refuses(
      oneColumn(["$5", "€6"]),
      /column "n" mixes units: row 2 holds "\$5", row 3 "€6".*--kind "n=numeric"/,
    );
    await refuses(oneColumn(["5%", "0.05"]), /mixes units: row 2 holds "5%", row 3 "0.05"/);
    await numbers(["$5", "€6", "5%"], [5, 6, 5], { kinds: { n: "numeric" } });
  });

  it("with a few other texts is refused, naming rows and cells", async () => {
    const some = Array.from({ length: 12 }, (_, i) => `${i * 1.5}`);
    await refuses(
      oneColumn([...some, "12O"]),
      /row 14, column "n" holds "12O", where 12 other rows hold numbers;.*--missing "12O".*--kind "n=categorical".*--ignore "n"/,
    );
    await refuses(
      oneColumn([...some, "x", "1.2.3", "x"]),
      /row 14, column "n" holds "x", .*\(also row 15 "1\.2\.3"; 3 such cells\)/,
    );
    await refuses(
      oneColumn(["1", "2", "3", "4", "five"]),
      /row 6, column "n" holds "five", where 4 other rows hold numbers/,
    );
    await refuses(oneColumn([...some, "2020-01-01"]), /row 14, column "n" holds "2020-01-01"/);
    await refuses(
      oneColumn([...some, "-Infinity"]),
      /row 14, column "n" holds "-Infinity", which is no finite number/,
    );
    await refuses(oneColumn(["a", "b"]), /row 2, column "n" holds "a", where numbers are asked for/, {
      kinds: { n: "numeric" },
    });
    await numbers([...some, "x"], [...some.map(Number), NaN], { missing: ["x"] });
    const texts = await read([...some, "x"], { kinds: { n: "categorical" } });
    assertEquals([texts.kind, texts.texts.length], ["categorical", 13]);
  });

  it("with many other texts is read as texts, and that is said", async () => {
    const cells = Array.from({ length: 12 }, (_, i) => i % 3 ? `${i}` : `A/${i}`),
      table = await tableOf(oneColumn(cells));
    assertStrictEquals(table.columns[0].kind, "categorical");
    assertMatch(
      table.notes.join("\n"),
      /column "n" is read as texts: 8 of 12 cells are numbers, but row 2 holds "A\/0" \(also row 5 "A\/3"/,
    );
    // As they are written: 007 is no 7 among texts.
    const codes = await read(["007", "7", "x7", "y"]);
    assertEquals(codes.texts, ["007", "7", "x7", "y"]);
  });

  it("with the minus behind whole numbers is read as texts, which is said; grades are grades", async () => {
    const said = async (cells: readonly string[]): Promise<string> =>
      (await tableOf(oneColumn(cells))).notes.join("\n");
    const amounts = Array.from({ length: 12 }, (_, i) => `${7 * i + 1}${i % 2 ? "-" : ""}`);
    for (
      const cells of [amounts, amounts.map((text) => text.replace("-", "\u2212")), ["1", "1-"], ["1-", "2-"]]
    ) {
      assertMatch(
        await said(cells),
        /column "n" is read as texts: \d+ cells? like "\d+." \(row \d+\) ha.*write .* as "-\d+"/,
      );
    }
    assert(!/minus/.test(await said(["1", "2-", "2+", "3-", "4", "5+"])));
    await numbers(["1.50", "2.25-", "1,000.00-"], [1.5, -2.25, -1000]);
  });

  it("says when digits are lost", async () => {
    const zip = await tableOf(oneColumn(["02134", "90210"]));
    assertMatch(
      zip.notes.join("\n"),
      /column "n": "02134" in row 2 is read as 2134; --kind "n=categorical" keeps it/,
    );
    const id = await tableOf(oneColumn(["12345678901234567890", "5"]));
    assertMatch(id.notes.join("\n"), /"12345678901234567890" in row 2 has more digits than f64 keeps/);
    assertEquals((await read(["02134", "90210"], { kinds: { n: "categorical" } })).texts, ["02134", "90210"]);
  });

  it("beyond the texts that are kept is decided all the same", async () => {
    // More different cells than a column keeps as texts: the way of writing is known, the cells are not.
    const cells = Array.from(
      { length: 60_000 },
      (_, i) => `${i % 997 + 1}.${String(i).padStart(6, "0").slice(0, 3)},${i % 7 + 1}`,
    );
    const column = await read([...cells, "1.000", "n.a."]);
    assertStrictEquals(column.kind, "numeric");
    assertStrictEquals(column.values[60_000], 1000);
    assert(Number.isNaN(column.values[60_001]));
    assertStrictEquals(column.values[1], 2000.2);
    await refuses(
      oneColumn([...cells, "oops"]),
      /row 60002, column "n" holds "oops", where 60,000 other rows hold numbers/,
    );
  });
});

describe("missing cells", () => {
  it("are those of pandas in any column, and marks between numbers and dates", async () => {
    const table = await tableOf(
      "n,t,d,b,y\n1,NA,2020-01-01,yes,a\n?,-,?,n.a.,b\nNaN,x,null,no,a\n4,none,2020-01-04,yes,b\n",
    );
    const [n, t, d, b] = table.columns;
    assertEquals([n.kind, t.kind, d.kind, b.kind], ["numeric", "categorical", "date", "boolean"]);
    assertEquals([...n.values], [1, NaN, NaN, 4]);
    assertEquals([...t.values].map((v) => t.texts[v] ?? null), [null, "-", "x", "none"]);
    assertEquals([...d.values], [18262, NaN, NaN, 18265]);
    assertEquals([...b.values], [1, NaN, 0, 1]);
    assertMatch(table.notes.join("\n"), /column "n": 1 cell "\?" \(row 3\) is taken as missing/);
    assertMatch(
      table.notes.join("\n"),
      /column "t": 1 cell like "NA" \(row 2\) is taken as missing, as pandas does/,
    );
  });

  it("are what is said", async () => {
    const text = "n,t,y\n-999,NA,a\n2,DE,b\n3,unknown,a\n";
    const given = await tableOf(text, { missing: ["-999", "unknown"] });
    assertEquals([...given.columns[0].values], [NaN, 2, 3]);
    assert(Number.isNaN(given.columns[1].values[2]));
    const kept = await tableOf(text, { defaultMissing: false });
    assertEquals(kept.columns[1].texts, ["NA", "DE", "unknown"]);
    const empty = await tableOf('n,y\n"",a\n,b\n3,a\n', { defaultMissing: false });
    assertEquals([...empty.columns[0].values], [NaN, NaN, 3]);
  });
});

describe("a column of dates", () => {
  it("has one order of day and month", async () => {
    assertEquals([...(await read(["31/12/2020", "01/02/2021"])).values], [18627, 18659]);
    assertEquals([...(await read(["12/31/2020", "01/02/2021"])).values], [18627, 18629]);
    assertEquals([...(await read(["01.02.2021", "02.02.2021"], { dateOrder: "day first" })).values], [
      18659,
      18660,
    ]);
    const open = await tableOf(oneColumn(["01/02/2021", "03/02/2021"]));
    assertMatch(
      open.notes.join("\n"),
      /dates like "01\/02\/2021" are read with the month first, since no row tells/,
    );
    await refuses(
      oneColumn(["31/12/2020", "12/31/2020"]),
      /has the day first in row 2 \("31\/12\/2020"\) and the month first in row 3/,
    );
    await refuses(
      oneColumn(["31/12/2020", "01/01/2020"]),
      /row 2, column "n" holds "31\/12\/2020", which is no date with the month first/,
      { dateOrder: "month first" },
    );
  });

  it("with a few other texts is refused", async () => {
    const days = Array.from({ length: 9 }, (_, i) => `2020-01-0${i + 1}`);
    await refuses(
      oneColumn([...days, "soon"]),
      /row 11, column "n" holds "soon", where 9 other rows hold dates/,
    );
    await refuses(oneColumn([...days, "2020-02-30"]), /row 11, column "n" holds "2020-02-30"/);
  });

  it("reads the clock", () => {
    const value = (text: string): number | undefined => scanDate(text)?.value;
    assertStrictEquals(value("1970-01-02T12:00:00Z"), 1.5);
    assertStrictEquals(value("1970-01-01 01:00+01:00"), 0);
    assertStrictEquals(value("1/2/1970 6:00 PM"), 31.75);
    assertStrictEquals(value("1/2/1970 12:00 am"), 31);
    assertStrictEquals(value("1970.01.02"), 1);
    for (const text of ["1970-13-01", "1/2/1970 13:00 PM", "1970-01-01 25:00", "12.34", "1.2.3"]) {
      assertStrictEquals(scanDate(text), null, text);
    }
  });
});
