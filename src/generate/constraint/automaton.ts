/**
 * A grammar as an automaton over the bytes of UTF-8, which can be followed token by token.
 *
 * Each rule is a small network of states; a rule within a rule is a call, so a place in a text is a set of pairs of a state
 * and a stack of those to return to. Sets that were seen are numbered and their steps remembered: to the outside it is a
 * finite automaton that is built as far as texts go (Willard and Louf 2023 for patterns, with a stack for recursion).
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { Grammar, Part, Range } from "./grammar.ts";

interface State {
  /** Bytes from `low` to `high` lead to `to`. */
  readonly bytes: { readonly low: number; readonly high: number; readonly to: number }[];
  /** States that are reached for nothing. */
  readonly free: number[];
  /** A rule that is to be followed, and where to go on after it. */
  readonly calls: { readonly rule: string; readonly to: number }[];
}

/** A place: a state and a stack, by its number. */
interface Place {
  readonly state: number;
  readonly stack: number;
}

const deepest = 64;

/** Sequences of byte ranges that together are the UTF-8 of a range of code points. */
export function utf8Ranges([from, to]: Range): [number, number][][] {
  const result: [number, number][][] = [];
  const encode = (code: number): number[] => [...new TextEncoder().encode(String.fromCodePoint(code))];
  const add = (low: number, high: number): void => {
    const a = encode(low), b = encode(high), n = a.length;
    // Bytes after the first that differs must run over all of 80 to bf, or the range is cut there.
    for (let i = 0; i < n - 1; i++) {
      if (a[i] === b[i]) continue;
      const mask = (1 << (6 * (n - 1 - i))) - 1;
      if ((low & mask) !== 0) return add(low, low | mask), add((low | mask) + 1, high);
      if ((high & mask) !== mask) return add(low, (high & ~mask) - 1), add(high & ~mask, high);
      break;
    }
    result.push(a.map((byte, i) => [byte, b[i]]));
  };
  for (
    const [low, high] of [[0, 0x7f], [0x80, 0x7ff], [0x800, 0xd7ff], [0xe000, 0xffff], [0x10000, 0x10ffff]]
  ) {
    if (Math.max(from, low) <= Math.min(to, high)) add(Math.max(from, low), Math.min(to, high));
  }
  return result;
}

/** An automaton; its places are numbers. */
export class Automaton {
  readonly #states: State[] = [];
  readonly #rules = new Map<string, { start: number; end: number }>();
  // Stack n > 0 returns to #returns[n] and then is stack #below[n]; stack 0 is empty.
  readonly #returns = [-1];
  readonly #below = [-1];
  readonly #depth = [0];
  readonly #stacks = new Map<string, number>();
  readonly #sets: (readonly Place[])[] = [];
  readonly #ids = new Map<string, number>();
  readonly #steps: Int32Array[] = [];
  readonly #left: number[] = [];
  #distances: Float64Array = new Float64Array(0);

  /** Builds the rules. `writable` says which bytes can be written one by one. */
  constructor(grammar: Grammar, writable: (byte: number) => boolean) {
    for (const name of grammar.keys()) this.#rules.set(name, { start: this.#state(), end: this.#state() });
    for (const [name, part] of grammar) {
      const { start, end } = this.#rules.get(name)!;
      this.#build(part, start, end);
    }
    this.#measure(writable);
  }

