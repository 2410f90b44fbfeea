/**
 * What a program is made of: operations of the contract over memory that is not there yet.
 *
 * A {@link Value} stands where a buffer would, so that a view of it is an ordinary view; where it comes from says when its
 * memory is known. A {@link Step} is one call of the contract.
 *
 * @module
 */
import type { Backend, DeviceBuffer, Epilogue, View } from "../../backends/contract.ts";
import {
  type Arguments,
  eachView,
  type Operation,
  operations,
  withViews,
} from "../../backends/operations.ts";
import { byteSize } from "../../core/dtype.ts";
import { isContiguous, sizeOf } from "../../core/shape.ts";
import type { Storage } from "../storage.ts";

/** Where the memory of a value comes from. */
export type Source =
  /** Made and forgotten within a run. */
  | { readonly kind: "temporary" }
  /** The same in every run: these bytes, or what steps done once leave there. */
  | { readonly kind: "constant"; readonly bytes: Uint8Array | null }
  /** A tensor that the function closes over. */
  | { readonly kind: "captured"; readonly storage: Storage }
  /** A tensor argument, by its place. */
  | { readonly kind: "argument"; readonly index: number }
  /** The gradient that a leaf has when the run begins, by its place among the leaves. */
  | { readonly kind: "gradient"; readonly index: number }
  /** Numbers of the run. */
  | { readonly kind: "numbers" };

/** Memory of a program. */
export class Value implements DeviceBuffer {
  /** Its number, for people. */
  readonly id: number;
  /** The device. */
  readonly backend: Backend;
  /** Its size. */
  readonly byteLength: number;
  /** Where it comes from. */
  source: Source;

  /** Memory of `byteLength` bytes on `backend`. */
  constructor(id: number, backend: Backend, byteLength: number, source: Source) {
    this.id = id;
    this.backend = backend;
    this.byteLength = byteLength;
    this.source = source;
  }
}

/** One call of the contract. Views are of values; numbers may be places for numbers (`DynamicNumber`). */
export interface Step {
  /** The device that does it. */
  readonly backend: Backend;
  /** What it does. */
  readonly operation: Operation;
  /** With what. */
  readonly args: Arguments;
  /** What is done apart from the rest shares nothing with it; see `Capture.apart`. */
  readonly region: number;
  /** How many operations the function asked for before it. */
  readonly at: number;
}

/** Bytes from JavaScript: [to, bytes], where `to` is a view in u8 and `bytes` may be a function that gives them anew. */
export const upload: Operation = {
  name: "upload" as never,
  isKernel: false,
  parameters: [
    { name: "to", kind: "updates", list: false, dtypes: null },
    { name: "bytes", kind: "word", list: false, dtypes: null },
  ],
  withPrologue: null,
  shapes: () => [null],
};

/**
 * A look at a divisor of integers before the division, in every run: [divisor, name], where `name` is the operation's. It writes
 * nothing, and is done all the same.
 */
export const lookAtDivisor: Operation = {
  name: "lookAtDivisor" as never,
  isKernel: false,
  parameters: [
    { name: "divisor", kind: "reads", list: false, dtypes: null },
    { name: "of", kind: "word", list: false, dtypes: null },
  ],
  withPrologue: null,
  shapes: () => [],
};

/** What is known by a name alone: [inputs, out]; see `Capture.asOne`. */
export function oneOperation(name: string): Operation {
  return {
    name: name as never,
    isKernel: true,
    parameters: [
      { name: "inputs", kind: "reads", list: true, dtypes: null },
      { name: "out", kind: "writes", list: false, dtypes: null },
    ],
    withPrologue: null,
    shapes: () => [null],
  };
}

/** The value that a view is of. */
export function valueOf(view: View): Value {
  return view.buffer as Value;
}

/** Calls `visit` with every view of a step. */
export function viewsOf(step: Step, visit: (view: View, role: "reads" | "writes" | "updates") => void): void {
  eachView(step.operation, step.args, visit);
}

/** The values that a step reads (also where it builds on what is there). */
export function readsOf(step: Step): Set<Value> {
  const found = new Set<Value>();
  viewsOf(step, (view, role) => role !== "writes" && found.add(valueOf(view)));
  return found;
}

/** The values that a step writes to. */
export function writesOf(step: Step): Set<Value> {
  const found = new Set<Value>();
  viewsOf(step, (view, role) => role !== "reads" && found.add(valueOf(view)));
  return found;
}

/** The step with its views changed. */
export function mapViews(
  step: Step,
  change: (view: View, role: "reads" | "writes" | "updates") => View,
): Step {
  return { ...step, args: withViews(step.operation, step.args, change) };
}

/** Whether two views are the same elements in the same order. */
export function sameView(a: View, b: View): boolean {
  return a.buffer === b.buffer && a.dtype === b.dtype && a.offset === b.offset && sameLayout(a, b);
}

/** Whether elements of two views lie alike, wherever they begin. */
export function sameLayout(a: View, b: View): boolean {
  return a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i]) &&
    a.strides.every((step, i) => step === b.strides[i] || a.shape[i] === 1);
}

/** Whether a view is all of its memory, row-major. */
export function isWhole(view: View): boolean {
  return view.offset === 0 && isContiguous(view.shape, view.strides) &&
    byteSize(view.dtype, sizeOf(view.shape)) === view.buffer.byteLength;
}

/** Whether memory outlives the run, so that what is written there counts. */
export function isLasting({ source }: Value): boolean {
  return source.kind === "captured" || source.kind === "argument" || source.kind === "gradient";
}

/** The operation named. */
export function operationNamed(name: "elementwise" | "reduce" | "matmul"): Operation {
  return operations.get(name)!;
}

/** The arguments of an elementwise step, by name. */
export interface ElementwiseArguments {
  /** The program. */
  readonly program: import("../../expr/nodes.ts").Program;
  /** What it reads. */
  readonly inputs: readonly View[];
  /** Its numbers. */
  readonly scalars: readonly number[];
  /** What it writes. */
  readonly outputs: readonly View[];
}

/** The arguments of an elementwise step; null for another. */
export function elementwiseOf({ operation, args }: Step): ElementwiseArguments | null {
  if (operation.name !== "elementwise") return null;
  const [program, inputs, scalars, outputs] = args as [
    ElementwiseArguments["program"],
    readonly View[],
    readonly number[],
    readonly View[],
  ];
  return { program, inputs, scalars, outputs };
}

/** The epilogue of a step, if it has one. */
export function epilogueOf({ operation, args }: Step): Epilogue | undefined {
  const at = operation.parameters.findIndex(({ kind }) => kind === "epilogue");
  return at < 0 ? undefined : args[at] as Epilogue | undefined;
}
