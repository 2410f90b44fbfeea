/**
 * What the tabular commands share: reading a table with its options, and figures for people and programs.
 *
 * @module
 */
import { stdin } from "node:process";
import {
  type CsvOptions,
  FormatError,
  type Metrics,
  readCsv,
  type StoredEvaluation,
  type Table,
  TabularModel,
} from "../mod.ts";
import { show } from "../src/core/show.ts";
import { UsageError } from "./command.ts";
import { counted, formatBytes, type LiveLine } from "./output.ts";

/**
 * Reads a CSV file, or standard input for `-`, with progress on `line`; for a model, as the file that it was fitted on.
 */
export async function readTable(
  path: string,
  options: CsvOptions,
  line: LiveLine,
  signal: AbortSignal,
  model?: TabularModel,
): Promise<Table> {
  const read = model === undefined ? readCsv : model.readCsv.bind(model);
  const started = performance.now();
  let shown = started;
  const table = await read(path === "-" ? stdin : path, {
    ...options,
    signal,
    onProgress({ bytes, rows }) {
      if (!line.on || performance.now() - shown < 100) return;
      shown = performance.now();
      const rate = Math.round(rows / (shown - started) * 1000);
      void line.show(
        `reading ${path}: ${formatBytes(bytes)}, ${counted(rows, "row")}, ${
          rate.toLocaleString("en")
        } rows/s`,
      );
    },
  });
  await line.end();
  return table;
}

/** Opens a model file. */
export async function openModel(path: string): Promise<TabularModel> {
  return await TabularModel.load(path);
}

/** `logLoss` as programs outside JavaScript call it: `log_loss`. */
export function snakeCase(metrics: Metrics | null): Record<string, number> | null {
  if (metrics === null) return null;
  const names: Record<string, string> = { logLoss: "log_loss", macroF1: "macro_f1" };
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [names[name] ?? name, value]));
}

const titles: Record<string, string> = {
  accuracy: "accuracy",
  logLoss: "log-loss",
  macroF1: "macro F1",
  auc: "AUC",
  ece: "ECE",
  rmse: "RMSE",
  mae: "MAE",
  r2: "R²",
};

/** A number with as many digits as tell: 0.9533, 2.74, 51,234. */
export function figure(value: number | null): string {
  if (value === null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 2 ? 3 : 4);
}

/** The lines that tell how good a model is. */
export function evaluationLines(evaluation: StoredEvaluation, classes: readonly string[]): string[] {
  const names = Object.keys(evaluation.heldOut), classification = classes.length > 0;
  const rows: [string, Metrics, Metrics | null][] = [
    [classification ? "majority class" : "mean", evaluation.baseline, null],
    ...(evaluation.linear
      ? [
        [
          classification ? "logistic regression" : "linear regression",
          evaluation.linear,
          evaluation.linearError,
        ] as [string, Metrics, Metrics | null],
      ]
      : []),
    ["this model", evaluation.heldOut, evaluation.standardError],
  ];
  const cells = [
    ["", ...names.map((name) => Object.hasOwn(titles, name) ? titles[name] : name)],
    ...rows.map(([label, metrics, errors]) => [
      label,
      ...names.map((name) =>
        errors?.[name] === undefined || errors[name] === null
          ? figure(metrics[name])
          : `${figure(metrics[name])} ± ${figure(errors[name])}`
      ),
    ]),
  ];
  const widths = cells[0].map((_, c) => Math.max(...cells.map((row) => row[c].length)));
  const lines = cells.map((row) =>
    row.map((cell, c) => c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])).join("  ")
  );
  const [main] = names, [low, high] = evaluation.interval[main];
  const out = [
    `held out (${evaluation.split}), mean ± standard error:`,
    ...lines.map((line) => `  ${line}`.trimEnd()),
    `  95 % interval of ${titles[main]} (bootstrap over ${counted(evaluation.rows, "row")}): ${
      figure(low)
    } to ${figure(high)}`,
  ];
  if (evaluation.conformal) {
    const { level, radius, coverage } = evaluation.conformal;
    out.push(
      `  prediction interval: ± ${figure(radius)} for ${Math.round(level * 100)} % of rows; held ${
        (coverage * 100).toFixed(1)
      } % of rows it was not made from`,
    );
  }
  if (evaluation.confusion) out.push(...confusionLines(evaluation.confusion, classes));
  return out;
}

