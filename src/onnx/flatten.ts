/**
 * A graph without graphs in it: what a run did of branches, loops and functions, written out node by node.
 *
 * A program cannot wait to see which branch is taken. So a first, ordinary run says which were, and how many turns loops had; the
 * flat graph is right for inputs for which the *guards*, the values that decided so, are the same.
 *
 * @module
 */
import { CaptureError } from "../core/errors.ts";
import { nodeName } from "./call.ts";
import { withReferences } from "./execute.ts";
import {
  type AttributeValue,
  functionKey,
  type FunctionMessage,
  type GraphMessage,
  type NodeMessage,
  type TensorMessage,
} from "./messages.ts";

/** The attributes whose graphs a run went through, in turn, by the way to the node that has them. */
export type Ways = Map<string, string[]>;

/** A graph that is written out. */
export interface Flat {
  readonly graph: GraphMessage;
  /** What decided on branches and turns. */
  readonly guards: readonly Guard[];
}

/** A name whose value decides on what a node runs. */
export interface Guard {
  readonly name: string;
  readonly node: NodeMessage;
}

/** Nodes of a flat graph at most. */
const mostNodes = 2 ** 15;

/** The operators that a flat graph is joined with. */
const own: ReadonlyMap<string, number> = new Map([["", 17]]);

/** No name of a file has it in front: names of inner graphs begin with it. */
const mark = "\0";

/** Names of a graph, and what they are called in the flat one; then around it. */
interface Names {
  readonly own: Map<string, string>;
  readonly outer: Names | null;
}

/** Where nodes stand: the way to them, the names that they see, the operators' versions where they are a function's. */
interface Place {
  readonly way: string;
  readonly names: Names;
  readonly opsets: ReadonlyMap<string, number> | null;
}

/** Whether there is anything to write out. */
export function isFlat(graph: GraphMessage, functions: ReadonlyMap<string, FunctionMessage>): boolean {
  return graph.nodes.every((node) => !functionOf(node, functions) && !hasGraph(node));
}

const hasGraph = (node: NodeMessage): boolean =>
  [...node.attributes.values()].some(({ kind }) => kind === "graph");

const functionOf = (node: NodeMessage, functions: ReadonlyMap<string, FunctionMessage>) =>
  functions.get(functionKey(node.domain, node.operator, node.overload));

/** `graph` written out as a run went through it. @throws {CaptureError} for what grows too large. */
export function flatten(
  graph: GraphMessage,
  functions: ReadonlyMap<string, FunctionMessage>,
  ways: ReadonlyMap<string, readonly string[]>,
  opsets: ReadonlyMap<string, number>,
): Flat {
  const writer = new Writer(functions, ways, opsets), names: Names = { own: new Map(), outer: null };
  writer.all(graph.nodes, { way: "", names, opsets: null });
  for (const { name } of graph.outputs) {
    const from = names.own.get(name);
    if (from !== undefined && from !== name) writer.add("Identity", [from], name);
  }
  return { graph: { ...graph, nodes: writer.nodes }, guards: writer.guards };
}

class Writer {
  readonly nodes: NodeMessage[] = [];
  readonly guards: Guard[] = [];
  readonly #functions: ReadonlyMap<string, FunctionMessage>;
  readonly #ways: ReadonlyMap<string, readonly string[]>;
  readonly #opsets: ReadonlyMap<string, number>;
  #count = 0;

  constructor(
    functions: ReadonlyMap<string, FunctionMessage>,
    ways: ReadonlyMap<string, readonly string[]>,
    opsets: ReadonlyMap<string, number>,
  ) {
    this.#functions = functions;
    this.#ways = ways;
    this.#opsets = opsets;
  }

