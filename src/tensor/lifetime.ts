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
import type { TapeNode } from "./tape.ts";

interface Scope {
  tensors: TensorBase[];
  nodes: TapeNode[];
  /** How many tape entries there had been when it was opened. */
  start: number;
}

const scopes: Scope[] = [];
let nodesMade = 0;

/** Puts a new tensor under the care of the innermost scope; false where there is none. */
export function track(tensor: TensorBase): boolean {
  if (!scopes.length) return false;
  scopes[scopes.length - 1].tensors.push(tensor);
  return true;
}

/** Whether there is a scope now. */
export function isScopeOpen(): boolean {
  return scopes.length > 0;
}

/** The number of a new tape entry: entries count up, so none leads to one with a higher number. */
export function numberNode(): number {
  return ++nodesMade;
}

/** How many tape entries there have been. */
export function nodesSoFar(): number {
  return nodesMade;
}

/** Puts a new tape entry under the care of the innermost scope. */
export function trackNode(node: TapeNode): void {
  if (scopes.length) scopes[scopes.length - 1].nodes.push(node);
}

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
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
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
    if (!returned?.has(tensor)) tensor.dispose();
    else if (outer) outer.tensors.push(tensor);
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
  const scope: Scope = { tensors: [], nodes: [], start: nodesMade };
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
