import { assert, assertEquals, assertStrictEquals, assertThrows, fail } from "@std/assert";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import type { Epilogue, View } from "../src/backends/contract.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { matmul } from "../src/backends/cpu/kernels/matmul.ts";
import "../src/backends/kernels/quantized.ts";
import { byteSize, type DType } from "../src/core/dtype.ts";
import { DTypeError } from "../src/core/errors.ts";
import { quantizeQ4, quantizeQ8 } from "../src/core/quantize.ts";
import { Generator } from "../src/core/random.ts";
import { add, div, max, mul, tanh } from "../src/expr/build.ts";
import { type Expr, input, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { convertBytes } from "../src/files/mod.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { bytesOf, eachIndex, expected, type Layout, read, release, view } from "./_matmul.ts";

const engine = new Engine({ platform: testPlatform(), threads: 2 });
await engine.ready(60_000);
const generator = new Generator(7);
const unit = (): number => 2 * generator.uniform() - 1;
const whole = (): number => Math.floor(200 * generator.uniform()) - 100;
const nothing = (): number => NaN;
const below = (n: number): number => Math.floor(n * generator.uniform());

const precision: Partial<Record<DType, number>> = { f32: 2e-6, f16: 1e-3, bf16: 8e-3, i32: 0 };

/** Multiplies, compares with the naive product, and frees everything. */
function check(a: View, b: View, out: View, what: string, epilogue?: Epilogue, on: Engine = engine): void {
  const { values, scale } = expected(on, a, b, epilogue);
  matmul(on, a, b, out, epilogue);
  const result = read(on, out);
  const tolerance = 2e-6 * scale + (precision[out.dtype] as number);
  for (let i = 0; i < values.length; i++) {
    const allowed = out.dtype === "i32"
      ? 0
      : tolerance + (precision[out.dtype] as number) * Math.abs(values[i]);
    if (!(Math.abs(result[i] - values[i]) <= allowed)) {
      fail(`${what}: element ${i} is ${result[i]}, expected ${values[i]}`);
    }
  }
}

const swapped: Layout = { order: [1, 0] };

describe("cpu matmul, f32", () => {
  it("multiplies all sizes from 1 to 20 in each direction", () => {
    for (let m = 1; m <= 20; m++) {
      for (let n = 1; n <= 20; n++) {
        for (let k = 1; k <= 20; k++) {
          const turn = m + n + k;
          const a = view(engine, "f32", [m, k], unit, turn % 3 === 0 ? swapped : {});
          const b = view(engine, "f32", [k, n], unit, turn % 2 === 0 ? swapped : {});
          const out = view(engine, "f32", [m, n], nothing, turn % 5 === 0 ? swapped : {});
          check(a, b, out, `[${m},${k}] × [${k},${n}]`);
          release(engine, a, b, out);
        }
      }
    }
  });

  it("multiplies sizes around the blocks", () => {
    for (
      const [m, n, k] of [
        [97, 33, 767],
        [100, 70, 769],
        [13, 140, 1540],
        [1, 1030, 70],
        [3, 70, 1025],
        [4, 1300, 33],
        [700, 3, 90],
        [2500, 1, 20],
        [110, 20, 2310],
        [14, 9, 9000],
      ]
    ) {
      for (const layout of [{}, swapped]) {
        const a = view(engine, "f32", [m, k], unit, layout), b = view(engine, "f32", [k, n], unit, layout);
        const out = view(engine, "f32", [m, n], nothing);
        check(a, b, out, `[${m},${k}] × [${k},${n}]`);
        release(engine, a, b, out);
      }
    }
  });

  it("takes any strides, leading axes and offsets, and writes nothing else", () => {
    for (let turn = 0; turn < 300; turn++) {
      const rank = 2 + below(4);
      const leading = Array.from({ length: rank - 2 }, () => 1 + below(3));
      const few = below(3) === 0;
      const m = 1 + below(few ? 4 : 30), n = 1 + below(30), k = 1 + below(40);
      const layout = (shape: readonly number[], mayRepeat: boolean): Layout => {
        const order = shape.map((_, axis) => axis);
        for (let i = order.length - 1; i > 0; i--) {
          const j = below(3) ? i : below(i + 1);
          [order[i], order[j]] = [order[j], order[i]];
        }
        const axes = shape.map((_, axis) => axis);
        return {
          order,
          gap: below(2) * below(4),
          reverse: axes.filter(() => below(8) === 0),
          repeat: mayRepeat ? axes.filter((axis) => below(axis < rank - 2 ? 3 : 12) === 0) : [],
        };
      };
      const make = (shape: number[], value: () => number, mayRepeat: boolean): View => {
        const { reverse = [], repeat = [], ...rest } = layout(shape, mayRepeat);
        return view(engine, "f32", shape, value, {
          ...rest,
          repeat,
          reverse: reverse.filter((x) => !repeat.includes(x)),
        });
      };
      const a = make([...leading, m, k], unit, true), b = make([...leading, k, n], unit, true);
      const out = make([...leading, m, n], nothing, false);
      const before = bytesOf(engine, out);
      check(a, b, out, `turn ${turn}: ${leading} [${m},${k}] × [${k},${n}]`);
      const after = bytesOf(engine, out), own = new Uint8Array(after.length);
      eachIndex(out.shape, (index) => {
        const at = index.reduce((sum, i, axis) => sum + i * out.strides[axis], out.offset);
        own.fill(1, 4 * at, 4 * at + 4);
      });
      for (let i = 0; i < own.length; i++) {
        if (!own[i] && before[i] !== after[i]) {
          fail(`turn ${turn}: byte ${i} beside the output was written`);
        }
      }
      release(engine, a, b, out);
    }
  });

  it("multiplies a matrix whose copy would be too large, in pieces", () => {
    const m = 6, k = 70_000, n = 203;
    const bare = (rows: number, columns: number, period: number): View => {
      const byteLength = 4 * rows * columns,
        buffer: CpuBuffer = { pointer: engine.heap.allocate(byteLength), byteLength };
      const words = engine.f32.subarray(buffer.pointer >>> 2, (buffer.pointer + byteLength) >>> 2);
      for (let i = 0; i < words.length; i++) words[i] = (i % period) - (period >> 1);
      return { buffer, dtype: "f32", shape: [rows, columns], strides: [columns, 1], offset: 0 };
    };
    const values = (v: View): Float32Array => engine.f32.subarray((v.buffer as CpuBuffer).pointer >>> 2);
    const a = bare(m, k, 7), b = bare(k, n, 11), out = bare(m, n, 2);
    const { capacity } = engine.heap;
    matmul(engine, a, b, out);
    assert(engine.heap.capacity - capacity < 80 << 20);
    const x = values(a), y = values(b), result = values(out);
    for (const [i, j] of [[0, 0], [5, 63], [2, 64], [3, 170], [1, 171], [4, 192], [5, 202]]) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += x[i * k + l] * y[l * n + j];
      assertStrictEquals(result[i * n + j], sum);
    }
    release(engine, a, b, out);
  });

  it("gives 0 where there is nothing to add, and nothing where there is nothing to compute", () => {
    const bias = view(engine, "f32", [3, 4], () => 5);
    const a = view(engine, "f32", [3, 0], unit), b = view(engine, "f32", [0, 4], unit);
    const out = view(engine, "f32", [3, 4], nothing);
    matmul(engine, a, b, out);
    assertEquals(new Set(read(engine, out)), new Set([0]));
    const plus = program("f32", [add(input(0), input(1))]);
    matmul(engine, a, b, out, { program: plus, inputs: [bias], scalars: [] });
    assertEquals(new Set(read(engine, out)), new Set([5]));
    for (const [m, n] of [[0, 4], [3, 0]]) {
      matmul(
        engine,
        view(engine, "f32", [2, m, 7], unit),
        view(engine, "f32", [2, 7, n], unit),
        view(engine, "f32", [2, m, n], unit),
      );
    }
    release(engine, a, b, out, bias);
  });

  it("passes NaN and infinities on, and keeps rows and columns apart", () => {
    for (const m of [2, 9]) {
      const a = view(engine, "f32", [m, 6], () => 1), b = view(engine, "f32", [6, 11], () => 1);
      const out = view(engine, "f32", [m, 11], nothing);
      engine.f32[((b.buffer as unknown as { pointer: number }).pointer >> 2) + b.offset + 3] = Infinity;
      engine.f32[((a.buffer as unknown as { pointer: number }).pointer >> 2) + a.offset + 6] = NaN;
      matmul(engine, a, b, out);
      const values = read(engine, out);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < 11; j++) {
          assertStrictEquals(values[i * 11 + j], i === 1 ? NaN : j === 3 ? Infinity : 6);
        }
      }
      release(engine, a, b, out);
    }
  });
});

