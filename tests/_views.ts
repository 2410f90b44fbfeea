/** Tensors for tests of devices: any dtype, any layout, written and read back as plain numbers. */
import { assertStrictEquals, fail } from "@std/assert";
import type { Backend, DeviceBuffer, View } from "../src/backends/contract.ts";
import { arrayOn, byteSize, type DType } from "../src/core/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { Generator } from "../src/core/random.ts";
import { contiguousStrides, sizeOf } from "../src/core/shape.ts";

/** How a view lies in memory. `broadcast` repeats elements, so it is for inputs only. */
export type LayoutKind = "contiguous" | "offset" | "permuted" | "stepped" | "reversed" | "broadcast";

/** The layouts an input can have. */
export const inputLayouts: readonly LayoutKind[] = [
  "contiguous",
  "offset",
  "permuted",
  "stepped",
  "reversed",
  "broadcast",
];

/** The layouts an output can have: all in which every element has a place of its own. */
export const outputLayouts: readonly LayoutKind[] = inputLayouts.slice(0, -1);

/** All indices of `shape` in row-major order. */
export function positionsOf(shape: readonly number[]): number[][] {
  let list: number[][] = [[]];
  for (const size of shape) list = list.flatMap((p) => Array.from({ length: size }, (_, i) => [...p, i]));
  return list;
}

/** Where the elements of `view` lie in its buffer, in row-major order. */
export function placesOf({ shape, strides, offset }: View): number[] {
  let places = [offset];
  // Axis by axis, from the outermost: much quicker than from the indices of each element.
  for (const [d, size] of shape.entries()) {
    const inner = new Array<number>(places.length * size);
    for (let i = 0, n = 0; i < places.length; i++) {
      for (let j = 0; j < size; j++) inner[n++] = places[i] + j * strides[d];
    }
    places = inner;
  }
  return places;
}

/** `value` as an element of `dtype` is stored. */
export function encode(dtype: DType, value: number): number | bigint {
  return dtype === "i64"
    ? BigInt(value)
    : dtype === "f16"
    ? toF16(value)
    : dtype === "bf16"
    ? toBf16(value)
    : value;
}

/** The number that a stored element stands for. */
export function decode(dtype: DType, stored: number | bigint): number {
  return dtype === "f16"
    ? fromF16(Number(stored))
    : dtype === "bf16"
    ? fromBf16(Number(stored))
    : Number(stored);
}

type Elements = { [i: number]: number | bigint; readonly length: number };

/** Makes views on a device, with random numbers that a seed repeats, and frees them all at the end. */
export class Workbench {
  readonly backend: Backend;
  readonly random: Generator;
  readonly #buffers: DeviceBuffer[] = [];

  constructor(backend: Backend, seed = 1) {
    this.backend = backend;
    this.random = new Generator(seed);
  }

  /** A number such as `dtype` usually holds. */
  sample(dtype: DType): number {
    switch (dtype) {
      case "bool":
        return this.random.integer(0, 2);
      case "u8":
        return this.random.integer(0, 256);
      case "i32":
      case "i64":
        return this.random.integer(-1000, 1000);
      default:
        return this.random.normal() * 4;
    }
  }

  /** A view filled by `fill` (all of its buffer, gaps too), laid out as `kind` says. */
  input(
    dtype: DType,
    shape: readonly number[],
    kind: LayoutKind = "contiguous",
    fill: () => number = () => this.sample(dtype),
  ): View {
    const { strides, offset, length } = this.#layout(shape, kind);
    const bytes = new ArrayBuffer(byteSize(dtype, length));
    const elements = arrayOn(dtype, bytes, 0, length) as Elements;
    for (let i = 0; i < length; i++) elements[i] = encode(dtype, fill());
    return { buffer: this.upload(new Uint8Array(bytes)), dtype, shape, strides, offset };
  }

  /** A contiguous view of these values. */
  of(dtype: DType, shape: readonly number[], values: readonly number[]): View {
    assertStrictEquals(values.length, sizeOf(shape));
    let i = 0;
    return this.input(dtype, shape, "contiguous", () => values[i++] ?? 0);
  }

