/**
 * Where a text stands in a grammar: sets of places, each a state of bytes and what comes after it.
 *
 * What is equal is the same object, and each step is found once: a finite automaton that is built as far as texts go (Cox
 * 2010, "Regular expression matching in the wild"), with stacks for what nests and numbers for what counts. An arena that
 * has grown too large is left behind as a whole; what is needed of it is adopted by the next.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { formatLimits } from "./limits.ts";
import { type Network, type Node, over } from "./network.ts";
import { type Stack, Stacks } from "./stack.ts";
import type { Walk } from "./walk.ts";

/** Tokens that may follow. */
export interface Allowed {
  /** A bit for each id. */
  readonly mask: Uint32Array;
  /** The most bytes that are missing after one of them. */
  readonly reach: number;
}

/** Places at which a text stands at once; in one arena there is no other object with the same. */
export class PlaceSet {
  readonly arena: Arena;
  /** A place is a number of its state and its stack, see {@link Arena}; in rising order. */
  readonly places: Float64Array;
  /** How many bytes are missing at least until the text is whole: 0 where it is. */
  readonly missing: number;
  /** Where bytes lead, by their number in the network, as far as it is known. */
  readonly next: (PlaceSet | null)[] = [];
  /** What may follow, once it was found. */
  allowed: Allowed | null = null;
  /** What looks for it, while that is on its way. */
  walk: Walk | null = null;
  /** The set that no token can tell from this one, and how many bytes more are missing here than there; once found. */
  near: { readonly set: PlaceSet; readonly further: number } | null = null;

  constructor(arena: Arena, places: Float64Array, missing: number) {
    this.arena = arena;
    this.places = places;
    this.missing = missing;
  }

  /** Whether the text is whole and nothing can follow. */
  get isOver(): boolean {
    return this.places.length === 1 && this.places[0] === 0;
  }
}

/** From so many frames on only the shortest way on is followed, so that texts do not nest for ever. */
const deepest = 256;

/** With how many places of its shape a further one is compared. */
const mostCompared = 16;

// A place is code * stackRoom + the number of its stack. Codes: 0 is the end of the text, then states of bytes by twos, and
// states of machines between them.
const stackRoom = 2 ** 26;

/** What is known of a grammar's places. */
export class Arena {
  readonly network: Network;
  /** Units of work that were done. */
  work = 0;
  readonly #stacks: Stacks;
  readonly #sets = new Map<number, PlaceSet[]>();
  readonly #machines: { node: Node; state: string }[] = [];
  readonly #machineIds = new Map<string, number>();
  #bytes = 0;
  #start: PlaceSet | null = null;

  // What is to be looked at, and what was found, in the step that is being made.
  readonly #nodes: (Node | null)[] = [];
  readonly #behind: Stack[] = [];
  readonly #bases: number[] = [];
  readonly #seen = new Map<number, number>();
  readonly #found = new Set<number>();

  /** For tokens of at most `longest` bytes. */
  constructor(network: Network, longest: number) {
    this.network = network;
    this.#stacks = new Stacks(network, longest);
  }

  /** About how many bytes of memory it takes. */
  get bytes(): number {
    return this.#bytes + 240 * this.#stacks.count + 160 * this.#machines.length;
  }

  /** Where a text begins. @throws {OptionError} when it may begin in too many ways. */
  start(): PlaceSet {
    if (this.#start) return this.#start;
    this.#begin();
    this.#look(this.network.start, this.#stacks.bottom, 0);
    return this.#start = this.#end() ?? this.#set(new Float64Array(0));
  }

  /** Where a byte leads; null when it cannot come. @throws {OptionError} when there are too many ways. */
  step(set: PlaceSet, byte: number): PlaceSet | null {
    const number = this.network.classes[byte], known = set.next[number];
    if (known !== undefined) return known;
    const example = this.network.examples[number];
    this.#begin();
    for (const place of set.places) {
      const code = Math.floor(place / stackRoom), stack = this.#stacks.at(place % stackRoom);
      this.work++;
      if (code === 0) continue;
      if (code % 2 === 0) this.#stepMachine(code / 2 - 1, example, stack);
      else {
        for (const [low, high, to] of this.network.edges[(code - 1) / 2]) {
          this.work++;
          if (example < low || example > high) continue;
          if (to === over) this.#look(null, stack, stack.depth);
          else this.#found.add((2 * to + 1) * stackRoom + stack.id);
        }
      }
    }
    return set.next[number] = this.#end();
  }

  #stepMachine(id: number, byte: number, stack: Stack): void {
    const { node, state } = this.#machines[id], next = node.machine!.step(state, byte);
    this.work += 64;
    if (next === null) return;
    this.#found.add(this.#machine(node, next) * stackRoom + stack.id);
    if (node.machine!.missing(next) === 0) this.#look(null, stack, stack.depth);
  }

