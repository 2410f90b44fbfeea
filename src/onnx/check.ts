/**
 * What stands in the way of running a model, all of it at once.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { nodeName } from "./call.ts";
import {
  functionKey,
  type FunctionMessage,
  type GraphMessage,
  type ModelMessage,
  type NodeMessage,
} from "./messages.ts";
import { newestOpset, operatorOf, operators } from "./operators/table.ts";
import { tensorProblem } from "./tensors.ts";
import { hint } from "../core/nearest.ts";

/** Problems that a message lists. */
const mostShown = 20;

/** @throws {FormatError} naming every node that cannot be run, with its operator, opset and the reason. */
export function checkModel(
  model: ModelMessage,
  where: string,
  functions: ReadonlyMap<string, FunctionMessage>,
): void {
  const problems: string[] = [];
  const checkNode = (
    node: NodeMessage,
    opsets: ReadonlyMap<string, number>,
    names: ReadonlySet<string>,
  ): void => {
    const opset = opsets.get(node.domain),
      say = (reason: string): void => {
        problems.push(`${nodeName(node)}, opset ${opset ?? "not said"}: ${reason}`);
      };
    for (const name of node.inputs) {
      if (name && !names.has(name)) say(`nothing before it gives its input "${name}"`);
    }
    for (const { kind, value } of node.attributes.values()) {
      if (kind === "graph") checkGraph(value, opsets, names);
      if (kind === "tensor") {
        const problem = tensorProblem(value);
        if (problem !== null) say(problem);
      }
    }
    if (functions.has(functionKey(node.domain, node.operator, node.overload))) return;
    const operator = operatorOf(node.domain, node.operator), newest = newestOpset[node.domain];
    if (!operator) {
      const table = Object.hasOwn(operators, node.domain) ? Object.keys(operators[node.domain]) : [];
      say(
        table.length
          ? `there is no such operator here${hint(node.operator, table)}`
          : `its domain is not known here`,
      );
    } else if (opset === undefined) say("the model does not say which version of its domain it speaks");
    else if (opset > newest) say(`operators are known up to opset ${newest}`);
    else if (opset < operator.since[0]) say(`the operator came with opset ${operator.since[0]}`);
  };
  const checkNodes = (
    nodes: readonly NodeMessage[],
    opsets: ReadonlyMap<string, number>,
    names: Set<string>,
  ): void => {
    for (const node of nodes) {
      checkNode(node, opsets, names);
      for (const name of node.outputs) {
        if (name && names.has(name)) problems.push(`${nodeName(node)}: there is a value "${name}" already`);
        names.add(name);
      }
    }
  };
  const checkGraph = (
    graph: GraphMessage,
    opsets: ReadonlyMap<string, number>,
    outer: ReadonlySet<string>,
  ): void => {
    const own = [...graph.inputs, ...graph.initializers].map(({ name }) => name);
    const names = new Set([...outer, ...own]);
    if (graph.sparse) problems.push(`graph "${graph.name}": its sparse tensors are not read`);
    for (const t of graph.initializers) {
      const problem = tensorProblem(t);
      if (problem !== null) problems.push(problem);
    }
    checkNodes(graph.nodes, opsets, names);
    for (const { name } of graph.outputs) {
      if (!names.has(name)) problems.push(`graph "${graph.name}": nothing gives its output "${name}"`);
    }
  };
  checkGraph(model.graph, model.opsets, new Set());
  for (const f of functions.values()) {
    checkNodes(f.nodes, new Map([...model.opsets, ...f.opsets]), new Set(f.inputs));
  }
  if (problems.length === 0) return;
  const shown = problems.slice(0, mostShown).join("; ");
  const more = problems.length > mostShown ? `; and ${problems.length - mostShown} more` : "";
  throw new FormatError(`${where} cannot be run: ${shown}${more}`);
}
