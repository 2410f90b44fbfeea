/**
 * The steps of a program as nodes of a graph.
 *
 * What a device is asked for is little: elementwise programs, reductions, products, gathers, scatters, running sums, sorting,
 * random numbers, and what {@link exportedKernels} names, which a graph has operators for. So every function that can be
 * traced can be written.
 *
 * @module
 */
import { type DType, isFloat, isQuantized } from "../../core/dtype.ts";
import { CaptureError } from "../../core/errors.ts";
import type { ReduceKind } from "../../backends/contract.ts";
import type { Program } from "../../expr/nodes.ts";
import { writeAttention } from "./attention.ts";
import { type Blocks, writeBlockProduct, writeBlockRows } from "./blocks.ts";
import type { GraphBuilder } from "./builder.ts";
import { writeProgram } from "./expressions.ts";
import type { GraphMemory, Node } from "./memory.ts";
import { is, isFixed, same, type Size } from "./sizes.ts";
import type { WideEpilogue, WideStep, WideValue, WideView } from "./wide.ts";

/** What functions are traced with, whatever the device has: kernels by name, and what newer opsets have operators for. */
export function exportedKernels(opset: number): ReadonlySet<string> {
  const always = ["softmax", "layerNorm", "rmsNorm", "attention", "attentionInOrder"];
  return new Set(opset >= 23 ? [...always, "rotary"] : always);
}

const reductions: Partial<Record<ReduceKind, string>> = {
  sum: "ReduceSum",
  prod: "ReduceProd",
  max: "ReduceMax",
  min: "ReduceMin",
};

/** A number that a step was given, which is the same in each run. */
function fixedNumber(value: unknown, what: string): number {
  const size = value as Size;
  if (isFixed(size)) return size[0];
  throw new CaptureError(
    `exportOnnx: ${what} depends on the sizes of the inputs: leave these sizes out of dynamicAxes`,
  );
}

/** Writes steps; see the module's comment. */
export class Translator {
  readonly #graph: GraphBuilder;
  readonly #memory: GraphMemory;
  readonly #blocks: (value: WideValue, view: WideView) => Blocks | null;

  /** Into `graph`, with what `memory` knows; `blocks` gives those of a weight where they are written as they are. */
  constructor(
    graph: GraphBuilder,
    memory: GraphMemory,
    blocks: (value: WideValue, view: WideView) => Blocks | null,
  ) {
    this.#graph = graph;
    this.#memory = memory;
    this.#blocks = blocks;
  }

