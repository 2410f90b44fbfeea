/**
 * Tabular models in the engine: what a page shows of one, and what it says of a row.
 *
 * @module
 */
import { TabularModel } from "../../src/runtime/tabular.ts";
import { classStatistics, regressionStatistics } from "../../src/tabular/mod.ts";

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
  readonly min: number;
  readonly max: number;
  readonly rows: number;
  readonly source: string;
  readonly split: string;
  readonly heldOut: Readonly<Record<string, number>>;
  readonly standardError: Readonly<Record<string, number>>;
  readonly baseline: Readonly<Record<string, number>>;
}

/** What a model says of a row. */
export interface TableAnswer {
  readonly classes: ReturnType<typeof classStatistics> | null;
  readonly value: number | null;
  readonly regression: ReturnType<typeof regressionStatistics> | null;
}

let model: TabularModel | null = null;

const numbers = (from: unknown): Record<string, number> =>
  Object.fromEntries(
    Object.entries((from ?? {}) as Record<string, unknown>).filter(([, v]) => typeof v === "number"),
  ) as Record<string, number>;

/** Reads a model's file. */
export async function openTable(where: URL): Promise<ColumnSummary> {
  return use(await TabularModel.load(where));
}

/** Trains a model on a CSV file; its last column is what is learnt. */
export async function fitTable(csv: Blob, signal: AbortSignal): Promise<ColumnSummary> {
  return use(await TabularModel.fit(csv, { signal }));
}

function use(next: TabularModel): ColumnSummary {
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
    min: target.min,
    max: target.max,
    rows: info.data.rows,
    source: info.data.name,
    split: evaluation?.split ?? "",
    heldOut: numbers(evaluation?.heldOut),
    standardError: numbers(evaluation?.standardError),
    baseline: numbers(evaluation?.baseline),
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
