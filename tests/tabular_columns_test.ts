/**
 * Which columns are inputs, and in what precision: identifiers are what tells nothing of the target, nothing is dropped that
 * cannot be kept, and large numbers are f64 until they are standardised.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError, Normalizer, OptionError, saveSafetensors, TabularModel, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { differ } from "../src/tabular/relevance.ts";
import { call } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { type OnnxRuntime, rival } from "./_rivals.ts";
import { tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";

const ort = rival<OnnxRuntime>("onnxruntime-node");
const lines = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");
const quick = { folds: 3, model: "linear" } as const;

/** Why columns are no inputs, by name. */
async function ignored(text: string, keep: string[] = []): Promise<Record<string, string | null>> {
  const { columns } = Normalizer.fit(await tableOf(text), { keep });
  return Object.fromEntries(columns.map((column) => [column.name, column.ignored]));
}

describe("groups that differ", () => {
  it("are told from those that do so by chance", () => {
    const random = new Generator(5), n = 120, trials = 60;
    let chance = 0, found = 0;
    for (let trial = 0; trial < trials; trial++) {
      const groups = Int32Array.from({ length: n }, (_, i) => Math.floor(i / 12));
      const noise = Float64Array.from({ length: n }, () => random.normal());
      const classes = Float64Array.from({ length: n }, () => random.integer(0, 3));
      chance += Number(differ(groups, noise, 0)) + Number(differ(groups, classes, 3));
      found += Number(differ(groups, noise.map((v, i) => v + i / 40), 0));
      const drift = classes.map((c, i) => random.uniform() < 0.6 ? Math.floor(i / 40) : c);
      found += Number(differ(groups, drift, 3));
    }
    // By chance each of the 120 is found once in 200 times.
    assert(chance <= 5, `${chance} of ${2 * trials} by chance`);
    assert(found >= 2 * trials - 12, `${found} of ${2 * trials}`);
    assert(!differ([0, 1, 2], [1, 2, 3], 0), "too few to say");
    assert(!differ([0, 0, 1, 1, 1, 1], [2, 2, 2, 2, 2, 2], 0), "all the same");
  });
});

describe("identifiers", () => {
  const random = new Generator(11);
  const noise = Array.from(
    { length: 90 },
    () => `${random.integer(0, 50)},${random.integer(0, 2) ? "a" : "b"}`,
  );

  it("are columns that count the rows and tell nothing of the target", async () => {
    assertEquals(await ignored(`id,x,y\n${lines(90, (i) => `${i + 1000},${noise[i]}`)}\n`), {
      id: 'counts the rows up by one, and tells nothing of "y"',
      x: null,
    });
    // The number of the row as pandas writes it, without a name.
    const index = await ignored(`,x,y\n${lines(90, (i) => `${i},${noise[i]}`)}\n`);
    assertMatch(index["column 1"]!, /counts the rows/);
    // Text that is different in nearly every row.
    const text = await ignored(`id,x,y\n${lines(90, (i) => `u${i % 80},${noise[i]}`)}\n`);
    assertStrictEquals(
      text.id,
      '80 different texts in 90 rows: identifiers or free text, which tells nothing of "y"',
    );
    // Numbers that do not count are never dropped.
    assertStrictEquals(
      (await ignored(`id,x,y\n${lines(90, (i) => `${i * 7919 % 9973},${noise[i]}`)}\n`)).id,
      null,
    );
  });

  it("are no days, years or names that tell of it", async () => {
    for (
      const y of [
        (i: number) => `${5 + 3 * i + i % 3}`,
        (i: number) => i > 40 ? "late" : "early",
        (i: number) => `${(i - 45) ** 2}`,
      ]
    ) {
      assertEquals(await ignored(`day,x,y\n${lines(90, (i) => `${i + 1},${i * 31 % 17},${y(i)}`)}\n`), {
        day: null,
        x: null,
      });
    }
    const customer = await ignored(
      `who,x,y\n${
        lines(
          90,
          (i) => `${i % 3 ? `c${i}` : `d${i % 4}`},${i * 31 % 17},${i % 3 ? i % 2 : i % 4 > 1 ? 1 : 0}`,
        )
      }\n`,
    );
    assertStrictEquals(customer.who, null);
  });

  it("stay where there is no other input, and where they are kept", async () => {
    const sales = await TabularModel.fit(
      new Blob([`day,sales\n${lines(60, (i) => `${i + 1},${(5 + 3.05 * i).toFixed(1)}`)}\n`]),
      quick,
    );
    assert(sales.evaluation!.heldOut.r2 > 0.999, `${sales.evaluation!.heldOut.r2}`);
    sales.dispose();
    assertEquals(await ignored(`id,y\n${lines(90, (i) => `${i},${noise[i].split(",")[1]}`)}\n`), {
      id: null,
    });
    const both = `id,name,x,y\n${lines(90, (i) => `${i},u${i % 80},${noise[i]}`)}\n`;
    assertEquals(await ignored(both, ["id", "name"]), { id: null, name: null, x: null });
    const table = await tableOf(both),
      fit = (keep: string[]) => TabularModel.fit(table, { ...quick, folds: 0, keep });
    using kept = await fit(["name"]);
    assertStrictEquals(kept.schema.columns[1].categories.length, 80);
    const names = await tableOf(
      `name,x,y\n${lines(180, (i) => `u${i % 40},${i % 7},${i % 40 > 20 ? "a" : "b"}`)}\n`,
    );
    using told = await TabularModel.fit(names, { ...quick, folds: 0 });
    assertMatch(
      told.info.notes!.join(),
      /column "name" has 40 different texts in 180 rows: the 32 most frequent are told apart \(--keep "name": 1000\)/,
    );
    using all = await TabularModel.fit(names, { ...quick, folds: 0, keep: ["name"] });
    assertEquals([all.schema.columns[0].categories.length, all.info.notes], [40, undefined]);
    await assertRejects(() => fit(["nam"]), FormatError, 'no column "nam"; did you mean "name"');
    await assertRejects(() => fit(["y"]), OptionError, '"y" is the target');
    const same = await tableOf(both.replaceAll(/^\d+,/gm, "7,"));
    await assertRejects(() => TabularModel.fit(same, { keep: ["id"] }), OptionError, "the same in every row");
  });

  it("are said, with the way to keep them", async () => {
    await inFolder(async (folder) => {
      const csv = join(folder, "a.csv"), model = join(folder, "m.safetensors");
      const train = async (text: string, ...more: string[]): Promise<string> => {
        writeFileSync(csv, text);
        const { code, stderr } = await call([
          "tabular",
          "train",
          csv,
          "-o",
          model,
          "--folds",
          "0",
          "--model",
          "linear",
          ...more,
        ]);
        assertStrictEquals(code, 0, stderr);
        return stderr;
      };
      const text = `id,x,y\n${lines(90, (i) => `${i},${noise[i]}`)}\n`;
      assertMatch(
        await train(text),
        /column "id" is no input: counts the rows up by one, and tells nothing of "y"; --keep "id" keeps it/,
      );
      assert(!(await train(text, "--keep", "id")).includes("no input"));
      const told = await train(`day,x,y\n${lines(90, (i) => `${i},${i * 31 % 17},${3 * i}`)}\n`);
      assertMatch(told, /column "day" counts the rows up by one, and tells of "y": it stays an input/);
      const lacking = await train(`x,y\n${lines(90, (i) => i % 9 ? noise[i] : `${i},`)}\n`);
      assertMatch(lacking, /10 of 90 rows have no "y": they are left out/);
    });
  });
});

