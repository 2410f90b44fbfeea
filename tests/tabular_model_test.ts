/**
 * Fitting, asking, explaining and keeping a tabular model.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CancelledError, memory, Normalizer, readCsv, tabular, TabularModel } from "../mod.ts";
import { evaluateFolds } from "../src/tabular/evaluate.ts";
import { fitParts } from "../src/tabular/learner.ts";
import { meanLoss, mixShares } from "../src/tabular/mix.ts";
import { TableNormalizer } from "../src/tabular/normalizer.ts";
import { Predictor } from "../src/tabular/predictor.ts";
import { decorrelatedSource, featureSource } from "../src/tabular/sources.ts";
import { makeFolds, otherParts } from "../src/tabular/split.ts";
import { Stack } from "../src/tabular/stack.ts";
import { describeTarget, readTarget } from "../src/tabular/target.ts";
import { repository } from "./_data.ts";
import { inFolder } from "./_gpt2.ts";
import { type OnnxRuntime, rival } from "./_rivals.ts";
import { iris, madeUp, tableOf } from "./_tabular.ts";
import { describe, it } from "./_suite.ts";
import { judgedOnce } from "./_width.ts";

const ort = rival<OnnxRuntime>("onnxruntime-node");

describe("the normalizer", () => {
  it("standardises the training rows, and them only", async () => {
    const table = await tableOf(madeUp(200, "class"));
    const rows = Int32Array.from({ length: 120 }, (_, i) => i), target = table.column("target");
    const normalizer = new TableNormalizer(table, target, rows),
      x = normalizer.transform(normalizer.tableCells(rows));
    const n = normalizer.features.length;
    normalizer.features.forEach(({ kind }, f) => {
      let sum = 0, squares = 0;
      for (let row = 0; row < rows.length; row++) {
        sum += x[row * n + f];
        squares += x[row * n + f] ** 2;
      }
      assert(Math.abs(sum / rows.length) < 1e-4, `${kind} ${f}: mean ${sum / rows.length}`);
      // Rare categories and flat ramps keep a smaller deviation; nothing gets a larger one.
      const std = Math.sqrt(squares / rows.length);
      assert(std < 1.001 && (kind !== "value" || std > 0.999), `${kind} ${f}: deviation ${std}`);
    });
    const size = normalizer.columns[0];
    assertStrictEquals(size.missing, rows.filter((row) => row % 17 === 3).length);
    assert(normalizer.features.some(({ kind, column }) => kind === "missing" && column === 0));
    assert(
      normalizer.features.some(({ kind, column }) => kind === "log" && column === 1),
      "a skewed column is seen by its logarithm",
    );
    // Another part of the table changes nothing that was learned.
    const again = Normalizer.fit(table, { target: "target", rows });
    assertEquals(again.features, normalizer.features);
  });

  it("reads rows as people give them", async () => {
    const normalizer = Normalizer.fit(await tableOf(madeUp(100, "class")));
    const cells = normalizer.cells({
      size: "1.5",
      price: 2,
      colour: "green",
      member: true,
      since: new Date("2020-03-01T00:00:00Z"),
    });
    assertEquals([...cells], [1.5, 2, normalizer.columns[2].categories.indexOf("green"), 1, 18322]);
    assertEquals([...normalizer.cells(["1.5", "2", "green", "yes", "2020-03-01"])], [...cells]);
    assertStrictEquals(normalizer.cells({ colour: "violet" })[2], -1, "an unseen category");
    assert(normalizer.cells({}).every(Number.isNaN), "what is not named is missing");
    assert(Number.isNaN(normalizer.cells({ size: "n/a" })[0]));
    assertThrows(() => normalizer.cells({ sise: 1 }), Error, 'no column "sise"; did you mean "size"');
    assertThrows(() => normalizer.cells({ size: "big" }), Error, 'column "size" holds numbers, not "big"');
    assertThrows(() => normalizer.cells({ member: "perhaps" }), Error, "holds false or true");
    assertThrows(() => normalizer.cells({ since: "soon" }), Error, "holds dates");
    assertThrows(() => normalizer.cells([1, 2]), Error, "a row of 5 cells is expected");
  });

  it("leaves out what cannot help", async () => {
    const lines = Array.from(
      { length: 60 },
      (_, i) => `${i + 1},word ${i * 7},1,${Math.sin(i).toFixed(4)},${i % 2 ? "a" : "b"}`,
    );
    const { columns } = Normalizer.fit(await tableOf(`id,text,same,x,y\n${lines.join("\n")}\n`));
    assertEquals(columns.map(({ ignored }) => ignored), [
      'counts the rows up by one, and tells nothing of "y"',
      '60 different texts in 60 rows: identifiers or free text, which tells nothing of "y"',
      "the same in every row",
      null,
    ]);
  });

  it("decorrelates, and takes weights back", async () => {
    // Three numbers, of which the second goes with the first and the third with both. What is added to the variances
    // before decorrelating leaves a few hundredths.
    const lines = Array.from({ length: 150 }, (_, i) => {
      const [a, b, c] = [Math.sin(i * 12.9), Math.sin(i * 78.2), Math.sin(i * 41.3)];
      return `${a.toFixed(4)},${(a + 0.5 * b).toFixed(4)},${(a + b + c).toFixed(4)},${i * 1.5}`;
    });
    const table = await tableOf(`a,b,c,target\n${lines.join("\n")}\n`),
      rows = Int32Array.from({ length: 150 }, (_, i) => i);
    const normalizer = new TableNormalizer(table, table.column("target"), rows);
    const plain = featureSource(normalizer, normalizer.views.plain, 150), n = plain.width;
    const white = decorrelatedSource(plain, rows, 150);
    const x = new Float32Array(150 * n), z = new Float32Array(150 * n);
    plain.gather(rows, x, 0, n);
    white.gather(rows, z, 0, n);
    const covariance = (i: number, j: number): number =>
      rows.reduce((sum, row) => sum + z[row * n + i] * z[row * n + j], 0) / 150;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        assert(Math.abs(covariance(i, j) - (i === j ? 1 : 0)) < 0.12, `${i} ${j}: ${covariance(i, j)}`);
      }
    }
    const w = Float32Array.from({ length: n * 2 }, (_, i) => Math.sin(i)), folded = w.slice();
    white.fold!(folded, 2);
    const dot = (v: Float32Array, weights: Float32Array, row: number, o: number): number => {
      let sum = 0;
      for (let f = 0; f < n; f++) sum += v[row * n + f] * weights[f * 2 + o];
      return sum;
    };
    for (const row of [0, 7, 149]) {
      for (const o of [0, 1]) assert(Math.abs(dot(z, w, row, o) - dot(x, folded, row, o)) < 1e-4);
    }
  });

  it("predicts with what it will keep, also where it learned on other features", async () => {
    const table = await tableOf(madeUp(120, "class")), values = readTarget(table), all = values.rows;
    const normalizer = new TableNormalizer(table, values.column, all);
    const plain = featureSource(normalizer, normalizer.views.plain, 120),
      white = decorrelatedSource(plain, all, 120);
    const train = all.subarray(0, 80), validation = all.subarray(80);
    const member = {
      train,
      validation,
      targets: values.values,
      center: 0,
      scale: 1,
      classWeights: null,
      l2: 0.01,
    };
    const stack = new Stack([{ ...member, source: white }, { ...member, source: plain }], {
      hidden: [],
      classes: 2,
      lr: 0.05,
      weightDecay: 0,
      dropout: 0,
      steps: 60,
      batch: 1000,
      every: 10,
      patience: 60,
      seed: 0,
    });
    const least = await stack.train(),
      said = await stack.predict([validation, validation]),
      layers = await stack.layers();
    const target = describeTarget(values, train),
      truths = Array.from(validation, (row) => values.values[row]);
    for (const [i, own] of layers.entries()) {
      // The loss after rounding and taking weights back is the one that training saw.
      assert(
        Math.abs(meanLoss(said[i], truths, 2) - least[i]) < 0.01,
        `${meanLoss(said[i], truths, 2)} and ${least[i]}`,
      );
      const network = { share: 1, inputs: normalizer.views.plain, layers: own };
      const predictor = new Predictor(normalizer, [network], target);
      const kept = await predictor.predict(normalizer.tableCells(validation));
      kept.forEach((p, k) => assert(Math.abs(p - said[i][k]) < 1e-5));
      predictor.dispose();
    }
    stack.dispose();
  });
});

describe("folds", () => {
  it("hold every row once, classes spread evenly, by the seed", () => {
    const rows = Int32Array.from({ length: 103 }, (_, i) => i + 5),
      classes = Float64Array.from({ length: 200 }, (_, i) => i % 4 === 0 ? 1 : 0);
    const folds = makeFolds(rows, 5, 1, classes);
    assertEquals(folds.flatMap((f) => [...f]).sort((a, b) => a - b), [...rows]);
    const ones = folds.map((fold) => fold.reduce((sum, row) => sum + classes[row], 0));
    assert(Math.max(...ones) - Math.min(...ones) <= 1, `${ones}`);
    assertEquals(makeFolds(rows, 5, 1, classes), folds);
    assertNotEquals(makeFolds(rows, 5, 2, classes), folds);
    assertStrictEquals(otherParts(folds, 2).length, 103 - folds[2].length);
    assert(!otherParts(folds, 2).includes(folds[2][0]));
  });

  it("candidates share the average by what they say of rows not trained on", () => {
    const truths = [0, 1, 0, 1, 1, 0],
      right = Float32Array.from(truths.flatMap((t) => t ? [0.1, 0.9] : [0.9, 0.1]));
    const wrong = right.map((p) => 1 - p), close = right.map((p) => p > 0.5 ? 0.88 : 0.12);
    const shares = mixShares([right, wrong, close], truths, 2);
    assertStrictEquals(shares[1], 0);
    assert(shares[0] > shares[2] && shares[2] > 0);
    assert(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-12);
    assertEquals(mixShares([Float32Array.of(1, 2)], [1, 2], 0), [1]);
  });
});

describe("TabularModel", () => {
  it("learns classes, says how well, and is the same after saving", async () => {
    const before = memory().cpu?.bytes ?? 0;
    const table = await tableOf(madeUp(240, "class"));
    const model = await TabularModel.fit(table, { folds: 3, reportFit: true });
    const { heldOut, baseline, linear, folds, confusion, importance, interval } = model.evaluation!;
    assertStrictEquals(folds, 3);
    assert(heldOut.accuracy > 0.8, `accuracy ${heldOut.accuracy}`);
    assert(baseline.accuracy < 0.65 && baseline.auc === 0.5);
    assert(linear !== null && linear.accuracy > 0.75);
    assertStrictEquals(confusion!.flat().reduce((a, b) => a + b), 240);
    assert(interval.accuracy[0] < heldOut.accuracy && heldOut.accuracy < interval.accuracy[1]);
    const found = importance.map(({ column }) => column);
    assert(
      found.indexOf("size") < found.indexOf("price") && found.indexOf("colour") < found.indexOf("since"),
      found.join(),
    );
    assert((model.info.fit as { accuracy: number }).accuracy >= heldOut.accuracy - 0.05);
    const row = { size: 1.2, price: 1, colour: "blue", member: true, since: "2021-01-01" };
    const said = await model.predict(row);
    assertStrictEquals(said.class, "yes");
    assert(Math.abs(Object.values(said.probabilities!).reduce((a, b) => a + b) - 1) < 1e-6);
    const unseen = await model.predict({ colour: "violet" });
    assert(Number.isFinite(unseen.probabilities!.yes), "an unseen category and missing cells");

    await inFolder(async (folder) => {
      const path = join(folder, "model.safetensors");
      await model.save(path);
      const { length } = readFileSync(path);
      assert(length <= 32_000, `${length} bytes`);
      const loaded = await TabularModel.load(path);
      assertEquals(loaded.schema, model.schema);
      assertEquals(loaded.fitted.networks, model.fitted.networks);
      assertEquals(loaded.info, JSON.parse(JSON.stringify(model.info)));
      assertEquals(await loaded.predict(row), said);
      loaded.dispose();
    });

    const { base, prediction, columns, outputs } = await model.explain(row);
    assertEquals(outputs, ["no", "yes"]);
    const sum = columns.reduce((total, { contribution }) => total + contribution[1], base[1]);
    assert(Math.abs(sum - prediction[1]) < 1e-6 && Math.abs(prediction[1] - said.probabilities!.yes) < 1e-6);
    const of = (name: string): number => columns.find(({ column }) => column === name)!.contribution[1];
    assert(of("size") > Math.abs(of("since")), "what matters says more");
    model.dispose();
    const after = memory().cpu?.bytes ?? 0;
    assert(after - before < 100_000, `${after - before} bytes are still held`);
  });

  it("is the same in ONNX Runtime", { skip: "skip" in ort && ort.skip }, async () => {
    const { InferenceSession, Tensor } = (ort as { program: OnnxRuntime }).program;
    const model = await TabularModel.fit(await tableOf(madeUp(150, "class")), { folds: 0, steps: 40 });
    const row = { size: 0.4, price: 2.5, colour: "green", member: false, since: "2020-07-09" };
    const session = await InferenceSession.create(model.toOnnx({ numeric: "double" }));
    const [size, price, , member, since] = model.normalizer.cells(row);
    const { probabilities, label } = await session.run({
      numeric: new Tensor("float64", Float64Array.of(size, price, member, since), [1, 4]),
      categorical: new Tensor("string", ["green"], [1, 1]),
    });
    const said = await model.predict(row);
    Object.values(said.probabilities!).forEach((p, c) => assert(Math.abs(p - probabilities.data[c]) < 1e-5));
    assertStrictEquals(label.data[0], said.class);
    await session.release();
    model.dispose();
  });

  it("learns values, with an interval that holds what it says", async () => {
    const table = await tableOf(madeUp(240, "value")), model = await TabularModel.fit(table, { folds: 3 });
    const { heldOut, baseline, conformal } = model.evaluation!;
    assert(heldOut.r2 > 0.75 && heldOut.rmse < 0.5 * baseline.rmse, JSON.stringify(heldOut));
    assert(Math.abs(conformal!.coverage - 0.9) < 0.06, `coverage ${conformal!.coverage}`);
    const { value, interval } = await model.predict({
      size: 0,
      price: 1,
      colour: "green",
      member: true,
      since: "2020-06-01",
    });
    assert(Math.abs(value! - 12.4) < 1.5, `${value}`);
    assertStrictEquals(interval!.level, 0.9);
    const fresh = await tableOf(madeUp(300, "value", 9)), held = fresh.column("target").values;
    const rows = Array.from(
      { length: 300 },
      (_, i) =>
        Object.fromEntries(
          fresh.columns.slice(0, 5).map(({ name, kind, values, texts }) => {
            const cell = values[i];
            return [
              name,
              Number.isNaN(cell)
                ? null
                : kind === "date"
                ? new Date(cell * 86_400_000)
                : kind === "numeric"
                ? cell
                : texts[cell],
            ];
          }),
        ),
    );
    const said = await model.predictMany(rows);
    const inside =
      said.filter(({ interval }, i) => held[i] >= interval!.lower && held[i] <= interval!.upper).length / 300;
    assert(inside > 0.8, `the interval holds ${inside} of new rows`);
    await inFolder(async (folder) => {
      await model.save(join(folder, "m.safetensors"));
      const loaded = await TabularModel.load(join(folder, "m.safetensors"));
      assertEquals(await loaded.predictMany(rows), said);
      loaded.dispose();
    });
    model.dispose();
  });

  it(
    "gives the same for the same seed, and leaves the caller's random numbers alone",
    { skip: judgedOnce },
    async () => {
      const table = await tableOf(madeUp(80, "class")), options = { folds: 0, steps: 30, seed: 4 };
      const one = await TabularModel.fit(table, options), two = await TabularModel.fit(table, options);
      const other = await TabularModel.fit(table, { ...options, seed: 5 });
      assertEquals(one.fitted.networks, two.fitted.networks);
      assertNotEquals(one.fitted.networks, other.fitted.networks);
      for (const model of [one, two, other]) model.dispose();
    },
  );

  it("weighs rare classes when asked", { skip: judgedOnce }, async () => {
    const lines = Array.from(
      { length: 200 },
      (_, i) =>
        `${Math.sin(i * 12.9898).toFixed(4)},${
          Math.sin(i * 12.9898) + Math.sin(i * 78.2) > 1.3 ? "rare" : "usual"
        }`,
    );
    const table = await tableOf(`x,y\n${lines.join("\n")}\n`), options = { folds: 3, steps: 60 };
    const plain = await TabularModel.fit(table, options),
      weighed = await TabularModel.fit(table, { ...options, classWeights: "balanced" });
    const found = (model: TabularModel): number => model.evaluation!.confusion![0][0];
    assert(found(weighed) > found(plain), `${found(weighed)} and ${found(plain)} of the rare class found`);
    plain.dispose();
    weighed.dispose();
  });

  it("chooses nothing by rows that are held out", { skip: judgedOnce }, async () => {
    // With labels that mean nothing, whatever is picked by the held-out rows would look better than guessing.
    const lines = Array.from({ length: 120 }, (_, i) => {
      const cells = Array.from({ length: 10 }, (_, c) => Math.sin(i * 37.7 + c * 91.3 + i * i).toFixed(4));
      return `${cells.join(",")},${Math.sin(i * i * 5.1 + 0.3) > 0 ? "a" : "b"}`;
    });
    const model = await TabularModel.fit(
      await tableOf(`${"abcdefghij".split("").join(",")},y\n${lines.join("\n")}\n`),
      { steps: 60 },
    );
    const { heldOut } = model.evaluation!;
    assert(Math.abs(heldOut.auc - 0.5) < 0.17, `AUC ${heldOut.auc} of noise`);
    // What a fold learned does not depend on the rows it was tested on.
    const table = await tableOf(madeUp(90, "class")),
      values = readTarget(table),
      folds = makeFolds(values.rows, 3, 0, values.values);
    const options = { steps: 20 }, part = { train: otherParts(folds, 0), test: folds[0] };
    const [first] = await fitParts(table, values, [part], options);
    const altered = { ...values, values: values.values.slice() };
    for (const row of folds[0]) altered.values[row] = 1 - altered.values[row];
    const [second] = await fitParts(table, altered, [part], options);
    assertEquals(second.networks, first.networks);
    assertEquals(second.test, first.test);
    const right = await evaluateFolds(values, [first], [folds[0]], "test", 0),
      swapped = await evaluateFolds(altered, [second], [folds[0]], "test", 0);
    assert(Math.abs(right.heldOut.accuracy + swapped.heldOut.accuracy - 1) < 1e-12);
    model.dispose();
  });

  it("can be stopped, and refuses what it cannot do", async () => {
    const table = await tableOf(madeUp(100, "class"));
    await assertRejects(() => TabularModel.fit(table, { signal: AbortSignal.abort() }), CancelledError);
    const controller = new AbortController();
    const fit = TabularModel.fit(table, {
      signal: controller.signal,
      onProgress: ({ step }) => step === 20 && controller.abort(),
    });
    await assertRejects(() => fit, CancelledError);
    await assertRejects(() => TabularModel.fit(table, { target: "nobody" }), Error, 'no column "nobody"');
    await assertRejects(
      () => TabularModel.fit(table, { folds: 1.5 }),
      Error,
      "folds is 1.5, expected a whole number from 0",
    );
    await assertRejects(
      () => TabularModel.fit(table, { folds: 101 }),
      Error,
      "100 rows cannot be cut into 101 folds",
    );
    await assertRejects(
      () => TabularModel.fit(table, { hidden: [0] }),
      Error,
      "hidden is [0], expected a list of whole numbers from 1",
    );
    await assertRejects(
      async () => TabularModel.fit(await tableOf("x,y\n1,a\n2,b\n3,a\n4,b\n")),
      Error,
      "has 4 rows with a target; at least 8",
    );
    await assertRejects(
      async () => TabularModel.fit(await tableOf(`x,y\n${"1,a\n1,b\n".repeat(6)}`)),
      Error,
      'no column to predict from ("x": the same in every row)',
    );
    assertMatch(String(await assertRejects(() => TabularModel.load(new Uint8Array(40)))), /./);
  });

  it("reads a classic table from its file, alone", async () => {
    await inFolder(async (folder) => {
      const path = join(folder, "iris.csv"), text = iris();
      writeFileSync(path, text);
      const table = await readCsv(path);
      assertStrictEquals(table.sha256, createHash("sha256").update(text).digest("hex"));
      const model = await TabularModel.fit(table);
      const { heldOut, standardError } = model.evaluation!;
      assert(heldOut.accuracy >= 0.96 - standardError.accuracy, `accuracy ${heldOut.accuracy}`);
      model.dispose();
    });
  });
});

describe("the ten models that ship", () => {
  const folder = join(repository, "web", "models", "tabular");
  const names = [
    "cancer",
    "diabetes",
    "heart",
    "housing",
    "iris",
    "mpg",
    "penguins",
    "seeds",
    "titanic",
    "wine",
  ];

  it("are small, whole, and say where they come from", async () => {
    assertEquals(readdirSync(folder).sort(), names.map((name) => `${name}.safetensors`));
    for (const name of names) {
      const path = join(folder, `${name}.safetensors`);
      const { length } = readFileSync(path);
      assert(length <= 32_000, `${name}: ${length} bytes`);
      const model = await TabularModel.load(path), { schema, info, evaluation } = model;
      assertMatch(info.data.sha256!, /^[0-9a-f]{64}$/);
      assertMatch(evaluation!.split, /^5-fold cross-validation/);
      assertStrictEquals(Object.keys(info.fit as object).length > 0, true);
      const usual = await model.predict(
        Object.fromEntries(schema.columns.map(({ name, quantiles }) => [name, quantiles[10]])),
      );
      if (schema.target.task === "classification") assert(schema.target.classes.includes(usual.class!));
      else {
        assert(usual.value! > schema.target.min && usual.value! < schema.target.max);
        assert(tabular.conformalRadius(model.fitted.residuals, 0.9) > 0);
      }
      model.dispose();
    }
  });
});
