/**
 * `ferrotype tabular predict`: one row from the command line, or a CSV in and a CSV out.
 *
 * @module
 */
import { FormatError, type Prediction, type Table, type TableColumn, type TabularModel } from "../../mod.ts";
import { onStop, writeFileAtomic } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { LiveLine, note, print, printJson, printPart } from "../output.ts";
import { csvOptions, figure, openModel, parseRow, readCsvOptions, readTable } from "../tabular.ts";

/** The command. */
export const tabularPredict: Command = {
  name: "tabular predict",
  usage: "FILE name=value … | FILE '{\"name\": value}' | FILE --csv CSV",
  summary: "Predicts rows with a model that tabular train wrote.",
  details: "Columns that a row leaves out count as missing. Of a CSV, columns are matched by name.",
  positionals: [1, 10_000],
  options: {
    csv: { value: "CSV", help: "predict every row of a CSV file (- for standard input), and write a CSV" },
    out: { short: "o", value: "FILE", help: "where to write that CSV (default: standard output)" },
    ...csvOptions,
  },
  async run(values, [path, ...words]) {
    const csv = values.text("csv"), out = values.text("out");
    if ((csv === undefined) === (words.length === 0)) {
      throw new UsageError("tabular predict: give a row (name=value …, or JSON), or a file with --csv");
    }
    if (out !== undefined && csv === undefined) throw new UsageError("tabular predict: -o goes with --csv");
    const options = readCsvOptions(values);
    using model = await openModel(path);
    if (csv === undefined) return await one(model, parseRow(words), values.flag("json"));
    const controller = new AbortController(),
      remove = onStop(() => controller.abort()),
      line = new LiveLine();
    try {
      const table = await readTable(csv, options, line, controller.signal);
      if (table.rows < table.rowsInFile) {
        throw new FormatError(
          `${csv} has ${table.rowsInFile} rows, of which ${table.rows} fit in memory; raise --max-cells or split the file`,
        );
      }
      const predictions = await model.predictMany(rowsOf(model, table));
      if (values.flag("json")) {
        return await printJson({ target: model.schema.target.name, predictions: predictions.map(jsonOf) });
      }
      const text = toCsv(model, predictions);
      if (out === undefined) return await printPart(text);
      await writeFileAtomic(out, text);
      await note(`${predictions.length} predictions in ${out}`);
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

/** The rows of a table as the model takes them; a column that the table lacks is missing, and said so. */
function rowsOf(model: TabularModel, table: Table): Record<string, string | number | Date | null>[] {
  const found = model.schema.columns.flatMap((column) => {
    const at = table.columns.find(({ name }) => name === column.name);
    return at === undefined ? [] : [{ column, at }];
  });
  if (found.length === 0) {
    const names = model.schema.columns.map(({ name }) => name).join(", ");
    throw new FormatError(`${table.name} has none of the columns that the model was fitted on: ${names}`);
  }
  return Array.from(
    { length: table.rows },
    (_, row) => Object.fromEntries(found.map(({ column, at }) => [column.name, cell(at, row)])),
  );
}

function cell(column: TableColumn, row: number): string | number | Date | null {
  const value = column.values[row];
  if (Number.isNaN(value)) return null;
  if (column.kind === "date") return new Date(value * 86_400_000);
  return column.kind === "numeric" ? value : column.texts[value] ?? "";
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function toCsv(model: TabularModel, predictions: readonly Prediction[]): string {
  const { target } = model.schema;
  const names = target.task === "classification"
    ? [target.name, ...target.classes.map((name) => `p(${name})`)]
    : [target.name, ...(predictions[0]?.interval ? ["lower", "upper"] : [])];
  const lines = predictions.map((p) =>
    p.class !== null
      ? [quoted(p.class), ...target.classes.map((name) => p.probabilities![name].toPrecision(6))].join(",")
      : [p.value, ...(p.interval ? [p.interval.lower, p.interval.upper] : [])].map((v) => v!.toPrecision(8))
        .join(",")
  );
  return `${[names.map(quoted).join(","), ...lines].join("\n")}\n`;
}
