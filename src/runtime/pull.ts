/**
 * Fetching a model ahead of its use, and what was fetched.
 *
 * @module
 */
import { HubError } from "../core/errors.ts";
import { type HubOptions, openRepository } from "../hub/mod.ts";
import { parseConfig } from "../models/mod.ts";
import { readJson } from "./model_folder.ts";
import { tokenizerFiles } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

export {
  type CachedRepository,
  type CachedRevision,
  type CacheOptions,
  type DownloadProgress,
  type HubOptions,
  removeCached,
  scanCache,
} from "../hub/mod.ts";

/** What {@link pullModel} brought. */
export interface PulledModel {
  /** `organisation/name`. */
  repository: string;
  /** The commit that the revision is. */
  commit: string;
  /** The folder of its files, which loads as it is; null in a browser. */
  folder: string | null;
}

/**
 * Fetches what {@link GPT2.load} needs of a repository, and nothing else of it: configuration, tokenizer, and weights
 * as safetensors. What is in the cache is not fetched again; what was interrupted goes on where it stopped.
 *
 * @throws {HubError} when it cannot be fetched.
 * @throws {FormatError} when it is no GPT-2, before the weights are fetched.
 * @throws {CancelledError} when the signal is aborted.
 */
export async function pullModel(repository: string, options: HubOptions = {}): Promise<PulledModel> {
  const folder = await openRepository(repository, options);
  const config = await readJson(folder, "config.json");
  if (config === null) throw new HubError(`${folder.name} holds no config.json, so it is not a model`);
  parseConfig(config, `${folder.name}/config.json`);
  await readJson(folder, "generation_config.json");
  await tokenizerFiles(folder);
  const weights = await openWeights(folder);
  await weights.close();
  await folder.tidy();
  return { repository, commit: folder.commit, folder: folder.folder };
}
