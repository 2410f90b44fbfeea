/**
 * Running a graph: node after node, each value freed behind its last use.
 *
 * A graph of an attribute (a branch, a loop's body) sees the names of the graphs around it. A tensor may be the value of
 * several names (Identity gives its input), so tensors are counted, not names.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { DataArray } from "../core/dtype.ts";
import { CancelledError, FerrotypeError, FormatError } from "../core/errors.ts";
import { reshape, Tensor, tensor } from "../ops/mod.ts";
import { keep, tidy } from "../tensor/mod.ts";
import type { Budget } from "./budget.ts";
import { Holders } from "./holders.ts";
import { Call, nodeName, type Results, type Surroundings } from "./call.ts";
import type {
  AttributeValue,
  FunctionMessage,
  GraphMessage,
  NodeMessage,
  TensorMessage,
} from "./messages.ts";
import { operatorOf } from "./operators/table.ts";
import type { OnnxType } from "./types.ts";
import { elements, tensorsOf, type Value, valueOf } from "./values.ts";

/** What all graphs of a run share. */
export interface RunContext {
  readonly device: DeviceName;
  readonly opsets: ReadonlyMap<string, number>;
  readonly functions: ReadonlyMap<string, FunctionMessage>;
  readonly tensor: (t: TensorMessage) => Promise<Value>;
}

/** What a run keeps for a program that is made behind it. */
export interface Kept {
  /** The names whose values are kept. */
  readonly names: ReadonlySet<string>;
  readonly values: Map<string, Value>;
  /** The types of the model's inputs. */
  readonly types: Map<string, OnnxType>;
  /** Elements that were read into JavaScript, by name. */
  readonly hosts: Map<string, DataArray>;
  /** Constants and weights of one f32 number, by name. */
  readonly numbers: Map<string, number>;
  /** A node that waited for values, which no program does. */
  waited: NodeMessage | null;
}

/** What one run has beside. */
export interface Run extends RunContext {
  readonly budget: Budget;
  /** Of the model's own graph, where a program is made behind the run. */
  readonly kept?: Kept | null;
}

/** How deep graphs and functions call each other. */
const mostCalls = 64;

/** The names that a list of nodes uses from outside, graphs of attributes included. */
export function usesOf(node: NodeMessage): string[] {
  const names = node.inputs.filter((name) => name !== "");
  for (const { kind, value } of node.attributes.values()) {
    if (kind === "graph") names.push(...freeNames(value));
  }
  return names;
}

const freeOf = new WeakMap<GraphMessage, string[]>();

function freeNames(graph: GraphMessage): string[] {
  let names = freeOf.get(graph);
  if (!names) {
    const all = new Set([...graph.nodes.flatMap(usesOf), ...graph.outputs.map(({ name }) => name)]);
    freeOf.set(graph, names = [...all]);
  }
  return names;
}

/** Where names are looked up: in a graph, then around it. */
interface Scope {
  readonly names: Map<string, Value>;
  readonly outer: Scope | null;
}

function find(scope: Scope | null, name: string): Value | undefined {
  for (let at = scope; at; at = at.outer) {
    const value = at.names.get(name);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** Nodes, what they give, and the constants among them. */
export interface Body {
  readonly nodes: readonly NodeMessage[];
  readonly outputs: readonly string[];
}

const lastUses = new WeakMap<object, Map<number, string[]>>();

/** For each node the names that nothing uses behind it. */
function lastUsesOf({ nodes, outputs }: Body): Map<number, string[]> {
  let ends = lastUses.get(nodes);
  if (ends) return ends;
  const last = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of node.outputs) if (name) last.set(name, i);
    for (const name of usesOf(node)) last.set(name, i);
  });
  for (const name of outputs) last.delete(name);
  lastUses.set(nodes, ends = new Map());
  for (const [name, i] of last) {
    const list = ends.get(i) ?? [];
    list.push(name);
    ends.set(i, list);
  }
  return ends;
}

