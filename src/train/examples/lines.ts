/**
 * A file of JSON lines, of any size: where each line begins is known, and a line is read when it is wanted.
 *
 * Opening goes through the file once: every line is parsed and looked at, so that a bad one is named before anything begins, and
 * the file's digest is taken. What stays in memory of a line is where it is, 24 bytes.
 *
 * @module
 */
import { breather } from "../../core/breathe.ts";
import type { ByteSource } from "../../core/byte_source.ts";
import { FormatError, throwIfAborted } from "../../core/errors.ts";
import { demandObject, type JsonObject, parseJson } from "../../core/json.ts";
import { counted } from "../../core/show.ts";

/** Read at once while opening. */
const chunkSize = 1 << 20;
/** The longest line, in bytes: a text that no context holds. */
const longestLine = 1 << 26;

/**
 * Looks at the value of a line. `where` names it.
 * @throws {FormatError} for one that is not what it should be.
 */
export type CheckLine = (value: JsonObject, where: string) => void;

/** How many bytes of a file were gone through, of how many. */
export interface LinesProgress {
  readonly loaded: number;
  readonly total: number;
}

/** Who hears while a file is gone through, and who ends it. */
export interface LinesOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: LinesProgress) => void) | undefined;
}

/** A digest in the making, as the platform has it. */
export interface Digest {
  update(bytes: Uint8Array): void;
  digest(): Promise<string>;
}

/** Numbers that become more. */
export class Growing {
  #values = new Float64Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const more = new Float64Array(2 * this.length);
      more.set(this.#values);
      this.#values = more;
    }
    this.#values[this.length++] = value;
  }

  at(i: number): number {
    return this.#values[i];
  }
}

/** Lines of a file that was gone through. */
export class Lines {
  /** SHA-256 of the file, in hexadecimal. */
  readonly sha256: string;
  /** The file. */
  readonly name: string;
  readonly #source: ByteSource;
  /** Where lines with something in them begin and end, and their numbers, in threes. */
  readonly #index: Growing;

  private constructor(source: ByteSource, index: Growing, sha256: string) {
    this.#source = source;
    this.name = source.name;
    this.#index = index;
    this.sha256 = sha256;
  }

  /** How many lines have something in them. */
  get length(): number {
    return this.#index.length / 3;
  }

  /**
   * Goes through `source`, which can be read without waiting and is owned from then on, and has `hash` digest it.
   * @throws {FormatError} naming the first line that is no JSON object or that `check` refuses; then the source is closed.
   */
  static async open(
    source: ByteSource & Required<Pick<ByteSource, "readSync">>,
    hash: Digest,
    check: CheckLine,
    options: LinesOptions = {},
  ): Promise<Lines> {
    try {
      return new Lines(source, await goThrough(source, hash, check, options), await hash.digest());
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  /** The value of line `i` of those with something in them, and its name. */
  at(i: number): { value: JsonObject; where: string } {
    const start = this.#index.at(3 * i), bytes = new Uint8Array(this.#index.at(3 * i + 1) - start);
    this.#source.readSync!(start, bytes);
    const where = this.where(i);
    return { value: valueOf(bytes, where), where };
  }

  /** What to call line `i` in a message. */
  where(i: number): string {
    return nameOf(this.name, this.#index.at(3 * i + 2));
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#source.close();
  }
}

const nameOf = (file: string, line: number): string => `${file}, line ${line}`;

function valueOf(bytes: Uint8Array, where: string): JsonObject {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${where} is not UTF-8`, { cause });
  }
  return demandObject(parseJson(text, where, { values: 1_000_000 }), where);
}

/** The index of all lines. */
async function goThrough(
  source: ByteSource,
  hash: Digest,
  check: CheckLine,
  { signal, onProgress }: LinesOptions,
): Promise<Growing> {
  const index = new Growing(), breathe = breather();
  let rest = new Uint8Array(0), start = 0, number = 0;
  const line = (bytes: Uint8Array): void => {
    number++;
    const where = nameOf(source.name, number), end = start + bytes.length;
    const skipped = number === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    if (bytes.length > longestLine) {
      throw new FormatError(`${where} has ${counted(bytes.length, "byte")}, expected at most ${longestLine}`);
    }
    if (bytes.subarray(skipped).some((byte) => byte > 0x20)) {
      check(valueOf(bytes.subarray(skipped), where), where);
      for (const part of [start + skipped, end, number]) index.push(part);
    }
    start = end + 1;
  };
  for (let at = 0; at < source.size; at += chunkSize) {
    throwIfAborted(signal, "openExamples");
    const chunk = await source.read(at, Math.min(chunkSize, source.size - at));
    hash.update(chunk);
    const joined = rest.length ? concat(rest, chunk) : chunk;
    let from = 0;
    for (let to = joined.indexOf(10, rest.length); to >= 0; to = joined.indexOf(10, from)) {
      line(joined.subarray(from, to));
      from = to + 1;
      await breathe();
      throwIfAborted(signal, "openExamples");
    }
    rest = joined.slice(from);
    if (rest.length > longestLine) line(rest);
    onProgress?.({ loaded: at + chunk.length, total: source.size });
  }
  if (rest.length) line(rest);
  return index;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
