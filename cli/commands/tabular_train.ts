/**
 * `ferrotype tabular train`: any CSV to a model, with what it is worth on rows it has not seen.
 *
 * @module
 */
import { oneOf, whole } from "../../src/core/kinds.ts";
import { FormatError, TabularModel, type TabularOptions } from "../../mod.ts";
import { onStop, stat } from "../../src/platform/platform.ts";
import { show } from "../../src/core/show.ts";
import { type Command, type Options, UsageError, type Values } from "../command.ts";
import { counted, formatBytes, formatSeconds, LiveLine, note, printJson } from "../output.ts";
import { forceHelp, type Own, placeOf } from "../place.ts";
import { csvOptions, idleCsvOptions, readCsvOptions, sayReading } from "../csv.ts";
import { evaluationLines, importanceLines, readTable, snakeCase } from "../tabular.ts";

/** How a model is fitted; everything has a default. */
const fitOptions: Options = {
  target: { value: "COLUMN", help: "what to predict (default: the last column)" },
  task: {
    value: "T",
    kind: oneOf("classification", "regression"),
    help: "default: found out from the target, and said",
  },
  bins: { value: "A,B", help: "turn a number into classes: the largest value of each, without the last" },
  folds: {
    value: "N",
    kind: whole(0, 100),
    help: "folds of the cross-validation; 1 holds a fifth out, 0 skips it (default 5; 1 above 100,000 rows)",
  },
  keep: {
    value: "COLUMN",
    multiple: true,
    help:
      "an input even where it looks like an identifier, and all of its texts (up to 1000); again for more",
  },
  seed: { value: "N", kind: whole(0), help: "decides every random choice (default 0)" },
  "class-weights": {
    value: "W",
    kind: oneOf("none", "balanced"),
    help: "balanced: each class counts the same, however rare (default none)",
  },
  model: {
    value: "M",
    kind: oneOf("auto", "linear", "mlp"),
    help: "what is tried (default auto: linear models and perceptrons)",
  },
  hidden: { value: "N,N", help: "widths of the perceptrons' hidden layers (default: from the data)" },
  steps: {
    value: "N",
    kind: whole(1),
    help: "most training steps of a perceptron (default: from the data)",
  },
  "report-fit": { help: "also measure on all rows, training rows included; named fit, and never the result" },
};

function numbers(values: Values, name: string): number[] | undefined {
  const text = values.text(name);
  if (text === undefined) return undefined;
  const list = text.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  if (list.some((n) => !Number.isFinite(n))) {
    throw new UsageError(`--${name} is numbers with commas between, not ${show(text)}`);
  }
  return list;
}

/** @throws {UsageError} for a column that one option takes and another leaves out. */
function demandApart(values: Values): void {
  const target = values.text("target"), keep = values.texts("keep"), ignore = values.texts("ignore");
  const both = keep.find((column) => ignore.includes(column));
  if (both !== undefined) {
    throw new UsageError(
      `tabular train: --keep ${show(both)} and --ignore ${show(both)} exclude each other; leave one out`,
    );
  }
  if (target === undefined) return;
  if (ignore.includes(target)) {
    throw new UsageError(
      `tabular train: --target is ${show(target)}, which --ignore leaves out; leave one of them out`,
    );
  }
  if (keep.includes(target)) {
    throw new UsageError(
      `tabular train: --keep ${show(target)} has no effect because it is the target; leave it out`,
    );
  }
}

function readFitOptions(values: Values): TabularOptions {
  const target = values.text("target"),
    task = values.text("task"),
    bins = numbers(values, "bins"),
    hidden = numbers(values, "hidden");
  const folds = values.number("folds"), seed = values.number("seed"), steps = values.number("steps");
  const weights = values.text("class-weights"), model = values.text("model");
  if (bins && bins.some((cut, i) => i > 0 && cut <= bins[i - 1])) {
    throw new UsageError(
      `--bins are numbers in ascending order with commas between, not ${show(values.text("bins"))}`,
    );
  }
  if (hidden && hidden.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new UsageError(
      `--hidden are whole numbers from 1 with commas between, not ${show(values.text("hidden"))}`,
    );
  }
  demandApart(values);
  return {
    ...(target === undefined ? {} : { target }),
    ...(task === undefined ? {} : { task: task as "classification" | "regression" }),
    ...(bins === undefined ? {} : { bins }),
    ...(folds === undefined ? {} : { folds }),
    ...(seed === undefined ? {} : { seed }),
    ...(weights === undefined ? {} : { classWeights: weights as "none" | "balanced" }),
    ...(model === undefined ? {} : { model: model as "auto" | "linear" | "mlp" }),
    ...(hidden === undefined ? {} : { hidden }),
    ...(steps === undefined ? {} : { steps }),
    keep: values.texts("keep"),
    reportFit: values.flag("report-fit"),
  };
}

/** A file of the engine: its header is not looked into twice, so the whole file is read as one. */
const own = (out: string): Own => ({
  what: "no model of a table",
  async is() {
    try {
      (await TabularModel.load(out)).dispose();
      return true;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      return false;
    }
  },
});

