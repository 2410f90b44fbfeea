/**
 * A graph as it grows: nodes in the order they run, tensors of its file, sizes that are computed in it.
 *
 * A node that was made before, of the same operator, inputs and attributes, is not made again.
 *
 * @module
 */
import type { DType } from "../../core/dtype.ts";
import type {
  AttributeValue,
  GraphMessage,
  ModelMessage,
  NodeMessage,
  TensorMessage,
  ValueMessage,
} from "../messages.ts";
import { codeOf, typeOfDType } from "../types.ts";
import { type Formula, isFixed, same, type Size, type Symbols } from "./sizes.ts";

/** An attribute as it is written here. */
export type Attribute = number | bigint | string | readonly bigint[] | TensorMessage;

/** The bytes of a tensor of the file, asked for when it is written. */
export type TensorSource = () => Uint8Array | Promise<Uint8Array>;

const encoder = new TextEncoder();

function attributeOf(value: Attribute): AttributeValue {
  if (typeof value === "number") return { kind: "float", value };
  if (typeof value === "bigint") return { kind: "int", value };
  if (typeof value === "string") return { kind: "text", value: encoder.encode(value) };
  return Array.isArray(value)
    ? { kind: "ints", value: [...value as readonly bigint[]] }
    : { kind: "tensor", value: value as TensorMessage };
}

/** The last that a slice may name. */
export const endOfAxis = 9223372036854775807n;

/** A tensor of a file without its elements. */
export function tensorMessage(name: string, dtype: DType, dims: readonly number[]): TensorMessage {
  return {
    name,
    dims: [...dims],
    code: codeOf(typeOfDType(dtype)),
    raw: null,
    numbers: [],
    longs: [],
    texts: [],
    external: null,
  };
}

/** Numbers as bytes of a dtype, little end first. */
export function bytesOfNumbers(values: readonly (number | bigint)[], dtype: DType): Uint8Array {
  const width = dtype === "i64" || dtype === "f64" ? 8 : dtype === "bool" || dtype === "u8" ? 1 : 4;
  const view = new DataView(new ArrayBuffer(width * values.length));
  values.forEach((value, i) => {
    if (dtype === "i64") view.setBigInt64(8 * i, BigInt(value), true);
    else if (dtype === "f64") view.setFloat64(8 * i, Number(value), true);
    else if (dtype === "i32") view.setInt32(4 * i, Number(value), true);
    else if (width === 1) view.setUint8(i, Number(value));
    else view.setFloat32(4 * i, Number(value), true);
  });
  return new Uint8Array(view.buffer);
}

/** A graph; see the module's comment. */
export class GraphBuilder {
  /** The sizes that differ from run to run. */
  readonly symbols: Symbols;
  /** The version of the operators. */
  readonly opset: number;
  /** Whether ONNX Runtime's own operators (`com.microsoft`) are used. */
  readonly contribOps: boolean;
  /** Where the elements of each tensor come from. */
  readonly sources = new Map<TensorMessage, TensorSource>();
  readonly #nodes: NodeMessage[] = [];
  readonly #tensors: TensorMessage[] = [];
  readonly #inputs: ValueMessage[] = [];
  readonly #outputs: ValueMessage[] = [];
  readonly #known = new Map<string, string[]>();
  readonly #constants = new Map<string, string>();
  readonly #names = new Set<string>();
  readonly #symbolNames: string[] = [];
  readonly #domains = new Map<string, number>();
  readonly #makers = new Map<string, NodeMessage>();
  readonly #instead = new Map<string, string>();
  #count = 0;

  /** Nothing yet. */
  constructor(symbols: Symbols, opset: number, contribOps = false) {
    this.symbols = symbols;
    this.opset = opset;
    this.contribOps = contribOps;
  }

