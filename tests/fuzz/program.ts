/** Programs as data: leaves that are made, and steps that compute from what is there; printed as code a person can run. */
import type { DType } from "../../src/core/dtype.ts";

/** A tensor to begin with. */
export interface Leaf {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly number[];
  /** Whether a gradient is taken by it. */
  readonly requiresGrad: boolean;
}

/** A parameter of an operation, fit for printing. */
export type Param = number | string | boolean | null | readonly Param[];

/** One operation on values that are there: leaves come first, then results, in order. */
export interface Step {
  readonly op: string;
  readonly args: readonly number[];
  readonly params: readonly Param[];
}

/** A program. */
export interface FuzzProgram {
  readonly leaves: readonly Leaf[];
  readonly steps: readonly Step[];
}

/** The leaves and steps that step `last` needs, renumbered. */
export function closureOf({ leaves, steps }: FuzzProgram, last: number): FuzzProgram {
  const needed = new Set<number>([leaves.length + last]);
  for (let s = last; s >= 0; s--) {
    if (needed.has(leaves.length + s)) { for (const arg of steps[s].args) needed.add(arg); }
  }
  const order = [...needed].sort((a, b) => a - b), place = new Map(order.map((old, now) => [old, now]));
  return {
    leaves: leaves.filter((_, i) => needed.has(i)),
    steps: steps.filter((_, s) => needed.has(leaves.length + s)).map((step) => ({
      ...step,
      args: step.args.map((arg) => place.get(arg) as number),
    })),
  };
}

function show(value: Param): string {
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  return Object.is(value, -0) ? "-0" : typeof value === "number" ? String(value) : JSON.stringify(value);
}

/** The program as text. */
export function formatProgram({ leaves, steps }: FuzzProgram): string {
  const lines = leaves.map(({ dtype, shape, values, requiresGrad }, i) =>
    `const v${i} = tensor(Float64Array.of(${values.map(show).join(", ")}), { shape: ${
      show(shape)
    }, dtype: "${dtype}"${requiresGrad ? ", requiresGrad: true" : ""}, device });`
  );
  steps.forEach(({ op, args, params }, s) => {
    const given = [...args.map((arg) => `v${arg}`), ...params.map(show)];
    lines.push(`const v${leaves.length + s} = ${op}(${given.join(", ")});`);
  });
  return lines.join("\n");
}
