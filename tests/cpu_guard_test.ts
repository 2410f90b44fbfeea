/** Guards and watches of the cpu device: what writes where nothing is its own is found, and no kernel does. */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { type CpuBackend, createCpuBackend } from "../src/backends/cpu/backend.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { Heap } from "../src/backends/cpu/heap.ts";
import { operations } from "../src/backends/operations.ts";
import { Watch } from "../src/backends/cpu/watch.ts";
import "../src/backends/kernels/mod.ts";
import { DeviceError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { Workbench } from "./_views.ts";

describe("a heap with guards", () => {
  it("finds a byte written beside any block, and one in memory that nobody holds", () => {
    const random = new Generator(1);
    for (let i = 0; i < 300; i++) {
      const heap = new Heap(4096, { shared: false, guard: true });
      const sizes = Array.from({ length: 5 }, () => random.integer(0, 300));
      const pointers = sizes.map((size) => heap.allocate(size));
      heap.release(pointers[3]);
      assertStrictEquals(heap.check(true), null);
      const block = random.integer(0, 3), behind = pointers[block] + sizes[block] + random.integer(0, 64);
      const inFree = pointers[3] + random.integer(0, Math.max(1, sizes[3]));
      const at = [behind, inFree, pointers[block] - 1 - random.integer(0, 40)][i % 3];
      heap.u8[at] ^= 1 + random.integer(0, 255);
      assertMatch(String(heap.check(true)), /was written/, `byte ${at}`);
    }
  });

  it("lets everything within blocks be written, and goes on after it said what was damaged", () => {
    const heap = new Heap(4096, { shared: false, guard: true }), random = new Generator(2);
    const live: { pointer: number; size: number }[] = [];
    for (let i = 0; i < 3000; i++) {
      if (random.uniform() < 0.6) {
        const size = random.integer(0, 2000), pointer = heap.allocate(size);
        heap.u8.fill(i & 255, pointer, pointer + size);
        live.push({ pointer, size });
      } else if (live.length) heap.release(live.splice(random.integer(0, live.length), 1)[0].pointer);
      if (i % 50 === 0) assertStrictEquals(heap.check(true), null);
    }
    const pointer = heap.allocate(10);
    heap.u8[pointer + 10]++;
    assertThrows(() => heap.release(pointer), DeviceError, "0 bytes behind the end of a block of 10");
    for (const { pointer } of live) heap.release(pointer);
    assertStrictEquals(heap.check(true), null);
    assertEquals([heap.bytes, heap.buffers], [0, 0]);
  });
});

describe("a watch", () => {
  const watched = (write: (heap: Heap, x: View, out: View) => void): () => void => {
    const backend = createCpuBackend({ guard: true }),
      bench = new Workbench(backend),
      { heap } = backend.engine;
    const x = bench.input("f32", [10]), out = bench.output("f32", [5], "stepped");
    return () => new Watch(heap).run(operations.get("quantize")!, [x, out], () => write(heap, x, out));
  };
  const at = (view: View): number => (view.buffer as CpuBuffer).pointer;

  it("lets an operation write to the elements of its outputs", () => {
    watched((heap, _, out) => heap.u8[at(out) + 4 * (out.offset + out.strides[0])]++)();
  });

  it("finds what is written to an input, to a block of somebody else, and between an output's elements", () => {
    assertThrows(watched((heap, x) => heap.u8[at(x)]++), DeviceError, "none of its outputs");
    assertThrows(
      watched((heap, _, out) => heap.u8[at(out) + 4 * (out.offset + 1)]++),
      DeviceError,
      "none of its elements",
    );
    const refusing = watched((heap, x) => {
      heap.u8[at(x) + 12]++;
      throw new ShapeError("refused");
    });
    assertMatch(
      assertThrows(refusing, DeviceError).message,
      /while quantize ran, a block of \d+ bytes .* none of its outputs/,
    );
  });
});

describe("an index that has no place", () => {
  const backend: CpuBackend = createCpuBackend({ guard: true });

  it("moves nothing, in any kernel with indices, dtype and form, whatever the index and the size of the axis", () => {
    const bench = new Workbench(backend, 3), { random } = bench;
    for (const dtype of ["f32", "f16", "bf16", "i32", "i64", "u8", "bool"] as const) {
      for (const type of ["i32", "i64"] as const) {
        for (let i = 0; i < 20; i++) {
          const size = random.integer(0, 3), width = [1, 3, 40][random.integer(0, 3)];
          const wrong = [
            size,
            -size - 1,
            2 ** 31 - 1,
            -(2 ** 31),
            ...type === "i64" ? [2 ** 32, -(2 ** 40)] : [],
          ];
          const given = wrong[random.integer(0, wrong.length)];
          const line = bench.input(type, [2], "contiguous", () => given);
          const rows = random.uniform() < 0.5;
          const index = rows
            ? { ...line, shape: [2, width], strides: [1, 0] }
            : bench.input(type, [2, width], "contiguous", () => given);
          const x = bench.output(dtype, [size, width]), part = bench.output(dtype, [2, width]);
          const message = new RegExp(`index ${given} .* dim 0 of \\[${size}, ${width}\\]`);
          const refused = (f: () => void): void => assertMatch(assertThrows(f, ShapeError).message, message);
          refused(() => backend.gather(x, 0, index, part));
          for (const mode of ["add", "set"] as const) refused(() => backend.scatter(mode, x, 0, index, part));
          bench.free();
        }
      }
    }
    assertStrictEquals(backend.engine.heap.check(true), null);
  });

  it("is a target of cross-entropy that is named, and changes no gradient", async () => {
    const bench = new Workbench(backend, 4);
    for (const wrong of [3, -1, -101, 2 ** 31 - 1, -(2 ** 31)]) {
      const logits = bench.input("f32", [2, 3]), targets = bench.of("i32", [2], [1, wrong]);
      const losses = bench.output("f32", [2]),
        lse = bench.output("f32", [2]),
        scale = bench.of("f32", [2], [1, 1]);
      assertThrows(
        () => backend.kernels.crossEntropy!(logits, targets, losses, lse, -100),
        ShapeError,
        `target ${wrong} is none of the 3 classes`,
      );
      const dx = bench.output("f32", [2, 3]);
      backend.kernels.crossEntropyBackward!(logits, targets, lse, scale, dx, -100);
      await bench.read(dx, "output");
      bench.free();
    }
  });

  it("is a cache's position that a decoding step finds in memory", () => {
    const bench = new Workbench(backend, 5);
    for (const dtype of ["f32", "f16", "q8"] as const) {
      for (const place of [4, -1, 2 ** 31 - 1, -(2 ** 31)]) {
        const width = 32, bytes = dtype === "q8" ? 34 * 4 : dtype === "f16" ? 2 * width * 4 : 4 * width * 4;
        const cache = (): View => ({
          buffer: bench.upload(new Uint8Array(bytes)),
          dtype,
          shape: [1, 1, 4, width],
          strides: [4 * width, 4 * width, width, 1],
          offset: 0,
        });
        const qkv = bench.input("f32", [1, 3, 1, width]), out = bench.output("f32", [1, 1, width]);
        const keys = cache(), values = cache(), places = bench.of("i32", [1], [place]);
        backend.kernels.attentionStep!(qkv, [keys], [values], [0], out, 1, places);
        for (const { buffer } of [keys, values]) {
          assert(backend.mapped(buffer).every((byte) => byte === 0), `${dtype} at ${place}`);
        }
        bench.free();
      }
    }
  });
});
