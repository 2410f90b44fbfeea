/**
 * What an ONNX file says, as plain objects: graph, nodes, attributes, tensors as places of bytes (onnx.proto).
 *
 * Nothing is computed and no weight is read here; every count and depth is bounded.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { type FieldPlace, walk, WireReader } from "./wire.ts";

/** A tensor of a file: where its elements are. */
export interface TensorMessage {
  name: string;
  dims: number[];
  /** `TensorProto.DataType`. */
  code: number;
  /** Elements as they lie in the file, little end first. */
  raw: { readonly bytes: Uint8Array } | { readonly start: number; readonly length: number } | null;
  /** Elements as numbers of the message, of types that are written so. */
  numbers: number[];
  longs: bigint[];
  texts: Uint8Array[];
  /** Elements in a file beside this one: `location`, `offset`, `length`. */
  external: Map<string, string> | null;
}

/** The type of a value. */
export interface ValueType {
  kind: "tensor" | "sequence" | "optional" | "map" | "sparse" | "unknown";
  /** Of a tensor: `TensorProto.DataType`. */
  code: number;
  /** Of a tensor: sizes, names of sizes, null where nothing is said; null where the rank is not known. */
  shape: (number | string | null)[] | null;
  /** Of a sequence or an optional: what is in it. */
  of: ValueType | null;
}

/** An input, output or value of a graph. */
export interface ValueMessage {
  readonly name: string;
  readonly type: ValueType;
}

/** The value of an attribute, by its kind. */
export type AttributeValue =
  | { readonly kind: "int"; readonly value: bigint }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "text"; readonly value: Uint8Array }
  | { readonly kind: "tensor"; readonly value: TensorMessage }
  | { readonly kind: "graph"; readonly value: GraphMessage }
  | { readonly kind: "ints"; readonly value: bigint[] }
  | { readonly kind: "floats"; readonly value: number[] }
  | { readonly kind: "texts"; readonly value: Uint8Array[] }
  | { readonly kind: "type"; readonly value: ValueType }
  | { readonly kind: "reference"; readonly value: string; readonly code: number }
  | { readonly kind: "other"; readonly value: number };

/** A node: an operator with its inputs and outputs by name ("" for one that is left out). */
export interface NodeMessage {
  name: string;
  operator: string;
  domain: string;
  /** Which of the model's functions of that name; "" for the one without. */
  overload?: string;
  inputs: string[];
  outputs: string[];
  attributes: Map<string, AttributeValue>;
  /** The versions of its domains' operators where they are others than the model's: in a graph that is written out. */
  opsets?: ReadonlyMap<string, number>;
}

/** A graph. */
export interface GraphMessage {
  name: string;
  nodes: NodeMessage[];
  initializers: TensorMessage[];
  inputs: ValueMessage[];
  outputs: ValueMessage[];
  values: ValueMessage[];
  /** Whether it has sparse initializers, which are not read. */
  sparse: boolean;
}

/** A function of the model's own. */
export interface FunctionMessage {
  name: string;
  domain: string;
  overload?: string;
  inputs: string[];
  outputs: string[];
  attributes: string[];
  defaults: Map<string, AttributeValue>;
  nodes: NodeMessage[];
  opsets: Map<string, number>;
}

/** What a function is known by, to the nodes that call it. */
export function functionKey(domain: string, name: string, overload = ""): string {
  return JSON.stringify([domain === "ai.onnx" ? "" : domain, name, overload]);
}

/** All of a file. */
export interface ModelMessage {
  irVersion: number;
  producer: string;
  description: string;
  metadata: Map<string, string>;
  opsets: Map<string, number>;
  graph: GraphMessage;
  functions: FunctionMessage[];
}

/** The most of each thing that a message lists, and how deep graphs and types nest. */
const mostEntries = 1 << 20, mostDims = 64, mostDepth = 32;

/** Messages of at most this length are read whole. */
const wholeMessage = 1 << 16;

