/**
 * Examples in batches: in a new order each epoch, packed or padded, read from their file as they are needed.
 *
 * What is given next follows from the file, the options and a place in the order, so a run goes on exactly where it was. The
 * batches of a step are filled together: how much each counts depends on how many targets all of them have.
 *
 * @module
 */
import type { DeviceName } from "../../backends/contract.ts";
import { demand } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../../core/options.ts";
import { show } from "../../core/show.ts";
import type { BatchPart } from "../../distributed/data_parallel.ts";
import { defaultDevice } from "../../tensor/device.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import { type DataSource, partSize } from "../batches.ts";
import { evaluating } from "../evaluate.ts";
import { type EpochPlace, Epochs } from "../epochs.ts";
import type { Module } from "../../nn/mod.ts";
import {
  countsOf,
  type EncodedExample,
  type ExampleBatch,
  exampleBatch,
  lengthOf,
  type LossModel,
  type Row,
} from "./batch.ts";

/**
 * Examples that can be had by their number.
 *
 * @category Training
 */
export interface ExampleSet {
  /** How many. */
  readonly length: number;
  /** The digest of the file that they are in. */
  readonly sha256: string;
  /** The ids of an example. */
  at(i: number): EncodedExample;
  /** What to call an example in a message. */
  where(i: number): string;
}

/**
 * Sizes of rows and batches.
 *
 * @category Training
 */
export interface ExampleBatchOptions {
  /** Rows in a batch. */
  batchSize: number;
  /** Predictions in a row, at most. What an example has beyond is left out, and told of. */
  blockSize: number;
  /** Several examples in a row, as many as fit; else one and padding. Default false. */
  pack?: boolean;
  /** Of the order. Default 0. */
  seed?: number;
  /** Where batches live. Default: the default device. */
  device?: DeviceName;
  /** Hears of the first example that is too long. Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

const count = kinds.whole(1);

const exampleBatchOptions: OptionTable<ExampleBatchOptions> = {
  batchSize: required(count),
  blockSize: required(count),
  pack: kinds.flag,
  seed: kinds.seed,
  device: kinds.device,
  onWarning: kinds.callback,
};

/** Predictions that a batch may hold: what a model makes of each is far larger. */
const mostPlaces = 2 ** 28;

type Sizes = Required<Pick<ExampleBatchOptions, "batchSize" | "blockSize" | "pack">>;

/** Fills rows from examples that come one after the other. */
class Filler {
  readonly #set: ExampleSet;
  readonly #sizes: Sizes;
  readonly #warn: (message: string) => void;
  #isWarned = false;

  constructor(set: ExampleSet, sizes: Sizes, warn: (message: string) => void) {
    this.#set = set;
    this.#sizes = sizes;
    this.#warn = warn;
  }

  /** An example, cut to a row; null where nothing of it is to be learned then. */
  example(i: number): EncodedExample | null {
    const { blockSize } = this.#sizes, { ids, counts } = this.#set.at(i), most = blockSize + 1;
    if (ids.length > most && !this.#isWarned) {
      this.#isWarned = true;
      this.#warn(
        `${
          this.#set.where(i)
        } has ${ids.length} tokens, of which a row of ${blockSize} takes ${most}: the rest is left out, ` +
          `here and where else it is so`,
      );
    }
    const cut = ids.length > most
      ? { ids: ids.slice(0, most), counts: counts.slice(0, most) }
      : { ids, counts };
    return countsOf(cut) > 0 ? cut : null;
  }

  /** The rows of a batch, of what `next` gives until it gives null or no row has room. `undo` puts the last one back. */
  rows(next: () => EncodedExample | null, undo: () => void): Row[] {
    const { batchSize, blockSize, pack } = this.#sizes, rows: EncodedExample[][] = [], room: number[] = [];
    for (;;) {
      if (!pack && rows.length === batchSize) return rows;
      const example = next();
      if (!example) return rows;
      const length = lengthOf(example);
      let row = pack ? room.findIndex((left) => left >= length) : -1;
      if (row < 0) {
        if (rows.length === batchSize) {
          undo();
          return rows;
        }
        row = rows.push([]) - 1;
        room.push(blockSize);
      }
      rows[row].push(example);
      room[row] -= length;
    }
  }

  /** How wide rows are. */
  width(rows: readonly Row[]): number {
    return this.#sizes.pack
      ? this.#sizes.blockSize
      : Math.max(...rows.map((row) => row.reduce((sum, example) => sum + lengthOf(example), 0)));
  }
}

const targetsOf = (rows: readonly Row[]): number =>
  rows.reduce((sum, row) => sum + row.reduce((n, example) => n + countsOf(example), 0), 0);
const placesOf = (rows: readonly Row[]): number =>
  rows.reduce((sum, row) => sum + row.reduce((n, example) => n + lengthOf(example), 0), 0);

/** The batches of a step, and where the next one begins. */
interface Filled {
  readonly key: string;
  readonly batches: readonly Row[][];
  readonly end: EpochPlace;
}

/** A place in the data: that of the step, and how many of its batches were given. */
interface SourceState extends EpochPlace {
  readonly sha256: string;
  readonly done: number;
}

