/**
 * `ferrotype tabular …` as one calls it: its output, its files, its exit status, its sentences about wrong input.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { repository } from "./_data.ts";
import { call, fails, ferrotype, interrupt, json, output } from "./_command.ts";
import { inFolder } from "./_gpt2.ts";
import { madeUp } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

const quick = ["--folds", "2", "--steps", "30"];

type Numbers = Record<string, number>;

interface Report {
  task: string;
  rows: number;
  features: number;
  target: string;
  classes: string[] | null;
  folds: number;
  held_out: Numbers;
  standard_error: Numbers;
  baseline: Numbers;
  linear: Numbers;
  fit: Numbers | null;
  file: string;
  bytes: number;
}

describe("ferrotype tabular", () => {
  it(
    "trains over a model of a table, and over something else with --force alone",
    { skip: asksNothing },
    async () => {
      await inFolder(async (folder) => {
        const csv = join(folder, "data.csv"),
          out = join(folder, "out"),
          words = ["tabular", "train", csv, "-o", out];
        writeFileSync(csv, madeUp(60, "class"));
        const other = readFileSync(join(repository, "web/models/shakespeare/model.safetensors")).subarray(
          0,
          5000,
        );
        for (const bytes of [other, "a list of things to do\n"]) {
          writeFileSync(out, bytes);
          const { code, stderr } = await ferrotype([...words, "--model", "linear"]);
          assertStrictEquals(code, 2);
          assertMatch(stderr, /out is there already and is no model of a table; give --force to replace it/);
          assertEquals(readFileSync(out), Buffer.from(bytes as string));
        }
        for (const force of [["--force"], []]) await call([...words, "--model", "linear", ...force]);
        assertStrictEquals(
          (await json<{ target: { name: string } }>(["tabular", "inspect", out])).target.name,
          "target",
        );
      });
    },
  );

  it("trains classes, predicts, inspects and explains", { skip: asksNothing }, async () => {
    await inFolder(async (folder) => {
      const csv = join(folder, "data.csv"), model = join(folder, "model.safetensors");
      writeFileSync(csv, madeUp(160, "class"));
      const report = await json<Report>(["tabular", "train", csv, "-o", model, ...quick, "--report-fit"]);
      assertEquals(
        [report.task, report.rows, report.features, report.target, report.classes, report.folds, report.file],
        ["classification", 160, 5, "target", ["no", "yes"], 2, model],
      );
      for (const part of [report.held_out, report.standard_error, report.baseline]) {
        for (const name of ["accuracy", "log_loss", "macro_f1", "auc"]) {
          assertStrictEquals(typeof part[name], "number", name);
        }
      }
      assert(report.held_out.accuracy > report.baseline.accuracy);
      assert(report.fit !== null && report.fit.accuracy > 0.5);
      assertStrictEquals(report.bytes, statSync(model).size);

      const row = ["size=1.5", "price=1", "colour=blue", "member=true", "since=2020-05-05"];
      const said = await json<{ target: string; class: string; probabilities: Numbers }>([
        "tabular",
        "predict",
        model,
        ...row,
      ]);
      assertStrictEquals(said.class, "yes");
      assertMatch(
        await output(["tabular", "predict", model, ...row]),
        /^target: yes\n {2}yes +\d+\.\d\d %\n {2}no /,
      );
      const same = await json<{ class: string }>([
        "tabular",
        "predict",
        model,
        '{"size":1.5,"price":1,"colour":"blue","member":true,"since":"2020-05-05"}',
      ]);
      assertEquals(same, said);
      for (const [text, shown] of [["1e400", '"1e400"'], ["-1e999", '"-1e999"'], ["1e39", '"1e39"']]) {
        await fails(
          2,
          ["tabular", "predict", model, `{"size":${text}}`],
          new RegExp(`column "size" holds numbers.*, not ${shown}`),
        );
      }

      const out = join(folder, "out.csv");
      await output(["tabular", "predict", model, "--csv", csv, "-o", out]);
      const lines = readFileSync(out, "utf8").trimEnd().split("\n");
      assertStrictEquals(lines[0], "target,p(no),p(yes)");
      assertStrictEquals(lines.length, 161);
      const truth = readFileSync(csv, "utf8").trimEnd().split("\n").map((line) => line.split(",").at(-1));
      const right = lines.slice(1).filter((line, i) => line.split(",")[0] === truth[i + 1]).length;
      assert(right > 120, `${right} of 160 rows of the training file are right`);

      const inspected = await json<
        { columns: { name: string }[]; data: { sha256: string }; evaluation: { held_out: Numbers } }
      >(["tabular", "inspect", model]);
      assertEquals(inspected.columns.map(({ name }) => name), [
        "size",
        "price",
        "colour",
        "member",
        "since",
      ]);
      assertMatch(inspected.data.sha256, /^[0-9a-f]{64}$/);
      assert(Math.abs(inspected.evaluation.held_out.accuracy - report.held_out.accuracy) < 1e-6);
      const text = await output(["tabular", "inspect", model]);
      for (
        const part of [
          "majority class",
          "logistic regression",
          "this model",
          "colour",
          "categorical",
          "2-fold cross-validation",
        ]
      ) {
        assert(text.includes(part), part);
      }
      const importance = await json<{ importance: { column: string }[] }>(["tabular", "explain", model]);
      assertStrictEquals(importance.importance.length, 5);
      const parts = await json<
        { base: number[]; prediction: number[]; columns: { contribution: number[] }[] }
      >(["tabular", "explain", model, ...row]);
      const sum = parts.columns.reduce((total, { contribution }) => total + contribution[1], parts.base[1]);
      assert(Math.abs(sum - parts.prediction[1]) < 1e-6);
      assertMatch(
        await output(["tabular", "explain", model, ...row]),
        /^probability of "yes": .*\n {2}usual rows /,
      );
    });
  });

  it("trains values from standard input, in a process of its own, without a terminal's bar", async () => {
    await inFolder(async (folder) => {
      const model = join(folder, "m.safetensors");
      const ended = await ferrotype(["tabular", "train", "-", "-o", model, ...quick, "--json"], {
        input: madeUp(120, "value"),
      });
      assertStrictEquals(ended.code, 0, ended.stderr);
      const report = JSON.parse(ended.stdout) as Report;
      assertEquals([report.task, report.rows, report.classes], ["regression", 120, null]);
      for (const part of [report.held_out, report.standard_error, report.baseline]) {
        for (const name of ["rmse", "mae", "r2"]) assertStrictEquals(typeof part[name], "number", name);
      }
      assert(!ended.stderr.includes("\r"), "no live line in a pipe");
      assertMatch(ended.stderr, /target "target" \(the last column\): regression/);
      const said = await json<{ value: number; interval: { lower: number; upper: number } }>([
        "tabular",
        "predict",
        model,
        "size=0",
      ]);
      assert(said.interval.lower < said.value && said.value < said.interval.upper);
    });
  });

  it("says both baselines and its own figures to a person", { skip: asksNothing }, async () => {
    await inFolder(async (folder) => {
      const csv = join(folder, "data.csv");
      writeFileSync(csv, madeUp(100, "class"));
      const { code, stdout, stderr } = await call([
        "tabular",
        "train",
        csv,
        "-o",
        join(folder, "m.safetensors"),
        ...quick,
      ]);
      assertEquals([code, stdout], [0, ""]);
      for (
        const line of [
          /majority class +0\.\d{4}/,
          /logistic regression +0\.\d{4} ± /,
          /this model +0\.\d{4} ± /,
          /column "size" lacks 6 of 100 values/,
        ]
      ) {
        assertMatch(stderr, line);
      }
      assert(!stderr.includes("fit ("));
    });
  });

  it(
    "answers wrong input with one sentence and status 1, and writes nothing",
    { skip: asksNothing },
    async () => {
      await inFolder(async (folder) => {
        const out = join(folder, "m.safetensors");
        const bad = async (
          content: string | Uint8Array,
          message: RegExp,
          ...more: string[]
        ): Promise<void> => {
          const csv = join(folder, "bad.csv");
          writeFileSync(csv, content);
          const { code, stdout, stderr } = await call(["tabular", "train", csv, "-o", out, ...more]);
          assertStrictEquals(code, 1, stderr);
          assertStrictEquals(stdout, "");
          assertMatch(stderr.trimEnd().split("\n").at(-1)!, message);
          assert(!existsSync(out));
        };
        await bad("a,b\n1,2\n3\n", /^ferrotype: bad\.csv: row 3 has 1 column, and row 1 has 2/);
        await bad("a,b\n", /^ferrotype: bad\.csv has no rows/);
        await bad("", /^ferrotype: bad\.csv has no rows: it is empty/);
        await bad("x,y\n" + "1,a\n2,a\n".repeat(5), /column "y", has one class only \("a", in all 10 rows\)/);
        await bad("x,y,z\n" + "1,,a\n2,,b\n".repeat(5), /column 2 \("y"\) has no value in any of 10 rows/);
        await bad(
          "a\n1\n2\n",
          /the target, column "a", is the only one: one column only, and at least two are needed/,
        );
        await bad(
          new Uint8Array([0x61, 0x2c, 0x62, 0x0a, 0xe9, 0x2c, 0x31, 0x0a]),
          /row 2, column 1 has the byte 0xE9/,
        );
        await bad(
          "x,y\n" + Array.from({ length: 30 }, (_, i) => `${i},${i % 3}`).join("\n"),
          /has no column "zz"/,
          "--target",
          "zz",
        );
        const missing = await call(["tabular", "train", join(folder, "none.csv"), "-o", out]);
        assertStrictEquals(missing.code, 1);
        assertMatch(missing.stderr, /none\.csv: there is no such file/);
        // A file that is larger than memory: it has a hole of 10 GB, which takes no disk.
        const huge = join(folder, "huge.csv");
        writeFileSync(huge, "a,b\n1,2\n");
        truncateSync(huge, 10_000_000_000);
        const { code, stderr } = await call(["tabular", "train", huge, "-o", out]);
        assertStrictEquals(code, 1);
        assertMatch(stderr, /huge\.csv is not a text file: row 3, column 1 has a zero byte/);
      });
    },
  );

  it(
    "names the flag that has no effect on what the target is found to be",
    { skip: asksNothing },
    async () => {
      await inFolder(async (folder) => {
        const csv = join(folder, "r.csv");
        writeFileSync(
          csv,
          "a,y\n" + Array.from({ length: 60 }, (_, i) => `${i % 7},${i * 1.37 + 0.5}`).join("\n"),
        );
        const args = [
          "tabular",
          "train",
          csv,
          "-o",
          join(folder, "m"),
          "--quiet",
          "--class-weights",
          "balanced",
        ];
        await fails(
          2,
          args,
          /^ferrotype: tabular train: --class-weights has no effect because "y" is a regression, which has no classes; leave it out\n$/,
        );
      });
    },
  );

  it("answers wrong calls with status 2", { skip: asksNothing }, async () => {
    const wrong: [string[], RegExp][] = [
      [
        ["tabular"],
        /"tabular" needs one of: tabular train, tabular predict, tabular inspect, tabular explain/,
      ],
      [["tabular", "train", "x.csv"], /say where to write with -o FILE/],
      [["tabular", "train", "x.csv", "-o", "y", "--folds", "-1"], /--folds is a whole number/],
      [["tabular", "train", "x.csv", "-o", "y", "--bins", "6,5"], /ascending/],
      [["tabular", "train", "x.csv", "-o", "y", "--hidden", "a"], /--hidden is numbers/],
      [["tabular", "train", "x.csv", "-o", "y", "--delimiter", "ab"], /one character/],
      [
        ["tabular", "train", "x.csv", "-o", "y", "--task", "guess"],
        /--task is "classification" or "regression", not "guess"/,
      ],
      [["tabular", "predict", "m.safetensors"], /give a row/],
      [["tabular", "explain", "m.safetensors", "size"], /name=value/],
    ];
    for (const [args, message] of wrong) {
      const { code, stderr } = await call(args);
      assertStrictEquals(code, 2, `${args.join(" ")}: ${stderr}`);
      assertMatch(stderr, message);
    }
  });

  it("refuses a file that is no tabular model", { skip: asksNothing }, async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "x.safetensors");
      const header = new TextEncoder().encode('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}');
      const bytes = new Uint8Array(8 + header.length + 4);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
      bytes.set(header, 8);
      writeFileSync(path, bytes);
      const { code, stderr } = await call(["tabular", "inspect", path]);
      assertStrictEquals(code, 1);
      assertMatch(stderr, /is no tabular model/);
    });
  });

  it("stops at Ctrl-C with status 130", {
    skip: "Bun" in globalThis && "a child of Bun cannot be sent SIGINT reliably under load",
  }, async () => {
    await inFolder(async (folder) => {
      const csv = join(folder, "data.csv");
      writeFileSync(csv, madeUp(4000, "value"));
      const args = ["tabular", "train", csv, "-o", join(folder, "m.safetensors"), "--steps", "100000"];
      const ended = await ferrotype(args, {
        started: (child) => child.stderr.once("data", () => setTimeout(() => interrupt(child), 300)),
      });
      assertEquals([ended.code, ended.stderr.includes("interrupted")], [130, true], ended.stderr);
    });
  });
});
