/**
 * A file as a source of bytes: read where and when they are asked for, straight into the memory they are for.
 *
 * What was learnt from the front of a file is of no use when the rest is another's: after each read it is looked whether
 * the file is still the one that was opened, as it was then. A write whose time of modification was set back shows in the
 * time of change, which Deno tells in whole seconds.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FerrotypeError, FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import type { FileStats } from "./builtin_modules.ts";
import { checkRegular, fileError, fileSystem, pathOf } from "./files.ts";

/** The most that one call of the operating system is asked for, in bytes; Linux stops short of 2 GiB. */
const pieceSize = 1 << 26;

/** From so many bytes on two halves are read at once: one processor fills fresh memory slower than memory takes it. */
const leastHalf = 2 << 20;

/** How much later a write is sure to have a later time, in milliseconds: file systems count in ticks of the kernel. */
const tick = 20;

/**
 * Opens a file for reading.
 *
 * @param path a path or a `file:` URL.
 * @throws FerrotypeError when it cannot be opened.
 * @throws {FormatError} for a pipe or a device, whose bytes cannot be read in any order.
 */
export async function openFile(path: string | URL): Promise<ByteSource> {
  const name = pathOf(path);
  const fs = fileSystem(), descriptors: number[] = [];
  const open = (): Promise<number> =>
    new Promise((resolve, reject) =>
      fs.open(name, "r", (error, opened) => error ? reject(error) : resolve(opened))
    );
  try {
    // Opening a pipe would wait for somebody to write into it.
    checkRegular(name, await fs.promises.stat(name));
    descriptors.push(await open());
    const status = await settled(descriptors[0]);
    checkRegular(name, status);
    if (status.size >= leastHalf) {
      // A runtime may do the reads of one descriptor one after the other.
      const second = await open().catch(() => null);
      if (second !== null) {
        descriptors.push(second);
        if (!isSame(status, fs.fstatSync(second))) fs.closeSync(descriptors.pop()!);
      }
    }
    return new FileSource(name, status, descriptors);
  } catch (error) {
    for (const descriptor of descriptors) fs.closeSync(descriptor);
    throw error instanceof FormatError ? error : fileError("open", name, error);
  }
}

/** The status of a file from which on any write changes it: not while the last one may have the time of the next. */
async function settled(descriptor: number): Promise<FileStats> {
  for (let tries = 0;; tries++) {
    const status = fileSystem().fstatSync(descriptor);
    const age = Date.now() - Math.max(status.mtimeMs, status.ctimeMs ?? 0);
    if (age < 0 || age > tick || tries === 10) return status;
    await new Promise((resolve) => setTimeout(resolve, tick + 1 - age));
  }
}

/** `isMoved`: it has lost its name, which is a change of its own. */
function isSame(one: FileStats, other: FileStats, isMoved = false): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.size === other.size &&
    one.mtimeMs === other.mtimeMs && (isMoved || one.ctimeMs === other.ctimeMs || isRelabelled(one, other));
}

/**
 * Whether a later time of change has another reason than a write whose time was set back: who may use the file, or how
 * many names it has.
 */
function isRelabelled(one: FileStats, other: FileStats): boolean {
  return one.nlink !== other.nlink || one.mode !== other.mode || one.uid !== other.uid ||
    one.gid !== other.gid;
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  /** As it was when it was last known to be the same. */
  #status: FileStats;
  readonly #descriptors: number[];
  readonly #fs = fileSystem();

  /** `descriptors`: one, or two of the same file. */
  constructor(name: string, status: FileStats, descriptors: number[]) {
    this.name = name;
    this.size = status.size;
    this.#status = status;
    this.#descriptors = descriptors;
  }

  /** Refuses what was read of a file that is another one by now. One that was removed stays what it was. */
  #checkSame(): void {
    const now = this.#fs.fstatSync(this.#open(0));
    let there: FileStats | null = null;
    try {
      there = this.#fs.statSync(this.name);
    } catch {
      // It was removed or renamed, which changes its status too.
    }
    const isThere = there !== null && there.dev === now.dev && there.ino === now.ino;
    const isKept = isSame(this.#status, now, !isThere);
    if (isKept && (isThere || there === null)) {
      this.#status = now;
      return;
    }
    const how = isKept ? "replaced by another file" : "overwritten";
    throw new FormatError(
      `${this.name} was ${how} while it was open, so its bytes are not those that were described; open it again`,
    );
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    checkRange(this, offset, length, into);
    const middle = length < leastHalf || this.#descriptors.length < 2 ? length : length >>> 1;
    const halves = [this.#fill(0, bytes, 0, middle, offset), this.#fill(1, bytes, middle, length, offset)];
    // Both end before anybody hears of an error, and closes the file.
    for (const half of await Promise.allSettled(halves)) if (half.status === "rejected") throw half.reason;
    this.#checkSame();
    return bytes;
  }

  /** Reads `bytes` from `begin` to before `end`; the first of all lies at `offset` of the file. */
  async #fill(which: 0 | 1, bytes: Uint8Array, begin: number, end: number, offset: number): Promise<void> {
    for (let done = begin; done < end;) {
      const descriptor = this.#open(which);
      const size = Math.min(end - done, pieceSize);
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
  }

  readSync(offset: number, into: Uint8Array): void {
    checkRange(this, offset, into.length, into);
    for (let done = 0; done < into.length;) {
      const size = Math.min(into.length - done, pieceSize);
      let count: number;
      try {
        count = this.#fs.readSync(this.#open(0), into, done, size, offset + done);
      } catch (error) {
        throw error instanceof FerrotypeError ? error : fileError("read", this.name, error);
      }
      if (count === 0) throw endedEarly(this, offset + done);
      done += count;
    }
    this.#checkSame();
  }

  close(): void {
    for (const descriptor of this.#descriptors.splice(0)) this.#fs.closeSync(descriptor);
  }

  #open(which: 0 | 1): number {
    const descriptor = this.#descriptors[which];
    if (descriptor === undefined) {
      throw new FerrotypeError(`${this.name} was closed and cannot be read`);
    }
    return descriptor;
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
    throw new FerrotypeError(
      `${source.name}: ${counted(length, "byte")} do not fit into an array of ${into.length}`,
    );
  }
}

/** The error for a source that has fewer bytes than it had when it was opened. */
export function endedEarly(source: ByteSource, offset: number): FormatError {
  return new FormatError(
    `${source.name} ends at byte ${offset}, and had ${counted(source.size, "byte")} when it was opened`,
  );
}
