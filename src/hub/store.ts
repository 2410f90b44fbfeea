/**
 * Where the files of one repository are kept, so that the same download serves a disk and a browser.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import type { PartialFile } from "../platform/platform.ts";
import type { RemoteFile } from "./listing.ts";

/** What a download fills. */
export type Partial = PartialFile;

/** Files of one repository, by commit. */
export interface Store {
  /** Where it is, for messages. */
  readonly name: string;
  /** The commit that a branch or tag had when it was last asked for, or null. */
  commitOf(revision: string): Promise<string | null>;
  /** Remembers the commit of a branch or tag. */
  setCommit(revision: string, commit: string): Promise<void>;
  /** Whether anything of a commit is there. */
  hasCommit(commit: string): Promise<boolean>;
  /** A file that is there whole, or null. */
  open(commit: string, path: string): Promise<ByteSource | null>;
  /** Whether the commit is known to have no such file. */
  isAbsent(commit: string, path: string): Promise<boolean>;
  /** Remembers that the commit has no such file. */
  setAbsent(commit: string, path: string): Promise<void>;
  /** Has `fill` complete a file's bytes, unless they are there, and makes them the commit's file `path`. */
  receive(
    commit: string,
    file: RemoteFile,
    signal: AbortSignal | undefined,
    fill: (into: Partial) => Promise<void>,
  ): Promise<void>;
  /** Forgets what has arrived of bytes that will never be complete. */
  discard(etag: string): Promise<void>;
}
