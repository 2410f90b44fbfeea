import { assert, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { ModuleBuilder } from "../src/backends/cpu/assembler/mod.ts";
import { Engine, type KernelContext } from "../src/backends/cpu/engine.ts";
import { emitErf } from "../src/backends/cpu/math/erf.ts";
import { emitExp, emitExpm1, emitTanh } from "../src/backends/cpu/math/exp.ts";
import { emitLog, emitLog1p } from "../src/backends/cpu/math/log.ts";
import { emitPow } from "../src/backends/cpu/math/pow.ts";
import { emitRemainder } from "../src/backends/cpu/math/remainder.ts";
import { emitCos, emitSin } from "../src/backends/cpu/math/trigonometric.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../src/backends/cpu/math/writer.ts";
import { Generator } from "../src/core/random.ts";
import { erf, pow } from "../src/expr/special.ts";

/** Bytes between the operands and the results in the test's memory. */
const room = 1 << 20;
const most = room / 4;

type Emit = (w: VectorWriter, x: Vectors, y: Vectors) => Vectors;

/** A function over arrays of floats, compiled with so many vectors side by side. */
function compile(
  emit: Emit,
  context: KernelContext,
  width: number,
): (x: Float32Array, y?: Float32Array) => Float32Array {
  const m = new ModuleBuilder();
  m.memory({ initial: 3 * room / 65536, export: "memory" });
  const f = m.function("run", { params: ["i32"] });
  const [end] = f.params, at = f.local("i32");
  const body = (w: VectorWriter): void => {
    const load = (from: number): Vectors =>
      w.each((i) => {
        w.f.get(at);
        w.f.load("v128.load", from + 16 * i);
      });
    emit(w, load(0), load(room)).forEach((result, i) => {
      w.f.get(at);
      w.f.get(result);
      w.f.store("v128.store", 2 * room + 16 * i);
    });
  };
  const w = hoistConstants(f, context, body).withWidth(width);
  f.forRange(at, 0, end, 16 * width, () => body(w));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(m.build()));
  const run = exports.run as (end: number) => void;
  const memory = (exports.memory as WebAssembly.Memory).buffer;
  const xs = new Float32Array(memory, 0, most), ys = new Float32Array(memory, room, most);
  const results = new Float32Array(memory, 2 * room, most);
  return (x, y) => {
    xs.set(x);
    if (y) ys.set(y);
    run(4 * x.length);
    return results.slice(0, x.length);
  };
}

/** The distance of neighbouring floats at x. */
function ulp(x: number): number {
  const size = Math.abs(x);
  if (size < 2 ** -126) return 2 ** -149;
  const exponent = Math.floor(Math.log2(size));
  return 2 ** ((size < 2 ** exponent ? exponent - 1 : exponent) - 23);
}

/** How far y is from the exact value, in units of the last place; infinite where one of them is special and they differ. */
function errorOf(y: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(y, rounded) && !Number.isFinite(rounded)) return 0;
  if (!Number.isFinite(rounded) || !Number.isFinite(y)) return Infinity;
  if (y === 0 && exact === 0) return Object.is(y, rounded) ? 0 : Infinity;
  return Math.abs(y - exact) / ulp(exact);
}

interface Case {
  readonly emit: Emit;
  readonly exact: (x: number) => number;
  /** Largest error, fused and unfused. */
  readonly errors: readonly [number, number];
  /** Operands and results to the bit. */
  readonly edges: readonly (readonly [number, number])[];
}

const cases: Readonly<Record<string, Case>> = {
  exp: {
    emit: (w, x) => emitExp(w, x),
    exact: Math.exp,
    errors: [1, 1.3],
    edges: [[0, 1], [-0, 1], [-Infinity, 0], [Infinity, Infinity], [-104, 0], [-103.5, 2 ** -149], [
      89,
      Infinity,
    ]],
  },
  expm1: {
    emit: (w, x) => emitExpm1(w, x),
    exact: Math.expm1,
    errors: [2, 2],
    edges: [[0, 0], [-0, -0], [-Infinity, -1], [Infinity, Infinity], [-40, -1], [2 ** -149, 2 ** -149], [
      -1e-40,
      -1e-40,
    ]],
  },
  tanh: {
    emit: (w, x) => emitTanh(w, x),
    exact: Math.tanh,
    errors: [2, 2],
    edges: [[0, 0], [-0, -0], [-Infinity, -1], [Infinity, 1], [9.1, 1], [2 ** -149, 2 ** -149], [-1e30, -1]],
  },
  log: {
    emit: (w, x) => emitLog(w, x),
    exact: Math.log,
    errors: [1.5, 1.5],
    edges: [[0, -Infinity], [-0, -Infinity], [1, 0], [-1, NaN], [-Infinity, NaN], [Infinity, Infinity]],
  },
  log1p: {
    emit: (w, x) => emitLog1p(w, x),
    exact: Math.log1p,
    errors: [2, 2],
    edges: [[0, 0], [-0, -0], [-1, -Infinity], [-1.5, NaN], [-Infinity, NaN], [Infinity, Infinity], [
      -1e-40,
      -1e-40,
    ]],
  },
  sin: {
    emit: (w, x) => emitSin(w, x),
    exact: Math.sin,
    errors: [2, 2],
    edges: [[0, 0], [-0, -0], [Infinity, NaN], [-Infinity, NaN], [1e-40, 1e-40]],
  },
  cos: {
    emit: (w, x) => emitCos(w, x),
    exact: Math.cos,
    errors: [2, 2],
    edges: [[0, 1], [-0, 1], [Infinity, NaN], [-Infinity, NaN], [1e-40, 1]],
  },
  erf: {
    emit: (w, x) => emitErf(w, x),
    exact: erf,
    errors: [2, 2],
    edges: [[0, 0], [-0, -0], [Infinity, 1], [-Infinity, -1], [4, 1], [-1e30, -1]],
  },
};

