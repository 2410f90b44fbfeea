/**
 * What the safetensors tests share: files built by hand, tensors to save, files collected in memory.
 *
 * @module
 */
import { assertStrictEquals } from "@std/assert";
import {
  collectBytes,
  type PlannedFile,
  planSafetensors,
  readSafetensors,
  type SafetensorsFile,
  type SaveOptions,
  type TensorToSave,
} from "../src/files/mod.ts";
import { memorySource } from "./_sources.ts";

/** A file from header text and data, with nothing checked. `length` is what the first eight bytes claim. */
export function raw(header: string, dataLength: number, length?: bigint): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.byteLength + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.byteLength), true);
  bytes.set(json, 8);
  for (let i = 0; i < dataLength; i++) bytes[8 + json.byteLength + i] = i;
  return bytes;
}

/** A header entry. */
export function entry(dtype: unknown, shape: unknown, offsets: unknown): string {
  return JSON.stringify({ dtype, shape, data_offsets: offsets });
}

/** Opens bytes. */
export function open(bytes: Uint8Array, name: string = "test.safetensors"): Promise<SafetensorsFile> {
  return readSafetensors(memorySource(bytes, name));
}

/** A tensor of f32 to be saved. */
export function f32(name: string, shape: number[], values: ArrayLike<number>): TensorToSave {
  const array = Float32Array.from(values);
  return { name, dtype: "f32", shape, bytes: () => new Uint8Array(array.buffer) };
}

/** The bytes of one file that holds `tensors`. */
export async function save(
  tensors: TensorToSave[],
  options: SaveOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const { files } = planSafetensors(tensors, options);
  assertStrictEquals(files.length, 1);
  return await collectBytes(files[0]);
}

/** The JSON of a file's header. */
export function headerOf(
  bytes: Uint8Array,
): Record<string, { dtype: string; shape: number[]; data_offsets: number[] }> {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
}

/** All tensors of a file, read by plan. */
export async function tensorsOf(file: SafetensorsFile): Promise<Map<string, Uint8Array>> {
  const result = new Map<string, Uint8Array>();
  for await (const { info, bytes } of file.read()) result.set(info.name, bytes.slice());
  return result;
}

/** The planned files in memory, by name. */
export async function inMemory(files: readonly PlannedFile[]): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const result = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const file of files) {
    const bytes = await collectBytes(file);
    assertStrictEquals(bytes.byteLength, file.byteLength);
    result.set(file.name, bytes);
  }
  return result;
}
