/**
 * How quantised weights are kept in a format that has no name for them.
 *
 * A q8 or q4 tensor of shape `[…, n]` is stored as `U8` of shape `[…, n / 32 · blockBytes]`, so that a reader which
 * knows nothing of this sees rows of bytes, and one metadata entry, `ferrotype.quantized`, holds JSON that gives each
 * such tensor's dtype and logical shape: `{"wte.weight":{"dtype":"q8","shape":[50257,768]}}`. Blocks lie as in
 * GGUF (Q8_0: f16 scale and 32 signed bytes; Q4_0: f16 scale and 16 bytes, low nibbles first).
 *
 * Blocks of a weight run along the axis that a product sums over. GPT-2's layers have theirs as `[in, out]`, so they are
 * stored as the transpose `[out, in]`, marked: `{"h.0.mlp.c_fc.weight":{"dtype":"q8","shape":[3072,768],"transposed":true}}`.
 *
 * @module
 */
import { formatShape } from "../core/shape.ts";
import { quantBlock } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { fromDisk, quantBlockBytes, tensorBytes } from "./disk_dtype.ts";
import type { FileDType } from "./disk_dtype.ts";
import type { Header, HeaderEntry } from "./header.ts";
import { refuseKey, scanJson } from "./json_scanner.ts";
import { quote } from "./quote.ts";

/** The metadata key that lists quantised tensors. It is reserved. */
export const quantizedKey = "ferrotype.quantized";

/** What a tensor means, beside how it is stored. */
export interface LogicalType {
  /** Its dtype. */
  readonly dtype: FileDType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** Whether it is the transpose of the matrix that its name stands for; only of quantised ones. */
  readonly transposed?: boolean;
}

/** The shape under which a quantised tensor's bytes are stored. */
export function storedShape(dtype: "q8" | "q4", shape: readonly number[]): number[] {
  return [...shape.slice(0, -1), (shape.at(-1) ?? 1) / quantBlock * quantBlockBytes(dtype)];
}

/** The metadata entry for `tensors`, or null where none is quantised. */
export function formatQuantized(tensors: Iterable<{ name: string } & LogicalType>): string | null {
  const parts: string[] = [];
  for (const { name, dtype, shape, transposed } of tensors) {
    if (dtype === "q8" || dtype === "q4") {
      const type = { dtype, shape, ...(transposed ? { transposed } : {}) };
      parts.push(`${JSON.stringify(name)}:${JSON.stringify(type)}`);
    }
  }
  return parts.length > 0 ? `{${parts.join(",")}}` : null;
}

/**
 * The logical types of the quantised tensors of a file, by name.
 *
 * @throws {FormatError} when the entry is not what {@link formatQuantized} writes, or does not fit its tensors.
 */
export function parseQuantized(header: Header, file: string): Map<string, LogicalType> {
  const result = new Map<string, LogicalType>();
  if (!Object.hasOwn(header.metadata, quantizedKey)) return result;
  const bytes = new TextEncoder().encode(header.metadata[quantizedKey]);
  const place = `${file}: metadata ${quantizedKey}`, what = "list of quantised tensors";
  const scanner = scanJson(bytes, 0, place, what);
  if (scanner.peek() !== 0x7b) throw new FormatError(`${place}: the ${what} at byte 0 is not a JSON object`);
  scanner.entries(1, () => {
    const name = scanner.textAt(scanner), byte = scanner.begin - 1;
    refuseKey(name, !result.has(name), { file: place, what, byte });
    scanner.peek();
    const begin = scanner.at;
    scanner.skip(2);
    const at = `${place}: tensor ${quote(name)}`, entry = header.find(name);
    if (!entry) throw new FormatError(`${at} is not in the file`);
    if (scanner.at - begin > longestType) {
      throw new FormatError(`${at}: ${longestType} bytes are enough for a type`);
    }
    const value = JSON.parse(scanner.textAt({ begin, end: scanner.at, escaped: false }));
    result.set(name, logicalType(value, entry, `${at} (byte ${entry.begin})`));
  });
  scanner.finish();
  return result;
}

/** The longest JSON of a {@link LogicalType}, in bytes; matrices have two sizes. */
const longestType = 1000;

function logicalType(value: unknown, entry: HeaderEntry, at: string): LogicalType {
  const { dtype, shape, transposed } = (value ?? {}) as Partial<Record<keyof LogicalType, unknown>>;
  if (dtype !== "q8" && dtype !== "q4") throw new FormatError(`${at}: the dtype is neither "q8" nor "q4"`);
  if (!Array.isArray(shape) || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FormatError(`${at}: the shape is not a list of whole numbers`);
  }
  const sizes = shape as number[], bytes = tensorBytes(dtype, sizes);
  if (typeof bytes === "string") throw new FormatError(`${at}: ${bytes}`);
  if (fromDisk(entry.dtype) !== "u8" || bytes !== entry.end - entry.begin) {
    throw new FormatError(
      `${at}: ${dtype} ${formatShape(sizes)} takes ${counted(bytes, "byte")} of U8, ` +
        `the file holds ${entry.end - entry.begin} of ${entry.dtype}`,
    );
  }
  if (transposed !== undefined && (transposed !== true || sizes.length !== 2)) {
    throw new FormatError(
      `${at}: "transposed" is only ever true, and said of a matrix, not of shape ${formatShape(sizes)}`,
    );
  }
  return { dtype, shape: sizes, ...(transposed ? { transposed } : {}) };
}
