/**
 * What a tabular model's file may say: its JSON and its numbers, looked at before a model is made of them.
 *
 * @module
 */
import { isFloat } from "../../core/dtype.ts";
import { FormatError } from "../../core/errors.ts";
import { demand, demandList, demandObject, type JsonObject, parseJson } from "../../core/json.ts";
import { flag, kind, number, oneOf, orNull, text, whole } from "../../core/kinds.ts";
import { formatShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { SafetensorsFile } from "../../files/mod.ts";
import { largestF32 } from "../f32.ts";
import { rawFeature } from "../features.ts";
import type { Column, Feature, Network, Target } from "../types.ts";

/** The largest date there is, in days before or after 1970: what JavaScript can tell. */
const lastDay = 1e8;

const optional = (of: { expected: string; accepts: (x: unknown) => boolean }): typeof of =>
  kind(of.expected, (x) => x === undefined || of.accepts(x));
const texts = kind(
  "a list of texts",
  (x) => Array.isArray(x) && x.every((entry) => typeof entry === "string"),
);
const counts = kind(
  "a list of whole numbers from 0",
  (x) => Array.isArray(x) && x.every((n) => Number.isSafeInteger(n) && n >= 0),
);
const metrics = kind("numbers by name", (x) =>
  typeof x === "object" && x !== null && !Array.isArray(x) &&
  Object.values(x).every((n) => n === null || typeof n === "number"));

/** The fields of an object, each of its kind. */
function fields(
  value: unknown,
  where: string,
  kinds: Readonly<Record<string, ReturnType<typeof kind>>>,
): JsonObject {
  const object = demandObject(value, where);
  for (const [name, of] of Object.entries(kinds)) demand(object[name], of, `${where}: ${name}`);
  return object;
}

function checkEvaluation(value: unknown, classes: number, where: string): void {
  if (value === null || value === undefined) return;
  const evaluation = fields(value, where, {
    split: text,
    folds: whole(0),
    rows: whole(0),
    heldOut: metrics,
    standardError: metrics,
    baseline: metrics,
    linear: orNull(metrics),
    linearError: orNull(metrics),
  });
  const [main] = Object.keys(evaluation.heldOut as object);
  for (const name of ["baseline", "linear"]) {
    const lacks = Object.keys(evaluation.heldOut as object).find((metric) =>
      evaluation[name] !== null && !Object.hasOwn(evaluation[name] as object, metric)
    );
    if (lacks !== undefined) throw new FormatError(`${where}: ${name} has no ${lacks}, which heldOut has`);
  }
  if (main === undefined) throw new FormatError(`${where}: heldOut names nothing that was measured`);
  const interval = demandObject(evaluation.interval, `${where}: interval`);
  const pair = demandList(
    Object.hasOwn(interval, main) ? interval[main] : null,
    `${where}: interval of ${main}`,
  );
  if (pair.length !== 2) {
    throw new FormatError(`${where}: interval of ${main} has ${counted(pair.length, "number")}, not 2`);
  }
  for (const n of pair) demand(n, orNull(number()), `${where}: interval of ${main}`);
  if (evaluation.conformal !== null) {
    fields(evaluation.conformal, `${where}: conformal`, {
      level: number(),
      radius: orNull(number()),
      coverage: orNull(number()),
    });
  }
  for (const entry of demandList(evaluation.importance, `${where}: importance`)) {
    fields(entry, `${where}: an entry of importance`, { column: text, mean: number(), std: number() });
  }
  if (evaluation.confusion === null) return;
  const rows = demandList(evaluation.confusion, `${where}: confusion`);
  if (
    rows.length !== classes ||
    !rows.every((row) => Array.isArray(row) && row.length === classes && counts.accepts(row))
  ) {
    throw new FormatError(
      `${where}: confusion has not ${counted(classes, "row")} of ${counted(classes, "count")}`,
    );
  }
}

function checkForm(value: unknown, where: string): void {
  if (value === undefined) return;
  fields(value, where, {
    decimal: optional(oneOf(".", ",")),
    thousands: optional(oneOf(".", ",", " ", "'")),
    dateOrder: optional(oneOf("day first", "month first")),
    units: optional(texts),
  });
}

/**
 * Parses and checks the JSON of a model.
 * @throws {FormatError} that names the field.
 */
export function parseModelJson(json: string, file: string): JsonObject {
  const where = `${file}: metadata ferrotype.tabular`, object = demandObject(parseJson(json, where), where);
  // The version is the caller's to judge.
  demand(object.format, text, `${where}: format`);
  const target = fields(object.target, `${where}: target`, {
    name: text,
    task: oneOf("classification", "regression"),
    classes: texts,
    counts,
    origin: optional(number()),
  });
  const classes = (target.classes as string[]).length;
  if (target.task === "classification" ? classes < 2 : classes > 0) {
    throw new FormatError(`${where}: ${target.task} has ${counted(classes, "class", "classes")}`);
  }
  for (const [i, value] of demandList(object.columns, `${where}: columns`).entries()) {
    fields(value, `${where}: column ${i}`, {
      name: text,
      kind: oneOf("numeric", "boolean", "date", "categorical"),
      ignored: optional(orNull(text)),
      categories: optional(texts),
      counts: optional(counts),
      missing: optional(whole(0)),
      origin: optional(number()),
    });
    checkForm((value as JsonObject).form, `${where}: column ${i}: form`);
  }
  const networks = demandList(object.networks, `${where}: networks`);
  if (networks.length === 0) throw new FormatError(`${where}: there are no networks`);
  for (const [i, value] of networks.entries()) {
    const group = fields(value, `${where}: networks ${i}`, { inputs: text, count: whole(1) });
    if (Array.isArray(group.share) && group.share.length !== group.count) {
      throw new FormatError(
        `${where}: networks ${i} are ${group.count} with ${counted(group.share.length, "share")}`,
      );
    }
    for (const share of Array.isArray(group.share) ? group.share : [group.share]) {
      demand(share, number(), `${where}: the share of networks ${i}`);
    }
  }
  fields(object, where, {
    version: text,
    explanation: text,
    seed: whole(),
    shares: metrics,
    notes: optional(texts),
    fit: optional(orNull(metrics)),
  });
  const data = fields(object.data, `${where}: data`, { name: text, sha256: orNull(text), rows: whole(0) });
  if (data.csv !== undefined) {
    fields(data.csv, `${where}: data: csv`, {
      delimiter: text,
      header: flag,
      names: optional(texts),
      decimal: optional(oneOf(".", ",")),
    });
  }
  checkEvaluation(object.evaluation, classes, `${where}: evaluation`);
  return object;
}

/**
 * Numbers from "0-6,9", or null for "all".
 * @throws {FormatError} unless they ascend and are below `most`.
 */
export function parseRanges(ranges: string, most: number, where: string): number[] | null {
  if (ranges === "all") return null;
  const list: number[] = [];
  for (const part of ranges.split(",")) {
    const [, first, last = first] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [],
      from = Number(first),
      to = Number(last);
    if (
      first === undefined || from > to || to >= most || (list.length > 0 && from <= list[list.length - 1])
    ) {
      throw new FormatError(
        `${where}: "${part.slice(0, 40)}" is no part of the features from 0 to ${most - 1}, in order`,
      );
    }
    for (let i = from; i <= to; i++) list.push(i);
  }
  return list;
}

/**
 * A tensor's shape.
 * @throws {FormatError} unless it has floating-point numbers and as many sizes, none of them 0.
 */
export function shapeOf(
  file: SafetensorsFile,
  name: string,
  where: string,
  rank: number,
  least = 1,
): readonly number[] {
  const { shape, dtype } = file.info(name);
  if (!isFloat(dtype as "f32") || shape.length !== rank || shape.some((n) => n < least)) {
    throw new FormatError(
      `${where}: ${name} is ${dtype} ${formatShape(shape)}, expected floating-point numbers of ${
        counted(rank, "size")
      }`,
    );
  }
  return shape;
}

/** @throws {FormatError} unless every column that counts, every feature and the target have numbers that make sense. */
export function checkSchema(
  columns: readonly Column[],
  features: readonly Feature[],
  target: Target,
  where: string,
): void {
  const fail = (what: string): never => {
    throw new FormatError(`${where}: ${what}`);
  };
  const finite = (numbers: readonly number[]): boolean => numbers.every(Number.isFinite);
  for (const { name, kind: is, ignored, mean, std, fill, quantiles, categories, counts } of columns) {
    const at = `column "${name}"`;
    if (is === "boolean" && categories.length !== 0 && categories.length !== 2) {
      fail(`${at} has ${counted(categories.length, "side")}`);
    }
    if (counts.length !== 0 && counts.length !== categories.length) {
      fail(`${at} has ${counted(counts.length, "count")}`);
    }
    if (ignored !== null && is !== "date") continue;
    if (!finite([mean, std, fill, ...quantiles])) fail(`${at} has statistics that are no numbers`);
    if (is === "date" && quantiles.some((day) => Math.abs(day) > lastDay)) {
      fail(`${at} has dates that do not exist`);
    }
  }
  for (const [i, feature] of features.entries()) {
    const at = `feature ${i}`, { column, center, scale } = feature;
    if (!Number.isInteger(column) || column < 0 || column >= columns.length) {
      fail(`${at} is of column ${column}`);
    }
    if (!Number.isFinite(center) || !Number.isFinite(scale) || scale === 0) {
      fail(`${at} has center ${center} and scale ${scale}`);
    }
    if (feature.kind === "log" && !(feature.unit > 0 && feature.unit < Infinity)) {
      fail(`${at} has unit ${feature.unit}`);
    }
    if (feature.kind === "ramp" && !finite([feature.from, feature.to])) {
      fail(`${at} goes from ${feature.from} to ${feature.to}`);
    }
    if (feature.kind === "cycle" && !(finite([feature.phase]) && feature.period > 0)) {
      fail(`${at} has period ${feature.period}`);
    }
    if (feature.kind === "category" && !(feature.index in columns[column].categories)) {
      fail(
        `${at} is of category ${feature.index}, and column ${column} has ${
          columns[column].categories.length
        }`,
      );
    }
    // A cell that is missing has a value in every feature: no row can be read where that is none.
    const missing = (rawFeature(feature, NaN, columns[column]) - center) / scale;
    if (!(Math.abs(missing) <= largestF32)) fail(`${at} is ${missing} where column ${column} has no value`);
  }
  if (!finite([target.mean, target.std, ...target.quantiles])) {
    fail("the target has statistics that are no numbers");
  }
}

/** @throws {FormatError} unless each layer takes what the one before gives, the last gives `outputs`, and all hold numbers. */
export function checkNetwork(
  { inputs, layers }: Network,
  features: number,
  outputs: number,
  where: string,
): void {
  let width = inputs?.length ?? features;
  for (const layer of layers) {
    if (layer.inputs !== width) {
      throw new FormatError(
        `${where}: a layer takes ${counted(layer.inputs, "number")} where there are ${width}`,
      );
    }
    width = layer.outputs;
    for (const name of ["weight", "bias"] as const) {
      const wrong = layer[name].find((x) => !Number.isFinite(x));
      if (wrong === undefined) continue;
      throw new FormatError(`${where}: the ${name} of a layer has ${wrong}, expected numbers alone`);
    }
  }
  if (layers.length === 0 || width !== outputs) {
    throw new FormatError(`${where}: the last layer gives ${counted(width, "number")}, expected ${outputs}`);
  }
}

/** @throws {FormatError} unless residuals ascend from 0 on. */
export function checkResiduals(residuals: Float32Array, where: string): void {
  for (let i = 0; i < residuals.length; i++) {
    if (residuals[i] >= (i > 0 ? residuals[i - 1] : 0) && residuals[i] < Infinity) continue;
    throw new FormatError(`${where}: residual ${i} is ${residuals[i]}; they ascend from 0 on`);
  }
}
