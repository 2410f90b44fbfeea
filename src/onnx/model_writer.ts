/**
 * A model as the bytes of a file again: its graph as it was read, its tensors as they are now.
 *
 * @module
 */
import type { DataArray } from "../core/dtype.ts";
import type {
  AttributeValue,
  GraphMessage,
  ModelMessage,
  NodeMessage,
  TensorMessage,
  ValueMessage,
  ValueType,
} from "./messages.ts";
import { ProtobufWriter } from "./protobuf_writer.ts";

/** The elements of a tensor in a file, little end first; null where they are in the file beside it that the tensor names. */
export type TensorBytes = (t: TensorMessage) => Uint8Array | readonly Uint8Array[] | null;

/** Elements that a type has, from the array that holds them here. */
export function bytesOf(data: DataArray, bits: number): Uint8Array {
  const own = data.BYTES_PER_ELEMENT * 8;
  if (own === bits) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const out = new Uint8Array(Math.ceil(data.length * bits / 8)), view = new DataView(out.buffer);
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i]);
    if (bits === 4) out[i >> 1] |= (value & 15) << (i % 2 ? 4 : 0);
    else if (bits === 8) view.setUint8(i, value & 255);
    else if (bits === 16) view.setUint16(2 * i, value & 65535, true);
    else view.setUint32(4 * i, value >>> 0, true);
  }
  return out;
}

function writeTensor(out: ProtobufWriter, t: TensorMessage, bytes: TensorBytes): void {
  for (const n of t.dims) out.integer(1, n);
  out.integer(2, t.code);
  if (t.name) out.string(8, t.name);
  const content = bytes(t);
  if (content === null) {
    for (const [key, value] of t.external ?? []) {
      out.message(13, (entry) => entry.string(1, key).string(2, value));
    }
    out.integer(14, 1);
  } else if (content instanceof Uint8Array) out.bytes(9, content);
  else for (const text of content) out.bytes(6, text);
}

function writeType(out: ProtobufWriter, type: ValueType): void {
  const { kind, code, shape, of } = type;
  if (kind === "tensor") {
    out.message(1, (tensor) => {
      tensor.integer(1, code);
      if (!shape) return;
      tensor.message(2, (dims) => {
        for (const n of shape) {
          dims.message(1, (dim) => {
            if (typeof n === "number") dim.integer(1, n);
            else if (n !== null) dim.string(2, n);
          });
        }
      });
    });
  } else if (of) {
    out.message(kind === "sequence" ? 4 : 9, (inner) => inner.message(1, (t) => writeType(t, of)));
  }
}

function writeValue(out: ProtobufWriter, field: number, { name, type }: ValueMessage): void {
  out.message(field, (value) => value.string(1, name).message(2, (t) => writeType(t, type)));
}

function writeAttribute(
  out: ProtobufWriter,
  name: string,
  attribute: AttributeValue,
  bytes: TensorBytes,
): void {
  const { kind, value } = attribute;
  out.string(1, name);
  switch (kind) {
    case "float":
      out.float(2, value).integer(20, 1);
      break;
    case "int":
      out.long(3, value).integer(20, 2);
      break;
    case "text":
      out.bytes(4, value).integer(20, 3);
      break;
    case "tensor":
      out.message(5, (t) => writeTensor(t, value, bytes)).integer(20, 4);
      break;
    case "graph":
      out.message(6, (g) => writeGraph(g, value, bytes)).integer(20, 5);
      break;
    case "floats":
      for (const v of value) out.float(7, v);
      out.integer(20, 6);
      break;
    case "ints":
      for (const v of value) out.long(8, v);
      out.integer(20, 7);
      break;
    case "texts":
      for (const v of value) out.bytes(9, v);
      out.integer(20, 8);
      break;
    case "type":
      out.message(14, (t) => writeType(t, value)).integer(20, 13);
      break;
    case "reference":
      out.integer(20, attribute.code).string(21, value);
      break;
    default:
      out.integer(20, value);
  }
}

function writeNode(out: ProtobufWriter, node: NodeMessage, bytes: TensorBytes): void {
  for (const name of node.inputs) out.string(1, name);
  for (const name of node.outputs) out.string(2, name);
  if (node.name) out.string(3, node.name);
  out.string(4, node.operator);
  for (const [name, value] of node.attributes) out.message(5, (a) => writeAttribute(a, name, value, bytes));
  if (node.domain) out.string(7, node.domain);
  if (node.overload) out.string(8, node.overload);
}

function writeGraph(out: ProtobufWriter, graph: GraphMessage, bytes: TensorBytes): void {
  for (const node of graph.nodes) out.message(1, (n) => writeNode(n, node, bytes));
  out.string(2, graph.name);
  for (const t of graph.initializers) out.message(5, (tensor) => writeTensor(tensor, t, bytes));
  for (const value of graph.inputs) writeValue(out, 11, value);
  for (const value of graph.outputs) writeValue(out, 12, value);
  for (const value of graph.values) writeValue(out, 13, value);
}

/** The bytes of a model; `bytes` gives the elements of each tensor. */
export function modelBytes(model: ModelMessage, bytes: TensorBytes): Uint8Array<ArrayBuffer> {
  const out = new ProtobufWriter().integer(1, model.irVersion);
  if (model.producer) out.string(2, model.producer);
  if (model.description) out.string(6, model.description);
  out.message(7, (graph) => writeGraph(graph, model.graph, bytes));
  for (const [domain, version] of model.opsets) {
    out.message(8, (set) => set.string(1, domain).integer(2, version));
  }
  for (const [key, value] of model.metadata) {
    out.message(14, (entry) => entry.string(1, key).string(2, value));
  }
  for (const f of model.functions) {
    out.message(25, (own) => {
      own.string(1, f.name);
      for (const name of f.inputs) own.string(4, name);
      for (const name of f.outputs) own.string(5, name);
      for (const name of f.attributes) own.string(6, name);
      for (const node of f.nodes) own.message(7, (n) => writeNode(n, node, bytes));
      for (const [domain, version] of f.opsets) {
        own.message(9, (set) => set.string(1, domain).integer(2, version));
      }
      own.string(10, f.domain);
      for (const [name, value] of f.defaults) own.message(11, (a) => writeAttribute(a, name, value, bytes));
      if (f.overload) own.string(13, f.overload);
    });
  }
  return out.finish();
}
