/**
 * Who frees what: scopes that remember the tensors made in them.
 *
 * `tidy` disposes, when its function ends, every tensor made meanwhile that the function did not return, and
 * releases the tape entries that nothing returned leads to. What no scope and no `using` disposes is freed when it
 * is garbage-collected, which is safe but late: the collector does not see device memory.
 *
 * A scope stays open while the promise of an async function is pending. Scopes nest; work that runs interleaved with
 * a pending async `tidy` belongs to it, so give concurrent tasks one `tidy` around all of them.
 *
 * @module
 */
import { DTypeError } from "../core/errors.ts";
import { show } from "../core/show.ts";
import { demandFunction, demandNoMore } from "../core/demand.ts";
import { TensorBase } from "./base.ts";
import { nodesSoFar, type Scope, scopes } from "./scopes.ts";
import type { TapeNode } from "./tape.ts";

/**
 * Takes `tensor` out of the care of every `tidy`: parameters, gradients and optimizer state outlive a step.
 *
 * @throws {DTypeError} for what is no tensor.
 * @category Memory
 */
export function keep<T extends TensorBase>(tensor: T): T {
  demandNoMore(arguments, 1, "keep");
  if (!(tensor instanceof TensorBase)) {
    throw new DTypeError(`keep: ${show(tensor)} is given, expected a tensor`);
  }
  tensor.isKept = true;
  tensor.watch();
  return tensor;
}

/** Tensors inside `value`: itself, or in arrays, maps, sets and plain objects. */
function tensorsIn(value: unknown): ReadonlySet<TensorBase> | null {
  if (typeof value !== "object" || value === null) return null;
  const found = new Set<TensorBase>();
  if (value instanceof TensorBase) found.add(value);
  else findTensors(value, found, new Set());
  return found;
}

function findTensors(value: unknown, found: Set<TensorBase>, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  if (value instanceof TensorBase) {
    found.add(value);
    return;
  }
  seen.add(value);
  if (Array.isArray(value) || value instanceof Map || value instanceof Set) {
    for (const item of value.values()) findTensors(item, found, seen);
  } else if ([Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    for (const item of Object.values(value)) findTensors(item, found, seen);
  }
}

/** Marks the tape entries after number `since` that a gradient from `first` on would visit. */
function markNodes(first: TapeNode | null, since: number, alive: Set<TapeNode>): void {
  const stack: (TapeNode | null)[] = [first];
  while (stack.length) {
    const node = stack.pop();
    // Older entries lead to older ones only, so a scope costs what happened in it, not the length of the tape.
    if (!node || node.id <= since || alive.has(node)) continue;
    alive.add(node);
    for (const parent of node.parents) stack.push(parent);
    // What a gradient keeps may itself be on the tape (for gradients of gradients).
    for (const kept of node.saved) stack.push(kept.node);
  }
}

function close(scope: Scope, result: unknown): void {
  const index = scopes.lastIndexOf(scope);
  scopes.splice(index, 1);
  const outer = index > 0 ? scopes[index - 1] : undefined;
  const returned = tensorsIn(result);
  if (scope.nodes.length) {
    const alive = new Set<TapeNode>();
    for (const tensor of returned ?? []) markNodes(tensor.node, scope.start, alive);
    for (const tensor of scope.tensors) if (tensor.isKept) markNodes(tensor.node, scope.start, alive);
    for (const node of scope.nodes) {
      if (!alive.has(node)) node.release();
      else if (outer) outer.nodes.push(node);
      else for (const kept of node.saved) kept.watch();
    }
  }
  for (const tensor of scope.tensors) {
    if (tensor.isDisposed || tensor.isKept) continue;
    if (!returned?.has(tensor)) {
      // A gradient that is returned outlives its leaf.
      const grad = tensor.exchangeGrad(null);
      if (grad && !returned?.has(grad)) grad.dispose();
      tensor.dispose();
    } else if (outer) outer.tensors.push(tensor);
    else tensor.watch();
  }
}

/**
 * Runs `f` and disposes every tensor made meanwhile, except those in its result (a tensor, or tensors in arrays,
 * maps, sets and plain objects). An async `f` is awaited first.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @example
 * ```ts
 * const loss = tidy(() => model.forward(ids).sub(target).square().mean());
 * ```
 * @category Memory
 */
export function tidy<T>(f: () => T): T {
  demandNoMore(arguments, 1, "tidy");
  demandFunction("tidy", f);
  const scope: Scope = { tensors: [], nodes: [], start: nodesSoFar() };
  scopes.push(scope);
  let result: T;
  try {
    result = f();
  } catch (error) {
    close(scope, undefined);
    throw error;
  }
  if (result instanceof Promise) {
    return result.then((value) => {
      close(scope, value);
      return value;
    }, (error) => {
      close(scope, undefined);
      throw error;
    }) as T;
  }
  close(scope, result);
  return result;
}
