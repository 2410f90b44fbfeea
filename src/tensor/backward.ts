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
import { FerrotypeError, ShapeError } from "../core/errors.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import { binary, constant, input } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { alias, empty, type TensorBase } from "./base.ts";
import { apply, computeType, prepare } from "./expression.ts";
import { keep, tidy } from "./lifetime.ts";
import { asLeaf, isRecording, record, type TapeNode, withRecording } from "./tape.ts";

/** Options of {@link backward} and {@link gradients}. */
export interface BackwardOptions {
  /** Keep what the tape saved, so that one can go back again. Default: the value of createGraph. */
  retainGraph?: boolean;
  /** Record the gradients too, for gradients of gradients. Default false. */
  createGraph?: boolean;
}

const addition = prepare("add", binary("add", input(0), input(1)), 2, 0);

/** A tensor of ones like `t`. */
export function onesLike(t: TensorBase): TensorBase {
  const out = empty(t.shape, t.dtype, t.backend, "ones");
  const type = computeType(t.dtype);
  if (out.size) t.backend.elementwise(program(type, [constant(1)], { inputs: 0, scalars: 0 }), [], [], [out]);
  return out;
}

function order(root: TapeNode): TapeNode[] {
  const done = new Set<TapeNode>(), open = new Set<TapeNode>(), result: TapeNode[] = [];
  const stack: TapeNode[] = [root];
  while (stack.length) {
    const node = stack[stack.length - 1];
    if (done.has(node)) {
      stack.pop();
      continue;
    }
    if (open.has(node)) {
      stack.pop();
      done.add(node);
      result.push(node);
      continue;
    }
    open.add(node);
    for (const parent of node.parents) if (parent && !done.has(parent)) stack.push(parent);
  }
  return result.reverse();
}

/** `a + b` into a's memory when nobody else holds it and nothing is recorded, else into a new tensor. */
function sum(a: TensorBase, b: TensorBase, mayOverwrite: boolean): TensorBase {
  if (mayOverwrite && a.storage.holders === 1 && a.isContiguous && a.dtype === b.dtype) {
    const type = computeType(a.dtype);
    a.backend.elementwise(program(type, [addition.expr], { inputs: 2, scalars: 0 }), [a, b], [], [a]);
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
        `backward: the gradient has shape ${formatShape(gradient.shape)}, the tensor ${formatShape(root.shape)}`,
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
  return onesLike(root);
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

function walk(
  root: TensorBase,
  gradient: TensorBase | undefined,
  options: BackwardOptions,
  arrive: (node: TapeNode, gradient: TensorBase) => void,
): void {
  const { createGraph = false, retainGraph = createGraph } = options;
  withRecording(createGraph, () => {
    const start = startGradient(root, gradient);
    const pending = new Map<TapeNode, TensorBase>([[root.node!, start]]);
    for (const node of order(root.node!)) {
      const g = pending.get(node);
      if (!g) continue;
      pending.delete(node);
      arrive(node, g);
      if (!node.leaf) {
        const flow = tidy(() => distinct(g, node.apply(g)));
        node.parents.forEach((parent, i) => {
          const t = flow[i];
          if (!t) return;
          if (!parent) return t.dispose();
          const before = pending.get(parent);
          if (!before) return pending.set(parent, t);
          const total = sum(before, t, !createGraph);
          pending.set(parent, total);
          if (!createGraph) {
            if (total !== before) before.dispose();
            t.dispose();
          }
        });
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
  const createGraph = options.createGraph ?? false;
  walk(root, gradient, options, (node, g) => {
    const leaf = node.leaf;
    if (!leaf) return;
    if (leaf.isDisposed) return;
    if (leaf.grad && !createGraph) {
      const total = sum(leaf.grad, g, true);
      if (total !== leaf.grad) leaf.grad = keep(total);
    } else if (leaf.grad) {
      leaf.grad = keep(sum(leaf.grad, g, false));
    } else {
      // The gradient may still be shared with another leaf (y = a + b), so each leaf holds memory of its own.
      const own = createGraph || (g.storage.holders === 1 && g.isContiguous) ? alias(g) : copy(g);
      own.node = createGraph ? g.node : null;
      leaf.grad = keep(own);
    }
  });
}

/** A contiguous copy, not recorded. */
export function copy(t: TensorBase): TensorBase {
  const out = empty(t.shape, t.dtype, t.backend, "copy");
  const type = computeType(t.dtype);
  if (out.size) t.backend.elementwise(program(type, [input(0)], { inputs: 1, scalars: 0 }), [t], [], [out]);
  return out;
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
  const wanted = new Map<TapeNode, number>();
  inputs.forEach((t, i) => {
    if (!t.node) throw new FerrotypeError(`gradients: input ${i} was made without { requiresGrad: true }`);
    wanted.set(t.node, i);
  });
  const found: (TensorBase | null)[] = inputs.map(() => null);
  walk(root, gradient, options, (node, g) => {
    const i = wanted.get(node);
    if (i === undefined) return;
    const own = alias(g);
    own.node = options.createGraph ? g.node : null;
    found[i] = own;
  });
  return found;
}

/** A variable on `t`'s memory: a leaf, or, when t is on a tape already, an entry that passes gradients on to it. */
export function variable(t: TensorBase): TensorBase {
  const x = alias(t);
  if (t.node && isRecording()) record("variable", x, [t], [], { backward: (g) => [g] });
  else asLeaf(x, true);
  return x;
}
