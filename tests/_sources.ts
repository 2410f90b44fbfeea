/**
 * Byte sources for tests: a file read with positioned reads, and memory that counts what is asked of it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";
import type { ByteSource } from "../src/core/byte_source.ts";
import { FormatError } from "../src/core/errors.ts";

/** Opens a file as a source. */
export async function fileSource(path: string): Promise<ByteSource> {
  const handle: FileHandle = await open(path, "r");
  const { size } = await handle.stat();
  let closed = false;
  return {
    name: path,
    size,
    async read(
      offset: number,
      length: number,
      into: Uint8Array = new Uint8Array(length),
    ): Promise<Uint8Array> {
      const view = Buffer.from(into.buffer, into.byteOffset, length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(view, done, length - done, offset + done);
        if (bytesRead === 0) throw new FormatError(`${path}: ends at byte ${offset + done}`);
        done += bytesRead;
      }
      return into.subarray(0, length);
    },
    async close(): Promise<void> {
      if (!closed) await handle.close();
      closed = true;
    },
  };
}

/** Memory as a source that records its reads and whether it was closed. */
export interface RecordedSource extends ByteSource {
  /** Each read as [offset, length]. */
  readonly reads: (readonly [number, number])[];
  /** Whether `close` was called. */
  closed: boolean;
}

/** A source over `bytes`. `size` may claim more or less than there is. */
export function memorySource(
  bytes: Uint8Array,
  name: string = "memory",
  size: number = bytes.byteLength,
): RecordedSource {
  return {
    name,
    size,
    reads: [],
    closed: false,
    read(offset: number, length: number, into: Uint8Array = new Uint8Array(length)): Promise<Uint8Array> {
      this.reads.push([offset, length]);
      if (offset + length > bytes.byteLength) {
        return Promise.reject(new FormatError(`${name}: ends at byte ${bytes.byteLength}`));
      }
      into.set(bytes.subarray(offset, offset + length));
      return Promise.resolve(into.subarray(0, length));
    },
    close(): void {
      this.closed = true;
    },
  };
}
