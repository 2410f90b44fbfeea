/**
 * Tabular models in the engine: what a page shows of one, and what it says of a row.
 *
 * @module
 */
import { collectBytes, planSafetensors } from "../../src/files/writer.ts";
import { readCsv, TabularModel } from "../../src/runtime/tabular.ts";
import { classStatistics, conformalRadius, regressionStatistics } from "../../src/tabular/mod.ts";
import { type Carried, carry } from "../tabular/plain.ts";

/** An input of a model. */
export interface InputSummary {
  readonly name: string;
  readonly kind: "numeric" | "boolean" | "date" | "categorical";
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly std: number;
  readonly median: number;
  readonly quantiles: readonly number[];
  readonly categories: readonly string[];
}

/** What a page shows of a model. */
export interface ColumnSummary {
  readonly task: "classification" | "regression";
  readonly target: string;
  readonly classes: readonly string[];
  readonly inputs: readonly InputSummary[];
  /** All columns of the table; any but the target may become it. */
  readonly columns: readonly string[];
  readonly min: number;
  readonly max: number;
  readonly rows: number;
  readonly source: string;
  /** How the file was read, and what else one should know of its columns. */
  readonly reading: readonly string[];
  readonly split: string;
  readonly heldOut: Readonly<Record<string, number>>;
  readonly standardError: Readonly<Record<string, number>>;
  readonly baseline: Readonly<Record<string, number>>;
  /** Its networks, whose answers are mixed: the share of each in that, and numbers from its inputs to its outputs. */
  readonly networks: readonly { readonly share: number; readonly widths: readonly number[] }[];
  /** How many weights they have in all. */
  readonly weights: number;
}

/** What a model says of a row. */
export interface TableAnswer {
  readonly classes: ReturnType<typeof classStatistics> | null;
  readonly value: number | null;
  readonly regression: ReturnType<typeof regressionStatistics> | null;
}

/** How far training is. */
export interface Fitting {
  readonly step: number;
  /** In all, at most. */
  readonly steps: number;
  /** What is being trained. */
  readonly what: string;
}

let model: TabularModel | null = null;

const numbers = (from: unknown): Record<string, number> =>
  Object.fromEntries(
    Object.entries((from ?? {}) as Record<string, unknown>).filter(([, v]) => typeof v === "number"),
  ) as Record<string, number>;

/** Reads a model's file. */
export async function openTable(where: File, signal: AbortSignal): Promise<ColumnSummary> {
  return use(await TabularModel.load(where), signal);
}

/** Trains a model on a CSV file; what is learnt is its last column, unless another is named. */
export async function fitTable(
  csv: Blob,
  target: string | null,
  signal: AbortSignal,
  onProgress: (told: Fitting) => void,
): Promise<ColumnSummary> {
  const table = await readCsv(csv, { signal });
  let told = -Infinity;
  const progress = ({ step, steps, what }: Fitting): void => {
    const now = performance.now();
    if (now - told < 100 && step < steps) return;
    told = now;
    onProgress({ step, steps, what });
  };
  const model = await TabularModel.fit(table, {
    signal,
    onProgress: progress,
    ...(target === null ? {} : { target }),
  });
  return use(model, signal, table.notes);
}

/** Who was called off meanwhile takes no other model's place. */
function use(next: TabularModel, signal: AbortSignal, notes: readonly string[] = []): ColumnSummary {
  if (signal.aborted) next.dispose();
  signal.throwIfAborted();
  model?.dispose();
  model = next;
  const { columns, target } = model.schema, { evaluation, info } = model;
  return {
    task: target.task,
    target: target.name,
    classes: target.classes,
    inputs: columns.filter(({ ignored }) => ignored === null).map((c) => ({
      name: c.name,
      kind: c.kind,
      min: c.min,
      max: c.max,
      mean: c.mean,
      std: c.std,
      median: c.quantiles[10] ?? 0,
      quantiles: c.quantiles,
      categories: c.categories,
    })),
    columns: [...columns.map(({ name }) => name), target.name],
    min: target.min,
    max: target.max,
    rows: info.data.rows,
    source: info.data.name,
    reading: [
      ...notes,
      ...columns.flatMap(({ name, ignored }) =>
        ignored === null ? [] : [`column "${name}" is no input: ${ignored}`]
      ),
      ...info.notes ?? [],
    ],
    split: evaluation?.split ?? "",
    heldOut: numbers(evaluation?.heldOut),
    standardError: numbers(evaluation?.standardError),
    baseline: numbers(evaluation?.baseline),
    networks: model.fitted.networks.map(({ share, layers }) => ({
      share,
      widths: [layers[0]?.inputs ?? 0, ...layers.map(({ outputs }) => outputs)],
    })),
    weights: model.fitted.networks.reduce(
      (sum, { layers }) =>
        sum + layers.reduce((sum, { weight, bias }) => sum + weight.length + bias.length, 0),
      0,
    ),
  };
}