function push<T>(list: T[], value: T, reader: WireReader): void {
  if (list.length >= mostEntries) throw reader.fail(`a message lists more than ${mostEntries} things`);
  list.push(value);
}

function pairOf(reader: WireReader): [string, string] {
  let key = "", value = "";
  while (reader.next()) {
    if (reader.field === 1) key = reader.text();
    else if (reader.field === 2) value = reader.text();
    else reader.skip();
  }
  return [key, value];
}

function opsetOf(reader: WireReader): [string, number] {
  let domain = "", version = 0;
  while (reader.next()) {
    if (reader.field === 1) domain = reader.text();
    else if (reader.field === 2) version = reader.integer();
    else reader.skip();
  }
  return [domain === "ai.onnx" ? "" : domain, version];
}

function newTensor(): TensorMessage {
  return { name: "", dims: [], code: 0, raw: null, numbers: [], longs: [], texts: [], external: null };
}

function tensorField(t: TensorMessage, reader: WireReader, raw: (reader: WireReader) => void): void {
  switch (reader.field) {
    case 1: {
      const dims: bigint[] = [];
      reader.longs(dims, mostDims);
      for (const n of dims) {
        if (n < 0n || n > 9007199254740991n) throw reader.fail(`a tensor has the size ${n}`);
        t.dims.push(Number(n));
      }
      if (t.dims.length > mostDims) throw reader.fail(`a tensor has more than ${mostDims} dims`);
      return;
    }
    case 2:
      t.code = reader.integer();
      return;
    case 4:
      return reader.floats(t.numbers);
    case 5:
    case 7:
    case 11:
      return reader.longs(t.longs, 2 ** 32);
    case 6:
      return push(t.texts, reader.bytes(), reader);
    case 8:
      t.name = reader.text();
      return;
    case 9:
      return raw(reader);
    case 10:
      return reader.doubles(t.numbers);
    case 13: {
      const [key, value] = pairOf(reader.message());
      (t.external ??= new Map()).set(key, value);
      return;
    }
    case 14:
      if (reader.integer() === 1) t.external ??= new Map();
      return;
    case 3:
      throw reader.fail("a tensor is in segments, which are not read");
    default:
      reader.skip();
  }
}

/** A TensorProto in memory. */
export function readTensor(reader: WireReader): TensorMessage {
  const t = newTensor();
  while (reader.next()) tensorField(t, reader, (reader) => t.raw = { bytes: reader.bytes() });
  return t;
}

/** A type. */
export function readType(reader: WireReader, depth = 0): ValueType {
  const type: ValueType = { kind: "unknown", code: 0, shape: null, of: null };
  if (depth > mostDepth) throw reader.fail(`types nest more than ${mostDepth} deep`);
  while (reader.next()) {
    const { field } = reader;
    if (field === 1) {
      const inner = reader.message();
      type.kind = "tensor";
      while (inner.next()) {
        if (inner.field === 1) type.code = inner.integer();
        else if (inner.field === 2) type.shape = readShape(inner.message());
        else inner.skip();
      }
    } else if (field === 4 || field === 9) {
      const inner = reader.message();
      type.kind = field === 4 ? "sequence" : "optional";
      while (inner.next()) {
        if (inner.field === 1) type.of = readType(inner.message(), depth + 1);
        else inner.skip();
      }
    } else {
      if (field === 5) type.kind = "map";
      if (field === 8) type.kind = "sparse";
      reader.skip();
    }
  }
  return type;
}

function readShape(reader: WireReader): (number | string | null)[] {
  const shape: (number | string | null)[] = [];
  while (reader.next()) {
    if (reader.field !== 1) {
      reader.skip();
      continue;
    }
    if (shape.length >= mostDims) throw reader.fail(`a shape has more than ${mostDims} dims`);
    const dim = reader.message();
    let size: number | string | null = null;
    while (dim.next()) {
      if (dim.field === 1) size = dim.integer();
      else if (dim.field === 2) size = dim.text() || null;
      else dim.skip();
    }
    shape.push(typeof size === "number" && size < 0 ? null : size);
  }
  return shape;
}

