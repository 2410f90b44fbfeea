import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { DTypeError, OptionError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { toI32, toI64 } from "../src/expr/arithmetic.ts";
import { compileJs, compileJsI64 } from "../src/expr/evaluate.ts";
import {
  binary,
  type BinaryOp,
  compare,
  type CompareOp,
  type ComputeType,
  constant,
  type Expr,
  input,
  type Program,
  scalar,
  select,
  unary,
  type UnaryOp,
} from "../src/expr/nodes.ts";
import { program, simplify, substitute, usedInputs } from "../src/expr/program.ts";
import { erf, pow, roundHalfEven } from "../src/expr/special.ts";
import { table } from "../src/expr/table.ts";
import { width } from "./_width.ts";

const random = new Generator(5);
const pickFrom = <T>(list: readonly T[]): T => list[random.integer(0, list.length)];

const floatUnary: UnaryOp[] = [
  "neg",
  "abs",
  "sign",
  "floor",
  "ceil",
  "round",
  "trunc",
  "sqrt",
  "exp",
  "not",
  "tanh",
];
const integerUnary: UnaryOp[] = ["neg", "abs", "sign", "not"];
const binaries: BinaryOp[] = ["add", "sub", "mul", "div", "rem", "min", "max"];
const compares: CompareOp[] = ["eq", "ne", "lt", "le", "gt", "ge"];

/** A random expression of two inputs and one scalar, rich in what the simplifier looks for. */
function randomExpression(depth: number, integer: boolean): Expr {
  const sub = (): Expr => randomExpression(depth - 1, integer);
  if (depth === 0) {
    const constants = integer ? [0, 1, -1, 2, 7] : [0, -0, 1, -1, 2, 0.5, Infinity, NaN];
    return pickFrom<() => Expr>([
      () => input(random.integer(0, 2)),
      () => scalar(0),
      () => constant(pickFrom(constants)),
    ])();
  }
  return pickFrom<() => Expr>([
    () => unary(pickFrom(integer ? integerUnary : floatUnary), sub()),
    () => unary("neg", sub()),
    () => binary(pickFrom(binaries), sub(), sub()),
    () => binary(pickFrom(binaries), sub(), constant(pickFrom([0, 1, -1]))),
    () => compare(pickFrom(compares), sub(), sub()),
    () => select(sub(), sub(), sub()),
    () => unary("not", compare(pickFrom(compares), sub(), sub())),
  ])();
}

/** The expression as it stands, past the simplifier. */
function raw(type: ComputeType, expr: Expr): Program {
  return { key: "", type, inputs: 2, scalars: 1, outputs: [expr] };
}

describe("simplify", () => {
  const floats = [0, -0, 1, -1, 0.5, -2.5, 3, 1e-310, 1e308, -1e308, Infinity, -Infinity, NaN];
  const integers = [0, 1, -1, 2, -3, 7, 2147483647, -2147483648];

  it("changes no bit of any result in f64", () => {
    for (let n = 0; n < width(1500, 400); n++) {
      const expr = randomExpression(1 + n % 5, false), out = [0], simple = [0];
      const before = compileJs(raw("f64", expr)), after = compileJs(raw("f64", simplify(expr, "f64")));
      for (let k = 0; k < 12; k++) {
        const x = [pickFrom(floats), pickFrom(floats)], s = [pickFrom(floats)];
        before(x, s, out);
        after(x, s, simple);
        assert(
          Object.is(out[0], simple[0]),
          `${JSON.stringify(expr)} at ${x}, ${s}: ${out} became ${simple}`,
        );
      }
    }
  });

  it("changes no result in i32 and i64", () => {
    for (let n = 0; n < width(1500, 400); n++) {
      const expr = randomExpression(1 + n % 5, true), out = [0], simple = [0], out64 = [0n], simple64 = [0n];
      const before = compileJs(raw("i32", expr)), after = compileJs(raw("i32", simplify(expr, "i32")));
      const before64 = compileJsI64(raw("i64", expr)),
        after64 = compileJsI64(raw("i64", simplify(expr, "i64")));
      for (let k = 0; k < 8; k++) {
        const x = [pickFrom(integers), pickFrom(integers)], s = [pickFrom(integers)];
        before(x, s, out);
        after(x, s, simple);
        assertStrictEquals(simple[0], out[0], `${JSON.stringify(expr)} at ${x}, ${s}`);
        const long = x.map((v) => BigInt(v) * 4294967291n);
        before64(long, s, out64);
        after64(long, s, simple64);
        assertStrictEquals(simple64[0], out64[0], `${JSON.stringify(expr)} at ${long}, ${s}`);
      }
    }
  });

  it("knows these", () => {
    const x = input(0), y = input(1);
    const cases: [from: Expr, to: Expr][] = [
      [binary("mul", x, constant(1)), x],
      [binary("mul", constant(-1), x), unary("neg", x)],
      [binary("sub", x, constant(0)), x],
      [binary("add", x, constant(0)), binary("add", x, constant(0))], // -0 + 0 is 0
      [binary("mul", x, constant(0)), binary("mul", x, constant(0))], // ∞ · 0 is NaN
      [unary("neg", unary("neg", x)), x],
      [binary("add", x, unary("neg", y)), binary("sub", x, y)],
      [binary("pow", x, constant(2)), binary("mul", x, x)],
      [binary("pow", x, constant(1)), x],
      [binary("div", constant(1), unary("sqrt", constant(4))), constant(0.5)],
      [unary("floor", unary("trunc", x)), unary("trunc", x)],
      [select(constant(1), x, y), x],
      [select(unary("not", x), y, x), select(x, x, y)],
      [select(x, binary("add", y, x), binary("add", y, x)), binary("add", y, x)],
      [unary("not", compare("eq", x, y)), compare("ne", x, y)],
      [unary("not", compare("lt", x, y)), unary("not", compare("lt", x, y))], // NaN is neither less nor not less
      [unary("exp", constant(1)), unary("exp", constant(1))], // not the same on every runtime
    ];
    for (const [from, to] of cases) assertEquals(simplify(from), to);
    assertEquals(simplify(unary("floor", binary("add", x, constant(0))), "i32"), x);
    assertEquals(simplify(binary("sub", x, x), "i64"), constant(0));
    assertEquals(simplify(unary("not", compare("lt", x, y)), "i32"), compare("ge", x, y));
  });
});

describe("program", () => {
  const x = input(0), y = input(1);

  it("gives equal programs equal keys, whatever objects they are made of, and others other keys", () => {
    const build = (): Expr => table.gelu.formula(binary("add", input(0), input(1)));
    assertStrictEquals(program("f32", [build()]).key, program("f32", [build()]).key);
    const keys = [
      program("f32", [binary("add", x, y)]),
      program("f32", [binary("sub", x, y)]),
      program("f32", [binary("add", y, x)]),
      program("f64", [binary("add", x, y)]),
      program("f32", [binary("add", x, scalar(0))]),
      program("f32", [binary("add", x, constant(0))]),
      program("f32", [binary("add", x, y)], { inputs: 3 }),
      program("f32", [binary("add", x, y), x]),
      program("f32", [x, binary("add", x, y)]),
      program("f32", [select(x, y, constant(-0))]),
      program("f32", [select(x, y, constant(0))]),
    ].map((p) => p.key);
    assertStrictEquals(new Set(keys).size, keys.length);
  });

  it("is made once from the same expressions", () => {
    const expr = binary("mul", x, y);
    assertStrictEquals(program("f32", [expr]), program("f32", [expr], { inputs: 2, scalars: 0 }));
    assertNotStrictEquals(program("f32", [expr]), program("i32", [expr]));
    assertNotStrictEquals(program("f32", [expr]), program("f32", [expr, x]));
  });

  it("writes a shared part once, so that its key and its work stay small", () => {
    let tower = x;
    for (let i = 0; i < 60; i++) tower = binary("add", tower, tower);
    const p = program("f64", [tower]), out = [0];
    assert(p.key.length < 1000, p.key);
    compileJs(p)([3], [], out);
    assertStrictEquals(out[0], 3 * 2 ** 60);
    const [twin] = program("f32", [binary("mul", unary("exp", input(0)), unary("exp", input(0)))]).outputs;
    assert(twin.kind === "binary" && twin.x === twin.y);
  });

  it("counts its leaves, and refuses too small a count", () => {
    const p = program("f32", [binary("add", input(2), scalar(1))]);
    assertEquals([p.inputs, p.scalars], [3, 2]);
    assertThrows(() => program("f32", [y], { inputs: 1 }), OptionError);
    assertThrows(() => program("f32", []), OptionError);
  });

  it("substitutes leaves and lists those in use", () => {
    const expr = binary("add", input(0), binary("mul", input(2), scalar(0)));
    assertEquals(usedInputs(expr), [0, 2]);
    const other = substitute(expr, [constant(5)], [input(1)]);
    assertEquals(other, binary("add", constant(5), binary("mul", input(2), input(1))));
  });
});

describe("evaluate", () => {
  it("wraps integers, cuts their quotients, and gives 0 for a divisor of 0", () => {
    const i32 = (op: BinaryOp, a: number, b: number): number => {
      const out = [0];
      compileJs(program("i32", [binary(op, input(0), input(1))]))([a, b], [], out);
      return out[0];
    };
    assertStrictEquals(i32("add", 2147483647, 1), -2147483648);
    assertStrictEquals(i32("mul", 65537, 65537), 131073);
    assertStrictEquals(i32("div", -7, 2), -3);
    assertStrictEquals(i32("div", 7, 0), 0);
    assertStrictEquals(i32("div", -2147483648, -1), -2147483648);
    assertStrictEquals(i32("rem", -7, 3), -1);
    assertStrictEquals(i32("rem", 7, 0), 0);
    assertStrictEquals(i32("pow", 3, 20), 3486784401 | 0);
    assertStrictEquals(i32("pow", -1, -3), -1);
    assertStrictEquals(i32("pow", 2, -1), 0);
    const i64 = (op: BinaryOp, a: bigint, b: bigint): bigint => {
      const out = [0n];
      compileJsI64(program("i64", [binary(op, input(0), input(1))]))([a, b], [], out);
      return out[0];
    };
    assertStrictEquals(i64("add", 2n ** 63n - 1n, 1n), -(2n ** 63n));
    assertStrictEquals(i64("mul", 2n ** 40n + 1n, 2n ** 40n + 1n), 2n ** 41n + 1n);
    assertStrictEquals(i64("div", -(2n ** 63n), -1n), -(2n ** 63n));
    assertStrictEquals(i64("rem", -7n, 0n), 0n);
    assertStrictEquals(i64("pow", 3n, 41n), BigInt.asIntN(64, 3n ** 41n));
  });

  it("divides and takes remainders downwards, for integers as for floats", () => {
    const divide = program("i32", [table.floorDivide.formula(input(0), input(1))]);
    const remain = program("i32", [table.remainder.formula(input(0), input(1))]);
    const divide64 = compileJsI64(program("i64", divide.outputs)),
      quotient = [0],
      rest = [0],
      quotient64 = [0n];
    for (let a = -9; a <= 9; a++) {
      for (const b of [-4, -3, -1, 1, 2, 5]) {
        compileJs(divide)([a, b], [], quotient);
        compileJs(remain)([a, b], [], rest);
        divide64([BigInt(a), BigInt(b)], [], quotient64);
        const expected = Math.floor(a / b) | 0;
        assertEquals([quotient[0], rest[0], quotient64[0]], [
          expected,
          a - b * expected,
          BigInt(expected),
        ]);
      }
    }
  });

  it("rounds constants and scalars as the compute type holds them", () => {
    const out = [0];
    compileJs(program("f32", [compare("eq", input(0), scalar(0))]))([Math.fround(0.1)], [0.1], out);
    assertStrictEquals(out[0], 1);
    compileJs(program("i32", [binary("add", constant(2.9), scalar(0))]))([], [-1.9], out);
    assertStrictEquals(out[0], 1);
    assertEquals([toI32(NaN), toI32(3e9), toI32(-Infinity), toI32(-1.5)], [
      0,
      2147483647,
      -2147483648,
      -1,
    ]);
    assertEquals([toI64(NaN), toI64(1e19), toI64(-1e19), toI64(-1.5)], [
      0n,
      2n ** 63n - 1n,
      -(2n ** 63n),
      -1n,
    ]);
  });

  it("refuses what a type does not have", () => {
    assertThrows(() => compileJs(program("i32", [unary("exp", input(0))])), DTypeError);
    assertThrows(() => compileJs(program("i64", [input(0)])), DTypeError);
    assertThrows(() => compileJsI64(program("i32", [input(0)])), DTypeError);
  });
});

describe("special functions", () => {
  it("erf agrees with its series to double precision, and is odd", () => {
    for (let x = 1e-3; x < 5; x += 0.0037) {
      // 2/√π e^-x² Σ 2ⁿ x^(2n+1) / (2n+1)!!, all of whose terms are positive
      let term = x, sum = x;
      for (let n = 1; term > sum * 1e-17; n++) {
        term *= 2 * x * x / (2 * n + 1);
        sum += term;
      }
      const expected = 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
      assert(Math.abs(erf(x) - expected) <= 3e-15 * expected, `erf(${x}) = ${erf(x)}, not ${expected}`);
      assertStrictEquals(erf(-x), -erf(x));
    }
    assertEquals([erf(Infinity), erf(-Infinity), erf(-0), erf(7), erf(NaN)], [1, -1, -0, 1, NaN]);
  });

  it("rounds halves to even and keeps the sign of 0", () => {
    const cases = [
      [0.5, 0],
      [1.5, 2],
      [2.5, 2],
      [-0.5, -0],
      [-1.5, -2],
      [-0.2, -0],
      [-0, -0],
      [4503599627370497.5, 4503599627370498],
      [
        0.49999999999999994,
        0,
      ],
      [Infinity, Infinity],
      [NaN, NaN],
      [1e300, 1e300],
    ];
    for (const [x, expected] of cases) assert(Object.is(roundHalfEven(x), expected), `round(${x})`);
  });

  it("pow is C's", () => {
    assertEquals([pow(1, NaN), pow(-1, Infinity), pow(NaN, 0), pow(2, 10), pow(-8, 1 / 3)], [
      1,
      1,
      1,
      1024,
      NaN,
    ]);
  });
});
