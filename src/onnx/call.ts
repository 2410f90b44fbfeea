/**
 * A node while it runs: its inputs, its attributes, and what an operator may ask of both.
 *
 * @module
 */
import { show } from "../core/show.ts";
import type { DeviceName } from "../backends/contract.ts";
import type { DataArray } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { normalizeAxis, sizeOf } from "../core/shape.ts";
import { Tensor } from "../ops/mod.ts";
import { toNumbers } from "../tensor/mod.ts";
import type { Budget } from "./budget.ts";
import type { Holders } from "./holders.ts";
import type { AttributeValue, GraphMessage, NodeMessage, TensorMessage, ValueType } from "./messages.ts";
import type { OnnxType } from "./types.ts";
import { describe, type TensorValue, type TextValue, type Value, valueOf } from "./values.ts";

/** What a run gives its nodes beside their inputs. */
export interface Surroundings {
  readonly device: DeviceName;
  /** Runs a graph of an attribute in the scope of the node. */
  readonly run: (graph: GraphMessage, inputs: readonly Value[]) => Promise<Value[]>;
  /** A tensor of an attribute. */
  readonly tensor: (t: TensorMessage) => Promise<Value>;
  /** What the run may spend. */
  readonly budget: Budget;
  /** The value `name` that nodes before this one of the same graph give, computed anew from values of these names. */
  readonly replay: (name: string, given: ReadonlyMap<string, Value>) => Promise<Value>;
  /** Who holds what the node makes in more than one turn. */
  readonly holders: () => Holders;
}

/** What an operator gives: a tensor of its first input's type, values, or a list of these, one an output. */
export type Result = Tensor | Value | null;
export type Results = Result | readonly Result[];

const decoder = new TextDecoder();

/** A node with the values of its inputs. */
export class Call {
  readonly node: NodeMessage;
  readonly inputs: readonly (Value | null)[];
  /** The version of its domain's operators that the model speaks. */
  readonly opset: number;
  readonly around: Surroundings;
  readonly #host: ReadonlyMap<number, DataArray>;

  constructor(
    node: NodeMessage,
    inputs: readonly (Value | null)[],
    opset: number,
    around: Surroundings,
    host: ReadonlyMap<number, DataArray>,
  ) {
    this.node = node;
    this.inputs = inputs;
    this.opset = opset;
    this.around = around;
    this.#host = host;
  }

