/**
 * A graph as a program: traced, fused and planned as `compile` does it with any function of tensors.
 *
 * What decides on shapes is read into JavaScript, which a program cannot wait for. So the graph is looked through: what such
 * readings follow from (constants, sizes, small inputs) is *settled* for a program and computed by a first, ordinary run; the rest
 * is the program. It is for inputs of the same shapes, and of the same values where these were read.
 *
 * @module
 */
import type { DataArray } from "../core/dtype.ts";
import { CaptureError } from "../core/errors.ts";
import { isFloat } from "../core/dtype.ts";
import { full, type Tensor } from "../ops/mod.ts";
import { compile, noGrad } from "../tensor/mod.ts";
import { Budget } from "./budget.ts";
import { Call, nodeName } from "./call.ts";
import { asValues, type Kept, type RunContext, usesOf } from "./execute.ts";
import { Holders } from "./holders.ts";
import type { GraphMessage, NodeMessage } from "./messages.ts";
import { operatorOf } from "./operators/table.ts";
import { type TensorValue, type Value, valueOf } from "./values.ts";

/** Operators that look at nothing but sizes. */
const ofSizes: readonly string[] = ["Shape", "Size"];

/** What of a graph is settled before it is a program. */
export interface Settled {
  /** Tells it from that of other graphs. */
  readonly id: string;
  /** Names whose values are settled. */
  readonly names: ReadonlySet<string>;
  /** Those of them that are inputs of the graph. */
  readonly inputs: readonly string[];
  /** The nodes of the program. */
  readonly nodes: readonly NodeMessage[];
}

function readOf(node: NodeMessage): string[] {
  const host = operatorOf(node.domain, node.operator)?.host ?? [];
  const list = host === "all" ? node.inputs : host.map((i) => node.inputs[i] ?? "");
  return list.filter(Boolean);
}

let graphs = 0;

/** What of `graph` is settled; `constants` are the values of its file. @throws {CaptureError} for what is no program. */
export function settle(
  graph: GraphMessage,
  constants: ReadonlyMap<string, Value>,
  { functions }: RunContext,
): Settled {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const needed = new Set<string>(), open = graph.nodes.flatMap(readOf);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (needed.has(name)) continue;
    needed.add(name);
    const maker = makers.get(name);
    if (maker && !ofSizes.includes(maker.operator)) open.push(...usesOf(maker));
  }
  const names = new Set<string>(), nodes: NodeMessage[] = [];
  for (const [name, value] of constants) {
    if (needed.has(name) || value.kind !== "tensor" || !isFloat(value.tensor.dtype)) names.add(name);
  }
  const inputs = graph.inputs.map(({ name }) => name).filter((name) =>
    needed.has(name) && !constants.has(name)
  );
  for (const name of inputs) names.add(name);
  for (const node of graph.nodes) {
    const operator = operatorOf(node.domain, node.operator), isRandom = operator?.noGradient === "random";
    const isSettled = !isRandom &&
      (ofSizes.includes(node.operator) && node.domain === "" ||
        usesOf(node).every((name) => names.has(name)));
    if (isSettled) { for (const name of node.outputs) names.add(name); }
    else nodes.push(node);
  }
  for (const node of nodes) {
    const unsettled = readOf(node).find((name) => !names.has(name));
    if (unsettled !== undefined) throw refused(node, `it reads "${unsettled}", which is drawn at random`);
    if (functions.has(`${node.domain}:${node.operator}`)) {
      throw refused(node, "it is a function of the model's own");
    }
    const hasGraph = [...node.attributes.values()].some(({ kind }) => kind === "graph");
    if (hasGraph) throw refused(node, "which of its graphs is run, or how often, depends on values");
  }
  return { id: `${++graphs}`, names, inputs, nodes };
}

/** Why a node cannot be part of a program. */
export function refused(node: NodeMessage, reason: string): CaptureError {
  return new CaptureError(
    `run: ${nodeName(node)} cannot be part of a program: ${reason}; run the model without compiled`,
  );
}

/** Runs `f`; what no program does is said of the node. */
function within<T>(node: NodeMessage, f: () => T): T {
  try {
    return f();
  } catch (error) {
    if (error instanceof CaptureError && !error.message.startsWith("run: ")) {
      throw refused(node, error.message.split(" cannot be part")[0]);
    }
    throw error;
  }
}

/** A value as what `compile` gives: tensors, in lists. */
type Tree = Tensor | readonly Tree[] | null;
type Form = { readonly type: Value & { kind: "tensor" } } | readonly Form[] | null;

