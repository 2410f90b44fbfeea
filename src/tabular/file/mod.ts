/**
 * A fitted model as named tensors and texts, which is what a safetensors file holds.
 *
 * | tensor | |
 * |---|---|
 * | `networks.N.layers.L.weight` | f16 [members, outputs, inputs] |
 * | `networks.N.layers.L.bias` | f16 [members, outputs] |
 * | `columns` | f32 [columns, 24]: mean, std, fill, then 21 quantiles at 0, 5 … 100 %; all but std less the origin |
 * | `features` | f32 [features, 6]: kind, column, two parameters, center, scale |
 * | `target` | f32 [23]: mean, std, 21 quantiles; all but std less the origin; only for regression |
 * | `residuals` | f32: sorted errors of held-out rows; only for regression |
 *
 * The metadata `ferrotype.tabular` is JSON: names, kinds, categories, classes, shares, the report; origins and how cells
 * were written where that is not as in most files.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { SafetensorsFile, TensorToSave } from "../../files/mod.ts";
import type { CsvShape } from "../csv/table_builder.ts";
import type { Column, Feature, FittedModel } from "../types.ts";
import { checkNetwork, checkResiduals, checkSchema, parseModelJson, shapeOf } from "./check.ts";
import { type ColumnJson, columnNumbers, columnToJson, numbersOfColumn, readColumn } from "./columns.ts";
import { featureNumbers, numbersOfFeature, readFeature } from "./features.ts";
import { type NetworksJson, networksToFile, readNetworks } from "./networks.ts";
import { f32Tensor, numbersOf } from "./numbers.ts";
import { readTarget, type TargetJson, targetTensors, targetToJson } from "./target.ts";

/** The key of the metadata. */
export const metadataKey = "ferrotype.tabular";

/** What {@link metadataKey} must say first. */
const formatName = "ferrotype tabular model 1";

/** The same with numbers that are counted from an origin, which readers of the first would take as they are. */
const originFormat = "ferrotype tabular model 2";

/**
 * What is kept beside the numbers.
 *
 * @category Tables
 */
export interface ModelInfo {
  /** The version of the library that fitted it. */
  readonly version: string;
  /** The data: name, SHA-256 in hexadecimal (null when it was not a file), rows, and how a CSV file was laid out. */
  readonly data: {
    readonly name: string;
    readonly sha256: string | null;
    readonly rows: number;
    readonly csv?: CsvShape;
  };
  /** The line that explains target and task. */
  readonly explanation: string;
  /** What a reader should know of the data; absent when there is nothing. */
  readonly notes?: readonly string[];
  /** What was seen in evaluation; null when there was none. */
  readonly evaluation: unknown;
  /** Metrics over all rows, training rows included; null when not asked for. Never the result. */
  readonly fit: unknown;
  /** Each candidate's share in the average. */
  readonly shares: Readonly<Record<string, number>>;
  /** The seed. */
  readonly seed: number;
}

/** The names of a file's columns as most files have them: those of the model, and then the target. */
function usualNames(columns: readonly Column[], target: string): string[] {
  return [...columns.map(({ name }) => name), target];
}

/** The layout of a CSV file, without the names of its columns where the model says them anyway. */
function shortShape(
  csv: CsvShape | undefined,
  columns: readonly Column[],
  target: string,
): { csv?: Partial<CsvShape> } {
  if (csv === undefined) return {};
  const { names, ...rest } = csv, usual = usualNames(columns, target);
  return { csv: names.join("\n") === usual.join("\n") ? rest : csv };
}

/** What {@link shortShape} shortened. */
function longShape(
  csv: Partial<CsvShape> | undefined,
  columns: readonly Column[],
  target: string,
): { csv?: CsvShape } {
  if (csv === undefined) return {};
  const { delimiter = ",", header = true, names = usualNames(columns, target), ...rest } = csv;
  return { csv: { delimiter, header, names, ...rest } };
}

