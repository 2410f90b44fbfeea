/**
 * Writes ONNX models: one product, and a GPT-2 with a key-value cache. ONNX is a few protobuf messages (onnx.proto of the
 * ONNX project, operator set 17), and this writes just the fields that these models need.
 *
 * @module
 */
import { closeSync, openSync, writeSync } from "node:fs";

type Bytes = Uint8Array;

const encoder = new TextEncoder();

function varint(value: number): number[] {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  bytes.push(value);
  return bytes;
}

const join = (...parts: Bytes[]): Bytes => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

/** A number; a message, bytes, or a text. */
const whole = (field: number, value: number): Bytes =>
  Uint8Array.from([...varint(field * 8), ...varint(value)]);
const header = (field: number, length: number): Bytes =>
  Uint8Array.from([...varint(field * 8 + 2), ...varint(length)]);
const bytes = (field: number, ...parts: Bytes[]): Bytes =>
  join(header(field, parts.reduce((sum, part) => sum + part.length, 0)), ...parts);
const text = (field: number, value: string): Bytes => bytes(field, encoder.encode(value));

const floatType = 1, int64Type = 7;

/** ValueInfoProto: a name, an element type, a shape of sizes and names of sizes. */
const value = (name: string, type: number, shape: (number | string)[]): Bytes => {
  const sizes = shape.map((size) => bytes(1, typeof size === "number" ? whole(1, size) : text(2, size)));
  return join(text(1, name), bytes(2, bytes(1, whole(1, type), bytes(2, ...sizes))));
};

/** TensorProto without its data, which is the last field. */
const tensorHead = (name: string, type: number, shape: number[]): Bytes =>
  join(...shape.map((size) => whole(1, size)), whole(2, type), text(8, name));

type Attribute = number | number[] | { float: number };

/** AttributeProto. */
function attribute(name: string, given: Attribute): Bytes {
  if (typeof given === "number") return join(text(1, name), whole(3, given), whole(20, 2));
  if (Array.isArray(given)) return join(text(1, name), ...given.map((x) => whole(8, x)), whole(20, 7));
  const float = new Uint8Array(Float32Array.of(given.float).buffer);
  return join(text(1, name), Uint8Array.from(varint(2 * 8 + 5)), float, whole(20, 1));
}

/** NodeProto. */
const node = (
  type: string,
  inputs: string[],
  outputs: string[],
  attributes: Record<string, Attribute> = {},
): Bytes =>
  join(
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, type),
    ...Object.entries(attributes).map(([name, given]) => bytes(5, attribute(name, given))),
  );

const opset = bytes(8, whole(2, 17));

/** c = a · b with b inside. */
export function matmulModel(m: number, k: number, n: number, b: Float32Array<ArrayBuffer>): Bytes {
  const graph = join(
    bytes(1, node("MatMul", ["a", "b"], ["c"])),
    text(2, "product"),
    bytes(5, tensorHead("b", floatType, [k, n]), bytes(9, new Uint8Array(b.buffer))),
    bytes(11, value("a", floatType, [m, k])),
    bytes(12, value("c", floatType, [m, n])),
  );
  return join(whole(1, 8), bytes(7, graph), opset);
}

/** A weight: its shape and its f32 values. */
export interface Weight {
  readonly name: string;
  readonly shape: number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * GPT-2 for tokens after those in a cache: inputs `ids` [1, n] (int64), `past.key.0` … [1, heads, t, 64]; outputs `logits`
 * [1, 1, vocab] of the last position, `present.key.0` …. Weights are named as in the checkpoint.
 */
export function writeGpt2Model(path: string, weights: Weight[], layers: number, heads: number): void {
  const nodes: Bytes[] = [], initializers: { head: Bytes; data: Bytes }[] = [];
  const constant = (
    name: string,
    type: number,
    shape: number[],
    data: Float32Array | BigInt64Array,
  ): string => {
    initializers.push({
      head: tensorHead(name, type, shape),
      data: new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength),
    });
    return name;
  };
  const op = (
    type: string,
    inputs: string[],
    attributes: Record<string, Attribute> = {},
    outputs: string[] = [`n${nodes.length}`],
  ): string => {
    nodes.push(node(type, inputs, outputs, attributes));
    return outputs[0];
  };
  const whole64 = (name: string, ...list: bigint[]): string =>
    constant(name, int64Type, [list.length], BigInt64Array.from(list));
  const scalar = (name: string, x: number): string => constant(name, floatType, [], Float32Array.of(x));
  for (const { name, shape, data } of weights) constant(name, floatType, shape, data);
  const width = heads * 64;

