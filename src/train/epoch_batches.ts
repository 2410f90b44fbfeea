/**
 * A text in windows, each once before any comes again.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { Tensor } from "../ops/mod.ts";
import { type DataSource, type RandomBatchOptions, type TokenIds, windowBatches } from "./batches.ts";
import { Epochs } from "./epochs.ts";

/**
 * Windows [batchSize, blockSize + 1] (i32) that begin at multiples of blockSize in `ids`, each once an epoch, in another order each
 * epoch. Ids at the end that fill no window are left out.
 * @throws {OptionError} when there are too few ids for one window.
 * @category Training
 */
export function epochBatches(ids: TokenIds, options: RandomBatchOptions): DataSource<Tensor> {
  demandNoMore(arguments, 2, "epochBatches");
  return windowBatches("epochBatches", ids, options, (blockSize, seed) => {
    const epochs = new Epochs(Math.floor((ids.length - 1) / blockSize), seed);
    return {
      next: () => blockSize * epochs.next(),
      getState: () => epochs.place,
      setState: (state) => epochs.place = epochs.demandPlace(state),
    };
  });
}