  /** The code of a machine's state. */
  #machine(node: Node, state: string): number {
    const key = `${node.id} ${state}`;
    let id = this.#machineIds.get(key);
    if (id === undefined) {
      id = this.#machines.length;
      this.#machines.push({ node, state });
      this.#machineIds.set(key, id);
    }
    return 2 * (id + 1);
  }

  /** The set of another arena, in this one. */
  adopt(set: PlaceSet): PlaceSet {
    if (set.arena === this) return set;
    const known = new Map<Stack, Stack>();
    return this.#translate(set, (stack) => this.#stacks.adopt(stack, known));
  }

  /** The set that no token can tell from one of this arena. */
  near(set: PlaceSet): { readonly set: PlaceSet; readonly further: number } {
    let further = 0;
    return set.near ??= {
      set: this.#translate(set, (stack) => {
        const near = this.#stacks.near(stack);
        if (stack.left < Infinity) further = Math.max(further, stack.left - near.left);
        return near;
      }),
      further,
    };
  }

  #translate({ arena, places }: PlaceSet, to: (stack: Stack) => Stack): PlaceSet {
    this.#begin();
    for (const place of places) {
      let code = Math.floor(place / stackRoom);
      const stack = arena.#stacks.at(place % stackRoom);
      if (code > 0 && code % 2 === 0 && arena !== this) {
        const { node, state } = arena.#machines[code / 2 - 1];
        code = this.#machine(node, state);
      }
      this.#found.add(code * stackRoom + to(stack).id);
      this.work += 2 + stack.depth;
    }
    return this.#end() as PlaceSet;
  }

  #begin(): void {
    this.#seen.clear();
    this.#found.clear();
  }

  /** A node is to come, or what `stack` says where it is null; frames above `base` were put there in this step. */
  #look(node: Node | null, stack: Stack, base: number): void {
    const key = (node === null ? 0 : node.id + 1) * stackRoom + stack.id, before = this.#seen.get(key);
    if (before !== undefined && before >= base) return;
    this.#seen.set(key, base);
    this.#nodes.push(node);
    this.#behind.push(stack);
    this.#bases.push(base);
  }

  /** Follows all that is reached for nothing; gives the set of what was found. */
  #end(): PlaceSet | null {
    for (let stack = this.#behind.pop(); stack !== undefined; stack = this.#behind.pop()) {
      const node = this.#nodes.pop() as Node | null, base = this.#bases.pop() as number;
      this.work++;
      if (node === null) this.#goOn(stack, base);
      else this.#enter(node, stack, base);
      if (this.#found.size > formatLimits.ways || this.#seen.size > 8 * formatLimits.ways) {
        for (const list of [this.#nodes, this.#behind, this.#bases]) list.length = 0;
        throw new OptionError(
          `responseFormat: the text may go on in more than ${formatLimits.ways} ways at one place; allow fewer`,
        );
      }
    }
    this.work += this.#found.size;
    return this.#found.size ? this.#set(this.#ordered()) : null;
  }

  #goOn(stack: Stack, base: number): void {
    const { below } = stack;
    if (below === null) {
      this.#found.add(stack.id);
      return;
    }
    const { node, index } = this.network.frames[stack.frame], under = Math.min(base, below.depth);
    if (node.kind === "sequence") this.#part(node, index, below, under);
    else {
      // A turn that has taken nothing is not repeated: it would be for ever.
      const isEmpty = stack.depth > base;
      if (isEmpty || stack.need === 0) this.#look(null, below, under);
      if (isEmpty || (stack.need === 0 && below.depth > deepest)) return;
      this.#look(
        node.parts[0],
        this.#stacks.turns(stack.frame, Math.max(0, stack.need - 1), stack.may - 1, below),
        under,
      );
    }
  }

  /** Part `index` of a sequence comes, and then those behind it. */
  #part({ frame, parts }: Node, index: number, stack: Stack, base: number): void {
    const behind = index + 1 < parts.length ? this.#stacks.rest(frame + index + 1, stack) : stack;
    this.#look(parts[index], behind, base);
  }

  #enter(node: Node, stack: Stack, base: number): void {
    const { kind, parts, from, to, machine } = node, isDeep = stack.depth > deepest;
    switch (kind) {
      case "bytes":
        this.#found.add((2 * node.state + 1) * stackRoom + stack.id);
        break;
      case "machine":
        if (machine!.missing(machine!.start) < Infinity) {
          this.#found.add(this.#machine(node, machine!.start) * stackRoom + stack.id);
        }
        break;
      case "sequence":
        if (parts.length) this.#part(node, 0, stack, base);
        else this.#look(null, stack, base);
        break;
      case "choice":
        if (isDeep) this.#look(parts.reduce((a, b) => b.least < a.least ? b : a), stack, base);
        else for (const part of parts) this.#look(part, stack, base);
        this.work += parts.length;
        break;
      case "repeat":
        if (from === 0) this.#look(null, stack, base);
        if (to > 0 && !(isDeep && from === 0)) {
          this.#look(parts[0], this.#stacks.turns(node.frame, Math.max(0, from - 1), to - 1, stack), base);
        }
        break;
      case "rule":
        this.#look(parts[0], stack, base);
    }
  }

  /** What was found, without places that allow nothing that another does not. */
  #ordered(): Float64Array {
    const groups = new Map<number, number[]>();
    for (const place of this.#found) {
      const stack = this.#stacks.at(place % stackRoom);
      const key = place - stack.id + stack.shape.id, group = groups.get(key);
      if (!group) {
        groups.set(key, [place]);
        continue;
      }
      const stackOf = (other: number): Stack => this.#stacks.at(other % stackRoom);
      const first = Math.max(0, group.length - mostCompared);
      if (group.slice(first).some((other) => this.#allowsAll(stackOf(other), stack))) continue;
      for (let i = group.length - 1; i >= first; i--) {
        if (this.#allowsAll(stack, stackOf(group[i]))) group.splice(i, 1);
      }
      group.push(place);
    }
    return Float64Array.from([...groups.values()].flat()).sort();
  }

  /** Whether whatever may follow `b` may also follow `a`, of two stacks of one shape. */
  #allowsAll(a: Stack, b: Stack): boolean {
    this.work++;
    for (let x = a, y = b; x !== y; x = x.below as Stack, y = y.below as Stack, this.work++) {
      if (x.need > y.need || x.may < y.may) return false;
    }
    return true;
  }

  #set(places: Float64Array): PlaceSet {
    let hash = places.length, missing = Infinity;
    for (const place of places) {
      const code = Math.floor(place / stackRoom), id = place % stackRoom;
      hash = Math.imul(hash ^ id, 0x9e3779b1) ^ Math.imul(code, 0x85ebca6b);
      const own = code === 0
        ? 0
        : code % 2
        ? this.network.least[(code - 1) / 2]
        : this.#missing(this.#machines[code / 2 - 1]);
      missing = Math.min(missing, own + this.#stacks.at(id).left);
    }
    let list = this.#sets.get(hash);
    if (!list) this.#sets.set(hash, list = []);
    const known = list.find((set) =>
      set.places.length === places.length && set.places.every((place, i) => place === places[i])
    );
    if (known) return known;
    const made = new PlaceSet(this, places, missing);
    list.push(made);
    this.#bytes += 400 + 8 * places.length + 8 * this.network.examples.length;
    return made;
  }

  /** Bytes that a machine takes yet; Infinity where not all that it needs can be written. */
  #missing({ node, state }: { node: Node; state: string }): number {
    return node.least === Infinity ? Infinity : node.machine!.missing(state);
  }

  /** Says that memory for something else hangs on its sets. */
  charge(bytes: number): void {
    this.#bytes += bytes;
  }
}