describe("cpu matmul, other dtypes", () => {
  for (
    const [x, y, z] of [["f16", "f16", "f16"], ["bf16", "bf16", "bf16"], ["f32", "bf16", "f32"], [
      "f32",
      "f16",
      "f32",
    ], ["bf16", "f32", "f16"]] as const
  ) {
    it(`${x} × ${y} → ${z}`, () => {
      for (
        const [m, n, k] of [[1, 40, 37], [3, 21, 64], [2, 8, 5], [7, 13, 9], [40, 70, 31], [13, 33, 1000]]
      ) {
        for (
          const [p, q] of [[{}, {}], [swapped, {}], [{}, swapped], [swapped, swapped], [{ gap: 1 }, {
            reverse: [0, 1],
          }]]
        ) {
          const a = view(engine, x, [m, k], unit, p), b = view(engine, y, [k, n], unit, q);
          const out = view(engine, z, [m, n], nothing);
          check(a, b, out, `[${m},${k}] × [${k},${n}]`);
          release(engine, a, b, out);
        }
      }
    });
  }

  it("i32 × i32 → i32, modulo 2^32", () => {
    for (const [m, n, k] of [[1, 40, 37], [4, 21, 64], [7, 13, 9], [40, 70, 900]]) {
      for (const layout of [{}, swapped]) {
        const a = view(engine, "i32", [m, k], whole, layout), b = view(engine, "i32", [k, n], whole, layout);
        const out = view(engine, "i32", [m, n], () => 0);
        check(a, b, out, `[${m},${k}] × [${k},${n}]`);
        release(engine, a, b, out);
      }
    }
    const a = view(engine, "i32", [6, 2], () => 0x7fffffff), b = view(engine, "i32", [2, 6], () => 3);
    const out = view(engine, "i32", [6, 6], () => 0);
    matmul(engine, a, b, out);
    assertStrictEquals(read(engine, out)[0], (0x7fffffff * 6) | 0);
    release(engine, a, b, out);
  });

  it("refuses floats with integers", () => {
    const a = view(engine, "f32", [2, 2], unit), b = view(engine, "i32", [2, 2], whole);
    assertThrows(() => matmul(engine, a, b, a), DTypeError);
    release(engine, a, b);
  });
});

