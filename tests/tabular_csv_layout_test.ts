/**
 * How files are written, told from their beginnings: encoding, delimiter, what stands before the table, names. Each can
 * be given instead, and each decision says what it rests on.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { type CsvOptions, FormatError, OptionError, readCsv, type Table } from "../mod.ts";
import { inPieces } from "./_csv_writer.ts";
import { tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

const names = (table: Table): string[] => table.columns.map(({ name }) => name);
const texts = (table: Table, column: number): (string | number)[] => {
  const { values, texts } = table.columns[column];
  return Array.from(values, (value) => texts[value] ?? value);
};

/** Bytes of a text in UTF-16. */
function utf16(text: string, little: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), little);
  return new Uint8Array(view.buffer);
}

async function refuses(text: string | Uint8Array, message: RegExp, options: CsvOptions = {}): Promise<void> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const error = await assertRejects(() => readCsv(bytes, options), FormatError);
  assertMatch(error.message, message);
}

describe("the encoding of a file", () => {
  it("is that of its byte order mark, or of its zeros, however it is cut", async () => {
    const text = "name;größe\r\nZoë;1,5\r\n漢;2,5\r\n";
    for (
      const bytes of [
        new TextEncoder().encode(text),
        new TextEncoder().encode(`\ufeff${text}`),
        ...[true, false].flatMap((little) => [utf16(text, little), utf16(`\ufeff${text}`, little)]),
      ]
    ) {
      for (const size of [1, 3, 1000]) {
        const table = await readCsv(inPieces(bytes, size));
        assertEquals(names(table), ["name", "größe"]);
        assertEquals(texts(table, 0), ["Zoë", "漢"]);
        assertEquals([...table.columns[1].values], [1.5, 2.5]);
      }
    }
    assertMatch((await readCsv(utf16(`\ufeff${text}`, true))).notes[0], /utf-16le/);
  });

  it("is what is said", async () => {
    const latin = new Uint8Array([...new TextEncoder().encode("a,b\nZo"), 0xeb, 0x2c, 0x31, 0x0a]);
    await refuses(latin, /row 2, column 1 has the byte 0xEB .*--encoding windows-1252/);
    assertEquals(texts(await readCsv(latin, { encoding: "latin1" }), 0), ["Zoë"]);
    const euro = new Uint8Array([...new TextEncoder().encode("a,b\n"), 0x80, 0x35, 0x2c, 0x31, 0x0a]);
    assertEquals([...(await readCsv(euro, { encoding: "windows-1252" })).columns[0].values], [5]);
    await assertRejects(
      () => readCsv(latin, { encoding: "latin-99" }),
      OptionError,
      'encoding is "latin-99", expected an encoding that this runtime knows',
    );
    await refuses(
      new TextEncoder().encode("\ufeffa,b\n1,2\n"),
      /begins with the byte order mark of utf-8, so it is not/,
      {
        encoding: "latin1",
      },
    );
    const odd = utf16("a,b\n1,2\n", true).subarray(0, 15);
    await refuses(odd, /is not utf-16le/);
  });

  it("is not that of what is no text", async () => {
    await refuses(new Uint8Array([0xff, 0xfe, 0, 0, 65, 0, 0, 0]), /is UTF-32 text/);
    await refuses(
      new Uint8Array([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1]),
      /a spreadsheet of an older kind \(\.xls\)/,
    );
    await refuses("a,b\n1,2\n3,\0\n", /row 3, column 2 has a zero byte; .*tr -d/);
    await refuses(utf16("\ufeffa,b\n1,2\n3,\0\n", true), /row 3, column 2 has a zero byte/);
  });
});

