/**
 * The header of a safetensors file: eight bytes of length, then JSON that says what lies where.
 *
 * Everything a file claims is checked here, against the size of the file and against itself, before anything of that
 * size is allocated: what comes out can be trusted by the rest of the folder. The rules are those of the reference
 * implementation (https://github.com/huggingface/safetensors): at most 100 MB of header, tensors that cover the data
 * without holes, overlaps or a rest. A data start that is not aligned is allowed, because old files have it.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { type DiskDType, diskDTypes, fromDisk, isDiskDType, tensorBytes } from "./disk_dtype.ts";
import { quote, scanKeys } from "./json_keys.ts";

/** The longest header that is read, in bytes; the reference implementation's limit. */
export const maxHeaderBytes = 100_000_000;

/** Where the metadata stands among the tensors. */
export const metadataKey = "__metadata__";

/** One tensor as the header describes it. */
export interface HeaderEntry {
  /** Its name. */
  readonly name: string;
  /** Its dtype on disk. */
  readonly dtype: DiskDType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** Its first byte, counted from the start of the file. */
  readonly begin: number;
  /** One past its last byte, counted from the start of the file. */
  readonly end: number;
}

/** A checked header. */
export interface Header {
  /** Where the data start, in bytes. */
  readonly dataStart: number;
  /** The tensors in the order of their bytes. */
  readonly entries: readonly HeaderEntry[];
  /** The file's own notes. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The length of the header in bytes, from the first eight bytes of a file of `fileSize` bytes.
 *
 * @throws {FormatError} when it is 0, above {@link maxHeaderBytes}, or reaches beyond the file.
 */
export function headerLength(prefix: Uint8Array, fileSize: number, file: string): number {
  if (prefix.byteLength < 8) {
    throw new FormatError(
      `${file}: ${fileSize} bytes are too few for a safetensors file, which begins with 8 bytes of header length`,
    );
  }
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length < 2) {
    throw new FormatError(`${file}: the header length at byte 0 is ${length}; the shortest header is {}`);
  }
  if (length > maxHeaderBytes) {
    throw new FormatError(
      `${file}: the header length at byte 0 is ${length}, above the limit of ${maxHeaderBytes} bytes; this is no safetensors file`,
    );
  }
  if (8 + length > fileSize) {
    throw new FormatError(
      `${file}: the header of ${length} bytes at byte 8 reaches beyond the file, which has ${fileSize} bytes; it is truncated`,
    );
  }
  return length;
}

/**
 * Parses JSON text and refuses what `JSON.parse` lets through. The result is an object; `positions` says where its
 * keys stand, counted in bytes of the file.
 */
