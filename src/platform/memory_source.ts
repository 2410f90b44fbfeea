/**
 * Bytes that are in memory already, or in a Blob, as sources.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { checkRange, endedEarly } from "./file_source.ts";

/** Bytes in memory. They are not copied until they are read, so they must not change before. */
export function openBytes(bytes: Uint8Array | ArrayBufferLike, name = "bytes"): ByteSource {
  const all = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const source: ByteSource = {
    name,
    size: all.length,
    read(offset, length, into) {
      try {
        checkRange(source, offset, length, into);
      } catch (error) {
        return Promise.reject(error);
      }
      const part = all.subarray(offset, offset + length);
      if (into === undefined) return Promise.resolve(new Uint8Array(part));
      into.set(part);
      return Promise.resolve(into.subarray(0, length));
    },
    readSync(offset, into) {
      checkRange(source, offset, into.length);
      into.set(all.subarray(offset, offset + into.length));
    },
    close() {},
  };
  return source;
}

/** A Blob, or a File that the user chose in a page; it is read as it is asked for. */
export function openBlob(blob: Blob, name?: string): ByteSource {
  const source: ByteSource = {
    name: name ?? (blob as Partial<File>).name ?? "blob",
    size: blob.size,
    async read(offset, length, into) {
      checkRange(source, offset, length, into);
      const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
      // A Blob cannot read into given memory, so it goes in pieces that are soon free again.
      for (let done = 0; done < length;) {
        const start = offset + done;
        const part = await blob.slice(start, Math.min(start + (1 << 23), offset + length)).arrayBuffer()
          .catch((cause) => {
            // A page is not told more of a file that was changed after the visitor chose it.
            throw new FormatError(
              `${source.name} cannot be read any more (${cause}); choose the file again`,
              {
                cause,
              },
            );
          });
        if (part.byteLength === 0) throw endedEarly(source, start);
        bytes.set(new Uint8Array(part), done);
        done += part.byteLength;
      }
      return bytes;
    },
    close() {},
  };
  return source;
}
