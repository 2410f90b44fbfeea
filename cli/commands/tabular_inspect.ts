/**
 * `ferrotype tabular inspect`: what a model is, where it comes from, how good it is.
 *
 * @module
 */
import type { Column } from "../../mod.ts";
import { onStop, stat, writeFileAtomic } from "../../src/platform/platform.ts";
import type { Command, Values } from "../command.ts";
import { forceHelp, letters, placeOf } from "../place.ts";
import { csvOptions, idleCsvOptions, readCsvOptions } from "../csv.ts";
import { counted, formatBytes, LiveLine, note, print, printJson } from "../output.ts";
import { evaluationLines, figure, openModel, readTable, snakeCase } from "../tabular.ts";

function describe({ kind, ignored, min, max, quantiles, categories, counts, missing }: Column): string {
  if (ignored !== null) return `no input: ${ignored}`;
  const lacks = missing ? `, ${missing} missing` : "";
  if (kind === "categorical") {
    const shown = categories.slice(0, 6).map((name, i) => `${name} (${counts[i]})`);
    return `${shown.join(", ")}${categories.length > 6 ? ` … ${categories.length} in all` : ""}${lacks}`;
  }
  if (kind === "boolean") return `${categories.length ? categories.join(" / ") : "0 / 1"}${lacks}`;
  const day = (v: number): string =>
    kind === "date" ? new Date(v * 86_400_000).toISOString().slice(0, 10) : figure(v);
  return `${day(min)} … ${day(quantiles[5])} | ${day(quantiles[10])} | ${day(quantiles[15])} … ${
    day(max)
  }${lacks}`;
}

/** How a CSV file is read, without a model. */
async function explainCsv(path: string, values: Values): Promise<void> {
  const line = new LiveLine(),
    controller = new AbortController(),
    remove = onStop(() => controller.abort());
  try {
    const table = await readTable(path, readCsvOptions(values), line, controller.signal);
    if (values.flag("json")) {
      const columns = table.columns.map((column) => ({
        ...{ name: column.name, kind: column.kind, missing: table.missing(column), form: column.form ?? {} },
      }));
      const { name, rowsInFile, notes, reading, sha256 } = table;
      return await printJson({ file: name, rows: rowsInFile, columns, notes, reading, sha256 });
    }
    await print(`${table.name}: ${counted(table.rowsInFile, "row")}, ${table.notes[0]}`);
    for (const text of [...table.notes.slice(1), ...table.reading?.evidence ?? []]) await print(`  ${text}`);
  } finally {
    remove();
    await line.end();
  }
}

/** The command. */
export const tabularInspect: Command = {
  name: "tabular inspect",
  usage: "FILE | CSV --explain-csv",
  summary: "Tells what a tabular model takes and gives, its data, and how it did on rows it had not seen.",
  details: "With --explain-csv: how a CSV file is read, what its columns hold, and what tells so.",
  positionals: [1, 1],
  options: {
    onnx: { value: "FILE", help: "also write the model as ONNX" },
    ...csvOptions,
    force: { help: forceHelp },
  },
  idle: [
    { option: "force", when: ({ onnx }) => onnx === undefined, because: "there is no --onnx FILE" },
    {
      option: "onnx",
      when: (given) => given["explain-csv"] === true,
      because: "--explain-csv reads a CSV file",
    },
    ...idleCsvOptions(
      (given) => given["explain-csv"] !== true,
      "FILE is a model; they go with --explain-csv",
    ),
  ],
  async run(values, [path]) {
    if (values.flag("explain-csv")) return await explainCsv(path, values);
    using model = await openModel(path);
    const { schema, info, evaluation, fitted } = model, { columns, target } = schema;
    const parameters = fitted.networks.reduce(
      (sum, { layers }) => sum + layers.reduce((n, { weight, bias }) => n + weight.length + bias.length, 0),
      0,
    );
    const bytes = (await stat(path))?.size ?? 0, onnx = values.text("onnx");
    if (onnx !== undefined) {
      const wrote = await placeOf("tabular inspect", onnx, values.flag("force"), {
        what: "no ONNX model that this command wrote",
        is: (head) => letters(head, 64).includes("ferrotype"),
      });
      await writeFileAtomic(onnx, model.toOnnx());
      await note(`${wrote} ${onnx}`);
    }
    if (values.flag("json")) {
      return await printJson({
        file: path,
        bytes,
        version: info.version,
        data: info.data,
        seed: info.seed,
        target,
        columns,
        features: schema.features.length,
        networks: fitted.networks.length,
        parameters,
        shares: info.shares,
        evaluation: evaluation && {
          ...evaluation,
          heldOut: undefined,
          standardError: undefined,
          held_out: snakeCase(evaluation.heldOut),
          standard_error: snakeCase(evaluation.standardError),
          baseline: snakeCase(evaluation.baseline),
          linear: snakeCase(evaluation.linear),
          interval: snakeCase(evaluation.interval as never),
        },
        fit: snakeCase(info.fit as never),
      });
    }
    await print(`${path}: ${formatBytes(bytes)}, fitted by ferrotype ${info.version}, seed ${info.seed}`);
    await print(
      `data: ${info.data.name}, ${counted(info.data.rows, "row")}${
        info.data.sha256 ? `, sha256 ${info.data.sha256}` : ""
      }`,
    );
    await print(info.explanation);
    for (const text of info.notes ?? []) await print(text);
    if (target.task === "classification") {
      await print(`classes: ${target.classes.map((name, i) => `${name} (${target.counts[i]})`).join(", ")}`);
    } else {await print(
        `values: ${figure(target.min)} … ${figure(target.max)}, mean ${
          figure(target.mean)
        }, standard deviation ${figure(target.std)}`,
      );}
    const width = Math.max(...columns.map(({ name }) => name.length));
    await print(
      `${counted(columns.length, "column")} (least … quarter | median | three quarters … most), ${
        counted(schema.features.length, "feature")
      }:`,
    );
    for (const column of columns) {
      await print(`  ${column.name.padEnd(width)}  ${column.kind.padEnd(11)}  ${describe(column)}`);
    }
    const shares = Object.entries(info.shares).filter(([, share]) => share > 0).map(([name, share]) =>
      `${name} ${Math.round(share * 100)} %`
    );
    await print(
      `${counted(fitted.networks.length, "network")}, ${counted(parameters, "weight")}: ${shares.join(", ")}`,
    );
    if (evaluation) { for (const line of evaluationLines(evaluation, target.classes)) await print(line); }
    if (info.fit !== null) {
      await print(
        `fit (all rows, training rows included; not the result): ${
          Object.entries(info.fit as object).map(([k, v]) => `${k} ${v}`).join(", ")
        }`,
      );
    }
  },
};