/** The command. */
export const tabularTrain: Command = {
  name: "tabular train",
  usage: "CSV -o FILE [options]",
  summary: "Fits a model to a CSV file, and says how good it is on rows it has not seen.",
  details:
    "How the file is written, what its columns hold, target and task are found out, and said. CSV may be - for standard input.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "FILE", help: "where to write the model (safetensors; required)" },
    ...fitOptions,
    ...csvOptions,
    force: { help: forceHelp },
    quiet: { help: "say nothing while working" },
  },
  idle: [
    {
      option: ["hidden", "steps"],
      when: ({ model }) => model === "linear",
      because: "--model linear has no perceptrons",
    },
    {
      option: ["bins", "class-weights"],
      when: ({ task }) => task === "regression",
      because: "--task regression has no classes",
      unless: "none",
    },
    { option: "explain-csv", when: ({ quiet }) => quiet === true, because: "--quiet says nothing" },
    ...idleCsvOptions(() => false, ""),
  ],
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("tabular train: say where to write with -o FILE");
    const wrote = await placeOf("tabular train", out, values.flag("force"), own(out));
    const options = readFitOptions(values), reading = readCsvOptions(values), json = values.flag("json");
    const say = (text: string): Promise<void> => values.flag("quiet") ? Promise.resolve() : note(text);
    const controller = new AbortController(),
      remove = onStop(() => controller.abort()),
      line = new LiveLine();
    try {
      const started = performance.now();
      const table = await readTable(path, reading, line, controller.signal);
      const seconds = (performance.now() - started) / 1000;
      const rate = seconds > 1
        ? ` (${formatSeconds(seconds)}, ${
          Math.round(table.rowsInFile / seconds).toLocaleString("en")
        } rows/s)`
        : "";
      if (!values.flag("quiet")) await sayReading(table, values, rate);
      const fitting = performance.now();
      let shown = 0, rows = 0;
      const model = await TabularModel.fit(table, {
        ...options,
        signal: controller.signal,
        onProgress(progress) {
          rows = progress.rows;
          if (!line.on || values.flag("quiet") || performance.now() - shown < 100) return;
          shown = performance.now();
          const speed = Math.round(rows / (shown - fitting) * 1000).toLocaleString("en");
          void line.show(
            `training: ${progress.what}, step ${progress.step} of at most ${progress.steps}, ${speed} rows/s`,
          );
        },
      });
      await line.end();
      const spent = (performance.now() - fitting) / 1000;
      await say(model.info.explanation);
      for (const { name, ignored } of model.schema.columns) {
        if (ignored === null) continue;
        const way = ignored.includes("the same in every row") ? "" : `; --keep "${name}" keeps it`;
        await say(`column "${name}" is no input: ${ignored}${way}`);
      }
      for (const text of model.info.notes ?? []) await say(text);
      for (const { name, missing } of model.schema.columns) {
        if (missing > 0) {
          await say(
            `column "${name}" lacks ${missing} of ${
              counted(model.info.data.rows, "value")
            }: filled in, and marked as missing`,
          );
        }
      }
      const { evaluation } = model;
      if (evaluation && !json) {
        for (
          const text of [
            ...evaluationLines(evaluation, model.schema.target.classes),
            ...importanceLines(evaluation),
          ]
        ) await say(text);
      }
      if (model.info.fit !== null && !json) {
        await say(
          `fit (all rows, training rows included; not the result): ${
            Object.entries(model.info.fit as object).map(([k, v]) => `${k} ${v}`).join(", ")
          }`,
        );
      }
      await model.save(out);
      const bytes = (await stat(out))?.size ?? 0;
      await say(
        `trained in ${formatSeconds(spent)} (${
          Math.round(rows / spent).toLocaleString("en")
        } rows/s); ${wrote} ${out}, ${formatBytes(bytes)}`,
      );
      if (json) await printJson(report(model, out, bytes));
    } finally {
      remove();
      await line.end();
    }
  },
};

/** The contract's JSON object; keys beyond it may grow. */
function report(model: TabularModel, file: string, bytes: number): Record<string, unknown> {
  const { evaluation, info, schema } = model;
  if (bytes === 0) throw new FormatError(`${file} was not written`);
  return {
    task: schema.target.task,
    rows: info.data.rows,
    features: schema.columns.length,
    target: schema.target.name,
    classes: schema.target.task === "classification" ? schema.target.classes : null,
    folds: evaluation?.folds ?? 0,
    held_out: snakeCase(evaluation?.heldOut ?? null),
    standard_error: snakeCase(evaluation?.standardError ?? null),
    baseline: snakeCase(evaluation?.baseline ?? null),
    linear: snakeCase(evaluation?.linear ?? null),
    interval_95: evaluation && snakeCase(evaluation.interval as never),
    confusion: evaluation?.confusion ?? null,
    conformal: evaluation?.conformal ?? null,
    importance: evaluation?.importance ?? null,
    fit: snakeCase(info.fit as never),
    split: evaluation?.split ?? null,
    shares: info.shares,
    sha256: info.data.sha256,
    seed: info.seed,
    version: info.version,
    file,
    bytes,
  };
}
