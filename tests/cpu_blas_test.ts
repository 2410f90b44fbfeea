import { assert, assertEquals, assertMatch, assertStrictEquals, fail } from "@std/assert";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import type { Epilogue, View } from "../src/backends/contract.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { attention } from "../src/backends/cpu/kernels/attention.ts";
import { matmul } from "../src/backends/cpu/kernels/matmul.ts";
import type { NativeBlas } from "../src/backends/cpu/platform.ts";
import { Generator } from "../src/core/random.ts";
import { add, max, mul, tanh } from "../src/expr/build.ts";
import { input, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { findBlas } from "../src/runtime/blas.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { repository } from "./_data.ts";
import { bytesOf, expected, type Layout, read, release, view } from "./_matmul.ts";
import { describe, it } from "./_suite.ts";

const { found, reason } = findBlas();
const skip = found ? false : `there is no BLAS: ${reason}`;
let calls = 0; // of this thread

/** An engine whose BLAS is counted in `calls`. */
function engineWith(threads: number, native: NativeBlas | string = found!, shared: boolean = true): Engine {
  const openBlas = (): NativeBlas | string => {
    if (typeof native === "string") return native;
    return { ...native, sgemm: (...values) => (calls++, native.sgemm(...values)) };
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

  it("takes weights in half precision where there are rows enough", () => {
    const on = engine();
    for (const dtype of ["f16", "bf16"] as const) {
      for (const layout of [{}, swapped, { gap: 2 }]) {
        for (const [m, expected] of [[64, 1], [16, 0]]) {
          const a = view(on, "f32", [m, 96], unit), b = view(on, dtype, [96, 200], unit, layout);
          const out = view(on, "f32", [m, 200], nothing), { temporaries } = on.heap;
          assertStrictEquals(Math.min(1, check(on, a, b, out, `${dtype}, ${m} rows`)), expected);
          assertStrictEquals(on.heap.temporaries, temporaries);
          release(on, a, b, out);
        }
      }
    }
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
    const square = (dtype: "f32" | "i32" | "f16", side = 128): View => view(on, dtype, [side, side], unit);
    assertStrictEquals(used(square("i32"), square("i32"), square("i32")), 0, "i32");
    assertStrictEquals(used(square("f16"), square("f32"), square("f32")), 0, "f16");
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

  it("goes on without it when a worker cannot open it", async () => {
    const on = engineWith(2, { ...found!, threadSource: "() => { throw new Error('not here'); }" });
    await on.ready();
    assertStrictEquals(await on.ready(), 2);
    const a = view(on, "f32", [512, 64], unit), b = view(on, "f32", [64, 1024], unit);
    for (let round = 0; on.blas.problem === null; round++) {
      assert(round < 1000, "the worker took no part");
      const out = view(on, "f32", [512, 1024], nothing);
      if (round === 0) check(on, a, b, out, "round 0");
      else matmul(on, a, b, out);
      release(on, out);
    }
    assertMatch(on.blas.problem, /worker/);
    const out = view(on, "f32", [512, 1024], nothing);
    assertStrictEquals(check(on, a, b, out, "afterwards"), 0);
    on.dispose();
  });
});

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
    { skip: skip || (!found!.name.startsWith("OpenBLAS") && "the BLAS that was found is no OpenBLAS") },
    () => {
      const { detail } = doctor({ OPENBLAS_CORETYPE: "Haswell" });
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
