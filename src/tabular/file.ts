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
import { FormatError } from "../core/errors.ts";
import { toF16 } from "../core/half.ts";
import { counted } from "../core/show.ts";
import type { SafetensorsFile, TensorToSave } from "../files/mod.ts";
import type { CsvShape } from "./csv/table_builder.ts";
import {
  checkNetwork,
  checkResiduals,
  checkSchema,
  parseModelJson,
  parseRanges,
  shapeOf,
} from "./file_check.ts";
import { groupNetworks } from "./predictor.ts";
import type { Column, DenseLayer, Feature, FittedModel, Network, Target } from "./types.ts";

/** The key of the metadata. */
export const metadataKey = "ferrotype.tabular";

/** What {@link metadataKey} must say first. */
const formatName = "ferrotype tabular model 1";

/** The same with numbers that are counted from an origin, which readers of the first would take as they are. */
const originFormat = "ferrotype tabular model 2";

const kinds = ["value", "log", "ramp", "category", "cycle", "missing"] as const;

/** Numbers of a column in the file: mean, std, fill and quantiles; minimum and maximum are the outer quantiles. */
const columnNumbers = 24;

/** Numbers of a feature. */
const featureNumbersOf = 6;

/** Numbers of the target: mean, std and quantiles. */
const targetNumbers = 23;

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

function f16Bytes(values: Float32Array): Uint8Array {
  const bits = Uint16Array.from(values, toF16);
  return new Uint8Array(bits.buffer);
}

function f32Tensor(name: string, shape: readonly number[], values: ArrayLike<number>): TensorToSave {
  const data = Float32Array.from(values);
  return { name, dtype: "f32", shape, bytes: () => new Uint8Array(data.buffer) };
}

function featureNumbers(feature: Feature): number[] {
  const two = feature.kind === "log"
    ? [feature.unit, 0]
    : feature.kind === "ramp"
    ? [feature.from, feature.to]
    : feature.kind === "category"
    ? [feature.index, 0]
    : feature.kind === "cycle"
    ? [feature.period, feature.phase]
    : [0, 0];
  return [kinds.indexOf(feature.kind), feature.column, ...two, feature.center, feature.scale];
}

function readFeature(numbers: ArrayLike<number>, at: number, name: string): Feature {
  const [code, column, a, b, center, scale] = Array.prototype.slice.call(numbers, at, at + 6) as number[];
  const base = { column, center, scale };
  switch (kinds[code]) {
    case "value":
      return { kind: "value", ...base };
    case "log":
      return { kind: "log", unit: a, ...base };
    case "ramp":
      return { kind: "ramp", from: a, to: b, ...base };
    case "category":
      return { kind: "category", index: a, ...base };
    case "cycle":
      return { kind: "cycle", period: a, phase: b, ...base };
    case "missing":
      return { kind: "missing", ...base };
    default:
      throw new FormatError(`${name}: features: there is no kind ${code}`);
  }
}

/** "0-6,9" for [0, 1, 2, 3, 4, 5, 6, 9]; "all" for null. */
function formatRanges(list: readonly number[] | null): string {
  if (list === null) return "all";
  const parts: string[] = [];
  for (let i = 0; i < list.length; i++) {
    const from = i;
    while (list[i + 1] === list[i] + 1) i++;
    parts.push(from === i ? `${list[i]}` : `${list[from]}-${list[i]}`);
  }
  return parts.join(",");
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
  const { columns, features, target } = model.schema;
  const groups = groupNetworks(model.networks);
  const tensors: TensorToSave[] = [
    f32Tensor(
      "columns",
      [columns.length, columnNumbers],
      columns.flatMap(({ mean, std, fill, quantiles, origin = 0 }) => [
        mean - origin,
        std,
        fill - origin,
        ...(quantiles.length ? quantiles.map((value) => value - origin) : new Array<number>(21).fill(0)),
      ]),
    ),
    f32Tensor("features", [features.length, 6], features.flatMap(featureNumbers)),
  ];
  if (target.task === "regression") {
    const { mean, std, quantiles, origin = 0 } = target;
    tensors.push(
      f32Tensor("target", [23], [mean - origin, std, ...quantiles.map((value) => value - origin)]),
    );
    tensors.push(f32Tensor("residuals", [model.residuals.length], model.residuals));
  }
  groups.forEach(({ networks }, n) => {
    const m = networks.length;
    networks[0].layers.forEach(({ inputs, outputs }, l) => {
      const joined = (pick: (layer: DenseLayer) => Float32Array): () => Uint8Array => () =>
        f16Bytes(Float32Array.from(networks.flatMap(({ layers }) => [...pick(layers[l])])));
      tensors.push(
        {
          name: `networks.${n}.layers.${l}.weight`,
          dtype: "f16",
          shape: [m, outputs, inputs],
          bytes: joined((x) => x.weight),
        },
        {
          name: `networks.${n}.layers.${l}.bias`,
          dtype: "f16",
          shape: [m, outputs],
          bytes: joined((x) => x.bias),
        },
      );
    });
  });
  const moved = [...columns, target].some(({ origin }) => origin !== undefined);
  const json = {
    format: moved ? originFormat : formatName,
    ...info,
    data: { ...info.data, ...shortShape(info.data.csv, columns, target.name) },
    target: {
      ...{ name: target.name, task: target.task, classes: target.classes, counts: target.counts },
      ...(target.origin === undefined ? {} : { origin: target.origin }),
    },
    columns: columns.map(({ name, kind, ignored, categories, counts, missing, origin, form }) => ({
      name,
      kind,
      ...(ignored === null ? {} : { ignored }),
      ...(categories.length ? { categories, counts } : {}),
      ...(missing ? { missing } : {}),
      ...(origin === undefined ? {} : { origin }),
      ...(form === undefined ? {} : { form }),
    })),
    networks: groups.map(({ inputs, networks }) => ({
      inputs: formatRanges(inputs),
      count: networks.length,
      // Members of a group are equals as a rule, and one number says it.
      share: networks.every(({ share }) => share === networks[0].share)
        ? networks[0].share
        : networks.map(({ share }) => share),
    })),
  };
  return { tensors, metadata: { [metadataKey]: JSON.stringify(json) } };
}

