/**
 * For every operator of ONNX through which gradients flow, models of it with what they take.
 *
 * Floats are drawn, the rest is as it is written here. A model is a few nodes on inputs `x0`, `x1` …; its outputs are those of
 * its last node.
 *
 * @module
 */
import type {
  AttributeValue,
  GraphMessage,
  ModelMessage,
  NodeMessage,
  TensorMessage,
} from "../src/onnx/messages.ts";
import { modelBytes } from "../src/onnx/model_writer.ts";

/** A drawn input: its shape, and between what its numbers are. */
export interface Drawn {
  readonly shape: readonly number[];
  readonly low: number;
  readonly high: number;
}

/** Numbers as they are. */
export interface Given {
  readonly shape: readonly number[];
  readonly type: "int64" | "int32" | "bool" | "uint8" | "float";
  readonly values: readonly number[];
}

type Input = Drawn | Given | null;
/** A value of an attribute: whole ones are bigints. */
export type Attribute =
  | number
  | bigint
  | string
  | readonly number[]
  | readonly bigint[]
  | readonly string[]
  | GraphMessage;
/** A node: its operator, inputs, outputs and attributes. */
export type Node = readonly [
  operator: string,
  inputs: string,
  outputs: string,
  attributes?: Record<string, Attribute>,
];

/** A model, and how close its gradient must be. */
export interface Case {
  readonly inputs: readonly Input[];
  readonly nodes: readonly Node[];
  readonly opset: number;
  readonly domain: string;
  /** The step of finite differences in f64. */
  readonly step: number;
  readonly tolerance: number;
}

const codes = { float: 1, double: 11, int64: 7, int32: 6, bool: 9, uint8: 2 } as const;
const encoder = new TextEncoder();

/** Floats of a shape. */
const F = (shape: number[], low = -1.5, high = 1.5): Drawn => ({ shape, low, high });
/** Whole numbers in a list, or of a shape. */
const I = (values: number[], shape = [values.length]): Given => ({ shape, type: "int64", values });
const B = (values: number[], shape = [values.length]): Given => ({ shape, type: "bool", values });

/** Floats as they are, which decide on a shape. */
const fixed = (values: number[], shape = [values.length]): Given => ({ shape, type: "float", values });

function bytesOf(values: readonly number[], type: keyof typeof codes): Uint8Array {
  if (type === "int64") return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  if (type === "int32") return new Uint8Array(Int32Array.from(values).buffer);
  if (type === "float") return new Uint8Array(Float32Array.from(values).buffer);
  return type === "double" ? new Uint8Array(Float64Array.from(values).buffer) : Uint8Array.from(values);
}

/** Whether an input is drawn. */
export const isDrawn = (input: Input): input is Drawn => input !== null && "low" in input;

function attributeOf(value: Attribute): AttributeValue {
  if (typeof value === "number") return { kind: "float", value };
  if (typeof value === "bigint") return { kind: "int", value };
  if (typeof value === "string") return { kind: "text", value: encoder.encode(value) };
  if (!Array.isArray(value)) return { kind: "graph", value: value as GraphMessage };
  if (typeof value[0] === "string") {
    return {
      kind: "texts",
      value: value.map((text) => encoder.encode(text)),
    };
  }
  if (typeof value[0] === "bigint") return { kind: "ints", value: [...value] };
  return { kind: "floats", value: [...value as number[]] };
}

const names = (list: string): string[] =>
  list.split(" ").filter(Boolean).map((name) => name === "_" ? "" : name);

/** A node as it is written here: `_` in a list of names is one that is left out. */
export function nodeOf([operator, inputs, outputs, attributes = {}]: Node, domain = ""): NodeMessage {
  return {
    name: "",
    operator,
    domain,
    inputs: names(inputs),
    outputs: names(outputs),
    attributes: new Map(Object.entries(attributes).map(([name, value]) => [name, attributeOf(value)])),
  };
}

/** Types of bodies are not looked at, but for what gives no turn. */
const valueOf = (name: string, code: number) => ({
  name,
  type: { kind: "tensor" as const, code, shape: null, of: null },
});