const fused = new Engine().context;
const plain: KernelContext = { ...fused, fma: false, relaxed: false };

/** Every `step`-th bit pattern, in pieces. */
function* sweep(step: number): IterableIterator<Float32Array> {
  const bits = new Int32Array(most), floats = new Float32Array(bits.buffer);
  for (let next = 0; next < 2 ** 32;) {
    let count = 0;
    for (; count < most && next < 2 ** 32; next += step) bits[count++] = next | 0;
    // Whole groups of vectors: the last ones are repeated.
    while (count % 16 !== 0) {
      bits[count] = bits[count - 1];
      count++;
    }
    yield floats.subarray(0, count);
  }
}

describe("cpu math", () => {
  for (const [name, { emit, exact, errors, edges }] of Object.entries(cases)) {
    it(`${name}: error and special values`, () => {
      for (const [variant, context] of [fused, plain].entries()) {
        const run = compile(emit, context, variant === 0 ? 4 : 1);
        let worst = 0, at = 0;
        for (const x of sweep(6007)) {
          const y = run(x);
          for (let i = 0; i < x.length; i++) {
            if (Number.isNaN(x[i])) {
              assert(Number.isNaN(y[i]), `${name}(${x[i]}) is ${y[i]}`);
              continue;
            }
            const error = errorOf(y[i], exact(x[i]));
            if (error > worst) {
              worst = error;
              at = x[i];
            }
          }
        }
        assert(
          worst <= errors[context.fma && context.fusedMadd ? 0 : 1],
          `${name}: ${worst} ulp at ${at}`,
        );
        for (const [x, expected] of [...edges, [NaN, NaN]] as const) {
          const [y] = run(new Float32Array(16).fill(x));
          assert(Object.is(y, Math.fround(expected)), `${name}(${x}) is ${y}, expected ${expected}`);
        }
      }
    });
  }

  const special = [
    0,
    -0,
    1,
    -1,
    0.5,
    -0.5,
    2,
    -2,
    3,
    -3,
    2.5,
    1e-40,
    16777216,
    16777217,
    1e38,
    Infinity,
    -Infinity,
    NaN,
  ];

  it("pow: error, and the special values of C99", () => {
    const random = new Generator(1);
    const count = 1 << 16, x = new Float32Array(count), y = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      x[i] = Math.exp(random.uniform() * 160 - 80);
      y[i] = i % 2 === 0 ? (random.uniform() - 0.5) * 16 : random.integer(-9, 10);
      if (i % 4 === 1) x[i] = -x[i];
      if (i % 8 === 0) x[i] = 1 + (random.uniform() - 0.5) * 1e-3;
      if (i % 8 === 0) y[i] *= 1e4;
    }
    for (const context of [fused, plain]) {
      const run = compile(emitPow, context, 2);
      const z = run(x, y);
      for (let i = 0; i < count; i++) {
        const error = errorOf(z[i], pow(x[i], y[i]));
        assert(error <= 0.6, `pow(${x[i]}, ${y[i]}) is ${z[i]}: ${error} ulp`);
      }
      for (const base of special) {
        const values = run(
          new Float32Array(32).fill(base),
          Float32Array.from([...special, ...new Array(14).fill(1)]),
        );
        special.forEach((exponent, i) => {
          const expected = Math.fround(pow(Math.fround(base), Math.fround(exponent)));
          assert(
            Object.is(values[i], expected),
            `pow(${base}, ${exponent}) is ${values[i]}, expected ${expected}`,
          );
        });
      }
    }
  });

  it("rem: exact for any two floats", () => {
    const random = new Generator(2);
    const count = 1 << 16, x = new Float32Array(count), y = new Float32Array(count);
    const bits = [x, y].map((values) => new Int32Array(values.buffer));
    for (let i = 0; i < count; i++) {
      for (const words of bits) words[i] = random.word();
      if (i % 2 === 0) y[i] = x[i] / (1 + random.uniform() * 1000);
    }
    special.forEach((base, k) => {
      const at = k * special.length;
      x.fill(base, at, at + special.length);
      y.set(special, at);
    });
    const z = compile(emitRemainder, plain, 2)(x, y);
    for (let i = 0; i < count; i++) {
      assert(
        Object.is(z[i], Math.fround(x[i] % y[i])),
        `${x[i]} % ${y[i]} is ${z[i]}, expected ${x[i] % y[i]}`,
      );
    }
  });

  it("gives the same bits on every runtime without fused instructions", () => {
    let sum = 0x811c9dc5;
    const add = (values: Float32Array): void => {
      const words = new Int32Array(values.buffer);
      for (let i = 0; i < words.length; i++) {
        // NaN may carry any sign and payload.
        sum = Math.imul(sum ^ (values[i] === values[i] ? words[i] : 1), 0x01000193);
      }
    };
    for (const { emit } of Object.values(cases)) {
      const run = compile(emit, plain, 2);
      for (const x of sweep(60013)) add(run(x));
    }
    for (const emit of [emitPow, emitRemainder]) {
      const run = compile(emit, plain, 1);
      for (const x of sweep(60013)) add(run(x, x.slice().reverse()));
    }
    // Recorded once; every runtime that runs this test must find it again.
    assertStrictEquals((sum >>> 0).toString(16), "3e39b5a6");
  });
});
