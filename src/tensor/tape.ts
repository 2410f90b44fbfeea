/**
 * The tape: which operation made a tensor, from what, and how its gradient goes back.
 *
 * Entries hang on the tensors they made (there is no global list), so what is no longer reachable is forgotten. An
 * entry keeps only what its gradient needs, as aliases that live until the gradient was taken. A leaf is an entry
 * without parents: gradients gather in its tensor's `grad`.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../core/demand.ts";
import type { Backend } from "../backends/contract.ts";
import { FerrotypeError } from "../core/errors.ts";
import { activeCapture } from "./capture/gate.ts";
import { savedAlias, type TensorBase } from "./base.ts";
import { numberNode, trackNode } from "./scopes.ts";

/**
 * Gradients for each input, given the gradient of the output and what was kept. `needs[i]` tells whether input i
 * wants one; null stands for none. Written as a method so that operations may use their own tensor class.
 */
export interface Gradient {
  /** The gradient function. */
  backward(
    gradient: TensorBase,
    saved: readonly TensorBase[],
    needs: readonly boolean[],
  ): readonly (TensorBase | null)[];
  /**
   * For an operation with one input that it reads a part of: adds the gradient to `total`, which is contiguous, in
   * place. Without it a part's gradient is made as large as the input and then added.
   */
  addTo?(gradient: TensorBase, saved: readonly TensorBase[], total: TensorBase): void;
}

const none: readonly never[] = [];

/** What looks at values and gradients as they are made: see `anomaly.ts`. */
export interface Watcher {
  /** Sees the result of an operation. */
  value(name: string, output: TensorBase, inputs: readonly TensorBase[]): void;
  /** Sees what an entry makes of its result's gradient, for each of its inputs. */
  gradient(node: TapeNode, given: TensorBase, flow: readonly (TensorBase | null)[]): void;
  /** Says what was noticed on a device that answers late; null when that is nothing. */
  settle(backend: Backend): Promise<void> | null;
}

let watcher: Watcher | null = null;

/** What looks at values now; null nearly always. */
export function activeWatcher(): Watcher | null {
  return watcher;
}

/** Lets `next` look at values from now on. */
export function setWatcher(next: Watcher | null): void {
  watcher = next;
}

/** One entry. */
export class TapeNode {
  /** The operation, for messages. */
  readonly name: string;
  /** Its number; the entries of its inputs have lower ones. */
  readonly id: number = numberNode();
  /** The entries of the inputs; null where no gradient is wanted. */
  parents: readonly (TapeNode | null)[];
  /** What the gradient keeps. */
  saved: readonly TensorBase[];
  /** The leaf whose `grad` gathers gradients, when this stands for one. */
  readonly leaf: TensorBase | null;
  /** Where in the program it was computed, if somebody watched. */
  madeAt: string | null = null;
  #versions: readonly number[];
  #gradient: Gradient | null;

  /** An entry for one output; use {@link record} or {@link asLeaf}. */
  constructor(
    name: string,
    parents: readonly (TapeNode | null)[],
    saved: readonly TensorBase[],
    gradient: Gradient | null,
    leaf: TensorBase | null,
  ) {
    this.name = name;
    this.parents = parents;
    this.saved = saved;
    this.#versions = saved.length ? saved.map((t) => t.storage.version) : none;
    this.#gradient = gradient;
    this.leaf = leaf;
    if (!leaf) trackNode(this);
  }

  /** Whether what it kept was freed, so that no gradient can be taken through it any more. */
  get isReleased(): boolean {
    return this.leaf === null && this.#gradient === null;
  }

  /**
   * Gradients of the inputs that `needs` names.
   * @throws {FerrotypeError} when the entry was released or a kept value was overwritten.
   */
  apply(gradient: TensorBase, needs: readonly boolean[]): readonly (TensorBase | null)[] {
    return this.#checked().backward(gradient, this.saved, needs);
  }

  /** Adds the gradient of the one input to `total` in place; false where the operation cannot. Throws as apply does. */
  addTo(gradient: TensorBase, total: TensorBase): boolean {
    if (!this.#gradient?.addTo) return false;
    this.#checked();
    this.#gradient.addTo(gradient, this.saved, total);
    return true;
  }

  #checked(): Gradient {
    activeCapture()?.pass(this);
    if (!this.#gradient) {
      throw new FerrotypeError(
        `the gradient of ${this.name} was already taken and its values freed; ` +
          `pass { retainGraph: true } to the first backward to go back twice`,
      );
    }
    this.saved.forEach((t, i) => {
      if (t.storage.version === this.#versions[i]) return;
      throw new FerrotypeError(
        `a tensor of shape [${
          t.shape.join(", ")
        }] that the gradient of ${this.name} needs was changed in place; ` +
          `take the gradient first, or change a copy`,
      );
    });
    return this.#gradient;
  }

  /** Forgets what was kept; a later backward through it throws. */
  release(): void {
    if (this.leaf) return;
    for (const t of this.saved) t.dispose();
    this.saved = none;
    this.#gradient = null;
    this.parents = none;
  }
}

let recording = true;

/** Whether operations are put on the tape now. */
export function isRecording(): boolean {
  return recording;
}

/** Runs `f` with recording on or off, and puts it back. `f` is synchronous. */
export function withRecording<T>(on: boolean, f: () => T): T {
  const before = recording;
  recording = on;
  try {
    return f();
  } finally {
    recording = before;
  }
}

/**
 * Runs `f` without recording: nothing it computes has a gradient. An async function stays without recording until
 * its promise settles.
 *
 * @throws {OptionError} for what is no function; what `f` throws.
 * @example
 * ```ts
 * const accuracy = noGrad(() => model.forward(x).argmax(-1).eq(y).mean());
 * ```
 * @category Gradients and programs
 */
export function noGrad<T>(f: () => T): T {
  demandNoMore(arguments, 1, "noGrad");
  demandFunction("noGrad", f);
  const before = recording;
  recording = false;
  let result: T;
  try {
    result = f();
  } catch (error) {
    recording = before;
    throw error;
  }
  if (result instanceof Promise) return result.finally(() => recording = before) as T;
  recording = before;
  return result;
}

/** Makes `tensor` a leaf whose `grad` gathers gradients, or takes it off the tape. */
export function asLeaf(tensor: TensorBase, on: boolean): void {
  tensor.node = on ? new TapeNode("leaf", [], [], null, tensor) : null;
}

/** Whether an operation on `inputs` must be recorded. */
export function wantsGradient(inputs: readonly TensorBase[]): boolean {
  if (!recording) return false;
  const capture = activeCapture();
  if (capture) { for (const t of inputs) capture.look(t); }
  for (const t of inputs) if (t.node) return true;
  return false;
}

/**
 * Puts `output` on the tape if an input wants a gradient; `saved` are kept until it was taken. Saving an input or the
 * output itself costs no copy.
 */
export function record(
  name: string,
  output: TensorBase,
  inputs: readonly TensorBase[],
  saved: readonly TensorBase[],
  gradient: Gradient,
): void {
  watcher?.value(name, output, inputs);
  if (!wantsGradient(inputs)) return;
  const kept = saved.length ? saved.map(savedAlias) : none;
  const node = new TapeNode(name, inputs.map((t) => t.node), kept, gradient, null);
  // The output kept for its own gradient stands on the tape as the output does.
  saved.forEach((t, i) => {
    if (t === output) kept[i].node = node;
  });
  output.node = node;
  if (watcher) node.madeAt = new Error(name).stack ?? null;
}
