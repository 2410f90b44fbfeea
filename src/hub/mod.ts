/**
 * Models from a hub, fetched once and kept where Python's `huggingface_hub` keeps them.
 *
 * @module
 */
export {
  type CachedRepository,
  type CachedRevision,
  type CacheOptions,
  removeCached,
  scanCache,
} from "./cached.ts";
export { isRepository } from "./names.ts";
export { canKeepParts } from "./parts_store.ts";
export { RefusedError, UnreachableError } from "./request.ts";
export { HubRepository, openRepository } from "./repository.ts";
export { type DownloadProgress, type HubOptions } from "./settings.ts";
