/**
 * An ONNX model as it is put together: nodes in the order they run, constants, inputs and outputs, and the bytes of
 * the `ModelProto` (field numbers are those of onnx.proto). Knows nothing of tables or networks.
 *
 * @module
 */

import { ShapeError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { ProtobufWriter } from "./protobuf_writer.ts";

/** `TensorProto.DataType`. */
export const onnxTypes = { float: 1, int64: 7, string: 8, double: 11 } as const;

/** An element type, by name. */
export type OnnxType = keyof typeof onnxTypes;

/** A node's attribute: an integer, or a list of floats or of strings, or one float. */
export type OnnxAttribute =
  | { readonly integer: number }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly strings: readonly string[] };

/** What surrounds the graph. */
export interface OnnxHeader {
  /** The program that wrote the model. */
  readonly producer: string;
  /** Its version. */
  readonly version: string;
  /** What the model is and takes, for a person. */
  readonly description: string;
  /** Named texts for programs. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Operators are those of opset 17 (ONNX 1.12), its file format is number 8; `ai.onnx.ml` is at 2. */
const opset = 17, mlOpset = 2, irVersion = 8;

/** A graph under construction. Values are known by their names, which each call makes and returns. */
export class OnnxGraph {
  readonly #graph: ProtobufWriter = new ProtobufWriter();
  readonly #constants = new Map<string, string>();
  #count = 0;
  #ml = false;

  /** An input of the model; the rows, first, are as many as the caller gives. */
  input(name: string, type: OnnxType, shape: readonly number[]): string {
    this.#value(11, name, type, shape);
    return name;
  }

  /** Makes the value `from` an output of the model called `name`; rows come first. */
  output(name: string, from: string, type: OnnxType, shape: readonly number[]): void {
    this.#node("Identity", [from], [name], {}, "");
    this.#value(12, name, type, shape);
  }

  #value(field: number, name: string, type: OnnxType, shape: readonly number[]): void {
    this.#graph.message(field, (info) => {
      info.string(1, name).message(2, (union) =>
        union.message(1, (tensor) => {
          tensor.integer(1, onnxTypes[type]).message(2, (dims) => {
            dims.message(1, (dim) => dim.string(2, "rows"));
            for (const size of shape) dims.message(1, (dim) => dim.integer(1, size));
          });
        }));
    });
  }

  /** A constant; equal ones are stored once. */
  constant(type: OnnxType, shape: readonly number[], values: ArrayLike<number> | readonly string[]): string {
    const size = shape.reduce((product, length) => product * length, 1);
    if (values.length !== size) {
      throw new ShapeError(`a constant [${shape}] of ${counted(values.length, "value")}`);
    }
    const key = size <= 64 ? JSON.stringify([type, shape, Array.from(values, String)]) : null;
    const known = key === null ? undefined : this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `constant${this.#count++}`;
    if (key !== null) this.#constants.set(key, name);
    this.#graph.message(5, (tensor) => {
      for (const length of shape) tensor.integer(1, length);
      tensor.integer(2, onnxTypes[type]).string(8, name);
      if (type === "string") {
        for (const text of values as readonly string[]) tensor.string(6, text);
        return;
      }
      const width = type === "float" ? 4 : 8;
      const raw = new DataView(new ArrayBuffer(size * width));
      for (let i = 0; i < size; i++) {
        const value = Number(values[i]);
        if (type === "float") raw.setFloat32(i * 4, value, true);
        else if (type === "double") raw.setFloat64(i * 8, value, true);
        else raw.setBigInt64(i * 8, BigInt(value), true);
      }
      tensor.bytes(9, new Uint8Array(raw.buffer));
    });
    return name;
  }

  /** Adds an operator with one output and returns that output's name. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
  ): string {
    const name = `value${this.#count++}`;
    this.#node(type, inputs, [name], attributes, "");
    return name;
  }

  /** Adds an operator of the classical machine learning domain, `ai.onnx.ml`. */
  mlNode(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>>,
  ): string {
    const name = `value${this.#count++}`;
    this.#ml = true;
    this.#node(type, inputs, [name], attributes, "ai.onnx.ml");
    return name;
  }

  #node(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>>,
    domain: string,
  ): void {
    this.#graph.message(1, (node) => {
      for (const name of inputs) node.string(1, name);
      for (const name of outputs) node.string(2, name);
      node.string(4, type);
      for (const [name, attribute] of Object.entries(attributes)) {
        node.message(5, (field) => writeAttribute(field.string(1, name), attribute));
      }
      if (domain !== "") node.string(7, domain);
    });
  }

  /** The bytes of the model; nothing is added afterwards. */
  finish(name: string, header: OnnxHeader): Uint8Array<ArrayBuffer> {
    const model = new ProtobufWriter();
    model.integer(1, irVersion).string(2, header.producer).string(3, header.version).string(
      6,
      header.description,
    );
    model.bytes(7, this.#graph.string(2, name).finish());
    model.message(8, (set) => set.string(1, "").integer(2, opset));
    if (this.#ml) model.message(8, (set) => set.string(1, "ai.onnx.ml").integer(2, mlOpset));
    for (const [key, value] of Object.entries(header.metadata)) {
      model.message(14, (entry) => entry.string(1, key).string(2, value));
    }
    return model.finish();
  }
}

/** The value of an `AttributeProto`, with its type (field 20), which readers demand. */
function writeAttribute(field: ProtobufWriter, attribute: OnnxAttribute): void {
  if ("integer" in attribute) field.integer(3, attribute.integer).integer(20, 2);
  else if ("float" in attribute) field.float(2, attribute.float).integer(20, 1);
  else if ("floats" in attribute) {
    for (const value of attribute.floats) field.float(7, value);
    field.integer(20, 6);
  } else {
    for (const value of attribute.strings) field.string(9, value);
    field.integer(20, 8);
  }
}