/** Runs nodes with `given` names; the caller's tensors stay the caller's. */
export async function runBody(
  body: Body,
  given: ReadonlyMap<string, Value>,
  context: Run,
  outer: Scope | null = null,
  depth = 0,
): Promise<Value[]> {
  if (depth > mostCalls) throw new FormatError(`graphs call each other more than ${mostCalls} deep`);
  const scope: Scope = { names: new Map(given), outer };
  const holders = new Holders(new Set(heldIn(scope)));
  const ends = lastUsesOf(body), made = new Set<string>(), results: Value[] = [];
  try {
    for (let i = 0; i < body.nodes.length; i++) {
      const node = body.nodes[i];
      await context.budget.step().catch((cause) => Promise.reject(inNode(cause, node)));
      const values = await runNode(body, i, scope, context, depth);
      for (const value of values) if (value) holders.hold(value);
      values.forEach((value, k) => {
        const name = node.outputs[k];
        if (value === null) return;
        if (name) {
          scope.names.set(name, value);
          made.add(name);
          if (depth === 0 && context.kept?.names.has(name)) context.kept.values.set(name, heldOn(value));
        } else holders.drop(value);
      });
      for (const name of ends.get(i) ?? []) {
        const value = scope.names.get(name);
        if (value === undefined || !made.has(name)) continue;
        holders.drop(value);
        scope.names.delete(name);
        made.delete(name);
      }
    }
    for (const name of body.outputs) {
      const value = find(scope, name);
      if (value === undefined) throw new FormatError(`nothing gives the output "${name}"`);
      results.push(value);
    }
    for (const value of results) holders.hold(value);
    return results;
  } finally {
    for (const name of made) {
      const value = scope.names.get(name);
      if (value !== undefined) holders.drop(value);
    }
  }
}

/** A value under handles of its own, which outlive the run. */
function heldOn(value: Value): Value {
  if (value.kind === "tensor") return valueOf(keep(reshape(value.tensor, value.tensor.shape)), value.type);
  return value.kind === "sequence" ? { kind: "sequence", items: value.items.map(heldOn) } : value;
}

/** Every tensor that a name stands for. */
function* heldIn(scope: Scope): Generator<Tensor> {
  for (let at: Scope | null = scope; at; at = at.outer) {
    for (const value of at.names.values()) yield* tensorsOf(value);
  }
}

/** A graph of an attribute. */
function bodyOf(graph: GraphMessage): Body {
  return { nodes: graph.nodes, outputs: graph.outputs.map(({ name }) => name) };
}

const outputNames = new WeakMap<GraphMessage, Body>();

/** The same body each time, so that what is known of it is kept. */
export function graphBody(graph: GraphMessage): Body {
  let body = outputNames.get(graph);
  if (!body) outputNames.set(graph, body = bodyOf(graph));
  return body;
}

/** The nodes before `end` from which `name` follows, where `given` names are known. */
function nodesFor(
  name: string,
  nodes: readonly NodeMessage[],
  end: number,
  given: ReadonlySet<string>,
): NodeMessage[] {
  const needed = new Set([name]), found: NodeMessage[] = [];
  for (let i = end - 1; i >= 0; i--) {
    if (!nodes[i].outputs.some((output) => output && needed.has(output) && !given.has(output))) continue;
    found.push(nodes[i]);
    for (const use of usesOf(nodes[i])) if (!given.has(use)) needed.add(use);
  }
  return found.reverse();
}

async function runNode(
  body: Body,
  at: number,
  scope: Scope,
  context: Run,
  depth: number,
): Promise<(Value | null)[]> {
  const { budget } = context, node = body.nodes[at];
  const inputs = node.inputs.map((name) => {
    if (name === "") return null;
    const value = find(scope, name);
    if (value === undefined) throw new FormatError(`${nodeName(node)}: nothing gives its input "${name}"`);
    return value;
  });
  const own = context.functions.get(`${node.domain}:${node.operator}`);
  if (own) return await runFunction(own, node, inputs, context, depth);
  const operator = operatorOf(node.domain, node.operator);
  if (!operator) throw new FormatError(`${nodeName(node)}: there is no such operator`);
  const placed = await onOneDevice(inputs, context);
  const tensor = async (t: TensorMessage): Promise<Value> => budget.adopt(await context.tensor(t));
  const around: Surroundings = {
    device: context.device,
    tensor,
    run: async (graph, values) => {
      const names = new Map<string, Value>();
      graph.inputs.forEach(({ name }, i) => {
        if (values[i]) names.set(name, values[i]);
      });
      for (const t of graph.initializers) if (!names.has(t.name)) names.set(t.name, await tensor(t));
      // A turn of a loop is a step, whether or not there is a node in it.
      await context.budget.step();
      return await runBody(graphBody(graph), names, context, scope, depth + 1);
    },
    replay: async (name, values) => {
      const nodes = nodesFor(name, body.nodes, at, new Set(values.keys()));
      if (nodes.length === 0 && !values.has(name)) {
        throw new FormatError(`${nodeName(node)}: nothing before it in its graph gives "${name}"`);
      }
      return (await runBody({ nodes, outputs: [name] }, values, context, scope, depth + 1))[0];
    },
    budget: context.budget,
    holders: () =>
      new Holders(
        new Set([...heldIn(scope), ...placed.flatMap((value) => value ? [...tensorsOf(value)] : [])]),
      ),
  };
  const host = new Map<number, DataArray>();
  const wanted = operator.host === "all" ? placed.map((_, i) => i) : operator.host ?? [];
  for (const i of wanted) {
    const value = placed[i] ?? null;
    if (value?.kind !== "tensor") continue;
    const data = await elements(value.tensor);
    host.set(i, data);
    if (depth === 0) context.kept?.hosts.set(node.inputs[i], data.slice());
  }
  let given: readonly (Value | null)[] = [];
  const call = new Call(node, placed, context.opsets.get(node.domain) ?? 1, around, host);
  try {
    // What waits is in no scope: others may run meanwhile, and what they make would be freed with it.
    if (operator.waits) {
      const result = budget.within(() => operator.run(call));
      const isKept = context.kept && depth === 0 &&
        node.outputs.every((name) => context.kept!.names.has(name));
      if (result instanceof Promise && context.kept && depth === 0 && !isKept) context.kept.waited ??= node;
      return given = asValues(await result, call);
    }
    return given = budget.within(() => tidy(() => asValues(operator.run(call) as Results, call)));
  } catch (cause) {
    throw inNode(cause, node);
  } finally {
    // Copies on the other device were for this node.
    const kept = new Set(given.flatMap((value) => value ? [...tensorsOf(value)] : []));
    placed.forEach((value, i) => {
      if (value?.kind === "tensor" && value !== inputs[i] && !kept.has(value.tensor)) value.tensor.dispose();
    });
  }
}

