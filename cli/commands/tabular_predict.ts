/**
 * `ferrotype tabular predict`: one row from the command line, or a CSV in and a CSV out.
 *
 * @module
 */
import { FormatError, type Prediction, type TabularModel } from "../../mod.ts";
import { onStop, writeFileAtomic } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { counted, LiveLine, note, print, printJson, printPart } from "../output.ts";
import { forceHelp, placeOf } from "../place.ts";
import { csvOptions, idleCsvOptions, readCsvOptions, sayReading } from "../csv.ts";
import { figure, openModel, parseRow, readTable } from "../tabular.ts";

/** The command. */
export const tabularPredict: Command = {
  name: "tabular predict",
  usage: "FILE name=value … | FILE '{\"name\": value}' | FILE --csv CSV",
  summary: "Predicts rows with a model that tabular train wrote.",
  details:
    "Columns that a row leaves out count as missing. Of a CSV, columns are matched by name and read as in the data that the " +
    "model was fitted on; the target may be there or not.",
  positionals: [1, 10_000],
  options: {
    csv: { value: "CSV", help: "predict every row of a CSV file (- for standard input), and write a CSV" },
    out: { short: "o", value: "FILE", help: "where to write that CSV (default: standard output)" },
    ...csvOptions,
    force: { help: forceHelp },
  },
  idle: [
    { option: "out", when: ({ csv }) => csv === undefined, because: "it goes with --csv" },
    { option: "force", when: ({ out }) => out === undefined, because: "there is no -o FILE" },
    { option: "out", when: ({ json }) => json === true, because: "--json prints the predictions" },
    ...idleCsvOptions(({ csv }) => csv === undefined, "a row is given, and no --csv"),
  ],
  async run(values, [path, ...words]) {
    const csv = values.text("csv"), out = values.text("out");
    if ((csv === undefined) === (words.length === 0)) {
      throw new UsageError("tabular predict: give a row (name=value …, or JSON), or a file with --csv");
    }
    const options = readCsvOptions(values), row = csv === undefined ? parseRow(words) : null;
    using model = await openModel(path);
    if (csv === undefined) return await one(model, row!, values.flag("json"));
    const names = headersOf(model).map((header) => header.map(quoted).join(","));
    const wrote = out === undefined ? "wrote" : await placeOf("tabular predict", out, values.flag("force"), {
      what: `no predictions of ${path}`,
      is: (head) => names.includes(new TextDecoder().decode(head).split("\n", 1)[0]),
    });
    const controller = new AbortController(),
      remove = onStop(() => controller.abort()),
      line = new LiveLine();
    try {
      const table = await readTable(csv, options, line, controller.signal, model);
      if (table.rows < table.rowsInFile) {
        throw new FormatError(
          `${csv} has ${
            counted(table.rowsInFile, "row")
          }, of which ${table.rows} fit in memory; raise --max-cells or split the file`,
        );
      }
      await sayReading(table, values);
      const inputs = model.schema.columns.filter(({ ignored }) => ignored === null);
      const absent = inputs.filter(({ name }) => !table.columns.some((column) => column.name === name));
      if (absent.length > 0 && absent.length < inputs.length) {
        await note(
          `missing in every row, since ${table.name} has no such column: ${
            absent.map(({ name }) => name).join(", ")
          }`,
        );
      }
      const predictions = await model.predictTable(table);
      if (values.flag("json")) {
        return await printJson({ target: model.schema.target.name, predictions: predictions.map(jsonOf) });
      }
      const text = toCsv(model, predictions);
      if (out === undefined) return await printPart(text);
      await writeFileAtomic(out, text);
      await note(`${wrote} ${out}: ${counted(predictions.length, "prediction")}`);
    } finally {
      remove();
    }
  },
};

function jsonOf(p: Prediction): Record<string, unknown> {
  if (p.class !== null) return { class: p.class, probabilities: p.probabilities };
  return { value: p.value, interval: p.interval };
}

async function one(
  model: TabularModel,
  row: Record<string, string | number | boolean | null>,
  json: boolean,
): Promise<void> {
  const prediction = await model.predict(row), { target } = model.schema;
  if (json) return await printJson({ target: target.name, ...jsonOf(prediction) });
  if (prediction.value !== null) {
    const { interval } = prediction;
    const range = interval
      ? `, ${Math.round(interval.level * 100)} % between ${figure(interval.lower)} and ${
        figure(interval.upper)
      }`
      : "";
    return await print(`${target.name}: ${figure(prediction.value)}${range}`);
  }
  await print(`${target.name}: ${prediction.class}`);
  const all = Object.entries(prediction.probabilities!).sort((a, b) => b[1] - a[1]),
    width = Math.max(...all.map(([name]) => name.length));
  for (const [name, p] of all) await print(`  ${name.padEnd(width)}  ${(p * 100).toFixed(2).padStart(6)} %`);
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The names of the columns of predictions; of numbers without and with an interval. */
function headersOf({ schema: { target } }: TabularModel): string[][] {
  return target.task === "classification"
    ? [[target.name, ...target.classes.map((name) => `p(${name})`)]]
    : [[target.name], [target.name, "lower", "upper"]];
}

function toCsv(model: TabularModel, predictions: readonly Prediction[]): string {
  const { target } = model.schema;
  const [plain, withInterval = plain] = headersOf(model);
  const names = predictions[0]?.interval ? withInterval : plain;
  const lines = predictions.map((p) =>
    p.class !== null
      ? [quoted(p.class), ...target.classes.map((name) => p.probabilities![name].toPrecision(6))].join(",")
      : [p.value, ...(p.interval ? [p.interval.lower, p.interval.upper] : [])].map((v) => v!.toPrecision(8))
        .join(",")
  );
  return `${[names.map(quoted).join(","), ...lines].join("\n")}\n`;
}
