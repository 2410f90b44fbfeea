/**
 * A program as text: one line an operation, with shapes and memory.
 *
 * @module
 */
import type { Epilogue, View } from "../../backends/contract.ts";
import { eachView } from "../../backends/operations.ts";
import { formatShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import type { Expr, Program as Expression } from "../../expr/nodes.ts";
import { foldLeaf, type RowProgram } from "../../expr/row_program.ts";
import { numberName } from "./numbers.ts";
import { planOf, type Program } from "./program.ts";
import { elementwiseOf, type Step, type Value, valueOf, writesOf } from "./value.ts";

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
    default:
      return `%${id}`;
  }
}

const isNumber = (view: View): boolean => valueOf(view).source.kind === "numbers";

function operandName(view: View): string {
  return isNumber(view) ? numberName(view) : nameOf(valueOf(view));
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

/** A program over rows: its folds r0, r1 …, then what is stored. */
function rowsText(args: readonly unknown[], indices: readonly View[] = []): string {
  const { folds, outputs, picks } = args[0] as RowProgram, inputs = args[1] as View[];
  const scalars = (args[2] as number[]).map(numberText), places = indices.map(operandName);
  const names = inputs.map((view, i): string => {
    const number = picks?.of[i] ?? null;
    return number === null
      ? operandName(view)
      : `${operandName(view)}[${formula(picks!.positions.outputs[number], places, [])}]`;
  });
  folds.forEach((_, j) => names[foldLeaf + j] = `r${j}`);
  const found = folds.map(({ kind, value }, j) => `r${j} = ${kind} ${formula(value, names, scalars)}`);
  const stored = outputs.map(({ value }) => formula(value, names, scalars));
  return `rows(${[...found, ...stored].join("; ")})  over ${
    [...inputs, ...indices].map(viewText).join(", ")
  }`;
}

function epilogueText({ program, inputs, scalars }: Epilogue): string {
  return `then ${formula(program.outputs[0], ["it", ...inputs.map(operandName)], scalars.map(numberText))}`;
}

/** One step as one line. */
export function stepText(step: Step): string {
  const { operation, args } = step, written: string[] = [], rest: string[] = [];
  eachView(operation, args, (view, role) => {
    if (role !== "reads") written.push(viewText(view));
  });
  const parts = elementwiseOf(step);
  if (parts) {
    const names = parts.inputs.map(operandName), read = parts.inputs.filter((view) => !isNumber(view));
    const formulas = parts.program.outputs.map((expr) => formula(expr, names, parts.scalars.map(numberText)));
    return `${written.join(", ")} = ${formulas.join("; ")}  over ${
      read.map(viewText).join(", ") || "nothing"
    }`;
  }
  if (operation.name === "rows") return `${written.join(", ")} = ${rowsText(args)}`;
  if (operation.name === "matmulRows") {
    // Its first output is the left operand.
    const left = rowsText(args, args[3] as View[]),
      [b, , epilogue] = args.slice(5) as [View, View, Epilogue?];
    const then = epilogue ? `, ${epilogueText(epilogue)}` : "";
    return `${written.join(", ")} = matmul(${viewText(b)}${then}) of ${left}`;
  }
  operation.parameters.forEach(({ kind, name }, i) => {
    const x = args[i];
    if (x === null || x === undefined || kind === "writes") return;
    if (kind === "reads" || kind === "updates") {
      const views = [x].flat() as View[];
      rest.push(views.filter((view) => !isNumber(view)).map(viewText).join(", "));
    } else if (kind === "epilogue") {
      rest.push(epilogueText(x as Epilogue));
    } else if (kind === "program") {
      // A reduction's program reads the views that follow it.
      const names = (args[i + 1] as View[]).map(operandName),
        scalars = (args[i + 2] as number[]).map(numberText);
      rest.push(`of ${formula((x as Expression).outputs[0], names, scalars)}`);
    } else if (name === "bytes") {
      rest.push(
        typeof x === "function" ? "bytes of the run" : `${counted((x as Uint8Array).length, "byte")}`,
      );
    } else if (name === "scalars") return;
    else if (Array.isArray(x)) rest.push(`${name} [${x.map(numberText).join(", ")}]`);
    else rest.push(`${name} ${numberText(x)}`);
  });
  const call = `${operation.name}(${rest.join(", ")})`;
  return written.length ? `${written.join(", ")} = ${call}` : call;
}

/** The program as text. */
export function planText(made: Program): string {
  const { trace, once, packs, steps, memory, reports, results } = made, lines: string[] = [];
  lines.push(`asked for: ${counted(trace.steps.length, "operation")}`);
  for (const step of trace.steps) lines.push(`  ${stepText(step)}`);
  for (const { name, before, steps } of reports) {
    const { peak } = planOf(steps, results);
    lines.push(`${name}: ${before} -> ${steps.length}, in ${formatBytes(peak)}`);
  }
  if (once.length) {
    lines.push(`done once: ${counted(once.length, "operation")}`);
    for (const step of once) lines.push(`  ${stepText(step)}`);
  }
  if (packs.length) {
    const bytes = packs.reduce((sum, step) => sum + [...writesOf(step)][0].byteLength, 0);
    lines.push(
      `done when a weight was changed: ${counted(packs.length, "operation")}, ${
        formatBytes(bytes)
      } beside the weights`,
    );
    for (const step of packs) lines.push(`  ${stepText(step)}`);
  }
  lines.push(`done in each run: ${counted(steps.length, "operation")}`);
  for (const step of steps) lines.push(`  ${stepText(step)}`);
  lines.push(
    `memory: ${formatBytes(memory.peak)} in ${counted(memory.all.length, "place")}; as asked for ${
      formatBytes(trace.eagerPeak)
    }; no plan takes less than ${formatBytes(memory.lowerBound)}`,
  );
  return lines.join("\n");
}
