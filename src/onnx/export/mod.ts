/**
 * Functions of tensors as ONNX models: traced as `compile` traces, for several sizes where sizes differ from run to run, and
 * each operation of the trace written as nodes.
 *
 * @module
 */
import { byteSize, type DataArray, type DType, isQuantized } from "../../core/dtype.ts";
import { CaptureError, OptionError } from "../../core/errors.ts";
import { contiguousStrides, isContiguous, isDense } from "../../core/shape.ts";
import { zeros } from "../../ops/create.ts";
import { toDType } from "../../ops/row.ts";
import type { Tensor } from "../../ops/tensor.ts";
import { contiguous } from "../../ops/views.ts";
import { Tracer } from "../../tensor/capture/tracer.ts";
import { keep, noGrad, type Storage, tensorOf, tidy } from "../../tensor/mod.ts";
import type { ModelMessage, TensorMessage } from "../messages.ts";
import { GraphBuilder, type TensorSource } from "./builder.ts";
import { GraphMemory, type Node } from "./memory.ts";
import { each, type Size, Symbols } from "./sizes.ts";
import { type Blocks, blocksOf } from "./blocks.ts";
import { exportedKernels, Translator } from "./translate.ts";
import { widen, type WideValue, type WideView } from "./wide.ts";

/** An input of the model. */
export interface GraphInput {
  /** Its name. */
  readonly name: string;
  /** The element type that the function takes. */
  readonly dtype: DType;
  /** The element type of the model's input, where that is another. */
  readonly as?: DType;
  /** Sizes: a number, or the name of one that differs from run to run, or names of which it is the sum. */
  readonly shape: readonly (number | string | readonly string[])[];
}

