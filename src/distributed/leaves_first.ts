/**
 * An order for backward in which gradients are whole as early as they can be.
 *
 * @module
 */
import type { TapeNode } from "../tensor/mod.ts";

/**
 * The same entries with each leaf right behind the last that passes it a gradient, since leaves were made before all else and would
 * come at the very end; so would what was made of one leaf alone (a copy in another dtype). Only where it does not change
 * in which order three gradients or more are added up.
 */
export function leavesFirst(nodes: readonly TapeNode[]): TapeNode[] {
  const waits = new Map<TapeNode, number>(), result: TapeNode[] = [];
  for (const { parents } of nodes) {
    for (const parent of parents) if (parent) waits.set(parent, (waits.get(parent) ?? 0) + 1);
  }
  const isEarly = ({ leaf, parents }: TapeNode): boolean => {
    const [one] = parents;
    return leaf != null || (parents.length === 1 && one?.leaf != null && waits.get(one)! <= 2);
  };
  const early = new Set(nodes.filter((node) => waits.has(node) && isEarly(node)));
  const add = (node: TapeNode): void => {
    result.push(node);
    for (const parent of node.parents) {
      if (!parent) continue;
      const left = waits.get(parent)! - 1;
      waits.set(parent, left);
      if (left === 0 && early.has(parent)) add(parent);
    }
  };
  for (const node of nodes) if (!early.has(node)) add(node);
  return result;
}
