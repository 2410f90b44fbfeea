/**
 * The operations of the contract as a table: what each is called, what its arguments are, which memory it reads and
 * writes, and what shapes go together.
 *
 * Whoever stands between a device and its callers (the guard of a full heap, a count of calls, the trace of a program)
 * reads this table instead of knowing operations by heart, so a new operation is one row here and known everywhere.
 * An operation's arguments stand in the order of {@link Backend} and {@link Kernels}.
 *
 * @module
 */
import type { Backend, Epilogue, Kernels, View } from "./contract.ts";

/** What becomes of a view's memory: `updates` keeps what it does not write, or builds on it. */
export type Role = "reads" | "writes" | "updates";

/** What an argument is. A `word` (an axis, a mode, a flag) is part of what is asked for, a `number` may change from call to call. */
export type ParameterKind = Role | "program" | "epilogue" | "number" | "word";

/** One argument. */
export interface Parameter {
  /** As in the contract. */
  readonly name: string;
  /** What it is. */
  readonly kind: ParameterKind;
  /** Whether it is a list of them. */
  readonly list: boolean;
}

/** Names of the mandatory operations. */
export type PrimitiveName =
  | "elementwise"
  | "reduce"
  | "matmul"
  | "gather"
  | "scatter"
  | "cumsum"
  | "sort"
  | "random";

/** Names of the operations that a device may do in one go. */
export type KernelName = Exclude<keyof Kernels, "attentionDTypes">;

/** Names of all operations. */
export type OperationName = PrimitiveName | KernelName;

/** An operation's arguments, as a device takes them. */
export type Arguments = readonly unknown[];

type Shape = readonly number[];

/** One row. */
export interface Operation {
  /** Its name in {@link Backend}, or in {@link Kernels}. */
  readonly name: OperationName;
  /** Whether devices may lack it. */
  readonly isKernel: boolean;
  /** Its arguments, in order. */
  readonly parameters: readonly Parameter[];
  /** The shapes of the views it writes, in order, from its other arguments; null for one that the arguments leave open. */
  shapes(args: Arguments): readonly (Shape | null)[];
}

/** "reads x", "writes* outputs" (a list), "word axis" … as parameters. */
function parameters(text: string): Parameter[] {
  return text.split(", ").map((part) => {
    const [kind, name] = part.split(" ");
    return { name, kind: kind.replace("*", "") as ParameterKind, list: kind.endsWith("*") };
  });
}

const shapeOf = (view: unknown): Shape => (view as View).shape;
const rowsOf = (view: unknown): Shape => shapeOf(view).slice(0, -1);
const like = (...places: number[]) => (args: Arguments): (Shape | null)[] =>
  places.map((place) => args[place] ? shapeOf(args[place]) : null);

function row(
  name: OperationName,
  isKernel: boolean,
  text: string,
  shapes: (args: Arguments) => readonly (Shape | null)[],
): Operation {
  return { name, isKernel, parameters: parameters(text), shapes };
}

/** x with the sizes of `axes` as 1. */
function kept(x: Shape, axes: readonly number[]): Shape {
  return x.map((size, i) => axes.includes(i) ? 1 : size);
}

const list: readonly Operation[] = [
  row("elementwise", false, "program program, reads* inputs, number* scalars, writes* outputs", (args) => {
    const inputs = args[1] as readonly View[], outputs = args[3] as readonly View[];
    return outputs.map(() => inputs.length ? inputs[0].shape : null);
  }),
  row(
    "reduce",
    false,
    "word kind, program program, reads* inputs, number* scalars, word axes, writes output, epilogue epilogue",
    (args) => [kept(shapeOf((args[2] as View[])[0]), args[4] as readonly number[])],
  ),
  row("matmul", false, "reads a, reads b, writes out, epilogue epilogue", ([a, b]) => {
    const columns = shapeOf(b);
    return [[...rowsOf(a), columns[columns.length - 1]]];
  }),
  row("gather", false, "reads x, word axis, reads index, writes out", like(2)),
  row("scatter", false, "word mode, updates out, word axis, reads index, reads source", () => [null]),
  row("cumsum", false, "reads x, word axis, writes out", like(0)),
  row("sort", false, "reads x, word descending, writes values, writes indices", like(0, 0)),
  row("random", false, "word kind, number seed, number offset, writes out", () => [null]),
  row("softmax", true, "reads x, writes out, word log", like(0)),
  row("softmaxBackward", true, "reads dy, reads y, writes dx, word log", like(0)),
  row(
    "layerNorm",
    true,
    "reads x, reads weight, reads bias, number eps, writes out, writes mean, writes rstd",
    ([x]) => [shapeOf(x), null, null],
  ),
  row(
    "layerNormBackward",
    true,
    "reads dy, reads x, reads weight, reads mean, reads rstd, writes dx, writes dweight, writes dbias",
    ([, x]) => [shapeOf(x), null, null],
  ),
  row(
    "rmsNorm",
    true,
    "reads x, reads weight, number eps, writes out, writes rstd",
    ([x]) => [shapeOf(x), null],
  ),
  row(
    "rmsNormBackward",
    true,
    "reads dy, reads x, reads weight, reads rstd, writes dx, writes dweight",
    ([, x]) => [shapeOf(x), null],
  ),
  row(
    "attention",
    true,
    "reads q, reads k, reads v, writes out, writes lse, number scale, word causal",
    ([q]) => [shapeOf(q), rowsOf(q)],
  ),
  row(
    "attentionInOrder",
    true,
    "reads q, reads k, reads v, writes out, writes lse, number scale, word causal, number softcap, word window, reads seen",
    ([q]) => [shapeOf(q), rowsOf(q)],
  ),
  row(
    "attentionStep",
    true,
    "reads qkv, updates* keys, updates* values, number* lengths, writes out, number scale, reads places, number softcap, word window",
    (args) => {
      const [rows, all, width] = shapeOf(args[0]), keys = args[1] as View[], values = args[2] as View[];
      const heads = all - 2 * shapeOf(keys[0])[1];
      return [...keys, ...values].map((): Shape | null => null).concat([[rows, heads, width]]);
    },
  ),
  row("rows", true, "word program, reads* inputs, number* scalars, writes* outputs", (args) => {
    return (args[3] as View[]).map(() => null);
  }),
  row("quantize", true, "reads x, writes out", like(0)),
  row(
    "attentionBackward",
    true,
    "reads dout, reads q, reads k, reads v, reads out, reads lse, writes dq, writes dk, writes dv, number scale, word causal",
    like(1, 2, 3),
  ),
  row(
    "crossEntropy",
    true,
    "reads logits, reads targets, writes losses, writes lse, number ignoreIndex",
    ([logits]) => [rowsOf(logits), rowsOf(logits)],
  ),
  row(
    "crossEntropyBackward",
    true,
    "reads logits, reads targets, reads lse, reads scale, writes dlogits, number ignoreIndex",
    like(0),
  ),
  row(
    "sample",
    true,
    "reads logits, number temperature, number topK, number uniform, writes out",
    () => [[1]],
  ),
];