describe("large numbers", () => {
  /** R² of y = 2t + 1/2 from t alone. */
  async function r2(origin: number, step: number, target = 0): Promise<TabularModel> {
    const text = `t,y\n${
      lines(90, (i) => `${origin + i * 37 % 90 * step},${target + i * 37 % 90 * 2 + 0.5}`)
    }\n`;
    return await TabularModel.fit(new Blob([text]), quick);
  }

  it("keep their differences: times since 1970, long whole numbers", async () => {
    for (const [origin, step] of [[0, 1], [1.7e9, 1], [1.7e12, 1000], [1.7e15, 1], [9e15, 2], [-1e12, 0.5]]) {
      using model = await r2(origin, step);
      assert(model.evaluation!.heldOut.r2 > 0.9999, `${origin}: ${model.evaluation!.heldOut.r2}`);
      assertStrictEquals(model.schema.columns[0].origin, origin === 0 ? undefined : origin);
      await inFolder(async (folder) => {
        await model.save(join(folder, "m.safetensors"));
        using loaded = await TabularModel.load(join(folder, "m.safetensors"));
        assertEquals(loaded.schema, model.schema);
        const rows = [0, 1, 44, 89].map((i) => ({ t: origin + i * step })),
          said = await loaded.predictMany(rows);
        assertEquals(said, await model.predictMany(rows));
        said.forEach(({ value }, i) =>
          assert(Math.abs(value! - ([0, 1, 44, 89][i] * 2 + 0.5)) < 2, `${origin}: ${value}`)
        );
        // An earlier version would take numbers that are counted from an origin as they are.
        const { metadata } = model.toFile();
        assertMatch(
          metadata["ferrotype.tabular"],
          new RegExp(`"format":"ferrotype tabular model ${origin === 0 ? 1 : 2}"`),
        );
      });
    }
  });

  it("may be the target", async () => {
    using model = await r2(0, 1, 1.7e12);
    assert(model.evaluation!.heldOut.r2 > 0.9999);
    const { value, interval } = await model.predict({ t: 44 });
    assert(Math.abs(value! - (1.7e12 + 88.5)) < 2 && interval!.upper - interval!.lower < 10, `${value}`);
    const { base, prediction, columns } = await model.explain({ t: 80 });
    assert(Math.abs(base[0] + columns[0].contribution[0] - prediction[0]) < 0.01);
  });

  it("are the same in ONNX Runtime", { skip: "skip" in ort && ort.skip }, async () => {
    const { InferenceSession, Tensor } = (ort as { program: OnnxRuntime }).program;
    using model = await r2(1.7e12, 1000, 1.7e12);
    const session = await InferenceSession.create(model.toOnnx()), t = 1.7e12 + 44_000;
    const { value } = await session.run({ numeric: new Tensor("float64", Float64Array.of(t), [1, 1]) });
    assert(Math.abs(Number(value.data[0]) - (await model.predict({ t })).value!) < 1e-3);
    await session.release();
  });

  it("beyond f32 name their column", async () => {
    const text = (x: string, y: string): string =>
      `x,y\n${lines(30, (i) => i === 7 ? `${x},${y}` : `${i * 7 % 30},${i}.5`)}\n`;
    const fit = (csv: string) => TabularModel.fit(new Blob([csv]), { folds: 0 });
    for (
      const [csv, message] of [
        [
          text("1e39", "1"),
          /column "x" holds 1e\+39 in data row 8, and f32 ends at ±3\.4e38; .*--ignore "x"/,
        ],
        [text("-1e300", "1"), /column "x" holds -1e\+300 in data row 8/],
        [text("1", "1e40"), /column "y" holds 1e\+40 in data row 8/],
        [
          `x,y\n${lines(30, (i) => `${i * 7 % 30}e-60,${i}.5`)}\n`,
          /column "x" has values that differ by .* which f32 cannot tell from 0/,
        ],
        [`x,y\n${lines(30, (i) => `${i * 7 % 30},${i}.5e-70`)}\n`, /column "y", has values that differ by/],
      ] as const
    ) assertMatch((await assertRejects(() => fit(csv), FormatError)).message, message);
    using fine = await fit(text("3e38", "1"));
    assert(Number.isFinite((await fine.predict({ x: 3 })).value));
    assertThrows(
      () => fine.normalizer.cells({ x: 1e39 }),
      OptionError,
      'column "x" holds numbers up to ±3.4e38',
    );
    using small = await fit(`x,y\n${lines(30, (i) => `${i * 7 % 30}e-20,${i}.5`)}\n`);
    await assertRejects(
      () => small.predict({ x: 1e30 }),
      OptionError,
      'column "x" holds 1e+30, which is too far from',
    );
  });

  it("are no columns without a value", async () => {
    const csv = `x,e,y\n${lines(30, (i) => `${i},,${i % 2}`)}\n`;
    await assertRejects(
      () => TabularModel.fit(new Blob([csv])),
      FormatError,
      'column 2 ("e") has no value in any of 30 rows; leave it out with --ignore "e"',
    );
  });
});

