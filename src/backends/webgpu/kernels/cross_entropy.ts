/**
 * Cross-entropy of each row of logits, and its gradient. See `Kernels.crossEntropy`.
 *
 * @module
 */
import type { View } from "../../contract.ts";
import { sizeOf } from "../../../core/shape.ts";
import { type Gpu, targetNote } from "../gpu.ts";
import { columns, type Rows, runRows } from "../wgsl/rows.ts";

/** The loss and log Σ exp of each row; ignored targets give 0. */
export function crossEntropy(
  gpu: Gpu,
  logits: View,
  targets: View,
  losses: View,
  lse: View,
  ignoreIndex: number,
): void {
  const [count, width] = logits.shape, reads: Rows[] = [[logits, width], [targets, 1]];
  runRows(gpu, "cross entropy", count, reads, [[losses, 1], [lse, 1]], [width, ignoreIndex], (code) => {
    const { get, set, own, notes } = code, at = `row * ${own(0)} + c`;
    return `var most = bits(0xff800000u);
  ${columns(own(0), `most = maxNan(most, ${get(0, at)});`)}
  most = teamMax(lane0, most);
  var sum = 0.0f;
  ${columns(own(0), `sum += m_exp(${get(0, at)} - most);`)}
  let all = most + m_log(teamSum(lane0, sum));
  if (lane != 0) { return; }
  ${set(3, "row", "all")}
  let target_ = ${get(1, "row")};
  if (target_ == ${own(1)}) { ${set(2, "row", "0.0f")} return; }
  if ((target_ < 0 || target_ >= ${own(0)}) && atomicMax(&${notes}[0], 1u) == 0u) {
    atomicStore(&${notes}[1], bitcast<u32>(target_));
    atomicStore(&${notes}[2], u32(${own(0)}));
    atomicStore(&${notes}[3], ${targetNote}u);
  }
  let place = row * ${own(0)} + clamp(target_, 0, ${own(0)} - 1);
  ${set(2, "row", `all - ${get(0, "place")}`)}`;
  }, gpu.notes);
}

/** dlogits = (softmax - onehot) · scale of the row. */
export function crossEntropyBackward(
  gpu: Gpu,
  logits: View,
  targets: View,
  lse: View,
  scale: View,
  dlogits: View,
  ignoreIndex: number,
): void {
  const [count, width] = logits.shape;
  const reads: Rows[] = [[logits, width], [targets, 1], [lse, 1], [scale, 1]];
  if (sizeOf(logits.shape) === 0) return;
  runRows(
    gpu,
    "cross entropy backward",
    count,
    reads,
    [[dlogits, width]],
    [width, ignoreIndex],
    ({ get, set, own }) => {
      const at = `row * ${own(0)} + c`;
      return `let target_ = ${get(1, "row")}; let all = ${get(2, "row")};
  // Chosen, not multiplied: an ignored row's logits may be infinite.
  let ignored = target_ == ${own(1)}; let factor = ${get(3, "row")};
  ${
        columns(
          own(0),
          `let share = m_exp(${get(0, at)} - all) - select(0.0f, 1.0f, c == target_); ${
            set(4, at, "select(share * factor, 0.0f, ignored)")
          }`,
        )
      }`;
    },
  );
}
