/**
 * Files to predict are read as the file that the model was fitted on, and by less strict rules: one column is enough,
 * any may be empty, the target may be there or not, in any order.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError, OptionError, type Prediction, readCsv, type Row, TabularModel } from "../mod.ts";
import { call, output } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { madeUp } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function fit(text: string, options: Parameters<typeof TabularModel.fit>[1] = {}): Promise<TabularModel> {
  return TabularModel.fit(bytes(text), { folds: 0, model: "linear", ...options });
}

/** A model as it is after it was kept in a file. */
async function kept(model: TabularModel): Promise<TabularModel> {
  return await inFolder(async (folder) => {
    await model.save(join(folder, "model.safetensors"));
    model.dispose();
    return await TabularModel.load(join(folder, "model.safetensors"));
  });
}

/** What a model says of a file is what it says of these rows. */
async function says(model: TabularModel, text: string, rows: readonly Row[], options = {}): Promise<void> {
  const said = await model.predictTable(await model.readCsv(bytes(text), options));
  assertEquals(said, await model.predictMany(rows), text);
}

const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

describe("a file to predict", () => {
  it("needs no more than a column of the model", async () => {
    using model = await kept(
      await fit(`x,y\n${lines(60, (i) => `${(i * 3.7) % 12},${(i * 3.7) % 12 > 6 ? "hi" : "lo"}`)}\n`),
    );
    for (const end of ["\n", "\r\n", "\r"]) {
      await says(model, ["x", "7.5", "1.5", ""].join(end), [{ x: 7.5 }, { x: 1.5 }]);
    }
    await says(model, 'x\n""\n7.5\n', [{ x: null }, { x: 7.5 }]);
    await says(model, "x\n7,5\n1,5\n", [{ x: 7.5 }, { x: 1.5 }]);
    await says(model, "x;note\n7,5;a\n", [{ x: 7.5 }]);
    // One row of two numbers could be one number with a comma; the model's name tells.
    await says(model, "x,z\n7,5\n", [{ x: 7 }]);
    await says(model, "y,x\n,7.5\n,1.5\n", [{ x: 7.5 }, { x: 1.5 }]);
    await assertRejects(
      () => fit("x\n1\n2\n3\n"),
      FormatError,
      "one column only, and at least two are needed",
    );
  });

  it("has numbers of the unit that the model was fitted on, or of none; another one is named", async () => {
    const price = (unit: string, behind = ""): string =>
      `x,y\n${lines(60, (i) => `${unit}${(i * 7) % 60}${behind},${(i * 7) % 60}`)}\n`;
    for (const [before, behind] of [["$", ""], ["", "%"], ["", " CHF"], ["", ""]]) {
      using model = await kept(await fit(price(before, behind)));
      const unit = `${before}${behind}`.trim();
      for (const other of ["$", "€", "£", "%", "CHF"]) {
        const text = other === "%" ? "5%" : `${other} 5`;
        const fits = other === unit || (unit === "" && other !== "%");
        if (fits) {
          await says(model, `x\n${text}\n7\n`.replace(unit === "%" ? "\n7" : "\n\n", ""), [
            { x: 5 },
            ...unit === "%" ? [] : [{ x: 7 }],
          ]);
          assertEquals(await model.predict({ x: text }), await model.predict({ x: 5 }));
          continue;
        }
        const error = await assertRejects(() => model.readCsv(bytes(`x\n7\n${text}\n`)), FormatError);
        assertMatch(
          error.message,
          /row 3, column "x" holds ".*5.*", and the model was fitted on numbers with/,
        );
        assert(error.message.includes(unit === "" ? "no unit" : JSON.stringify(unit)), error.message);
        await assertRejects(() => model.predict({ x: text }), OptionError, 'column "x" holds numbers with ');
      }
      // Two units in one file are two, whatever the model takes.
      await assertRejects(() => model.readCsv(bytes("x\n$5\n€5\n")), FormatError);
      if (unit !== "%") continue;
      await assertRejects(() => model.readCsv(bytes("x\n50\n0.5\n50%\n")), FormatError, "mixes units");
      const { notes } = await model.readCsv(bytes("x\n50\n"));
      assert(notes.some((note) => note.includes('numbers without "%" are read as percents')), notes.join());
    }
    // Taken as they are written, they are so in prediction, too.
    using free = await kept(
      await fit(`x,y\n${lines(60, (i) => `${["$", "€", ""][i % 3]}${i},${i}`)}\n`, {
        csv: { kinds: { x: "numeric" } },
      }),
    );
    await says(free, "x\n$5\n€6\n7\n", [{ x: 5 }, { x: 6 }, { x: 7 }]);
    await assertRejects(
      () => free.readCsv(bytes("x\n£5\n")),
      FormatError,
      'numbers with "$" or "€" or no unit',
    );
  });

  it("may lack columns, have them empty, have others, in any order", async () => {
    using model = await kept(await fit(madeUp(80, "class")));
    const row = { size: 1.5, price: 2, colour: "blue", member: true, since: "2020-05-05" };
    await says(model, "size,price,colour,member,since,target\n1.5,2,blue,true,2020-05-05,\n", [row]);
    await says(model, "since,member,colour,price,size\n2020-05-05,true,blue,2,1.5\n", [row]);
    await says(model, "id,size,colour,extra\nx1,1.5,blue,9\nx2,,violet,9\n", [{ size: 1.5, colour: "blue" }, {
      colour: "violet",
    }]);
    await says(model, "size,price,colour,member,since\n,,,,\n1.5,,NA,,\n", [{}, { size: 1.5 }]);
    await says(model, "size;target\n1,5;whatever this is\n;\n", [{ size: 1.5 }, {}]);
    await says(model, "member,size\nyes,1.5\nNO,2.5\n0,3.5\n", [{ member: true, size: 1.5 }, {
      member: false,
      size: 2.5,
    }, {
      member: false,
      size: 3.5,
    }]);
    for (
      const [text, message] of [
        ["size,price\n1.5,2\nbig,3\n", /row 3, column "size" holds "big", where 1 other row holds numbers/],
        ["size\nbig\n", /row 2, column "size" holds "big", where numbers are what the model takes/],
        ["member,size\nyes,1\nperhaps,2\n", /row 3, column "member" holds "perhaps"/],
        ["since,size\n2020-01-01,1\nsoon,2\n", /row 3, column "since" holds "soon"/],
        [
          "length,width\n1,2\n",
          /has none of the columns that the model was fitted on: size, price, colour, member, since/,
        ],
        ["1.5,2\n2.5,3\n", /row 1 has none of the columns that the model was fitted on/],
        ["size\n1e39\n", /column "size" holds numbers up to ±3\.4e38/],
      ] as const
    ) {
      const error = await assertRejects(
        async () => await model.predictTable(await model.readCsv(bytes(text))),
        FormatError,
      );
      assertMatch(error.message, message);
    }
    await assertRejects(
      () => model.readCsv(bytes("size\n1\n"), { kinds: { size: "categorical" } }),
      OptionError,
      "the model takes numeric",
    );
    // A table that was read for itself does as well.
    const table = await readCsv(bytes("colour,size,member\nblue,1.5,yes\nred,2.5,no\n"));
    assertEquals(
      await model.predictTable(table),
      await model.predictMany([{ colour: "blue", size: 1.5, member: true }, {
        colour: "red",
        size: 2.5,
        member: false,
      }]),
    );
  });

  it("is written as the data that the model was fitted on, where it does not tell by itself", async () => {
    const german = `stadt;einwohner;seit;y\n${
      lines(60, (i) =>
        `s${i % 3};${(i % 39 + 1) * 25}.${i % 2 ? "500" : "000"},5;${
          String(i % 28 + 1).padStart(2, "0")
        }.03.2021;${i % 40 > 20 ? "ja" : "nein"}`)
    }\n`;
    using model = await kept(await fit(german));
    const [, einwohner, seit] = model.schema.columns;
    assertEquals([einwohner.form, seit.form], [{ decimal: ",", thousands: "." }, { dateOrder: "day first" }]);
    assertStrictEquals(model.info.data.csv?.delimiter, ";");
    await says(model, "einwohner;seit\n1.250;01.02.2021\n", [{ einwohner: 1250, seit: "2021-02-01" }]);
    await says(model, "einwohner\n1.250\n", [{ einwohner: 1250 }]);
    await says(model, "einwohner\n1.250,5\n", [{ einwohner: 1250.5 }]);
    // Cells that can be read in one way only are read in that.
    await says(model, "stadt,einwohner\ns1,1250.5\ns2,1.250\n", [{ stadt: "s1", einwohner: 1250.5 }, {
      stadt: "s2",
      einwohner: 1.25,
    }]);
    await says(model, "einwohner\n1.250\n", [{ einwohner: 1.25 }], { decimal: "." });
    // A row that a person types.
    const typed = await model.predictMany([{ einwohner: "1.250" }, { einwohner: "1.250,5" }, {
      einwohner: "1250.5",
    }]);
    assertEquals(
      typed,
      await model.predictMany([{ einwohner: 1250 }, { einwohner: 1250.5 }, { einwohner: 1250.5 }]),
    );
    assertEquals(await model.predict({ seit: "01.02.2021" }), await model.predict({ seit: "2021-02-01" }));
  });

  it("is read by its own signs where the training data had none", async () => {
    const whole = (delimiter: string): string =>
      `n${delimiter}m${delimiter}y\n${
        lines(60, (i) => [i % 50, i % 7, i % 2 ? "a" : "b"].join(delimiter))
      }\n`;
    // Whole numbers tell nothing: the file to predict, its delimiter at last, has to.
    using semicolons = await kept(await fit(whole(";"))), commas = await kept(await fit(whole(",")));
    assertStrictEquals(semicolons.schema.columns[0].form, undefined);
    await says(semicolons, "n;m\n1.250;2\n", [{ n: 1250, m: 2 }]);
    await says(commas, "n,m\n1.250,2\n", [{ n: 1.25, m: 2 }]);
    // A point in the training data is what a model remembers once, a comma by column.
    using points = await kept(
      await fit(`n;m;y\n${lines(60, (i) => `${i % 50}.25;${i % 7};${i % 2 ? "a" : "b"}`)}\n`),
    );
    assertEquals([points.info.data.csv?.decimal, points.schema.columns.map(({ form }) => form)], [".", [
      undefined,
      undefined,
    ]]);
    await says(points, "m;n\n3;1.250\n", [{ n: 1.25, m: 3 }]);
    using both = await kept(
      await fit(`n;m;y\n${lines(60, (i) => `${i % 50}.25;${i % 7},5;${i % 2 ? "a" : "b"}`)}\n`),
    );
    assertEquals(both.schema.columns.map(({ form }) => form?.decimal), [".", ","]);
    await says(both, "m;n\n1.250;1.250\n", [{ n: 1.25, m: 1250 }]);
  });

  it("has its dates read as the training data, and says so where these tell nothing", async () => {
    const days = (form: (d: string, m: string) => string): string =>
      `d,y\n${
        lines(
          56,
          (i) => `${form(String(i % 28 + 1).padStart(2, "0"), "03")},${i % 28 > 14 ? "late" : "early"}`,
        )
      }\n`;
    using iso = await kept(await fit(days((d, m) => `2021-${m}-${d}`)));
    const open = await iso.readCsv(bytes("d\n02/03/2021\n"));
    assertMatch(
      open.notes.join(),
      /dates like "02\/03\/2021" are read with the month first, since no row tells/,
    );
    for (
      const [model, day] of [[await fit(days((d, m) => `${d}/${m}/2021`)), "2021-03-02"], [
        await fit(days((d, m) => `${m}/${d}/2021`)),
        "2021-02-03",
      ]] as const
    ) {
      using own = await kept(model);
      await says(own, "d\n02/03/2021\n", [{ d: day }]);
      assertEquals(await own.predict({ d: "02/03/2021" }), await own.predict({ d: day }));
    }
  });

  it("without names is read by position", async () => {
    const rows = lines(60, (i) => `${i % 7},${i % 5 > 2 ? "b" : "a"},${i % 11}.5`);
    using model = await kept(await fit(`${rows}\n`, { target: "column 2" }));
    const wanted: Row[] = [{ "column 1": 3, "column 3": 4.5 }, { "column 1": 5, "column 3": 6.5 }];
    await says(model, "3,a,4.5\n5,b,6.5\n", wanted);
    await says(model, "3,,4.5\n5,,6.5\n", wanted);
    await says(model, "3,4.5\n5,6.5\n", wanted);
    await assertRejects(
      () => model.readCsv(bytes("3\n5\n")),
      FormatError,
      "has 1 column without names, and the model was fitted on 3",
    );
    using named = await fit(`p,q,y\n${lines(60, (i) => `${i % 7},${i % 11},${i % 5 > 2 ? "b" : "a"}`)}\n`);
    await says(named, "3,4\n5,6\n", [{ p: 3, q: 4 }, { p: 5, q: 6 }], { header: false });
  });

  it("keeps texts that look like numbers", async () => {
    const text = `code,y\n${lines(60, (i) => `${["007", "7", "1.50"][i % 3]},${i % 3 === 1 ? "b" : "a"}`)}\n`;
    using model = await kept(await fit(text, { csv: { kinds: { code: "categorical" } } }));
    assertEquals([...model.schema.columns[0].categories].sort(), ["007", "1.50", "7"]);
    await says(model, "code\n007\n7\n1.50\n", [{ code: "007" }, { code: "7" }, { code: "1.50" }]);
    const said: Prediction[] = await model.predictTable(await model.readCsv(bytes("code\n007\n7\n")));
    assertEquals(said.map((p) => p.class), ["a", "b"]);
  });
});