function sizesOf(what: string, set: ExampleSet, options: ExampleBatchOptions): [Sizes, ExampleBatchOptions] {
  const given = checkOptions(what, options, exampleBatchOptions),
    { batchSize, blockSize, pack = false } = given;
  if (set.length < 1) throw new OptionError(`${what}: there are no examples`);
  if (batchSize * blockSize > mostPlaces) {
    throw new OptionError(
      `${what}: batchSize is ${batchSize}, expected at most ${
        Math.floor(mostPlaces / blockSize)
      } rows of ${blockSize}`,
    );
  }
  return [{ batchSize, blockSize, pack }, given];
}

/**
 * Batches of examples for a `Trainer`, whose loss is `(batch) => batch.loss(model)`: every example once before any comes again, in
 * another order each epoch. The gradient of a step is that of the mean over all targets of its batches, however they are divided
 * over rows, batches and ranks.
 * @throws {OptionError} when there are no examples, or nothing of any of them is learned.
 * @category Training
 */
export function exampleBatches(set: ExampleSet, options: ExampleBatchOptions): DataSource<ExampleBatch> {
  const [sizes, { seed = 0, device, onWarning = console.warn }] = sizesOf("exampleBatches", set, options);
  const epochs = new Epochs(set.length, seed), filler = new Filler(set, sizes, onWarning);
  let done = 0, filled: Filled | null = null, tokens = sizes.batchSize * sizes.blockSize;
  const next = (): EncodedExample => {
    for (let tried = 0; tried < set.length; tried++) {
      const found = filler.example(epochs.next());
      if (found) return found;
    }
    throw new OptionError(
      `exampleBatches: of ${set.length} examples cut to ${
        sizes.blockSize + 1
      } tokens nothing is left to learn; take a larger ` +
        `blockSize`,
    );
  };
  /** The batches of the step that begins here. */
  const fill = (of: number): Filled => {
    const begin = epochs.place, key = JSON.stringify([begin, of]);
    if (filled?.key === key) return filled;
    const batches = Array.from({ length: of }, () => {
      let before = epochs.place;
      return filler.rows(
        () => (before = epochs.place, next()),
        () => epochs.place = before,
      );
    });
    filled = { key, batches, end: epochs.place };
    epochs.place = begin;
    return filled;
  };
  return {
    get tokensPerBatch(): number {
      return tokens;
    },
    takesPart: true,
    describe: () => `${set.length} examples (SHA-256 ${set.sha256}) in batches of ${JSON.stringify(sizes)}`,
    next(part?: BatchPart, of = 1): ExampleBatch {
      const { batches, end } = fill(of), rows = batches[done], all = targetsOf(batches.flat());
      tokens = placesOf(rows);
      if (++done === of) {
        done = 0;
        epochs.place = end;
      }
      const { index, count } = part ?? { index: 0, count: 1 }, each = partSize(rows.length, { index, count });
      const own = rows.slice(index * each, (index + 1) * each);
      return exampleBatch(own, filler.width(rows), {
        packed: sizes.pack,
        weight: count * of * targetsOf(own) / all,
        device: device ?? defaultDevice(),
      });
    },
    getState: (): SourceState => ({ ...epochs.place, done, sha256: set.sha256 }),
    setState(state): void {
      const place = epochs.demandPlace(state), { done: given, sha256 } = state as Partial<SourceState>;
      if (sha256 !== set.sha256) {
        throw new OptionError(
          `the examples are those of another file: its SHA-256 is ${set.sha256}, and that of the run was ${
            show(sha256)
          }`,
        );
      }
      if (!kinds.whole(0).accepts(given)) {
        throw new OptionError(
          `the place in the data has done ${show(given)}, expected a whole number from 0`,
        );
      }
      epochs.place = place;
      done = given as number;
    },
  };
}

/**
 * The mean loss of all targets of `set`, in evaluation mode; nothing is learned. The order and the packing change nothing in it.
 * @throws {OptionError} when there are no examples, or nothing of any of them is learned.
 * @category Training
 */
export async function evaluateExamples(
  model: Module & LossModel,
  set: ExampleSet,
  options: Omit<ExampleBatchOptions, "seed">,
): Promise<{ loss: number; targets: number }> {
  demand("evaluateExamples", "the model", model, typeof model?.loss === "function", "a model with a loss");
  const [sizes, { device, onWarning = console.warn }] = sizesOf("evaluateExamples", set, options);
  const filler = new Filler(set, sizes, onWarning);
  let at = 0, sum = 0, targets = 0;
  const next = (): EncodedExample | null => {
    while (at < set.length) {
      const found = filler.example(at++);
      if (found) return found;
    }
    return null;
  };
  await evaluating(model, async () => {
    for (;;) {
      const rows = filler.rows(next, () => at--);
      if (!rows.length) return;
      const loss = noGrad(() =>
        tidy(() =>
          exampleBatch(rows, filler.width(rows), {
            packed: sizes.pack,
            weight: 1,
            device: device ?? defaultDevice(),
          }).loss(model)
        )
      );
      const own = targetsOf(rows);
      sum += own * await loss.item();
      targets += own;
      loss.dispose();
    }
  });
  if (!targets) throw new OptionError(`evaluateExamples: of ${set.length} examples nothing is left to learn`);
  return { loss: sum / targets, targets };
}
