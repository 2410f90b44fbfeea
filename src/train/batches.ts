/**
 * Token ids cut into windows: random ones for training, sequential ones for evaluation.
 *
 * A window of blockSize + 1 ids holds blockSize predictions: each id is predicted from those before it. What a source
 * gives next depends on its state alone, which can be saved and set.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { OptionError } from "../core/errors.ts";
import { hashOf } from "../core/fnv.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import { Generator, type GeneratorState } from "../core/random.ts";
import { counted } from "../core/show.ts";
import type { BatchPart } from "../distributed/data_parallel.ts";
import { slice, Tensor, tensor } from "../ops/mod.ts";

/**
 * Where training batches come from.
 *
 * @category Training
 */
export interface DataSource<B = Tensor> {
  /** How many tokens (or rows) a batch holds, or the last one held, for the speed that is reported. */
  readonly tokensPerBatch: number;
  /**
   * The next batch; with `part`, only those of its rows that the part names, drawn as the whole is. A step takes `batches` of them
   * (default 1), for sources whose batches count unequally.
   * @throws {OptionError} for parts that the rows of a batch cannot be cut into.
   * @throws {ShapeError} for a part that is none.
   */
  next(part?: BatchPart, batches?: number): B;
  /** Whether `next` honours a part. Of a source that does not, batches are made whole and cut. */
  readonly takesPart?: boolean;
  /** What the batches are made of, in few words: ranks of a run compare it. */
  describe?(): string;
  /** What {@link DataSource.setState} takes to continue from here, fit for JSON. */
  getState(): unknown;
  /**
   * Continues where `state` was taken.
   * @throws {OptionError} for what `getState` of such data does not give.
   */
  setState(state: unknown): void;
}

/**
 * Token ids: a typed array or a list of whole numbers.
 *
 * @category Training
 */
export type TokenIds = ArrayLike<number>;

/**
 * Sizes of windows and batches.
 *
 * @category Training
 */
export interface BatchOptions {
  /** Windows in a batch. */
  batchSize: number;
  /** Predictions in a window: it holds one id more. */
  blockSize: number;
  /** Where batches live. Default: the default device. */
  device?: DeviceName;
}

const count = kinds.whole(1);

const batchOptions: OptionTable<BatchOptions> = {
  batchSize: required(count),
  blockSize: required(count),
  device: kinds.device,
};

/** Ids that a batch may hold, 1 GiB of them: what a model makes of each is far larger. */
const mostIds = 2 ** 28;