/** Asks the model that was read last. */
export async function askTable(row: Readonly<Record<string, string | number>>): Promise<TableAnswer> {
  if (!model) throw new Error("no model is open");
  const { value, probabilities } = await model.predict(row), { target } = model.schema;
  return {
    classes: probabilities &&
      classStatistics(Object.values(probabilities), Object.keys(probabilities)),
    value,
    regression: value === null ? null : regressionStatistics(value, target, model.fitted.residuals),
  };
}

/** What each input adds to the answer for a row, against usual rows: of the likeliest class, or of the value. */
export interface Moved {
  /** The class that it is about; null for a value. */
  readonly of: string | null;
  /** What is said of usual rows. */
  readonly base: number;
  /** What each input adds to that; all together lead to the answer. */
  readonly inputs: readonly { readonly name: string; readonly adds: number }[];
}

/** Orders of columns that are tried where there are too many for all of them. */
const orders = 6;

/** Takes the answer for a row apart (Shapley values). */
export async function explainRow(row: Readonly<Record<string, string | number>>): Promise<Moved> {
  if (!model) throw new Error("no model is open");
  const { task, classes } = model.schema.target;
  const { base, prediction, columns } = await model.explain(row, { orders });
  const k = prediction.indexOf(Math.max(...prediction));
  return {
    of: task === "classification" ? classes[k] : null,
    base: base[k],
    inputs: columns.map(({ column, contribution }) => ({ name: column, adds: contribution[k] }))
      .sort((a, b) => Math.abs(b.adds) - Math.abs(a.adds)),
  };
}

/** The model as JSON, for a file that stands alone; and how near 90 % of truths lie. */
export function carryTable(): { model: Carried; radius: number | null } {
  if (!model) throw new Error("no model is open");
  const { residuals } = model.fitted,
    radius = residuals.length > 0 ? conformalRadius(residuals, 0.9) : Infinity;
  return { model: carry(model.fitted), radius: Number.isFinite(radius) ? radius : null };
}

/** The model's file, which the library and the command load. */
export async function keepTable(): Promise<Uint8Array<ArrayBuffer>> {
  if (!model) throw new Error("no model is open");
  const { tensors, metadata } = model.toFile();
  return await collectBytes(planSafetensors(tensors, { metadata }).files[0]);
}

/** A row with a name. */
export interface Preset {
  readonly name: string;
  readonly row: Readonly<Record<string, string | number>>;
}

/** The places in a column's range that presets try: its 10, 25, 50, 75 and 90 % quantiles. */
const places = [2, 5, 10, 15, 18];

/** Classes that get a preset of their own, at most. */
const mostClasses = 5;

/**
 * Rows that show what the model has learnt: the middle of every column, and for each class (or the largest and the smallest
 * value) a row that the model is surest of: column after column takes the one of its usual values that helps most, twice.
 */
export async function presets(): Promise<Preset[]> {
  if (!model) throw new Error("no model is open");
  const own = model, { target } = own.schema;
  const inputs = own.schema.columns.filter(({ ignored }) => ignored === null);
  const middle = Object.fromEntries(
    inputs.map((c) => [c.name, c.categories.length ? c.categories[0] : c.quantiles[10]]),
  );
  const climb = async (
    score: (said: Awaited<ReturnType<TabularModel["predict"]>>) => number,
  ): Promise<Preset["row"]> => {
    let row = middle;
    for (let round = 0; round < 2; round++) {
      for (const { name, categories, quantiles } of inputs) {
        const values = categories.length ? categories : [...new Set(places.map((place) => quantiles[place]))];
        const rows = values.map((value) => ({ ...row, [name]: value })), said = await own.predictMany(rows);
        const scores = said.map(score), best = Math.max(...scores);
        // The middle, unless another value is better.
        if (best > score((await own.predictMany([row]))[0])) row = rows[scores.indexOf(best)];
      }
    }
    return row;
  };
  const found: Preset[] = [{ name: "middle", row: middle }];
  if (target.task === "regression") {
    found.push({ name: "low", row: await climb(({ value }) => -(value as number)) });
    found.push({ name: "high", row: await climb(({ value }) => value as number) });
  }
  for (const label of target.classes.slice(0, mostClasses)) {
    found.push({ name: `clearly ${label}`, row: await climb(({ probabilities }) => probabilities![label]) });
  }
  return found;
}
