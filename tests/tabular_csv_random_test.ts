/**
 * Tables in random dialects, written from known values and read back in pieces of random sizes: the same values, or it is
 * no CSV reader.
 */
import { assert, assertEquals } from "@std/assert";
import { FormatError, readCsv, type Table } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import {
  type Grammar,
  inPieces,
  pick,
  type Style,
  writeCsv,
  writeNumber,
  type Written,
} from "./_csv_writer.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

const words = [
  "red",
  "green",
  "blue",
  "a b",
  "x-y",
  "Größe",
  "漢字",
  "it's",
  "5 o'clock",
  "don’t",
  "n/a?",
  "none",
  "-",
  "?",
];

function style(random: Generator): Style {
  const before = pick(random, [[], [], [], [""], ["", ""], ["Sales of 2024"], ["Sales of 2024", ""], [
    "# made by a program",
  ]]);
  return {
    delimiter: pick(random, [",", ";", "\t", "|"]),
    quote: pick(random, ['"', '"', '"', "'"]),
    lineEnd: pick(random, ["\n", "\r\n", "\r"]),
    quoting: pick(random, ["needed", "all", "some"]),
    bom: random.uniform() < 0.3,
    encoding: pick(random, ["utf-8", "utf-8", "utf-8", "utf-16le", "utf-16be"]),
    sepLine: random.uniform() < 0.2,
    before,
    lastEnd: random.uniform() < 0.7,
  };
}

function grammar(random: Generator): Grammar {
  const decimal = pick(random, [".", ","] as const);
  const thousands = pick(random, ["", "", decimal === "." ? "," : ".", " ", "\u00a0", "\u202f", "'", "’"]);
  return {
    decimal,
    thousands,
    indian: thousands === "," && random.uniform() < 0.3,
    negative: pick(random, ["-", "-", "\u2212", "()", "behind"] as const),
    plus: random.uniform() < 0.1,
    unit: pick(random, ["", "", "", "$>", "> €", ">%", "CHF >", "₹>", "> kr"]),
  };
}

/** Numbers of one column. A first cell tells the decimal sign, unless another column does. */
function numbers(random: Generator, name: string, rows: number, of: Grammar, told: boolean): Written {
  const decimals = pick(random, told ? [0, 1, 2, 3, 3] : [1, 2]), size = pick(random, [1, 100, 1e4, 1e7]);
  const missing = pick(random, ["", "NA", "NaN", "null", "-", "n.a."]), share = pick(random, [0, 0.2]);
  const values: (number | null)[] = [], cells: string[] = [];
  for (let row = 0; row < rows; row++) {
    const value = Number(((random.uniform() * 2 - 0.5) * size).toFixed(decimals)) + 0;
    const absent = row > 1 && random.uniform() < share;
    values.push(absent ? null : value);
    cells.push(absent ? missing : writeNumber(value, decimals, of));
  }
  return { name, kind: "numeric", cells, values };
}

function texts(random: Generator, name: string, rows: number, { delimiter, quote }: Style): Written {
  const own = Array.from({ length: random.integer(2, 6) }, (_, i) => {
    const word = pick(random, words);
    return `${i}${word}${
      pick(random, ["", delimiter, quote, "\n", "\r\n", "\r", `${quote}${delimiter} `])
    }${word}`;
  });
  const values = Array.from({ length: rows }, () => random.uniform() < 0.1 ? null : pick(random, own));
  return { name, kind: "categorical", cells: values.map((value) => value ?? ""), values };
}

function dates(random: Generator, name: string, rows: number): Written {
  const form = pick(random, ["iso", "day", "month"]), sign = pick(random, ["/", ".", "-"]);
  const values = Array.from(
    { length: rows },
    (_, row) => row === 0 ? 18_260 : 18_000 + random.integer(0, 2000),
  );
  const cells = values.map((days) => {
    const [y, m, d] = new Date(days * 86_400_000).toISOString().slice(0, 10).split("-");
    return form === "iso" ? `${y}-${m}-${d}` : (form === "day" ? [d, m, y] : [m, d, y]).join(sign);
  });
  return { name, kind: "date", cells, values };
}

function booleans(random: Generator, name: string, rows: number): Written {
  const pair = pick(random, [["no", "yes"], ["False", "True"], ["N", "Y"]]);
  const values = Array.from({ length: rows }, (_, row) => row < 2 ? row : random.integer(0, 2));
  return { name, kind: "boolean", cells: values.map((value) => pair[value]), values };
}

