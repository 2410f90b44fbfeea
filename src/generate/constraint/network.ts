/**
 * A grammar laid out to be followed: nodes that point at nodes, characters as states that bytes lead through, and for each
 * the least number of bytes it takes. It is as large as the grammar, however many texts the grammar allows.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { Steps } from "../../core/steps.ts";
import type { Grammar, Machine, Part, Range } from "./grammar.ts";
import { formatLimits } from "./limits.ts";
import { shortest } from "./shortest.ts";
import { utf8Ranges } from "./utf8.ts";

/** A part of the grammar; what it is not has no meaning. */
export interface Node {
  readonly kind: "bytes" | "machine" | "sequence" | "choice" | "repeat" | "rule";
  readonly id: number;
  /** Of a sequence and a choice their parts; of a repetition what is repeated, of a rule what it stands for. */
  readonly parts: Node[];
  /** Of characters: the state they begin at. */
  readonly state: number;
  readonly machine: Machine | null;
  /** Of a repetition: how often at least and at most. */
  readonly from: number;
  readonly to: number;
  /** What comes after its parts: frame + i that part i of a sequence does, and frame that it may be repeated. */
  readonly frame: number;
  /** How many bytes it takes at least, of those that can be written one by one. */
  least: number;
  /** The same, whatever bytes can be written. */
  unit: number;
  /** Of a sequence: how many bytes part i and those behind it take at least. */
  rests: Float64Array;
}

/** What comes after a part that is over. */
export interface Frame {
  readonly node: Node;
  /** Of a sequence: the part that comes next. */
  readonly index: number;
}

/** A byte from the first to the second leads to the third. */
export type Edge = readonly [low: number, high: number, to: number];

/** Where the last byte of characters leads. */
export const over = -1;

/** A grammar, laid out. */
export class Network {
  /** The rule "start". */
  start: Node = null as unknown as Node;
  readonly nodes: Node[] = [];
  readonly frames: Frame[] = [];
  /** Where bytes lead from each state. */
  readonly edges: (readonly Edge[])[] = [];
  /** How many bytes are missing at least from each state to the end of its characters. */
  readonly least: number[] = [];
  /** Bytes that lead to the same everywhere have the same number. */
  readonly classes: Uint8Array = new Uint8Array(256);
  /** One byte of each such number. */
  readonly examples: number[] = [];

  readonly #writable: (byte: number) => boolean;
  readonly #any: number[] = []; // as `least`, whatever bytes can be written
  readonly #borders = new Uint8Array(257);
  readonly #states = new Map<string, number>();
  readonly #sets = new Map<string, number>(); // by the ranges of characters
  readonly #byPart = new Map<Part, Node>();
  readonly #names = new Map<Node, string>(); // of rules
  readonly #open: Part[] = [];
  #edgeCount = 0;

  private constructor(writable: (byte: number) => boolean) {
    this.#writable = writable;
  }

