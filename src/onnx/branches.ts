/**
 * Graphs whose branches are chosen once: an `If` whose condition follows from sizes, constants and small inputs is replaced by the
 * nodes of the branch that is taken, so that the whole is one list of nodes, which can be a program.
 *
 * What was decided is kept by what decided it, so that a run asks for a few numbers and computes no condition again.
 *
 * @module
 */
import { elements, type Value } from "./values.ts";
import { type Body, runBody, type RunContext, usesOf } from "./execute.ts";
import type { Budget } from "./budget.ts";
import type { AttributeValue, GraphMessage, NodeMessage } from "./messages.ts";
import { operatorOf } from "./operators/table.ts";

/** Elements of an input at most that may decide on a branch. */
const mostDeciding = 64;
/** Decisions that are kept for one condition, and branches that are followed in a row. */
const mostDecisions = 64, mostBranches = 256;

/** A graph, and its constants: those of the file and of the branches in it. */
export interface Straight {
  readonly graph: GraphMessage;
  readonly constants: ReadonlyMap<string, Value>;
}

/** A condition that can be decided: the nodes that give it, and the inputs that it follows from. */
interface Question {
  readonly node: NodeMessage;
  readonly body: Body;
  readonly inputs: readonly string[];
}

/** A graph, and where it goes on when its first condition is decided. */
class Junction implements Straight {
  readonly graph: GraphMessage;
  readonly constants: ReadonlyMap<string, Value>;
  readonly question: Question | null;
  readonly answers = new Map<string, boolean>();
  readonly next = new Map<boolean, Junction>();

  constructor(graph: GraphMessage, constants: ReadonlyMap<string, Value>) {
    this.graph = graph;
    this.constants = constants;
    this.question = questionOf(graph);
  }
}

/** Whether a node gives sizes alone, whatever the values are. */
const isOfSizes = ({ domain, operator }: NodeMessage): boolean =>
  domain === "" && (operator === "Shape" || operator === "Size");

/** The first condition of the graph's own nodes that can be decided before they are run. */
function questionOf(graph: GraphMessage): Question | null {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  for (const node of graph.nodes) {
    if (node.domain !== "" || node.operator !== "If") continue;
    const seen = new Set<string>(), sizes = new Set<string>(), needed = new Set<NodeMessage>();
    let canBe = true;
    /** Follows a name back; only its sizes count where `size`. */
    const open: [name: string, size: boolean][] = [[node.inputs[0], false]];
    for (let at = open.pop(); at && canBe; at = open.pop()) {
      const [name, size] = at;
      if ((size ? sizes : seen).has(name) || seen.has(name)) continue;
      (size ? sizes : seen).add(name);
      const maker = makers.get(name);
      if (!maker) continue;
      const operator = operatorOf(maker.domain, maker.operator);
      // What is drawn, or run by a graph, is not computed twice.
      const runsGraph = [...maker.attributes.values()].some(({ kind }) => kind === "graph");
      if (!operator || operator.noGradient === "random" || runsGraph) canBe = false;
      needed.add(maker);
      for (const use of usesOf(maker)) open.push([use, size || isOfSizes(maker)]);
    }
    if (!canBe) continue;
    const inputs = graph.inputs.map(({ name }) => name).filter((name) => seen.has(name));
    const nodes = graph.nodes.filter((own) => needed.has(own));
    return { node, body: { nodes, outputs: [node.inputs[0]] }, inputs };
  }
  return null;
}

/** The graphs of a model without the branches that a run's inputs choose. */
export class Branches {
  readonly #root: Junction;
  readonly #context: RunContext;
  readonly #owned: Value[] = [];
  #count = 0;

  /** Of `graph`, whose file has these constants. */
  constructor(graph: GraphMessage, constants: ReadonlyMap<string, Value>, context: RunContext) {
    this.#context = context;
    this.#root = new Junction(graph, constants);
  }