describe("the delimiter of a file", () => {
  it("is the one that makes rows of one length, of numbers rather than of texts", async () => {
    for (
      const [text, wanted] of [
        ["a;b\n1,5;2,5\n3,5;4,5\n", ["a", "b"]],
        ["a,x;b,y\n1,5;2,5\n3,5;4,5\n", ["a,x", "b,y"]],
        ["a\tb\n1,5\tx, y\n2,5\tz\n", ["a", "b"]],
        ["a|b\n1;2|x\n3;4|y\n", ["a", "b"]],
        ["first number;x,y 1\n123,69;no\n64,81;yes\n", ["first number", "x,y 1"]],
        ["a b  c\n1 2.5  3\n4  5 6\n", ["a", "b", "c"]],
      ] as const
    ) assertEquals(names(await tableOf(text)), [...wanted], text);
  });

  it("may be none", async () => {
    const one = await tableOf("x\n7,5\n1,5\n8\n");
    assertEquals([names(one), [...one.columns[0].values]], [["x"], [7.5, 1.5, 8]]);
    assertEquals(texts(await tableOf("name\nhello, world\nfoo\nbar; baz\n"), 0), [
      "hello, world",
      "foo",
      "bar; baz",
    ]);
    assertStrictEquals((await tableOf("a,b\n1,2\n", { delimiter: "|" })).columns.length, 1);
  });

  it("is what its first line says", async () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      for (const mark of ["", "\ufeff"]) {
        for (const line of ["sep=;", '"sep=;"', "SEP=;"]) {
          const table = await tableOf(`${mark}${[line, "x;y,z", "1;a", "2;b", ""].join(end)}`);
          assertEquals([names(table), table.rows], [["x", "y,z"], 2], JSON.stringify([line, end]));
        }
      }
    }
    assertEquals(names(await tableOf("sep=\t\nx\ty\n1\ta\n2\tb\n")), ["x", "y"]);
    assertEquals(names(await tableOf("sep=,\nx;1,y\n1;1,a\n", { delimiter: ";" })), ["x", "1,y"]);
    await refuses("sep=;\n1;2\n3;4\n5\n", /row 4 has 1 column, and row 2 has 2/);
    await refuses("sep=;\n", /has no rows: it is empty/);
  });
});

describe("what stands before a table", () => {
  it("is passed over: empty lines, titles, comments", async () => {
    const table = "region,amount,y\nnorth,12.5,a\nsouth,13.5,b\n";
    for (
      const [before, first] of [
        ["\n\n", 3],
        ["Sales of 2024\n", 2],
        ["Sales of 2024\n\n", 3],
        ["Sales of 2024,,\n,,\n", 3],
        ["Report, for 2024\nMade by, me, today, or so\n", 3],
        ["# made by x, y\n# on 2024\n", 3],
        ["  \nA title\n\n\n", 5],
      ] as const
    ) {
      const found = await tableOf(before + table);
      assertEquals([names(found), found.rows], [["region", "amount", "y"], 2], before);
      assertMatch(found.notes[0], new RegExp(`names in row ${first}`));
      // Rows keep the numbers that an editor shows.
      await refuses(
        `${before}${table}x,1\n`,
        new RegExp(`row ${first + 3} has 2 columns, and row ${first} has 3`),
      );
      const given = await tableOf(before + table, { skipLines: first - 1 });
      assertEquals(given.columns, found.columns);
    }
  });

  it("is not a row of the table", async () => {
    assertEquals(names(await tableOf("#region,amount\nnorth,12.5\nsouth,13.5\n")), ["region", "amount"]);
    assertEquals(names(await tableOf("# about\n# region,amount\nnorth,12.5\nsouth,13.5\n")), [
      "region",
      "amount",
    ]);
    assertStrictEquals((await tableOf("1,,\n2,3,4\n5,6,7\n")).rows, 3);
    // Colours begin with a # too.
    const colours = await tableOf("#ff0000,1\n#00ff00,2\n#0000ff,3\n");
    assertEquals([colours.rows, texts(colours, 0)], [3, ["#ff0000", "#00ff00", "#0000ff"]]);
  });

  it("is counted, also where bytes are wrong", async () => {
    const bytes = new Uint8Array([...new TextEncoder().encode('a "title\nb\nx,y\n1,2\n3,'), 0xe9, 0x0a]);
    for (const [from, row] of [[0, 5], [9, 4]]) {
      await refuses(bytes.subarray(from), new RegExp(`row ${row}, column 2 has the byte 0xE9`), {
        skipLines: from ? 1 : 2,
      });
    }
    await refuses(
      new Uint8Array([...new TextEncoder().encode("sep=;\nx;y\n1;2\n3;"), 0xe9]),
      /row 4, column 2 has the byte 0xE9/,
    );
  });

  it("is what is said", async () => {
    const text = 'A "title\nsecond line\na,b\n% no row\n1,2\n3,4\n';
    const table = await tableOf(text, { skipLines: 2, comment: "%" });
    assertEquals([names(table), table.rows], [["a", "b"], 2]);
    for (const size of [1, 2, 5]) {
      const bytes = new TextEncoder().encode(text.replaceAll("\n", "\r\n"));
      assertEquals(
        (await readCsv(inPieces(bytes, size), { skipLines: 2, comment: "%" })).columns,
        table.columns,
      );
    }
    await refuses("a\nb\n", /has no rows/, { skipLines: 5 });
  });
});