/** What of a model's metadata is changed. */
interface Changed {
  columns: { form: unknown; origin: unknown }[];
  target: { origin: unknown };
  data: { csv: unknown };
}

describe("a model file", () => {
  it("whose columns are written in a way that cannot be is refused", async () => {
    using model = await TabularModel.fit(new Blob([`t;y\n${lines(40, (i) => `${1.7e9 + i},5;${i}`)}\n`]), {
      folds: 0,
      model: "linear",
    });
    const { tensors, metadata } = model.toFile(), json = JSON.parse(metadata["ferrotype.tabular"]);
    assertEquals([json.columns[0].form, json.columns[0].origin], [{ decimal: "," }, 1.7e9 + 0.5]);
    await inFolder(async (folder) => {
      const path = join(folder, "m.safetensors");
      const load = async (change: (json: Changed) => void): Promise<void> => {
        const changed = structuredClone(json);
        change(changed);
        await saveSafetensors(
          path,
          Object.fromEntries(tensors.map(({ name, shape, bytes }) => {
            const raw = (bytes as () => Uint8Array<ArrayBuffer>)(),
              half = raw.byteLength < 4 * shape.reduce((a, b) => a * b, 1);
            return [
              name,
              tensor(half ? new Uint16Array(raw.buffer) : new Float32Array(raw.buffer), {
                shape: [...shape],
                dtype: half ? "f16" : "f32",
              }),
            ];
          })),
          { metadata: { "ferrotype.tabular": JSON.stringify(changed) } },
        );
        (await TabularModel.load(path)).dispose();
      };
      await load(() => {});
      const wrong: [(json: Changed) => void, RegExp][] = [
        [(json) => json.columns[0].origin = "1", /column 0: origin/],
        [(json) => json.target.origin = [], /target: origin/],
        [(json) => json.columns[0].form = null, /column 0: form/],
        [(json) => json.columns[0].form = { decimal: "x" }, /form: decimal/],
        [(json) => json.columns[0].form = { dateOrder: 1 }, /form: dateOrder/],
        [(json) => json.data.csv = null, /data: csv/],
        [
          (json) => json.data.csv = { delimiter: ",", header: true, names: [1] },
          /csv: names/,
        ],
      ];
      for (const [change, message] of wrong) {
        assertMatch((await assertRejects(() => load(change), FormatError)).message, message);
      }
    });
  });
});