/** A graph of an attribute; its inputs and outputs by name. */
export function G(inputs: string, outputs: string, nodes: readonly Node[]): GraphMessage {
  return {
    name: "body",
    nodes: nodes.map((node) => nodeOf(node)),
    initializers: [],
    inputs: names(inputs).map((name) => valueOf(name, 11)),
    outputs: names(outputs).map((name) => valueOf(name, 11)),
    values: [],
    sparse: false,
  };
}

/** The file of a case, where floats are of `float`: drawn ones are inputs, others tensors of the file. */
export function bytesOfCase(
  { inputs, nodes, opset, domain }: Case,
  float: "float" | "double",
): Uint8Array<ArrayBuffer> {
  const initializers: TensorMessage[] = [];
  inputs.forEach((input, i) => {
    if (input === null || isDrawn(input)) return;
    const type = input.type === "float" ? float : input.type, raw = bytesOf(input.values, type);
    initializers.push({
      name: `x${i}`,
      dims: [...input.shape],
      code: codes[type],
      raw: { bytes: raw },
      numbers: [],
      longs: [],
      texts: [],
      external: null,
    });
  });
  const last = nodes[nodes.length - 1];
  const graph: GraphMessage = {
    name: "case",
    nodes: nodes.map((node) => nodeOf(node, node === last ? domain : "")),
    initializers,
    inputs: inputs.flatMap((input, i) => isDrawn(input) ? [valueOf(`x${i}`, codes[float])] : []),
    outputs: names(last[2]).filter(Boolean).map((name) => valueOf(name, codes[float])),
    values: [],
    sparse: false,
  };
  const model: ModelMessage = {
    irVersion: 8,
    producer: "test",
    description: "",
    metadata: new Map(),
    opsets: new Map([["", opset], ...domain ? [[domain, 1] as const] : []]),
    graph,
    functions: [],
  };
  return modelBytes(model, (t) => (t.raw as { bytes: Uint8Array }).bytes);
}

type More = Partial<Omit<Case, "inputs" | "nodes">>;

function several(inputs: readonly Input[], nodes: readonly Node[], more: More = {}): Case {
  return { inputs, nodes, opset: 18, domain: "", step: 1e-5, tolerance: 1e-5, ...more };
}

/** One node on `inputs`, which gives as many `outputs`. */
const one = (
  operator: string,
  inputs: readonly Input[],
  attributes: Record<string, Attribute> = {},
  outputs = 1,
  more: More = {},
): Case => {
  const given = inputs.map((input, i) => input === null ? "_" : `x${i}`).join(" ");
  const made = Array.from({ length: outputs }, (_, i) => `y${i}`).join(" ");
  return several(inputs, [[operator, given, made, attributes]], more);
};

const m = F([3, 4]), positive = F([3, 4], 0.3, 2), image = F([2, 3, 5, 4]), within = F([3, 4], -0.9, 0.9);

const microsoft = { domain: "com.microsoft", step: 1e-4, tolerance: 1e-4 };
const ints = (values: number[], shape = [values.length]): Given => ({ shape, type: "int32", values });
/** Bytes that look drawn. */
const bytes = (shape: number[]): Given => ({
  shape,
  type: "uint8",
  values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i * 89 + i * i * 7 + 13) % 256),
});

/** The cases of operators of one tensor. */
function unary(list: string, input: Drawn = m, more: More = {}): Record<string, Case[]> {
  return Object.fromEntries(names(list).map((name) => [name, [one(name, [input], {}, 1, more)]]));
}

const reductions = names(
  "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare",
);
const window = { kernel_shape: [3n, 2n], strides: [2n, 1n], pads: [1n, 0n, 1n, 1n] };
const recurrent = (gates: number, attributes: Record<string, Attribute> = {}): Input[] => {
  const two = attributes.direction === "bidirectional" ? 2 : 1;
  return [
    F([3, 2, 4]),
    F([two, gates * 5, 4]),
    F([two, gates * 5, 5]),
    F([two, gates * 10]),
    null,
    F([two, 2, 5]),
  ];
};
const lstm = (attributes: Record<string, Attribute>): Case => {
  const two = attributes.direction === "bidirectional" ? 2 : 1;
  const inputs = [...recurrent(4, attributes), F([two, 2, 5]), F([two, 15])];
  return one("LSTM", inputs, { hidden_size: 5n, ...attributes }, 3);
};
const optimizer = (states: number): Input[] => [
  F([], 0.05, 0.2),
  I([1], []),
  ...Array.from({ length: 2 + states }, () => F([4], 0.3, 1)),
];

