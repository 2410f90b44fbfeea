/**
 * A fitted model as an ONNX file, so that any runtime of that format predicts the same.
 *
 * The whole way is in the graph: missing cells are filled in, categories are looked up by their text, features are
 * computed in f64 as here, networks run in f32. The file takes
 *
 * - `numeric`, float (or double) `[rows, k]`: the numeric, boolean (0 or 1) and date (days since 1970-01-01) columns in
 *   the order of the file; NaN is a missing cell. Absent when there is no such column.
 * - `categorical`, string `[rows, k]`: the categorical columns; "" is a missing cell, a text that training did not see
 *   is no category. Absent when there is no such column.
 *
 * and gives, for a classification, `label`, string `[rows]`, and `probabilities`, float `[rows, classes]`; for a
 * regression `value`, float `[rows]` (double where the target is large beside its differences). Columns that the model ignores are not asked for. The metadata names the columns.
 *
 * @module
 */

import { demand, demandNoMore } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import { oneOf, text } from "../core/kinds.ts";
import { byDefault, checkOptions, type OptionTable } from "../core/options.ts";
import { OnnxGraph, onnxTypes } from "../onnx/graph_writer.ts";
import type { Feature, FittedModel, Network, Schema } from "./types.ts";

/**
 * Options of {@link toOnnx}.
 *
 * @category Tables
 */
export interface OnnxOptions {
  /**
   * The element type of the input `numeric`. "float" is what most callers have; "double" keeps what f32 would round away,
   * such as the time of day of a date. Default: "double" where a column's values are large beside their differences
   * (`Column.origin`), else "float".
   */
  readonly numeric?: "float" | "double";
  /** The version of this library, kept in the file. Default none. */
  readonly version?: string;
}

/** What each option may be. */
export const onnxOptions: OptionTable<OnnxOptions> = {
  numeric: oneOf("float", "double"),
  version: byDefault("", text),
};

/** Which column goes where in the inputs of the ONNX file: indices in `Schema.columns`. */
export interface OnnxInputs {
  /** The columns of the input `numeric`, in order. */
  readonly numeric: number[];
  /** The columns of the input `categorical`, in order. */
  readonly categorical: number[];
}

/** The columns that {@link toOnnx} asks for. */
export function onnxInputs(schema: Schema): OnnxInputs {
  const numeric: number[] = [], categorical: number[] = [];
  schema.columns.forEach(({ kind, ignored }, index) => {
    if (ignored === null) (kind === "categorical" ? categorical : numeric).push(index);
  });
  return { numeric, categorical };
}

/**
 * The bytes of an ONNX file (opset 17) of `model`. Throws when no column is an input.
 *
 * @throws {OptionError} for what no fit gave, or an option that is none.
 * @throws {FormatError} for a model without input columns.
 * @throws {ShapeError} for networks whose sizes are none.
 * @category Tables
 */
