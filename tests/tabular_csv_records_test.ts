/**
 * Records out of text: what ends one is settled for the whole file, outside of quotes, wherever pieces are cut.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FormatError, readCsv } from "../mod.ts";
import { type Dialect, plainDialect, RecordReader } from "../src/tabular/csv/records.ts";
import { inPieces } from "./_csv_writer.ts";
import { pythonRecords } from "./_python_csv.ts";
import { tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

/** The records of a text that comes in pieces of a size. */
function records(text: string, dialect: Partial<Dialect>, size: number): string[][] {
  const reader = new RecordReader("file", { ...plainDialect, ...dialect }), found: string[][] = [];
  for (let at = 0; at < text.length; at += size) found.push(...reader.read(text.slice(at, at + size), false));
  found.push(...reader.read("", true));
  assertStrictEquals(reader.rows, found.length);
  return found;
}

function same(text: string, dialect: Partial<Dialect>, wanted: readonly (readonly string[])[]): void {
  for (const size of [1, 2, 3, 5, text.length]) {
    assertEquals(
      records(text, dialect, size),
      wanted as string[][],
      `${JSON.stringify(text)} in pieces of ${size}`,
    );
  }
}

describe("records", () => {
  it("are those of Python's csv module", () => {
    // A line of spaces is a record without cells here, as an empty one is there.
    const plain = (all: readonly (readonly string[])[]) =>
      all.map((cells) => cells.length === 1 && /^ +$/.test(cells[0]) ? [] : cells);
    for (const [text, found] of pythonRecords) {
      for (const size of [1, 2, 3, 5, text.length]) {
        assertEquals(
          plain(records(text, {}, size)),
          plain(found),
          `${JSON.stringify(text)} in pieces of ${size}`,
        );
      }
    }
  });

  it("end where their dialect says, and nowhere inside of quotes", () => {
    same('a,"b\r\nc"\nd,e\n', { lineEnd: "lf" }, [["a", "b\r\nc"], ["d", "e"]]);
    same('a,"b\nc"\r\nd,e\r\n', { lineEnd: "lf" }, [["a", "b\nc"], ["d", "e"]]);
    same("a\rb,c\nd,e", { lineEnd: "lf" }, [["a\rb", "c"], ["d", "e"]]);
    same("a,b\r\r\nc,d\r\r\n", { lineEnd: "lf" }, [["a", "b\r"], ["c", "d\r"]]);
    same('a,"b"\r\r\nc,"d"\r\n', { lineEnd: "lf" }, [["a", "b"], ["c", "d"]]);
    same('a\n,"b\r"\rc,d\r', { lineEnd: "cr" }, [["a\n", "b\r"], ["c", "d"]]);
    same('a\n\r,"b\r\n"\r\nc,d\r\n', { lineEnd: "crlf" }, [["a\n\r", "b\r\n"], ["c", "d"]]);
    same('a,b\rc,"\n"\nd,e\r\nf,g', { lineEnd: "any" }, [["a", "b"], ["c", "\n"], ["d", "e"], ["f", "g"]]);
  });

  it("know other dialects", () => {
    same('1, "a, b"\n2, "c"\n', { padded: true }, [["1", "a, b"], ["2", "c"]]);
    same('"a\\"b\\\\",c\n"d""e",f', { escape: "\\" }, [['a"b\\', "c"], ['d"e', "f"]]);
    same('"a",b"\n5" pipe,c', { quote: null }, [['"a"', 'b"'], ['5" pipe', "c"]]);
    same(" 1  2\t3 \n\n'x y' z w\n", { delimiter: "whitespace", quote: "'" }, [["1", "2", "3"], [], [
      "x y",
      "z",
      "w",
    ]]);
    same('# "odd\na,b\n#\n1,#2\n', { comment: "#" }, [[], ["a", "b"], [], ["1", "#2"]]);
    same("a,b\n1,", {}, [["a", "b"], ["1", ""]]);
    same('""\n\n""\n', {}, [[""], [], [""]]);
  });

  it("say where a text stops", () => {
    const reader = new RecordReader("file", plainDialect);
    reader.read('a,b\n1,"2', false);
    assertEquals(reader.position("\n3"), { row: 2, column: 2 });
    assertEquals(reader.position('"\n'), { row: 3, column: 1 });
    assertEquals(reader.position('"\n4,'), { row: 3, column: 2 });
  });
});

describe("a file larger than its pieces", () => {
  const lines = (inner: string): string[] =>
    Array.from(
      { length: 40_000 },
      (_, i) => `"line ${i}${inner}next ""x"" ${i % 3}",${i % 1000 / 10},${i % 2 ? "a" : "b"}`,
    );

  for (
    const [name, inner, end] of [["CR LF inside, LF", "\r\n", "\n"], ["LF inside, CR LF", "\n", "\r\n"], [
      "CR inside, LF",
      "\r",
      "\n",
    ], ["LF inside, CR", "\n", "\r"]]
  ) {
    it(`keeps line ends inside of quotes apart from those of rows (${name} outside)`, async () => {
      // The names hold the first line end of the file, which is not that of rows; pieces of the file begin with others.
      const text = [`"comment${inner}of the customer",x,y`, ...lines(inner)].join(end);
      const bytes = new TextEncoder().encode(text);
      assert(bytes.length > 1 << 20, "more than one piece");
      const table = await readCsv(bytes);
      assertEquals(table.columns.map(({ name, kind }) => [name, kind]), [
        [`comment${inner}of the customer`, "categorical"],
        ["x", "numeric"],
        ["y", "categorical"],
      ]);
      assertStrictEquals(table.rows, 40_000);
      assert(table.columns[1].values.every((value, row) => value === row % 1000 / 10));
      assert(
        table.columns[0].values.every((code, row) =>
          table.columns[0].texts[code] === `line ${row}${inner}next "x" ${row % 3}`
        ),
      );
      const cut = await readCsv(inPieces(bytes, 777_777));
      assertEquals(cut.columns[1].values, table.columns[1].values);
    });
  }
});

describe("quotes in the wrong place", () => {
  const refuses = async (text: string, message: RegExp): Promise<void> => {
    await assertRejects(() => tableOf(text), FormatError, undefined);
    const error = await tableOf(text).then(() => null, (error: Error) => error);
    assert(message.test(error!.message), error!.message);
  };

  it("are named by row", async () => {
    await refuses(
      'a,b\n1,2\n3,"open\n4,5\n',
      /row 3 opens a quote \("\) that is never closed; .*--quote none/,
    );
    await refuses('a,b\n1,2\n"3"x,4\n', /row 3 has text behind a closing quote/);
  });

  it("do not take up rows in silence", async () => {
    const rows = (from: number): string => Array.from({ length: 6 }, (_, i) => `${from + i},x,2`).join("\n");
    const text = `a,b,c\n${rows(0)}\n6,"y,2\n${rows(7)}\n13,z",2\n${rows(14)}\n`;
    await refuses(
      text,
      /row 8 opens a quote \("\) that is closed 7 lines later, and every line between looks like a row/,
    );
    // One cell with such lines may be meant; then the quote is said.
    assertStrictEquals((await tableOf(text, { quote: '"' })).rows, 13);
    assertStrictEquals((await tableOf(text, { quote: null })).rows, 20);
  });

  it("are text where a file has many of them", async () => {
    const table = await tableOf('size\tname\n1\t"big" one\n2\t"small" two\n3\t5" pipe\n4\t"odd" three\n');
    assertEquals(table.columns[1].texts, ['"big" one', '"small" two', '5" pipe', '"odd" three']);
    assert(table.notes[0].includes("no quotes"));
  });
});
