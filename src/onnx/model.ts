/**
 * A model of a file: what it takes and gives, its weights, and a run.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { type DataArray, isFloat } from "../core/dtype.ts";
import { DTypeError, FormatError, OptionError, ShapeError } from "../core/errors.ts";
import { demand, demandNoMore } from "../core/demand.ts";
import * as kinds from "../core/kinds.ts";
import { hint } from "../core/nearest.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { listed, show } from "../core/show.ts";
import { formatShape } from "../core/shape.ts";
import { reshape, Tensor } from "../ops/mod.ts";
import { backendOf } from "../tensor/mod.ts";
import { Budget, usualMemory, usualSteps } from "./budget.ts";
import { checkModel } from "./check.ts";
import { graphBody, moveTensor, runBody, type RunContext } from "./execute.ts";
import {
  functionKey,
  type ModelMessage,
  type NodeMessage,
  type TensorMessage,
  type ValueMessage,
  type ValueType,
} from "./messages.ts";
import { bytesOf, modelBytes } from "./model_writer.ts";
import { Programs } from "./programs.ts";
import { readTensorValue, type TensorFiles } from "./tensors.ts";
import { bitsOf, heldAs, narrowRange, type OnnxType, smallFloatValues, typeOfCode } from "./types.ts";
import {
  checkTexts,
  deviceFor,
  elements,
  nothing,
  type OnnxStrings,
  tensorsOf,
  type Value,
  valueOf,
} from "./values.ts";

/**
 * An input or output of an ONNX model.
 *
 * @category ONNX
 */
export interface OnnxEdge {
  /** Its name. */
  readonly name: string;
  /** ONNX's name for what it is: `float`, `int64`, `string`, `sequence(float)`, `optional(…)`. */
  readonly type: string;
  /** Sizes of its dims: a number, a name for one that is the caller's, null where nothing is said; null for any shape. */
  readonly shape: readonly (number | string | null)[] | null;
}

/**
 * What goes into an ONNX model and comes out: a tensor; texts; a list for a sequence; null for an optional that holds
 * nothing.
 *
 * @category ONNX
 */
export type OnnxValue = Tensor | OnnxStrings | null | readonly OnnxValue[];

function typeText(type: ValueType): string {
  if (type.kind === "tensor") return typeOfCode(type.code) ?? `type ${type.code}`;
  return type.of ? `${type.kind}(${typeText(type.of)})` : type.kind;
}

/** An input or output as it is told. */
export function edgeOf({ name, type }: ValueMessage): OnnxEdge {
  return {
    name,
    type: typeText(type),
    shape: type.kind === "optional" && type.of ? type.of.shape : type.shape,
  };
}

/** Options of a model that is read. */
export interface OnnxOptions {
  /** Where it computes. Default: the default device. f64 is computed on the reference device. */
  device?: DeviceName;
}

/**
 * Options of a run of an ONNX model.
 *
 * @category ONNX
 */
export interface OnnxRunOptions {
  /** Ends the run between two nodes. */
  readonly signal?: AbortSignal;
  /** Nodes that are run and turns of loops at most, from 1. Default: 2^19, and 2^14 for each node of the file. */
  readonly maxSteps?: number;
  /**
   * Bytes that the run may hold of its own at one time, those of the outputs among them and those of weights and inputs not; each
   * tensor counts 512 more. Default: what the device may take, where `setMaxMemory` said it; else 512 MiB and 64 times
   * the bytes of weights and inputs.
   */
  readonly maxMemory?: number;
  /**
   * As a program: the first run with inputs of some shapes is an ordinary one, the next ones do what it did, fused and planned as
   * `compile` does it. What decides on shapes, branches and turns of loops (a list of sizes, a count, an input of at most 64 elements)
   * is part of the program, which is for these values then. Without gradients. Default false.
   */
  readonly compiled?: boolean;
}

const runOptions: OptionTable<OnnxRunOptions> = {
  signal: kinds.abortSignal,
  maxSteps: kinds.whole(1),
  maxMemory: kinds.called("a number of bytes from 1", kinds.number({ from: 1 })),
  compiled: kinds.flag,
};

/**
 * An ONNX model: a graph of operators that is run on tensors, with gradients.
 *
 * @category ONNX
 */