  /**
   * Lays a grammar out. `writable` says which bytes can be written one by one.
   *
   * @throws {OptionError} when it is too large, or a rule is missing.
   */
  static *of(grammar: Grammar, writable: (byte: number) => boolean): Steps<Network> {
    const network = new Network(writable), rules = new Map<string, Node>();
    for (const [name, part] of grammar) {
      const node = yield* network.#node(part);
      rules.set(name, node);
      network.#names.set(node, name);
      yield 8;
    }
    // Nodes come into being unfilled, so that nothing here is as deep as the grammar.
    for (let at = 0; at < network.#open.length; at++) yield* network.#fill(network.#open[at], rules);
    network.start = rules.get("start") as Node;
    yield* network.#measure();
    for (let byte = 0; byte < 256; byte++) {
      if (byte === 0 || network.#borders[byte]) network.examples.push(byte);
      network.classes[byte] = network.examples.length - 1;
    }
    for (const scratch of [network.#states, network.#sets, network.#byPart]) scratch.clear();
    network.#open.length = 0;
    return network;
  }

  /** How much it consists of. */
  get size(): number {
    return this.nodes.length + this.frames.length + this.edges.length + this.#edgeCount;
  }

  /** Why no text of it can be written, in words. */
  whyNone(): string {
    if (this.start.unit < Infinity) {
      return "the model's tokenizer lacks characters that every allowed text needs; choose another format or model";
    }
    const way = new Set<Node>();
    let node: Node | undefined = this.start;
    for (; node && !way.has(node); node = node.parts.find(({ unit }) => unit === Infinity)) way.add(node);
    if (!node) return "it allows no text at all: somewhere a character is wanted, and none is allowed";
    const all = [...way], ring = all.slice(all.indexOf(node)).flatMap((one) => this.#names.get(one) ?? []);
    const names = ring.map((name) => name.replace(/^ref /, "").slice(0, 100));
    const told = names.length > 5
      ? [...names.slice(0, 4), `… ${names.length - 5} more …`, names.at(-1)]
      : names;
    return `no text is ever whole, as ${told.join(", ")} always need${
      names.length === 1 ? "s itself" : " each other"
    } once more; let one of them end otherwise`;
  }

  /** The node of a part: the same one for the same part, wherever it stands. */
  *#node(part: Part): Steps<Node> {
    const known = this.#byPart.get(part);
    if (known) return known;
    const isBytes = part.kind === "set" || part.kind === "literal";
    const state = part.kind === "set"
      ? yield* this.#set(part.ranges)
      : part.kind === "literal"
      ? yield* this.#literal(part.texts)
      : 0;
    const node: Node = {
      kind: isBytes ? "bytes" : part.kind,
      id: this.nodes.length,
      parts: [],
      state,
      machine: part.kind === "machine" ? part.machine : null,
      from: part.kind === "repeat" ? part.least : 0,
      to: part.kind === "repeat" ? part.most : 0,
      frame: this.frames.length,
      least: Infinity,
      unit: Infinity,
      rests: none,
    };
    const frames = part.kind === "sequence" ? part.parts.length : part.kind === "repeat" ? 1 : 0;
    for (let index = 0; index < frames; index++) this.frames.push({ node, index });
    if (frames > 8) yield frames;
    for (const byte of node.machine?.bytes ?? []) this.#border(byte, byte);
    this.nodes.push(node);
    this.#byPart.set(part, node);
    this.#open.push(part);
    return node;
  }

  *#fill(part: Part, rules: ReadonlyMap<string, Node>): Steps<void> {
    const { parts } = this.#byPart.get(part) as Node;
    if (part.kind === "sequence" || part.kind === "choice") {
      for (const one of part.parts) {
        parts.push(yield* this.#node(one));
        yield 2;
      }
    } else if (part.kind === "repeat") parts.push(yield* this.#node(part.part));
    else if (part.kind === "rule") {
      const target = rules.get(part.name);
      if (!target) throw new OptionError(`responseFormat: there is no rule "${part.name}"`);
      parts.push(target);
    }
    if (this.size > formatLimits.parts) {
      throw new OptionError(`responseFormat: more than ${formatLimits.parts} parts; make it smaller`);
    }
    yield 1;
  }

  /** A state by where it leads; the same for the same edges. */
  #state(edges: readonly Edge[]): number {
    const key = edges.join(" ");
    let state = this.#states.get(key);
    if (state === undefined) {
      state = this.edges.length;
      this.#states.set(key, state);
      this.edges.push(edges);
      this.#edgeCount += edges.length;
      const beyond = (to: number, list: readonly number[]): number => 1 + (to === over ? 0 : list[to]);
      let least = Infinity, any = Infinity;
      for (const [low, high, to] of edges) {
        any = Math.min(any, beyond(to, this.#any));
        for (let byte = low; byte <= high && least > beyond(to, this.least); byte++) {
          if (this.#writable(byte)) least = beyond(to, this.least);
        }
        this.#border(low, high);
      }
      this.least.push(least);
      this.#any.push(any);
    }
    return state;
  }

  #border(low: number, high: number): void {
    this.#borders[low] = this.#borders[high + 1] = 1;
  }

  /** One of several texts: a tree of their bytes, told from its leaves up, so that equal ends are one. */
  *#literal(texts: readonly string[]): Steps<number> {
    const byte = [-1], above = [-1], isEnd = [false], known = new Map<number, number>();
    for (const text of texts) {
      let here = 0;
      for (const one of new TextEncoder().encode(text)) {
        let next = known.get(here * 256 + one);
        if (next === undefined) {
          next = byte.length;
          known.set(here * 256 + one, next);
          byte.push(one);
          above.push(here);
          isEnd.push(false);
        }
        here = next;
        yield 4;
      }
      isEnd[here] = true;
    }
    const edges: Edge[][] = byte.map(() => []);
    for (let node = byte.length - 1; node > 0; node--) {
      const own = edges[above[node]], b = byte[node];
      if (isEnd[node]) own.push([b, b, over]);
      if (edges[node].length) own.push([b, b, this.#state(edges[node])]);
      yield 4;
    }
    return this.#state(edges[0]);
  }

  *#set(ranges: readonly Range[]): Steps<number> {
    const build = (list: readonly (readonly [number, number])[][], depth: number): number => {
      const groups = new Map<string, (readonly [number, number])[][]>();
      for (const one of list) {
        const key = one[depth].join(), group = groups.get(key);
        if (group) group.push(one);
        else groups.set(key, [one]);
      }
      return this.#state([...groups.values()].map((group): Edge => {
        const [low, high] = group[0][depth];
        return [low, high, group[0].length === depth + 1 ? over : build(group, depth + 1)];
      }));
    };
    const key = ranges.join(" "), known = this.#sets.get(key);
    yield 2 * ranges.length;
    if (known !== undefined) return known;
    const bytes = ranges.flatMap(utf8Ranges), state = build(bytes, 0);
    this.#sets.set(key, state);
    yield 32 * bytes.length;
    return state;
  }

  *#measure(): Steps<void> {
    const any = yield* shortest(this.nodes, ({ state, machine }) => machine ? 1 : this.#any[state]);
    const least = yield* shortest(this.nodes, ({ state, machine }) => {
      if (!machine) return this.least[state];
      return machine.bytes.every(this.#writable) ? machine.missing(machine.start) : Infinity;
    });
    for (const node of this.nodes) {
      node.least = least[node.id];
      node.unit = any[node.id];
      if (node.kind !== "sequence") continue;
      node.rests = new Float64Array(node.parts.length + 1);
      for (let i = node.parts.length - 1; i >= 0; i--) {
        node.rests[i] = node.rests[i + 1] + least[node.parts[i].id];
      }
      yield 1 + node.parts.length;
    }
  }
}

const none = new Float64Array(0);
