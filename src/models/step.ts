/**
 * Decoding steps as programs.
 *
 * Each step asks for the same operations on the same memory; only the tokens, their positions and what the caches hold
 * differ, and those are read from memory. So the step of a cache (or of several that go together) is compiled: each run
 * writes two numbers a text and starts the program. A program ends with its caches; a weight that was exchanged makes it
 * anew.
 *
 * @module
 */
import { copyInto, empty, type Tensor } from "../ops/mod.ts";
import { activeCapture, compile, type Compiled, isRecording, keep } from "../tensor/mod.ts";
import type { CausalCache } from "./cache.ts";
import type { CausalNetwork } from "./network.ts";

/** What a step asks of a model. */
type StepModel = Pick<CausalNetwork, "embeddings" | "training">;

/** Programs that are kept: as many as texts, or groups of texts (those of one adapter each), usually take turns. */
const mostKept = 8;

/** Computes logits [rows, vocab] for ids [rows, 1] and positions [rows], both i32, and leaves the caches' lengths alone. */
export type ComputeStep = (ids: Tensor, places: Tensor, caches: readonly CausalCache[]) => Tensor;

/** The ids of a step: numbers, or i32 [rows, 1] on the device. */
export type StepIds = readonly number[] | Tensor;

const isNumbers = (ids: StepIds): ids is readonly number[] => Array.isArray(ids);

/** The step of certain caches. */
class Step {
  readonly caches: readonly CausalCache[];
  readonly #ids: Tensor;
  readonly #places: Tensor;
  readonly #numbers: Int32Array;
  readonly #run: Compiled<[], Tensor>;

  constructor(model: StepModel, caches: readonly CausalCache[], compute: ComputeStep) {
    const rows = caches.length, { device } = model.embeddings, options = { dtype: "i32", device } as const;
    this.caches = [...caches];
    this.#ids = keep(empty([rows, 1], options));
    this.#places = keep(empty([rows], options));
    this.#numbers = new Int32Array(2 * rows);
    this.#run = compile(() => compute(this.#ids, this.#places, this.caches));
  }

  /** Logits of the next position of each text. */
  next(ids: StepIds): Tensor {
    const rows = this.caches.length, numbers = this.#numbers, { backend } = this.#ids, given = isNumbers(ids);
    for (let i = 0; i < rows; i++) {
      if (given) numbers[i] = ids[i];
      numbers[rows + i] = this.caches[i].length;
    }
    if (given) backend.upload(this.#ids.buffer, 0, new Uint8Array(numbers.buffer, 0, 4 * rows));
    else copyInto(ids, this.#ids);
    backend.upload(this.#places.buffer, 0, new Uint8Array(numbers.buffer, 4 * rows, 4 * rows));
    const logits = this.#run();
    for (const { layers } of this.caches) for (const layer of layers) layer.length++;
    return logits;
  }

  /** The program as text. */
  plan(): string {
    return this.#run.plan();
  }

  dispose(): void {
    for (const cache of this.caches) cache.steps.delete(this);
    for (const owned of [this.#run, this.#ids, this.#places]) owned.dispose();
  }
}

/** The program of the next step of `caches`, as text. */
export function planOf(model: StepModel, caches: readonly CausalCache[], compute: ComputeStep): string {
  const step = new Step(model, caches, compute);
  try {
    return step.plan();
  } finally {
    step.dispose();
  }
}

/** The steps of a model. */
export class Steps {
  readonly #model: StepModel;
  readonly #compute: ComputeStep;
  readonly #recent: Step[] = [];

  /** Nothing is compiled yet. */
  constructor(model: StepModel, compute: ComputeStep) {
    this.#model = model;
    this.#compute = compute;
  }

  /**
   * Logits [rows, vocab] of one more position of each cache, which has room for it; null where the step is to be computed
   * the ordinary way: for a gradient, while training, within another program, or where doing it again saves nothing.
   */
  next(ids: StepIds, caches: readonly CausalCache[]): Tensor | null {
    const model = this.#model, { backend } = model.embeddings;
    if (isRecording() || model.training || activeCapture() || !backend.capture) return null;
    const at = this.#recent.findIndex((step) =>
      step.caches.length === caches.length && step.caches.every((cache, i) => cache === caches[i])
    );
    let step: Step;
    if (at >= 0) [step] = this.#recent.splice(at, 1);
    else {
      step = new Step(model, caches, this.#compute);
      for (const cache of caches) cache.steps.add(step);
    }
    this.#recent.push(step);
    if (this.#recent.length > mostKept) this.#recent.shift()?.dispose();
    return step.next(ids);
  }
}