/** All operations by name. */
export const operations: ReadonlyMap<OperationName, Operation> = new Map(list.map((row) => [row.name, row]));

/** Calls `visit` with every view among the arguments, the operands of an epilogue included, in order. */
export function eachView(
  operation: Operation,
  args: Arguments,
  visit: (view: View, role: Role) => void,
): void {
  operation.parameters.forEach(({ kind }, i) => {
    const argument = args[i];
    if (argument === null || argument === undefined) return;
    if (kind === "epilogue") { for (const view of (argument as Epilogue).inputs) visit(view, "reads"); }
    else if (kind === "reads" || kind === "writes" || kind === "updates") {
      if (Array.isArray(argument)) { for (const view of argument) visit(view, kind); }
      else visit(argument as View, kind);
    }
  });
}

/** The arguments with every view replaced by what `change` makes of it. */
export function withViews(
  operation: Operation,
  args: Arguments,
  change: (view: View, role: Role) => View,
): unknown[] {
  return operation.parameters.map(({ kind }, i) => {
    const argument = args[i];
    if (argument === null || argument === undefined) return argument;
    if (kind === "epilogue") {
      const epilogue = argument as Epilogue;
      return { ...epilogue, inputs: epilogue.inputs.map((view) => change(view, "reads")) };
    }
    if (kind === "reads" || kind === "writes" || kind === "updates") {
      return Array.isArray(argument)
        ? argument.map((view: View) => change(view, kind))
        : change(argument as View, kind);
    }
    return argument;
  });
}

/** Why the views that an operation writes are not of the shapes its other arguments ask for; null when they are. */
export function shapeProblem(operation: Operation, args: Arguments): string | null {
  const expected = operation.shapes(args), written: View[] = [];
  let problem: string | null = null;
  operation.parameters.forEach(({ kind }, i) => {
    if (kind !== "writes" && kind !== "updates") return;
    if (Array.isArray(args[i])) written.push(...args[i] as View[]);
    else written.push(args[i] as View);
  });
  written.forEach((view, i) => {
    const shape = expected[i];
    if (!view || !shape || String(view.shape) === String(shape)) return;
    problem ??= `${operation.name} writes [${view.shape}] where its arguments give [${shape}]`;
  });
  return problem;
}

type Run = (...args: unknown[]) => unknown;

/** Does `operation` on a device. */
export function perform(backend: Backend, operation: Operation, args: Arguments): void {
  const place = (operation.isKernel ? backend.kernels : backend) as unknown as Record<string, Run>;
  place[operation.name](...args);
}

/** The operations that a device has. */
export function operationsOf(backend: Backend): Operation[] {
  const { kernels } = backend;
  return list.filter(({ name, isKernel }) => !isKernel || kernels[name as KernelName] !== undefined);
}

/** From now on `around` stands before every operation of `backend`: it is given the call, and makes it by `run`. */
export function intercept(
  backend: Backend,
  around: (operation: Operation, args: Arguments, run: () => void) => void,
): void {
  for (const operation of operationsOf(backend)) {
    const place = (operation.isKernel ? backend.kernels : backend) as unknown as Record<string, Run>;
    const own = place[operation.name].bind(place);
    place[operation.name] = (...args) => around(operation, args, () => own(...args));
  }
}
