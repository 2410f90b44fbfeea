import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { type CpuBackend, createCpuBackend } from "../src/backends/cpu/backend.ts";
import "../src/backends/kernels/mod.ts";
import { byteSize, type DType } from "../src/core/dtype.ts";
import { DeviceError } from "../src/core/errors.ts";
import { contiguousStrides, sizeOf } from "../src/core/shape.ts";
import { input, type Program, unary } from "../src/expr/nodes.ts";
import { testPlatform } from "./_cpu_platform.ts";

/** A contiguous view of fresh memory. */
function fresh(backend: CpuBackend, shape: readonly number[], dtype: DType = "f32"): View {
  const buffer = backend.allocate(byteSize(dtype, sizeOf(shape)));
  return { buffer, dtype, shape, strides: contiguousStrides(shape), offset: 0 };
}

const tanh: Program = {
  key: "test: tanh(x)",
  type: "f32",
  inputs: 1,
  scalars: 0,
  outputs: [unary("tanh", input(0))],
};

/** Bytes that come out of a bit of everything that is split over threads. */
async function everything(backend: CpuBackend): Promise<Uint8Array> {
  const x = fresh(backend, [300, 257]), w = fresh(backend, [257, 130]), y = fresh(backend, [300, 130]);
  const z = fresh(backend, [300, 130]), rows = fresh(backend, [300, 1]), columns = fresh(backend, [1, 130]);
  const all = fresh(backend, [1, 1]), soft = fresh(backend, [300, 130]);
  backend.random("normal", 1, 0, x);
  backend.random("uniform", 2, 0, w);
  backend.matmul(x, w, y);
  backend.elementwise(tanh, [y], [], [z]);
  backend.reduce("sum", null, [z], [], [1], rows);
  backend.reduce("sum", tanh, [y], [], [0], columns);
  backend.reduce("max", null, [z], [], [0, 1], all);
  backend.kernels.softmax!(y, soft, true);
  const parts: Uint8Array[] = [];
  for (const view of [x, w, y, z, rows, columns, all, soft]) {
    parts.push(await backend.download(view.buffer, 0, view.buffer.byteLength));
    backend.release(view.buffer);
  }
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

describe("cpu backend", () => {
  for (const deterministic of [false, true]) {
    it(`gives the same bits on 1, 2 and 3 threads (${deterministic ? "deterministic" : "fast"})`, async () => {
      const backend = createCpuBackend({ platform: testPlatform(), threads: 1, deterministic });
      const expected = await everything(backend);
      for (const threads of [2, 3]) {
        backend.engine.threads = threads;
        assertStrictEquals(await backend.engine.ready(20000), threads, backend.engine.threadProblem ?? "");
        for (let i = 0; i < 3; i++) assertEquals(await everything(backend), expected);
      }
      assertEquals(backend.memory(), { bytes: 0, buffers: 0 });
      assertStrictEquals(backend.engine.heap.temporaries, 0);
      backend.engine.dispose();
    });
  }

  it("lets files be read straight into a buffer", async () => {
    const backend = createCpuBackend();
    const buffer = backend.allocate(8);
    backend.mapped(buffer).set([1, 2, 3, 4, 5, 6, 7, 8]);
    assertEquals([...await backend.download(buffer, 2, 3)], [3, 4, 5]);
    backend.release(buffer);
    assertThrows(() => backend.release(buffer), DeviceError);
  });
});
