/**
 * The tensors of a file: from its bytes, its lists of numbers or a file beside it to what holds them here.
 *
 * The size that a tensor says and the bytes that there are are compared before memory is taken.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { type DataArray, type DType, newArray } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import type { TensorMessage } from "./messages.ts";
import { bitsOf, heldAs, isFloatType, type OnnxType, smallFloatValues, typeOfCode } from "./types.ts";
import { tensorOn, textsOf, type Value } from "./values.ts";

/** Where tensors of a file are read from. */
export interface TensorFiles {
  /** The file itself. */
  readonly source: ByteSource;
  /** Opens a file beside it, by the name that a tensor gives. */
  readonly open: (location: string) => Promise<ByteSource>;
}

/** What stands in the way of reading a tensor: its type, its sizes. Null when nothing does. */
export function tensorProblem(t: TensorMessage): string | null {
  const type = typeOfCode(t.code);
  if (type === undefined) {
    return `tensor "${t.name}" is of the element type ${t.code}, which is not held here`;
  }
  const count = t.dims.reduce((n, d) => n * d, 1);
  if (!Number.isSafeInteger(count)) return `tensor "${t.name}" has the shape ${formatShape(t.dims)}`;
  return null;
}

/** Reads a tensor. @throws {FormatError} when its elements are not all there. */
export async function readTensorValue(
  t: TensorMessage,
  files: TensorFiles,
  device: DeviceName,
): Promise<Value> {
  const problem = tensorProblem(t), where = files.source.name;
  if (problem !== null) throw new FormatError(`${where}: ${problem}`);
  const type = typeOfCode(t.code) as OnnxType, count = t.dims.reduce((n, d) => n * d, 1);
  const wrong = (have: number, of: string): FormatError =>
    new FormatError(
      `${where}: tensor "${t.name}" is ${type} ${formatShape(t.dims)}, which ${have} ${of} do not fill`,
    );
  if (type === "string") {
    if (t.texts.length !== count) throw wrong(t.texts.length, "texts");
    return textsOf(t.dims, t.texts.map((bytes) => new TextDecoder().decode(bytes)));
  }
  if (t.external === null && t.raw === null) {
    const have = t.numbers.length || t.longs.length;
    const packed = bitsOf(type) === 4 ? Math.ceil(count / 2) : count;
    if (have !== packed) throw wrong(have, "numbers");
    return tensorOn(fromLists(t, type, count), t.dims, type, device);
  }
  const length = Math.ceil(count * bitsOf(type) / 8);
  const bytes = t.external !== null
    ? await readExternal(t, t.external, length, files)
    : await readRaw(t, length, files, wrong);
  return tensorOn(fromBytes(bytes, type, count), t.dims, type, device);
}

async function readRaw(
  t: TensorMessage,
  length: number,
  { source }: TensorFiles,
  wrong: (have: number, of: string) => FormatError,
): Promise<Uint8Array> {
  const raw = t.raw as NonNullable<TensorMessage["raw"]>;
  const have = "bytes" in raw ? raw.bytes.length : raw.length;
  if (have !== length) throw wrong(have, "bytes");
  return "bytes" in raw ? raw.bytes : await source.read(raw.start, length);
}

/** Whether a location is a name inside the folder: no drive, no root, no way up, no address. */
function staysInside(location: string): boolean {
  const parts = location.split(/[/\\]/);
  return location !== "" && !location.includes("\0") && !location.includes(":") &&
    parts.every((part, i) => part !== ".." && (part !== "" || i > 0));
}

async function readExternal(
  t: TensorMessage,
  external: ReadonlyMap<string, string>,
  length: number,
  files: TensorFiles,
): Promise<Uint8Array> {
  const where = files.source.name, location = external.get("location") ?? "";
  if (!staysInside(location)) {
    throw new FormatError(
      `${where}: tensor "${t.name}" is in the file "${location}", which is not a name inside the model's folder`,
    );
  }
  const number = (key: string, missing: number): number => {
    const text = external.get(key) ?? String(missing);
    if (!/^\d{1,15}$/.test(text)) {
      throw new FormatError(
        `${where}: tensor "${t.name}": ${key} of its data is "${text}", no number of bytes`,
      );
    }
    return Number(text);
  };
  const offset = number("offset", 0), said = number("length", length);
  if (said !== length) {
    throw new FormatError(
      `${where}: tensor "${t.name}" is ${formatShape(t.dims)}, ${counted(length, "byte")}, and ${
        counted(said, "byte")
      } of "${location}"`,
    );
  }
  const source = await files.open(location);
  try {
    if (offset + length > source.size) {
      throw new FormatError(
        `${where}: tensor "${t.name}" is the bytes ${offset} to ${
          offset + length
        } of "${location}", which has ${source.size}`,
      );
    }
    return await source.read(offset, length);
  } finally {
    await source.close();
  }
}

/** Little-endian elements as the array that holds them here. */
export function fromBytes(bytes: Uint8Array, type: OnnxType, count: number): DataArray {
  const dtype = heldAs(type) as DType, bits = bitsOf(type), small = smallFloatValues(type);
  const at = (i: number): number => bits === 4 ? bytes[i >> 1] >> (i % 2 ? 4 : 0) & 15 : bytes[i];
  if (small) return Float32Array.from({ length: count }, (_, i) => small[at(i)]);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = newArray(dtype, count);
  switch (type) {
    case "int8":
      for (let i = 0; i < count; i++) out[i] = view.getInt8(i);
      return out;
    case "uint16":
      for (let i = 0; i < count; i++) out[i] = view.getUint16(2 * i, true);
      return out;
    case "int16":
      for (let i = 0; i < count; i++) out[i] = view.getInt16(2 * i, true);
      return out;
    case "uint32":
      for (let i = 0; i < count; i++) (out as BigInt64Array)[i] = BigInt(view.getUint32(4 * i, true));
      return out;
    case "uint4":
      for (let i = 0; i < count; i++) out[i] = at(i);
      return out;
    case "int4":
      for (let i = 0; i < count; i++) out[i] = at(i) << 28 >> 28;
      return out;
    default:
      new Uint8Array(out.buffer).set(bytes.subarray(0, out.byteLength));
      if (type === "bool") { for (let i = 0; i < count; i++) out[i] = out[i] ? 1 : 0; }
      return out;
  }
}

/** Numbers of a message as the array that holds them here. */
function fromLists(t: TensorMessage, type: OnnxType, count: number): DataArray {
  const dtype = heldAs(type) as DType, out = newArray(dtype, count), small = smallFloatValues(type);
  if (bitsOf(type) === 4 || small) {
    const bytes = Uint8Array.from(t.longs.length ? t.longs : [], Number);
    return fromBytes(bytes, type, count);
  }
  if (isFloatType(type) && type !== "float16" && type !== "bfloat16") {
    (out as Float32Array).set(t.numbers);
    return out;
  }
  if (out instanceof BigInt64Array) t.longs.forEach((v, i) => out[i] = v);
  else if (dtype === "bool") t.longs.forEach((v, i) => out[i] = v ? 1 : 0);
  else t.longs.forEach((v, i) => out[i] = Number(v));
  return out;
}