  /** One step. */
  step({ name, args }: WideStep): void {
    switch (name) {
      case "elementwise":
        return this.#elementwise(...args as [Program, WideView[], Size[], WideView[]]);
      case "reduce":
        return this.#reduce(
          ...args as [
            ReduceKind,
            Program | null,
            WideView[],
            Size[],
            number[],
            WideView,
            WideEpilogue | null,
          ],
        );
      case "matmul":
        return this.#matmul(...args as [WideView, WideView, WideView, WideEpilogue | null]);
      case "gather":
        return this.#gather(...args as [WideView, number, WideView, WideView]);
      case "scatter":
        return this.#scatter(...args as [string, WideView, number, WideView, WideView]);
      case "cumsum":
        return this.#cumsum(...args as [WideView, number, WideView]);
      case "sort":
        return this.#sort(...args as [WideView, boolean, WideView, WideView]);
      case "random":
        return this.#random(args[0] as string, args[3] as WideView);
      case "softmax":
        return this.#softmax(...args as [WideView, WideView, boolean]);
      case "layerNorm":
        return this.#layerNorm(...args as [WideView, WideView | null, WideView | null, Size, WideView]);
      case "rmsNorm":
        return this.#rmsNorm(...args as [WideView, WideView | null, Size, WideView]);
      case "rotary":
        return this.#rotary(args[0] as WideView[], args[1] as WideView);
      case "attention":
        return this.#attention(
          ...args.slice(0, 3) as [WideView, WideView, WideView],
          args[3] as WideView,
          args[5] as Size,
          args[6] as boolean,
        );
      case "attentionInOrder":
        return this.#attention(
          ...args.slice(0, 3) as [WideView, WideView, WideView],
          args[3] as WideView,
          args[5] as Size,
          args[6] as boolean,
          args[7] as Size,
          args[8] as number,
          args[9] as WideView | null,
        );
      case "upload":
        return this.#memory.upload(args[0] as WideView, args[1] as unknown[]);
      case "lookAtDivisor":
        return;
      default:
        throw new CaptureError(
          `exportOnnx: the function does ${name}, a part of training, for which a graph has no operator; ` +
            "export what is computed forward, under noGrad",
        );
    }
  }

  /** A tensor as floats in which products and norms are computed. */
  #float(node: Node): Node {
    if (node.dtype === "f32" || node.dtype === "f64" || !isFloat(node.dtype)) return node;
    return { ...node, name: this.#graph.cast(node.name, "f32"), dtype: "f32" };
  }

  /** Puts a result of the sizes of `view` there, in its dtype. */
  #put(view: WideView, node: Node): void {
    const graph = this.#graph, name = graph.expand(node.name, node.dims, view.shape);
    const cast = node.dtype === view.dtype ? name : graph.cast(name, view.dtype);
    this.#memory.write(view, { name: cast, dims: view.shape, dtype: view.dtype });
  }

  #elementwise(program: Program, inputs: WideView[], scalars: Size[], outputs: WideView[]): void {
    const whole = this.#likeMemory(program, inputs, outputs);
    const nodes = whole ?? inputs.map((view) => this.#memory.read(view));
    const results = writeProgram(this.#graph, program, nodes, scalars, outputs.map(({ dtype }) => dtype));
    outputs.forEach((view, i) =>
      whole ? this.#memory.writeRows(view, results[i]) : this.#put(view, results[i])
    );
  }

  /**
   * What lies in memory row-major, in one shape that is not the views', where all operands and the results do: so sizes that a
   * product joined stay joined for no node more than there must be.
   */
  #likeMemory(_program: Program, inputs: readonly WideView[], outputs: readonly WideView[]): Node[] | null {
    if (!inputs.length || outputs.length !== 1) return null;
    const nodes = inputs.map((view) => this.#memory.whole(view)), [first] = nodes;
    if (!first || first.dims.length === outputs[0].shape.length) return null;
    const isAlike = nodes.every((node) =>
      node && node.dims.length === first.dims.length &&
      node.dims.every((size, i) => same(size, first.dims[i]))
    );
    return isAlike ? nodes as Node[] : null;
  }

  /** A result with what follows it. */
  #after(result: Node, epilogue: WideEpilogue | null, dtype: DType): Node {
    if (!epilogue) return result;
    const inputs = [result, ...epilogue.inputs.map((view) => this.#memory.read(view))];
    return writeProgram(this.#graph, epilogue.program, inputs, epilogue.scalars, [dtype])[0];
  }

  #reduce(
    kind: ReduceKind,
    program: Program | null,
    inputs: WideView[],
    scalars: Size[],
    axes: number[],
    output: WideView,
    epilogue: WideEpilogue | null,
  ): void {
    const graph = this.#graph, nodes = inputs.map((view) => this.#memory.read(view)), [{ shape }] = inputs;
    const type: DType = program?.type ?? computeType(inputs[0].dtype);
    let [x] = program ? writeProgram(graph, program, nodes, scalars, [type]) : nodes;
    if (x.dtype !== type) x = { ...x, name: graph.cast(x.name, type), dtype: type };
    const full = graph.expand(x.name, x.dims, shape), one = graph.symbols.fixed(1);
    const dims = shape.map((size, i) => axes.includes(i) ? one : size), operator = reductions[kind];
    let result: Node;
    if (operator) {
      const name = axes.length ? graph.node(operator, [full, graph.longs(axes)], { keepdims: 1n }) : full;
      result = { name, dims, dtype: type };
    } else {
      const place = graph.node(kind === "argmax" ? "ArgMax" : "ArgMin", [full], {
        axis: BigInt(axes[0]),
        keepdims: 1n,
      });
      result = { name: graph.cast(place, "i32"), dims, dtype: "i32" };
    }
    this.#put(output, this.#after(result, epilogue, output.dtype));
  }

  #matmul(a: WideView, b: WideView, out: WideView, epilogue: WideEpilogue | null): void {
    const graph = this.#graph;
    const read = (view: WideView): Node => {
      const node = this.#memory.read(view), rank = view.shape.length;
      // Rows and columns are all there; what lies before them is broadcast.
      const dims = node.dims.map((size, i) => i < rank - 2 ? size : view.shape[i]);
      return this.#float({ ...node, name: graph.expand(node.name, node.dims, dims), dims });
    };
    const blocks = this.#blocks(b.value, b);
    if (blocks) {
      const product = writeBlockProduct(graph, read(a), blocks);
      return this.#put(out, this.#after(product, epilogue, out.dtype));
    }
    const left = read(a), right = read(b), rank = out.shape.length;
    const dims = out.shape.map((_, i) =>
      i === rank - 1 ? right.dims[i] : i === rank - 2 || !is(left.dims[i], 1) ? left.dims[i] : right.dims[i]
    );
    const name = graph.node("MatMul", [left.name, right.name]);
    this.#put(out, this.#after({ name, dims, dtype: left.dtype }, epilogue, out.dtype));
  }

  #gather(x: WideView, axis: number, index: WideView, out: WideView): void {
    const graph = this.#graph, { shape, strides } = index;
    const isList = shape.every((size, i) =>
      i === axis || ((is(size, 1) || is(strides[i], 0)) && same(size, x.shape[i]))
    );
    const list = { ...index, shape: [shape[axis]], strides: [strides[axis]] };
    const blocks = isList && axis === 0
      ? this.#blocks(x.value, { ...x, shape: x.shape.toReversed(), strides: x.strides.toReversed() })
      : null;
    if (blocks) return this.#put(out, writeBlockRows(graph, blocks, this.#memory.read(list, true)));
    const data = this.#memory.read(x, true);
    if (isList) {
      const places = this.#memory.read(list, true);
      const name = graph.node("Gather", [data.name, places.name], { axis: BigInt(axis) });
      return this.#put(out, { name, dims: out.shape, dtype: data.dtype });
    }
    const places = this.#memory.read(index, true);
    const name = graph.node("GatherElements", [data.name, places.name], { axis: BigInt(axis) });
    this.#put(out, { name, dims: out.shape, dtype: data.dtype });
  }

  #scatter(mode: string, out: WideView, axis: number, index: WideView, source: WideView): void {
    const inputs = [out, index, source].map((view) => this.#memory.read(view, true).name);
    const name = this.#graph.node("ScatterElements", inputs, {
      axis: BigInt(axis),
      ...(mode === "add" ? { reduction: "add" } : {}),
    });
    this.#put(out, { name, dims: out.shape, dtype: out.dtype });
  }

  #cumsum(x: WideView, axis: number, out: WideView): void {
    const node = this.#float(this.#memory.read(x, true)), graph = this.#graph;
    const type: DType = isFloat(node.dtype) ? node.dtype : node.dtype === "i64" ? "i64" : "i32";
    const wide = node.dtype === type ? node.name : graph.cast(node.name, type);
    const name = graph.node("CumSum", [wide, graph.constant("i64", [], [axis])]);
    this.#put(out, { name, dims: out.shape, dtype: type });
  }

  #sort(x: WideView, descending: boolean, values: WideView, indices: WideView): void {
    const graph = this.#graph, node = this.#float(this.#memory.read(x, true)), last = x.shape.length - 1;
    const type: DType = node.dtype === "u8" || node.dtype === "bool" ? "i32" : node.dtype;
    const wide = node.dtype === type ? node.name : graph.cast(node.name, type);
    const [sorted, places] = graph.nodes("TopK", [wide, graph.size(x.shape[last])], {
      axis: BigInt(last),
      largest: descending ? 1n : 0n,
      sorted: 1n,
    }, 2);
    this.#put(values, { name: sorted, dims: values.shape, dtype: type });
    this.#put(indices, { name: places, dims: indices.shape, dtype: "i64" });
  }

  /** Drawn anew in each run, by the runtime's own numbers. */
  #random(kind: string, out: WideView): void {
    const graph = this.#graph, like = graph.expand(graph.constant("f32", [], [0]), [], out.shape);
    const name = graph.node(kind === "normal" ? "RandomNormalLike" : "RandomUniformLike", [like], {});
    this.#put(out, { name, dims: out.shape, dtype: "f32" });
  }

  #softmax(x: WideView, out: WideView, log: boolean): void {
    const node = this.#memory.read(x, true);
    const name = this.#graph.node(log ? "LogSoftmax" : "Softmax", [node.name], { axis: -1n });
    this.#put(out, { name, dims: x.shape, dtype: "f32" });
  }

  /** Rows as they lie in memory, or as they are seen. */
  #rows(x: WideView): Node {
    const whole = this.#memory.whole(x);
    return whole && same(whole.dims.at(-1)!, x.shape.at(-1)!) ? whole : this.#memory.read(x, true);
  }

  #layerNorm(x: WideView, weight: WideView | null, bias: WideView | null, eps: Size, out: WideView): void {
    const node = this.#rows(x), graph = this.#graph, width = x.shape.at(-1)!;
    const scale = weight
      ? this.#memory.read(weight, true).name
      : graph.expand(graph.constant("f32", [], [1]), [], [width]);
    const inputs = [node.name, scale, ...bias ? [this.#memory.read(bias, true).name] : []];
    const epsilon = fixedNumber(eps, "what keeps a norm from dividing by 0");
    const name = graph.node("LayerNormalization", inputs, { axis: -1n, epsilon });
    this.#memory.writeRows(out, { ...node, name });
  }

  #rmsNorm(x: WideView, weight: WideView | null, eps: Size, out: WideView): void {
    const node = this.#rows(x), graph = this.#graph, width = x.shape.at(-1)!;
    const epsilon = fixedNumber(eps, "what keeps a norm from dividing by 0");
    const scale = weight ? this.#memory.read(weight, true).name : null;
    if (graph.opset >= 23) {
      const own = scale ?? graph.expand(graph.constant("f32", [], [1]), [], [width]);
      const name = graph.node("RMSNormalization", [node.name, own], { axis: -1n, epsilon });
      return this.#memory.writeRows(out, { ...node, name });
    }
    const number = (value: number): string => graph.constant("f32", [], [value]);
    const mean = graph.node("ReduceMean", [
      graph.node("Pow", [node.name, number(2)]),
      graph.longs([-1]),
    ], { keepdims: 1n });
    const root = graph.node("Sqrt", [graph.node("Add", [mean, number(epsilon)])]);
    const normed = graph.node("Div", [node.name, root]);
    this.#memory.writeRows(out, {
      ...node,
      name: scale === null ? normed : graph.node("Mul", [normed, scale]),
    });
  }

  #rotary([x, cos, sin]: WideView[], out: WideView): void {
    const graph = this.#graph,
      node = this.#float(this.#memory.read(x, true)),
      [batch, , time, width] = node.dims;
    const half = cos.shape.at(-1)!, dims = [batch, time, half];
    const angles = [cos, sin].map((view) => {
      const { name, dims: own } = this.#memory.read(view, true);
      // [time, half] of all texts, or [batch, 1, time, half].
      const lists = graph.reshape(name, own, [
        own.length === 4 ? own[0] : graph.symbols.fixed(1),
        time,
        half,
      ]);
      return graph.expand(lists, [own.length === 4 ? own[0] : graph.symbols.fixed(1), time, half], dims);
    });
    const turned = 2 * fixedNumber(half, "how much of a head is turned");
    const name = graph.node(
      "RotaryEmbedding",
      [node.name, ...angles],
      is(width, turned) ? {} : {
        rotary_embedding_dim: BigInt(turned),
      },
    );
    this.#put(out, { ...node, name });
  }

  #attention(
    q: WideView,
    k: WideView,
    v: WideView,
    out: WideView,
    scale: Size,
    causal: boolean,
    softcap: Size = [0],
    window = 0,
    seen: WideView | null = null,
  ): void {
    const [queries, keys, values] = [q, k, v].map((view) => this.#float(this.#memory.read(view, true)));
    const result = writeAttention(this.#graph, {
      q: queries,
      k: keys,
      v: values,
      scale: fixedNumber(scale, "the scale of attention"),
      causal,
      softcap: fixedNumber(softcap, "the soft cap of attention"),
      window,
      seen: seen && this.#memory.read(seen),
    });
    this.#put(out, result);
  }
}

/** In what numbers of a dtype are reduced. */
function computeType(dtype: DType): DType {
  if (dtype === "f64" || dtype === "i64") return dtype;
  return isFloat(dtype) || isQuantized(dtype) ? "f32" : "i32";
}
