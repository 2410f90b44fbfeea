/**
 * All tokens of a tokenizer as a tree of bytes, so that tokens that begin alike are tried together. There is one for each
 * tokenizer, and masks of its tokens that are equal are one, whatever formats texts follow.
 *
 * @module
 */
import type { Steps } from "../../core/steps.ts";
import type { Tokenizer } from "../../text/mod.ts";
import { tokenBytes } from "./token_bytes.ts";

/** Longer tokens are never made in a text that follows a format. */
const longestToken = 512;

/** How many bytes of masks a vocabulary remembers, to find those that are equal. */
const mostShared = 16 * 2 ** 20;

/** Tokens as a tree: nodes in the order of a walk, each before those below it. */
export class Vocabulary {
  /** How many ids there are. */
  readonly size: number;
  /** How many bytes the longest token has. */
  readonly longest: number;
  /** The byte that leads to each node. */
  readonly byte: Uint8Array;
  /** How many bytes lead to each node before that. */
  readonly depth: Uint16Array;
  /** The node after all that are below. */
  readonly skip: Int32Array;
  /** How many further bytes the longest token has that goes through each node. */
  readonly height: Uint16Array;
  /** Tokens that end at node n are those of `ids` from `from[n]` to `from[n + 1]`. */
  readonly from: Int32Array;
  readonly ids: Int32Array;
  readonly #bytes: readonly (Uint8Array | null)[];
  readonly #alone: Uint8Array;
  readonly #otherAtStart: ReadonlySet<number>;
  readonly #masks = new Map<number, Uint32Array[]>();
  #shared = 0;

  private constructor(
    bytes: readonly (Uint8Array | null)[],
    otherAtStart: ReadonlySet<number>,
    nodes: number,
  ) {
    this.size = bytes.length;
    this.#bytes = bytes;
    this.#otherAtStart = otherAtStart;
    this.#alone = new Uint8Array(256);
    let longest = 0, count = 0;
    for (const one of bytes) {
      if (!one) continue;
      count++;
      longest = Math.max(longest, one.length);
      if (one.length === 1) this.#alone[one[0]] = 1;
    }
    this.longest = longest;
    this.byte = new Uint8Array(nodes);
    this.depth = new Uint16Array(nodes);
    this.skip = new Int32Array(nodes);
    this.height = new Uint16Array(nodes);
    this.from = new Int32Array(nodes + 1);
    this.ids = new Int32Array(count);
  }

  /** Reads a tokenizer. */
  static *of(tokenizer: Tokenizer): Steps<Vocabulary> {
    const size = tokenizer.vocabSize, read = tokenBytes(tokenizer), otherAtStart = new Set<number>();
    const all: (Uint8Array | null)[] = [];
    // A tree as it grows: the first below each node, the next beside it, and the first and next id that end there.
    const child = [-1], beside = [-1], byteOf = [0], firstId = [-1], nextId = new Int32Array(size).fill(-1);
    // By the byte, as one table of half a million entries takes long whenever it grows.
    const known = Array.from({ length: 256 }, () => new Map<number, number>());
    for (let id = 0; id < size; id++) {
      const { bytes, sameAtStart } = read(id);
      yield 40 + 8 * (bytes?.length ?? 0);
      all.push(bytes && bytes.length <= longestToken ? bytes : null);
      if (!all[id]) continue;
      if (!sameAtStart) otherAtStart.add(id);
      let node = 0;
      for (const byte of all[id] as Uint8Array) {
        let next = known[byte].get(node);
        if (next === undefined) {
          next = child.length;
          known[byte].set(node, next);
          child.push(-1);
          beside.push(child[node]);
          byteOf.push(byte);
          firstId.push(-1);
          child[node] = next;
        }
        node = next;
      }
      nextId[id] = firstId[node];
      firstId[node] = id;
    }
    const made = new Vocabulary(all, otherAtStart, child.length - 1);
    yield all.length >> 1;
    const path: number[] = [];
    let at = 0, ids = 0;
    // One that is passed ends the subtrees of those before it that are no nearer to the root.
    const close = (depth: number): void => {
      while (path.length > depth) {
        const node = path.pop() as number, above = path.at(-1);
        made.skip[node] = at;
        if (above !== undefined) made.height[above] = Math.max(made.height[above], made.height[node] + 1);
      }
    };
    for (let open = [[child[0], 0]], top = open.pop(); top; top = open.pop()) {
      const [node, depth] = top;
      if (node < 0) continue;
      close(depth);
      open.push([beside[node], depth], [child[node], depth + 1]);
      made.byte[at] = byteOf[node];
      made.depth[at] = depth;
      for (let id = firstId[node]; id >= 0; id = nextId[id]) made.ids[ids++] = id;
      path.push(at++);
      made.from[at] = ids;
      yield 10;
    }
    close(0);
    return made;
  }

  /** The bytes of a token; null for what writes no text. */
  bytes(id: number): Uint8Array | null {
    return this.#bytes[id] ?? null;
  }

  /** Whether there is a token of this byte alone. */
  isAlone(byte: number): boolean {
    return this.#alone[byte] === 1;
  }

  /** Takes tokens out of a mask that write another text at the start than further on. */
  clearOtherAtStart(mask: Uint32Array): void {
    for (const id of this.#otherAtStart) mask[id >> 5] &= ~(1 << (id & 31));
  }

  /** The mask that is equal to this one, if there was one; else this one. */
  share(mask: Uint32Array): Uint32Array {
    let hash = 0;
    for (const word of mask) hash = Math.imul(hash ^ word, 0x9e3779b1) ^ (hash >>> 15);
    const list = this.#masks.get(hash),
      known = list?.find((other) => other.every((word, i) => word === mask[i]));
    if (known) return known;
    if (this.#shared + mask.byteLength > mostShared) {
      this.#masks.clear();
      this.#shared = 0;
    }
    this.#shared += mask.byteLength;
    const here = this.#masks.get(hash);
    if (here) here.push(mask);
    else this.#masks.set(hash, [mask]);
    return mask;
  }
}