export function toOnnx(model: FittedModel, options: OnnxOptions = {}): Uint8Array<ArrayBuffer> {
  demandNoMore(arguments, 2, "toOnnx");
  const isFitted = Array.isArray(model?.networks) && Array.isArray(model.schema?.columns);
  demand("toOnnx", "the model", model, isFitted, "what a fit gives: model.fitted");
  const { schema, networks } = model;
  const large = schema.columns.some(({ ignored, origin }) => ignored === null && origin !== undefined);
  const { numeric = large ? "double" : "float", version = "" } = checkOptions("toOnnx", options, onnxOptions);
  const { target } = schema;
  const inputs = onnxInputs(schema);
  const columns = [...inputs.numeric, ...inputs.categorical];
  if (columns.length === 0) {
    throw new FormatError("the model has no input columns, and an ONNX file needs some");
  }
  const graph = new OnnxGraph();
  const cells = addCells(graph, schema, inputs, numeric);
  const features = addFeatures(graph, schema, columns, cells);
  const outputs = networks.map((network) =>
    addNetwork(graph, network, features, target.task === "classification")
  );
  const mean = outputs.length === 1 ? outputs[0] : graph.node("Sum", outputs);
  if (target.task === "classification") {
    const best = graph.node("ArgMax", [mean], { axis: { integer: 1 }, keepdims: { integer: 0 } });
    const names = graph.constant("string", [target.classes.length], target.classes);
    graph.output("label", graph.node("Gather", [names, best]), "string", []);
    graph.output("probabilities", mean, "float", [target.classes.length]);
  } else {
    const spread = graph.node("Mul", [
      cast(graph, mean, "double"),
      graph.constant("double", [], [target.std]),
    ]);
    const value = graph.node("Add", [spread, graph.constant("double", [], [target.mean])]);
    const type = target.origin === undefined ? "float" : "double";
    const rounded = type === "float" ? cast(graph, value, type) : value;
    graph.output("value", graph.node("Reshape", [rounded, graph.constant("int64", [1], [-1])]), type, []);
  }
  const describe = (index: number) => {
    const { name, kind, categories } = schema.columns[index];
    return kind === "boolean" ? { name, kind, false: categories[0], true: categories[1] } : { name, kind };
  };
  return graph.finish("tabular", {
    producer: "ferrotype",
    version,
    description: `Predicts ${target.name} (${target.task}). Inputs: ` +
      "numeric [rows, k], where booleans are 0 or 1, dates are days since 1970-01-01 and NaN is a missing cell; " +
      'categorical [rows, k], where "" is a missing cell. Their columns are in the metadata.',
    metadata: {
      task: target.task,
      target: target.name,
      classes: JSON.stringify(target.classes),
      numeric: JSON.stringify(inputs.numeric.map(describe)),
      categorical: JSON.stringify(inputs.categorical.map(describe)),
    },
  });
}

function cast(graph: OnnxGraph, value: string, type: "float" | "double"): string {
  return graph.node("Cast", [value], { to: { integer: onnxTypes[type] } });
}

/** Columns `indices` of a matrix. */
function take(graph: OnnxGraph, matrix: string, indices: readonly number[]): string {
  return graph.node("Gather", [matrix, graph.constant("int64", [indices.length], indices)], {
    axis: { integer: 1 },
  });
}

/** Side by side. */
function join(graph: OnnxGraph, parts: readonly string[]): string {
  return parts.length === 1 ? parts[0] : graph.node("Concat", parts, { axis: { integer: 1 } });
}

/** Cells in f64, NaN where one is missing: numeric columns first, then categorical ones. `[rows, columns]` */
function addCells(graph: OnnxGraph, schema: Schema, inputs: OnnxInputs, type: "float" | "double"): string {
  const parts: string[] = [];
  if (inputs.numeric.length > 0) {
    const numeric = graph.input("numeric", type, [inputs.numeric.length]);
    parts.push(type === "double" ? numeric : cast(graph, numeric, "double"));
  }
  if (inputs.categorical.length > 0) {
    const texts = graph.input("categorical", "string", [inputs.categorical.length]);
    const codes = inputs.categorical.map((column, i) => {
      // A category may be called "" where the reader of the table says so; otherwise "" is a missing cell.
      const { categories } = schema.columns[column];
      const missing = categories.includes("") ? [] : [""];
      return graph.mlNode("LabelEncoder", [take(graph, texts, [i])], {
        keys_strings: { strings: [...categories, ...missing] },
        values_floats: { floats: [...categories.map((_, code) => code), ...missing.map(() => NaN)] },
        default_float: { float: -1 },
      });
    });
    parts.push(cast(graph, join(graph, codes), "double"));
  }
  return join(graph, parts);
}

