/**
 * The programs of a model: which there are, and for which inputs each of them is.
 *
 * @module
 */
import { CaptureError, OptionError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { clone, type Tensor } from "../ops/mod.ts";
import { keep, noGrad } from "../tensor/mod.ts";
import type { Budget } from "./budget.ts";
import { graphBody, type Kept, runBody, type RunContext } from "./execute.ts";
import { type Flat, flatten, isFlat } from "./flatten.ts";
import type { GraphMessage } from "./messages.ts";
import { GraphProgram, refused, settle, type Settled } from "./program.ts";
import { describe, elements, tensorsOf, type Value, valueOf } from "./values.ts";

/** A graph written out for some ways through it, and what of it is settled. */
interface Plan {
  readonly flat: Flat;
  readonly settled: Settled;
  /** Its number among the model's. */
  readonly what: number;
}

/** Programs that a model keeps, and elements of inputs that may decide on one. */
const mostPrograms = 16, mostDeciding = 64;

/** The caller may change what was given. */
function copyOf(t: Tensor): Tensor {
  return noGrad(() => clone(t));
}

/** The programs of a graph, the newest of them. */
export class Programs {
  readonly #graph: GraphMessage;
  readonly #constants: ReadonlyMap<string, Value>;
  readonly #context: RunContext;
  readonly #programs = new Map<string, GraphProgram>();
  readonly #plans = new Map<string, Plan>();
  #planned = 0;

  /** Of a graph whose tensors of the file are `constants`. */
  constructor(graph: GraphMessage, constants: ReadonlyMap<string, Value>, context: RunContext) {
    this.#graph = graph;
    this.#constants = constants;
    this.#context = context;
  }

  /** Forgets all. */
  clear(): void {
    this.#programs.clear();
    this.#plans.clear();
  }

  /**
   * What the graph gives, by the program for these inputs, or by an ordinary run behind which there is one.
   * @throws {CaptureError} naming a node that cannot be part of a program.
   */
  async run(names: Map<string, Value>, budget: Budget, signal?: AbortSignal): Promise<Value[]> {
    this.#demandTensors(names);
    for (const plan of this.#plans.values()) {
      const { key } = await this.#keyOf(plan, names), known = this.#programs.get(key);
      if (!known?.isCurrent) continue;
      await budget.step(plan.settled.nodes.length);
      throwIfAborted(signal, "the run");
      return known.run(names);
    }
    const plan = await this.#planOf(names, budget), { key, varying } = await this.#keyOf(plan, names);
    const { settled, flat: { graph } } = plan, constants = this.#constants;
    const kept: Kept = {
      names: settled.names,
      values: new Map(),
      types: new Map(),
      hosts: new Map(),
      numbers: new Map(),
      waited: null,
    };
    const results = await runBody(graphBody(graph), names, { ...this.#context, budget, kept });
    if (kept.waited) throw refused(kept.waited, "it waits for values");
    const given = this.#given(names);
    for (const name of given) {
      const value = names.get(name);
      if (value?.kind !== "tensor") continue;
      kept.types.set(name, value.type);
      if (!varying.includes(name)) kept.values.set(name, valueOf(keep(copyOf(value.tensor)), value.type));
    }
    for (const [name, value] of [...constants, ...kept.values]) {
      if (given.includes(name)) continue;
      if (value.kind !== "tensor" || value.tensor.size !== 1 || value.tensor.dtype !== "f32") continue;
      kept.numbers.set(name, Number((await elements(value.tensor))[0]));
    }
    const oldest = this.#programs.keys().next().value;
    if (this.#programs.size >= mostPrograms && oldest !== undefined) this.#programs.delete(oldest);
    this.#programs.set(key, new GraphProgram(graph, settled, varying, constants, kept, this.#context));
    return results;
  }

  /** The inputs that the caller gives. */
  #given(names: ReadonlyMap<string, Value>): string[] {
    const all = this.#graph.inputs.map(({ name }) => name);
    return all.filter((name) => names.has(name) && names.get(name) !== this.#constants.get(name));
  }

  /** @throws {CaptureError} for inputs that are no tensors. @throws {OptionError} for a gradient. */
  #demandTensors(names: ReadonlyMap<string, Value>): void {
    for (const [name, value] of names) {
      if (value.kind !== "tensor" || !value.tensor.requiresGrad) continue;
      throw new OptionError(
        `run: "${name}" (${describe(value)}) wants a gradient, and a program has none; leave compiled out`,
      );
    }
    for (const name of this.#given(names)) {
      const value = names.get(name)!;
      if (value.kind === "tensor") continue;
      throw new CaptureError(
        `run: the input "${name}" is ${
          describe(value)
        }, and a program takes tensors; run the model without compiled`,
      );
    }
  }

  /** The graph as it is for these inputs: an ordinary run says which branches and turns there are, where there are any. */
  async #planOf(names: Map<string, Value>, budget: Budget): Promise<Plan> {
    const graph = this.#graph, { functions } = this.#context, ways = new Map<string, string[]>();
    if (!isFlat(graph, functions)) {
      const results = await runBody(graphBody(graph), names, { ...this.#context, budget, ways });
      const own = new Set([...names.values()].flatMap((value) => [...tensorsOf(value)]));
      for (const t of results.flatMap((value) => [...tensorsOf(value)])) if (!own.has(t)) t.dispose();
    }
    const what = JSON.stringify([...ways]), known = this.#plans.get(what);
    if (known) return known;
    const flat = ways.size || !isFlat(graph, functions)
      ? flatten(graph, functions, ways, this.#context.opsets)
      : { graph, guards: [] };
    const plan = { flat, settled: settle(flat, this.#constants), what: this.#planned++ };
    const oldest = this.#plans.keys().next().value;
    if (this.#plans.size >= mostPrograms && oldest !== undefined) this.#plans.delete(oldest);
    this.#plans.set(what, plan);
    return plan;
  }

  /** What a program of a plan is known by: shapes, and the values of inputs that decide; and the inputs that are left to vary. */
  async #keyOf(
    { settled, what }: Plan,
    names: ReadonlyMap<string, Value>,
  ): Promise<{ readonly key: string; readonly varying: string[] }> {
    const key: string[] = [String(what)], varying: string[] = [];
    for (const name of this.#given(names)) {
      const value = names.get(name);
      if (value?.kind !== "tensor") continue;
      const { shape, dtype, device, size } = value.tensor;
      key.push(`${name} ${dtype} ${device} ${shape}`);
      if (!settled.inputs.includes(name) && !settled.names.has(name)) {
        varying.push(name);
        continue;
      }
      if (size > mostDeciding) {
        const node = settled.deciders.get(name), many = counted(size, "element");
        const reason =
          `the ${many} of the input "${name}" decide on it, and at most ${mostDeciding} may do so`;
        throw node
          ? refused(node, reason)
          : new CaptureError(`run: ${reason}; run the model without compiled`);
      }
      key.push(String(await elements(value.tensor)));
    }
    return { key: key.join(";"), varying };
  }
}