describe("the names of columns", () => {
  it("are a row of words, also with cells that are empty", async () => {
    const index = await tableOf(",city,color,y\n0,rome,red,b\n1,oslo,blue,a\n2,rome,blue,b\n3,oslo,red,a\n");
    assertEquals([names(index), index.rows], [["column 1", "city", "color", "y"], 4]);
    assertEquals(names(await tableOf(",x,y\n0,0.5,a\n1,3.5,b\n")), ["column 1", "x", "y"]);
    assertEquals(names(await tableOf("x,,y\n0,0.5,a\n1,3.5,b\n")), ["x", "column 2", "y"]);
    assertEquals(names(await tableOf("a,a,a (2),a\n1,2,3,4\n5,6,7,8\n")), [
      "a",
      "a (2)",
      "a (2) (2)",
      "a (3)",
    ]);
    assertEquals(names(await tableOf("land,2019,2020,2021\nFR,1.5,2,3\nDE,4,5,6\n")), [
      "land",
      "2019",
      "2020",
      "2021",
    ]);
    assertEquals(names(await tableOf("colour,shape\nred,round\nblue,square\nred,square\n")), [
      "colour",
      "shape",
    ]);
  });

  it("may begin with the second column, as R and pandas have it", async () => {
    const table = await tableOf('"a","b"\n"r1",1.5,2\n"r2",2.5,3\n');
    assertEquals([names(table), texts(table, 0), [...table.columns[2].values]], [["column 1", "a", "b"], [
      "r1",
      "r2",
    ], [2, 3]]);
    assertMatch(table.reading!.evidence.join("\n"), /row 1 has one cell fewer than the rows/);
    assertEquals(names(await tableOf("a,b\n1,2,\n3,4,\n")), ["a", "b"]);
    assertEquals(names(await tableOf("a,b,\n1,2\n3,4\n")), ["a", "b"]);
  });

  it("may be missing", async () => {
    for (
      const text of [
        "5.1,3.5,setosa\n4.9,3.0,setosa\n",
        "red,1\nblue,2\nred,3\n",
        "2019,2020\n2018,2019\n2020,2021\n",
        "red,round\nblue,round\nred,square\n",
      ]
    ) {
      const table = await tableOf(text);
      assertStrictEquals(table.reading!.header, false, text);
      assertMatch(table.notes[0], /no header: columns are named by position/);
    }
    assertStrictEquals((await tableOf("a,b\nc,d\n", { header: false })).rows, 2);
    assertStrictEquals((await tableOf("1,2\n3,4\n", { header: true })).rows, 1);
  });
});