function confusionLines(matrix: readonly (readonly number[])[], classes: readonly string[]): string[] {
  if (classes.length > 12) return [];
  const names = classes.map((name) => name.length > 14 ? `${name.slice(0, 13)}…` : name);
  const first = Math.max(...names.map((n) => n.length)),
    widths = names.map((n, c) => Math.max(n.length, ...matrix.map((r) => String(r[c]).length)));
  return [
    "  truth (rows) and prediction (columns):",
    `    ${"".padEnd(first)}  ${names.map((n, c) => n.padStart(widths[c])).join("  ")}`,
    ...matrix.map((row, r) =>
      `    ${names[r].padEnd(first)}  ${row.map((n, c) => String(n).padStart(widths[c])).join("  ")}`
    ),
  ];
}

/** The lines that tell which columns matter. */
export function importanceLines(evaluation: StoredEvaluation, most = 12): string[] {
  const metric = evaluation.confusion ? "accuracy" : "R²", shown = evaluation.importance.slice(0, most);
  if (shown.length === 0) return [];
  const width = Math.max(...shown.map(({ column }) => column.length));
  const largest = Math.max(1e-9, shown[0].mean);
  return [
    `columns by importance (fall of ${metric} when shuffled among held-out rows):`,
    ...shown.map(({ column, mean, std }) =>
      `  ${column.padEnd(width)}  ${mean.toFixed(4).padStart(7)} ± ${std.toFixed(4)}  ${
        "█".repeat(Math.max(0, Math.min(24, Math.round(mean / largest * 24))))
      }`
    ),
    ...(evaluation.importance.length > most
      ? [`  … and ${evaluation.importance.length - most} more (--json lists all)`]
      : []),
  ];
}

/** A number that f64 does not hold as it is written stays a text: categories are compared digit by digit, and errors name it. */
function asWritten(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined) return value;
  return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))
    ? context.source
    : value;
}

/** A row from `name=value` words or one JSON object. @throws {UsageError} for a word that is neither. */
export function parseRow(words: readonly string[]): Record<string, string | number | boolean | null> {
  if (words.length === 1 && words[0].trimStart().startsWith("{")) {
    let row: Record<string, string | number | boolean | null>;
    try {
      row = JSON.parse(words[0], asWritten);
    } catch {
      throw new UsageError(`the row is not JSON: ${words[0]}`);
    }
    demandDifferent(keysOf(words[0]));
    return row;
  }
  const cells = words.map((word): [string, string] => {
    const at = word.indexOf("=");
    if (at < 1) throw new UsageError(`a row is name=value … or one JSON object; found "${word}"`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
  demandDifferent(cells.map(([name]) => name));
  return Object.fromEntries(cells);
}

/** The keys of a JSON object without objects in it, those that JSON.parse drops too. */
function keysOf(json: string): string[] {
  return Array.from(json.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?/g)).filter(([, , colon]) => colon)
    .map(([, key]) => JSON.parse(key) as string);
}

/** @throws {UsageError} for a name that comes twice: one of its values would be lost. */
function demandDifferent(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new UsageError(`the row gives ${show(twice)} twice; give it once`);
}

/** @throws {FormatError} unless the model was evaluated. */
export function demandEvaluation(model: TabularModel, path: string): StoredEvaluation {
  if (model.evaluation === null) {
    throw new FormatError(`${path} was fitted with --folds 0, so nothing is known of held-out rows`);
  }
  return model.evaluation;
}
