/**
 * Going back along the tape: reverse-mode differentiation.
 *
 * Entries are visited so that each has all its gradient before it passes it on (a topological order found without
 * recursion, so depth is no limit). Temporary tensors of each step are freed at once, and what an entry kept is
 * freed when it was used, so a training step's memory falls while it goes back. With `createGraph` the gradients are
 * recorded themselves, and can be differentiated again.
 *
 * @module
 */
import { FerrotypeError, OptionError, ShapeError } from "../core/errors.ts";
import { flag } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { show } from "../core/show.ts";
import { formatShape, isDense, sameShape } from "../core/shape.ts";
import { binary, input } from "../expr/nodes.ts";
import { alias, TensorBase } from "./base.ts";
import { apply, computeType, prepare } from "./expression.ts";
import { addInto, copy, copyLaid, filled } from "./fill.ts";
import { keep, tidy } from "./lifetime.ts";
import { activeWatcher, asLeaf, record, setWatcher, type TapeNode, withRecording } from "./tape.ts";

/**
 * Options of {@link backward} and {@link gradients}.
 *
 * @category Gradients and programs
 */
export interface BackwardOptions {
  /** Keep what the tape saved, so that one can go back again. Default: the value of createGraph. */
  retainGraph?: boolean;
  /** Record the gradients too, for gradients of gradients. Default false. */
  createGraph?: boolean;
}

const backwardOptions: OptionTable<BackwardOptions> = { retainGraph: flag, createGraph: flag };

const addition = prepare("add", binary("add", input(0), input(1)), 2, 0);

/** The entries that lead to `root`, from number `oldest` on, each before those it passes gradients to. */
export function history(root: TapeNode, oldest = 0): TapeNode[] {
  const seen = new Set<TapeNode>([root]), result: TapeNode[] = [root];
  for (const node of result) {
    for (const parent of node.parents) {
      if (!parent || parent.id < oldest || seen.has(parent)) continue;
      seen.add(parent);
      result.push(parent);
    }
  }
  return result.sort((a, b) => b.id - a.id);
}

/** The entries among `nodes` (latest first) whose gradient reaches one of `wanted`. */
function leadingTo(wanted: ReadonlySet<TapeNode>, nodes: readonly TapeNode[]): Set<TapeNode> {
  const useful = new Set<TapeNode>();
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    // One that was released forgot where it leads, so it is gone to, which throws.
    const leads = wanted.has(node) || node.isReleased;
    if (leads || node.parents.some((p) => p !== null && useful.has(p))) useful.add(node);
  }
  return useful;
}

/**
 * The same entries with each leaf right behind the last that passes it a gradient, since leaves were made before all else and would
 * come at the very end; so would what was made of one leaf alone (a copy in another dtype). Only where it does not change
 * in which order three gradients or more are added up.
 */
