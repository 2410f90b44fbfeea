/**
 * RMS norm over the last axis, and its gradients. See `Kernels.rmsNorm`.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import { mul } from "../../../expr/build.ts";
import { input } from "../../../expr/nodes.ts";
import { program } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import { floatBits, type Gpu } from "../gpu.ts";
import { seenAs } from "../wgsl/module.ts";
import { columns, type Rows, runRows } from "../wgsl/rows.ts";
import { reduce } from "./reduce.ts";

/** out = x · rstd · weight for each row. */
export function rmsNorm(gpu: Gpu, x: View, weight: View | null, eps: number, out: View, rstd: View): void {
  const width = x.shape[x.shape.length - 1], count = sizeOf(x.shape) / width;
  const reads: Rows[] = [[x, width]], writes: Rows[] = [[out, width], [rstd, 1]];
  if (weight) reads.push([weight, 0]);
  const n = reads.length;
  runRows(gpu, `rms norm ${weight !== null}`, count, reads, writes, [width, floatBits(eps)], (code) => {
    const { get, set, own } = code, at = `row * ${own(0)} + c`, normed = `${get(0, at)} * scale`;
    return `var squares = 0.0f;
  ${columns(own(0), `let v = ${get(0, at)}; squares += v * v;`)}
  let scale = 1.0f / sqrt(teamSum(lane0, squares) / f32(${own(0)}) + bitcast<f32>(${own(1)}));
  if (lane == 0) { ${set(n + 1, "row", "scale")} }
  ${columns(own(0), set(n, at, weight ? `${normed} * ${get(1, "c")}` : normed))}`;
  });
}

const weightGradient = program("f32", [mul(input(0), mul(input(1), input(2)))], { inputs: 3, scalars: 0 });

/** Gradients of RMS norm. */
export function rmsNormBackward(
  gpu: Gpu,
  dy: View,
  x: View,
  weight: View | null,
  rstd: View,
  dx: View,
  dweight: View | null,
): void {
  const width = x.shape[x.shape.length - 1], count = sizeOf(x.shape) / width;
  const reads: Rows[] = [[dy, width], [x, width], [rstd, 1]];
  if (weight) reads.push([weight, 0]);
  runRows(
    gpu,
    `rms norm backward ${weight !== null}`,
    count,
    reads,
    [[dx, width]],
    [width],
    ({ get, set, own }) => {
      const at = `row * ${own(0)} + c`, g = weight ? `${get(0, at)} * ${get(3, "c")}` : get(0, at);
      const normed = `${get(1, at)} * scale`;
      return `let scale = ${get(2, "row")};
  var along = 0.0f;
  ${columns(own(0), `along += ${g} * ${normed};`)}
  let slope = teamSum(lane0, along) / f32(${own(0)});
  ${columns(own(0), set(reads.length, at, `scale * (${g} - ${normed} * slope)`))}`;
    },
  );
  if (!dweight) return;
  const matrix = (v: View): View => seenAs(v, [count, width], [width, 1]);
  const inputs = [matrix(dy), matrix(x), seenAs(rstd, [count, width], [1, 0])];
  reduce(gpu, "sum", weightGradient, inputs, [], [0], seenAs(dweight, [1, width], [width, 1]));
}
