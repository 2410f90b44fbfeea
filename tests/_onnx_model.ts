/**
 * Small models of ONNX as files, written node by node.
 *
 * @module
 */
import type { FunctionMessage, TensorMessage } from "../src/onnx/messages.ts";
import { modelBytes } from "../src/onnx/model_writer.ts";
import { codeOf, type OnnxType } from "../src/onnx/types.ts";
import { type Node, nodeOf } from "./_onnx_cases.ts";

/** Elements of a type in a shape: numbers and bigints of numeric types, texts of `string`. */
export interface Elements {
  readonly type: OnnxType;
  readonly shape: readonly number[];
  readonly data: readonly (number | bigint | string)[];
}

/** What a file has: nodes on inputs, tensors of the file, outputs of types. */
export interface SmallModel {
  readonly nodes: readonly Node[];
  readonly inputs: Readonly<Record<string, readonly [OnnxType, readonly (number | string)[] | null]>>;
  readonly outputs: Readonly<Record<string, OnnxType>>;
  readonly tensors?: Readonly<Record<string, Elements>>;
  readonly opset?: number;
  /** The version of another domain, of which all nodes are. */
  readonly domain?: readonly [string, number];
  readonly functions?: readonly FunctionMessage[];
  /** Which function of its name every node calls. */
  readonly overload?: string;
}

const encoder = new TextEncoder();

/** Elements of a file, as messages have them. */
export function tensorOf(name: string, { type, shape, data }: Elements): TensorMessage {
  const isFloat = type === "float" || type === "double", isText = type === "string";
  return {
    name,
    dims: [...shape],
    code: codeOf(type),
    raw: null,
    numbers: isFloat ? data.map(Number) : [],
    longs: isFloat || isText ? [] : data.map((v) => BigInt(v)),
    texts: isText ? data.map((v) => encoder.encode(String(v))) : [],
    external: null,
  };
}

const raw: Partial<Record<OnnxType, (data: readonly (number | bigint | string)[]) => ArrayBufferView>> = {
  float: (data) => Float32Array.from(data, Number),
  double: (data) => Float64Array.from(data, Number),
  int64: (data) => BigInt64Array.from(data, BigInt),
  int32: (data) => Int32Array.from(data, Number),
  uint8: (data) => Uint8Array.from(data, Number),
  bool: (data) => Uint8Array.from(data, Number),
};

/** The bytes of a file. */
export function bytesOfModel(model: SmallModel): Uint8Array<ArrayBuffer> {
  const { nodes, inputs, outputs, tensors = {}, opset = 18, domain, functions = [], overload = "" } = model;
  const value = (name: string, type: OnnxType, shape: readonly (number | string)[] | null) => ({
    name,
    type: { kind: "tensor" as const, code: codeOf(type), shape: shape && [...shape], of: null },
  });
  const all = Object.entries(tensors);
  const contents = new Map(all.map(([name, t]) => [name, raw[t.type]?.(t.data)]));
  return modelBytes({
    irVersion: 10,
    producer: "test",
    description: "",
    metadata: new Map(),
    opsets: new Map([
      ["", opset],
      ...domain ? [domain] : [],
      ...functions.map((f) => [f.domain, 1] as const),
    ]),
    graph: {
      name: "small",
      nodes: nodes.map((node) => ({ ...nodeOf(node, domain?.[0]), overload })),
      initializers: all.map(([name, t]) => tensorOf(name, t)),
      inputs: Object.entries(inputs).map(([name, [type, shape]]) => value(name, type, shape)),
      outputs: Object.entries(outputs).map(([name, type]) => value(name, type, null)),
      values: [],
      sparse: false,
    },
    functions: [...functions],
  }, (t) => {
    if (t.texts.length) return t.texts;
    const view = contents.get(t.name);
    return view ? new Uint8Array(view.buffer as ArrayBuffer) : new Uint8Array(0);
  });
}