function readValue(reader: WireReader): ValueMessage {
  let name = "", type: ValueType = { kind: "unknown", code: 0, shape: null, of: null };
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) type = readType(reader.message());
    else reader.skip();
  }
  return { name, type };
}

/** `AttributeProto.AttributeType` by kind. */
const attributeKinds = ["", "float", "int", "text", "tensor", "graph", "floats", "ints", "texts"] as const;

function readAttribute(reader: WireReader, depth: number): [string, AttributeValue] {
  let name = "", code = 0, found = "", value: AttributeValue | null = null, reference = "";
  let float = 0, int = 0n, text: Uint8Array = new Uint8Array(0);
  const ints: bigint[] = [], floats: number[] = [], texts: Uint8Array[] = [];
  while (reader.next()) {
    const at = reader.field;
    if (at === 1) name = reader.text();
    else if (at === 2) float = reader.float(), found ||= "float";
    else if (at === 3) int = reader.long(), found ||= "int";
    else if (at === 4) text = reader.bytes(), found ||= "text";
    else if (at === 5) value = { kind: "tensor", value: readTensor(reader.message()) };
    else if (at === 6) value = { kind: "graph", value: readGraph(reader.message(), depth + 1) };
    else if (at === 7) reader.floats(floats), found ||= "floats";
    else if (at === 8) reader.longs(ints, 2 ** 32), found ||= "ints";
    else if (at === 9) push(texts, reader.bytes(), reader), found ||= "texts";
    else if (at === 14) value = { kind: "type", value: readType(reader.message()) };
    else if (at === 20) code = reader.integer();
    else if (at === 21) reference = reader.text();
    else reader.skip();
  }
  if (reference) return [name, { kind: "reference", value: reference, code }];
  if (value) return [name, value];
  const kind = attributeKinds[code] || found;
  if (kind === "float") return [name, { kind, value: float }];
  if (kind === "int") return [name, { kind, value: int }];
  if (kind === "text") return [name, { kind, value: text }];
  if (kind === "floats") return [name, { kind, value: floats }];
  if (kind === "ints") return [name, { kind, value: ints }];
  if (kind === "texts") return [name, { kind, value: texts }];
  return [name, { kind: "other", value: code }];
}

function readNode(reader: WireReader, depth: number): NodeMessage {
  const node: NodeMessage = {
    name: "",
    operator: "",
    domain: "",
    inputs: [],
    outputs: [],
    attributes: new Map(),
  };
  while (reader.next()) {
    const at = reader.field;
    if (at === 1) push(node.inputs, reader.text(), reader);
    else if (at === 2) push(node.outputs, reader.text(), reader);
    else if (at === 3) node.name = reader.text();
    else if (at === 4) node.operator = reader.text();
    else if (at === 5) node.attributes.set(...readAttribute(reader.message(), depth));
    else if (at === 7) node.domain = reader.text();
    else if (at === 8) node.overload = reader.text();
    else reader.skip();
  }
  if (node.domain === "ai.onnx") node.domain = "";
  return node;
}

function newGraph(): GraphMessage {
  return { name: "", nodes: [], initializers: [], inputs: [], outputs: [], values: [], sparse: false };
}

function graphField(graph: GraphMessage, reader: WireReader, depth: number): void {
  const at = reader.field;
  if (at === 1) push(graph.nodes, readNode(reader.message(), depth), reader);
  else if (at === 2) graph.name = reader.text();
  else if (at === 5) push(graph.initializers, readTensor(reader.message()), reader);
  else if (at === 11) push(graph.inputs, readValue(reader.message()), reader);
  else if (at === 12) push(graph.outputs, readValue(reader.message()), reader);
  else if (at === 13) push(graph.values, readValue(reader.message()), reader);
  else {
    if (at === 15) graph.sparse = true;
    reader.skip();
  }
}