/** The features in f32, in the order of the schema. `[rows, features]` */
function addFeatures(graph: OnnxGraph, schema: Schema, columns: readonly number[], cells: string): string {
  const isMissing = graph.node("IsNaN", [cells]);
  const fills = columns.map((column) => schema.columns[column].fill);
  const filled = graph.node("Where", [isMissing, graph.constant("double", [1, fills.length], fills), cells]);
  const origins = columns.map((column) => schema.columns[column].origin ?? 0);
  const counted = origins.every((origin) => origin === 0)
    ? filled
    : graph.node("Sub", [filled, graph.constant("double", [1, origins.length], origins)]);
  const places = new Map(columns.map((column, place) => [column, place]));
  const parts: string[] = [], order: number[] = [];
  const row = (values: readonly number[]) => graph.constant("double", [1, values.length], values);
  const one = () => graph.constant("double", [], [1]);
  // Features of one kind are computed together, so the graph stays small for a wide table.
  const kind = <K extends Feature["kind"]>(
    name: K,
    from: string,
    add: (raw: string, features: Extract<Feature, { kind: K }>[]) => string,
  ) => {
    const isKind = (feature: Feature): feature is Extract<Feature, { kind: K }> => feature.kind === name;
    const features = schema.features.filter(isKind);
    if (features.length === 0) return;
    schema.features.forEach((feature, index) => {
      if (isKind(feature)) order.push(index);
    });
    const at = features.map(({ column }) => placeOf(places, column, schema));
    parts.push(add(take(graph, from, at), features));
  };
  kind("value", counted, (raw) => raw);
  kind("log", counted, (raw, features) => {
    const parted = graph.node("Div", [graph.node("Abs", [raw]), row(features.map(({ unit }) => unit))]);
    const log = graph.node("Log", [graph.node("Add", [parted, one()])]);
    return graph.node("Mul", [graph.node("Sign", [raw]), log]);
  });
  kind("ramp", counted, (raw, features) => {
    const above = graph.node("Sub", [raw, row(features.map(({ from }) => from))]);
    const part = graph.node("Div", [above, row(features.map(({ from, to }) => to - from))]);
    return graph.node("Clip", [part, graph.constant("double", [], [0]), one()]);
  });
  kind("category", filled, (raw, features) => {
    return cast(graph, graph.node("Equal", [raw, row(features.map(({ index }) => index))]), "double");
  });
  kind("cycle", filled, (raw, features) => {
    const turns = graph.node("Div", [raw, row(features.map(({ period }) => period))]);
    const phased = graph.node("Add", [turns, row(features.map(({ phase }) => phase))]);
    return graph.node("Sin", [graph.node("Mul", [phased, graph.constant("double", [], [2 * Math.PI])])]);
  });
  kind("missing", isMissing, (raw) => cast(graph, raw, "double"));
  let raw = join(graph, parts);
  if (order.some((index, place) => index !== place)) {
    raw = take(graph, raw, schema.features.map((_, index) => order.indexOf(index)));
  }
  const centred = graph.node("Sub", [raw, row(schema.features.map(({ center }) => center))]);
  return cast(graph, graph.node("Div", [centred, row(schema.features.map(({ scale }) => scale))]), "float");
}

function placeOf(places: ReadonlyMap<number, number>, column: number, schema: Schema): number {
  const place = places.get(column);
  if (place === undefined) {
    const name = schema.columns[column]?.name ?? `number ${column}`;
    throw new FormatError(`a feature uses the column ${name}, which the model ignores or does not have`);
  }
  return place;
}

/** What one network adds to the average. `[rows, outputs]` */
function addNetwork(graph: OnnxGraph, network: Network, features: string, classify: boolean): string {
  let x = network.inputs === null ? features : take(graph, features, network.inputs);
  for (const { weight, bias, inputs, outputs, activation } of network.layers) {
    const matrix = graph.constant("float", [outputs, inputs], weight);
    x = graph.node("Gemm", [x, matrix, graph.constant("float", [outputs], bias)], { transB: { integer: 1 } });
    if (activation === "relu") x = graph.node("Relu", [x]);
  }
  if (classify) x = graph.node("Softmax", [x], { axis: { integer: -1 } });
  return network.share === 1 ? x : graph.node("Mul", [x, graph.constant("float", [], [network.share])]);
}
