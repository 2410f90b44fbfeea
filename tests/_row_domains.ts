/**
 * Where the rows of the table are smooth: ranges from which tests take operands.
 *
 * @module
 */
import type { Row } from "../src/expr/table.ts";

type Range = readonly [low: number, high: number];

const domains: Readonly<Record<string, readonly Range[]>> = {
  log: [[0.2, 3]],
  log2: [[0.2, 3]],
  log10: [[0.2, 3]],
  log1p: [[-0.8, 3]],
  sqrt: [[0.2, 3]],
  rsqrt: [[0.2, 3]],
  reciprocal: [[0.3, 3]],
  pow: [[0.3, 3], [-2, 2]],
  div: [[-2, 2], [0.3, 2]],
  tan: [[-1.2, 1.2]],
  // No multiple of the divisor near the dividend.
  remainder: [[0.6, 0.9], [1.1, 1.9]],
  fmod: [[0.6, 0.9], [1.1, 1.9]],
  floorDivide: [[0.6, 0.9], [1.1, 1.9]],
  hypot: [[0.3, 2], [0.3, 2]],
  clamp: [[-2, 2], [-1.2, -0.6], [0.6, 1.2]],
  where: [[-2, 2], [-2, 2], [-2, 2]],
  relu6: [[-2, 8]],
};

const parameters: Readonly<Record<string, readonly number[]>> = {
  leakyRelu: [0.1],
  elu: [1.3],
  softplus: [1.5, 20],
  hardtanh: [-0.7, 1.2],
  threshold: [0.3, -0.4],
};

/** Ranges of a row's operands, values of its parameters, and by which operands it can be differentiated. */
export function backwardKinds(
  name: string,
  row: Row,
): { ranges: readonly Range[]; scalars: readonly number[]; differentiable: readonly boolean[] } {
  const ranges = domains[name] ?? Array.from({ length: row.arity }, (): Range => [-2, 2]);
  const scalars = parameters[name] ?? [];
  if (scalars.length !== (row.scalars ?? 0)) throw new Error(`${name} takes ${row.scalars ?? 0} parameters`);
  const leaf = { kind: "input", index: 0 } as const;
  const leaves = Array.from({ length: row.arity + scalars.length }, () => leaf);
  const derivatives = row.derivative(leaves, leaf);
  return { ranges, scalars, differentiable: derivatives.slice(0, row.arity).map((d) => d !== null) };
}
