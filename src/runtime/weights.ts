/**
 * A folder's weights: one file, or an index with its shards.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { openFiles, SafetensorsFile } from "../files/mod.ts";
import type { ModelFolder } from "./model_folder.ts";

/**
 * Opens what a folder has of `model.safetensors` and `model.safetensors.index.json`.
 *
 * @throws {FormatError} when it has neither, or a shard is missing.
 */
export async function openWeights(folder: ModelFolder): Promise<SafetensorsFile> {
  const single = await folder.open("model.safetensors") ?? await folder.open("model.safetensors.index.json");
  if (!single) {
    throw new FormatError(
      `${folder.name} holds neither model.safetensors nor model.safetensors.index.json; other weight files are not read`,
    );
  }
  const files = await openFiles(single, async (name) => {
    const shard = await folder.open(name);
    if (!shard) throw new FormatError(`${folder.name}: the index names ${name}, which is not there`);
    return shard;
  });
  return new SafetensorsFile(files);
}
