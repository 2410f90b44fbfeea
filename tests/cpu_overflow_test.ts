/**
 * Tensors beyond the heap: a small heap with more large buffers than fit computes what a large one does, bit for bit.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import "../src/backends/kernels/mod.ts";
import type { DeviceBuffer, View } from "../src/backends/contract.ts";
import { byteSize, type DType } from "../src/core/dtype.ts";
import { DeviceError } from "../src/core/errors.ts";
import { quantizeQ8 } from "../src/core/quantize.ts";
import { Generator } from "../src/core/random.ts";
import { add } from "../src/expr/build.ts";
import { input } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";

const side = 1024, MiB = 1 << 20;
const sum = program("f32", [add(input(0), input(1))]);

const bytesOf = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
const floats = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);

/** A device with values on it. */
class Device {
  readonly backend: CpuBackend;
  constructor(maximum?: number, totalMemory?: number) {
    const platform = {
      hardwareConcurrency: 1,
      canBlock: false,
      ...(totalMemory === undefined ? {} : { totalMemory }),
    };
    this.backend = new CpuBackend({ ...(maximum === undefined ? {} : { maximum }), platform });
  }
  view(dtype: DType, shape: number[], values?: Uint8Array): View {
    const size = shape.reduce((a, b) => a * b, 1), buffer = this.backend.allocate(byteSize(dtype, size));
    if (values) this.backend.upload(buffer, 0, values);
    return { buffer, dtype, shape, strides: shape.map((_, i) => i === 0 ? shape[1] ?? 1 : 1), offset: 0 };
  }
  async read({ buffer }: View): Promise<Uint8Array> {
    return await this.backend.download(buffer, 0, buffer.byteLength);
  }
  release(...views: { buffer: DeviceBuffer }[]): void {
    for (const { buffer } of views) this.backend.release(buffer);
  }
}

const generator = new Generator(3);
const normal = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => generator.normal());
const weights = Array.from({ length: 12 }, () => normal(side * side));
const start = normal(side);

/** Products with every weight in turn, `passes` times, and additions in place to some of them. */
async function chain(device: Device, passes: number): Promise<Float32Array[]> {
  const { backend } = device;
  const held = weights.map((w) => device.view("f32", [side, side], bytesOf(w)));
  const results: Float32Array[] = [];
  let x = device.view("f32", [1, side], bytesOf(start));
  for (let pass = 0; pass < passes; pass++) {
    for (const [i, w] of held.entries()) {
      const y = device.view("f32", [1, side]);
      backend.matmul(x, w, y);
      device.release(x);
      x = y;
      // Some weights change: their copies outside are stale then.
      if (i % 5 === 2) backend.elementwise(sum, [w, held[0]], [], [w]);
    }
    results.push(floats(await device.read(x)));
  }
  for (const w of held) results.push(floats(await device.read(w)));
  device.release(x, ...held);
  return results;
}

describe("cpu: more than the heap holds", () => {
  it("computes the same, and gives everything back", async () => {
    const small = new Device(32 * MiB), large = new Device();
    const expected = await chain(large, 3), found = await chain(small, 3);
    assert(small.backend.engine.heap.capacity <= 32 * MiB);
    assertStrictEquals(found.length, expected.length);
    found.forEach((values, i) => assertEquals(values, expected[i], `result ${i}`));
    assertEquals(small.backend.memory(), { bytes: 0, buffers: 0 });
  });

  it("counts what is outside", () => {
    const device = new Device(32 * MiB);
    const held = weights.map((w) => device.view("f32", [side, side], bytesOf(w)));
    assertEquals(device.backend.memory(), { bytes: 12 * 4 * MiB, buffers: 12 });
    device.release(held[0], held[11]);
    assertEquals(device.backend.memory(), { bytes: 10 * 4 * MiB, buffers: 10 });
  });

  it("moves quantised weights with their rows as they lie", async () => {
    const small = new Device(8 * MiB), large = new Device();
    const blocks = weights.map((w) => {
      const bytes = new Uint8Array(byteSize("q8", w.length));
      quantizeQ8(w, bytes);
      return bytes;
    });
    const run = async ({ backend }: Device, device: Device): Promise<Uint8Array[]> => {
      const held = blocks.map((b) => device.view("q8", [side, side], b)), results: Uint8Array[] = [];
      const x = device.view("f32", [1, side], bytesOf(start)), y = device.view("f32", [1, side]);
      for (let pass = 0; pass < 2; pass++) {
        for (const w of held) {
          backend.matmul(x, { ...w, strides: [1, side] }, y);
          results.push(await device.read(y));
        }
      }
      for (const w of held) results.push(await device.read(w));
      return results;
    };
    const expected = await run(large, large), found = await run(small, small);
    found.forEach((bytes, i) => assertEquals(bytes, expected[i], `result ${i}`));
    // Read back, the rows are those of a file again.
    blocks.forEach((bytes, i) => assertEquals(found[24 + i], bytes));
  });

  it("keeps memory inside that was handed out last, so that a file can be read into it", () => {
    const device = new Device(32 * MiB), { backend } = device;
    const first = backend.allocate(4 * MiB), memory = backend.mapped(first);
    const others = Array.from({ length: 12 }, () => backend.allocate(4 * MiB));
    memory.fill(7);
    for (const other of others.slice(0, 3)) backend.mapped(other).fill(1);
    assert(backend.mapped(first).every((byte) => byte === 7));
    device.release({ buffer: first }, ...others.map((buffer) => ({ buffer })));
  });

  it("stops where the machine's memory does, and says what to do", () => {
    const device = new Device(32 * MiB, 48 * MiB);
    assertMatch(
      assertThrows(() => weights.forEach((w) => device.view("f32", [side, side], bytesOf(w))), DeviceError)
        .message,
      /more memory than this machine .* bf16, q8 or q4/,
    );
    // An operation that alone is too large for the heap is refused as ever.
    assertThrows(() => new Device(32 * MiB).view("f32", [16 * side, side]), DeviceError);
  });
});