  /** A contiguous i64 view of these values. */
  ofBigints(values: readonly bigint[]): View {
    const bytes = new Uint8Array(BigInt64Array.from(values).buffer);
    return { buffer: this.upload(bytes), dtype: "i64", shape: [values.length], strides: [1], offset: 0 };
  }

  /** A view to write to, filled with a pattern that {@link read} checks the gaps of. */
  output(dtype: DType, shape: readonly number[], kind: LayoutKind = "contiguous"): View {
    const { strides, offset, length } = this.#layout(shape, kind);
    const bytes = new Uint8Array(byteSize(dtype, length));
    for (let i = 0; i < bytes.length; i++) bytes[i] = pattern(i);
    return { buffer: this.upload(bytes), dtype, shape, strides, offset };
  }

  /** Device memory with these bytes. */
  upload(bytes: Uint8Array): DeviceBuffer {
    const buffer = this.backend.allocate(bytes.length);
    this.#buffers.push(buffer);
    if (bytes.length > 0) this.backend.upload(buffer, 0, bytes);
    return buffer;
  }

  /** The elements, row-major; i64 as numbers. `output` demands that what lies between them is as `output()` left it. */
  async read(view: View, output: "output" | "" = ""): Promise<number[]> {
    return (await this.#stored(view, output)).map((stored) => decode(view.dtype, stored));
  }

  /** The elements of an i64 view. */
  async readBigints(view: View): Promise<bigint[]> {
    return (await this.#stored(view, "")) as bigint[];
  }

  /** The same elements, laid out the same, on another device. */
  async mirror(view: View, to: Workbench): Promise<View> {
    return { ...view, buffer: to.upload(await this.#bytes(view)) };
  }

  /** Gives all memory back. */
  free(): void {
    for (const buffer of this.#buffers.splice(0)) this.backend.release(buffer);
  }

  #bytes(view: View): Promise<Uint8Array> {
    return this.backend.download(view.buffer, 0, view.buffer.byteLength);
  }

  async #stored(view: View, output: "output" | ""): Promise<(number | bigint)[]> {
    const bytes = (await this.#bytes(view)).slice(), width = byteSize(view.dtype, 1), places = placesOf(view);
    if (output) {
      const own = new Uint8Array(bytes.length);
      for (const at of places) own.fill(1, at * width, (at + 1) * width);
      for (let i = 0; i < bytes.length; i++) {
        if (!own[i] && bytes[i] !== pattern(i)) {
          fail(`byte ${i} is no element, yet it was written`);
        }
      }
    }
    const elements = arrayOn(view.dtype, bytes.buffer, 0, Math.floor(bytes.length / width)) as Elements;
    return places.map((at) => elements[at]);
  }

  #layout(shape: readonly number[], kind: LayoutKind): { strides: number[]; offset: number; length: number } {
    const { random } = this, rank = shape.length;
    const order = shape.map((_, d) => d);
    if (kind === "permuted" || kind === "broadcast") {
      for (let i = rank - 1; i > 0; i--) {
        const j = random.integer(0, i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
    }
    const repeats = shape.map((_, d) =>
      kind === "broadcast" && (d === order[0] || random.integer(0, 3) === 0)
    );
    const strides = contiguousStrides(shape);
    let step = kind === "stepped" ? random.integer(2, 4) : 1,
      offset = kind === "contiguous" ? 0 : random.integer(1, 6);
    for (let i = rank - 1; i >= 0; i--) {
      const d = order[i];
      strides[d] = repeats[d] ? 0 : step;
      if (repeats[d]) continue;
      step *= Math.max(shape[d], 1);
      if (kind === "reversed" && shape[d] > 0 && random.integer(0, 3) > 0) {
        offset += (shape[d] - 1) * strides[d];
        strides[d] = -strides[d];
      }
    }
    const reach = strides.reduce((far, s, d) => s > 0 ? far + s * (shape[d] - 1) : far, offset);
    return { strides, offset, length: Math.max(reach, offset) + 1 + random.integer(0, 4) };
  }
}

function pattern(i: number): number {
  return (i * 37 + 11) & 255;
}