const gelu = (x: Expr): Expr =>
  mul(mul(0.5, x), add(1, tanh(mul(0.7978845608, add(x, mul(0.044715, mul(x, mul(x, x))))))));

describe("cpu matmul, epilogues", () => {
  const sizes = [[1, 40, 30], [3, 13, 20], [7, 8, 9], [50, 37, 21], [20, 64, 1000]];

  it("bias, bias + gelu, residual, scale", () => {
    const programs = {
      bias: [program("f32", [add(input(0), input(1))]), 1],
      gelu: [program("f32", [gelu(add(input(0), input(1)))]), 1],
      residual: [program("f32", [add(add(input(0), input(1)), input(2))]), 2],
      scaled: [program("f32", [max(div(mul(input(0), scalar(0)), scalar(1)), -1)]), 0],
    } as const;
    for (const [name, [made, count]] of Object.entries(programs)) {
      for (const [m, n, k] of sizes) {
        for (const layout of [{}, swapped]) {
          const a = view(engine, "f32", [2, m, k], unit), b = view(engine, "f32", [2, k, n], unit);
          const out = view(engine, "f32", [2, m, n], nothing, layout.order ? { order: [0, 2, 1] } : {});
          const bias = view(engine, "f32", [2, m, n], unit, { repeat: [0, 1] });
          const residual = view(engine, "f32", [2, m, n], unit, m % 2 ? {} : { order: [2, 1, 0] });
          const inputs = [bias, residual].slice(0, count);
          check(a, b, out, `${name} [${m},${k}] × [${k},${n}]`, {
            program: made,
            inputs,
            scalars: [0.25, 1.5].slice(0, made.scalars),
          });
          release(engine, a, b, out, bias, residual);
        }
      }
    }
  });

  it("adds to the output, whatever the length of the sums", () => {
    const plus = program("f32", [add(input(0), input(1))]);
    for (const [m, n, k] of [...sizes, [13, 20, 2000]]) {
      const a = view(engine, "f32", [m, k], unit), b = view(engine, "f32", [k, n], unit, swapped);
      const out = view(engine, "f32", [m, n], unit);
      check(a, b, out, `[${m},${k}] × [${k},${n}]`, { program: plus, inputs: [out], scalars: [] });
      release(engine, a, b, out);
    }
  });

  it("operands and results of other dtypes", () => {
    const masked = program("f32", [mul(add(input(0), input(1)), input(2))]);
    for (const [m, n, k] of sizes) {
      const a = view(engine, "bf16", [m, k], unit), b = view(engine, "f32", [k, n], unit);
      const out = view(engine, "bf16", [m, n], nothing);
      const bias = view(engine, "f16", [m, n], unit, { repeat: [0] });
      const mask = view(engine, "bool", [m, n], () => below(2));
      check(a, b, out, `[${m},${k}] × [${k},${n}]`, { program: masked, inputs: [bias, mask], scalars: [] });
      release(engine, a, b, out, bias, mask);
    }
  });

  it("many operands", () => {
    const count = 9;
    let sum: Expr = input(0);
    for (let i = 1; i <= count; i++) sum = add(sum, mul(i, input(i)));
    const a = view(engine, "f32", [9, 5], unit), b = view(engine, "f32", [5, 11], unit);
    const out = view(engine, "f32", [9, 11], nothing);
    const inputs = Array.from({ length: count }, () => view(engine, "f32", [9, 11], unit));
    check(a, b, out, "nine operands", { program: program("f32", [sum]), inputs, scalars: [] });
    release(engine, a, b, out, ...inputs);
  });
});