/** The cases of each operator. */
export const cases: Readonly<Record<string, readonly Case[]>> = {
  ...unary(
    "Abs Atan Celu Cos Cosh Elu Erf Exp Flatten HardSigmoid HardSwish Identity LeakyRelu Neg Relu Selu Shrink Sigmoid",
  ),
  ...unary(
    "Asinh Sin Sinh Softplus Softsign Tan Tanh ThresholdedRelu Transpose Squeeze Mish Ceil Floor Round Sign",
  ),
  ...unary("Log Sqrt Reciprocal", positive),
  ...unary("Acos Asin Atanh", within),
  ...unary("Acosh", F([3, 4], 1.2, 3)),
  ...unary("GlobalAveragePool GlobalMaxPool GlobalLpPool MeanVarianceNormalization", image),
  ...unary("Swish", m, { opset: 24 }),
  ...Object.fromEntries(reductions.map((name) => [name, [
    one(name, [F([3, 2, 4], 0.2, 2), I([-1, 0])], {}),
    one(name, [F([3, 2, 4], 0.2, 2)], { keepdims: 0n }),
  ]])),
  ReduceSum: [one("ReduceSum", [F([3, 2, 4]), I([1])], { keepdims: 0n })],
  Gelu: ["none", "tanh"].map((approximate) => one("Gelu", [m], { approximate }, 1, { opset: 20 })),
  ...Object.fromEntries(["Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum"].map((name) => [
    name,
    [one(name, [m, F([2, 1, 4])])],
  ])),
  Div: [one("Div", [m, F([2, 1, 4], 0.4, 2)])],
  Mod: [one("Mod", [m, F([4], 0.4, 2)], { fmod: 1n })],
  Pow: [one("Pow", [positive, F([4])])],
  PRelu: [one("PRelu", [m, F([4])])],
  Clip: [one("Clip", [m, F([], -1, -0.5), F([], 0.5, 1)])],
  Cast: [one("Cast", [m], { to: 11n })],
  CastLike: [one("CastLike", [m, F([1])])],
  Where: [one("Where", [B([1, 0, 1, 0]), m, F([3, 1])])],
  Softmax: [
    one("Softmax", [F([2, 3, 4])], { axis: 1n }),
    one("Softmax", [F([2, 3, 4])], { axis: 1n }, 1, { opset: 11 }),
  ],
  LogSoftmax: [one("LogSoftmax", [F([2, 3, 4])], { axis: 1n })],
  CumSum: [one("CumSum", [F([3, 4]), I([1], [])], { exclusive: 1n, reverse: 1n })],
  Einsum: [
    one("Einsum", [F([2, 3, 4]), F([2, 4, 5])], { equation: "bij,bjk->bik" }),
    one("Einsum", [F([3, 3])], { equation: "ii->i" }),
  ],
  Gemm: [one("Gemm", [F([4, 3]), F([5, 4]), F([5])], { transA: 1n, transB: 1n, alpha: 0.5, beta: 2 })],
  MatMul: [one("MatMul", [F([2, 3, 4]), F([4, 5])]), one("MatMul", [F([4]), F([4])])],
  Det: [one("Det", [F([2, 3, 3])]), one("Det", [F([1, 1])])],

  Conv: [
    one("Conv", [F([2, 4, 5, 4]), F([6, 2, 3, 2]), F([6])], {
      group: 2n,
      pads: [1n, 0n, 1n, 1n],
      strides: [2n, 1n],
    }),
    one("Conv", [F([1, 2, 7]), F([3, 2, 3])], { dilations: [2n] }),
    one("Conv", [F([1, 2, 3, 4, 3]), F([2, 2, 2, 2, 2])], { auto_pad: "SAME_UPPER" }),
  ],
  ConvTranspose: [
    one("ConvTranspose", [F([2, 4, 3, 2]), F([4, 3, 3, 2]), F([6])], {
      group: 2n,
      strides: [2n, 1n],
      pads: [1n, 0n, 0n, 1n],
    }),
    one("ConvTranspose", [F([1, 2, 4]), F([2, 3, 3])], { output_padding: [1n], strides: [2n] }),
  ],
  MaxPool: [
    one("MaxPool", [image], window),
    one("MaxPool", [F([1, 2, 7])], { kernel_shape: [3n], dilations: [2n] }),
  ],
  AveragePool: [
    one("AveragePool", [image], window),
    one("AveragePool", [image], { ...window, count_include_pad: 1n }),
  ],
  LpPool: [one("LpPool", [image], { ...window, p: 3n })],
  MaxUnpool: [
    one("MaxUnpool", [F([1, 1, 2, 2]), I([5, 7, 13, 15], [1, 1, 2, 2])], {
      kernel_shape: [2n, 2n],
      strides: [2n, 2n],
    }),
  ],
  BatchNormalization: [
    one("BatchNormalization", [image, F([3]), F([3]), F([3]), F([3], 0.3, 2)]),
    one("BatchNormalization", [image, F([3]), F([3]), F([3]), F([3], 0.3, 2)], { training_mode: 1n }, 3),
  ],
  InstanceNormalization: [one("InstanceNormalization", [image, F([3]), F([3])])],
  GroupNormalization: [
    one("GroupNormalization", [F([2, 4, 3]), F([2]), F([2])], { num_groups: 2n }),
    one("GroupNormalization", [F([2, 4, 3]), F([4]), F([4])], { num_groups: 2n }, 1, { opset: 21 }),
  ],
  LayerNormalization: [one("LayerNormalization", [F([2, 3, 4]), F([3, 4]), F([3, 4])], { axis: 1n }, 3)],
  RMSNormalization: [one("RMSNormalization", [F([2, 3, 4]), F([4])], {}, 1, { opset: 23 })],
  LRN: [one("LRN", [F([2, 5, 3])], { size: 3n, alpha: 0.5 })],
  LpNormalization: [1n, 2n].map((p) => one("LpNormalization", [m], { axis: 0n, p })),
  Dropout: [one("Dropout", [m]), one("Dropout", [m, F([], 0.4, 0.4), B([0], [])])],
  RNN: [
    one("RNN", recurrent(1), { hidden_size: 5n }, 2),
    one("RNN", recurrent(1).map((input, i) => i === 4 ? I([3, 1]) : input), {
      hidden_size: 5n,
      direction: "reverse",
    }, 2),
  ],
  GRU: [0n, 1n].map((linear_before_reset) => {
    const attributes = { direction: "bidirectional", hidden_size: 5n, linear_before_reset };
    return one("GRU", recurrent(3, attributes), attributes, 2);
  }),
  LSTM: [lstm({}), lstm({ direction: "bidirectional" })],
  Attention: [
    one("Attention", [F([1, 4, 3, 4]), F([1, 2, 5, 4]), F([1, 2, 5, 3]), F([3, 5])], { softcap: 2 }, 4, {
      opset: 23,
    }),
    one(
      "Attention",
      [F([1, 3, 8]), F([1, 3, 8]), F([1, 3, 8])],
      { q_num_heads: 2n, kv_num_heads: 2n, is_causal: 1n },
      1,
      { opset: 23 },
    ),
  ],
  RotaryEmbedding: [0n, 1n].map((interleaved) =>
    one("RotaryEmbedding", [F([1, 2, 3, 4]), F([1, 3, 2]), F([1, 3, 2])], { interleaved }, 1, { opset: 23 })
  ),
  NegativeLogLikelihoodLoss: ["mean", "sum", "none"].map((reduction) =>
    one("NegativeLogLikelihoodLoss", [F([3, 4, 2]), I([0, 3, 1, 2, 2, 1], [3, 2]), F([4], 0.3, 2)], {
      reduction,
      ignore_index: 1n,
    })
  ),
  SoftmaxCrossEntropyLoss: [one("SoftmaxCrossEntropyLoss", [m, I([0, 3, 1]), F([4], 0.3, 2)], {}, 2)],

  AffineGrid: [one("AffineGrid", [F([2, 2, 3]), I([2, 1, 3, 2])], {}, 1, { opset: 20 })],
  GridSample: ["bilinear", "bicubic", "nearest"].flatMap((mode) =>
    ["zeros", "border", "reflection"].map((padding_mode) =>
      one("GridSample", [F([1, 2, 4, 3]), F([1, 2, 3, 2], -1.2, 1.2)], { mode, padding_mode })
    )
  ),
  DeformConv: [
    one(
      "DeformConv",
      [F([1, 2, 4, 4]), F([2, 1, 2, 2]), F([1, 8, 3, 3], 0.1, 0.4), F([2]), F([1, 4, 3, 3])],
      { group: 2n },
      1,
      { opset: 19 },
    ),
    one(
      "DeformConv",
      [F([2, 2, 4, 3]), F([1, 2, 2, 1]), F([2, 8, 2, 3], 0.1, 0.4)],
      { offset_group: 2n, pads: [0n, 0n, 1n, 0n], strides: [2n, 1n] },
      1,
      { opset: 22 },
    ),
  ],
  MaxRoiPool: [
    one("MaxRoiPool", [F([1, 2, 4, 4]), fixed([0, 0, 0, 3, 2, 0, 1, 1, 3, 3], [2, 5])], {
      pooled_shape: [2n, 1n],
    }),
  ],
  RoiAlign: ["avg", "max"].map((mode) =>
    one("RoiAlign", [F([1, 2, 6, 6]), fixed([0.5, 1, 4.5, 5], [1, 4]), I([0])], {
      mode,
      output_height: 2n,
      output_width: 2n,
    })
  ),
  Resize: [
    ...["nearest", "linear", "cubic"].map((mode) =>
      one("Resize", [F([1, 2, 4, 3]), null, null, I([1, 2, 6, 2])], { mode })
    ),
    one("Resize", [F([1, 1, 6]), null, null, I([1, 1, 3])], { mode: "linear", antialias: 1n }),
  ],
  Upsample: [
    one("Upsample", [F([1, 1, 2, 2])], { mode: "linear", scales: [1, 1, 2, 2] }, 1, { opset: 7 }),
  ],
  Col2Im: [one("Col2Im", [F([1, 8, 9]), I([4, 4]), I([2, 2])])],
  DepthToSpace: ["DCR", "CRD"].map((mode) => one("DepthToSpace", [F([1, 8, 2, 3])], { blocksize: 2n, mode })),
  SpaceToDepth: [one("SpaceToDepth", [F([1, 2, 4, 2])], { blocksize: 2n })],
  DFT: [
    one("DFT", [F([1, 5, 2])], {}),
    one("DFT", [F([1, 5, 1])], { onesided: 1n }),
    one("DFT", [F([1, 5, 2])], { inverse: 1n }),
  ],
  STFT: [one("STFT", [F([1, 8, 1]), I([2], []), F([4])])],

  CenterCropPad: [one("CenterCropPad", [m, I([5, 2])])],
  Concat: [one("Concat", [m, F([2, 4])], { axis: 0n })],
  Expand: [one("Expand", [F([3, 1]), I([2, 3, 4])])],
  Pad: ["constant", "reflect", "edge"].map((mode) => one("Pad", [m, I([1, 2, 1, 0])], { mode })),
  Reshape: [one("Reshape", [m, I([2, -1])])],
  Slice: [one("Slice", [m, I([-1, 0]), I([-100, 4]), I([0, 1]), I([-1, 2])])],
  Split: [one("Split", [m, I([1, 3])], { axis: 1n }, 2)],
  Tile: [one("Tile", [m, I([2, 3])])],
  Trilu: [one("Trilu", [m, I([1], [])]), one("Trilu", [m], { upper: 0n })],
  Unsqueeze: [one("Unsqueeze", [m, I([0, -1])])],
  ReverseSequence: [one("ReverseSequence", [F([4, 3]), I([1, 4, 2])])],
  Compress: [one("Compress", [m, B([1, 0, 1])], { axis: 0n })],
  Gather: [one("Gather", [m, I([0, -1, 0, 2], [2, 2])], { axis: 1n })],
  GatherElements: [one("GatherElements", [m, I([0, -1, 0, 2, 1, 1], [3, 2])], { axis: 1n })],
  GatherND: [
    one("GatherND", [F([2, 3, 4]), I([1, 2, 0, 0, 1, 2], [3, 2])]),
    one("GatherND", [F([2, 3, 4]), I([1, 2], [2, 1])], { batch_dims: 1n }),
  ],
  OneHot: [one("OneHot", [I([0, 2, -1]), I([4], []), F([2])])],
  Scatter: [one("Scatter", [m, I([1, 0, 3], [3, 1]), F([3, 1])], { axis: 1n }, 1, { opset: 9 })],
  ScatterElements: ["none", "add", "mul", "max", "min"].map((reduction) => {
    const at = reduction === "none" ? [1, 0, 3, 2, 1, 2] : [1, 1, 3, 0, 1, 2];
    return one("ScatterElements", [m, I(at, [3, 2]), F([3, 2])], { axis: 1n, reduction });
  }),
  ScatterND: ["none", "add", "mul", "max", "min"].map((reduction) =>
    one("ScatterND", [m, I(reduction === "none" ? [2, 0] : [2, 2], [2, 1]), F([2, 4])], { reduction })
  ),
  TensorScatter: [
    one("TensorScatter", [F([2, 4, 3]), F([2, 2, 3]), I([1, 3])], { mode: "circular" }, 1, { opset: 24 }),
  ],
  TopK: [several([m, I([2])], [["TopK", "x0 x1", "y0 _", { axis: 0n }]])],
  Unique: [several([m], [["Unique", "x0", "y0"]])],
  DequantizeLinear: [
    one(
      "DequantizeLinear",
      [{ shape: [2, 3], type: "uint8", values: [9, 200, 3, 4, 77, 128] }, F([3], 0.5, 2)],
      { axis: 1n },
      1,
      {
        step: 1e-2,
        tolerance: 1e-3,
      },
    ),
  ],

  If: [several([B([0], []), m], [["If", "x0", "y0", {
    then_branch: G("", "a", [["Exp", "x1", "a"]]),
    else_branch: G("", "b", [["Sin", "x1", "b"]]),
  }]])],
  Loop: [several([I([3], []), B([1], []), m], [["Loop", "x0 x1 x2", "y0 y1", {
    body: G("i on s", "on2 next seen", [
      ["Identity", "on", "on2"],
      ["Sin", "s", "t"],
      ["Mul", "t x2", "next"],
      ["Exp", "t", "seen"],
    ]),
  }]])],
  Scan: [several([F([4]), m], [["Scan", "x0 x1", "y0 y1", {
    num_scan_inputs: 1n,
    body: G("s x", "next seen", [["Mul", "s x", "t"], ["Add", "t x", "next"], ["Sin", "next", "seen"]]),
  }]])],
  ConcatFromSequence: [
    several([m, m], [["SequenceConstruct", "x0 x1", "s"], ["ConcatFromSequence", "s", "y0", { axis: 1n }]]),
  ],
  SequenceConstruct: [
    several([m, m], [["SequenceConstruct", "x0 x1", "s"], ["ConcatFromSequence", "s", "y0", { axis: 0n }]]),
  ],
  SequenceAt: [
    several([m, m, I([-1], [])], [["SequenceConstruct", "x0 x1", "s"], ["SequenceAt", "s x2", "y0"]]),
  ],
  SequenceErase: [several([m, m, I([0], [])], [
    ["SequenceConstruct", "x0 x1", "s"],
    ["SequenceErase", "s x2", "t"],
    ["ConcatFromSequence", "t", "y0", { axis: 0n }],
  ])],
  SequenceInsert: [several([m, m], [
    ["SequenceConstruct", "x0", "s"],
    ["SequenceInsert", "s x1", "t"],
    ["ConcatFromSequence", "t", "y0", { axis: 0n }],
  ])],
  SequenceMap: [several([m, m], [
    ["SequenceConstruct", "x0 x1", "s"],
    ["SequenceMap", "s", "t", { body: G("a", "b", [["Sin", "a", "b"]]) }],
    ["ConcatFromSequence", "t", "y0", { axis: 0n }],
  ])],
  SplitToSequence: [several([m, I([1, 2])], [
    ["SplitToSequence", "x0 x1", "s"],
    ["ConcatFromSequence", "s", "y0", { axis: 0n }],
  ])],
  Optional: [several([m], [["Optional", "x0", "o"], ["OptionalGetElement", "o", "y0"]])],
  OptionalGetElement: [several([m], [["OptionalGetElement", "x0", "y0"]])],

  "ai.onnx.preview.training.Adagrad": [
    one("Adagrad", optimizer(1), { norm_coefficient: 0.1, epsilon: 1e-2 }, 2, {
      domain: "ai.onnx.preview.training",
    }),
  ],
  "ai.onnx.preview.training.Adam": [
    one("Adam", optimizer(2), { norm_coefficient: 0.1, epsilon: 1e-2 }, 3, {
      domain: "ai.onnx.preview.training",
    }),
  ],
  "ai.onnx.preview.training.Momentum": ["standard", "nesterov"].map((mode) =>
    one("Momentum", optimizer(1), { mode, alpha: 0.9, beta: 0.5, norm_coefficient: 0.1 }, 2, {
      domain: "ai.onnx.preview.training",
    })
  ),
  "com.microsoft.MatMulNBits": [[4n, false], [8n, true], [4n, true]].map(([bits, zeros]) => {
    const size = 16 * Number(bits) / 8;
    return one(
      "MatMulNBits",
      [
        F([2, 3, 40]),
        bytes([5, 3, size]),
        F([5, 3], 0.1, 0.3),
        ...zeros ? [bytes([5, bits === 4n ? 2 : 3])] : [],
      ],
      { K: 40n, N: 5n, bits: bits as bigint, block_size: 16n },
      1,
      microsoft,
    );
  }),
  "com.microsoft.GatherBlockQuantized": [4n, 8n].map((bits) =>
    one(
      "GatherBlockQuantized",
      [bytes([6, 4 * Number(bits)]), I([0, 5, 2, 2], [2, 2]), F([6, 2], 0.1, 0.3)],
      {
        bits,
        block_size: 16n,
        quantize_axis: 1n,
      },
      1,
      microsoft,
    )
  ),
  "com.microsoft.GroupQueryAttention": [
    // A first text of 3, with positions turned; then 2 behind 3, and one behind what is of unequal length.
    one(
      "GroupQueryAttention",
      [
        F([1, 3, 64]),
        F([1, 3, 32]),
        F([1, 3, 32]),
        null,
        null,
        ints([2]),
        ints([3], []),
        F([6, 8]),
        F([6, 8]),
      ],
      { num_heads: 4n, kv_num_heads: 2n, do_rotary: 1n, softcap: 3 },
      3,
      microsoft,
    ),
    one(
      "GroupQueryAttention",
      [
        F([1, 2, 32]),
        null,
        null,
        F([1, 1, 3, 8]),
        F([1, 1, 3, 8]),
        ints([4]),
        ints([5], []),
        null,
        null,
        null,
        F([1, 1, 2, 5]),
      ],
      { num_heads: 2n, kv_num_heads: 1n, scale: 0.5, smooth_softmax: 1n },
      3,
      microsoft,
    ),
    one(
      "GroupQueryAttention",
      [
        F([2, 1, 16]),
        F([2, 1, 8]),
        F([2, 1, 8]),
        F([2, 1, 5, 8]),
        F([2, 1, 5, 8]),
        ints([3, 5]),
        ints([6], []),
      ],
      { num_heads: 2n, kv_num_heads: 1n, local_window_size: 2n },
      3,
      microsoft,
    ),
  ],
  // The derivative of a derivative.
  "ai.onnx.preview.training.Gradient": [several([m, F([4])], [
    ["Mul", "x0 x1", "a"],
    ["Sin", "a", "b"],
    ["Gradient", "x0 x1", "y0 y1", { xs: ["x0", "x1"], y: "b" }],
  ], { domain: "ai.onnx.preview.training" })],
};
