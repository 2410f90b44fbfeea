/**
 * Fetching a model ahead of its use, and what was fetched.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { HubError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import type { CachedRepository, CacheOptions, HubOptions } from "../hub/mod.ts";
import { hubOptions } from "../hub/options.ts";
import { demandObject } from "../core/json.ts";
import { familyOfConfig } from "../models/registry.ts";
import { readJson } from "./model_folder.ts";
import { folderChat } from "./chat_source.ts";
import { tokenizerFiles } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

export {
  type CachedRepository,
  type CachedRevision,
  type CacheOptions,
  type DownloadProgress,
  type HubOptions,
} from "../hub/mod.ts";

/** The client, loaded when it is needed: few programs that load a model look into the cache too. */
const hub = (): Promise<typeof import("../hub/mod.ts")> => import("../hub/mod.ts");

/**
 * What {@link pullModel} brought.
 *
 * @category Hub
 */
export interface PulledModel {
  /** `organisation/name`. */
  repository: string;
  /** The commit that the revision is. */
  commit: string;
  /** The folder of its files, which loads as it is; null in a browser. */
  folder: string | null;
}

/**
 * Fetches what {@link CausalLM.load} needs of a repository, and nothing else of it: configuration, tokenizer, chat template, and weights
 * as safetensors. What is in the cache is not fetched again; what was interrupted goes on where it stopped.
 *
 * @throws {HubError} when it cannot be fetched.
 * @throws {FormatError} when its family is not known, before the weights are fetched.
 * @throws {CancelledError} when the signal is aborted.
 * @category Hub
 */
export async function pullModel(repository: string, options: HubOptions = {}): Promise<PulledModel> {
  demandNoMore(arguments, 2, "pullModel");
  checkOptions("pullModel", options, hubOptions);
  const { openRepository } = await hub();
  const folder = await openRepository(repository, options);
  const config = await readJson(folder, "config.json");
  if (config === null) throw new HubError(`${folder.name} holds no config.json, so it is not a model`);
  const where = `${folder.name}/config.json`;
  const json = demandObject(config, where);
  familyOfConfig(json, where).parse(json, where);
  await readJson(folder, "generation_config.json");
  await tokenizerFiles(folder);
  await folderChat(folder);
  const weights = await openWeights(folder);
  await weights.close();
  await folder.tidy();
  return { repository, commit: folder.commit, folder: folder.folder };
}

/**
 * The models in the cache, by name; what Python's client put there too.
 *
 * @throws {HubError} when there is no home folder, or Deno may not look into it.
 * @category Hub
 */
export async function scanCache(options: CacheOptions = {}): Promise<CachedRepository[]> {
  demandNoMore(arguments, 1, "scanCache");
  return (await hub()).scanCache(options);
}

/**
 * Takes a repository out of the cache, with all of its commits and what is unfinished; gives what was there.
 *
 * @throws {HubError} when it is not there.
 * @category Hub
 */
export async function removeCached(
  repository: string,
  options: CacheOptions = {},
): Promise<CachedRepository> {
  demandNoMore(arguments, 2, "removeCached");
  return (await hub()).removeCached(repository, options);
}
