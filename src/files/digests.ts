/**
 * What tells that files were written together: the SHA-256 of each file's tensors, as the writer noted it.
 *
 * A file keeps its own in its metadata (`ferrotype.sha256`), the index of shards keeps those of all of them, and one of
 * these together. Whoever opens them compares the notes, which costs no reading. Files that others wrote have no notes,
 * and go with any.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";

/** The metadata key of a file's digest, and in an index that of the whole set. It is reserved. */
export const digestKey = "ferrotype.sha256";

/** The key in an index's metadata under which the digests of the shards stand, by name. */
export const shardsKey = "ferrotype.shards";

/** What stands where no digest is known yet. */
export const noDigest: string = "0".repeat(64);

/** Digests of files that were written together. */
export interface SetDigests {
  /** Of each file that holds tensors, by name. */
  readonly files: ReadonlyMap<string, string>;
  /** Of the files' digests, in the order of the files. */
  readonly all: string | null;
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value) && value !== noDigest;
}

/** The digest that a file's metadata keep; null where they keep none. */
export function digestOf(metadata: Readonly<Record<string, unknown>>): string | null {
  const value = Object.hasOwn(metadata, digestKey) ? metadata[digestKey] : null;
  return isDigest(value) ? value : null;
}

/** The digests that the metadata of an index keep; those of others keep none. */
export function digestsOfIndex(metadata: unknown): SetDigests {
  const notes = typeof metadata === "object" && metadata !== null ? metadata as Record<string, unknown> : {};
  const shards = Object.hasOwn(notes, shardsKey) ? notes[shardsKey] : null;
  const entries = typeof shards === "object" && shards !== null ? Object.entries(shards) : [];
  return { files: new Map(entries.filter(([, digest]) => isDigest(digest))), all: digestOf(notes) };
}

/** @throws {FormatError} when two notes of the same tensors differ; what is not noted goes with anything. */
export function checkTogether(
  one: string,
  digest: string | null | undefined,
  other: string,
  expected: string | null | undefined,
): void {
  if (!digest || !expected || digest === expected) return;
  throw new FormatError(
    `${one} and ${other} were not saved together: the tensors' SHA-256 is ${
      digest.slice(0, 12)
    }… in the one and ` +
      `${expected.slice(0, 12)}… in the other; save or copy the model whole`,
  );
}
