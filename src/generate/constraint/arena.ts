/**
 * Where a text stands in a grammar: sets of places, each a state of bytes and what comes after it.
 *
 * What is equal is the same object, and each step is found once: a finite automaton that is built as far as texts go (Cox
 * 2010, "Regular expression matching in the wild"), with stacks for what nests and numbers for what counts. An arena that
 * has grown too large is left behind as a whole; what is needed of it is adopted by the next.
 *
 * Each turn of each loop is counted on a meter, and whatever may be long pauses every {@link pause} of them, so that nobody
 * waits longer than that for who follows a grammar.
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

/** Units of work that were done: about as much as one entry of a table costs. */
export interface Meter {
  work: number;
}

/** Work that pauses now and then; what it did is on a meter. */
export type Paused<T> = Generator<void, T, void>;

/** About how many units there are between two pauses. */
export const pause = 1000;

/** All of it at once. */
export function unpaused<T>(work: Paused<T>): T {
  for (;;) {
    const turn = work.next();
    if (turn.done) return turn.value;
  }
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

/** What a question to a machine costs. */
const machineUnits = 64;

/** What is to be looked at, and what was found, in a step that is being made. */
interface Scratch {
  readonly nodes: (Node | null)[];
  readonly behind: Stack[];
  readonly bases: number[];
  readonly seen: Map<number, number>;
  readonly found: Set<number>;
}

/** What is known of a grammar's places. */
export class Arena {
  readonly network: Network;
  readonly meter: Meter;
  readonly #stacks: Stacks;
  readonly #sets = new Map<number, PlaceSet[]>();
  readonly #machines: { node: Node; state: string; missing: number }[] = [];
  readonly #machineIds = new Map<string, number>();
  #bytes = 0;
  #start: PlaceSet | null = null;
  /** For the next steps: several may be on their way at once. */
  readonly #free: Scratch[] = [];

  /** For tokens of at most `longest` bytes. */
  constructor(network: Network, longest: number, meter: Meter = { work: 0 }) {
    this.network = network;
    this.meter = meter;
    this.#stacks = new Stacks(network, longest, meter);
  }

  /** About how many bytes of memory it takes. */
  get bytes(): number {
    return this.#bytes + 240 * this.#stacks.count + 160 * this.#machines.length;
  }

  /**
   * Where a text begins.
   * @throws {OptionError} when it may begin in too many ways.
   */
  *starting(): Paused<PlaceSet> {
    if (this.#start) return this.#start;
    const scratch = this.#begin();
    this.#look(scratch, this.network.start, this.#stacks.bottom, 0);
    return this.#start = (yield* this.#end(scratch)) ?? (yield* this.#set(new Float64Array(0)));
  }

  /** The same at once. */
  start(): PlaceSet {
    return unpaused(this.starting());
  }

  /** Where a byte leads; null when it cannot come, undefined when that was not found out yet. */
  known(set: PlaceSet, byte: number): PlaceSet | null | undefined {
    return set.next[this.network.classes[byte]];
  }

  /**
   * Where a byte leads; null when it cannot come.
   * @throws {OptionError} when there are too many ways.
   */
  *stepping(set: PlaceSet, byte: number): Paused<PlaceSet | null> {
    const number = this.network.classes[byte], known = set.next[number];
    if (known !== undefined) return known;
    const example = this.network.examples[number], scratch = this.#begin(), { meter } = this;
    let next = meter.work + pause;
    for (const place of set.places) {
      const code = Math.floor(place / stackRoom), stack = this.#stacks.at(place % stackRoom);
      meter.work++;
      if (code !== 0 && code % 2 === 0) this.#stepMachine(scratch, code / 2 - 1, example, stack);
      else if (code !== 0) {
        for (const [low, high, to] of this.network.edges[(code - 1) / 2]) {
          meter.work++;
          if (example < low || example > high) continue;
          if (to === over) this.#look(scratch, null, stack, stack.depth);
          else scratch.found.add((2 * to + 1) * stackRoom + stack.id);
        }
      }
      if (meter.work < next) continue;
      yield;
      next = meter.work + pause;
    }
    return set.next[number] = yield* this.#end(scratch);
  }

  /** The same at once. */
  step(set: PlaceSet, byte: number): PlaceSet | null {
    return this.known(set, byte) ?? unpaused(this.stepping(set, byte));
  }

  #stepMachine(scratch: Scratch, id: number, byte: number, stack: Stack): void {
    const { node, state } = this.#machines[id], next = node.machine!.step(state, byte);
    this.meter.work += machineUnits;
    if (next === null) return;
    const code = this.#machine(node, next);
    scratch.found.add(code * stackRoom + stack.id);
    if (this.#machines[code / 2 - 1].missing === 0) this.#look(scratch, null, stack, stack.depth);
  }

  /** The code of a machine's state. */
  #machine(node: Node, state: string): number {
    const key = `${node.id} ${state}`;
    let id = this.#machineIds.get(key);
    if (id === undefined) {
      id = this.#machines.length;
      // Infinity where not all that it needs can be written.
      const missing = node.least === Infinity ? Infinity : node.machine!.missing(state);
      this.#machines.push({ node, state, missing });
      this.meter.work += machineUnits;
      this.#machineIds.set(key, id);
    }
    return 2 * (id + 1);
  }

  /** The set of another arena, in this one. */
  *adopting(set: PlaceSet): Paused<PlaceSet> {
    if (set.arena === this) return set;
    const known = new Map<Stack, Stack>();
    return yield* this.#translate(set, (stack) => this.#stacks.adopt(stack, known));
  }

  /** The set that no token can tell from one of this arena. */
  *nearing(set: PlaceSet): Paused<{ readonly set: PlaceSet; readonly further: number }> {
    let further = 0;
    if (set.near) return set.near;
    const near = yield* this.#translate(set, (stack) => {
      const near = this.#stacks.near(stack);
      if (stack.left < Infinity) further = Math.max(further, stack.left - near.left);
      return near;
    });
    return set.near = { set: near, further };
  }

  *#translate({ arena, places }: PlaceSet, to: (stack: Stack) => Stack): Paused<PlaceSet> {
    const scratch = this.#begin(), { meter } = this;
    let next = meter.work + pause;
    for (const place of places) {
      let code = Math.floor(place / stackRoom);
      const stack = arena.#stacks.at(place % stackRoom);
      if (code > 0 && code % 2 === 0 && arena !== this) {
        const { node, state } = arena.#machines[code / 2 - 1];
        code = this.#machine(node, state);
      }
      scratch.found.add(code * stackRoom + to(stack).id);
      meter.work += 2;
      if (meter.work < next) continue;
      yield;
      next = meter.work + pause;
    }
    return (yield* this.#end(scratch)) as PlaceSet;
  }

  #begin(): Scratch {
    const free = this.#free.pop();
    if (!free) return { nodes: [], behind: [], bases: [], seen: new Map(), found: new Set() };
    free.seen.clear();
    free.found.clear();
    return free;
  }

  /** A node is to come, or what `stack` says where it is null; frames above `base` were put there in this step. */
  #look({ seen, nodes, behind, bases }: Scratch, node: Node | null, stack: Stack, base: number): void {
    const key = (node === null ? 0 : node.id + 1) * stackRoom + stack.id, before = seen.get(key);
    this.meter.work++;
    if (before !== undefined && before >= base) return;
    if (seen.size > 8 * formatLimits.ways) this.#tooMany();
    seen.set(key, base);
    nodes.push(node);
    behind.push(stack);
    bases.push(base);
  }

  #tooMany(): never {
    throw new OptionError(
      `responseFormat: the text may go on in more than ${formatLimits.ways} ways at one place; allow fewer`,
    );
  }

  /** Follows all that is reached for nothing; gives the set of what was found. */
  *#end(scratch: Scratch): Paused<PlaceSet | null> {
    const { nodes, behind, bases, found } = scratch, { meter } = this;
    let next = meter.work + pause;
    for (let stack = behind.pop(); stack !== undefined; stack = behind.pop()) {
      const node = nodes.pop() as Node | null, base = bases.pop() as number;
      meter.work++;
      if (node === null) this.#goOn(scratch, stack, base);
      else this.#enter(scratch, node, stack, base);
      if (found.size > formatLimits.ways) this.#tooMany();
      if (meter.work < next) continue;
      yield;
      next = meter.work + pause;
    }
    meter.work += found.size;
    const set = found.size ? yield* this.#set(yield* this.#ordered(found)) : null;
    this.#free.push(scratch);
    return set;
  }

  #goOn(scratch: Scratch, stack: Stack, base: number): void {
    const { below } = stack;
    if (below === null) {
      scratch.found.add(stack.id);
      return;
    }
    const { node, index } = this.network.frames[stack.frame], under = Math.min(base, below.depth);
    if (node.kind === "sequence") this.#part(scratch, node, index, below, under);
    else {
      // A turn that has taken nothing is not repeated: it would be for ever.
      const isEmpty = stack.depth > base;
      if (isEmpty || stack.need === 0) this.#look(scratch, null, below, under);
      if (isEmpty || (stack.need === 0 && below.depth > deepest)) return;
      this.#look(
        scratch,
        node.parts[0],
        this.#stacks.turns(stack.frame, Math.max(0, stack.need - 1), stack.may - 1, below),
        under,
      );
    }
  }

  /** Part `index` of a sequence comes, and then those behind it. */
  #part(scratch: Scratch, { frame, parts }: Node, index: number, stack: Stack, base: number): void {
    const behind = index + 1 < parts.length ? this.#stacks.rest(frame + index + 1, stack) : stack;
    this.#look(scratch, parts[index], behind, base);
  }

  #enter(scratch: Scratch, node: Node, stack: Stack, base: number): void {
    const { kind, parts, from, to, machine } = node, isDeep = stack.depth > deepest;
    switch (kind) {
      case "bytes":
        scratch.found.add((2 * node.state + 1) * stackRoom + stack.id);
        break;
      case "machine":
        scratch.found.add(this.#machine(node, machine!.start) * stackRoom + stack.id);
        break;
      case "sequence":
        if (parts.length) this.#part(scratch, node, 0, stack, base);
        else this.#look(scratch, null, stack, base);
        break;
      case "choice":
        if (isDeep) {
          this.meter.work += parts.length;
          this.#look(scratch, parts.reduce((a, b) => b.least < a.least ? b : a), stack, base);
        } else for (const part of parts) this.#look(scratch, part, stack, base);
        break;
      case "repeat":
        if (from === 0) this.#look(scratch, null, stack, base);
        if (to > 0 && !(isDeep && from === 0)) {
          const behind = this.#stacks.turns(node.frame, Math.max(0, from - 1), to - 1, stack);
          this.#look(scratch, parts[0], behind, base);
        }
        break;
      case "rule":
        this.#look(scratch, parts[0], stack, base);
    }
  }

  /** What was found, without places that allow nothing that another does not. */
  *#ordered(found: ReadonlySet<number>): Paused<Float64Array> {
    const groups = new Map<number, number[]>(), { meter } = this;
    let next = meter.work + pause;
    for (const place of found) {
      if (meter.work >= next) {
        yield;
        next = meter.work + pause;
      }
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
    meter.work += 4 * found.size;
    return Float64Array.from([...groups.values()].flat()).sort();
  }

  /** Whether whatever may follow `b` may also follow `a`, of two stacks of one shape. */
  #allowsAll(a: Stack, b: Stack): boolean {
    this.meter.work++;
    for (let x = a, y = b; x !== y; x = x.below as Stack, y = y.below as Stack, this.meter.work++) {
      if (x.need > y.need || x.may < y.may) return false;
    }
    return true;
  }

  *#set(places: Float64Array): Paused<PlaceSet> {
    const { meter } = this;
    let hash = places.length, missing = Infinity, next = meter.work + pause;
    for (const place of places) {
      if (meter.work >= next) {
        yield;
        next = meter.work + pause;
      }
      meter.work++;
      const code = Math.floor(place / stackRoom), id = place % stackRoom;
      hash = Math.imul(hash ^ id, 0x9e3779b1) ^ Math.imul(code, 0x85ebca6b);
      const own = code === 0
        ? 0
        : code % 2
        ? this.network.least[(code - 1) / 2]
        : this.#machines[code / 2 - 1].missing;
      missing = Math.min(missing, own + this.#stacks.at(id).left);
    }
    let list = this.#sets.get(hash);
    if (!list) this.#sets.set(hash, list = []);
    meter.work += list.length * places.length;
    const known = list.find((set) =>
      set.places.length === places.length && set.places.every((place, i) => place === places[i])
    );
    if (known) return known;
    const made = new PlaceSet(this, places, missing);
    list.push(made);
    this.#bytes += 400 + 8 * places.length + 8 * this.network.examples.length;
    return made;
  }

  /** Says that memory for something else hangs on its sets. */
  charge(bytes: number): void {
    this.#bytes += bytes;
  }
}
