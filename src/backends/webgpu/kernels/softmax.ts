/**
 * Softmax over the last axis, and its gradient. See `Kernels.softmax`.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { Gpu } from "../gpu.ts";
import { columns, runRows } from "../wgsl/rows.ts";

function rowsOf(x: View): [count: number, width: number] {
  const width = x.shape[x.shape.length - 1];
  return [sizeOf(x.shape) / width, width];
}

/** Softmax (or its logarithm) of each row. */
export function softmax(gpu: Gpu, x: View, out: View, log: boolean): void {
  const [count, width] = rowsOf(x);
  runRows(gpu, `softmax ${log}`, count, [[x, width]], [[out, width]], [width], ({ get, set, own }) => {
    const at = `row * ${own(0)} + c`;
    return `var most = bits(0xff800000u);
  ${columns(own(0), `most = maxNan(most, ${get(0, at)});`)}
  most = teamMax(lane0, most);
  var sum = 0.0f;
  ${columns(own(0), `sum += m_exp(${get(0, at)} - most);`)}
  sum = teamSum(lane0, sum);
  ${log ? "let logSum = m_log(sum);" : ""}
  ${
      columns(
        own(0),
        log ? set(1, at, `${get(0, at)} - most - logSum`) : set(1, at, `m_exp(${get(0, at)} - most) / sum`),
      )
    }`;
  });
}

/** dx from dy and the result y. */
export function softmaxBackward(gpu: Gpu, dy: View, y: View, dx: View, log: boolean): void {
  const [count, width] = rowsOf(y);
  runRows(
    gpu,
    `softmax backward ${log}`,
    count,
    [[dy, width], [y, width]],
    [[dx, width]],
    [width],
    ({ get, set, own }) => {
      const at = `row * ${own(0)} + c`, g = get(0, at), value = get(1, at);
      return `var sum = 0.0f;
  ${columns(own(0), `sum += ${log ? g : `${g} * ${value}`};`)}
  sum = teamSum(lane0, sum);
  ${columns(own(0), set(2, at, log ? `${g} - m_exp(${value}) * sum` : `${value} * (${g} - sum)`))}`;
    },
  );
}
