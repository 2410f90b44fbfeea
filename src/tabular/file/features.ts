/**
 * The features of a model in its file: six numbers each.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import type { Feature } from "../types.ts";

const kinds = ["value", "log", "ramp", "category", "cycle", "missing"] as const;

/** Numbers of a feature. */
export const featureNumbers = 6;

/** Its kind, column, two parameters, center and scale. */
export function numbersOfFeature(feature: Feature): number[] {
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

/** The feature of what {@link numbersOfFeature} made. @throws {FormatError} for a kind that there is not. */
export function readFeature(numbers: ArrayLike<number>, name: string): Feature {
  const [code, column, a, b, center, scale] = Array.from(numbers);
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
