/**
 * How elements enter and leave arithmetic: reading any dtype into a compute type and writing it back.
 *
 * Numbers carry f32, f64 and i32 programs, bigints carry i64. The conversions are those of the contract: a float
 * becomes an integer by cutting its fraction, held at the ends of the range, NaN becoming 0; an integer becomes a
 * narrower one by wrapping; anything but 0 is true.
 *
 * @module
 */
import { blockValues, byteSize, type DType, isK, type KDType } from "../../core/dtype.ts";
import { DTypeError } from "../../core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../../core/half.ts";
import { kBlocks } from "../../core/k_blocks.ts";
import { type Arithmetic, bigintArithmetic, numberArithmetic, toI32, toI64 } from "../../expr/arithmetic.ts";
import { compileJs, compileJsI64, type Evaluate } from "../../expr/evaluate.ts";
import type { ComputeType, Program } from "../../expr/nodes.ts";
import type { View } from "../contract.ts";
import { elementsOf } from "./memory.ts";

/** Reads the element at an index of the view's buffer. */
export type Read<T> = (at: number) => T;
/** Writes the element at an index of the view's buffer. */
export type Write<T> = (at: number, value: T) => void;

/** Arithmetic of one compute type, with its ways in and out of memory. */
export interface Lane<T> {
  /** The operators. */
  readonly arithmetic: Arithmetic<T>;
  /** How elements of `view` are read. */
  read(view: View): Read<T>;
  /** How elements of `view` are written. */
  write(view: View): Write<T>;
  /** How `program` is run. */
  compile(program: Program): Evaluate<T>;
}

/** The type in which elements of `dtype` are computed. */
export function computeTypeOf(dtype: DType): ComputeType {
  if (dtype === "f64" || dtype === "i64") return dtype;
  return dtype === "i32" || dtype === "u8" || dtype === "bool" ? "i32" : "f32";
}

/** Calls `run` with the lane of `type`. */
export function inLane<R>(type: ComputeType, run: <T>(lane: Lane<T>) => R): R {
  if (type === "i64") return run(bigints);
  return run(numbers[type]);
}

/** Elements as numbers, whatever their dtype; i64 is rounded to a double. */
function readNumber(view: View): Read<number> {
  const x = elementsOf(view);
  switch (view.dtype) {
    case "f16":
      return (at) => fromF16(x[at] as number);
    case "bf16":
      return (at) => fromBf16(x[at] as number);
    case "q8":
      return readQ8(x as Uint8Array);
    case "q4":
      return readQ4(x as Uint8Array);
    case "i64":
      return (at) => Number(x[at]);
    default:
      return isK(view.dtype) ? readK(view.dtype, x as Uint8Array) : (at) => x[at] as number;
  }
}

/** Blocks, of which the last one that was read is kept. */
function readK(dtype: KDType, bytes: Uint8Array): Read<number> {
  const count = blockValues(dtype), values = new Float32Array(count), size = byteSize(dtype, count);
  const block = kBlocks[dtype];
  let known = -1;
  return (at) => {
    const inside = at % count, wanted = (at - inside) / count;
    if (wanted !== known) block(bytes, (known = wanted) * size, values, 0);
    return values[inside];
  };
}

function scaleAt(bytes: Uint8Array, at: number): number {
  return fromF16(bytes[at] | bytes[at + 1] << 8);
}

/** A block: an f16 scale, then 32 signed bytes. */
function readQ8(bytes: Uint8Array): Read<number> {
  return (at) => {
    const inside = at % 32, block = (at - inside) / 32 * 34;
    return scaleAt(bytes, block) * (bytes[block + 2 + inside] << 24 >> 24);
  };
}

/** A block: an f16 scale, then 16 bytes whose low halves are values 0 to 15 and whose high halves are 16 to 31, plus 8. */
function readQ4(bytes: Uint8Array): Read<number> {
  return (at) => {
    const inside = at % 32, block = (at - inside) / 32 * 18;
    const byte = bytes[block + 2 + inside % 16];
    return scaleAt(bytes, block) * ((inside < 16 ? byte & 15 : byte >>> 4) - 8);
  };
}

