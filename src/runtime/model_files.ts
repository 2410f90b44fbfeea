/**
 * The files of a model's folder before they are written: to a disk, or into an archive where there is none.
 *
 * @module
 */
import type { TensorToSave } from "../files/mod.ts";

/** A file of a model's folder. */
export interface ModelFile {
  /** Its name, without a folder. */
  readonly name: string;
  /** Its text, or its bytes piece by piece. */
  readonly content: string | AsyncIterable<Uint8Array>;
}

/** What a model's folder is made of. */
export interface FolderContents {
  readonly tensors: readonly TensorToSave[];
  readonly metadata: { readonly metadata: Record<string, string>; readonly shardSize?: number };
  readonly others: { readonly name: string; readonly content: string }[];
}

/** `value` as a file of JSON. */
export function jsonFile(name: string, value: unknown): { name: string; content: string } {
  return { name, content: `${JSON.stringify(value, null, 2)}\n` };
}