  #push(node: NodeMessage): void {
    if (this.nodes.length >= mostNodes) {
      throw new CaptureError(
        `run: its loops are more than ${mostNodes} nodes when they are written out, too many for a program; ` +
          "run the model without compiled",
      );
    }
    this.nodes.push(node);
  }

  /** A node of the flat graph's own; the name of what it gives. */
  add(
    operator: string,
    inputs: readonly string[],
    output: string = `${mark}${this.#count++}`,
    attributes: Record<string, AttributeValue> = {},
  ): string {
    const map = new Map(Object.entries(attributes));
    this.#push({
      name: "",
      operator,
      domain: "",
      inputs: [...inputs],
      outputs: [output],
      attributes: map,
      opsets: own,
    });
    return output;
  }

  #constant(value: TensorMessage): string {
    return this.add("Constant", [], undefined, { value: { kind: "tensor", value } });
  }

  #whole(value: number): string {
    return this.add("Constant", [], undefined, { value_int: { kind: "int", value: BigInt(value) } });
  }

  /** Nodes one after another. */
  all(nodes: readonly NodeMessage[], place: Place): void {
    nodes.forEach((node, i) => this.#node(node, `${place.way}/${i}`, place));
  }

  #node(node: NodeMessage, way: string, place: Place): void {
    const { names, opsets } = place, inputs = node.inputs.map((name) => name && nameIn(names, name));
    const called = functionOf(node, this.#functions);
    let outputs: readonly string[] | null = null;
    if (called) outputs = this.#function(called, node, inputs, way, place);
    else if (node.domain === "" && this.#ways.has(way)) {
      if (node.operator === "If") outputs = this.#branch(node, inputs, way, place);
      else if (node.operator === "Loop") outputs = this.#loop(node, inputs, way, place);
      else if (node.operator === "Scan" && ((opsets ?? this.#opsets).get("") ?? 1) >= 9) {
        // Before, it goes over batches, too.
        outputs = this.#scan(node, inputs, way, place);
      }
    }
    if (outputs) {
      node.outputs.forEach((name, i) => {
        if (name) names.own.set(name, outputs[i]);
      });
      return;
    }
    const isInner = place.way !== "";
    const given = node.outputs.map((name) => name && isInner ? `${mark}${this.#count++}` : name);
    node.outputs.forEach((name, i) => {
      if (name) names.own.set(name, given[i]);
    });
    this.#push({ ...node, inputs, outputs: given, ...opsets && { opsets } });
  }

  /** A graph of an attribute where `given` are its inputs; what its outputs are called. */
  #inline(graph: GraphMessage, given: readonly string[], way: string, { names, opsets }: Place): string[] {
    const inner: Names = { own: new Map(), outer: names };
    graph.inputs.forEach(({ name }, i) => {
      if (given[i] !== undefined) inner.own.set(name, given[i]);
    });
    for (const t of graph.initializers) if (!inner.own.has(t.name)) inner.own.set(t.name, this.#constant(t));
    this.all(graph.nodes, { way, names: inner, opsets });
    return graph.outputs.map(({ name }) => nameIn(inner, name));
  }

  #function(
    f: FunctionMessage,
    node: NodeMessage,
    inputs: readonly string[],
    way: string,
    place: Place,
  ): string[] {
    const inner: Names = { own: new Map(), outer: null };
    f.inputs.forEach((name, i) => {
      if (inputs[i]) inner.own.set(name, inputs[i]);
    });
    const attributes = new Map([...f.defaults, ...node.attributes]);
    const absent = new Set(f.inputs.filter((name) => !inner.own.has(name)));
    const opsets = new Map([...place.opsets ?? [], ...f.opsets]);
    this.all(f.nodes.map((one) => withReferences(one, attributes, absent)), {
      way: `${way}:0`,
      names: inner,
      opsets,
    });
    return f.outputs.map((name) => nameIn(inner, name));
  }

  #branch(node: NodeMessage, inputs: readonly string[], way: string, place: Place): string[] {
    this.guards.push({ name: inputs[0], node });
    return this.#inline(graphOf(node, this.#ways.get(way)![0]), [], `${way}:0`, place);
  }

  #loop(node: NodeMessage, inputs: readonly string[], way: string, place: Place): string[] {
    const body = graphOf(node, "body"), turns = this.#ways.get(way)!.length;
    this.guards.push(...inputs.slice(0, 2).filter(Boolean).map((name) => ({ name, node })));
    let states = inputs.slice(2);
    const lists: string[][] = body.outputs.slice(1 + states.length).map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      const goes = this.add("Cast", [this.#whole(1)], undefined, { to: { kind: "int", value: 9n } });
      const given = [this.#whole(turn), goes, ...states];
      const [goOn, ...rest] = this.#inline(body, given, `${way}:${turn}`, place);
      this.guards.push({ name: goOn, node });
      states = rest.slice(0, states.length);
      lists.forEach((list, i) => list.push(rest[states.length + i]));
    }
    return [
      ...states,
      ...lists.map((list, i) => {
        if (list.length) return this.#stack(list, 0);
        const { code, shape } = body.outputs[1 + states.length + i].type;
        return this.#constant(emptyOf(code || 1, (shape ?? []).map((n) => typeof n === "number" ? n : 0)));
      }),
    ];
  }

  #scan(node: NodeMessage, inputs: readonly string[], way: string, place: Place): string[] {
    const body = graphOf(node, "body"), turns = this.#ways.get(way)!.length;
    const each = (name: string, i: number): number => {
      const list = node.attributes.get(name);
      return list?.kind === "ints" ? Number(list.value[i] ?? 0) : 0;
    };
    const count = node.attributes.get("num_scan_inputs"),
      scanned = count?.kind === "int" ? Number(count.value) : 1;
    let states = inputs.slice(0, inputs.length - scanned);
    const read = inputs.slice(inputs.length - scanned);
    const lists: string[][] = body.outputs.slice(states.length).map(() => []);
    for (let turn = 0; turn < turns; turn++) {
      const parts = read.map((name, i) => {
        const at = this.#whole(each("scan_input_directions", i) === 1 ? turns - 1 - turn : turn);
        const axis: AttributeValue = { kind: "int", value: BigInt(each("scan_input_axes", i)) };
        return this.add("Gather", [name, at], undefined, { axis });
      });
      const results = this.#inline(body, [...states, ...parts], `${way}:${turn}`, place);
      states = results.slice(0, states.length);
      lists.forEach((list, i) => list.push(results[states.length + i]));
    }
    return [
      ...states,
      ...lists.map((list, i) => {
        const placed = each("scan_output_directions", i) === 1 ? [...list].reverse() : list;
        return this.#stack(placed, each("scan_output_axes", i));
      }),
    ];
  }

  /** Values on a new axis. */
  #stack(list: readonly string[], axis: number): string {
    return this.add("ConcatFromSequence", [this.add("SequenceConstruct", list)], undefined, {
      axis: { kind: "int", value: BigInt(axis) },
      new_axis: { kind: "int", value: 1n },
    });
  }
}

function nameIn(names: Names, name: string): string {
  for (let at: Names | null = names; at; at = at.outer) {
    const known = at.own.get(name);
    if (known !== undefined) return known;
  }
  return name;
}

function graphOf(node: NodeMessage, name: string): GraphMessage {
  const found = node.attributes.get(name);
  if (found?.kind !== "graph") throw new CaptureError(`run: ${nodeName(node)} has no graph "${name}"`);
  return found.value;
}

const emptyOf = (code: number, rest: readonly number[]): TensorMessage => ({
  name: "",
  dims: [0, ...rest],
  code,
  raw: null,
  numbers: [],
  longs: [],
  texts: [],
  external: null,
});