export class OnnxModel {
  /** What it takes, without what its file gives a value. */
  readonly inputs: readonly OnnxEdge[];
  /** What it gives. */
  readonly outputs: readonly OnnxEdge[];
  /** The versions of the operators that it speaks, by domain; "" is ONNX's own. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Texts that its file keeps for programs. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How many nodes there are of each operator. */
  readonly operators: ReadonlyMap<string, number>;
  readonly #message: ModelMessage;
  readonly #constants: Map<string, Value>;
  readonly #context: RunContext;
  readonly #usualSteps: number;
  readonly #programs: Programs;
  #weightBytes: number | null = null;

  /**
   * Use `Onnx.load`.
   * @throws {OptionError} for what `Onnx.load` does not read.
   */
  constructor(message: ModelMessage, constants: Map<string, Value>, context: RunContext) {
    demandNoMore(arguments, 3, "OnnxModel");
    const isRead = Array.isArray(message?.graph?.nodes) && constants instanceof Map &&
      context?.opsets instanceof Map;
    demand("Onnx", "what was read", message, isRead, "what Onnx.load reads; use it");
    this.#message = message;
    this.#constants = constants;
    this.#context = context;
    this.#programs = new Programs(message.graph, constants, context);
    const { graph, opsets, metadata } = message;
    this.inputs = graph.inputs.filter(({ name }) => !constants.has(name)).map(edgeOf);
    this.outputs = graph.outputs.map(edgeOf);
    this.opsets = opsets;
    this.metadata = metadata;
    const count = new Map<string, number>();
    for (const { domain, operator } of graph.nodes) {
      const name = domain ? `${domain}.${operator}` : operator;
      count.set(name, (count.get(name) ?? 0) + 1);
    }
    this.operators = count;
    let nodes = 0;
    for (const list of nodeLists(message)) nodes += list.length;
    this.#usualSteps = usualSteps.steps + usualSteps.aNode * nodes;
  }

  /** Its weights by name: the tensors of its file that hold floats. With `requiresGrad` they can be trained. */
  parameters(): Map<string, Tensor> {
    demandNoMore(arguments, 0, "parameters");
    const found = new Map<string, Tensor>();
    for (const [name, value] of this.#constants) {
      if (value.kind === "tensor" && isFloat(value.tensor.dtype)) found.set(name, value.tensor);
    }
    return found;
  }