export function parseJsonObject(
  bytes: Uint8Array,
  start: number,
  file: string,
  what: string,
): { object: Record<string, unknown>; position: (key: string) => number } {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${file}: the ${what} at byte ${start} is not UTF-8`, { cause });
  }
  const byteOf = (index: number): number => start + new TextEncoder().encode(text.slice(0, index)).byteLength;
  const { positions, problem } = scanKeys(text);
  const fail = (): void => {
    if (problem === null) return;
    const where = problem.outer === "" ? "" : ` in ${quote(problem.outer)}`;
    throw new FormatError(
      `${file}: ${problem.reason}${where}, at byte ${byteOf(problem.position)} of the ${what}`,
    );
  };
  if (problem?.reason.startsWith("the JSON is nested")) fail();
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(
      `${file}: the ${what} at byte ${start} is not JSON: ${
        cause instanceof Error ? cause.message : String(cause)
      }`,
      { cause },
    );
  }
  if (!isObject(object)) throw new FormatError(`${file}: the ${what} at byte ${start} is not a JSON object`);
  fail();
  return { object, position: (key) => byteOf(positions.get(key) ?? 0) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value of the file in a message, cut where it is long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** A list of whole numbers from 0 to 2^53 - 1, or the reason why `value` is none. */
function wholeNumbers(value: unknown): number[] | string {
  if (!Array.isArray(value)) return "is not a list";
  for (const n of value as unknown[]) {
    if (typeof n !== "number") return `holds ${show(n)}, which is not a number`;
    if (n < 0 || Object.is(n, -0)) return `holds the negative number ${Object.is(n, -0) ? "-0" : n}`;
    if (!Number.isInteger(n)) return `holds ${n}, which is not a whole number`;
    if (!Number.isSafeInteger(n)) return `holds ${n}, which overflows`;
  }
  return value as number[];
}

function parseMetadata(value: unknown, at: string): Record<string, string> {
  if (!isObject(value)) {
    throw new FormatError(`${at}: ${metadataKey} is ${show(value)}, not an object of strings`);
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new FormatError(`${at}: ${quote(key)} is ${show(text)}, not a string`);
    }
  }
  return value as Record<string, string>;
}

function parseEntry(
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
  at: () => string,
): HeaderEntry {
  const fail = (reason: string): never => {
    throw new FormatError(`${at()}: ${reason}`);
  };
  if (!isObject(value)) return fail(`its entry is ${show(value)}, not an object`);
  const { dtype, shape: rawShape, data_offsets: rawOffsets } = value;
  if (!isDiskDType(dtype)) {
    return fail(`unknown dtype ${show(dtype)}; the format has ${diskDTypes.join(", ")}`);
  }
  const shape = wholeNumbers(rawShape);
  if (typeof shape === "string") return fail(`shape ${shape}`);
  const offsets = wholeNumbers(rawOffsets);
  if (typeof offsets === "string") return fail(`data_offsets ${offsets}`);
  if (offsets.length !== 2) return fail(`data_offsets has ${offsets.length} numbers, not begin and end`);
  const [begin, end] = offsets;
  if (begin > end) return fail(`data_offsets [${begin}, ${end}] end before they begin`);
  if (dataStart + end > fileSize) {
    return fail(
      `data_offsets [${begin}, ${end}] end at byte ${
        dataStart + end
      }, beyond the file of ${fileSize} bytes; ` +
        `it is truncated or the header is wrong`,
    );
  }
  const size = tensorBytes(fromDisk(dtype), shape);
  if (typeof size === "string") return fail(`shape ${show(shape)} of ${dtype}: ${size}`);
  if (size !== end - begin) {
    return fail(
      `shape ${show(shape)} of ${dtype} takes ${size} bytes, but data_offsets [${begin}, ${end}] hold ${
        end - begin
      }`,
    );
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/**
 * Checks and parses the header `bytes`, which begin at byte 8 of `file`, a file of `fileSize` bytes.
 *
 * @throws {FormatError} that names the file, the tensor and the byte, for everything the format does not allow.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file: string): Header {
  const dataStart = 8 + bytes.byteLength;
  if (bytes[0] !== 0x7b) throw new FormatError(`${file}: the header at byte 8 does not begin with {`);
  const { object, position } = parseJsonObject(bytes, 8, file, "header");
  let metadata: Record<string, string> = {};
  const entries: HeaderEntry[] = [];
  for (const name of Object.keys(object)) {
    if (name === metadataKey) {
      metadata = parseMetadata(object[name], `${file}: header byte ${position(name)}`);
    } else {
      const at = (): string => `${file}: tensor ${quote(name)} (header byte ${position(name)})`;
      entries.push(parseEntry(name, object[name], dataStart, fileSize, at));
    }
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let previous: HeaderEntry | undefined, covered = dataStart;
  for (const entry of entries) {
    if (entry.begin !== covered) {
      const at = `${file}: tensor ${quote(entry.name)} (header byte ${position(entry.name)})`;
      const before = previous ? `tensor ${quote(previous.name)} ends` : "the data start";
      throw new FormatError(
        entry.begin < covered
          ? `${at} begins at byte ${entry.begin} and overlaps: ${before} at byte ${covered}`
          : `${at} begins at byte ${entry.begin} and leaves a hole of ${
            entry.begin - covered
          } bytes: ${before} at byte ${covered}`,
      );
    }
    covered = entry.end;
    previous = entry;
  }
  if (covered !== fileSize) {
    const last = previous ? `tensor ${quote(previous.name)}, the last,` : "the header";
    throw new FormatError(
      `${file}: ${last} ends at byte ${covered}, but the file has ${fileSize} bytes that no tensor covers`,
    );
  }
  return { dataStart, entries, metadata };
}
