/**
 * Decoding steps as compiled functions.
 *
 * Each step asks for the same operations on the same memory; only the tokens, their positions and what the caches hold
 * differ. So the step of a cache (or of several that go together) is compiled: each run writes the ids and starts the program.
 * A program ends with its caches; a weight that was exchanged makes it anew.
 *
 * @module
 */
import { copyInto, empty, type Tensor } from "../ops/mod.ts";
import { compile, type Compiled, keep } from "../tensor/mod.ts";
import type { CausalCache } from "./cache.ts";
import type { CausalNetwork } from "./network.ts";

/** Programs that are kept: as many as texts, or groups of texts, usually take turns. */
const mostKept = 8;

/** Logits [rows, 1, vocab] for ids i32 [rows, 1] that follow what the caches hold; fills a position of each. */
export type Pass = (ids: Tensor) => Tensor;

/** The ids of a step: numbers, or i32 [rows, 1] on the device. */
export type StepIds = readonly number[] | Tensor;

/** The step of certain caches. */
export class DecodingStep {
  /** Whose step it is. */
  readonly caches: readonly CausalCache[];
  /** What the pass depends on besides. */
  readonly kind: string;
  readonly #ids: Tensor;
  readonly #numbers: Int32Array;
  readonly #run: Compiled<[], Tensor>;

  /** Of `rows` texts. */
  constructor(
    model: Pick<CausalNetwork, "embeddings">,
    caches: readonly CausalCache[],
    rows: number,
    kind: string,
    pass: Pass,
  ) {
    this.caches = [...caches];
    this.kind = kind;
    this.#ids = keep(empty([rows, 1], { dtype: "i32", device: model.embeddings.device }));
    this.#numbers = new Int32Array(rows);
    this.#run = compile(() => pass(this.#ids));
  }

  /** Logits of the next position of each text. */
  next(ids: StepIds): Tensor {
    if (Array.isArray(ids)) {
      this.#numbers.set(ids);
      this.#ids.backend.upload(this.#ids.buffer, 0, new Uint8Array(this.#numbers.buffer));
    } else copyInto(ids as Tensor, this.#ids);
    return this.#run();
  }

  /** The program as text. */
  plan(): string {
    return this.#run.plan();
  }

  /** Gives its memory back. */
  dispose(): void {
    for (const cache of this.caches) cache.steps.delete(this);
    this.#run.dispose();
    this.#ids.dispose();
  }
}

/** The steps of a model: those that took turns last. */
export class DecodingSteps {
  readonly #recent: DecodingStep[] = [];

  /** The step of these caches, which `make` makes where there is none. */
  of(caches: readonly CausalCache[], kind: string, make: () => DecodingStep): DecodingStep {
    const recent = this.#recent,
      at = recent.findIndex((step) =>
        step.kind === kind && step.caches.length === caches.length &&
        step.caches.every((cache, i) => cache === caches[i])
      );
    let step: DecodingStep;
    if (at >= 0) [step] = recent.splice(at, 1);
    else {
      step = make();
      for (const cache of caches) cache.steps.add(step);
    }
    recent.push(step);
    if (recent.length > mostKept) recent.shift()?.dispose();
    return step;
  }
}
