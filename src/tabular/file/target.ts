/**
 * The target of a model in its file: JSON, and for regression numbers.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { SafetensorsFile, TensorToSave } from "../../files/mod.ts";
import type { Target } from "../types.ts";
import { shapeOf } from "./check.ts";
import { f32Tensor, numbersOf } from "./numbers.ts";

/** Numbers of the target: mean, std and quantiles. */
const targetNumbers = 23;

/** The target in JSON: what it has beside its numbers. */
export type TargetJson = Pick<Target, "name" | "task" | "classes" | "counts" | "origin">;

/** What is not a number of it. */
export function targetToJson({ name, task, classes, counts, origin }: Target): TargetJson {
  return { name, task, classes, counts, ...(origin === undefined ? {} : { origin }) };
}

/** Its numbers and the residuals, less the origin; none for classes. */
export function targetTensors(target: Target, residuals: Float32Array): TensorToSave[] {
  if (target.task !== "regression") return [];
  const { mean, std, quantiles, origin = 0 } = target;
  const numbers = [mean - origin, std, ...quantiles.map((value) => value - origin)];
  return [
    f32Tensor("target", [targetNumbers], numbers),
    f32Tensor("residuals", [residuals.length], residuals),
  ];
}

/** The target and the residuals of what {@link targetToJson} and {@link targetTensors} made. */
export async function readTarget(
  file: SafetensorsFile,
  json: TargetJson,
  name: string,
): Promise<{ target: Target; residuals: Float32Array }> {
  if (json.task !== "regression") {
    const none = { mean: json.origin ?? 0, std: 0, quantiles: [], min: 0, max: 0 };
    return { target: { ...json, ...none }, residuals: new Float32Array(0) };
  }
  const [n] = shapeOf(file, "target", name, 1);
  if (n !== targetNumbers) {
    throw new FormatError(`${name}: target has ${counted(n, "number")}, expected ${targetNumbers}`);
  }
  shapeOf(file, "residuals", name, 1, 0);
  const [mean, std, ...rest] = await numbersOf(file, "target"), { origin = 0 } = json;
  const quantiles = rest.map((value) => origin + value), [min] = quantiles;
  return {
    target: { ...json, mean: origin + mean, std, quantiles, min, max: quantiles[20] },
    residuals: await numbersOf(file, "residuals"),
  };
}
