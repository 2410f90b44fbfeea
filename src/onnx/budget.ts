/**
 * What a run of a graph may spend: steps and bytes. A file of a hundred bytes can ask for a loop of 2^62 turns, or double a
 * tensor forty times, so both are counted, the bytes before they are taken.
 *
 * A step is a node that is run, or a turn of a loop. Bytes are those of the tensors that the run has made and that are still
 * alive: each tensor that an operator makes is asked for here before its device is.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { DeviceError, FormatError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { type Storage, type StorageWatch, watchStorages } from "../tensor/mod.ts";
import { tensorsOf, type Value } from "./values.ts";

/** Steps that a run may take where nobody says otherwise: so many, and so many for each node of the file. */
export const usualSteps = { steps: 2 ** 19, aNode: 2 ** 14 } as const;
/** Bytes that a run may hold of its own where nobody says otherwise: so many, and so many times its weights and inputs. */
export const usualMemory = { bytes: 2 ** 29, times: 64 } as const;
/** What a tensor takes beside its elements. */
const each = 512;

/** What a run may spend, and what it spent. */
export class Budget implements StorageWatch {
  readonly #maxSteps: number;
  readonly #maxMemory: number;
  readonly #signal: AbortSignal | undefined;
  readonly #breathe = breather();
  readonly #made = new Set<Storage>();
  #steps = 0;
  #bytes = 0;
  /** So many tensors, and those that are gone are looked for again. */
  #sweepAt = 1024;

  /** What one run may spend. */
  constructor(maxSteps: number, maxMemory: number, signal?: AbortSignal) {
    this.#maxSteps = maxSteps;
    this.#maxMemory = maxMemory;
    this.#signal = signal;
  }

  /**
   * Before a step, or work as long as so many. Others are heard now and then.
   * @throws {FormatError} where there were too many.
   * @throws {CancelledError} by the signal.
   */
  async step(count = 1): Promise<void> {
    throwIfAborted(this.#signal, "the run");
    this.#steps += count;
    if (this.#steps > this.#maxSteps) {
      throw new FormatError(
        `the run has taken ${counted(this.#maxSteps, "step")} (nodes, and turns of loops) and goes on; ` +
          `where that is meant, allow more with maxSteps`,
      );
    }
    await this.#breathe();
    throwIfAborted(this.#signal, "the run");
  }

  /** Runs what makes tensors of this run, and does not wait. */
  within<T>(f: () => T): T {
    return watchStorages(this, f);
  }

  /**
   * Before so many bytes are taken.
   * @throws {DeviceError} where they are too many.
   */
  before(byteLength: number): void {
    if (this.#bytes + byteLength > this.#maxMemory || this.#made.size >= this.#sweepAt) this.#sweep();
    if (this.#bytes + byteLength <= this.#maxMemory) return;
    throw new DeviceError(
      `${counted(byteLength, "byte")} more, where the run holds ${this.#bytes} of its own, are beyond the ` +
        `${this.#maxMemory} that it may; where that is meant, allow more with maxMemory`,
    );
  }

  /** Values that were made elsewhere for this run are its own from now on. */
  adopt<V extends Value>(value: V): V {
    for (const { storage } of tensorsOf(value)) if (!this.#made.has(storage)) this.after(storage);
    this.before(0);
    return value;
  }

  /** A tensor was made. */
  after(storage: Storage): void {
    this.#made.add(storage);
    this.#bytes += storage.buffer.byteLength + each;
  }

  #sweep(): void {
    for (const storage of this.#made) {
      if (storage.holders > 0) continue;
      this.#made.delete(storage);
      this.#bytes -= storage.buffer.byteLength + each;
    }
    this.#sweepAt = Math.max(1024, 2 * this.#made.size);
  }
}
