/**
 * Examples in batches: in a new order each epoch, packed or padded, read from their file as they are needed.
 *
 * What is given next follows from the file, the options and a place in the order, so a run goes on exactly where it was. The
 * batches of a step are filled together: how much each counts depends on how many targets all of them have.
 *
 * @module
 */
import type { DeviceName } from "../../backends/contract.ts";
import { demand, demandNoMore } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../../core/options.ts";
import { counted } from "../../core/show.ts";
import type { BatchPart } from "../../distributed/data_parallel.ts";
import { defaultDevice } from "../../tensor/device.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import { type DataSource, partSize } from "../batches.ts";
import { evaluating } from "../evaluate.ts";
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
import { Cutter } from "./cut.ts";
import { demandFit, demandSet, ExampleOrder, type NumberedSet } from "./order.ts";

/**
 * Examples that can be had by their number.
 *
 * @category Training
 */
export type ExampleSet = NumberedSet<EncodedExample>;

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
  readonly #cutter: Cutter;

  constructor(set: ExampleSet, sizes: Sizes, warn: (message: string) => void) {
    this.#set = set;
    this.#sizes = sizes;
    this.#cutter = new Cutter(sizes.blockSize, warn);
  }

  /** An example, cut to a row; null where nothing of it is to be learned then. */
  example(i: number): EncodedExample | null {
    return this.#cutter.cut(this.#set.at(i), () => this.#set.where(i));
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

function sizesOf(what: string, set: ExampleSet, options: ExampleBatchOptions): [Sizes, ExampleBatchOptions] {
  demandSet(what, set);
  const given = checkOptions(what, options, exampleBatchOptions),
    { batchSize, blockSize, pack = false } = given;
  if (batchSize * blockSize > mostPlaces) {
    throw new OptionError(
      `${what}: batchSize is ${batchSize}, expected at most ${
        counted(Math.floor(mostPlaces / blockSize), "row")
      } of ${blockSize}`,
    );
  }
  demandFit(what, set, blockSize);
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
  demandNoMore(arguments, 2, "exampleBatches");
  const [sizes, { seed = 0, device, onWarning = console.warn }] = sizesOf("exampleBatches", set, options);
  const filler = new Filler(set, sizes, onWarning);
  const order = new ExampleOrder<EncodedExample, Row[]>(
    "exampleBatches",
    set,
    seed,
    (i) => filler.example(i),
  );
  let tokens = sizes.batchSize * sizes.blockSize;
  return {
    get tokensPerBatch(): number {
      return tokens;
    },
    takesPart: true,
    describe: () => `${set.length} examples (SHA-256 ${set.sha256}) in batches of ${JSON.stringify(sizes)}`,
    next(part?: BatchPart, of = 1): ExampleBatch {
      const { own: rows, all } = order.batch(of, (next, undo) => filler.rows(next, undo));
      tokens = placesOf(rows);
      const { index, count } = part ?? { index: 0, count: 1 }, each = partSize(rows.length, { index, count });
      const own = rows.slice(index * each, (index + 1) * each);
      return exampleBatch(own, filler.width(rows), {
        packed: sizes.pack,
        weight: count * of * targetsOf(own) / targetsOf(all.flat()),
        device: device ?? defaultDevice(),
      });
    },
    getState: () => order.getState(),
    setState: (state) => order.setState(state),
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
  demandNoMore(arguments, 3, "evaluateExamples");
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
  if (!targets) {
    throw new OptionError(`evaluateExamples: of ${counted(set.length, "example")} nothing is left to learn`);
  }
  return { loss: sum / targets, targets };
}
