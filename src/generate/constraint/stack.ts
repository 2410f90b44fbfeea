/**
 * What is still to come of a text, as frames on top of each other. How often a part must and may be repeated yet are two
 * numbers of its frame, so a stack is as deep as the text is nested, whatever it counts to.
 *
 * @module
 */
import type { Network } from "./network.ts";

/** A number where that is possible: frames are fewer than 2^18, and repetitions at most 1e9 where they end. */
function keyOf(frame: number, need: number, may: number): number | string {
  if (need === 0) return (may === Infinity ? 0 : may) * 2 ** 18 + frame;
  return need === may ? -(Math.max(0, may) * 2 ** 18 + frame) - 1 : `${frame} ${need} ${may}`;
}

/** Frames, the next one on top; in one arena there is no other object with the same. */
export class Stack {
  /** Its number in the arena. */
  readonly id: number;
  readonly below: Stack | null;
  /** The frame on top; -1 at the bottom. */
  readonly frame: number;
  /** Of a repetition: how many turns must come yet, and how many may. */
  readonly need: number;
  readonly may: number;
  /** How many bytes are missing at least from here to the end of the text. */
  readonly left: number;
  readonly depth: number;
  /** The same frames whatever they count. */
  readonly shape: Stack;
  /** What was put on top of it. */
  above: Map<number | string, Stack> | null = null;
  /** The same where no number is larger than one token can tell; see {@link Stacks.near}. */
  near: Stack | null = null;

  constructor(
    id: number,
    below: Stack | null,
    frame: number,
    need: number,
    may: number,
    left: number,
    shape: Stack | null,
  ) {
    this.id = id;
    this.below = below;
    this.frame = frame;
    this.need = need;
    this.may = may;
    this.left = left;
    this.depth = below ? below.depth + 1 : 0;
    this.shape = shape ?? this;
  }
}

/** All stacks of an arena. */
export class Stacks {
  readonly #network: Network;
  readonly #longest: number;
  readonly #meter: { work: number };
  readonly #all: Stack[] = [];
  /** Nothing is to come. */
  readonly bottom: Stack;

  /** For tokens of at most `longest` bytes. */
  constructor(network: Network, longest: number, meter: { work: number }) {
    this.#network = network;
    this.#meter = meter;
    this.#longest = longest;
    this.bottom = this.#make(null, -1, 0, 0, 0, null);
  }

  /** How many there are. */
  get count(): number {
    return this.#all.length;
  }

  /** A stack by its number. */
  at(id: number): Stack {
    return this.#all[id];
  }

  /** Part `index` of a sequence, and those behind it, come before what `below` says. */
  rest(frame: number, below: Stack): Stack {
    const { node, index } = this.#network.frames[frame];
    return below.above?.get(frame) ?? this.#put(
      frame,
      below,
      frame,
      0,
      0,
      node.rests[index] + below.left,
      below.shape === below ? null : this.rest(frame, below.shape),
    );
  }

  /** So many further turns of a repetition must and may come before what `below` says. */
  turns(frame: number, need: number, may: number, below: Stack): Stack {
    if (may === 0) return below;
    const { parts: [part], from, to } = this.#network.frames[frame].node;
    const isPlain = to === Infinity && from <= 1, key = isPlain ? frame : keyOf(frame, need, may);
    const known = below.above?.get(key);
    if (known) return known;
    // A count of -1 stands for any.
    const isShape = isPlain ? below.shape === below : need < 0;
    return this.#put(
      key,
      below,
      frame,
      need,
      may,
      below.left + (need > 0 ? need * part.least : 0),
      isShape ? null : this.turns(frame, isPlain ? need : -1, isPlain ? may : -1, below.shape),
    );
  }

  #put(
    key: number | string,
    below: Stack,
    frame: number,
    need: number,
    may: number,
    left: number,
    shape: Stack | null,
  ): Stack {
    const made = this.#make(below, frame, need, may, left, shape);
    (below.above ??= new Map()).set(key, made);
    return made;
  }

  #make(
    below: Stack | null,
    frame: number,
    need: number,
    may: number,
    left: number,
    shape: Stack | null,
  ): Stack {
    this.#meter.work++;
    const made = new Stack(this.#all.length, below, frame, need, may, left, shape);
    this.#all.push(made);
    return made;
  }

  /** The stack of another arena, in this one. */
  adopt(stack: Stack, known: Map<Stack, Stack>): Stack {
    return this.#rebuild(stack, (s) => s.below ? known.get(s) : this.bottom, (s, made) => {
      known.set(s, made);
    }, (need, may) => [need, may]);
  }

  /**
   * A stack that no token can tell from this one: what is further than a token is long counts as one step further. So
   * places that differ in how far they have counted have the same tokens, found once.
   */
  near(stack: Stack): Stack {
    return this.#rebuild(stack, (s) => s.below ? s.near ?? undefined : s, (s, made) => {
      s.near = made;
    }, (need, may, unit) => {
      const turns = Math.floor(this.#longest / Math.max(1, unit)) + 1;
      return [Math.min(need, turns + 1), may > turns ? Infinity : may];
    });
  }

  /** From the bottom up; stacks may be deeper than functions can call themselves. */
  #rebuild(
    stack: Stack,
    known: (stack: Stack) => Stack | undefined,
    keep: (stack: Stack, made: Stack) => void,
    counts: (need: number, may: number, unit: number) => [number, number],
  ): Stack {
    const waiting: Stack[] = [];
    let here = stack, made = known(here);
    for (; made === undefined; made = known(here), this.#meter.work++) {
      waiting.push(here);
      here = here.below as Stack;
    }
    for (let i = waiting.length - 1; i >= 0; i--, this.#meter.work++) {
      const { frame, need, may } = here = waiting[i], { node } = this.#network.frames[frame];
      if (node.kind === "sequence") made = this.rest(frame, made);
      else {
        const [least, most] = counts(need, may, node.parts[0].unit);
        made = this.turns(frame, least, most, made);
      }
      keep(here, made);
    }
    return made;
  }
}