describe("what a table says of its reading", () => {
  it("is one line, and the evidence behind it", async () => {
    const { notes, reading } = await tableOf(
      "sep=;\r\nstadt;einwohner;preis;seit\r\nA;1.000;19,47;31.12.2020\r\nB;750;1.250,50;01.02.2021\r\n",
    );
    assertStrictEquals(
      notes[0],
      '4 columns, delimiter ";", names in row 2, decimal comma, thousands parted by ".", dates with the day first',
    );
    const { evidence, ...rest } = reading!;
    assertEquals(rest, {
      encoding: "utf-8",
      delimiter: ";",
      header: true,
      names: ["stadt", "einwohner", "preis", "seit"],
      decimal: ",",
    });
    const said = evidence.join("\n");
    for (
      const line of [
        /^encoding utf-8: no byte order mark/m,
        /^row 1 says the delimiter/m,
        /^quotes: ", doubled inside$/m,
        /^line ends: LF or CR LF, outside of quotes$/m,
        /^row 2 names the columns: it has "einwohner" above numbers/m,
        /^column 2 "einwohner", numeric: .*column "preis" has "19,47" in row 3; "\." between thousands/m,
        /^column 3 "preis", numeric: .*decimal comma: "19,47" in row 3 and 1 cell more/m,
        /^column 4 "seit", date: .*day first: row 3 holds "31\.12\.2020"/m,
      ]
    ) assertMatch(said, line);
  });

  it("comes from options that are checked", async () => {
    const wrong: [CsvOptions, string][] = [
      [{ delimiter: ",," }, 'readCsv: delimiter is ",,", expected one character or "whitespace"'],
      [{ quote: "" }, 'quote is "", expected one character, or null'],
      [{ delimiter: '"', quote: '"' }, "another character than the delimiter"],
      [{ quote: null, escape: "x" }, "escape has no effect because there are no quotes"],
      [{ lineEnd: "\n" as "lf" }, 'expected "lf", "cr", "crlf" or "any"'],
      [{ skipLines: -1 }, "skipLines is -1, expected a whole number from 0"],
      [{ kinds: { a: "number" as "numeric" } }, 'expected an object with, by column, "numeric"'],
      [{ thousands: "_" as "." }, 'thousands is "_", expected'],
      [{ dateOrder: { a: "dmy" as "day first" } }, 'expected "day first" or "month first" or an object'],
      [{ decimal: ",", thousands: "," }, "expected another sign than that before decimals"],
      [{ decimal: { a: "," }, thousands: "," }, "expected another sign than that before decimals"],
      [{ comment: "" }, 'comment is "", expected a text of at least one character'],
      [{ maxCells: 0.5 }, "maxCells is 0.5, expected a whole number from 1"],
      [{ seperator: ";" } as CsvOptions, 'there is no option "seperator"'],
    ];
    for (const [options, message] of wrong) {
      await assertRejects(() => tableOf("a,b\n1,2\n", options), OptionError, message);
    }
    await refuses("a,b\n1,2\n", /no column "c" to leave out; there are "a", "b"$/, { ignore: ["c"] });
    await refuses("a,b\n1,2\n", /no column "size" that options name/, { kinds: { size: "numeric" } });
    assert((await tableOf("a,b\n1,2\n3,4\n", { ignore: ["b"] })).columns.length === 1);
  });
});

describe("files that are large in one way", () => {
  it("are judged by whole rows, however long these are", async () => {
    const width = 9000,
      row = (cell: (i: number) => string): string =>
        Array.from({ length: width }, (_, i) => cell(i)).join(";");
    const text = [row((i) => `a rather long name, ${i}`), ...[0, 1, 2].map((r) => row((i) => `${i + r},5`))]
      .join("\r\n");
    const table = await tableOf(text);
    assertEquals([table.columns.length, table.rows], [width, 3]);
    assertEquals([...table.columns[8999].values], [8999.5, 9000.5, 9001.5]);
    assertStrictEquals(table.columns[17].name, "a rather long name, 17");
  });

  it("say what is wrong in one line, whatever they hold", async () => {
    const text = `"a\nname",y\n${
      Array.from({ length: 9 }, (_, i) => `${i},u`).join("\n")
    }\n"a\nlong\ncell",v\n`;
    const error = await assertRejects(() => tableOf(text), FormatError);
    assertMatch(
      error.message,
      /^bytes: row 11, column "a name" holds "a long cell", where 9 other rows hold numbers; .*$/,
    );
  });

  it("are no index of rows unless its cells all differ", async () => {
    await refuses("x,y\n1,5,a\n1,6,b\n2,7,a\n", /row 2 has 3 columns, and row 1 has 2/);
    const { notes } = await tableOf("x,y\n1,5,a\n2,6,b\n3,7,a\n");
    assertMatch(
      notes.join("\n"),
      /row 1 has one cell fewer than the rows: the first column is an index without a name/,
    );
  });
});
