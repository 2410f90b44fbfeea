/**
 * A trace as text that says everything: two functions with the same text do the same.
 *
 * @module
 */
import type { Epilogue, View } from "../../backends/contract.ts";
import type { Trace } from "./trace.ts";
import { type Value, valueOf } from "./value.ts";

/** What a trace does, exactly, with numbers as `number` writes them. */
export function describeTrace(trace: Trace, number: (x: unknown) => string): string {
  const names = new Map<Value, number>();
  const name = (value: Value): string => {
    const { source } = value;
    if (source.kind === "argument") return `argument ${source.index}`;
    if (!names.has(value)) names.set(value, names.size);
    // What a pass found to be the same in every run was computed by the function all the same.
    const kind = source.kind === "constant" && source.bytes === null ? "temporary" : source.kind;
    return `${kind} ${names.get(value)} ${value.byteLength}`;
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
}
