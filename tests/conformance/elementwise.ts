/** Elementwise programs: every row, every layout, every conversion, and the values at the edges. */
import { assertEquals } from "@std/assert";
import { it } from "node:test";
import type { View } from "../../src/backends/contract.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import type { DType } from "../../src/core/dtype.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { add, mul, sub } from "../../src/expr/build.ts";
import { binary, compare, constant, type Expr, input, scalar, select, unary } from "../../src/expr/nodes.ts";
import { program } from "../../src/expr/program.ts";
import { type Row, table } from "../../src/expr/table.ts";
import { assertClose, rounded } from "../_compare.ts";
import { parameters, positiveOnly, truth } from "../_truth.ts";
import { Together } from "../_together.ts";
import { inputLayouts, outputLayouts, Workbench } from "../_views.ts";
import { computeType, floatsOf, integersOf, type Part, shapes } from "./suite.ts";

/** Rows whose f32 result is the correctly rounded one on every device; of {@link quotients}, where a device rounds so. */
const exact: ReadonlySet<string> = new Set(
  ("add sub mul div neg abs sign square reciprocal floor ceil round trunc maximum minimum clamp clampMin clampMax " +
    "where sqrt relu relu6 hardtanh threshold leakyRelu fmod").split(" "),
);

/** Rows whose last bit WGSL leaves to the GPU: it asks for 2.5 ulps of a quotient, and for a root by way of one. */
const quotients = new Set(["div", "reciprocal", "sqrt"]);

/**
 * What some rows may be off by beyond ulps, from their operands: where a sum cancels, its rounding stays. `gelu`
 * takes 1 + erf; `lerp` and `remainder` add numbers of their operands' size.
 */
const cancellation: Readonly<Record<string, (x: readonly number[]) => number>> = {
  gelu: ([x]) => Math.abs(x) * 2 ** -23,
  lerp: ([a, b, w]) => (Math.abs(a) + (1 + Math.abs(w)) * Math.abs(b - a)) * 2 ** -23,
  remainder: ([, y]) => Math.abs(y) * 2 ** -23,
  // The gate is subnormal, with few digits, where x is below -87.
  silu: ([x]) => Math.abs(x) * 2 ** -149,
  mish: ([x]) => Math.abs(x) * 2 ** -149,
  geluTanh: ([x]) => Math.abs(x) * 2 ** -149,
};

/** Rows with an argument of an exponential that is rounded first: its rounding counts as often as it is large. */
const amplified: Readonly<Record<string, (x: readonly number[]) => number>> = {
  geluTanh: ([x]) => 0.1 * Math.abs(x) ** 3 + 2 * Math.abs(x),
  softplus: ([x]) => 1.5 * Math.abs(x),
  sinh: ([x]) => Math.abs(x),
  cosh: ([x]) => Math.abs(x),
};

function expressionOf(row: Row): Expr {
  const operands = Array.from({ length: row.arity }, (_, i) => input(i));
  return row.formula(...operands, ...Array.from({ length: row.scalars ?? 0 }, (_, i) => scalar(i)));
}

const specials = [
  0,
  -0,
  1,
  -1,
  0.5,
  -2.5,
  1e-40,
  -1e-45,
  1.1754944e-38,
  3e38,
  -3e38,
  88.5,
  -104,
  Infinity,
  -Infinity,
  NaN,
];

/** A float sample: mostly ordinary numbers, sometimes large or tiny ones. */
function float(bench: Workbench): number {
  const x = bench.random.normal() * 3;
  const kind = bench.random.integer(0, 10);
  return Math.fround(kind === 0 ? x * 8 : kind === 1 ? x * 1e-3 : x);
}

