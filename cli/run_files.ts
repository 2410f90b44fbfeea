/**
 * What a training run makes in its folder, by name: what is called otherwise is somebody else's, and stays.
 *
 * @module
 */
import { commitFolder } from "../src/platform/commit.ts";
import { isTemporaryName } from "../src/platform/temporary_files.ts";

/** Files that a model is written as. */
export const modelFile =
  /^((config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json|chat_template\.jinja|model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?)$/;

/** Files that an adapter is written as. */
export const adapterFile = /^adapter_(config\.json|model\.safetensors)$/;

/** What a run notes in its folder, and how it begins. */
export const runNotes: Readonly<Record<string, RegExp>> = {
  "training.json": /^\{\n {2}"text": /,
  "log.jsonl": /^\{"step":\d/,
};

/** A checkpoint that is being written. */
export const unfinishedCheckpoint = /^\.step-\d+\..*\.tmp$/;

/** Folders of checkpoints, each with those that are on their way in or out; and what a checkpoint is. */
const checkpoints = /^(?:checkpoints|\.checkpoints\.old)$/,
  checkpoint = /^(?:step-\d+(?:\.\d+)?|\.step-\d+\..*\.tmp)$/,
  ofCheckpoint = /^(?:state\.json|[\w-]+\.safetensors)$/;

/** Whether a folder of a run is one of checkpoints. */
export const isCheckpoints = (name: string): boolean => checkpoints.test(name);

/** Whether a run makes what is at `path` below its folder. */
export function isOfRun(path: string, isFolder: boolean): boolean {
  const names = path.split("/"), last = names.pop()!, [first, second] = names;
  if (isFolder) {
    if (last === commitFolder) return true;
    return first === undefined ? checkpoints.test(last) : second === undefined && checkpoint.test(last);
  }
  if (isTemporaryName(last) || names.at(-1) === commitFolder || modelFile.test(last)) return true;
  if (first === undefined) return adapterFile.test(last) || Object.hasOwn(runNotes, last);
  return second !== undefined && ofCheckpoint.test(last);
}