function readGraph(reader: WireReader, depth: number): GraphMessage {
  if (depth > mostDepth) throw reader.fail(`graphs nest more than ${mostDepth} deep`);
  const graph = newGraph();
  while (reader.next()) graphField(graph, reader, depth);
  return graph;
}

function readFunction(reader: WireReader): FunctionMessage {
  const f: FunctionMessage = {
    name: "",
    domain: "",
    inputs: [],
    outputs: [],
    attributes: [],
    defaults: new Map(),
    nodes: [],
    opsets: new Map(),
  };
  while (reader.next()) {
    const at = reader.field;
    if (at === 1) f.name = reader.text();
    else if (at === 4) push(f.inputs, reader.text(), reader);
    else if (at === 5) push(f.outputs, reader.text(), reader);
    else if (at === 6) push(f.attributes, reader.text(), reader);
    else if (at === 7) push(f.nodes, readNode(reader.message(), 1), reader);
    else if (at === 9) f.opsets.set(...opsetOf(reader.message()));
    else if (at === 10) f.domain = reader.text();
    else if (at === 13) f.overload = reader.text();
    else if (at === 11) f.defaults.set(...readAttribute(reader.message(), 1));
    else reader.skip();
  }
  return f;
}

/** A reader over a field as it lies in the source, tag and all, come to that field. */
async function fieldOf(
  source: ByteSource,
  place: FieldPlace,
  from: number,
  where: string,
): Promise<WireReader> {
  const reader = new WireReader(await source.read(from, place.start - from + place.length), where, from);
  reader.next();
  return reader;
}

async function walkTensor(source: ByteSource, start: number, length: number): Promise<TensorMessage> {
  const t = newTensor();
  let from = start;
  for await (const place of walk(source, start, length, source.name)) {
    if (place.field === 9 && place.wire === 2) t.raw = { start: place.start, length: place.length };
    else {
      tensorField(t, await fieldOf(source, place, from, source.name), (reader) => {
        throw reader.fail("the bytes of a tensor are no bytes");
      });
    }
    from = place.start + place.length;
  }
  return t;
}

async function walkGraph(source: ByteSource, start: number, length: number): Promise<GraphMessage> {
  const graph = newGraph();
  let from = start;
  for await (const place of walk(source, start, length, source.name)) {
    if (place.field === 5 && place.wire === 2 && place.length > wholeMessage) {
      push(graph.initializers, await walkTensor(source, place.start, place.length), place.head);
    } else graphField(graph, await fieldOf(source, place, from, source.name), 1);
    from = place.start + place.length;
  }
  return graph;
}

/** Reads what a file says, without the weights. @throws {FormatError} for what is no ONNX model. */
export async function readModel(source: ByteSource): Promise<ModelMessage> {
  const model: ModelMessage = {
    irVersion: 0,
    producer: "",
    description: "",
    metadata: new Map(),
    opsets: new Map(),
    graph: newGraph(),
    functions: [],
  };
  let from = 0, hasGraph = false;
  for await (const place of walk(source, 0, source.size, source.name)) {
    if (place.field === 7 && place.wire === 2) {
      model.graph = await walkGraph(source, place.start, place.length);
      hasGraph = true;
    } else if ([1, 2, 6, 8, 14, 25].includes(place.field)) {
      const reader = await fieldOf(source, place, from, source.name), at = reader.field;
      if (at === 1) model.irVersion = reader.integer();
      else if (at === 2) model.producer = reader.text();
      else if (at === 6) model.description = reader.text();
      else if (at === 8) model.opsets.set(...opsetOf(reader.message()));
      else if (at === 14) model.metadata.set(...pairOf(reader.message()));
      else push(model.functions, readFunction(reader.message()), reader);
    }
    from = place.start + place.length;
  }
  if (!hasGraph) throw new FormatError(`${source.name} is no ONNX model: it has no graph`);
  if (model.opsets.size === 0) {
    throw new FormatError(`${source.name} is no ONNX model: it does not say which operators (opset_import)`);
  }
  return model;
}