  #state(): number {
    this.#states.push({ bytes: [], free: [], calls: [] });
    return this.#states.length - 1;
  }

  #build(part: Part, from: number, to: number): void {
    const states = this.#states;
    switch (part.kind) {
      case "set":
        for (const range of part.ranges) {
          for (const bytes of utf8Ranges(range)) {
            let here = from;
            bytes.forEach(([low, high], i) => {
              const next = i === bytes.length - 1 ? to : this.#state();
              states[here].bytes.push({ low, high, to: next });
              here = next;
            });
          }
        }
        return;
      case "sequence": {
        let here = from;
        part.parts.forEach((one, i) => {
          const next = i === part.parts.length - 1 ? to : this.#state();
          this.#build(one, here, next);
          here = next;
        });
        if (!part.parts.length) states[from].free.push(to);
        return;
      }
      case "choice":
        for (const one of part.parts) {
          const start = this.#state();
          states[from].free.push(start);
          this.#build(one, start, to);
        }
        return;
      case "repeat": {
        let here = from;
        for (let i = 0; i < part.least; i++) {
          const next = this.#state();
          this.#build(part.part, here, next);
          here = next;
        }
        if (part.most === Infinity) {
          const loop = this.#state();
          states[here].free.push(loop);
          states[loop].free.push(to);
          this.#build(part.part, loop, loop);
          return;
        }
        for (let i = part.least; i < part.most; i++) {
          const next = this.#state();
          states[here].free.push(to);
          this.#build(part.part, here, next);
          here = next;
        }
        states[here].free.push(to);
        return;
      }
      case "rule":
        if (!this.#rules.has(part.name)) throw new OptionError(`there is no rule "${part.name}"`);
        states[from].calls.push({ rule: part.name, to });
    }
  }

  /** How many bytes each state is from the end of its rule at least, of bytes that can be written alone. */
  #measure(writable: (byte: number) => boolean): void {
    const distances = new Float64Array(this.#states.length).fill(Infinity);
    for (const { end } of this.#rules.values()) distances[end] = 0;
    for (let changed = true; changed;) {
      changed = false;
      this.#states.forEach(({ bytes, free, calls }, i) => {
        let best = distances[i];
        for (const to of free) best = Math.min(best, distances[to]);
        for (const { rule, to } of calls) {
          best = Math.min(best, distances[this.#rules.get(rule)!.start] + distances[to]);
        }
        for (const { low, high, to } of bytes) {
          if (1 + distances[to] >= best) continue;
          for (let byte = low; byte <= high; byte++) {
            if (writable(byte)) {
              best = 1 + distances[to];
              break;
            }
          }
        }
        if (best < distances[i]) {
          distances[i] = best;
          changed = true;
        }
      });
    }
    this.#distances = distances;
  }

  #push(stack: number, to: number): number {
    const key = `${stack},${to}`;
    let found = this.#stacks.get(key);
    if (found === undefined) {
      found = this.#returns.length;
      this.#returns.push(to);
      this.#below.push(stack);
      this.#depth.push(this.#depth[stack] + 1);
      this.#stacks.set(key, found);
    }
    return found;
  }

  /** The number of a set of places with all that is reached from it for nothing. */
  #close(places: readonly Place[]): number {
    const found = new Map<string, Place>(), queue = [...places];
    for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
      const { state, stack } = place, key = `${state}:${stack}`;
      if (found.has(key)) continue;
      found.set(key, place);
      const { free, calls } = this.#states[state];
      for (const to of free) queue.push({ state: to, stack });
      for (const { rule, to } of calls) {
        if (this.#depth[stack] < deepest) {
          queue.push({ state: this.#rules.get(rule)!.start, stack: this.#push(stack, to) });
        }
      }
      if (stack !== 0 && this.#isEnd(state)) {
        queue.push({ state: this.#returns[stack], stack: this.#below[stack] });
      }
    }
    const key = [...found.keys()].sort().join(" ");
    let id = this.#ids.get(key);
    if (id === undefined) {
      id = this.#sets.length;
      this.#ids.set(key, id);
      const set = [...found.values()];
      this.#sets.push(set);
      this.#steps.push(new Int32Array(256).fill(-2));
      this.#left.push(set.reduce((least, place) => Math.min(least, this.#bytesLeft(place)), Infinity));
    }
    return id;
  }

  #isEnd(state: number): boolean {
    for (const { end } of this.#rules.values()) if (end === state) return true;
    return false;
  }

  #bytesLeft({ state, stack }: Place): number {
    let sum = this.#distances[state];
    for (let s = stack; s !== 0; s = this.#below[s]) sum += this.#distances[this.#returns[s]];
    return sum;
  }

  /** The place before a text. */
  start(): number {
    return this.#close([{ state: this.#rules.get("start")!.start, stack: 0 }]);
  }

  /** Where a byte leads from a place; -1 when it cannot come. */
  step(place: number, byte: number): number {
    const known = this.#steps[place][byte];
    if (known !== -2) return known;
    const next: Place[] = [];
    for (const { state, stack } of this.#sets[place]) {
      for (const { low, high, to } of this.#states[state].bytes) {
        if (byte >= low && byte <= high) next.push({ state: to, stack });
      }
    }
    const id = next.length ? this.#close(next) : -1;
    return this.#steps[place][byte] = id;
  }

  /** How many bytes at least are missing until the text is whole: 0 where it is. */
  missing(place: number): number {
    return this.#left[place];
  }
}
