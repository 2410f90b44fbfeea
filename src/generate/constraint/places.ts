/**
 * Places in a text: where in the grammar it stands, and what is still to come.
 *
 * What is to come is a stack of frames, and how often a part may be repeated yet is two numbers of its frame; so a place is
 * small whatever it counts to. A text may stand at several places at once: such sets, and the frames they lean on, are kept
 * in an arena, where what is equal is the same object and each step is found once (as in a lazily built automaton, Cox 2010,
 * "Regular expression matching in the wild"). An arena that has grown too large is left behind as a whole.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import { type Network, type Node, over } from "./network.ts";

/** Frames behind a place, the next one on top. */
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
  /** The same frames without their numbers. */
  readonly shape: Stack;
  readonly above = new Map<number | string, Stack>();
  /** See {@link Arena.near}. */
  near: Stack | null = null;

  constructor(id: number, below: Stack | null, frame: number, need: number, may: number, left: number, shape: Stack | null) {
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

/** Places at which a text stands at once; in one arena there is no other object with the same. */
export class PlaceSet {
  readonly arena: Arena;
  /** States of bytes; -1 for the end of the text, from -2 down for those of machines. */
  readonly states: readonly number[];
  readonly stacks: readonly Stack[];
  /** How many bytes are missing at least until the text is whole: 0 where it is. */
  readonly missing: number;
  /** Where bytes lead, by their number in the network, as far as it is known. */
  readonly next: (PlaceSet | null)[] = [];
  /** What may follow, where it was found. */
  allowed: Allowed | null = null;

  constructor(arena: Arena, states: readonly number[], stacks: readonly Stack[], missing: number) {
    this.arena = arena;
    this.states = states;
    this.stacks = stacks;
    this.missing = missing;
  }

  /** Whether nothing can follow. */
  get isOver(): boolean {
    return this.states.length === 1 && this.states[0] === over;
  }
}

/** Tokens that may follow. */
export interface Allowed {
  /** A bit for each id. */
  readonly mask: Uint32Array;
  /** The most bytes that are missing after one of them. */
  readonly reach: number;
}

/** The most places at which a text may stand at once. */
export const mostPlaces = 8192;

/** From so many frames on only the shortest way out is followed, so that texts do not nest for ever. */
const deepest = 256;

/** How many of the places of one shape are compared with a further one. */
const mostCompared = 32;