function readI32(view: View): Read<number> {
  if (view.dtype === "i64") {
    const x = elementsOf(view) as BigInt64Array;
    return (at) => Number(BigInt.asIntN(32, x[at]));
  }
  const read = readNumber(view);
  return isIntegerDType(view.dtype) ? read : (at) => toI32(read(at));
}

function readI64(view: View): Read<bigint> {
  if (view.dtype === "i64") {
    const x = elementsOf(view) as BigInt64Array;
    return (at) => x[at];
  }
  const read = readNumber(view);
  return (at) => toI64(read(at));
}

function isIntegerDType(dtype: DType): boolean {
  return dtype === "i32" || dtype === "u8" || dtype === "bool";
}

function quantizedOutput(view: View): DTypeError {
  return new DTypeError(
    `the reference device writes no ${view.dtype}; quantised weights are made by .to({ dtype }) and when a file is read`,
  );
}

/** Writes numbers; whole says that they are integers, which wrap where floats stop at the ends. */
function writeNumber(view: View, whole: boolean): Write<number> {
  const { dtype } = view, x = elementsOf(view);
  switch (dtype) {
    case "f16":
      return (at, value) => x[at] = toF16(value);
    case "bf16":
      return (at, value) => x[at] = toBf16(value);
    case "i32":
      return whole ? (at, value) => x[at] = value : (at, value) => x[at] = toI32(value);
    case "u8": // storing to a Uint8Array wraps
      return whole
        ? (at, value) => x[at] = value
        : (at, value) => x[at] = Math.max(0, Math.min(255, toI32(value)));
    case "bool":
      return (at, value) => x[at] = value !== 0 ? 1 : 0;
    case "i64": {
      const long = x as BigInt64Array;
      return (at, value) => long[at] = toI64(value);
    }
    case "q8":
    case "q4":
    case "q6k":
    case "q5k":
    case "q4k":
    case "q3k":
    case "q2k":
      throw quantizedOutput(view);
    default:
      return (at, value) => x[at] = value;
  }
}

function writeI64(view: View): Write<bigint> {
  switch (view.dtype) {
    case "i64": {
      const x = elementsOf(view) as BigInt64Array;
      return (at, value) => x[at] = value;
    }
    case "bool": {
      const x = elementsOf(view);
      return (at, value) => x[at] = value !== 0n ? 1 : 0;
    }
    case "i32":
    case "u8": {
      const x = elementsOf(view);
      return (at, value) => x[at] = Number(BigInt.asIntN(32, value));
    }
    default: {
      const write = writeNumber(view, false);
      return (at, value) => write(at, Number(value));
    }
  }
}

/** Elements as f32: what f32 does not hold is rounded as it is read, as any device does. */
function readF32(view: View): Read<number> {
  const { dtype } = view, read = readNumber(view);
  return dtype === "i32" || dtype === "i64" || dtype === "f64" ? (at) => Math.fround(read(at)) : read;
}

function floats(type: "f32" | "f64"): Lane<number> {
  return {
    arithmetic: numberArithmetic[type],
    read: type === "f32" ? readF32 : readNumber,
    write: (view) => writeNumber(view, false),
    compile: compileJs,
  };
}

const numbers: Readonly<Record<Exclude<ComputeType, "i64">, Lane<number>>> = {
  f32: floats("f32"),
  f64: floats("f64"),
  i32: {
    arithmetic: numberArithmetic.i32,
    read: readI32,
    write: (view) => writeNumber(view, true),
    compile: compileJs,
  },
};

const bigints: Lane<bigint> = {
  arithmetic: bigintArithmetic,
  read: readI64,
  write: writeI64,
  compile: compileJsI64,
};
