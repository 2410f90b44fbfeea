/**
 * Keys and values of earlier positions, in memory planned once.
 *
 * A compiled function that appends to a cache is one program for any number of positions: how many there are is read anew in
 * each run, unless the function itself asks for it.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { quantBlock } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { counted } from "../core/show.ts";
import { appendAt } from "../ops/appended.ts";
import { add, arange, copyInto, empty, full, slice, type Tensor, zeros } from "../ops/mod.ts";
import { activeCapture, type HostState, keep, perRun, tidy, wantsGradient } from "../tensor/mod.ts";
import type { LayerOptions } from "./layers.ts";
import { demandSizes, layerOptions } from "./options.ts";

/**
 * Keys and values of one layer, in memory planned once: [batch, heads, capacity, width].
 *
 * @category Modules
 */
export class KVCache {
  /** [batch, heads, capacity, width]. */
  readonly keys: Tensor;
  /** [batch, heads, capacity, width]. */
  readonly values: Tensor;
  #length = 0;
  /** What is being captured, and the length when it began, where it fills positions. */
  #began: { capture: unknown; length: number } | null = null;

  /**
   * Memory for `capacity` positions, as f32 or, by `options.dtype`, in fewer bits: f16, bf16 or q8.
   * @throws {DTypeError} for q8 where heads are not whole blocks of 32 wide, and for other dtypes.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {ShapeError} for sizes that are no whole numbers from 0.
   * @throws {DeviceError} for a device that is not there.
   */
  constructor(batch: number, heads: number, capacity: number, width: number, options: LayerOptions = {}) {
    demandNoMore(arguments, 5, "KVCache");
    const { dtype = "f32" } = checkOptions("KVCache", options, layerOptions),
      shape = [batch, heads, capacity, width];
    demandSizes("KVCache", { batch, heads, capacity, width });
    if (!["f32", "f16", "bf16", "q8"].includes(dtype)) {
      throw new DTypeError(`KVCache: dtype "${dtype}" is none of f32, f16, bf16, q8`);
    }
    if (dtype === "q8" && width % quantBlock !== 0) {
      throw new DTypeError(
        `KVCache: cacheDType q8 takes heads whose width is a multiple of ${quantBlock}, not ${width}; use f16`,
      );
    }
    // Blocks have no zeros of their own; nothing reads what was not written.
    const make = dtype === "q8" ? empty : zeros;
    this.keys = keep(make(shape, options));
    this.values = keep(make(shape, options));
  }

  /** Positions filled so far. A function that is compiled and asks for them is traced anew for each number of them. */
  get length(): number {
    this.#look();
    return this.#length;
  }

  set length(length: number) {
    activeCapture()?.effect(this, this.#state, () => void (this.#length = length));
    this.#length = length;
  }

  get #state(): HostState {
    return { get: () => this.#length, set: (length: number) => this.#length = length };
  }

  /** Lets the program that is captured depend on how many positions were filled when it began. */
  #look(): void {
    const capture = activeCapture();
    if (!capture) return;
    const began = this.#began?.capture === capture ? this.#began.length : undefined;
    capture.guard(this, "length", () => this.#length, began);
  }

  /**
   * The next `count` positions, i32 [count]. A compiled function reads them anew in each run, where it would be traced again
   * for each {@link length}.
   * @throws {ShapeError} for more positions than `capacity`.
   */
  positions(count: number): Tensor {
    demandNoMore(arguments, 1, "positions");
    return tidy(() => {
      const options = { dtype: "i32", device: this.keys.device } as const;
      const [start] = perRun(1, () => {
        this.demandRoom(count);
        return [this.#length];
      });
      return add(arange(count, options), full([1], start, options));
    });
  }

  /**
   * The next `count` positions [count], i32, which count as filled from now on.
   * @throws {ShapeError} for more positions than `capacity`.
   */
  advance(count: number): Tensor {
    demandNoMore(arguments, 1, "advance");
    const places = this.positions(count);
    this.fill(count);
    return places;
  }

  /**
   * The next `count` positions count as filled from now on: who calls this has written there.
   * @throws {ShapeError} for more positions than `capacity`.
   */
  fill(count: number): void {
    demandNoMore(arguments, 1, "fill");
    const before = this.#length, capture = activeCapture();
    this.demandRoom(count);
    if (capture) {
      if (this.#began?.capture !== capture) this.#began = { capture, length: before };
      capture.effect(this, this.#state, () => void (this.#length += count));
    }
    this.#length += count;
  }

  /**
   * Says that `count` more positions are needed.
   * @throws {ShapeError} where they do not fit.
   */
  demandRoom(count: number): void {
    demandNoMore(arguments, 1, "demandRoom");
    const end = this.#length + count;
    if (end <= this.capacity) return;
    throw new ShapeError(
      `the key-value cache holds ${counted(this.capacity, "position")}; ${end} are asked for`,
    );
  }

  /** How many positions fit. */
  get capacity(): number {
    return this.keys.shape[2];
  }

  /**
   * Writes keys and values [batch, heads, new, width] behind those that are there; gives views of all. What a compiled
   * function does with them by {@link scaledDotProductAttention} is one program for any number of positions.
   * @throws {ShapeError} for more positions than `capacity`, and keys or values of other sizes.
   */
  append(keys: Tensor, values: Tensor): { keys: Tensor; values: Tensor } {
    demandNoMore(arguments, 2, "append");
    const count = keys.shape[2];
    this.demandRoom(count);
    // Where gradients flow, or blocks are written, positions are known.
    if (activeCapture() && this.keys.dtype !== "q8" && !wantsGradient([keys, values])) {
      const places = this.advance(count), look = (): void => this.#look();
      return {
        keys: appendAt(this.keys, keys, places, this.#length, look),
        values: appendAt(this.values, values, places, this.#length, look),
      };
    }
    const start = this.length, end = start + count;
    copyInto(keys, slice(this.keys, null, null, [start, end]));
    copyInto(values, slice(this.values, null, null, [start, end]));
    this.length = end;
    return { keys: slice(this.keys, null, null, [0, end]), values: slice(this.values, null, null, [0, end]) };
  }

  /** Forgets the positions from `length` on. */
  truncate(length: number): void {
    demandNoMore(arguments, 1, "truncate");
    this.length = Math.min(this.length, length);
  }

  /** Gives the memory back. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    this.keys.dispose();
    this.values.dispose();
  }

  /** Same as {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