  /** All tensors of its file by name, those without floats too. */
  initializers(): Map<string, Tensor> {
    demandNoMore(arguments, 0, "initializers");
    const found = new Map<string, Tensor>();
    for (const [name, value] of this.#constants) if (value.kind === "tensor") found.set(name, value.tensor);
    return found;
  }

  /**
   * Computes its outputs by name. Tensors of types that this library does not have come in the next wider dtype: int8,
   * int16 and uint16 as i32, uint32 as i64; uint64 as the same 64 bits in i64. An input of such a type is given so too.
   *
   * What a run may spend is bounded, see {@link OnnxRunOptions}: a small file can ask for any time and memory.
   *
   * @throws {OptionError} for an input that is missing or unknown.
   * @throws {DTypeError} for one of another dtype than the model asks for.
   * @throws {ShapeError} for one that is not what the model asks for.
   * @throws {FormatError} for a node that cannot compute what it was given, and where it takes more than `maxSteps`.
   * @throws {DeviceError} naming the node that would make more than `maxMemory`.
   * @throws {CancelledError} by `signal`.
   * @throws {CaptureError} naming a node that cannot be part of a program, where `compiled` asks for one.
   */
  async run(
    inputs: Readonly<Record<string, OnnxValue>>,
    options: OnnxRunOptions = {},
  ): Promise<Record<string, OnnxValue>> {
    const { signal, maxSteps = this.#usualSteps, maxMemory, compiled = false } = checkOptions(
      "run",
      options,
      runOptions,
    );
    demandNoMore(arguments, 2, "run");
    if (typeof inputs !== "object" || inputs === null || inputs instanceof Tensor || Array.isArray(inputs)) {
      throw new OptionError(`run: the inputs are ${show(inputs)}, expected an object with tensors by name`);
    }
    const known = this.#message.graph.inputs, names = new Map(this.#constants);
    const all = known.map(({ name }) => name);
    for (const name of Object.keys(inputs)) {
      if (!all.includes(name)) {
        throw new OptionError(`run: the model has no input "${name}"${hint(name, all)}`);
      }
    }
    const sizes = new Map<string, number>(), copies: Tensor[] = [];
    for (const { name, type } of known) {
      const given = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
      if (given === undefined) {
        if (this.#constants.has(name)) continue;
        throw new OptionError(`run: the input "${name}", ${typeText(type)}, is missing`);
      }
      names.set(name, await this.#take(name, type, given, sizes, copies));
    }
    try {
      const body = graphBody(this.#message.graph);
      const budget = new Budget(maxSteps, maxMemory ?? this.#usualMemory(names), signal);
      const results = compiled
        ? await this.#programs.run(names, budget, signal)
        : await runBody(body, names, { ...this.#context, budget });
      const own = new Set([...names.values()].flatMap((value) => [...tensorsOf(value)]));
      return Object.fromEntries(body.outputs.map((name, i) => [name, asGiven(results[i], own)]));
    } finally {
      for (const t of copies) t.dispose();
    }
  }

  /** Bytes that a run may make of these values: what the device was told that it may take, or in proportion to them. */
  #usualMemory(names: ReadonlyMap<string, Value>): number {
    const { maxMemory } = backendOf(this.#context.device);
    if (maxMemory !== Infinity) return maxMemory;
    this.#weightBytes ??= bytesHeld(this.#constants.values());
    const given = [...names].flatMap(([name, value]) => this.#constants.get(name) === value ? [] : [value]);
    return usualMemory.bytes + usualMemory.times * (this.#weightBytes + bytesHeld(given));
  }

  async #take(
    name: string,
    type: ValueType,
    given: OnnxValue,
    sizes: Map<string, number>,
    copies: Tensor[],
  ): Promise<Value> {
    const wrong = (what: string): DTypeError =>
      new DTypeError(`run: the input "${name}" is ${what}, expected ${typeText(type)}`);
    if (type.kind === "optional") {
      return given === null || !type.of ? nothing : await this.#take(name, type.of, given, sizes, copies);
    }
    if (type.kind === "sequence") {
      if (!Array.isArray(given) || !type.of) throw wrong(show(given));
      const items: Value[] = [];
      for (const item of given as readonly OnnxValue[]) {
        items.push(await this.#take(name, type.of, item, new Map(), copies));
      }
      return { kind: "sequence", items };
    }
    const element = typeOfCode(type.code);
    if (type.kind !== "tensor" || element === undefined) {
      throw new DTypeError(`run: the input "${name}" is ${typeText(type)}, which is not held here`);
    }
    if (element === "string") {
      if (typeof given !== "object" || given === null || !("data" in given) || !Array.isArray(given.data)) {
        throw wrong(`${show(given)}, not { shape, data } with texts`);
      }
      const texts = checkTexts(given as OnnxStrings, `run: the input "${name}"`);
      demandShape(name, type, texts.shape, sizes);
      return texts;
    }
    if (!(given instanceof Tensor)) throw wrong(show(given));
    const held = heldAs(element);
    if (given.dtype !== held) throw wrong(`a tensor of ${given.dtype}, not of ${held} for ${element}`);
    demandShape(name, type, given.shape, sizes);
    const range = narrowRange(element);
    if (range) {
      for (const v of await elements(given)) {
        if (v < range[0] || v > range[1]) throw wrong(`a tensor with the value ${v}`);
      }
    }
    const tensor = await moveTensor(given, deviceFor(element, this.#context.device));
    if (tensor !== given && !given.requiresGrad) copies.push(tensor);
    return valueOf(tensor, element);
  }

  /**
   * The bytes of a file with the model as it is now: its graph as it was read, its tensors with the values that they have.
   * Tensors that lay in other files are in it too.
   */
  async toBytes(): Promise<Uint8Array<ArrayBuffer>> {
    demandNoMore(arguments, 0, "toBytes");
    const contents = new Map<TensorMessage, Uint8Array | readonly Uint8Array[]>();
    const { graph } = this.#message;
    for (const t of [...graph.initializers, ...heldTensors(this.#message)]) {
      const value = graph.initializers.includes(t)
        ? this.#constants.get(t.name)!
        : await this.#context.tensor(t);
      if (value.kind === "tensor") contents.set(t, packed(await value.tensor.data(), value.type));
      else if (value.kind === "texts") {
        contents.set(
          t,
          value.data.map((text) => new TextEncoder().encode(text)),
        );
      }
    }
    return modelBytes(this.#message, (t) => contents.get(t) ?? new Uint8Array(0));
  }

  /** Frees its weights. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    this.#programs.clear();
    for (const value of this.#constants.values()) if (value.kind === "tensor") value.tensor.dispose();
  }

  /** Frees its weights at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

function demandShape(
  name: string,
  { shape }: ValueType,
  given: readonly number[],
  sizes: Map<string, number>,
): void {
  if (!shape) return;
  const fits = shape.length === given.length && shape.every((n, i) => {
    if (typeof n === "number") return n === given[i];
    if (n === null) return true;
    const known = sizes.get(n);
    sizes.set(n, given[i]);
    return known === undefined || known === given[i];
  });
  if (!fits) {
    throw new ShapeError(
      `run: the input "${name}" is ${formatShape(given)}, expected [${listed(shape.map((n) => n ?? "?"))}]`,
    );
  }
}

/** Bytes of the memory in which values lie. */
function bytesHeld(values: Iterable<Value>): number {
  const held = new Set([...values].flatMap((value) => [...tensorsOf(value)]).map((t) => t.storage));
  return [...held].reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
}

/** A value as a caller gets it; what is the caller's or the model's own comes under a handle of its own. */
function asGiven(value: Value, own: ReadonlySet<Tensor>): OnnxValue {
  if (value.kind === "tensor") {
    return own.has(value.tensor) ? reshape(value.tensor, value.tensor.shape) : value.tensor;
  }
  if (value.kind === "texts") return { shape: value.shape, data: value.data };
  return value.kind === "sequence" ? value.items.map((item) => asGiven(item, own)) : null;
}

/** Every tensor of an attribute, those of graphs in attributes too. */
function* heldTensors(model: ModelMessage): Generator<TensorMessage> {
  const lists = [...model.functions.map(({ defaults }) => defaults)];
  for (const nodes of nodeLists(model)) lists.push(...nodes.map(({ attributes }) => attributes));
  for (const { kind, value } of lists.flatMap((list) => [...list.values()])) {
    if (kind === "tensor") yield value;
    if (kind === "graph") yield* value.initializers;
  }
}

/** The nodes of the graph, of its functions, and of graphs in attributes. */
function* nodeLists(model: ModelMessage): Generator<readonly NodeMessage[]> {
  const lists = [model.graph.nodes, ...model.functions.map(({ nodes }) => nodes)];
  for (let nodes = lists.pop(); nodes; nodes = lists.pop()) {
    yield nodes;
    for (const { attributes } of nodes) {
      for (const { kind, value } of attributes.values()) if (kind === "graph") lists.push(value.nodes);
    }
  }
}

/** Elements as a file has them; small floats by the bits of their values. */
function packed(data: DataArray, type: OnnxType): Uint8Array {
  const values = smallFloatValues(type);
  if (!values) return bytesOf(data, bitsOf(type));
  const bits = (v: number): number =>
    values.findIndex((other) => Object.is(other, v) || Number.isNaN(v) && Number.isNaN(other));
  return bytesOf(Int32Array.from(data as Float32Array, bits), bitsOf(type));
}

/** Reads the weights of a model and checks that all of it can be run. */
export async function openModel<M extends OnnxModel>(
  message: ModelMessage,
  files: TensorFiles,
  device: DeviceName,
  Made: new (message: ModelMessage, constants: Map<string, Value>, context: RunContext) => M,
): Promise<M> {
  const functions = new Map(
    message.functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]),
  );
  checkModel(message, files.source.name, functions);
  const constants = new Map<string, Value>();
  for (const t of message.graph.initializers) {
    if (constants.has(t.name)) {
      throw new FormatError(`${files.source.name}: there are two tensors "${t.name}"`);
    }
    constants.set(t.name, await readTensorValue(t, files, device));
  }
  const tensor: RunContext["tensor"] = (t) => readTensorValue(t, files, device);
  return new Made(message, constants, { device, opsets: message.opsets, functions, tensor });
}