/** An error of a run, with the node that it happened in. */
function inNode(cause: unknown, node: NodeMessage): unknown {
  const isOurs = cause instanceof FerrotypeError && !(cause instanceof CancelledError);
  if (isOurs && !cause.message.includes(nodeName(node))) {
    cause.message = `${nodeName(node)}: ${cause.message}`;
  }
  return cause;
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

/** Inputs on one device: the reference device when one of them is f64, else the model's. */
async function onOneDevice(
  inputs: readonly (Value | null)[],
  { device, budget }: Run,
): Promise<(Value | null)[]> {
  const tensors = inputs.filter((v) => v?.kind === "tensor");
  const target = tensors.some((v) => v?.kind === "tensor" && v.tensor.dtype === "f64") ? "reference" : device;
  if (tensors.every((v) => v?.kind === "tensor" && v.tensor.device === target)) return [...inputs];
  return await Promise.all(inputs.map(async (value) => {
    if (value?.kind !== "tensor" || value.tensor.device === target) return value;
    return budget.adopt(valueOf(await moveTensor(value.tensor, target), value.type));
  }));
}

/** A tensor on another device, whatever device it is on. */
export async function moveTensor(t: Tensor, device: DeviceName): Promise<Tensor> {
  if (t.device === device) return t;
  if (t.backend.mapped) return t.to({ device });
  return tensor(await t.data(), { dtype: t.dtype, shape: t.shape, device });
}

/** An attribute of a function's node as the caller's node says it. */
function withReferences(node: NodeMessage, given: ReadonlyMap<string, AttributeValue>): NodeMessage {
  const attributes = new Map<string, AttributeValue>();
  for (const [name, value] of node.attributes) {
    const of = value.kind === "reference" ? given.get(value.value) : value;
    if (of !== undefined) {
      attributes.set(name, of.kind === "graph" ? { kind: "graph", value: resolved(of.value, given) } : of);
    }
  }
  return { ...node, attributes };
}

function resolved(graph: GraphMessage, given: ReadonlyMap<string, AttributeValue>): GraphMessage {
  return { ...graph, nodes: graph.nodes.map((node) => withReferences(node, given)) };
}

async function runFunction(
  f: FunctionMessage,
  node: NodeMessage,
  inputs: readonly (Value | null)[],
  context: Run,
  depth: number,
): Promise<Value[]> {
  const attributes = new Map([...f.defaults, ...node.attributes]), names = new Map<string, Value>();
  f.inputs.forEach((name, i) => {
    const value = inputs[i] ?? null;
    if (value !== null) names.set(name, value);
  });
  const nodes = f.nodes.map((inner) => withReferences(inner, attributes));
  const opsets = new Map([...context.opsets, ...f.opsets]);
  return await runBody({ nodes, outputs: f.outputs }, names, { ...context, opsets }, null, depth + 1);
}