  /** The graph for a run with these values by name. Conditions that only a run tells stay in it. */
  async straight(names: ReadonlyMap<string, Value>, budget: Budget): Promise<Straight> {
    let at = this.#root;
    for (let i = 0; at.question && i < mostBranches; i++) {
      const key = await keyOf(at.question, at.graph, names);
      if (key === null) break;
      let answer = at.answers.get(key);
      if (answer === undefined) {
        answer = await this.#decide(at.question, new Map([...at.constants, ...names]), budget);
        if (at.answers.size >= mostDecisions) at.answers.clear();
        at.answers.set(key, answer);
      }
      let next = at.next.get(answer);
      if (!next) at.next.set(answer, next = await this.#follow(at, at.question, answer));
      at = next;
    }
    return at;
  }

  async #decide({ body, node }: Question, names: Map<string, Value>, budget: Budget): Promise<boolean> {
    const [value] = names.has(node.inputs[0])
      ? [names.get(node.inputs[0])!]
      : await runBody(body, names, { ...this.#context, budget });
    const isTrue = value.kind === "tensor" && Boolean((await elements(value.tensor))[0]);
    if (value.kind === "tensor" && !names.has(node.inputs[0])) value.tensor.dispose();
    return isTrue;
  }

  /** The graph with the branch's nodes in place of the node. */
  async #follow(at: Junction, { node }: Question, answer: boolean): Promise<Junction> {
    const branch = node.attributes.get(answer ? "then_branch" : "else_branch")!.value as GraphMessage;
    const number = ++this.#count, constants = new Map(at.constants), own = new Map<string, string>();
    const defined = [
      ...branch.initializers.map(({ name }) => name),
      ...branch.nodes.flatMap(({ outputs }) => outputs.filter(Boolean)),
    ];
    for (const name of defined) own.set(name, `${name} in branch ${number}`);
    for (const t of branch.initializers) {
      const value = await this.#context.tensor(t);
      this.#owned.push(value);
      constants.set(own.get(t.name)!, value);
    }
    const outputs = branch.outputs.map(({ name }, i): NodeMessage => ({
      name: `${node.name || node.outputs[i]} in branch ${number}`,
      operator: "Identity",
      domain: "",
      inputs: [own.get(name) ?? name],
      outputs: [node.outputs[i] ?? ""],
      attributes: new Map(),
    }));
    const nodes = at.graph.nodes.flatMap((other) =>
      other === node ? [...branch.nodes.map((inner) => renamed(inner, own)), ...outputs] : [other]
    );
    return new Junction({ ...at.graph, nodes }, constants);
  }

  /** Frees what branches have of their own. */
  dispose(): void {
    for (const value of this.#owned.splice(0)) if (value.kind === "tensor") value.tensor.dispose();
  }
}

/** What decides: sizes of all inputs, and elements of those that count; null where these are too many. */
async function keyOf(
  { inputs }: Question,
  graph: GraphMessage,
  names: ReadonlyMap<string, Value>,
): Promise<string | null> {
  const parts: string[] = [];
  for (const { name } of graph.inputs) {
    const value = names.get(name);
    if (value?.kind === "tensor") parts.push(`${name} ${value.tensor.shape}`);
    if (!inputs.includes(name)) continue;
    if (value?.kind !== "tensor" || value.tensor.size > mostDeciding) return null;
    parts.push(String(await elements(value.tensor)));
  }
  return parts.join(";");
}

/** A node with other names for what it reads and gives, in its graphs too. */
function renamed(node: NodeMessage, names: ReadonlyMap<string, string>): NodeMessage {
  const other = (name: string): string => names.get(name) ?? name;
  const attributes = new Map(
    [...node.attributes].map(([key, of]): [string, AttributeValue] => [
      key,
      of.kind === "graph" ? { kind: "graph", value: renamedGraph(of.value, names) } : of,
    ]),
  );
  return { ...node, inputs: node.inputs.map(other), outputs: node.outputs.map(other), attributes };
}

/** A graph that sees the names around it by other names; its own stay. */
function renamedGraph(graph: GraphMessage, names: ReadonlyMap<string, string>): GraphMessage {
  const outer = new Map(names);
  for (const { name } of [...graph.initializers, ...graph.inputs]) outer.delete(name);
  for (const { outputs } of graph.nodes) for (const name of outputs) outer.delete(name);
  const outputs = graph.outputs.map((edge) => ({ ...edge, name: outer.get(edge.name) ?? edge.name }));
  return { ...graph, nodes: graph.nodes.map((node) => renamed(node, outer)), outputs };
}