  /** A name that nothing has yet, like `wanted`. */
  name(wanted: string): string {
    let name = wanted;
    for (let i = 1; this.#names.has(name); i++) name = `${wanted}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** An input of the model. */
  input(name: string, dtype: DType, shape: readonly Size[]): void {
    this.#inputs.push({ name, type: this.#type(dtype, shape) });
    shape.forEach((size, axis) => {
      const at = this.symbols.list.findIndex((symbol) => same(symbol.size, size));
      if (at < 0 || this.#symbolNames[at] !== undefined) return;
      const all = this.node("Shape", [name]);
      this.#symbolNames[at] = this.node("Gather", [all, this.longs([axis])], { axis: 0n });
    });
  }

  /** Makes the value `from` an output of the model. */
  output(name: string, from: string, dtype: DType, shape: readonly Size[]): void {
    this.#push("Identity", [from], [name], {}, "");
    this.#outputs.push({ name, type: this.#type(dtype, shape) });
  }

  #type(dtype: DType, shape: readonly Size[]): ValueMessage["type"] {
    const dims = shape.map((size) => {
      if (isFixed(size)) return size[0];
      const symbol = this.symbols.list.find((symbol) => same(symbol.size, size));
      return symbol ? symbol.name : this.#textOf(this.symbols.formula(size));
    });
    return { kind: "tensor", code: codeOf(typeOfDType(dtype)), shape: dims, of: null };
  }

  /** A formula as a name of a size, as in "past_sequence_length + sequence_length". */
  #textOf({ constant, factors, times }: Formula): string {
    const terms = factors.flatMap((factor, i) => {
      const { name } = this.symbols.list[i];
      return factor === 0 ? [] : [factor === 1 ? name : `${factor}*${name}`];
    });
    if (constant !== 0) terms.push(String(constant));
    const own = terms.join(" + ");
    return times ? `(${own})*(${this.#textOf(times)})` : own;
  }

  /** A tensor of the file; its elements are asked for when it is written. */
  weight(wanted: string, dtype: DType, dims: readonly number[], source: TensorSource): string {
    const name = this.name(wanted), message = tensorMessage(name, dtype, dims);
    this.#tensors.push(message);
    this.sources.set(message, source);
    return name;
  }

  /** Numbers that are always the same; equal ones are stored once. */
  constant(dtype: DType, dims: readonly number[], values: readonly (number | bigint)[]): string {
    const key = `${dtype} ${dims} ${values.map((v) => Object.is(v, -0) ? "-0" : v)}`,
      known = this.#constants.get(key);
    if (known !== undefined) return known;
    const bytes = bytesOfNumbers(values, dtype);
    const name = this.weight(`constant_${this.#constants.size}`, dtype, dims, () => bytes);
    this.#constants.set(key, name);
    return name;
  }

  /** i64 numbers in a list. */
  longs(values: readonly (number | bigint)[]): string {
    return this.constant("i64", [values.length], values);
  }

  /** Adds a node, and gives the name of its first output. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
  ): string {
    return this.nodes(operator, inputs, attributes, 1, domain)[0];
  }

  /** Adds a node with several outputs. */
  nodes(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    count: number,
    domain = "",
  ): string[] {
    const isDrawn = operator.startsWith("Random");
    const text = Object.entries(attributes).map(([name, value]) =>
      `${name}=${typeof value === "object" && "dims" in value ? value.name : String(value)}`
    );
    const key = `${domain}.${operator}(${inputs}) ${text} ${count}`, known = this.#known.get(key);
    if (known && !isDrawn) return known;
    const outputs = Array.from({ length: count }, () => this.name(`${operator}_${this.#count++}`));
    this.#push(operator, inputs, outputs, attributes, domain);
    this.#known.set(key, outputs);
    return outputs;
  }

  #push(
    operator: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    domain: string,
  ): void {
    if (domain) this.#domains.set(domain, 1);
    const node: NodeMessage = {
      name: outputs[0],
      operator,
      domain,
      inputs: inputs.map((name) => this.#instead.get(name) ?? name),
      outputs: [...outputs],
      attributes: new Map(Object.entries(attributes).map(([name, value]) => [name, attributeOf(value)])),
    };
    this.#nodes.push(node);
    for (const name of outputs) this.#makers.set(name, node);
  }

  /** The node that gives the value `name`; undefined for inputs and tensors of the file. */
  maker(name: string): NodeMessage | undefined {
    return this.#makers.get(name);
  }

  /** Nodes that are added from now on have `other` where they are given `name`. */
  instead(name: string, other: string): void {
    this.#instead.set(name, other);
  }

  /** A size as i64 [1]. */
  size(size: Size): string {
    return isFixed(size) ? this.longs([size[0]]) : this.#compute(this.symbols.formula(size));
  }

  #compute({ constant, factors, times }: Formula): string {
    let sum: string | null = null;
    factors.forEach((factor, i) => {
      if (factor === 0) return;
      const symbol = this.#symbolNames[i];
      const term = factor === 1 ? symbol : this.node("Mul", [symbol, this.longs([factor])]);
      sum = sum === null ? term : this.node("Add", [sum, term]);
    });
    if (sum === null) sum = this.longs([constant]);
    else if (constant !== 0) sum = this.node("Add", [sum, this.longs([constant])]);
    return times ? this.node("Mul", [sum, this.#compute(times)]) : sum;
  }

  /** A list of sizes as i64 [their number]. */
  sizes(list: readonly Size[]): string {
    if (list.every(isFixed)) return this.longs(list.map((size) => size[0]));
    return list.length === 1
      ? this.size(list[0])
      : this.node("Concat", list.map((size) => this.size(size)), { axis: 0n });
  }

  /** A size as a number (no dims). */
  scalarSize(size: Size, dtype: DType = "i64"): string {
    if (isFixed(size)) return this.constant(dtype, [], [size[0]]);
    const long = this.node("Squeeze", [this.size(size), this.longs([0])]);
    return dtype === "i64" ? long : this.cast(long, dtype);
  }

  /** `x` as another type. */
  cast(x: string, dtype: DType): string {
    return this.node("Cast", [x], { to: BigInt(codeOf(typeOfDType(dtype))) });
  }

  /** `x` of dims `from` in dims `to`. */
  reshape(x: string, from: readonly Size[], to: readonly Size[]): string {
    if (from.length === to.length && from.every((size, i) => same(size, to[i]))) return x;
    const isKept = to.map((size, i) => i < from.length && !isFixed(size) && same(size, from[i]));
    const open = to.filter((size, i) => !isFixed(size) && !isKept[i]).length;
    const isSafe = to.every((size, i) =>
      isKept[i] || (isFixed(size) && size[0] > 0) || this.symbols.isPositive(size)
    );
    const canInfer = open === 0 || (open === 1 && to.every((size) => this.symbols.isPositive(size)));
    if (isSafe && canInfer) {
      // 0 is the size that is there, -1 what is left.
      return this.node("Reshape", [
        x,
        this.longs(to.map((size, i) => isFixed(size) ? size[0] : isKept[i] ? 0 : -1)),
      ]);
    }
    return this.node("Reshape", [x, this.sizes(to)], { allowzero: 1n });
  }

  /** `x` of dims `from` spread over dims `to`. */
  expand(x: string, from: readonly Size[], to: readonly Size[]): string {
    if (from.length === to.length && from.every((size, i) => same(size, to[i]))) return x;
    return this.node("Expand", [x, this.sizes(to)]);
  }

  /** `x` with its axes in the order of `perm`. */
  transpose(x: string, perm: readonly number[]): string {
    return perm.every((axis, i) => axis === i) ? x : this.node("Transpose", [x], { perm: perm.map(BigInt) });
  }

  /** The whole numbers `start + i · step` from i = 0 to before `count`, [count]. */
  range(start: Size, step: Size, count: Size, dtype: DType): string {
    const end = start.map((n, k) => n + step[k] * count[k]);
    return this.node("Range", [start, end, step].map((size) => this.scalarSize(size, dtype)));
  }

  /** The model, without what no output needs. */
  model(
    name: string,
    producer: string,
    description: string,
    metadata: ReadonlyMap<string, string>,
  ): ModelMessage {
    const needed = new Set(this.#outputs.map((output) => output.name)), nodes: NodeMessage[] = [];
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((output) => needed.has(output))) continue;
      nodes.push(node);
      for (const input of node.inputs) needed.add(input);
    }
    nodes.reverse();
    const initializers = this.#tensors.filter((tensor) => needed.has(tensor.name));
    const graph: GraphMessage = {
      name,
      nodes,
      initializers,
      inputs: this.#inputs,
      outputs: this.#outputs,
      values: [],
      sparse: false,
    };
    return {
      irVersion: this.opset >= 23 ? 11 : this.opset >= 21 ? 10 : 8,
      producer,
      description,
      metadata: new Map(metadata),
      opsets: new Map([["", this.opset], ...this.#domains]),
      graph,
      functions: [],
    };
  }
}
