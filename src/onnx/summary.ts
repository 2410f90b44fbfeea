/**
 * What an ONNX file holds, without reading a weight: also of files that cannot be run here.
 *
 * @module
 */
import type { ModelMessage } from "./messages.ts";
import { edgeOf, type OnnxEdge } from "./model.ts";
import { bitsOf, typeOfCode } from "./types.ts";

/**
 * A tensor that an ONNX file keeps.
 *
 * @category ONNX
 */
export interface OnnxTensorInfo {
  /** Its name. */
  readonly name: string;
  /** ONNX's name for its elements. */
  readonly type: string;
  /** Sizes of its dims. */
  readonly shape: readonly number[];
  /** Bytes of its elements; 0 for texts. */
  readonly byteLength: number;
}

/**
 * What an ONNX file holds.
 *
 * @category ONNX
 */
export interface OnnxSummary {
  /** What the model takes. */
  readonly inputs: readonly OnnxEdge[];
  /** What it gives. */
  readonly outputs: readonly OnnxEdge[];
  /** The versions of operators that it speaks, by domain; "" is ONNX's own. */
  readonly opsets: Readonly<Record<string, number>>;
  /** How many nodes there are of each operator. */
  readonly operators: Readonly<Record<string, number>>;
  /** The tensors that it keeps. */
  readonly tensors: readonly OnnxTensorInfo[];
  /** Texts for programs. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The program that wrote it. */
  readonly producer: string;
}

/** What a file says. */
export function summaryOf({ graph, opsets, metadata, producer }: ModelMessage): OnnxSummary {
  const kept = new Set(graph.initializers.map(({ name }) => name)), operators: Record<string, number> = {};
  for (const { domain, operator } of graph.nodes) {
    const name = domain ? `${domain}.${operator}` : operator;
    operators[name] = (Object.hasOwn(operators, name) ? operators[name] : 0) + 1;
  }
  return {
    inputs: graph.inputs.filter(({ name }) => !kept.has(name)).map(edgeOf),
    outputs: graph.outputs.map(edgeOf),
    opsets: Object.fromEntries(opsets),
    operators,
    tensors: graph.initializers.map(({ name, code, dims }) => {
      const type = typeOfCode(code), count = dims.reduce((a, b) => a * b, 1);
      return {
        name,
        type: type ?? `type ${code}`,
        shape: dims,
        byteLength: type ? Math.ceil(count * bitsOf(type) / 8) : 0,
      };
    }),
    metadata: Object.fromEntries(metadata),
    producer,
  };
}
