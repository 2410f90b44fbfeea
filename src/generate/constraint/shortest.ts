/**
 * The shortest text of every part of a grammar: Dijkstra's search on a grammar (Knuth 1977, "A generalization of Dijkstra's
 * algorithm"), each part settled once, from the shortest up.
 *
 * @module
 */
import type { Steps } from "../../core/steps.ts";
import type { Node } from "./network.ts";

/** Numbers and what they belong to, the least first. */
class Heap {
  readonly #keys: number[] = [];
  readonly #ids: number[] = [];

  get length(): number {
    return this.#keys.length;
  }

  push(key: number, id: number): void {
    const keys = this.#keys, ids = this.#ids;
    let at = keys.length;
    for (; at > 0; at = (at - 1) >> 1) {
      const above = (at - 1) >> 1;
      if (keys[above] <= key) break;
      keys[at] = keys[above];
      ids[at] = ids[above];
    }
    keys[at] = key;
    ids[at] = id;
  }

  pop(): [key: number, id: number] {
    const keys = this.#keys, ids = this.#ids, first: [number, number] = [keys[0], ids[0]];
    const key = keys.pop() as number, id = ids.pop() as number, count = keys.length;
    if (count) {
      let at = 0;
      for (let below = 1; below < count; below = 2 * at + 1) {
        if (below + 1 < count && keys[below + 1] < keys[below]) below++;
        if (keys[below] >= key) break;
        keys[at] = keys[below];
        ids[at] = ids[below];
        at = below;
      }
      keys[at] = key;
      ids[at] = id;
    }
    return first;
  }
}

/** The least number of bytes of each node, by its id; `leaf` says how many characters and machines take. */
export function* shortest(nodes: readonly Node[], leaf: (node: Node) => number): Steps<Float64Array> {
  const found = new Float64Array(nodes.length).fill(Infinity), settled = new Uint8Array(nodes.length);
  const users: number[][] = nodes.map(() => []), open = new Int32Array(nodes.length);
  const sums = new Float64Array(nodes.length), heap = new Heap();
  const offer = (id: number, value: number): void => {
    if (value < found[id]) {
      found[id] = value;
      heap.push(value, id);
    }
  };
  for (const node of nodes) {
    open[node.id] = node.parts.length;
    for (const { id } of node.parts) users[id].push(node.id);
    if (node.kind === "bytes" || node.kind === "machine") offer(node.id, leaf(node));
    else if (node.kind === "repeat" ? node.from === 0 : node.kind === "sequence" && !node.parts.length) {
      offer(node.id, 0);
    }
    yield 1 + node.parts.length;
  }
  while (heap.length) {
    const [value, id] = heap.pop();
    if (settled[id]) continue;
    settled[id] = 1;
    for (const user of users[id]) {
      const node = nodes[user];
      if (node.kind === "sequence") {
        sums[user] += value;
        if (--open[user] === 0) offer(user, sums[user]);
      } else offer(user, node.kind === "repeat" ? value * node.from : value);
    }
    yield 1 + users[id].length;
  }
  return found;
}
