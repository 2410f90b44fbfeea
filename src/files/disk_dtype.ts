/**
 * The element types a safetensors file may hold: their names on disk, their sizes, and what they are called here.
 *
 * A header says `BF16`; the library says `bf16`. Quantised weights (q8, q4) have no name in the format: they lie on
 * disk as `U8` and the file's metadata says what they are (`quantized_names.ts`). Types this library does not
 * compute with (f8, u16, complex …) are still known here, so that their bytes can be read and copied.
 *
 * @module
 */
import { quantBlock } from "../core/dtype.ts";
import { counted } from "../core/show.ts";

/**
 * A dtype as a safetensors header writes it.
 *
 * @category Files
 */
export type DiskDType =
  | "BOOL"
  | "F4"
  | "F6_E2M3"
  | "F6_E3M2"
  | "U8"
  | "I8"
  | "F8_E5M2"
  | "F8_E4M3"
  | "F8_E8M0"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "C64"
  | "F64"
  | "I64"
  | "U64";

/**
 * A dtype of a tensor in a file: the disk's names in lower case, and the two quantised kinds.
 *
 * @category Files
 */
export type FileDType = Lowercase<DiskDType> | "q8" | "q4";

/** Bits an element, in the reference implementation's order of alignment, which is also the order of writing (backwards). */
const bits: Readonly<Record<DiskDType, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** Every dtype a header may name, narrowest alignment first. */
export const diskDTypes: readonly DiskDType[] = Object.keys(bits) as DiskDType[];

/** Whether `name` is a dtype of the format. */
export function isDiskDType(name: unknown): name is DiskDType {
  return typeof name === "string" && Object.hasOwn(bits, name);
}

/** Whether `name` is a dtype that a tensor in a file may have. */
export function isFileDType(name: unknown): name is FileDType {
  return name === "q8" || name === "q4" ||
    (typeof name === "string" && name === name.toLowerCase() && isDiskDType(name.toUpperCase()));
}

/** What the library calls a dtype of the format. */
export function fromDisk(dtype: DiskDType): FileDType {
  return dtype.toLowerCase() as FileDType;
}

/** What the format calls a dtype; q8 and q4 are `U8` there. */
export function toDisk(dtype: FileDType): DiskDType {
  return dtype === "q8" || dtype === "q4" ? "U8" : dtype.toUpperCase() as DiskDType;
}

/** Bytes of one block of 32 quantised values: the f16 scale, then 32 or 16 bytes. */
export function quantBlockBytes(dtype: "q8" | "q4"): number {
  return dtype === "q8" ? 34 : 18;
}

/** The product of `shape`, or null beyond 2^53 - 1. A zero counts from where it stands, as in the reference. */
function elements(shape: readonly number[]): number | null {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return null;
  }
  return count;
}

/**
 * The bytes a tensor takes, or the reason (a string) why there is no such tensor: a size that overflows, elements
 * that do not fill whole bytes, or rows that do not fill whole blocks.
 */
export function tensorBytes(dtype: FileDType, shape: readonly number[]): number | string {
  const count = elements(shape);
  if (count === null) return "the number of elements overflows";
  if (dtype === "q8" || dtype === "q4") {
    const last = shape.at(-1) ?? 1;
    if (last % quantBlock !== 0) return `the last size ${last} is not a multiple of ${quantBlock}`;
    return count / quantBlock * quantBlockBytes(dtype);
  }
  return diskBytes(toDisk(dtype), shape);
}

/** {@link tensorBytes} of a dtype as the disk names it. */
export function diskBytes(dtype: DiskDType, shape: readonly number[]): number | string {
  const count = elements(shape);
  if (count === null) return "the number of elements overflows";
  const width = bits[dtype], total = count * width;
  if (!Number.isSafeInteger(total)) return "the number of bytes overflows";
  return total % 8 === 0
    ? total / 8
    : `${counted(count, "element")} of ${width} bits do not fill whole bytes`;
}

/** The position of a dtype in the order of writing: tensors are laid down from the highest to the lowest. */
export function alignmentOrder(dtype: DiskDType): number {
  return diskDTypes.indexOf(dtype);
}
