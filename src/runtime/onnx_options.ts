/**
 * Options of `exportOnnx`: named as those of `torch.onnx.export`.
 *
 * @module
 */
import { formatShape } from "../core/shape.ts";
import { OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import type { Idle, OptionTable } from "../core/options.ts";
import type { GraphInput } from "../onnx/export/mod.ts";
import type { Tensor } from "../ops/tensor.ts";
import { type OnnxOptions, onnxOptions } from "../tabular/onnx.ts";
import { aTensor } from "../tensor/kinds.ts";

/**
 * Options of `exportOnnx`; which of them there are depends on what is written.
 *
 * @category ONNX
 */
export interface ExportOnnxOptions extends OnnxOptions {
  /**
   * Of a module or a function, which need them: tensors as it is called with. Their values do not matter, and their sizes only
   * where `dynamicAxes` does not name them.
   */
  readonly args?: readonly Tensor[];
  /** Of a module or a function: what its inputs are called. Default: input, or input_0, input_1 … */
  readonly inputNames?: readonly string[];
  /**
   * Of a module or a function: what its outputs are called. Default: the keys of the object that it gives; else output, or
   * output_0, output_1 …
   */
  readonly outputNames?: readonly string[];
  /**
   * Of a module or a function: axes whose size may differ from run to run, by the input's name: `{ x: { 0: "batch" } }`, or
   * `{ x: [0] }` without names. Axes of one name have one size. Default: all sizes are those of `args`.
   */
  readonly dynamicAxes?: Readonly<Record<string, readonly number[] | Readonly<Record<number, string>>>>;
  /**
   * The version of the operators, 18 to 23. From 23 on attention, RMS norms and rotary positions are one operator each. Default 18, which most
   * runtimes know. A model of a table is written for 17.
   */
  readonly opsetVersion?: number;
  /**
   * ONNX Runtime's own operators (`com.microsoft`), which other runtimes may not know: blocks of q8 and q4 are written as they
   * are (MatMulNBits), and attention with its cache is one operator (GroupQueryAttention). Default false.
   */
  readonly contribOps?: boolean;
  /**
   * Weights in a file of their own beside the model (`model.onnx_data`). Default: where they are more than 1 GiB, as a file
   * with them cannot be larger than 2.
   */
  readonly externalData?: boolean;
}

const names = kinds.listOf(kinds.someText, "a list of names");

/** What each option may be. */
export const exportOptions: OptionTable<ExportOnnxOptions> = {
  ...onnxOptions,
  args: kinds.listOf(aTensor, "a list of tensors, such as [zeros([1, 3])]", 1),
  inputNames: names,
  outputNames: names,
  dynamicAxes: kinds.object,
  opsetVersion: kinds.whole(18, 23),
  contribOps: kinds.flag,
  externalData: kinds.flag,
};

/** What is written. */
export type ExportKind = "table" | "onnx" | "text" | "function";

const ofFunctions = ["args", "inputNames", "outputNames", "dynamicAxes"] as const;

/** Options that have no effect on some kinds. */
export function idleFor(kind: ExportKind): Idle<ExportOnnxOptions>[] {
  const own: readonly (keyof ExportOnnxOptions)[] = kind === "table"
    ? ["numeric", "version"]
    : kind === "onnx"
    ? []
    : kind === "text"
    ? ["opsetVersion", "contribOps", "externalData"]
    : [...ofFunctions, "opsetVersion", "contribOps", "externalData"];
  const because = {
    table: "a model of a table is written in one way",
    onnx: "an Onnx model keeps its own",
    text: "a language model has inputs and outputs of its own",
    function: "it is for a model of a table",
  }[kind];
  return (Object.keys(exportOptions) as (keyof ExportOnnxOptions)[]).filter((name) => !own.includes(name))
    .map((
      option,
    ) => ({ option, when: () => true, because }));
}

/** The inputs of a module or function and the sizes that differ, from its options. */
export function inputsOf(
  { args, inputNames, dynamicAxes = {} }: ExportOnnxOptions,
): { inputs: GraphInput[]; sizes: Map<string, { example: number }> } {
  if (args === undefined) {
    throw new OptionError(
      "exportOnnx: args is missing: tensors as the module or function is called with, such as { args: [zeros([1, 3])] }",
    );
  }
  if (inputNames && inputNames.length !== args.length) {
    throw new OptionError(`exportOnnx: inputNames has ${inputNames.length} names for ${args.length} args`);
  }
  const own = inputNames ?? args.map((_, i) => args.length === 1 ? "input" : `input_${i}`);
  const twice = own.find((name, i) => own.indexOf(name) < i);
  if (twice !== undefined) throw new OptionError(`exportOnnx: inputNames has "${twice}" twice`);
  for (const name of Object.keys(dynamicAxes)) {
    if (own.includes(name)) continue;
    throw new OptionError(`exportOnnx: dynamicAxes names "${name}", and the inputs are ${own.join(", ")}`);
  }
  const sizes = new Map<string, { example: number }>();
  const inputs = args.map((arg, i): GraphInput => {
    const name = own[i], given = dynamicAxes[name] ?? [], shape: (number | string)[] = [...arg.shape];
    const axes = Array.isArray(given)
      ? given.map((axis): [string, string] => [String(axis), `${name}_${axis}`])
      : Object.entries(given as Record<string, string>);
    for (const [key, size] of axes) {
      const axis = Number(key);
      if (
        !Number.isInteger(axis) || axis < 0 || axis >= shape.length || typeof size !== "string" || size === ""
      ) {
        throw new OptionError(
          `exportOnnx: dynamicAxes of "${name}" has ${key}: ${JSON.stringify(size)}, expected an axis of ${
            formatShape(arg.shape)
          } and a name`,
        );
      }
      const example = arg.shape[axis], known = sizes.get(size);
      if (known && known.example !== example) {
        throw new OptionError(
          `exportOnnx: the size "${size}" is ${known.example} and ${example} in args; axes of one name have one size`,
        );
      }
      sizes.set(size, { example });
      shape[axis] = size;
    }
    return { name, dtype: arg.dtype, shape };
  });
  return { inputs, sizes };
}