/** A fixed set of products, all layouts and both ways of multiplying; the hash of all results. */
function digest(on: Engine): string {
  const hash = createHash("sha256");
  let state = 1;
  const value = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
  for (
    const [m, n, k] of [[1, 300, 700], [4, 130, 513], [3, 70, 9], [6, 9, 17], [130, 140, 1500], [
      600,
      65,
      300,
    ], [65, 600, 300]]
  ) {
    for (const [p, q] of [[{}, {}], [swapped, {}], [{}, swapped]]) {
      const a = view(on, "f32", [m, k], value, p), b = view(on, "f32", [k, n], value, q);
      const bias = view(on, "f32", [m, n], value, { repeat: [0] });
      const out = view(on, "f32", [m, n], () => 0);
      matmul(on, a, b, out);
      hash.update(bytesOf(on, out));
      matmul(on, a, b, out, {
        program: program("f32", [add(input(0), input(1))]),
        inputs: [bias],
        scalars: [],
      });
      hash.update(bytesOf(on, out));
      release(on, a, b, out, bias);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

describe("cpu matmul, the same bits", () => {
  it("on 1, 2 and 3 threads", async () => {
    const digests: string[] = [];
    for (const threads of [1, 2, 3]) {
      const own = new Engine({ platform: testPlatform(), threads });
      assertStrictEquals(await own.ready(60_000), threads);
      digests.push(digest(own));
      own.dispose();
    }
    assertEquals(digests, [digests[0], digests[0], digests[0]]);
  });

  it("in deterministic mode, on every runtime", () => {
    const own = new Engine({ deterministic: true });
    // The value that Deno, Bun and Node all gave; it changes only when the order of the sums is changed on purpose.
    assertStrictEquals(digest(own), "9227e5f466ce3962");
  });

  it("for a row, whatever rows are beside it", () => {
    const k = 96, n = 70;
    for (const dtype of ["f32", "bf16", "f16", "q8", "q4"] as const) {
      const size = byteSize(dtype, n * k), pointer = engine.heap.allocate(size);
      const values = Float32Array.from({ length: n * k }, unit),
        bytes = engine.u8.subarray(pointer, pointer + size);
      if (dtype === "q8") quantizeQ8(values, bytes);
      else if (dtype === "q4") quantizeQ4(values, bytes);
      else convertBytes("f32", dtype, new Uint8Array(values.buffer), bytes);
      const buffer: CpuBuffer = { pointer, byteLength: size };
      const b: View = { buffer, dtype, shape: [k, n], strides: [1, k], offset: 0 };
      const all = view(engine, "f32", [16, k], unit), rows = (m: number): View => ({ ...all, shape: [m, k] });
      const results = [1, 2, 3, 5, 8, 15, 16].map((m) => {
        const out = view(engine, "f32", [m, n], nothing);
        matmul(engine, rows(m), b, out);
        return read(engine, out);
      });
      const most = results.at(-1)!;
      for (const one of results) {
        assertEquals(one, most.subarray(0, one.length), `${dtype}, ${one.length / n} rows`);
      }
      // And any row of them alone.
      const last: View = { ...all, shape: [1, k], offset: all.offset + 15 * k },
        alone = view(engine, "f32", [1, n], nothing);
      matmul(engine, last, b, alone);
      assertEquals(read(engine, alone), most.subarray(n * 15), dtype);
    }
  });

  it("for a row in deterministic mode, beside any number of rows, however a weight lies", () => {
    const own = new Engine({ deterministic: true });
    for (const [k, n] of [[33, 3], [64, 40], [1565, 9]]) {
      for (const strides of [[1, k], [n, 1]]) {
        for (const dtype of ["f32", "bf16"] as const) {
          const size = byteSize(dtype, n * k), pointer = own.heap.allocate(size);
          const values = Float32Array.from({ length: n * k }, unit);
          convertBytes("f32", dtype, new Uint8Array(values.buffer), own.u8.subarray(pointer, pointer + size));
          const b: View = {
            buffer: { pointer, byteLength: size } as CpuBuffer,
            dtype,
            shape: [k, n],
            strides,
            offset: 0,
          };
          const all = view(own, "f32", [50, k], unit);
          const results = [1, 4, 5, 16, 17, 50].map((m) => {
            const out = view(own, "f32", [m, n], nothing);
            matmul(own, { ...all, shape: [m, k] }, b, out);
            return read(own, out);
          });
          const most = results.at(-1)!, what = `${dtype} ${k} × ${n}, ${strides}`;
          for (const one of results) {
            assertEquals(one, most.subarray(0, one.length), `${what}: ${one.length / n} rows`);
          }
        }
      }
    }
  });

  it("for a row, at every number of rows, and at lengths around vectors, chains and pieces of k", () => {
    for (
      const [k, n] of [[1, 6], [5, 7], [23, 9], [24, 8], [29, 17], [120, 5], [771, 11], [1565, 6], [100, 75]]
    ) {
      for (const dtype of ["f32", "bf16"] as const) {
        const size = byteSize(dtype, n * k), pointer = engine.heap.allocate(size);
        const values = Float32Array.from({ length: n * k }, unit);
        convertBytes(
          "f32",
          dtype,
          new Uint8Array(values.buffer),
          engine.u8.subarray(pointer, pointer + size),
        );
        const b: View = {
          buffer: { pointer, byteLength: size } as CpuBuffer,
          dtype,
          shape: [k, n],
          strides: [1, k],
          offset: 0,
        };
        const all = view(engine, "f32", [16, k], unit);
        const rows = (from: number, count: number): number[] => {
          const a: View = { ...all, shape: [count, k], offset: all.offset + from * k };
          const out = view(engine, "f32", [count, n], nothing);
          matmul(engine, a, b, out);
          return [...read(engine, out)];
        };
        const alone = Array.from({ length: 16 }, (_, row) => rows(row, 1));
        for (let count = 2; count <= 16; count++) {
          assertEquals(rows(0, count), alone.slice(0, count).flat(), `${dtype} ${count} × ${k} × ${n}`);
          assertEquals(rows(16 - count, count), alone.slice(16 - count).flat());
        }
      }
    }
  });

  it("gives temporary memory back, and compiles a kernel once", () => {
    digest(engine);
    const { temporaries, buffers, capacity } = engine.heap;
    digest(engine);
    assertEquals([engine.heap.temporaries, engine.heap.buffers, engine.heap.capacity], [
      temporaries,
      buffers,
      capacity,
    ]);
  });
});
