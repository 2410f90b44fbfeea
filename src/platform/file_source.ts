/**
 * A file as a source of bytes: read where and when they are asked for, straight into the memory they are for.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FerrotypeError, FormatError } from "../core/errors.ts";
import { fileError, fileSystem, pathOf } from "./files.ts";

/** The most that one call of the operating system is asked for, in bytes; Linux stops short of 2 GiB. */
const pieceSize = 1 << 26;

/**
 * Opens a file for reading.
 *
 * @param path a path or a `file:` URL.
 * @throws FerrotypeError when it cannot be opened, or is not a file.
 */
export async function openFile(path: string | URL): Promise<ByteSource> {
  const name = pathOf(path);
  const fs = fileSystem();
  let descriptor: number | undefined;
  try {
    descriptor = await new Promise<number>((resolve, reject) =>
      fs.open(name, "r", (error, opened) => error ? reject(error) : resolve(opened))
    );
    const status = fs.fstatSync(descriptor);
    if (status.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    return new FileSource(name, status.size, descriptor);
  } catch (error) {
    if (descriptor !== undefined) fs.closeSync(descriptor);
    throw fileError("open", name, error);
  }
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  #descriptor: number | undefined;
  readonly #fs = fileSystem();

  constructor(name: string, size: number, descriptor: number) {
    this.name = name;
    this.size = size;
    this.#descriptor = descriptor;
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    checkRange(this, offset, length, into);
    for (let done = 0; done < length;) {
      const descriptor = this.#open();
      const size = Math.min(length - done, pieceSize);
      const count = await new Promise<number>((resolve, reject) =>
        this.#fs.read(
          descriptor,
          bytes,
          done,
          size,
          offset + done,
          (error, count) => error ? reject(fileError("read", this.name, error)) : resolve(count),
        )
      );
      if (count === 0) throw endedEarly(this, offset + done);
      done += count;
    }
    return bytes;
  }

  readSync(offset: number, into: Uint8Array): void {
    checkRange(this, offset, into.length, into);
    for (let done = 0; done < into.length;) {
      const size = Math.min(into.length - done, pieceSize);
      let count: number;
      try {
        count = this.#fs.readSync(this.#open(), into, done, size, offset + done);
      } catch (error) {
        throw error instanceof FerrotypeError ? error : fileError("read", this.name, error);
      }
      if (count === 0) throw endedEarly(this, offset + done);
      done += count;
    }
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    const descriptor = this.#descriptor;
    this.#descriptor = undefined;
    this.#fs.closeSync(descriptor);
  }

  #open(): number {
    if (this.#descriptor === undefined) {
      throw new FerrotypeError(`${this.name} was closed and cannot be read`);
    }
    return this.#descriptor;
  }
}

/** Refuses what lies outside of a source, or does not fit into the memory it is for. */
export function checkRange(source: ByteSource, offset: number, length: number, into?: Uint8Array): void {
  const end = offset + length;
  if (!Number.isSafeInteger(end) || offset < 0 || length < 0 || end > source.size) {
    throw new FormatError(
      `${source.name}: bytes ${offset} to ${end} were asked for, and it has ${source.size}; it may be cut short`,
    );
  }
  if (into !== undefined && into.length < length) {
    throw new FerrotypeError(`${source.name}: ${length} bytes do not fit into an array of ${into.length}`);
  }
}

/** The error for a source that has fewer bytes than it had when it was opened. */
export function endedEarly(source: ByteSource, offset: number): FormatError {
  return new FormatError(
    `${source.name} ends at byte ${offset}, and had ${source.size} bytes when it was opened`,
  );
}
