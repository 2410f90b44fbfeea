/**
 * What is asked of a file system, so that checkpoints can be written without knowing the runtime.
 *
 * Paths are text with `/` between folders. `src/platform` has the functions; tests pass one in memory.
 *
 * @module
 */
import type { ByteSource } from "./byte_source.ts";

/**
 * Files and folders.
 *
 * @category Tensors
 */
export interface FileSystem {
  /** Opens a file for reading in any order. */
  openFile(path: string): Promise<ByteSource>;
  /** The names in a folder. */
  readDir(path: string): Promise<readonly { readonly name: string; readonly isDirectory: boolean }[]>;
  /** Makes a folder, and those above it; nothing happens when it is there. */
  makeDir(path: string): Promise<void>;
  /** Removes a file, or a folder with all that is in it; nothing happens when there is nothing. */
  remove(path: string): Promise<void>;
  /** Gives a file or folder another name in one move; there must be nothing at `to`. */
  rename(from: string, to: string): Promise<void>;
  /** Writes a file whole or not at all, and has it on the disk when it returns. */
  writeFileAtomic(path: string, content: string | Uint8Array | AsyncIterable<Uint8Array>): Promise<void>;
}
