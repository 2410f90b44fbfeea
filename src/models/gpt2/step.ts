/**
 * Decoding steps that the device does again by itself.
 *
 * Each step asks for the same operations on the same memory; only the tokens, their positions and what the caches hold
 * differ, and those are read from memory. So the first step of a cache (or of several that go together) is recorded where the
 * device can record, and every later one writes two numbers a text and starts the recording.
 *
 * A recording knows addresses. It ends with its caches, and is made anew when a weight was exchanged or the device says so.
 *
 * @module
 */
import type { Recorded } from "../../backends/contract.ts";
import { copyInto, empty, reshape, type Tensor } from "../../ops/mod.ts";
import { isRecording, keep, tidy } from "../../tensor/mod.ts";
import type { GPT2Cache } from "./cache.ts";
import type { GPT2Model } from "./model.ts";

/** Recordings that are kept: as many as texts, or groups of texts, usually take turns. */
const mostKept = 4;
/** Recordings that may fail before no more are tried. */
const mostFailures = 4;

/** Computes logits [rows, vocab] for ids [rows, 1] and positions [rows], both i32. */
export type ComputeStep = (ids: Tensor, places: Tensor, caches: readonly GPT2Cache[]) => Tensor;

/** The ids of a step: numbers, or i32 [rows, 1] on the device. */
export type StepIds = readonly number[] | Tensor;

const isNumbers = (ids: StepIds): ids is readonly number[] => Array.isArray(ids);

/** Whether `visit` says yes to every weight of the model, in one order. */
function eachWeight(model: GPT2Model, visit: (t: Tensor | null) => boolean): boolean {
  if (!visit(model.wte.weight) || !visit(model.wpe.weight)) return false;
  if (!visit(model.ln_f.weight) || !visit(model.ln_f.bias)) return false;
  if (model.lm_head && !(visit(model.lm_head.weight) && visit(model.lm_head.bias))) return false;
  for (const { ln_1, attn, ln_2, mlp } of model.h) {
    for (const layer of [ln_1, attn.c_attn, attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj]) {
      if (!visit(layer.weight) || !visit(layer.bias)) return false;
    }
  }
  return true;
}

/** A recorded step of certain caches. */
class Step {
  readonly caches: readonly GPT2Cache[];
  readonly #model: GPT2Model;
  readonly #weights: (Tensor | null)[] = [];
  readonly #ids: Tensor;
  readonly #places: Tensor;
  readonly #numbers: Int32Array;
  #logits: Tensor | null = null;
  #given: Tensor | null = null;
  #work: Recorded | null = null;
  #checked = 0;
  readonly #isSame = (t: Tensor | null): boolean =>
    this.#weights[this.#checked++] === t && (t === null || !t.isDisposed);

  constructor(model: GPT2Model, caches: readonly GPT2Cache[]) {
    const rows = caches.length, { device } = model.wte.weight, options = { dtype: "i32", device } as const;
    this.#model = model;
    this.caches = [...caches];
    this.#ids = keep(empty([rows, 1], options));
    this.#places = keep(empty([rows], options));
    this.#numbers = new Int32Array(2 * rows);
  }

  /** Computes the step and records it; null where it cannot be done again. */
  record(ids: StepIds, compute: ComputeStep): Tensor {
    this.#write(ids);
    eachWeight(this.#model, (t) => this.#weights.push(t) > 0);
    let out: Tensor | null = null;
    const { backend } = this.#ids;
    this.#work = backend.record!(() => out = keep(tidy(() => compute(this.#ids, this.#places, this.caches))));
    this.#logits = out;
    return this.#result();
  }

  /** Whether it was recorded. */
  get isRecorded(): boolean {
    return this.#work !== null;
  }

  /** Logits of the next step, or null where it must be recorded anew. */
  next(ids: StepIds): Tensor | null {
    this.#checked = 0;
    if (!eachWeight(this.#model, this.#isSame)) return null;
    this.#write(ids);
    if (!this.#work?.run()) return null;
    for (const { layers } of this.caches) for (const layer of layers) layer.length++;
    return this.#result();
  }

  #write(ids: StepIds): void {
    const rows = this.caches.length, numbers = this.#numbers, { backend } = this.#ids, given = isNumbers(ids);
    for (let i = 0; i < rows; i++) {
      if (given) numbers[i] = ids[i];
      numbers[rows + i] = this.caches[i].length;
    }
    if (given) backend.upload(this.#ids.buffer, 0, new Uint8Array(numbers.buffer, 0, 4 * rows));
    else copyInto(ids, this.#ids);
    backend.upload(this.#places.buffer, 0, new Uint8Array(numbers.buffer, 4 * rows, 4 * rows));
  }

  /** The caller's own: the next step writes over these logits. Memory of its own too, as long as nobody holds the last ones. */
  #result(): Tensor {
    const logits = this.#logits!, { shape, dtype, device } = logits;
    if (this.#given === null || this.#given.storage.holders > 1) {
      this.#given?.dispose();
      this.#given = keep(empty([...shape], { dtype, device }));
    }
    copyInto(logits, this.#given);
    return reshape(this.#given, shape);
  }

  dispose(): void {
    for (const cache of this.caches) cache.steps.delete(this);
    this.#work?.dispose();
    for (const t of [this.#ids, this.#places, this.#logits, this.#given]) t?.dispose();
    this.#work = null;
  }
}

/** The recorded steps of a model. */
export class Steps {
  readonly #model: GPT2Model;
  readonly #compute: ComputeStep;
  readonly #recent: Step[] = [];
  #failures = 0;

  /** Nothing is recorded yet. */
  constructor(model: GPT2Model, compute: ComputeStep) {
    this.#model = model;
    this.#compute = compute;
  }

  /**
   * Logits [rows, vocab] of one more position of each cache, which has room for it; null where the step is to be computed
   * the ordinary way: for a gradient, while training, or on a device that does not record.
   */
  next(ids: StepIds, caches: readonly GPT2Cache[]): Tensor | null {
    const model = this.#model;
    if (isRecording() || model.training || this.#failures >= mostFailures) return null;
    if (!model.wte.weight.backend.record) return null;
    const at = this.#recent.findIndex((step) =>
      step.caches.length === caches.length && step.caches.every((cache, i) => cache === caches[i])
    );
    if (at >= 0) {
      const [step] = this.#recent.splice(at, 1), logits = step.next(ids);
      if (logits) {
        this.#recent.push(step);
        return logits;
      }
      step.dispose();
    }
    return this.#record(ids, caches);
  }

  #record(ids: StepIds, caches: readonly GPT2Cache[]): Tensor {
    const step = new Step(this.#model, caches);
    let logits: Tensor;
    try {
      logits = step.record(ids, this.#compute);
    } catch (error) {
      step.dispose();
      throw error;
    }
    if (!step.isRecorded) {
      this.#failures++;
      step.dispose();
      return logits;
    }
    this.#failures = 0;
    for (const cache of caches) cache.steps.add(step);
    this.#recent.push(step);
    if (this.#recent.length > mostKept) this.#recent.shift()?.dispose();
    return logits;
  }
}
