/**
 * The traces of one function for several sizes as one program, in which every size is a list of what it is in each.
 *
 * @module
 */
import type { Epilogue, View } from "../../backends/contract.ts";
import type { DType } from "../../core/dtype.ts";
import { CaptureError } from "../../core/errors.ts";
import { isDynamic } from "../../core/number.ts";
import type { Program } from "../../expr/nodes.ts";
import { ResultTensor, type Trace } from "../../tensor/capture/trace.ts";
import { mapTree } from "../../tensor/capture/tree.ts";
import { type Source, type Step, type Value, valueOf } from "../../tensor/capture/value.ts";
import type { Size } from "./sizes.ts";

/** Memory, in all traces. */
export interface WideValue {
  /** Its number. */
  readonly id: number;
  /** Where it comes from. */
  readonly source: Source;
  /** Its bytes in each trace. */
  readonly bytes: Size;
}

/** A view of memory. */
export interface WideView {
  /** The memory. */
  readonly value: WideValue;
  /** The element type. */
  readonly dtype: DType;
  /** Its sizes. */
  readonly shape: readonly Size[];
  /** Its strides in elements. */
  readonly strides: readonly Size[];
  /** Its first element. */
  readonly offset: Size;
}

/** An expression behind an operation. */
export interface WideEpilogue {
  /** The expression. */
  readonly program: Program;
  /** Its operands behind the result. */
  readonly inputs: readonly WideView[];
  /** Its numbers. */
  readonly scalars: readonly Size[];
}

/** A step of all traces: views, epilogues, programs, words, and numbers as sizes. */
export interface WideStep {
  /** What is done. */
  readonly name: string;
  /** With what. */
  readonly args: readonly unknown[];
}

/** A tensor that the function gives. */
export interface WideResult {
  /** Where it hangs: keys and places, from the root. */
  readonly path: readonly string[];
  /** The tensor. */
  readonly view: WideView;
}

/** A function in all traces. */
export interface WideProgram {
  /** What is done, in order. */
  readonly steps: readonly WideStep[];
  /** What it gives. */
  readonly results: readonly WideResult[];
}

function differs(what: string): CaptureError {
  return new CaptureError(
    `exportOnnx: the function does something else for other sizes of its inputs (${what}): leave the sizes that it ` +
      "looks at out of dynamicAxes",
  );
}

/** Joins traces; see the module's comment. @throws {CaptureError} where they are of different form. */
export function widen(traces: readonly Trace[]): WideProgram {
  const [first] = traces, values = new Map<Value, WideValue>();
  const join = (list: readonly View[]): WideView => {
    const { dtype, shape } = list[0], buffers = list.map(valueOf), [own] = buffers;
    let value = values.get(own);
    if (buffers.some(({ id, source }) => id !== own.id || source.kind !== own.source.kind)) {
      throw differs("which tensors it uses");
    }
    if (list.some((view) => view.dtype !== dtype || view.shape.length !== shape.length)) {
      throw differs("the form of its tensors");
    }
    if (!value) {
      values.set(own, value = { id: own.id, source: own.source, bytes: buffers.map((b) => b.byteLength) });
    }
    return {
      value,
      dtype,
      shape: shape.map((_, i) => list.map((view) => view.shape[i])),
      strides: shape.map((_, i) => list.map((view) => view.strides[i])),
      offset: list.map((view) => view.offset),
    };
  };
  const number = (list: readonly unknown[]): Size => {
    if (list.some(isDynamic)) {
      throw new CaptureError(
        "exportOnnx: the function uses a number that differs from run to run (what a cache holds, a state), which a " +
          "graph does not know: give it as a tensor",
      );
    }
    return list as Size;
  };
  const joinStep = (steps: readonly Step[]): WideStep => {
    const { operation } = steps[0], { name, parameters } = operation;
    if (steps.some((step) => step.operation.name !== name)) {
      throw differs(`${[...new Set(steps.map((step) => step.operation.name))].join(" or ")}`);
    }
    const args = parameters.map(({ kind }, i): unknown => {
      const all = steps.map((step) => step.args[i]), [one] = all;
      const given = all.map((arg) => arg !== null && arg !== undefined);
      if (given.some((is) => is !== given[0])) throw differs(name);
      if (!given[0]) return null;
      switch (kind) {
        case "reads":
        case "writes":
        case "updates":
          return Array.isArray(one)
            ? one.map((_, j) => join(all.map((list) => (list as View[])[j])))
            : join(all as View[]);
        case "program":
          if (all.some((program) => (program as Program).key !== (one as Program).key)) throw differs(name);
          return one;
        case "number":
          return Array.isArray(one)
            ? one.map((_, j) => number(all.map((list) => (list as unknown[])[j])))
            : number(all);
        case "epilogue": {
          const list = all as Epilogue[], { program, inputs, scalars } = list[0];
          if (list.some((other) => other.program.key !== program.key)) throw differs(name);
          return {
            program,
            inputs: inputs.map((_, j) => join(list.map((other) => other.inputs[j]))),
            scalars: scalars.map((_, j) => number(list.map((other) => other.scalars[j]))),
          } satisfies WideEpilogue;
        }
        default:
          if (one instanceof Uint8Array || typeof one === "function") return all;
          if (all.some((word) => String(word) !== String(one))) throw differs(name);
          return one;
      }
    });
    return { name, args };
  };
  if (traces.some(({ steps }) => steps.length !== first.steps.length)) throw differs("how much it does");
  const steps = first.steps.map((_, i) => joinStep(traces.map((trace) => trace.steps[i])));
  const lists = traces.map((trace) => resultsIn(trace.result));
  if (lists.some((list) => list.length !== lists[0].length)) throw differs("what it gives");
  const results = lists[0].map(({ path }, i) => ({
    path,
    view: join(lists.map((list) => {
      const { value, dtype, shape, strides, offset } = list[i].result;
      return { buffer: value, dtype, shape, strides, offset };
    })),
  }));
  return { steps, results };
}

function resultsIn(tree: unknown): { path: string[]; result: ResultTensor }[] {
  const found: { path: string[]; result: ResultTensor }[] = [];
  const visit = (node: unknown, path: string[]): void => {
    if (node instanceof ResultTensor) found.push({ path, result: node });
    else if (Array.isArray(node)) node.forEach((item, i) => visit(item, [...path, String(i)]));
    else if (typeof node === "object" && node !== null && Object.getPrototypeOf(node) === Object.prototype) {
      for (const [name, item] of Object.entries(node)) visit(item, [...path, name]);
    }
  };
  visit(mapTree(tree, (leaf) => leaf), []);
  return found;
}