/** @throws {OptionError} for a batch that no machine holds, before memory for it is asked for. */
function checkBatch(what: string, batchSize: number, length: number): void {
  if (batchSize * length <= mostIds) return;
  const most = Math.floor(mostIds / length);
  throw new OptionError(
    `${what}: batchSize is ${batchSize}, expected at most ${most} windows of ${
      counted(length, "id")
    } (${mostIds} ids a batch)`,
  );
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
 * The rows that are a part's.
 * @throws {OptionError} where parts would not be equal.
 */
function rowsOf<T>(rows: readonly T[], part: BatchPart | undefined): readonly T[] {
  if (!part) return rows;
  const each = partSize(rows.length, part);
  return rows.slice(part.index * each, (part.index + 1) * each);
}

/**
 * How many of `rows` rows are one part's.
 * @throws {OptionError} where parts would not be equal.
 */
export function partSize(rows: number, { count }: BatchPart): number {
  if (rows % count === 0) return rows / count;
  throw new OptionError(
    `Trainer: a batch has ${
      counted(rows, "row")
    } (batchSize), expected a multiple of ${count}, the parts that it is cut into (one or more a rank)`,
  );
}

/**
 * Options of {@link randomBatches} and {@link epochBatches}.
 *
 * @category Training
 */
export interface RandomBatchOptions extends BatchOptions {
  /** Of the order. Default 0. */
  seed?: number;
}

const randomOptions: OptionTable<RandomBatchOptions> = { ...batchOptions, seed: kinds.seed };

/** Where windows begin, one after the other, for a seed. */
export interface Starts {
  /** The next window's beginning. */
  next(): number;
  /** What {@link Starts.setState} takes. */
  getState(): unknown;
  /** Goes on where `state` was taken. */
  setState(state: unknown): void;
}

/** Windows of `ids` that begin where `starts` says, of the choices there are. */
export function windowBatches(
  what: string,
  ids: TokenIds,
  options: RandomBatchOptions,
  startsOf: (blockSize: number, seed: number) => Starts,
): DataSource<Tensor> {
  const { batchSize, blockSize, seed = 0, device } = checkOptions(what, options, randomOptions);
  const length = blockSize + 1;
  if (ids.length < length) {
    throw new OptionError(
      `${what}: ${counted(ids.length, "id")} cannot fill a window of ${length}; take a smaller blockSize`,
    );
  }
  checkBatch(what, batchSize, length);
  const starts = startsOf(blockSize, seed);
  return {
    tokensPerBatch: batchSize * blockSize,
    takesPart: true,
    describe: () => `${ids.length} ids (hash ${hashOf(ids)}), ${what} of ${batchSize} × ${blockSize}`,
    next(part?: BatchPart): Tensor {
      const all = Array.from({ length: batchSize }, () => starts.next());
      return windows(ids, rowsOf(all, part), length, device);
    },
    getState: () => starts.getState(),
    setState: (state) => starts.setState(state),
  };
}

/**
 * Windows [batchSize, blockSize + 1] (i32) that begin anywhere in `ids`, drawn by a generator of its own.
 * @throws {OptionError} when there are too few ids for one window.
 * @category Training
 */
export function randomBatches(ids: TokenIds, options: RandomBatchOptions): DataSource<Tensor> {
  demandNoMore(arguments, 2, "randomBatches");
  return windowBatches("randomBatches", ids, options, (blockSize, seed) => {
    const generator = new Generator(seed);
    return {
      next: () => generator.integer(0, ids.length - blockSize),
      getState: () => generator.getState(),
      setState: (state) => generator.setState(state as GeneratorState),
    };
  });
}

/**
 * Options of {@link sequentialBatches}.
 *
 * @category Training
 */
export interface SequentialOptions extends BatchOptions {
  /** From one window's beginning to the next one's. Default blockSize: every id is predicted once. */
  stride?: number;
  /** At most so many batches, spread evenly over the text. Default: all. */
  maxBatches?: number;
}

const sequentialOptions: OptionTable<SequentialOptions> = {
  ...batchOptions,
  stride: count,
  maxBatches: kinds.kind("a number from 1", (x) => typeof x === "number" && x >= 1),
};

/**
 * The same batches [batchSize, blockSize + 1] every time it is gone through, in order, all of one size: ids at the end
 * that fill no window, and windows that fill no batch, are left out.
 * @throws {OptionError} when there are too few ids for one window.
 * @category Training
 */
export function sequentialBatches(ids: TokenIds, options: SequentialOptions): Iterable<Tensor> {
  demandNoMore(arguments, 2, "sequentialBatches");
  const { blockSize, stride = blockSize, device, maxBatches = Infinity } = checkOptions(
    "sequentialBatches",
    options,
    sequentialOptions,
  );
  const count = Math.floor((ids.length - blockSize - 1) / stride) + 1;
  if (count < 1) {
    throw new OptionError(
      `sequentialBatches: ${counted(ids.length, "id")} cannot fill a window of ${
        blockSize + 1
      }; take a smaller blockSize`,
    );
  }
  const batchSize = Math.min(options.batchSize, count);
  checkBatch("sequentialBatches", batchSize, blockSize + 1);
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

/**
 * A part of the next batch of `data`, of which a step takes `batches`.
 * @throws {OptionError} where it cannot be cut.
 */
export function nextPart<B>(data: DataSource<B>, part: BatchPart, batches: number): B {
  if (part.count === 1) return data.next(undefined, batches);
  if (data.takesPart) return data.next(part, batches);
  const whole = data.next(undefined, batches);
  if (!(whole instanceof Tensor) || whole.shape.length === 0) {
    throw new OptionError(
      "Trainer: batches of this source are no tensors, so they cannot be cut; give it takesPart: true, and a next(part) that " +
        "gives a part",
    );
  }
  const each = partSize(whole.shape[0], part);
  return slice(whole, [part.index * each, (part.index + 1) * each]) as B & Tensor;
}
