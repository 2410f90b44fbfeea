/**
 * Checkpoints on this machine's disk.
 *
 * @module
 */
import { demandNoMore, demandText } from "../core/demand.ts";
import { checkOptions } from "../core/options.ts";
import * as platform from "../platform/platform.ts";
import { keepingOptions } from "../train/checkpoint_store.ts";
import { type CheckpointOptions, CheckpointStore } from "../train/mod.ts";

/**
 * Keeps a run's checkpoints in a folder: the newest `keepLast` (2) and the best `keepBest` (1). Each appears whole or
 * not at all.
 *
 * @category Training
 */
export class CheckpointManager extends CheckpointStore {
  /**
   * `files` are texts to put beside each checkpoint.
   * @throws {OptionError} when nothing would be kept.
   */
  constructor(directory: string, options: Omit<CheckpointOptions, "fileSystem"> = {}) {
    demandNoMore(arguments, 2, "CheckpointManager");
    const checked = checkOptions("CheckpointManager", options, keepingOptions);
    demandText("CheckpointManager", directory, "the directory");
    super(directory, { ...checked, fileSystem: platform });
  }
}
