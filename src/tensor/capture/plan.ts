/**
 * A program as text: one line an operation, with shapes and memory.
 *
 * @module
 */
import type { Epilogue, View } from "../../backends/contract.ts";
import { eachView } from "../../backends/operations.ts";
import { formatShape } from "../../core/shape.ts";
import type { Expr, Program as Expression } from "../../expr/nodes.ts";
import type { Program } from "./program.ts";
import type { Trace } from "./trace.ts";
import { elementwiseOf, type Step, type Value, valueOf } from "./value.ts";

/** Bytes, for people. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0, n = bytes;
  while (n >= 1024 && unit < units.length - 1) n /= 1024, unit++;
  return `${unit === 0 ? n : n.toFixed(n < 10 ? 2 : 1)} ${units[unit]}`;
}

/** A short name for a value: %4 is a temporary, $2 an argument, @7 a tensor from outside, #3 a constant. */
function nameOf({ id, source }: Value): string {
  switch (source.kind) {
    case "argument":
      return `$${source.index}`;
    case "gradient":
      return `grad${source.index}`;
    case "captured":
      return `@${id}`;
    case "constant":
      return `#${id}`;
    case "numbers":
      return "numbers";
    default:
      return `%${id}`;
  }
}

function viewText(view: View): string {
  return `${nameOf(valueOf(view))} ${view.dtype}${formatShape(view.shape)}`;
}

/** An expression as a formula; `names` are those of its inputs. */
function formula(expr: Expr, names: readonly string[], scalars: readonly string[], depth = 0): string {
  if (depth > 6) return "…";
  const of = (x: Expr): string => formula(x, names, scalars, depth + 1);
  switch (expr.kind) {
    case "const":
      return String(expr.value);
    case "input":
      return names[expr.index] ?? `x${expr.index}`;
    case "scalar":
      return scalars[expr.index] ?? `s${expr.index}`;
    case "unary":
      return `${expr.op}(${of(expr.x)})`;
    case "binary":
    case "compare":
      return `${expr.op}(${of(expr.x)}, ${of(expr.y)})`;
    case "select":
      return `select(${of(expr.condition)}, ${of(expr.x)}, ${of(expr.y)})`;
  }
}

function numberText(x: unknown): string {
  if (typeof x !== "object" || x === null) return String(x);
  return `n${(x as { index: number }).index}`;
}

/** One step as one line. */
export function stepText(step: Step): string {
  const { operation, args } = step, written: string[] = [], rest: string[] = [];
  eachView(operation, args, (view, role) => {
    if (role !== "reads") written.push(viewText(view));
  });
  const parts = elementwiseOf(step);
  if (parts) {
    const names = parts.inputs.map((view) => nameOf(valueOf(view)));
    const formulas = parts.program.outputs.map((expr) => formula(expr, names, parts.scalars.map(numberText)));
    return `${written.join(", ")} = ${formulas.join("; ")}  over ${
      parts.inputs.map(viewText).join(", ") || "nothing"
    }`;
  }
  operation.parameters.forEach(({ kind, name }, i) => {
    const x = args[i];
    if (x === null || x === undefined || kind === "writes") return;
    if (kind === "reads" || kind === "updates") {
      rest.push(Array.isArray(x) ? x.map(viewText).join(", ") : viewText(x as View));
    } else if (kind === "epilogue") {
      const { program, inputs, scalars } = x as Epilogue;
      const names = ["it", ...inputs.map((view) => nameOf(valueOf(view)))];
      rest.push(`then ${formula(program.outputs[0], names, scalars.map(numberText))}`);
    } else if (kind === "program") {
      rest.push(`of ${formula((x as Expression).outputs[0], [], [])}`);
    } else if (name === "bytes") {
      rest.push(typeof x === "function" ? "bytes of the run" : `${(x as Uint8Array).length} bytes`);
    } else if (Array.isArray(x)) rest.push(`${name} [${x.map(numberText).join(", ")}]`);
    else rest.push(`${name} ${numberText(x)}`);
  });
  return `${written.join(", ")} = ${operation.name}(${rest.join(", ")})`;
}

/** The program as text. */
export function planText(made: Program): string {
  const { trace, once, steps, memory, reports } = made, lines: string[] = [];
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  lines.push(`asked for: ${count(trace.steps.length, "operation")}`);
  for (const step of trace.steps) lines.push(`  ${stepText(step)}`);
  for (const { name, before, after, notes } of reports) {
    lines.push(`${name}: ${before} -> ${after}${notes ? ` (${notes})` : ""}`);
  }
  if (once.length) {
    lines.push(`done once: ${count(once.length, "operation")}`);
    for (const step of once) lines.push(`  ${stepText(step)}`);
  }
  lines.push(`done in each run: ${count(steps.length, "operation")}`);
  for (const step of steps) lines.push(`  ${stepText(step)}`);
  lines.push(
    `memory: ${formatBytes(memory.peak)} in ${count(memory.all.length, "place")}; as asked for ${
      formatBytes(trace.eagerPeak)
    }; no plan takes less than ${formatBytes(memory.lowerBound)}`,
  );
  return lines.join("\n");
}

/** What a trace does, exactly, with numbers as `number` writes them. */
planText.describe = (trace: Trace, number: (x: unknown) => string): string => {
  const names = new Map<Value, number>();
  const name = (value: Value): string => {
    const { source } = value;
    if (source.kind === "argument") return `argument ${source.index}`;
    if (!names.has(value)) names.set(value, names.size);
    return `${source.kind} ${names.get(value)} ${value.byteLength}`;
  };
  const one = (x: unknown): string => {
    if (x === null || x === undefined) return "none";
    if (Array.isArray(x)) return `[${x.map(one).join()}]`;
    if (typeof x === "function") return "bytes of the run";
    if (x instanceof Uint8Array) return `bytes ${x.join()}`;
    if (typeof x !== "object") return number(x);
    if ("buffer" in x) {
      const { dtype, shape, strides, offset } = x as View;
      return `${name(valueOf(x as View))} ${dtype} ${shape} ${strides} ${offset}`;
    }
    if ("program" in x) {
      const { program, inputs, scalars } = x as Epilogue;
      return `${program.key} ${one(inputs)} ${one(scalars)}`;
    }
    if ("key" in x) return String(x.key);
    if ("value" in x) {
      const { value, dtype, shape, strides, offset } = x as unknown as View & { value: Value };
      return `${name(value)} ${dtype} ${shape} ${strides} ${offset}`;
    }
    if ("index" in x) return number(x);
    return `{${Object.entries(x).map(([key, item]) => `${key}:${one(item)}`).join()}}`;
  };
  return [
    ...trace.steps.map(({ operation, args }) => `${operation.name} ${args.map(one).join(" ")}`),
    one(trace.result),
    ...trace.gradients.map(({ before, after }) =>
      `${before?.shape} ${typeof after === "string" ? after : one(after)}`
    ),
  ].join("\n");
};
