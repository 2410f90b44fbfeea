/**
 * Token ids cut into windows: random ones for training, sequential ones for evaluation.
 *
 * A window of blockSize + 1 ids holds blockSize predictions: each id is predicted from those before it. What a source
 * gives next depends on its state alone, which can be saved and set.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { OptionError } from "../core/errors.ts";
import { Generator, type GeneratorState } from "../core/random.ts";
import { type Tensor, tensor } from "../ops/mod.ts";

/** Where training batches come from. */
export interface DataSource<B = Tensor> {
  /** How many tokens (or rows) a batch holds, for the speed that is reported. */
  readonly tokensPerBatch: number;
  /** The next batch. */
  next(): B;
  /** What {@link DataSource.setState} takes to continue from here, fit for JSON. */
  getState(): unknown;
  /** Continues where `state` was taken. */
  setState(state: unknown): void;
}

/** Token ids: a typed array or a list of whole numbers. */
export type TokenIds = ArrayLike<number>;

/** Sizes of windows and batches. */
export interface BatchOptions {
  /** Windows in a batch. */
  batchSize: number;
  /** Predictions in a window: it holds one id more. */
  blockSize: number;
  /** Where batches live. Default: the default device. */
  device?: DeviceName;
}

function checkSizes(what: string, sizes: Record<string, number>): void {
  for (const [name, value] of Object.entries(sizes)) {
    if (Number.isInteger(value) && value > 0) continue;
    throw new OptionError(`${what}: ${name} is a whole number above 0, not ${value}`);
  }
}

/** Ids from each of `starts`, `length` of them, as i32 [starts, length]. */
export function windows(
  ids: TokenIds,
  starts: readonly number[],
  length: number,
  device?: DeviceName,
): Tensor {
  const values = new Int32Array(starts.length * length);
  starts.forEach((start, row) => {
    for (let i = 0; i < length; i++) values[row * length + i] = ids[start + i];
  });
  return tensor(values, { shape: [starts.length, length], ...(device ? { device } : {}) });
}

/**
 * Windows [batchSize, blockSize + 1] (i32) that begin anywhere in `ids`, drawn by a generator of its own.
 * @throws {OptionError} when there are too few ids for one window.
 */
export function randomBatches(ids: TokenIds, options: BatchOptions & { seed?: number }): DataSource<Tensor> {
  const { batchSize, blockSize, seed = 0, device } = options;
  checkSizes("randomBatches", { batchSize, blockSize });
  const length = blockSize + 1, choices = ids.length - blockSize;
  if (choices < 1) {
    throw new OptionError(
      `randomBatches: ${ids.length} ids do not fill a window of ${length}; take a smaller blockSize`,
    );
  }
  const generator = new Generator(seed);
  return {
    tokensPerBatch: batchSize * blockSize,
    next(): Tensor {
      const starts = Array.from({ length: batchSize }, () => generator.integer(0, choices));
      return windows(ids, starts, length, device);
    },
    getState: () => generator.getState(),
    setState: (state) => generator.setState(state as GeneratorState),
  };
}

/** Options of {@link sequentialBatches}. */
export interface SequentialOptions extends BatchOptions {
  /** From one window's beginning to the next one's. Default blockSize: every id is predicted once. */
  stride?: number;
  /** At most so many batches, spread evenly over the text. Default: all. */
  maxBatches?: number;
}

/**
 * The same batches [batchSize, blockSize + 1] every time it is gone through, in order, all of one size: ids at the end
 * that fill no window, and windows that fill no batch, are left out.
 * @throws {OptionError} when there are too few ids for one window.
 */
export function sequentialBatches(ids: TokenIds, options: SequentialOptions): Iterable<Tensor> {
  const { blockSize, stride = blockSize, device, maxBatches = Infinity } = options;
  checkSizes("sequentialBatches", { batchSize: options.batchSize, blockSize, stride });
  if (!(maxBatches >= 1)) {
    throw new OptionError(`sequentialBatches: maxBatches is at least 1, not ${maxBatches}`);
  }
  const count = Math.floor((ids.length - blockSize - 1) / stride) + 1;
  if (count < 1) {
    throw new OptionError(
      `sequentialBatches: ${ids.length} ids do not fill a window of ${
        blockSize + 1
      }; take a smaller blockSize`,
    );
  }
  const batchSize = Math.min(options.batchSize, count);
  const whole = Math.floor(count / batchSize), batches = Math.min(whole, Math.floor(maxBatches));
  return {
    *[Symbol.iterator](): IterableIterator<Tensor> {
      for (let i = 0; i < batches; i++) {
        const first = Math.floor(i * whole / batches) * batchSize;
        const starts = Array.from({ length: batchSize }, (_, row) => (first + row) * stride);
        yield windows(ids, starts, blockSize + 1, device);
      }
    },
  };
}
