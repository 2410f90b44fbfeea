import { assert, assertEquals, assertMatch, assertStrictEquals, fail } from "@std/assert";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import type { Epilogue, View } from "../src/backends/contract.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { attention } from "../src/backends/cpu/kernels/attention.ts";
import { conv } from "../src/backends/cpu/kernels/conv.ts";
import { matmul } from "../src/backends/cpu/kernels/matmul.ts";
import type { NativeBlas } from "../src/backends/cpu/platform.ts";
import { blockValues, byteSize } from "../src/core/dtype.ts";
import { fromBf16, toBf16, toF16 } from "../src/core/half.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { blockBytes } from "../src/backends/cpu/kernels/quantized/format.ts";
import { Generator } from "../src/core/random.ts";
import { add, max, mul, tanh } from "../src/expr/build.ts";
import { input, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { runtimeName } from "../src/platform/platform.ts";
import "../src/backends/kernels/quantized.ts";
import { findBlas, openLibraries } from "../src/runtime/blas.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { repository } from "./_data.ts";
import { bytesOf, expected, type Layout, read, release, view } from "./_matmul.ts";
import { describe, it } from "./_suite.ts";
import { width } from "./_width.ts";

// Every library that is there, and the one that is used where nothing is measured.
const libraries = openLibraries(), usual = findBlas(false);
const found = typeof usual === "string" ? null : usual as NativeBlas;
const skip = found ? false : `there is no BLAS: ${usual}`;
let calls = 0; // of this thread

/** An engine whose BLAS is counted in `calls`. */
function engineWith(threads: number, native: NativeBlas | string = found!, shared: boolean = true): Engine {
  const openBlas = (): NativeBlas | string => {
    if (typeof native === "string") return native;
    return {
      ...native,
      sgemm: (...values) => (calls++, native.sgemm(...values)),
      bgemm: native.bgemm && ((...values) => (calls++, native.bgemm!(...values))),
    };
  };
  return new Engine({ platform: { ...testPlatform(), openBlas }, threads, shared });
}

const generator = new Generator(11);
const unit = (): number => 2 * generator.uniform() - 1;
const nothing = (): number => NaN;
const swapped: Layout = { order: [1, 0] };

/** Multiplies, compares with the naive product, and gives the number of calls. */
function check(on: Engine, a: View, b: View, out: View, what: string, epilogue?: Epilogue): number {
  const { values, scale } = expected(on, a, b, epilogue);
  calls = 0;
  matmul(on, a, b, out, epilogue);
  const result = read(on, out);
  for (let i = 0; i < values.length; i++) {
    if (!(Math.abs(result[i] - values[i]) <= 2e-6 * (scale + 1))) {
      fail(`${what}: element ${i} is ${result[i]}, expected ${values[i]}`);
    }
  }
  return calls;
}

describe("cpu matmul by a BLAS", { skip }, () => {
  // Made on first use, so that nothing is opened where everything is skipped. With one thread all calls are counted.
  let single: Engine | undefined;
  const engine = (): Engine => single ??= engineWith(1);

  it("says what it is", () => {
    assertMatch(found!.name, /\S+ .*\(.+\)$/);
    assertStrictEquals(engine().blas.name, found!.name);
    assertStrictEquals(engine().blas.problem, null);
  });

  it("takes row-major and transposed operands, padded rows, and columns-first outputs", () => {
    const on = engine();
    for (const [m, n, k] of [[70, 600, 65], [530, 70, 64], [64, 64, 300]]) {
      for (let turn = 0; turn < 16; turn++) {
        const of = (bit: number, more: Layout = {}): Layout => ({ ...(turn & bit ? swapped : {}), ...more });
        const gap = turn & 8 ? 3 : 0;
        const a = view(on, "f32", [m, k], unit, of(1, { gap })),
          b = view(on, "f32", [k, n], unit, of(2, { gap }));
        const out = view(on, "f32", [m, n], nothing, of(4, { gap }));
        const used = check(on, a, b, out, `turn ${turn}: [${m},${k}] × [${k},${n}]`);
        assert(used > 0, `turn ${turn}: the library was not called`);
        release(on, a, b, out);
      }
    }
  });

  it("takes leading axes, repeated ones too", () => {
    const on = engine();
    const [m, n, k] = [100, 120, 100];
    for (const repeat of [[], [0], [1], [0, 1]]) {
      for (const order of [[0, 1, 2, 3], [1, 0, 2, 3], [0, 2, 1, 3]]) {
        const a = view(on, "f32", [2, 3, m, k], unit, { order }),
          b = view(on, "f32", [2, 3, k, n], unit, { repeat });
        const out = view(on, "f32", [2, 3, m, n], nothing, { order });
        assert(check(on, a, b, out, `repeat ${repeat}, order ${order}`) > 0);
        release(on, a, b, out);
      }
    }
  });

  it("takes matrices in half precision, converted where there are rows and columns enough", () => {
    const on = engineWith(1), dtypes = ["f32", "bf16", "f16"] as const, half = mul(input(0), input(1));
    blasTakesAll(on);
    const layouts: Layout[] = [{}, swapped, { gap: 2 }],
      pick = <T>(list: readonly T[]): T => list[Math.floor(list.length * generator.uniform())];
    for (const aType of dtypes) {
      for (const bType of dtypes) {
        for (const outType of dtypes) {
          for (const matrices of [1, 2]) {
            if (generator.uniform() >= width(1, 0.15)) continue;
            // More than a thread's own memory holds, sometimes.
            const wide = generator.uniform() < width(0.2, 0.04);
            const m = wide ? 720 : pick([24, 64]), n = wide ? 730 : pick([24, 160]), k = wide ? 20 : 64;
            const shape = (...sizes: number[]): number[] => matrices === 1 ? sizes : [matrices, ...sizes];
            const order = (layout: Layout): Layout =>
              matrices === 1 ? layout : layout === swapped ? { order: [0, 2, 1] } : layout;
            const a = view(on, aType, shape(m, k), unit, order(pick(layouts)));
            const b = view(on, bType, shape(k, n), unit, order(pick(layouts)));
            const out = view(on, outType, shape(m, n), nothing), { temporaries } = on.heap;
            const factor = view(on, outType, shape(m, n), unit);
            const epilogue = generator.uniform() < 0.5
              ? { program: program("f32", [half]), inputs: [factor], scalars: [] }
              : undefined;
            const what = `${matrices} × ${m} × ${k} (${aType}) × ${n} (${bType}) to ${outType}${
              epilogue ? ", with an epilogue" : ""
            }`;
            const { values, scale } = expected(on, a, b, epilogue);
            calls = 0;
            matmul(on, a, b, out, epilogue);
            const rounding = outType === "f32" ? 0 : outType === "bf16" ? 2 ** -8 : 2 ** -10;
            const far = read(on, out).findIndex((x, i) =>
              !(Math.abs(x - values[i]) <= 2e-6 * (scale + 1) + rounding * Math.abs(values[i]))
            );
            assertStrictEquals(far, -1, what);
            const asTheyAre = (aType === "f32" && bType === "f32") ||
              (aType === "bf16" && bType === "bf16" && on.blas.hasBgemm);
            const isConverted = matrices === 1 && m >= 48 && (aType === "f32" || n >= 48);
            const isLarge = m * n * k >= 2 ** 17;
            assertStrictEquals(calls > 0, isLarge && (asTheyAre || isConverted), what);
            assertStrictEquals(on.heap.temporaries, temporaries, what);
            release(on, a, b, out, factor);
          }
        }
      }
    }
    on.dispose();
  });

  it("applies epilogues", () => {
    const on = engine();
    const gelu = mul(mul(input(0), 0.5), add(tanh(mul(input(0), 0.79)), 1));
    const [m, n, k] = [150, 530, 40];
    const a = view(on, "f32", [m, k], unit), b = view(on, "f32", [k, n], unit, swapped);
    const bias = view(on, "f32", [m, n], unit, { repeat: [0] }),
      column = view(on, "f32", [m, n], unit, { repeat: [1] });
    const residual = view(on, "f32", [m, n], unit), half = view(on, "bf16", [m, n], unit);
    const cases: [string, Epilogue][] = [
      ["bias", { program: program("f32", [add(input(0), input(1))]), inputs: [bias], scalars: [] }],
      ["gelu", { program: program("f32", [add(gelu, input(1))]), inputs: [bias], scalars: [] }],
      ["residual", {
        program: program("f32", [add(mul(add(input(0), input(1)), input(2)), input(3))]),
        inputs: [bias, column, residual],
        scalars: [],
      }],
      ["half", { program: program("f32", [mul(input(0), input(1))]), inputs: [half], scalars: [] }],
      ["scale", { program: program("f32", [max(mul(input(0), scalar(0)), -1)]), inputs: [], scalars: [0.3] }],
    ];
    for (const [what, epilogue] of cases) {
      const out = view(on, "f32", [m, n], nothing, { gap: 2 });
      assert(check(on, a, b, out, what, epilogue) > 0, `${what}: the library was not called`);
      release(on, out);
    }
    release(on, a, b, bias, column, residual, half);
  });

  it("adds to its own output where the epilogue says so", () => {
    const on = engine();
    const a = view(on, "f32", [64, 64], unit),
      b = view(on, "f32", [64, 512], unit),
      out = view(on, "f32", [64, 512], unit);
    const plus = { program: program("f32", [add(input(0), input(1))]), inputs: [out], scalars: [] };
    check(on, a, b, out, "in place", plus);
    release(on, a, b, out);
  });

  it("writes nothing around the output", () => {
    const on = engine();
    const a = view(on, "f32", [70, 70], unit), b = view(on, "f32", [70, 530], unit);
    const out = view(on, "f32", [70, 530], nothing, { gap: 7 });
    const before = bytesOf(on, out);
    matmul(on, a, b, out);
    const after = bytesOf(on, out), rest = Float32Array.from(new Float32Array(after.buffer));
    for (let row = 0; row < 70; row++) rest.fill(NaN, 5 + row * 537, 5 + row * 537 + 530);
    assertEquals(rest, new Float32Array(before.buffer));
    release(on, a, b, out);
  });

  it("gives the same bits on any number of threads, and works in memory of one thread", async () => {
    const results: Uint8Array[] = [];
    for (const [threads, shared] of [[1, true], [2, true], [3, true], [1, false]] as const) {
      const on = engineWith(threads, found!, shared);
      await on.ready();
      const again = new Generator(3), value = (): number => again.uniform() - 0.5;
      const a = view(on, "f32", [700, 96], value), b = view(on, "f32", [96, 700], value);
      // Memory that is not shared has moved when it is used for the second time.
      for (let round = 0; round < 2; round++) {
        const out = view(on, "f32", [700, 700], nothing);
        matmul(on, a, b, out);
        assertStrictEquals(on.blas.problem, null);
        results.push(bytesOf(on, out));
        on.heap.allocate(20 << 20);
      }
      on.dispose();
    }
    for (const result of results) assertEquals(result, results[0]);
  });

  it("attends as our own kernels do", () => {
    const on = engine(), own = engineWith(1, "none");
    // [batch, heads, groups, queries, keys, width], causal
    const cases: [number[], boolean][] = [
      [[1, 2, 2, 64, 64, 64], true],
      [[2, 4, 2, 100, 700, 64], true],
      [[1, 2, 1, 131, 131, 32], false],
      [[1, 1, 1, 50, 1100, 40], true],
      [[1, 1, 1, 90, 60, 32], true],
    ];
    for (const [[batch, heads, groups, queries, keys, width], causal] of cases) {
      const results = [on, own].map((engine) => {
        const numbers = new Generator(5), draw = (): number => 2 * numbers.uniform() - 1;
        // Heads lie side by side in a row, as a model has them.
        const rows = (n: number, count: number): View =>
          view(engine, "f32", [batch, count, n, width], draw, { order: [0, 2, 1, 3] });
        const q = rows(queries, heads), k = rows(keys, groups), v = rows(keys, groups);
        const out = view(engine, "f32", [batch, heads, queries, width], nothing);
        const lse = view(engine, "f32", [batch, heads, queries], nothing);
        calls = 0;
        attention(engine, q, k, v, out, lse, 0.3, causal);
        const made = calls, numbersOf = [...read(engine, out), ...read(engine, lse)];
        release(engine, q, k, v, out, lse);
        return { made, numbersOf };
      });
      const what = `${queries} queries, ${keys} keys`;
      assert(results[0].made > 0 && results[1].made === 0, what);
      results[0].numbersOf.forEach((x, i) => {
        const y = results[1].numbersOf[i];
        assert(
          Object.is(x, y) || Math.abs(x - y) <= 2e-6 * (1 + Math.abs(y)),
          `${what}: ${i}: ${x}, ${y}`,
        );
      });
    }
    own.dispose();
  });

  it("is left out where it should not be used", () => {
    const on = engineWith(1);
    const used = (a: View, b: View, out: View): number => {
      calls = 0;
      matmul(on, a, b, out);
      release(on, a, b, out);
      return calls;
    };
    const square = (dtype: "f32" | "i32", side = 128): View => view(on, dtype, [side, side], unit);
    assertStrictEquals(used(square("i32"), square("i32"), square("i32")), 0, "i32");
    assertStrictEquals(used(square("f32", 32), square("f32", 32), square("f32", 32)), 0, "small");
    const row = (n: number): View => view(on, "f32", [1, n], unit);
    assertStrictEquals(used(row(1024), view(on, "f32", [1024, 1024], unit), row(1024)), 0, "one row");
    const reversed = view(on, "f32", [128, 128], unit, { reverse: [0] });
    assertStrictEquals(used(reversed, square("f32"), square("f32")), 0, "reversed rows");
    assert(used(square("f32"), square("f32"), square("f32")) > 0, "f32");
    on.deterministic = true;
    assertStrictEquals(used(square("f32"), square("f32"), square("f32")), 0, "deterministic");
    on.deterministic = false;
    assert(used(square("f32"), square("f32"), square("f32")) > 0, "not deterministic any more");
  });

  it("multiplies a few rows where the matrix is large, however it lies", () => {
    const on = engineWith(1),
      size = (most: number): number => 16 * (8 + Math.floor(most / 16 * generator.uniform()));
    blasTakesAll(on);
    for (let turn = 0; turn < width(24, 8); turn++) {
      const m = 2 + turn % 15, k = size(700), n = size(1100) + turn % 3, layout = turn % 2 ? swapped : {};
      const a = view(on, "f32", [m, k], unit), b = view(on, "f32", [k, n], unit, layout);
      const out = view(on, "f32", [m, n], nothing), what = `${m} × ${k} × ${n}${turn % 2 ? " ᵀ" : ""}`;
      const few = m < 8 || (turn % 2 === 1 && m <= 16), isLarge = m * k * n >= (few ? 2 ** 20 : 2 ** 17);
      assertStrictEquals(check(on, a, b, out, what) > 0, isLarge, what);
      release(on, a, b, out);
    }
    on.dispose();
  });

  it("is part of what is captured, and what was captured is right without it", () => {
    const on = engineWith(1);
    blasTakesAll(on);
    const random = (shape: number[], layout?: Layout): View => view(on, "f32", shape, unit, layout);
    const q = random([1, 2, 64, 64]), k = random([1, 2, 64, 64]), v = random([1, 2, 64, 64]);
    const a = random([64, 128]), b = random([128, 96], swapped), stored = on.heap.allocate(96 * 4 * 34);
    const bytes = Uint8Array.from({ length: 34 }, () => 100 * generator.uniform());
    for (let block = 0; block < 96 * 4; block++) {
      on.u8.set(bytes.map((x) => x ^ block & 63), stored + 34 * block);
      on.u16[(stored + 34 * block) >>> 1] = 0x2000;
    }
    const weights: View = {
      buffer: { pointer: stored, byteLength: 96 * 4 * 34 } as CpuBuffer,
      dtype: "q8",
      shape: [128, 96],
      strides: [1, 128],
      offset: 0,
    };
    const outs = [view(on, "f32", [64, 96], nothing), view(on, "f32", [64, 96], nothing)];
    const attended = view(on, "f32", [1, 2, 64, 64], nothing);
    const all = (): void => {
      matmul(on, a, b, outs[0]);
      matmul(on, a, weights, outs[1]);
      attention(on, q, k, v, attended, null, 0.1, true);
    };
    all(); // weights are brought in order
    const captured = on.capture(all), views = [...outs, attended], first = views.map((out) => read(on, out));
    assert(captured, "nothing was captured");
    for (const disabled of [false, true]) {
      if (disabled) on.blas.disable("gone");
      for (const { buffer } of views) {
        const { pointer, byteLength } = buffer as CpuBuffer;
        on.f32.fill(NaN, pointer >>> 2, (pointer + byteLength) >>> 2);
      }
      calls = 0;
      assert(captured.replay());
      assertStrictEquals(calls > 0, !disabled);
      views.forEach((out, i) => {
        const far = read(on, out).findIndex((x, at) => !(Math.abs(x - first[i][at]) <= 1e-4));
        assertStrictEquals(far, -1, `output ${i}${disabled ? " without the library" : ""}`);
      });
    }
    on.dispose();
  });

  it("goes on without it when a worker cannot open it", async () => {
    const on = engineWith(2, { ...found!, threadSource: "() => { throw new Error('not here'); }" });
    await on.ready();
    assertStrictEquals(await on.ready(), 2);
    const a = view(on, "f32", [512, 64], unit), b = view(on, "f32", [64, 1024], unit);
    const { values, scale } = expected(on, a, b);
    for (let round = 0; on.blas.problem === null; round++) {
      assert(round < 1000, "the worker took no part");
      const out = view(on, "f32", [512, 1024], nothing);
      matmul(on, a, b, out);
      const far = read(on, out).findIndex((x, i) => !(Math.abs(x - values[i]) <= 2e-6 * (scale + 1)));
      assertStrictEquals(far, -1, `round ${round}, the worker's blocks among them`);
      release(on, out);
    }
    assertMatch(on.blas.problem, /worker/);
    const out = view(on, "f32", [512, 1024], nothing);
    assertStrictEquals(check(on, a, b, out, "afterwards"), 0);
    on.dispose();
  });
});

describe("every library that is there", { skip }, () => {
  const sizes = [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 70];
  const pick = (): number => sizes[Math.floor(generator.uniform() * sizes.length)];

  for (const library of width(libraries, libraries.slice(0, 1))) {
    const routines = ["sgemm", ...(library.bgemm ? ["bgemm"] as const : [])] as const;
    for (const routine of routines) {
      it(`agrees with the naive product: ${library.title}, ${routine}`, () => {
        const on = engineWith(1, library), { blas, heap } = on, half = routine === "bgemm";
        assert(blas.available);
        const room = 4 * 110 * 110,
          [a, b, c] = [heap.allocate(room), heap.allocate(room), heap.allocate(room)];
        for (let turn = 0; turn < width(64, 32); turn++) {
          // Sums of bf16 are over whole blocks.
          const [m, n, k] = [pick(), pick(), half ? 32 * (1 + turn % 3) : pick()],
            [ta, tb] = [turn & 1, turn >> 1 & 1];
          const gap = (): number => Math.floor(generator.uniform() * 9);
          const lda = (ta ? m : k) + gap(), ldb = (tb ? k : n) + gap(), ldc = n + gap();
          // One of eight has a NaN, an infinity or zeros somewhere.
          const strange = turn % 8 === 7 ? [NaN, Infinity, -Infinity, 0][Math.floor(turn / 8) % 4] : null;
          const fill = (at: number): void => {
            for (let i = 0; i < room / 4; i++) {
              const x = strange !== null && generator.uniform() < 0.02 ? strange : unit();
              if (half) on.u16[at / 2 + i] = toBf16(x);
              else on.f32[at / 4 + i] = x;
            }
          };
          const get = (at: number, i: number): number =>
            half ? fromBf16(on.u16[at / 2 + i]) : on.f32[at / 4 + i];
          fill(a);
          fill(b);
          on.f32.fill(NaN, c / 4, (c + room) / 4);
          assertStrictEquals(blas[routine](ta, tb, m, n, k, a, lda, b, ldb, c, ldc), 1);
          for (let i = 0; i < m; i++) {
            for (let j = 0; j < ldc; j++) {
              const found = on.f32[c / 4 + i * ldc + j];
              let sum = 0, scale = 0;
              for (let l = 0; l < k && j < n; l++) {
                const term = get(a, ta ? l * lda + i : i * lda + l) * get(b, tb ? j * ldb + l : l * ldb + j);
                sum += term;
                scale += Math.abs(term);
              }
              const right = j >= n
                ? Number.isNaN(found) // between the rows nothing is written
                : Number.isFinite(sum)
                ? Math.abs(found - sum) <= 2e-6 * scale
                : Object.is(found, sum);
              if (!right) fail(`${m} × ${n} × ${k}, turn ${turn}: [${i},${j}] is ${found}, expected ${sum}`);
            }
          }
        }
        heap.release(a);
        heap.release(b);
        heap.release(c);
      });
    }

    it(`multiplies any shape as our kernels do: ${library.title}`, () => {
      const on = engineWith(1, library);
      blasTakesAll(on);
      for (let turn = 0; turn < width(20, 10); turn++) {
        const some = (): number => turn % 5 === 0 ? Math.floor(3 * generator.uniform()) : 16 + 4 * pick();
        const [m, n, k] = [some(), some(), some()];
        const layout = (): Layout => ({
          ...(generator.uniform() < 0.5 ? swapped : {}),
          gap: Math.floor(3 * generator.uniform()),
        });
        const a = view(on, "f32", [m, k], unit, layout()), b = view(on, "f32", [k, n], unit, layout());
        const out = view(on, "f32", [m, n], nothing, layout());
        check(on, a, b, out, `${library.title}, turn ${turn}: [${m},${k}] × [${k},${n}]`);
        release(on, a, b, out);
      }
    });

    it(`multiplies quantised weights: ${library.title}`, () => {
      const on = engineWith(1, library), own = engineWith(1, "none");
      blasTakesAll(on);
      for (const dtype of ["q8", "q4"] as const) {
        for (
          const [m, n, k] of [[40, 203, 96], [17, 523, 4096], [17, 64, 64], [64, 72, 320]].slice(
            0,
            width(4, 2),
          )
        ) {
          const what = `${library.title}, ${dtype}, [${m},${k}] × [${k},${n}]`, again = new Generator(m);
          const draw = (): number => 2 * again.uniform() - 1, bytes = blockBytes[dtype];
          const stored = Uint8Array.from({ length: n * k / 32 * bytes }, () => 256 * again.uniform());
          const words = new Uint16Array(stored.buffer);
          for (let at = 0; at < words.length; at += bytes / 2) {
            words[at] = toF16(0.01 * (1 + again.uniform()));
          }
          const [x, added] = [m * k, m * n].map((size) => Array.from({ length: size }, draw));
          const results = [on, own, on].map((engine, i) => {
            let at = 0;
            const from = (numbers: number[]) => (): number => numbers[at++ % numbers.length];
            // Activations in half precision and with a step between them are made plain before.
            const a = view(engine, i === 2 ? "f16" : "f32", [m, k], from(x), i === 2 ? { gap: 3 } : {});
            at = 0;
            const bias = view(engine, "f32", [m, n], from(added), { gap: 2 });
            const pointer = engine.heap.allocate(stored.length);
            engine.u8.set(stored, pointer);
            const buffer: CpuBuffer = { pointer, byteLength: stored.length };
            const b: View = { buffer, dtype, shape: [k, n], strides: [1, k], offset: 0 };
            const out = view(engine, "f32", [m, n], nothing, { gap: 1 });
            const sum = { program: program("f32", [add(input(0), input(1))]), inputs: [bias], scalars: [] };
            calls = 0;
            const { temporaries } = engine.heap;
            matmul(engine, a, b, out, sum);
            assertStrictEquals(calls > 0, engine === on, what);
            assertStrictEquals(engine.heap.temporaries, temporaries);
            const result = read(engine, out);
            // Few rows go the other way, with the same weights.
            const row = view(engine, "f32", [1, k], () => 1), few = view(engine, "f32", [1, n], nothing);
            matmul(engine, row, b, few);
            return { result, few: read(engine, few) };
          });
          assertEquals(results[0].few, results[1].few, what);
          const norm = (of: (i: number) => number): number => {
            let sum = 0;
            for (let i = 0; i < m * n; i++) sum += of(i) ** 2;
            return Math.sqrt(sum);
          };
          const size = norm((i) => results[1].result[i]);
          for (const { result } of [results[0], results[2]]) {
            const away = norm((i) => result[i] - results[1].result[i]) / size;
            if (!(away < 0.02)) fail(`${what}: ${away} of it`);
          }
        }
      }
    });
  }
});

describe("blocks of a GGUF by a library", { skip }, () => {
  it("are the same numbers, and meet the same activations", () => {
    const on = engineWith(1), own = engineWith(1, "none");
    blasTakesAll(on);
    const factors = {
      q6k: [208],
      q5k: [0, 2],
      q4k: [0, 2],
      q3k: [108],
      q2k: [80, 82],
      q51: [0, 2],
      q50: [0],
    };
    for (const [dtype, places] of Object.entries(factors) as [keyof typeof factors, number[]][]) {
      for (const [m, n, k] of [[48, 64, 256], [50, 523, 4096]]) {
        const what = `${dtype}, [${m},${k}] × [${k},${n}]`, size = byteSize(dtype, blockValues(dtype));
        const stored = new Uint8Array(byteSize(dtype, n * k));
        const pattern = Uint8Array.from({ length: 4093 }, () => 256 * generator.uniform());
        for (let at = 0; at < stored.length; at++) stored[at] = pattern[at % 4093];
        for (let block = 0; block < stored.length; block += size) {
          for (const at of places) {
            new DataView(stored.buffer).setUint16(block + at, toF16(unit() / 64), true);
          }
        }
        const x = Array.from({ length: 4099 }, unit);
        const results = [on, own].map((engine) => {
          let at = 0;
          const a = view(engine, "f32", [m, k], () => x[at++ % x.length], swapped);
          const pointer = engine.heap.allocate(stored.length);
          engine.u8.set(stored, pointer);
          const buffer: CpuBuffer = { pointer, byteLength: stored.length };
          const b: View = { buffer, dtype, shape: [k, n], strides: [1, k], offset: 0 };
          const out = view(engine, "f32", [m, n], nothing, { gap: 1 }), { temporaries } = engine.heap;
          calls = 0;
          matmul(engine, a, b, out);
          assertStrictEquals(calls > 0, engine === on, what);
          assertStrictEquals(engine.heap.temporaries, temporaries);
          return read(engine, out);
        });
        const most = results[1].reduce((most, y) => Math.max(most, Math.abs(y)), 0);
        // Our own kernels have activations as bytes where weights lie in panels as q8 does.
        const least = dtype === "q50" ? 2e-2 : 1e-5;
        results[0].forEach((y, i) => {
          if (!(Math.abs(y - results[1][i]) <= least * most)) fail(`${what}: ${i}: ${y}, ${results[1][i]}`);
        });
      }
    }
  });
});

/** Has the library take every product that it can, whatever was measured. */
function blasTakesAll({ blas }: Engine): void {
  assert(blas.available);
  blas.reach = { leastRows: 1, leastRowsTransposed: 1, leastWork: 0, leastQuantizedRows: 1 };
}

describe("the search for a BLAS", () => {
  it("is off when nothing gives one, with the reason", () => {
    const on = engineWith(1, "no library today");
    const a = view(on, "f32", [128, 128], unit), b = view(on, "f32", [128, 128], unit);
    check(on, a, b, view(on, "f32", [128, 128], nothing), "without");
    assertStrictEquals(on.blas.name, null);
    assertStrictEquals(on.blas.problem, "no library today");
  });

  /** What `ferrotype doctor` says of the BLAS with these variables. */
  function doctor(
    environment: Record<string, string>,
    permissions = ["-A"],
  ): { available: boolean; detail: string } {
    const run = runtimeName() === "deno" ? ["run", "--no-check", ...permissions] : [];
    const { stdout, stderr } = spawnSync(process.execPath, [...run, "cli/main.ts", "doctor", "--json"], {
      cwd: repository,
      env: { ...process.env, ...environment },
      encoding: "utf8",
    });
    assert(stdout, stderr);
    return JSON.parse(stdout).blas;
  }

  it("obeys FERROTYPE_BLAS, and says so", () => {
    assertEquals(doctor({ FERROTYPE_BLAS: "off" }), {
      available: false,
      detail: "FERROTYPE_BLAS=off in the environment",
    });
    const missing = doctor({ FERROTYPE_BLAS: join("no", "such", "library.so") });
    assertStrictEquals(missing.available, false);
    assertMatch(missing.detail, /library\.so|node:ffi/);
  });

  it(
    "names the variable that pins its kernels",
    { skip: libraries.some(({ title }) => title === "OpenBLAS") ? false : "there is no OpenBLAS" },
    () => {
      const { detail } = doctor({ FERROTYPE_BLAS: "openblas", OPENBLAS_CORETYPE: "Haswell" });
      assertMatch(detail, /Haswell kernels; OPENBLAS_CORETYPE=Haswell in the environment pins its kernels/);
    },
  );

  it(
    "asks for no permission",
    { skip: runtimeName() === "deno" ? false : "only Deno has permissions" },
    () => {
      assertEquals(doctor({ FERROTYPE_BLAS: "" }, ["--allow-read", "--allow-env"]), {
        available: false,
        detail: "Deno was not given --allow-ffi",
      });
    },
  );
});

describe("cpu convolution by a BLAS", { skip }, () => {
  it("gives what our own kernels give, on any number of threads", async () => {
    const own = engineWith(1, "none here"), engines = [engineWith(1), engineWith(2)];
    await engines[1].ready();
    engines.forEach(blasTakesAll);
    const g = new Generator(31), pick = (from: number, to: number): number => g.integer(from, to + 1);
    for (let i = 0; i < width(25, 6); i++) {
      const groups = pick(1, 2), filters = pick(12, 30), channels = pick(6, 20), kernel = [pick(1, 3), 3];
      const depth = channels * kernel[0] * kernel[1];
      if (depth < 48) continue;
      const stride = [pick(1, 2), pick(1, 3)],
        dilation = [pick(1, 2), pick(1, 2)],
        before = [pick(0, 2), pick(0, 2)];
      const out = [pick(2, 12), pick(24, i % 5 === 0 ? 400 : 40)], batch = pick(1, 2);
      const size = out.map((n, axis) =>
        Math.max(1, (n - 1) * stride[axis] + kernel[axis] * dilation[axis] - before[axis])
      );
      const seed = generator.uniform(), shape = [batch, groups * filters, ...out];
      const results = [own, ...engines].map((on) => {
        const random = new Generator(Math.floor(seed * 1e6)), number = (): number => 2 * random.uniform() - 1;
        const x = view(on, "f32", [batch, groups * channels, ...size], number);
        const w = view(on, "f32", [groups * filters, channels, ...kernel], number);
        const more = view(on, "f32", shape, number), y = view(on, "f32", shape, nothing);
        const doubled = program("f32", [add(mul(input(0), 2), input(1))], { inputs: 2, scalars: 0 });
        calls = 0;
        conv(on, x, w, stride, dilation, before, groups, y, {
          program: doubled,
          inputs: [more],
          scalars: [],
        });
        if (on === engines[0]) assert(calls > 0, `case ${i}: the library was not called`);
        const values = read(on, y);
        release(on, x, w, more, y);
        return values;
      });
      results[0].forEach((v, k) => {
        if (!(Math.abs(results[1][k] - v) <= 2e-6 * depth)) {
          fail(`case ${i}: element ${k} is ${results[1][k]}, not ${v}`);
        }
      });
      assertEquals(results[2], results[1], `case ${i}: two threads give other bits`);
    }
    engines.forEach((on) => on.dispose());
  });
});