function columns(random: Generator, of: Style, signs: Grammar): Written[] {
  const rows = random.integer(8, 40), made = [numbers(random, "first number", rows, signs, false)];
  for (let i = random.integer(1, 6); i > 0; i--) {
    const name = `${pick(random, ["size", "Länge", "a name", "x,y", "what;ever"])} ${i}`;
    const kind = random.integer(0, 4);
    made.splice(
      random.integer(0, made.length + 1),
      0,
      kind === 0
        ? numbers(random, name, rows, signs, true)
        : kind === 1
        ? texts(random, name, rows, of)
        : kind === 2
        ? dates(random, name, rows)
        : booleans(random, name, rows),
    );
  }
  return made;
}

function valuesOf(table: Table): (number | string | null)[][] {
  return table.columns.map(({ values, texts, kind }) =>
    Array.from(values, (value) => Number.isNaN(value) ? null : kind === "categorical" ? texts[value] : value)
  );
}

describe("tables in random dialects", () => {
  for (let block = 0; block < width(5, 2); block++) {
    it(`are read as they were written, however they are cut (seeds ${block * 40} to ${block * 40 + 39})`, async () => {
      for (let seed = block * 40; seed < block * 40 + 40; seed++) {
        const random = new Generator(seed),
          of = style(random),
          signs = grammar(random),
          made = columns(random, of, signs);
        const bytes = writeCsv(made, of, true, random),
          what = () =>
            `seed ${seed}: ${JSON.stringify(of)}, ${JSON.stringify(signs)}\n${
              new TextDecoder().decode(bytes).slice(0, 400)
            }`;
        const whole = await readCsv(bytes).catch((error) => {
          throw new Error(`${error.message}\n${what()}`);
        });
        assertEquals(
          whole.columns.map(({ name, kind }) => [name, kind]),
          made.map(({ name, kind }) => [name, kind]),
          what(),
        );
        const read = valuesOf(whole);
        made.forEach(({ values }, column) => assertEquals(read[column], values, what()));
        for (const size of [1, random.integer(2, 40)]) {
          const cut = await readCsv(inPieces(bytes, size));
          assertEquals(cut.columns, whole.columns, `pieces of ${size}, ${what()}`);
          assertEquals(cut.notes, whole.notes);
        }
        assert(whole.reading!.evidence.length > made.length);
      }
    });
  }
});

describe("bytes of any kind", () => {
  const scraps = [
    ..."ab1290 \t,;|'\"#%.-+()eE/:€$\u2212\u00a0\\",
    "\n",
    "\r\n",
    "\r",
    '""',
    "sep=;\n",
    "NA",
    "inf",
    "1,5",
    "1.234",
    "1e999",
  ]
    .concat("31/12/2020", "2020-01-01", "true", "\0", "\ufeff", "漢", "(1)", "'s ", "\n\n", "x;y\n", "a,b\n");

  it("are a table or one sentence, and the same however they are cut", async () => {
    let tables = 0;
    for (let seed = 0; seed < width(300, 150); seed++) {
      const random = new Generator(10_000 + seed);
      let text = random.uniform() < 0.5
        ? pick(random, ["a,b\n1,2\n", "x;y\n1,5;a\n", "k\tv\n", '"p","q"\r\n'])
        : "";
      for (let i = random.integer(1, 60); i > 0; i--) text += pick(random, scraps);
      const bytes = random.uniform() < 0.1
        ? Uint8Array.from({ length: random.integer(1, 200) }, () => random.integer(0, 256))
        : new TextEncoder().encode(text);
      const read = (from: Uint8Array | AsyncIterable<Uint8Array>) =>
        readCsv(from).then(
          ({ columns, notes, reading }) => ({ columns, notes, reading }),
          (error: Error) => {
            assert(error instanceof FormatError, `seed ${seed}, ${JSON.stringify(text)}: ${error.stack}`);
            assert(!/[\r\n]/.test(error.message), `seed ${seed}: ${error.message}`);
            // The name of a file and that of a stream are not the same.
            return error.message.replace(/^(bytes|standard input)/, "");
          },
        );
      const whole = await read(bytes);
      if (typeof whole !== "string") tables++;
      for (const size of [1, random.integer(2, 20)]) {
        assertEquals(
          await read(inPieces(bytes, size)),
          whole,
          `seed ${seed}, pieces of ${size}: ${JSON.stringify(text)}`,
        );
      }
    }
    assert(tables > width(20, 8), `only ${tables} are tables`);
  });
});