  const zero = whole64("zero", 0n), one = whole64("one", 1n), minusOne = whole64("minusOne", -1n);
  const most = whole64("most", 1n << 40n);
  const origin = constant("origin", int64Type, [], BigInt64Array.of(0n));
  const step = constant("step", int64Type, [], BigInt64Array.of(1n));
  const split = whole64("split", BigInt(width), BigInt(width), BigInt(width));
  const toHeads = whole64("toHeads", 1n, -1n, BigInt(heads), 64n);
  const fromHeads = whole64("fromHeads", 1n, -1n, BigInt(width));
  const eighth = scalar("eighth", 0.125), hidden = scalar("hidden", -1e9), none = scalar("none", 0);
  const half = scalar("half", 0.5), unit = scalar("unit", 1), cubic = scalar("cubic", 0.044715);
  const root = scalar("root", Math.sqrt(2 / Math.PI));

  const norm = (x: string, name: string): string =>
    op("LayerNormalization", [x, `${name}.weight`, `${name}.bias`], { axis: 2, epsilon: { float: 1e-5 } });
  const linear = (x: string, name: string): string =>
    op("Add", [op("MatMul", [x, `${name}.weight`]), `${name}.bias`]);

  // Positions: from as many as the cache holds on.
  const before = op("Shape", ["past.key.0"], { start: 2, end: 3 });
  const count = op("Shape", ["ids"], { start: 1, end: 2 });
  const all = op("Add", [before, count]);
  const keyPlaces = op("Range", [origin, op("Squeeze", [all, zero]), step]);
  const places = op("Slice", [keyPlaces, before, all]);
  let x = op("Add", [op("Gather", ["wte.weight", "ids"]), op("Gather", ["wpe.weight", places])]);
  const late = op("Greater", [op("Unsqueeze", [keyPlaces, zero]), op("Unsqueeze", [places, one])]);
  const mask = op("Where", [late, hidden, none]);

  for (let i = 0; i < layers; i++) {
    const qkv = linear(norm(x, `h.${i}.ln_1`), `h.${i}.attn.c_attn`);
    const parts = ["q", "k", "v"].map((part) => `${part}${i}`);
    op("Split", [qkv, split], { axis: 2 }, parts);
    const [q, k, v] = parts.map((part) =>
      op("Transpose", [op("Reshape", [part, toHeads])], { perm: [0, 2, 1, 3] })
    );
    const keys = op("Concat", [`past.key.${i}`, k], { axis: 2 }, [`present.key.${i}`]);
    const values = op("Concat", [`past.value.${i}`, v], { axis: 2 }, [`present.value.${i}`]);
    const scores = op("Mul", [op("MatMul", [q, op("Transpose", [keys], { perm: [0, 1, 3, 2] })]), eighth]);
    const mixed = op("MatMul", [op("Softmax", [op("Add", [scores, mask])], { axis: 3 }), values]);
    const joined = op("Reshape", [op("Transpose", [mixed], { perm: [0, 2, 1, 3] }), fromHeads]);
    x = op("Add", [x, linear(joined, `h.${i}.attn.c_proj`)]);
    const u = linear(norm(x, `h.${i}.ln_2`), `h.${i}.mlp.c_fc`);
    const cube = op("Mul", [op("Mul", [op("Mul", [u, u]), u]), cubic]);
    const inner = op("Tanh", [op("Mul", [op("Add", [u, cube]), root])]);
    const gelu = op("Mul", [op("Mul", [u, half]), op("Add", [inner, unit])]);
    x = op("Add", [x, linear(gelu, `h.${i}.mlp.c_proj`)]);
  }
  const last = op("Slice", [x, minusOne, most, one]);
  const wteT = op("Transpose", ["wte.weight"], { perm: [1, 0] });
  op("MatMul", [norm(last, "ln_f"), wteT], {}, ["logits"]);

  const caches = Array.from({ length: layers }, (_, i) => [`key.${i}`, `value.${i}`]).flat();
  const vocab = weights.find(({ name }) => name === "wte.weight")!.shape[0];
  const before2 = [
    ...nodes.map((each) => bytes(1, each)),
    text(2, "gpt2"),
  ];
  const after = [
    bytes(11, value("ids", int64Type, [1, "n"])),
    ...caches.map((name) => bytes(11, value(`past.${name}`, floatType, [1, heads, "past", 64]))),
    bytes(12, value("logits", floatType, [1, 1, vocab])),
    ...caches.map((name) => bytes(12, value(`present.${name}`, floatType, [1, heads, "all", 64]))),
  ];
  // Half a gigabyte of weights goes to the file piece by piece.
  const pieces: Bytes[] = [...before2];
  for (const { head, data } of initializers) {
    const raw = header(9, data.length);
    pieces.push(header(5, head.length + raw.length + data.length), head, raw, data);
  }
  pieces.push(...after);
  const graphLength = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const file = openSync(path, "w");
  try {
    for (const piece of [whole(1, 8), header(7, graphLength), ...pieces, opset]) {
      for (let at = 0; at < piece.length;) {
        at += writeSync(file, piece, at, Math.min(1 << 26, piece.length - at));
      }
    }
  } finally {
    closeSync(file);
  }
}