/** Elementwise programs. */
export const elementwise: Part = (open, { tolerance, subnormals, roundedQuotients }) => {
  const isExact = (name: string): boolean => exact.has(name) && (roundedQuotients || !quotients.has(name));
  for (const row of Object.values(table)) {
    it(`${row.name}: is its definition`, async () => {
      const bench = open(),
        { backend } = bench,
        shape = [613],
        given = (parameters[row.name] ?? []).map(Math.fround);
      const p = program("f32", [expressionOf(row)], { inputs: row.arity, scalars: row.scalars ?? 0 });
      const inputs = Array.from(
        { length: row.arity },
        (_, i) =>
          bench.input("f32", shape, "contiguous", () => {
            const x = float(bench);
            if (row.name === "where" && i === 0) return bench.random.integer(0, 2);
            return positiveOnly.has(row.name) && i === 0 ? Math.abs(x) : x;
          }),
      );
      const bool = row.result === "bool", out = bench.output(bool ? "bool" : "f32", shape);
      backend.elementwise(p, inputs, given, [out]);
      const [stored, ...x] = await Promise.all([
        bench.read(out, "output"),
        ...inputs.map((view) => bench.read(view)),
      ]);
      const at = (i: number): number[] => x.map((values) => values[i]);
      const expected = Array.from({ length: shape[0] }, (_, i) => truth[row.name](...at(i), ...given));
      // Beside a jump of the result the last bit of the operands decides; a neighbour of the quotient may be right.
      const jump = row.name === "floorDivide";
      assertClose(out.dtype, stored, expected, {
        ulps: bool || isExact(row.name) ? 0 : tolerance,
        also: (i) =>
          (cancellation[row.name]?.(at(i)) ?? 0) + (jump && Math.abs(expected[i]) > 1e4 ? 1 : 0) +
          (amplified[row.name]?.(at(i)) ?? 0) * Math.abs(expected[i]) * 2 ** -23,
        name: (i) => `${row.name}(${at(i)})`,
      });
      bench.free();
    });
  }

  it("NaN, infinities, signed zeros and subnormal numbers are as in IEEE 754", async () => {
    const bench = open(), oracle = new Workbench(createReferenceBackend()), cases = new Together();
    const tiny = (x: number): boolean => x !== 0 && Math.abs(x) < 2 ** -126;
    const some = subnormals ? specials : specials.filter((x) => !tiny(x));
    // WGSL leaves open what a quotient by more than 2¹²⁶ is.
    const huge = (x: number): boolean => Number.isFinite(x) && Math.abs(x) > 2 ** 126;
    const others = roundedQuotients ? some : some.filter((x) => !huge(x));
    const first = some.flatMap((x) => others.map(() => x)), second = some.flatMap(() => others);
    for (const row of Object.values(table)) {
      if (row.arity > 2) continue;
      const values = [first, second].slice(0, row.arity), shape = [first.length];
      const given = parameters[row.name] ?? [];
      const p = program("f32", [expressionOf(row)], { inputs: row.arity, scalars: row.scalars ?? 0 });
      const out = bench.output("f32", shape), expected = oracle.output("f32", shape);
      bench.backend.elementwise(p, values.map((v) => bench.of("f32", shape, v)), given, [out]);
      oracle.backend.elementwise(p, values.map((v) => oracle.of("f32", shape, v)), given, [expected]);
      const edge = /^(floorDivide|remainder|fmod|sin|cos|tan|hypot)$/.test(row.name);
      await cases.start(async () => {
        const [stored, wanted] = await Promise.all([bench.read(out), oracle.read(expected)]);
        assertClose("f32", stored, wanted, {
          ulps: isExact(row.name) && row.name !== "fmod" ? 0 : 2 * tolerance,
          // What is left after a huge quotient is lost when x - r rounds; there only the size is asked for.
          also: (i) =>
            edge && Math.abs(first[i]) > 1e30
              ? Infinity
              : (cancellation[row.name]?.([first[i], second[i]]) ?? 0) +
                2 * (amplified[row.name]?.([first[i]]) ?? 0) * 2 ** -23 + (subnormals ? 0 : 2 ** -126),
          signedZero: exact.has(row.name) && row.name !== "sign" && row.name !== "fmod" &&
            row.name !== "relu",
          name: (i) => `${row.name}(${values.map((v) => Object.is(v[i], -0) ? "-0" : v[i])})`,
        });
      });
    }
    await cases.end();
    bench.free();
  });

  it("follows strides of any kind, and writes nothing between the elements", async () => {
    const bench = open(3), { backend } = bench, cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      const type = computeType(dtype);
      // x · y + s·z with small whole numbers is exact in all types.
      const p = program(type, [add(mul(input(0), input(1)), mul(scalar(0), input(2)))]);
      const small = (): number => bench.random.integer(0, dtype === "bool" ? 2 : 6);
      for (const shape of shapes) {
        for (let n = 0; n < (sizeOf(shape) > 200 ? 2 : 4); n++) {
          const kinds = [0, 1, 2].map(() => inputLayouts[bench.random.integer(0, inputLayouts.length)]);
          const inputs = kinds.map((kind) => bench.input(dtype, shape, kind, small));
          const to = outputLayouts[bench.random.integer(0, outputLayouts.length)];
          const out = bench.output(dtype, shape, to);
          backend.elementwise(p, inputs, [2], [out]);
          await cases.start(async () => {
            const reads = [...inputs.map((view) => bench.read(view)), bench.read(out, "output")];
            const [x, y, z, stored] = await Promise.all(reads);
            const expected = x.map((_, i) => x[i] * y[i] + 2 * z[i]);
            assertClose(dtype, stored, expected, {
              name: (i) => `${dtype} [${shape}] ${kinds} to ${to}, element ${i}`,
            });
          });
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("takes sizes that fill no whole vector, and long ones", async () => {
    const bench = open(4), p = program("f32", [sub(input(0), input(1))]), cases = new Together();
    for (const n of [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33, 100_003]) {
      const x = bench.input("f32", [n], "offset"),
        y = bench.input("f32", [n]),
        out = bench.output("f32", [n], "offset");
      bench.backend.elementwise(p, [x, y], [], [out]);
      await cases.start(async () => {
        const reads = [bench.read(x), bench.read(y), bench.read(out, "output")];
        const [a, b, stored] = await Promise.all(reads);
        assertClose("f32", stored, a.map((v, i) => v - b[i]));
      });
    }
    await cases.end();
    bench.free();
  });

  it("converts between all dtypes as the contract says", async () => {
    const bench = open(5), cases = new Together();
    const all = [...floatsOf(bench), ...integersOf(bench)];
    const floats = [
      0,
      -0,
      0.5,
      -0.5,
      1.5,
      -1.99,
      255.9,
      256,
      -3.7,
      300,
      65519,
      65520,
      1e-8,
      2147483520,
      3e9,
      -3e9,
      1e19,
      -1e19,
      1e38,
      Infinity,
      -Infinity,
      NaN,
    ];
    const whole: Partial<Record<DType, number[]>> = {
      u8: [0, 1, 127, 128, 255],
      bool: [0, 1],
      i32: [0, 1, -1, 255, 256, -129, 65519, 65520, 16777217, 2147483647, -2147483648],
      i64: [0, 1, -1, 256, 2 ** 31, -(2 ** 31) - 1, 2 ** 32 + 5, 2 ** 53, -(2 ** 53), 2 ** 24 + 1],
    };
    for (const from of all) {
      const values = whole[from] ?? floats, x = bench.of(from, [values.length], values);
      for (const to of all) {
        const out = bench.output(to, [values.length]);
        bench.backend.elementwise(program(computeType(from), [input(0)]), [x], [], [out]);
        await cases.start(async () => {
          const [stored, converted] = await Promise.all([bench.read(x), bench.read(out)]);
          const expected = stored.map((v) => {
            if (to === "i64") return from in whole ? v : saturated(v);
            if (from in whole && to === "i32") return Number(BigInt.asIntN(32, BigInt(v)));
            return from in whole && to === "u8" ? Number(BigInt.asUintN(8, BigInt(v))) : rounded(to, v);
          });
          assertClose(to, converted, expected, {
            signedZero: from.includes("f") && to.includes("f"),
            name: (i) => `${stored[i]} from ${from} to ${to}`,
          });
        });
      }
    }
    await cases.end();
    bench.free();
  });

  it("reads and writes all 65,536 numbers of f16 and bf16, and rounds to nearest even", async () => {
    const bench = open(6), n = 65536, words = Uint16Array.from({ length: n }, (_, i) => i);
    const p = program("f32", [input(0)]);
    for (const dtype of floatsOf(bench).filter((d) => d === "f16" || d === "bf16")) {
      const x: View = {
        buffer: bench.upload(new Uint8Array(words.buffer)),
        dtype,
        shape: [n],
        strides: [1],
        offset: 0,
      };
      const wide = bench.output("f32", [n]), back = bench.output(dtype, [n]);
      bench.backend.elementwise(p, [x], [], [wide]);
      bench.backend.elementwise(p, [wide], [], [back]);
      const [values, ...found] = await Promise.all([x, wide, back].map((view) => bench.read(view)));
      assertClose("f32", found[0], values, { signedZero: true });
      assertClose(dtype, found[1], values, { signedZero: true });
      const bits = Uint32Array.from({ length: n }, () => bench.random.word());
      const any: View = {
        buffer: bench.upload(new Uint8Array(bits.buffer)),
        dtype: "f32",
        shape: [n],
        strides: [1],
        offset: 0,
      };
      bench.backend.elementwise(p, [any], [], [back]);
      const [narrow, given] = await Promise.all([bench.read(back), bench.read(any)]);
      assertClose(dtype, narrow, given, { signedZero: true });
      bench.free();
    }
  });

  it("wraps integers, and gives 0 for a divisor of 0", async () => {
    const bench = open(7), big = [0, 1, -1, 2, -7, 3, 2147483647, -2147483648, 65537];
    const a = big.flatMap((x) => big.map(() => x)), b = big.flatMap(() => big), shape = [a.length];
    const x = bench.of("i32", shape, a), y = bench.of("i32", shape, b), out = bench.output("i32", shape);
    const long = { x: bench.ofBigints(a.map((v) => BigInt(v) << 31n)), y: bench.ofBigints(b.map(BigInt)) };
    const long64 = bench.output("i64", shape);
    const ops = {
      add: (p: bigint, q: bigint) => p + q,
      sub: (p: bigint, q: bigint) => p - q,
      mul: (p: bigint, q: bigint) => p * q,
      div: (p: bigint, q: bigint) => q === 0n ? 0n : p / q,
      rem: (p: bigint, q: bigint) => q === 0n ? 0n : p % q,
      min: (p: bigint, q: bigint) => p < q ? p : q,
      max: (p: bigint, q: bigint) => p > q ? p : q,
    };
    for (const [op, f] of Object.entries(ops)) {
      const expr = binary(op as keyof typeof ops, input(0), input(1));
      bench.backend.elementwise(program("i32", [expr]), [x, y], [], [out]);
      const expected = a.map((p, i) => Number(BigInt.asIntN(32, f(BigInt(p), BigInt(b[i])))));
      assertEquals(await bench.read(out), expected, op);
      if (!bench.backend.supports("i64")) continue;
      bench.backend.elementwise(program("i64", [expr]), [long.x, long.y], [], [long64]);
      const expected64 = a.map((p, i) => BigInt.asIntN(64, f(BigInt(p) << 31n, BigInt(b[i]))));
      assertEquals(await bench.readBigints(long64), expected64, `${op} of i64`);
    }
    bench.free();
  });

  it("integer rows: powers, floor division, signs, comparisons", async () => {
    const bench = open(8), shape = [400], cases = new Together();
    for (const dtype of integersOf(bench).filter((d) => d !== "bool")) {
      const x = bench.input(dtype, shape, "offset", () => bench.random.integer(dtype === "u8" ? 0 : -9, 10));
      const y = bench.input(dtype, shape, "offset", () => bench.random.integer(1, 6));
      const [a, b] = [await bench.read(x), await bench.read(y)];
      for (
        const name
          of "pow floorDivide remainder fmod maximum abs sign neg relu lt eq logicalAnd logicalNot isnan isinf isfinite"
            .split(" ")
      ) {
        const row = table[name],
          bool = row.result === "bool",
          out = bench.output(bool ? "bool" : dtype, shape);
        bench.backend.elementwise(
          program(computeType(dtype), [expressionOf(row)], { inputs: row.arity }),
          [x, y].slice(0, row.arity),
          [],
          [out],
        );
        await cases.start(async () => {
          const expected = a.map((v, i) => {
            const result = truth[name](v, b[i]) + 0;
            return dtype === "u8" && !bool ? result & 255 : result;
          });
          assertEquals(await bench.read(out), expected, `${name} of ${dtype}`);
        });
      }
    }
    await cases.end();
    bench.free();
  });

  it("writes several outputs, over an input too", async () => {
    const bench = open(9), shape = [5, 37];
    const x = bench.input("f32", shape),
      y = bench.input("f32", shape, "permuted"),
      twice = bench.output("f32", shape, "stepped");
    const [a, b] = [await bench.read(x), await bench.read(y)];
    const p = program("f32", [add(input(0), input(1)), mul(scalar(0), input(0))]);
    bench.backend.elementwise(p, [x, y], [2], [x, twice]);
    assertClose("f32", await bench.read(x), a.map((v, i) => v + b[i]));
    assertClose("f32", await bench.read(twice, "output"), a.map((v) => 2 * v));
    bench.free();
  });

  it("fills from scalars alone, without inputs", async () => {
    const bench = open(10), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      const out = bench.output(dtype, [3, 7], "stepped");
      bench.backend.elementwise(program(computeType(dtype), [scalar(0)]), [], [dtype === "bool" ? 1 : 3], [
        out,
      ]);
      await cases.start(async () =>
        assertClose(
          dtype,
          await bench.read(out, "output"),
          new Array<number>(21).fill(dtype === "bool" ? 1 : 3),
        )
      );
    }
    await cases.end();
    bench.free();
  });

  it("computes any program, as the reference device does", async () => {
    const bench = open(11), oracle = new Workbench(createReferenceBackend()), shape = [50];
    const cases = new Together();
    for (let n = 0; n < 60; n++) {
      // Small whole numbers keep every intermediate result exact, so that comparisons cannot tip.
      const type = (["f32", "i32", "i64"] as const)[n % 3];
      if (!bench.backend.supports(type)) continue;
      const p = program(type, [randomProgram(bench, 4), randomProgram(bench, 3)], { inputs: 2, scalars: 1 });
      const inputs = [0, 1].map(() => bench.input(type, shape, "offset", () => bench.random.integer(-4, 5)));
      const outs = [bench.output(type, shape), bench.output(type, shape)];
      const expected = [oracle.output(type, shape), oracle.output(type, shape)];
      await cases.start(async () => {
        const mirrored = Promise.all(inputs.map((view) => bench.mirror(view, oracle)));
        bench.backend.elementwise(p, inputs, [3], outs);
        const stored = outs.map((out) => bench.read(out));
        oracle.backend.elementwise(p, await mirrored, [3], expected);
        for (const k of [0, 1]) {
          assertClose(type, await stored[k], await oracle.read(expected[k]), {
            name: (i) => `${p.key}, element ${i}`,
          });
        }
      });
    }
    await cases.end();
    bench.free();
    oracle.free();
  });
};

function saturated(v: number): number {
  if (Number.isNaN(v)) return 0;
  return Math.trunc(Math.max(-(2 ** 63), Math.min(2 ** 63, v))) + 0;
}

function randomProgram(bench: Workbench, depth: number): Expr {
  const { random } = bench, sub = (): Expr => randomProgram(bench, depth - 1);
  if (depth === 0) {
    return [input(0), input(1), scalar(0), constant(random.integer(-2, 3))][random.integer(0, 4)];
  }
  switch (random.integer(0, 5)) {
    case 0:
      return binary((["add", "sub", "mul", "min", "max"] as const)[random.integer(0, 5)], sub(), sub());
    case 1:
      return compare((["eq", "ne", "lt", "le", "gt", "ge"] as const)[random.integer(0, 6)], sub(), sub());
    case 2:
      return select(sub(), sub(), sub());
    case 3:
      return unary((["neg", "abs", "sign", "not"] as const)[random.integer(0, 4)], sub());
    default:
      return binary("add", sub(), sub());
  }
}
