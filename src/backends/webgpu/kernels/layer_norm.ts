/**
 * Layer norm over the last axis, and its gradients. See `Kernels.layerNorm`.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import { input } from "../../../expr/nodes.ts";
import { mul, sub } from "../../../expr/build.ts";
import { program } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu } from "../gpu.ts";
import { seenAs } from "../wgsl/module.ts";
import { columns, type Rows, runRows } from "../wgsl/rows.ts";
import { reduce } from "./reduce.ts";

/** out = (x - mean) · rstd · weight + bias for each row. */
export function layerNorm(
  gpu: Gpu,
  x: View,
  weight: View | null,
  bias: View | null,
  eps: number,
  out: View,
  mean: View,
  rstd: View,
): void {
  const width = x.shape[x.shape.length - 1], count = sizeOf(x.shape) / width;
  const reads: Rows[] = [[x, width]];
  for (const view of [weight, bias]) if (view) reads.push([view, 0]);
  const n = reads.length, writes: Rows[] = [[out, width], [mean, 1], [rstd, 1]];
  const key = `layer norm ${weight !== null} ${bias !== null}`;
  runRows(gpu, key, count, reads, writes, [width, floatBits(eps)], ({ get, set, own }) => {
    const at = `row * ${own(0)} + c`, normed = `(${get(0, at)} - middle) * scale`;
    const weighted = weight ? `${normed} * ${get(1, "c")}` : normed;
    return `var sum = 0.0f;
  ${columns(own(0), `sum += ${get(0, at)};`)}
  let middle = teamSum(lane0, sum) / f32(${own(0)});
  var squares = 0.0f;
  ${columns(own(0), `let d = ${get(0, at)} - middle; squares += d * d;`)}
  let scale = 1.0f / sqrt(teamSum(lane0, squares) / f32(${own(0)}) + bitcast<f32>(${own(1)}));
  if (lane == 0) { ${set(n + 1, "row", "middle")} ${set(n + 2, "row", "scale")} }
  ${columns(own(0), set(n, at, bias ? `${weighted} + ${get(n - 1, "c")}` : weighted))}`;
  });
}

const centred = mul(sub(input(1), input(2)), input(3));
const weightGradient = program("f32", [mul(input(0), centred)], { inputs: 4, scalars: 0 });

/** Gradients of layer norm. */
export function layerNormBackward(
  gpu: Gpu,
  dy: View,
  x: View,
  weight: View | null,
  mean: View,
  rstd: View,
  dx: View,
  dweight: View | null,
  dbias: View | null,
): void {
  const width = x.shape[x.shape.length - 1], count = sizeOf(x.shape) / width;
  const reads: Rows[] = [[dy, width], [x, width], [mean, 1], [rstd, 1]];
  if (weight) reads.push([weight, 0]);
  const key = `layer norm backward ${weight !== null}`;
  runRows(gpu, key, count, reads, [[dx, width]], [width], ({ get, set, own }) => {
    const at = `row * ${own(0)} + c`, g = weight ? `${get(0, at)} * ${get(4, "c")}` : get(0, at);
    const normed = `(${get(1, at)} - middle) * scale`;
    return `let middle = ${get(2, "row")}; let scale = ${get(3, "row")};
  var sum = 0.0f; var along = 0.0f;
  ${columns(own(0), `let g = ${g}; sum += g; along += g * (${normed});`)}
  let level = teamSum(lane0, sum) / f32(${own(0)}); let slope = teamSum(lane0, along) / f32(${own(0)});
  ${columns(own(0), set(reads.length, at, `scale * (${g} - level - ${normed} * slope)`))}`;
  });
  const matrix = (v: View): View => seenAs(v, [count, width], [width, 1]);
  const column = (v: View): View => seenAs(v, [count, width], [1, 0]);
  const line = (v: View): View => seenAs(v, [1, width], [width, 1]);
  if (dweight) {
    const inputs = [matrix(dy), matrix(x), column(mean), column(rstd)];
    reduce(gpu, "sum", weightGradient, inputs, [], [0], line(dweight));
  }
  if (dbias) reduce(gpu, "sum", null, [matrix(dy)], [], [0], line(dbias));
}