/** What is written. */
export interface GraphPlan {
  /** The inputs, in the order in which `call` takes them. */
  readonly inputs: readonly GraphInput[];
  /** The sizes that differ from run to run: what each is in an example, and the least that it may be (default 1). */
  readonly sizes: ReadonlyMap<string, { readonly example: number; readonly least?: number }>;
  /** What is computed: a tensor, or tensors in lists and plain objects. */
  readonly call: (inputs: readonly Tensor[]) => unknown;
  /** What an output is called that hangs at `path` of what `call` gives; `place` is its number. */
  readonly outputName: (path: readonly string[], place: number) => string;
  /** The element type that an output has in the model, where that is another than its own. */
  readonly outputType?: (name: string) => DType | undefined;
  /** Names of weights. */
  readonly weights: readonly (readonly [name: string, tensor: Tensor])[];
  /** Where inputs lie while the function is traced. */
  readonly device: Tensor["device"];
  /** The version of the operators. */
  readonly opset: number;
  /** Whether ONNX Runtime's own operators are used. */
  readonly contribOps: boolean;
  /** What the graph is called. */
  readonly name: string;
  /** What the model is, for a person. */
  readonly description: string;
  /** Texts for programs. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** A model, and where the elements of its tensors come from. */
export interface WrittenGraph {
  /** The model. */
  readonly model: ModelMessage;
  /** The elements of each tensor, asked for when they are written. */
  readonly sources: ReadonlyMap<TensorMessage, TensorSource>;
}

/** The elements of an array as they lie in a file. */
export function bytesOf(data: DataArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

async function elementsOf(t: Tensor): Promise<Uint8Array> {
  if (!isQuantized(t.dtype)) return bytesOf(await t.data());
  const plain = noGrad(() => tidy(() => contiguous(toDType(t, "f32"))));
  try {
    return bytesOf(await plain.data());
  } finally {
    plain.dispose();
  }
}

/** A function as a model. @throws {CaptureError} for one that no graph says, with the reason. */
export function writeFunction(plan: GraphPlan): WrittenGraph {
  const { inputs, sizes, device, opset, contribOps } = plan;
  const symbols = new Symbols(
    [...sizes].map(([name, { example, least = 1 }]) => ({ name, example, least })),
  );
  const sizeOf = (size: number | string | readonly string[]): Size => {
    if (typeof size === "number") return symbols.fixed(size);
    const sizes = [size].flat().map((own) => symbols.list.find(({ name }) => name === own)!.size);
    return sizes.reduce((a, b) => each((x, y) => x + y, a, b));
  };
  const shapes = inputs.map(({ shape }) => shape.map(sizeOf));
  for (const size of shapes.flat()) symbols.note(size);
  const traces = Array.from({ length: symbols.traces }, (_, k) => {
    const given = inputs.map(({ dtype }, i) =>
      keep(zeros(shapes[i].map((size) => size[k]), { dtype, device }))
    );
    try {
      const tracer = new Tracer(given, exportedKernels(opset));
      return noGrad(() => tracer.run((args) => plan.call(args as Tensor[]), given, true));
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      // Its words are those of `compile`, which traces for itself.
      const { message } = error, own = message.startsWith("exportOnnx:");
      throw own
        ? error
        : new CaptureError(`exportOnnx: ${message.replace(/^compile: /, "")}`, { cause: error });
    } finally {
      for (const tensor of given) tensor.dispose();
    }
  });
  const program = widen(traces), graph = new GraphBuilder(symbols, opset, contribOps);
  const weights = new Map<Storage, readonly [string, Tensor]>();
  for (const one of plan.weights) {
    const { storage, shape, strides } = one[1];
    if (!weights.has(storage) && isDense(shape, strides)) weights.set(storage, one);
  }
  const nodes = inputs.map(({ name, dtype, as = dtype }, i): Node => {
    graph.input(graph.name(name), as, shapes[i]);
    return { name: as === dtype ? name : graph.cast(name, dtype), dims: shapes[i], dtype };
  });
  const outside = (value: WideValue, view: WideView): Node => {
    const { source } = value;
    if (source.kind === "argument") return nodes[source.index];
    if (source.kind === "captured") return weightOf(graph, source.storage, view, weights.get(source.storage));
    throw new CaptureError(`exportOnnx: the function reads ${source.kind}s, which a graph has none of`);
  };
  const blocks = ({ source }: WideValue, view: WideView): Blocks | null => {
    if (!contribOps || source.kind !== "captured") return null;
    return blocksOf(graph, source.storage, view, weights.get(source.storage)?.[0] ?? "constant");
  };
  const memory = new GraphMemory(graph, outside), translator = new Translator(graph, memory, blocks);
  for (const step of program.steps) translator.step(step);
  if (program.results.length === 0) {
    throw new CaptureError("exportOnnx: the function gives no tensor, and a model has one output or more");
  }
  program.results.forEach(({ path, view }, place) => {
    const node = memory.read(view, true), name = graph.name(plan.outputName(path, place));
    const dtype = plan.outputType?.(name) ?? node.dtype;
    const own = dtype === node.dtype ? node.name : graph.cast(node.name, dtype);
    graph.output(name, own, dtype, node.dims);
  });
  const model = graph.model(plan.name, "ferrotype", plan.description, plan.metadata);
  if (contribOps && !model.opsets.has("com.microsoft")) {
    throw new OptionError(
      "exportOnnx: contribOps has no effect: nothing here is written by an operator of ONNX Runtime's own, neither weights of q8 or q4 " +
        "nor attention with a cache",
    );
  }
  return { model, sources: graph.sources };
}

/** A tensor that the function closes over. */
function weightOf(
  graph: GraphBuilder,
  storage: Storage,
  view: WideView,
  known: readonly [string, Tensor] | undefined,
): Node {
  const fixed = (shape: readonly number[]): Size[] => shape.map((n) => graph.symbols.fixed(n));
  const put = (name: string, tensor: Tensor): string =>
    graph.weight(name, typeOf(tensor), tensor.shape, () => elementsOf(tensor));
  if (!known || known[1].dtype !== view.dtype || known[1].offset !== 0) {
    const tensor = tensorAround(storage, view);
    const name = put(known?.[0] ?? "constant", tensor);
    return { name, dims: fixed(tensor.shape), dtype: typeOf(tensor) };
  }
  const [name, tensor] = known, { shape, strides } = tensor, own = put(name, tensor), dtype = typeOf(tensor);
  if (isContiguous(shape, strides)) return { name: own, dims: fixed(shape), dtype };
  // In memory its axes lie in another order.
  const order = shape.map((_, axis) => axis).sort((a, b) => strides[b] - strides[a]);
  return {
    name: graph.transpose(own, order),
    dims: fixed(order.map((axis) => shape[axis])),
    dtype,
    turned: { name: own, shape, strides },
  };
}

/** The element type of a tensor in the graph. */
function typeOf({ dtype }: Tensor): DType {
  return isQuantized(dtype) ? "f32" : dtype;
}

/** All of a storage, as a list of elements of the view's dtype. */
function tensorAround(storage: Storage, view: WideView): Tensor {
  const { dtype } = view;
  storage.hold();
  if (isQuantized(dtype)) {
    // Blocks run along the rows: what is seen transposed was stored as [columns, rows].
    const shape = view.shape.map((size) => size[0]), strides = view.strides.map((size) => size[0]);
    const stored = isContiguous(shape, strides) ? shape : shape.toReversed();
    return tensorOf(
      { storage, dtype, shape: stored, strides: contiguousStrides(stored), offset: 0 },
      false,
    ) as Tensor;
  }
  const end = view.shape.reduce(
    (last, size, i) => last + (size[0] - 1) * Math.max(0, view.strides[i][0]),
    view.offset[0] + 1,
  );
  const width = byteSize(dtype, 1), count = Math.max(end, Math.floor(storage.buffer.byteLength / width));
  return tensorOf({ storage, dtype, shape: [count], strides: [1], offset: 0 }, false) as Tensor;
}