interface ModelJson extends ModelInfo {
  readonly format: string;
  readonly target: Pick<Target, "name" | "task" | "classes" | "counts" | "origin">;
  readonly columns: readonly (Partial<Column> & Pick<Column, "name" | "kind">)[];
  readonly networks: readonly {
    readonly inputs: string;
    readonly count: number;
    readonly share: number | readonly number[];
  }[];
}

async function numbersOf(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const bytes = await file.view(name).read("f32");
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * Reads what {@link modelToFile} made.
 * @throws {FormatError} for a file that is not such a model, or not whole.
 */
export async function modelFromFile(
  file: SafetensorsFile,
  name: string,
): Promise<{ model: FittedModel; info: ModelInfo }> {
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
  const [count, width] = shapeOf(file, "columns", name, 2, 0),
    [featureCount, parts] = shapeOf(file, "features", name, 2, 0);
  if (count !== json.columns.length || width !== columnNumbers || parts !== featureNumbersOf) {
    throw new FormatError(
      `${name}: columns [${count}, ${width}] and features [${featureCount}, ${parts}] are not the numbers of ` +
        `${counted(json.columns.length, "column")}`,
    );
  }
  const stats = await numbersOf(file, "columns"), raw = await numbersOf(file, "features");
  const columns = json.columns.map((column, c): Column => {
    const at = c * columnNumbers, own = Array.from(stats.subarray(at, at + columnNumbers));
    const { origin = 0 } = column;
    const quantiles = column.kind === "categorical" ? [] : own.slice(3).map((value) => origin + value);
    return {
      ignored: null,
      categories: [],
      counts: [],
      missing: 0,
      ...column,
      mean: origin + own[0],
      std: own[1],
      fill: origin + own[2],
      quantiles,
      min: quantiles[0] ?? 0,
      max: quantiles[20] ?? 0,
    };
  });
  const features = Array.from(
    { length: featureCount },
    (_, f) => readFeature(raw, f * featureNumbersOf, name),
  );
  const networks: Network[] = [];
  for (const [n, { inputs, count, share }] of json.networks.entries()) {
    // There is a bias for each, so the number is one of the file's size.
    if (count !== shapeOf(file, `networks.${n}.layers.0.bias`, name, 2)[0]) {
      throw new FormatError(
        `${name}: networks ${n} are said to be ${count}, and their weights are of others`,
      );
    }
    const shares = typeof share === "number" ? new Array<number>(count).fill(share) : share;
    const chosen = parseRanges(inputs, features.length, `${name}: networks ${n}`);
    const layers: DenseLayer[][] = shares.map(() => []);
    let depth = 0;
    while (file.has(`networks.${n}.layers.${depth}.weight`)) depth++;
    for (let l = 0; l < depth; l++) {
      const prefix = `networks.${n}.layers.${l}`;
      const [m, outputs, width] = shapeOf(file, `${prefix}.weight`, name, 3, 0);
      const [biases0, biases1] = shapeOf(file, `${prefix}.bias`, name, 2);
      if (m !== shares.length || biases0 !== m || biases1 !== outputs) {
        throw new FormatError(
          `${name}: ${prefix} holds weights of ${
            counted(m, "network")
          } and biases [${biases0}, ${biases1}], and there are ` +
            `${shares.length} with ${counted(outputs, "output")}`,
        );
      }
      const weights = await numbersOf(file, `${prefix}.weight`),
        biases = await numbersOf(file, `${prefix}.bias`);
      layers.forEach((own, i) =>
        own.push({
          weight: weights.slice(i * outputs * width, (i + 1) * outputs * width),
          bias: biases.slice(i * outputs, (i + 1) * outputs),
          inputs: width,
          outputs,
          activation: l + 1 < depth ? "relu" : "identity",
        })
      );
    }
    shares.forEach((share, i) => networks.push({ share, inputs: chosen, layers: layers[i] }));
  }
  const regression = json.target.task === "regression";
  if (regression) {
    const [n] = shapeOf(file, "target", name, 1);
    if (n !== targetNumbers) {
      throw new FormatError(`${name}: target has ${counted(n, "number")}, expected ${targetNumbers}`);
    }
    shapeOf(file, "residuals", name, 1, 0);
  }
  const own = regression ? Array.from(await numbersOf(file, "target")) : [];
  const { origin = 0 } = json.target, quantiles = own.slice(2).map((value) => origin + value);
  const target: Target = {
    ...json.target,
    mean: origin + (own[0] ?? 0),
    std: own[1] ?? 0,
    quantiles,
    min: quantiles[0] ?? 0,
    max: quantiles[20] ?? 0,
  };
  const residuals = regression ? await numbersOf(file, "residuals") : new Float32Array(0);
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