/** The tensors and the metadata of a model. */
export function modelToFile(
  model: FittedModel,
  info: ModelInfo,
): { tensors: TensorToSave[]; metadata: Record<string, string> } {
  const { columns, features, target } = model.schema, networks = networksToFile(model.networks);
  const moved = [...columns, target].some(({ origin }) => origin !== undefined);
  const json: ModelJson = {
    format: moved ? originFormat : formatName,
    ...info,
    data: { ...info.data, ...shortShape(info.data.csv, columns, target.name) } as ModelInfo["data"],
    target: targetToJson(target),
    columns: columns.map(columnToJson),
    networks: networks.json,
  };
  const tensors = [
    f32Tensor("columns", [columns.length, columnNumbers], columns.flatMap(numbersOfColumn)),
    f32Tensor("features", [features.length, featureNumbers], features.flatMap(numbersOfFeature)),
    ...targetTensors(target, model.residuals),
    ...networks.tensors,
  ];
  return { tensors, metadata: { [metadataKey]: JSON.stringify(json) } };
}

interface ModelJson extends ModelInfo {
  readonly format: string;
  readonly target: TargetJson;
  readonly columns: readonly ColumnJson[];
  readonly networks: readonly NetworksJson[];
}

/** What the metadata say. @throws {FormatError} for those of no tabular model, or of another version's. */
function readJson(file: SafetensorsFile, name: string): ModelJson {
  const text = file.metadata[metadataKey];
  if (text === undefined) {
    throw new FormatError(
      `${name} is no tabular model: its metadata have no "${metadataKey}"; make one with ferrotype tabular train`,
    );
  }
  const json = parseModelJson(text, name) as unknown as ModelJson;
  if (json.format !== formatName && json.format !== originFormat) {
    throw new FormatError(
      `${name} says "${json.format}", and this version reads "${formatName}"; fit the model again`,
    );
  }
  return json;
}

/** The columns and what is made of them. */
async function readInputs(
  file: SafetensorsFile,
  json: ModelJson,
  name: string,
): Promise<{ columns: Column[]; features: Feature[] }> {
  const [count, width] = shapeOf(file, "columns", name, 2, 0),
    [featureCount, parts] = shapeOf(file, "features", name, 2, 0);
  if (count !== json.columns.length || width !== columnNumbers || parts !== featureNumbers) {
    throw new FormatError(
      `${name}: columns [${count}, ${width}] and features [${featureCount}, ${parts}] are not the numbers of ` +
        `${counted(json.columns.length, "column")}`,
    );
  }
  const stats = await numbersOf(file, "columns"), raw = await numbersOf(file, "features");
  const row = (of: Float32Array, i: number, size: number): number[] =>
    Array.from(of.subarray(i * size, (i + 1) * size));
  return {
    columns: json.columns.map((column, c) => readColumn(column, row(stats, c, columnNumbers))),
    features: Array.from({ length: featureCount }, (_, f) => readFeature(row(raw, f, featureNumbers), name)),
  };
}

/**
 * Reads what {@link modelToFile} made.
 * @throws {FormatError} for a file that is not such a model, or not whole.
 */
export async function modelFromFile(
  file: SafetensorsFile,
  name: string,
): Promise<{ model: FittedModel; info: ModelInfo }> {
  const json = readJson(file, name), { columns, features } = await readInputs(file, json, name);
  const networks = await readNetworks(file, json.networks, features.length, name);
  const { target, residuals } = await readTarget(file, json.target, name);
  checkSchema(columns, features, target, name);
  checkResiduals(residuals, name);
  const outputs = Math.max(1, target.classes.length);
  for (const [n, network] of networks.entries()) {
    checkNetwork(network, features.length, outputs, `${name}: network ${n}`);
  }
  const { version, explanation, notes, evaluation, fit, shares, seed } = json;
  const data = { ...json.data, ...longShape(json.data.csv, columns, target.name) };
  return {
    model: { schema: { columns, features, target }, networks, residuals },
    info: { version, data, explanation, ...(notes ? { notes } : {}), evaluation, fit, shares, seed },
  };
}