describe("ferrotype tabular predict --csv", () => {
  it("reads what training would not, and says how in one line", async () => {
    await inFolder(async (folder) => {
      const at = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text);
        return join(folder, name);
      };
      const model = join(folder, "m.safetensors");
      const train = at(
        "train.csv",
        `x;c;y\n${
          lines(60, (i) => `${(i % 12) + 0.5};${i % 2 ? "red" : "blue"};${i % 12 > 5 ? "hi" : "lo"}`)
            .replaceAll(".", ",")
        }\n`,
      );
      const trained = await call([
        "tabular",
        "train",
        train,
        "-o",
        model,
        "--folds",
        "0",
        "--model",
        "linear",
      ]);
      assertStrictEquals(trained.code, 0, trained.stderr);
      assertMatch(
        trained.stderr,
        /train\.csv: 60 rows, 3 columns, delimiter ";", names in the first row, decimal comma\n/,
      );
      for (
        const text of [
          "x,c\n,red\n,blue\n",
          "x;c;y\n7,5;red;\n1,5;blue;\n",
          "x\n7,5\n1,5\n",
          "c,x\nred,7.5\nblue,1.5\n",
        ]
      ) {
        const { code, stdout, stderr } = await call([
          "tabular",
          "predict",
          model,
          "--csv",
          at("p.csv", text),
        ]);
        assertStrictEquals(code, 0, stderr);
        assertStrictEquals(stdout.trimEnd().split("\n").length, 3, text);
        assertMatch(stderr, /^p\.csv: 2 rows, \d columns?, /);
      }
      const lacking = await call(["tabular", "predict", model, "--csv", at("p.csv", "x\n7,5\n")]);
      assertMatch(lacking.stderr, /missing in every row, since p\.csv has no such column: c/);
      const out = join(folder, "out.csv");
      await output([
        "tabular",
        "predict",
        model,
        "--csv",
        at("p.csv", "x\n7,5\n"),
        "-o",
        out,
        "--explain-csv",
      ]);
      assertMatch(readFileSync(out, "utf8"), /^y,p\(hi\),p\(lo\)\nhi,/);
      const bad = await call([
        "tabular",
        "predict",
        model,
        "--csv",
        at("p.csv", "x;c\n7,5;red\nseven;red\n"),
      ]);
      assertStrictEquals(bad.code, 1);
      assertMatch(
        bad.stderr,
        /^ferrotype: p\.csv: row 3, column "x" holds "seven", where 1 other row holds numbers/m,
      );
    });
  });

  it("and training take every decision as an option", async () => {
    await inFolder(async (folder) => {
      const csv = join(folder, "odd.csv"), model = join(folder, "m.safetensors");
      const rows = lines(
        40,
        (i) =>
          `0${i % 9 + 1}|1.${i % 9}00|'${i % 2 ? "x" : "-9"}'|${i % 28 + 1}/1/21|${i % 9 > 4 ? "a" : "b"}`,
      );
      writeFileSync(csv, `a title\nzip|size|mark|day|y\n${rows}\n% the end\n`);
      const { code, stderr } = await call([
        ...["tabular", "train", csv, "-o", model, "--folds", "0", "--model", "linear", "--explain-csv"],
        ...[
          "--delimiter",
          "|",
          "--quote",
          "'",
          "--escape",
          "none",
          "--line-end",
          "lf",
          "--encoding",
          "utf-8",
        ],
        ...[
          "--skip-lines",
          "1",
          "--comment",
          "%",
          "--header",
          "--kind",
          "zip=categorical",
          "--decimal",
          "size=,",
        ],
        ...[
          "--thousands",
          "size=.",
          "--missing",
          "-9",
          "--date-order",
          "day-first",
          "--no-default-missing",
          "--keep",
          "zip",
        ],
      ]);
      assertStrictEquals(code, 0, stderr);
      for (
        const line of [
          /^odd\.csv: 40 rows, 5 columns, delimiter "\|", quotes ', names in row 2, decimal comma, thousands parted by "\.", dates with the day first$/m,
          /^ {2}delimiter "\|": as given$/m,
          /^ {2}column 1 "zip", categorical: 9 different texts, as asked$/m,
          /^ {2}column 2 "size", numeric: .*decimal comma: as asked/m,
        ]
      ) assertMatch(stderr, line);
      const text = await output([
        "tabular",
        "inspect",
        csv,
        "--explain-csv",
        "--skip-lines",
        "1",
        "--comment",
        "%",
      ]);
      assertMatch(text, /^ {2}column 4 "day", date: /m);
      const told = JSON.parse(
        await output(["tabular", "inspect", csv, "--explain-csv", "--comment", "%", "--json"]),
      );
      assertEquals(told.columns.map((column: { kind: string }) => column.kind), [
        "numeric",
        "numeric",
        "categorical",
        "date",
        "categorical",
      ]);
      assert(told.reading.evidence.length > 5);
      for (
        const [args, message] of [
          [["--kind", "numeric"], /--kind is a column and what it holds/],
          [["--kind", "zip=number"], /--kind is one of numeric, boolean, date, categorical/],
          [["--decimal", "size=;"], /--decimal is "\." or ",", or COLUMN= and one of them, not "size=;"/],
          [["--quote", "ab"], /--quote is one character or "none"/],
          [["--line-end", "n"], /--line-end is "lf", "cr", "crlf" or "any", not "n"/],
        ] as const
      ) {
        const wrong = await call(["tabular", "train", csv, "-o", model, ...args]);
        assertStrictEquals(wrong.code, 2, wrong.stderr);
        assertMatch(wrong.stderr, message);
      }
      const inspect = await call(["tabular", "inspect", model, "--delimiter", ";"]);
      assertEquals([inspect.code, /--delimiter has no effect because FILE is a model/.test(inspect.stderr)], [
        2,
        true,
      ]);
    });
  });
});