function treeOf(value: Value): Tree {
  if (value.kind === "tensor") return value.tensor;
  if (value.kind === "sequence") return value.items.map(treeOf);
  if (value.kind === "texts") {
    throw new CaptureError("run: the model gives texts, which are no part of a program");
  }
  return null;
}

function formOf(value: Value): Form {
  if (value.kind === "tensor") return { type: value };
  return value.kind === "sequence" ? value.items.map(formOf) : null;
}

function valueAs(tree: Tree, form: Form): Value {
  if (tree === null || form === null) return { kind: "nothing" };
  if (Array.isArray(tree)) {
    return {
      kind: "sequence",
      items: (tree as readonly Tree[]).map((item, i) => valueAs(item, (form as readonly Form[])[i])),
    };
  }
  return valueOf(tree as Tensor, (form as { type: Value & { kind: "tensor" } }).type.type);
}

/** A tensor of one number as what every program takes into its expressions. */
function asNumber({ tensor, type }: TensorValue, number: number): Value {
  return valueOf(full(tensor.shape, number, { dtype: tensor.dtype, device: tensor.device }), type);
}

/** A graph for inputs of some shapes. */
export class GraphProgram {
  readonly #inputs: readonly string[];
  readonly #run: (...given: Tensor[]) => Tree;
  readonly #versions: readonly (readonly [Tensor, number])[];
  #forms: Form[] = [];

  /** Of the inputs by these names, which are not settled; `kept` holds what is. */
  constructor(
    graph: GraphMessage,
    settled: Settled,
    inputs: readonly string[],
    constants: ReadonlyMap<string, Value>,
    kept: Kept,
    context: RunContext,
  ) {
    this.#inputs = inputs;
    const read = [...settled.names, ...kept.numbers.keys()].flatMap((name) => {
      const value = constants.get(name);
      return value?.kind === "tensor" ? [value.tensor] : [];
    });
    this.#versions = read.map((t) => [t, t.storage.version]);
    this.#run = compile((...given: Tensor[]): Tree => {
      const names = new Map([...constants, ...kept.values]);
      for (const [name, number] of kept.numbers) {
        names.set(name, asNumber(names.get(name) as TensorValue, number));
      }
      inputs.forEach((name, i) => {
        const as = kept.types.get(name);
        names.set(name, valueOf(given[i], as));
      });
      const results = evaluate(graph, settled.nodes, names, kept.hosts, context);
      this.#forms = results.map(formOf);
      return results.map(treeOf);
    });
  }

  /** Whether what was settled of the model's own tensors is still so. */
  get isCurrent(): boolean {
    return this.#versions.every(([t, version]) => t.storage.version === version);
  }

  /** The outputs for inputs by name. */
  run(names: ReadonlyMap<string, Value>): Value[] {
    const given = this.#inputs.map((name) => (names.get(name) as Value & { kind: "tensor" }).tensor);
    const trees = noGrad(() => this.#run(...given)) as readonly Tree[];
    return trees.map((tree, i) => valueAs(tree, this.#forms[i]));
  }
}

/** The outputs of a graph whose settled values are in `names`. */
function evaluate(
  graph: GraphMessage,
  nodes: readonly NodeMessage[],
  names: Map<string, Value>,
  hosts: ReadonlyMap<string, DataArray>,
  { device, opsets, tensor }: RunContext,
): Value[] {
  const budget = new Budget(Infinity, Infinity);
  for (const node of nodes) {
    const inputs = node.inputs.map((name) => name === "" ? null : names.get(name) ?? null);
    const devices = new Set(inputs.flatMap((value) => value?.kind === "tensor" ? [value.tensor.device] : []));
    if (devices.size > 1) throw refused(node, `its inputs are on ${[...devices].join(" and ")}`);
    const never = (): never => {
      throw refused(node, "it runs a graph");
    };
    const around = {
      device,
      budget,
      tensor,
      run: never,
      replay: never,
      holders: () => new Holders(new Set()),
    };
    const host = new Map<number, DataArray>();
    node.inputs.forEach((name, i) => {
      const data = hosts.get(name);
      if (data) host.set(i, data);
    });
    const call = new Call(node, inputs, opsets.get(node.domain) ?? 1, around, host);
    const result = within(node, () => operatorOf(node.domain, node.operator)!.run(call));
    if (result instanceof Promise) {
      result.catch(() => {});
      throw refused(node, "it waits for values");
    }
    asValues(result, call).forEach((value, i) => {
      if (value !== null && node.outputs[i]) names.set(node.outputs[i], value);
    });
  }
  return graph.outputs.map(({ name }) => names.get(name)!);
}