  /** The same node with other inputs, whose elements in JavaScript are those of `host` where it has them. */
  replaced(inputs: readonly (Value | null)[], host: ReadonlyMap<number, DataArray>): Call {
    return new Call(this.node, inputs, this.opset, this.around, new Map([...this.#host, ...host]));
  }

  /** An error in this node. */
  fail(reason: string): FormatError {
    return new FormatError(`${nodeName(this.node)} (opset ${this.opset}): ${reason}`);
  }

  /**
   * Before a list of so many entries is made in JavaScript, as many as a file says.
   * @throws {DeviceError} where the run may not hold them.
   */
  room(entries: number): void {
    this.around.budget.before(8 * entries);
  }

  /** Whether input `i` is given. */
  has(i: number): boolean {
    return (this.inputs[i] ?? null) !== null;
  }

  /** Input `i`. */
  value(i: number): Value {
    const value = this.inputs[i] ?? null;
    if (value === null) throw this.fail(`input ${i} is missing`);
    return value;
  }

  /** Input `i`, a tensor with its type. */
  typed(i: number): TensorValue {
    const value = this.value(i);
    if (value.kind !== "tensor") throw this.fail(`input ${i} is ${describe(value)}, expected a tensor`);
    return value;
  }

  /** Input `i`, a tensor. */
  t(i: number): Tensor {
    return this.typed(i).tensor;
  }

  /** Input `i`, or null when it is left out. */
  maybe(i: number): Tensor | null {
    return this.has(i) ? this.t(i) : null;
  }

  /** The element type of input `i`. */
  type(i: number): OnnxType {
    return this.typed(i).type;
  }

  /** Input `i`, texts. */
  texts(i: number): TextValue {
    const value = this.value(i);
    if (value.kind !== "texts") throw this.fail(`input ${i} is ${describe(value)}, expected texts`);
    return value;
  }

  /** Every input, tensors. */
  tensors(): Tensor[] {
    return this.inputs.map((_, i) => this.t(i));
  }

  /** The elements of input `i` in JavaScript; the operator's row names it in `host`. */
  host(i: number): DataArray {
    const data = this.#host.get(i);
    if (!data) throw this.fail(`input ${i} is missing`);
    return data;
  }

  /** The elements of input `i` as numbers. */
  numbers(i: number): number[] {
    return Array.from(toNumbers(this.host(i), this.t(i).dtype));
  }

  /** The elements of input `i` as numbers, or null when it is left out. */
  maybeNumbers(i: number): number[] | null {
    return this.has(i) ? this.numbers(i) : null;
  }

  /** The one element of input `i`. */
  number(i: number): number {
    if (sizeOf(this.t(i).shape) !== 1) {
      throw this.fail(`input ${i} is ${describe(this.value(i))}, expected one number`);
    }
    return this.numbers(i)[0];
  }

  #attribute<K extends AttributeValue["kind"]>(
    name: string,
    kind: K,
  ): (AttributeValue & { readonly kind: K })["value"] | undefined {
    const found = this.node.attributes.get(name);
    if (found === undefined) return undefined;
    if (found.kind !== kind) throw this.fail(`attribute ${name} is of kind ${found.kind}, expected ${kind}`);
    return found.value as never;
  }

  /** Whether attribute `name` is given. */
  said(name: string): boolean {
    return this.node.attributes.has(name);
  }

  /** An integer attribute. */
  int(name: string, missing: number): number {
    const value = this.#attribute(name, "int");
    return value === undefined ? missing : Number(value);
  }

  /** A float attribute. */
  float(name: string, missing: number): number {
    return this.#attribute(name, "float") ?? missing;
  }

  /** A text attribute, one of `known` where they are given. */
  text(name: string, missing: string, known?: readonly string[]): string {
    const value = this.#attribute(name, "text");
    const text = value === undefined ? missing : decoder.decode(value);
    if (known && !known.includes(text)) {
      throw this.fail(`attribute ${name} is ${show(text)}, expected ${known.join(", ")}`);
    }
    return text;
  }

  /** An attribute of integers. */
  ints(name: string): number[] | null {
    return this.#attribute(name, "ints")?.map(Number) ?? null;
  }

  /** An attribute of floats. */
  floats(name: string): number[] | null {
    return this.#attribute(name, "floats") ?? null;
  }

  /** An attribute of texts. */
  strings(name: string): string[] | null {
    return this.#attribute(name, "texts")?.map((bytes) => decoder.decode(bytes)) ?? null;
  }

  /** A graph of an attribute. */
  graph(name: string): GraphMessage {
    const graph = this.#attribute(name, "graph");
    if (!graph) throw this.fail(`attribute ${name}, a graph, is missing`);
    return graph;
  }

  /** A tensor of an attribute. */
  tensor(name: string): TensorMessage | undefined {
    return this.#attribute(name, "tensor");
  }

  /** A type of an attribute. */
  typeAttribute(name: string): ValueType | undefined {
    return this.#attribute(name, "type");
  }

  /** An axis, counted from the front. */
  axis(name: string, missing: number, rank: number): number {
    return normalizeAxis(this.int(name, missing), rank, nodeName(this.node));
  }

  /** Numbers that older opsets have as an attribute and newer as input `i`; null when neither is there. */
  list(i: number, name: string): number[] | null {
    return this.has(i) ? this.numbers(i) : this.ints(name);
  }
}

/** What an operator gave, as values. */
export function asValues(result: Results, call: Call): (Value | null)[] {
  const list = Array.isArray(result) ? result : [result];
  return list.map((one) => {
    if (one instanceof Tensor) {
      const type = call.inputs[0]?.kind === "tensor" ? call.inputs[0] : null;
      return type && type.tensor.dtype === one.dtype ? valueOf(one, type.type) : valueOf(one);
    }
    return one as Value | null;
  });
}

/** What a node is called in messages. */
export function nodeName(node: NodeMessage): string {
  const operator = node.domain ? `${node.domain}.${node.operator}` : node.operator;
  return `node "${node.name || node.outputs[0] || "?"}" (${operator})`;
}

/**
 * Why no gradient flows through an operator: it gives truth values, positions, whole numbers, texts, sizes of what it is
 * given, numbers that follow from attributes and sizes alone, random numbers, or a function that is flat but for its steps.
 */
export type NoGradient = "truth" | "positions" | "integers" | "texts" | "sizes" | "fixed" | "random" | "flat";

/** How an operator runs. */
export interface Operator {
  /** The opset versions at which it changed, the first the one that it came with. */
  readonly since: readonly number[];
  /** Inputs whose elements decide on shapes: they are read into JavaScript first. "all" is every tensor. */
  readonly host?: readonly number[] | "all";
  /** Why no gradient flows through it; left out where one does. */
  readonly noGradient?: NoGradient;
  /** Whether it may wait: for a graph that it runs, for values that it reads. */
  readonly waits?: boolean;
  readonly run: (call: Call) => Results | Promise<Results>;
}

/** Operators by name. */
export type OperatorTable = Readonly<Record<string, Operator>>;
