/**
 * The files of a model's folder before they are written: to a disk, or into an archive where there is none.
 *
 * @module
 */
import type { TensorToSave } from "../files/mod.ts";

/**
 * A file of a model's folder.
 *
 * @category Models
 */
export interface ModelFile {
  /** Its name, without a folder. */
  readonly name: string;
  /** Its text, or its bytes piece by piece. */
  readonly content: string | AsyncIterable<Uint8Array>;
}

/** A file that goes with weights, made when what the writer noted of them is known. */
export interface BesideWeights {
  /** Its name, without a folder. */
  readonly name: string;
  /** Its text. */
  readonly content: (digest: string) => string;
}

/** What a model's folder is made of. */
export interface FolderContents {
  readonly tensors: readonly TensorToSave[];
  readonly weights: { readonly metadata: Record<string, string>; readonly shardSize?: number };
  readonly beside: readonly BesideWeights[];
}

/** A file of JSON. */
export function jsonFile(name: string, value: unknown | ((digest: string) => unknown)): BesideWeights {
  return {
    name,
    content: (digest) => `${JSON.stringify(typeof value === "function" ? value(digest) : value, null, 2)}\n`,
  };
}