function leavesFirst(nodes: readonly TapeNode[]): TapeNode[] {
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

/** Whether nobody else holds t's memory and t is all of it. */
function isAlone(t: TensorBase): boolean {
  return t.storage.holders === 1 && isDense(t.shape, t.strides);
}

/** `a + b` into a's memory when nobody else holds it and nothing is recorded, else into a new tensor. */
function sum(a: TensorBase, b: TensorBase, mayOverwrite: boolean): TensorBase {
  if (mayOverwrite && isAlone(a) && a.dtype === b.dtype) {
    addInto(b, a);
    return a;
  }
  return apply(addition, [a, b], [], computeType(a.dtype), a.dtype);
}

function startGradient(root: TensorBase, gradient: TensorBase | undefined): TensorBase {
  if (!root.node) {
    throw new FerrotypeError(
      "backward: this tensor does not depend on any tensor made with { requiresGrad: true }",
    );
  }
  if (gradient) {
    if (!sameShape(gradient.shape, root.shape)) {
      throw new ShapeError(
        `backward: the gradient has shape ${formatShape(gradient.shape)}, the tensor ${
          formatShape(root.shape)
        }`,
      );
    }
    const own = alias(gradient);
    own.node = gradient.node;
    return own;
  }
  if (root.size !== 1) {
    throw new ShapeError(
      `backward: a tensor of shape ${formatShape(root.shape)} needs a gradient to start from; ` +
        `reduce it to one number (sum, mean) or pass one of its shape`,
    );
  }
  return filled(root.shape, 1, root.dtype, root.backend, "ones");
}

/** Handles of their own for gradients that an entry passed on as they came, or to several inputs at once. */
function distinct(g: TensorBase, flow: readonly (TensorBase | null)[]): (TensorBase | null)[] {
  const seen = new Set<TensorBase>([g]);
  return flow.map((t) => {
    if (!t || !seen.has(t)) {
      if (t) seen.add(t);
      return t;
    }
    const own = alias(t);
    own.node = t.node;
    return own;
  });
}

/** Adds the gradient of node's one input to what is there of it already; false where that cannot be done in place. */
function addsInPlace(node: TapeNode, g: TensorBase, pending: ReadonlyMap<TapeNode, TensorBase>): boolean {
  const [parent] = node.parents, before = parent && pending.get(parent);
  if (node.parents.length !== 1 || !before || !isAlone(before) || before.dtype !== g.dtype) return false;
  return tidy(() => node.addTo(g, before));
}

/** Adds node's gradients to those of its inputs. */
function pass(
  node: TapeNode,
  g: TensorBase,
  needs: readonly boolean[],
  pending: Map<TapeNode, TensorBase>,
  mayOverwrite: boolean,
): void {
  const watcher = activeWatcher();
  // What a gradient is computed with is of no interest: the operation itself is named.
  if (watcher) setWatcher(null);
  let flow: (TensorBase | null)[];
  try {
    flow = tidy(() => distinct(g, node.apply(g, needs)));
  } finally {
    if (watcher) setWatcher(watcher);
  }
  watcher?.gradient(node, g, flow);
  node.parents.forEach((parent, i) => {
    const t = flow[i];
    if (!t) return;
    if (!parent || !needs[i]) return t.dispose();
    const before = pending.get(parent);
    if (!before) return pending.set(parent, t);
    const total = sum(before, t, mayOverwrite);
    pending.set(parent, total);
    if (!mayOverwrite) return;
    if (total !== before) before.dispose();
    t.dispose();
  });
}

/** Hears of each leaf whose gradient went on, and how many backwards are inside of each other. */
type LeafListener = (leaf: TensorBase, depth: number) => void;

let leafListener: LeafListener | null = null, depth = 0;

/**
 * Calls `listener` for each leaf when a backward has added all it has to its `grad`.
 * @returns a function that stops it.
 */
export function onLeafGradient(listener: LeafListener): () => void {
  const before = leafListener;
  leafListener = listener;
  return () => leafListener = before;
}

/**
 * Takes gradients from `root` back to the leaves, or, when `wanted` is given, to these entries and no further;
 * `arrive` sees the whole gradient of each entry.
 */
function walk(
  root: TensorBase,
  gradient: TensorBase | undefined,
  options: BackwardOptions,
  wanted: ReadonlySet<TapeNode> | null,
  arrive: (node: TapeNode, gradient: TensorBase) => void,
): void {
  const { createGraph = false, retainGraph = createGraph } = options;
  withRecording(createGraph, () => {
    const start = startGradient(root, gradient), first = root.node as TapeNode;
    let oldest = wanted ? Infinity : 0;
    for (const node of wanted ?? []) oldest = Math.min(oldest, node.id);
    const found = history(first, oldest), useful = wanted && leadingTo(wanted, found);
    const nodes = leafListener && !wanted ? leavesFirst(found) : found;
    const pending = new Map<TapeNode, TensorBase>([[first, start]]);
    for (const node of nodes) {
      const g = pending.get(node);
      if (!g) continue;
      pending.delete(node);
      arrive(node, g);
      const needs = node.parents.map((p) => p !== null && (useful === null || useful.has(p)));
      if (!node.leaf && (needs.includes(true) || node.isReleased)) {
        const isPassed = createGraph || activeWatcher() !== null || !addsInPlace(node, g, pending);
        if (isPassed) pass(node, g, needs, pending, !createGraph);
        if (!retainGraph) node.release();
      }
      if (!createGraph && !g.isKept) g.dispose();
    }
  });
}

/**
 * Adds to `grad` of every leaf that `root` depends on its derivative of `root`.
 *
 * @param gradient the derivative of what one is after by `root`; 1 when root is a single number.
 */
export function backward(root: TensorBase, gradient?: TensorBase, options: BackwardOptions = {}): void {
  const { createGraph = false } = checkOptions("backward", options, backwardOptions);
  if (gradient !== undefined && !(gradient instanceof TensorBase)) {
    throw new OptionError(
      `backward: the gradient is ${show(gradient)}, expected a tensor; options come after it`,
    );
  }
  depth++;
  try {
    walk(root, gradient, options, null, (node, g) => {
      if (!node.leaf || node.leaf.isDisposed) return;
      const original = originals.get(node.leaf);
      if (original) gatherWide(original, g);
      else gatherIn(node.leaf, g, createGraph);
      leafListener?.(original ?? node.leaf, depth);
    });
  } finally {
    depth--;
  }
}

/** Leaves that stand for others, whose gradients gather there. */
const originals = new WeakMap<TensorBase, TensorBase>();

/** Lets the gradients of `copy`, a leaf of fewer bits, gather at `original`, in its dtype. */
export function gatherAt(copy: TensorBase, original: TensorBase): void {
  originals.set(copy, original);
}

/** Adds `g`, of another dtype, to the gradient of `leaf`, in the dtype of that. */
function gatherWide(leaf: TensorBase, g: TensorBase): void {
  const before = leaf.grad;
  if (before && isAlone(before)) return addInto(g, before);
  const own = copyLaid(g, leaf.dtype);
  if (before) addInto(before, own);
  leaf.grad = keep(own);
}

/** Adds `g` to the gradient of `leaf`. */
function gatherIn(leaf: TensorBase, g: TensorBase, createGraph: boolean): void {
  if (leaf.grad && !createGraph) {
    const total = sum(leaf.grad, g, true);
    if (total !== leaf.grad) leaf.grad = keep(total);
  } else if (leaf.grad) {
    leaf.grad = keep(sum(leaf.grad, g, false));
  } else {
    // The gradient may still be shared with another leaf (y = a + b), so each leaf holds memory of its own.
    const own = createGraph || isAlone(g) ? alias(g) : copy(g);
    own.node = createGraph ? g.node : null;
    leaf.grad = keep(own);
  }
}

/**
 * The derivatives of `root` by each of `inputs` (tensors on the tape), without touching any `grad`; null where root
 * does not depend on one.
 */
export function gradients(
  root: TensorBase,
  inputs: readonly TensorBase[],
  gradient?: TensorBase,
  options: BackwardOptions = {},
): (TensorBase | null)[] {
  const wanted = inputs.map((t, i) => {
    if (!t.node) throw new FerrotypeError(`gradients: input ${i} was made without { requiresGrad: true }`);
    return t.node;
  });
  const found: (TensorBase | null)[] = inputs.map(() => null);
  walk(root, gradient, options, new Set(wanted), (node, g) => {
    wanted.forEach((one, i) => {
      if (one !== node) return;
      const own = alias(g);
      own.node = options.createGraph ? g.node : null;
      found[i] = own;
    });
  });
  return found;
}

/** A variable on `t`'s memory: a leaf, or, when t is on a tape and `connected`, an entry that passes gradients on to it. */
export function variable(t: TensorBase, connected: boolean): TensorBase {
  const x = alias(t);
  if (t.node && connected) record("variable", x, [t], [], { backward: (g) => [g] });
  else asLeaf(x, true);
  return x;
}
