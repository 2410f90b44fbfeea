/**
 * What a causal model remembers of a text: keys and values of every layer that attends, and the states of those that have one.
 *
 * Keys and values stay where they are, so a text can be cut anywhere. A state is of its last position alone: it is kept at a few
 * positions, and going back ends at one of these ({@link CausalCache.rewind}); the ids behind it wait and are computed again.
 *
 * @module
 */
import { whole } from "../core/kinds.ts";
import { demandNoMore, demandRecord } from "../core/demand.ts";
import { byteSize } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { checkOption, checkOptions } from "../core/options.ts";
import type { Shape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { KVCache, type LayerOptions } from "../nn/mod.ts";
import { demandSizes, layerOptions } from "../nn/options.ts";
import { StateCache } from "../nn/state_cache.ts";
import { copyInto, indexSelect, slice, type Tensor, tensor } from "../ops/mod.ts";
import { activeCapture, noGrad, outsideCapture, tidy } from "../tensor/mod.ts";

/**
 * How a cache stores keys and values.
 *
 * @category Models
 */
export type CacheDType = "f32" | "f16" | "bf16" | "q8";

/** What a cache's memory is shaped by. */
export interface CacheSizes {
  /** Layers. */
  readonly layers: number;
  /** Heads of keys and values. */
  readonly heads: number;
  /** Width of a head. */
  readonly width: number;
  /** For each layer with states in place of keys and values, the sizes of these beside the batch; null for the others. */
  readonly states?: readonly (readonly Shape[] | null)[];
}

/** Positions at the end of a prompt that go through the model as a pass of their own, where states are kept before them. */
export const endOfPrompt = 17;

/** Steps after which states are kept again. */
const stepsBetween = 32;

/** The most positions at which states are kept. */
const mostKept = 4;

/** A position at which states are kept. */
interface Mark {
  readonly at: number;
  /** Whether it was reached by single steps. */
  readonly isStep: boolean;
}

/**
 * Keys and values of all layers, and the text they belong to.
 *
 * @category Models
 */
export class CausalCache {
  /** One per layer that has keys and values. */
  readonly layers: readonly KVCache[];
  /** One per layer that has states. */
  readonly states: readonly StateCache[];
  /** How many layers there are of both. */
  readonly depth: number;
  /** How many sequences it holds side by side. */
  readonly batch: number;
  /**
   * The text's ids, which `generate` keeps: the first `length` of them are computed, those behind wait for its next
   * step. Who fills the cache by `forward` and goes on with `generate` appends them here.
   */
  readonly ids: number[] = [];
  /**
   * Programs of steps that end with it.
   * @internal
   */
  readonly steps: Set<{ dispose(): void }> = new Set();
  /** Which of `layers`, or of `states`, is that of each layer. */
  readonly #places: readonly number[];
  /** Where states are kept, first to last. */
  #marks: Mark[] = [];
  #isStepping = false;

  /**
   * Memory for `capacity` positions of `batch` sequences.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} for a device that is not there.
   * @throws {DTypeError} for a dtype of which keys and values are not kept.
   * @throws {ShapeError} for sizes that are no whole numbers from 0.
   */
  constructor(sizes: CacheSizes, batch: number, capacity: number, options: LayerOptions = {}) {
    demandNoMore(arguments, 4, "CausalCache");
    demandRecord("CausalCache", sizes, "sizes", "{ layers, heads, width }");
    const { layers, heads, width, states = [] } = sizes;
    checkOption("CausalCache", "layers", layers, whole(1));
    checkOptions("CausalCache", options, layerOptions);
    demandSizes("CausalCache", { batch, heads, capacity, width });
    this.batch = batch;
    this.depth = layers;
    const attending: KVCache[] = [], others: StateCache[] = [];
    this.#places = Array.from({ length: layers }, (_, i) => {
      const own = states[i];
      return own
        ? others.push(new StateCache(batch, own, options.device)) - 1
        : attending.push(new KVCache(batch, heads, capacity, width, options)) - 1;
    });
    this.layers = attending;
    this.states = others;
  }

  /** Keys and values of a layer that attends. */
  keysOf(layer: number): KVCache {
    return this.layers[this.#places[layer]];
  }

  /** States of a layer that has some. */
  stateOf(layer: number): StateCache {
    return this.states[this.#places[layer]];
  }

  /** Positions filled. */
  get length(): number {
    return this.layers[0].length;
  }

  /** Positions that fit. */
  get capacity(): number {
    return this.layers[0].capacity;
  }

  /**
   * The number of the next position, where there is room for it. Unlike {@link length} it may be asked for in each run of a
   * compiled function.
   * @internal
   */
  next(): number {
    const [first] = this.layers;
    first.demandRoom(1);
    return outsideCapture(() => first.length);
  }

  /**
   * The next `count` positions count as filled from now on.
   * @internal
   */
  fill(count: number): void {
    for (const layer of this.layers) layer.fill(count);
  }

  /** How keys and values are stored. */
  get dtype(): CacheDType {
    return this.layers[0].keys.dtype as CacheDType;
  }

  /** Memory in use, in bytes. */
  get byteLength(): number {
    const { dtype, size } = this.layers[0].keys;
    const states = this.states.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return 2 * this.layers.length * byteSize(dtype, size) + states * (1 + this.#marks.length);
  }

  /**
   * Forgets the positions from `length` on, and their ids.
   *
   * @throws {OptionError} where a layer has a state, which was not kept at `length`; {@link rewind} goes back further.
   */
  truncate(length: number): void {
    const known = this.reaches(length);
    if (known < Math.min(length, this.length)) {
      const kept = [0, ...this.#marks.map(({ at }) => at)].join(", ");
      throw new OptionError(
        `truncate: length is ${length}, and layers have states, which are kept after ${kept} of ${
          counted(this.length, "position")
        }; cut to one of these, or use rewind, after which ids behind the one before wait`,
      );
    }
    this.rewind(length);
  }

  /** To how many positions it can go back, at most `length` of them. */
  reaches(length: number): number {
    if (this.states.length === 0 || length >= this.length) return Math.min(length, this.length);
    return this.#marks.findLast(({ at }) => at <= length)?.at ?? 0;
  }

  /**
   * Forgets the positions from `length` on, and their ids. Where layers have states, it goes back to the last position at or
   * before `length` at which they were kept: the ids between, which stay, wait for the next step.
   */
  rewind(length: number): void {
    if (length < this.length) this.#goBack(this.reaches(length));
    this.ids.length = Math.min(this.ids.length, length);
  }

  /**
   * Forgets all positions, but no ids.
   * @internal
   */
  forget(): void {
    this.#goBack(0);
  }

  #goBack(to: number): void {
    for (const layer of this.layers) layer.truncate(to);
    for (const state of this.states) state.backTo(to);
    this.#drop(({ at }) => at > to);
  }

  /**
   * Keeps states where that will be of use, before `count` positions more are computed: before and behind a prompt, and after
   * every few steps.
   * @internal
   */
  mark(count: number): void {
    if (this.states.length === 0 || activeCapture()) return;
    const { length } = this, last = this.#marks.at(-1)?.at ?? 0, isStep = count === 1 && this.#isStepping;
    this.#isStepping = count === 1;
    if (length === last || (isStep && length - last < stepsBetween)) return;
    for (const state of this.states) state.keepAt(length);
    this.#marks.push({ at: length, isStep });
    const steps = this.#marks.filter(({ isStep }) => isStep);
    if (this.#marks.length > mostKept) {
      const oldest = steps.length > 1 ? steps[0] : this.#marks[0];
      this.#drop((mark) => mark === oldest);
    }
  }

  #drop(which: (mark: Mark) => boolean): void {
    for (const { at } of this.#marks.filter(which)) for (const state of this.states) state.drop(at);
    this.#marks = this.#marks.filter((mark) => !which(mark));
  }

  /**
   * Takes over the positions of `from` from `start` to before `end` (default: all), and the ids of those before `end`; row i
   * becomes row `rows[i]` of it, as many rows as this cache holds. `from` may be this cache itself. Where layers have states, those
   * that `from` has at `end`, or kept last before it: the positions from there on are left out.
   *
   * @throws {DTypeError} for what is no cache.
   * @throws {ShapeError} for rows that are not there.
   */
  copyRows(from: CausalCache, rows: readonly number[], start = 0, end: number = from.length): void {
    const first = this.layers[0].keys, isWhole = end >= from.length;
    end = from.reaches(end);
    start = Math.min(start, end);
    const part = (t: Tensor): Tensor => slice(t, null, null, [start, end]);
    noGrad(() =>
      tidy(() => {
        const index = tensor([...rows], { dtype: "i32", device: first.device });
        this.layers.forEach((layer, i) => {
          copyInto(indexSelect(part(from.layers[i].keys), 0, index), part(layer.keys));
          copyInto(indexSelect(part(from.layers[i].values), 0, index), part(layer.values));
          layer.length = end;
        });
        this.states.forEach((state, i) => state.copyRows(from.states[i], index, isWhole ? null : end));
      })
    );
    this.#drop(() => true);
    this.ids.splice(0, Infinity, ...end < from.length ? from.ids.slice(0, end) : from.ids);
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const step of this.steps) step.dispose();
    for (const layer of this.layers) layer.dispose();
    for (const state of this.states) state.dispose();
  }

  /** Same as {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
