/**
 * A run of bytes that can be read from anywhere: a file, a URL, a Blob, memory.
 *
 * Formats read through this interface only, so they neither know nor care where their bytes live, and nothing is
 * read before it is asked for. `src/platform` has the implementations.
 *
 * @module
 */

/**
 * Bytes of a known size that can be read in any order.
 *
 * @category Tensors
 */
export interface ByteSource {
  /** Length in bytes. */
  readonly size: number;
  /** What to call it in an error: a path, a URL, a file's name. */
  readonly name: string;
  /**
   * Reads exactly `length` bytes from byte `offset` on.
   *
   * With `into`, of at least `length` bytes, the bytes are written to its front and a view of them is returned;
   * it may be a view of a `SharedArrayBuffer` or of WebAssembly memory. Without it the result is a new array
   * that the caller owns.
   *
   * @throws {FormatError} naming the source and the offset, when the bytes are not all there.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /**
   * Fills `into` from byte `offset` on, without waiting for anything. Only sources that can (files of a server
   * runtime, memory) have it.
   *
   * @throws {FormatError} naming the source and the offset, when the bytes are not all there.
   */
  readSync?(offset: number, into: Uint8Array): void;
  /** Gives back what the source holds open. Reading afterwards throws; closing twice does not. */
  close(): void | Promise<void>;
}
