/**
 * The operations of the contract as a table: what each is called, what its arguments are, which memory it reads and
 * writes, and what shapes and dtypes go together.
 *
 * Whoever stands between a device and its callers (the guard of a full heap, a count of calls, the trace of a program)
 * reads this table instead of knowing operations by heart, so a new operation is one row here and known everywhere.
 * An operation's arguments stand in the order of {@link Backend} and {@link Kernels}.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";
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
  /** Of a view: the dtypes that it may have, also as names of arguments whose dtype it shares; null for any. */
  readonly dtypes: readonly string[] | null;
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
export type KernelName = Exclude<keyof Kernels, "attentionDTypes" | "packedBytes" | "fitsMatmulRows">;

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
  /**
   * The operation that does this one with its first operand computed on the way, by a program over rows; null for most. A device
   * that has it says of each call whether it takes it ({@link Kernels.fitsMatmulRows}).
   */
  readonly withPrologue: KernelName | null;
  /** The shapes of the views it writes, in order, from its other arguments; null for one that the arguments leave open. */
  shapes(args: Arguments): readonly (Shape | null)[];
}

/** "reads x", "writes* outputs" (a list), "reads index:i32|i64" (its dtypes), "writes out:x" (that of x), "word axis" … */
function parameters(text: string): Parameter[] {
  return text.split(", ").map((part) => {
    const [kind, rest] = part.split(" "), [name, dtypes] = rest.split(":");
    return {
      name,
      kind: kind.replace("*", "") as ParameterKind,
      list: kind.endsWith("*"),
      dtypes: dtypes?.split("|") ?? null,
    };
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
  withPrologue: KernelName | null = null,
): Operation {
  return { name, isKernel, parameters: parameters(text), withPrologue, shapes };
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
  }, "matmulRows"),
  row("gather", false, "reads x, word axis, reads index:i32|i64, writes out:x|f32", like(2)),
  row(
    "scatter",
    false,
    "word mode, updates out, word axis, reads index:i32|i64, reads source:out",
    () => [null],
  ),
  row("cumsum", false, "reads x, word axis, writes out:x", like(0)),
  row("sort", false, "reads x, word descending, writes values:x, writes indices:i32", like(0, 0)),
  row("random", false, "word kind, number seed, number offset, writes out:f32", () => [null]),
  row("softmax", true, "reads x:f32, writes out:f32, word log", like(0)),
  row("softmaxBackward", true, "reads dy:f32, reads y:f32, writes dx:f32, word log", like(0)),
  row(
    "layerNorm",
    true,
    "reads x:f32, reads weight:f32, reads bias:f32, number eps, writes out:f32, writes mean:f32, writes rstd:f32",
    ([x]) => [shapeOf(x), null, null],
  ),
  row(
    "layerNormBackward",
    true,
    "reads dy:f32, reads x:f32, reads weight:f32, reads mean:f32, reads rstd:f32, writes dx:f32, writes dweight:f32, writes dbias:f32",
    ([, x]) => [shapeOf(x), null, null],
  ),
  row(
    "rmsNorm",
    true,
    "reads x:f32, reads weight:f32, number eps, writes out:f32, writes rstd:f32",
    ([x]) => [shapeOf(x), null],
  ),
  row(
    "rmsNormBackward",
    true,
    "reads dy:f32, reads x:f32, reads weight:f32, reads rstd:f32, writes dx:f32, writes dweight:f32",
    ([, x]) => [shapeOf(x), null],
  ),
  row(
    "attention",
    true,
    "reads q:f32, reads k, reads v:k, writes out:f32, writes lse:f32, number scale, word causal",
    ([q]) => [shapeOf(q), rowsOf(q)],
  ),
  row(
    "attentionInOrder",
    true,
    "reads q:f32, reads k, reads v:k, writes out:f32, writes lse:f32, number scale, word causal, number softcap, word window, reads seen",
    ([q]) => [shapeOf(q), rowsOf(q)],
  ),
  row(
    "attentionStep",
    true,
    "reads qkv:f32, updates* keys, updates* values:keys, number* lengths, writes out:f32, number scale, reads places:i32, number softcap, word window",
    (args) => {
      const [rows, all, width] = shapeOf(args[0]), keys = args[1] as View[], values = args[2] as View[];
      const heads = all - 2 * shapeOf(keys[0])[1];
      return [...keys, ...values].map((): Shape | null => null).concat([[rows, heads, width]]);
    },
  ),
  row("rows", true, "word program, reads* inputs:f32, number* scalars, writes* outputs:f32", (args) => {
    return (args[3] as View[]).map(() => null);
  }),
  row("pack", true, "reads b:f32|f16|bf16, writes out:f32", () => [null]),
  row(
    "matmulPacked",
    true,
    "reads a, reads b, reads packed:f32, writes out, epilogue epilogue",
    () => [null],
  ),
  row(
    "matmulExperts",
    true,
    "reads x:f32|f16|bf16, reads w, reads index:i32, writes out:x",
    () => [null],
  ),
  row(
    "conv",
    true,
    "reads x:f32, reads weight:f32, word stride, word dilation, word before, word groups, writes out, epilogue epilogue",
    () => [null],
  ),
  row(
    "matmulRows",
    true,
    "word program, reads* inputs:f32|f16|bf16, number* scalars, reads* indices:i32, writes* outputs:f32, reads b, writes out, epilogue epilogue",
    (args) => [...args[4] as View[], null].map(() => null),
  ),
  row("quantize", true, "reads x:f32, writes out:q8", like(0)),
  row(
    "attentionBackward",
    true,
    "reads dout:f32, reads q:f32, reads k:f32, reads v:f32, reads out:f32, reads lse:f32, writes dq:f32, writes dk:f32, writes dv:f32, number scale, word causal",
    like(1, 2, 3),
  ),
  row(
    "crossEntropy",
    true,
    "reads logits:f32, reads targets:i32, writes losses:f32, writes lse:f32, number ignoreIndex",
    ([logits]) => [rowsOf(logits), rowsOf(logits)],
  ),
  row(
    "crossEntropyBackward",
    true,
    "reads logits:f32, reads targets:i32, reads lse:f32, reads scale:f32, writes dlogits:f32, number ignoreIndex",
    like(0),
  ),
  row(
    "sample",
    true,
    "reads logits:f32, number temperature, number topK, number uniform, writes out:i32",
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

/** The views of each argument, by its place. */
function viewsAt({ parameters }: Operation, args: Arguments, i: number): View[] {
  const { kind } = parameters[i];
  if (kind !== "reads" && kind !== "writes" && kind !== "updates") return [];
  return [args[i]].flat().filter((view) => view !== null && view !== undefined) as View[];
}

/**
 * Why the arguments of a call are not what the row says (dtypes that do not go together, outputs of other shapes than
 * the other arguments ask for); null when they are.
 */
export function callProblem(operation: Operation, args: Arguments): string | null {
  const { name, parameters } = operation, expected = operation.shapes(args), written: (View | null)[] = [];
  const dtypesOf = (what: string): readonly DType[] => {
    const i = parameters.findIndex((other) => other.name === what);
    return i < 0 ? [what as DType] : viewsAt(operation, args, i).map(({ dtype }) => dtype);
  };
  let problem: string | null = null;
  parameters.forEach(({ name: argument, kind, dtypes }, i) => {
    if (kind === "writes" || kind === "updates") {
      written.push(...Array.isArray(args[i]) ? args[i] as View[] : [args[i] as View]);
    }
    const allowed = dtypes?.flatMap(dtypesOf);
    for (const { dtype } of viewsAt(operation, args, i)) {
      if (!allowed || allowed.includes(dtype)) continue;
      problem ??= `${name} takes ${argument} as ${[...new Set(allowed)].join(" or ")}, not ${dtype}`;
    }
  });
  written.forEach((view, i) => {
    const shape = expected[i];
    if (!view || !shape || String(view.shape) === String(shape)) return;
    problem ??= `${name} writes [${view.shape}] where its arguments give [${shape}]`;
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
