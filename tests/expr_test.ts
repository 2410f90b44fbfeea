import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Generator } from "../src/core/random.ts";
import { compileJs } from "../src/expr/evaluate.ts";
import { constant, type Expr, input, scalar } from "../src/expr/nodes.ts";
import { chain, differentiate, program, simplify, substitute, usedInputs } from "../src/expr/program.ts";
import { type Row, table } from "../src/expr/table.ts";
import { parameters, positiveOnly, truth } from "./_truth.ts";
import { width } from "./_width.ts";

const random = new Generator(11);

/** The leaves of a row: inputs, then scalars. */
function leavesOf(row: Row): Expr[] {
  const operands = Array.from({ length: row.arity }, (_, i) => input(i));
  return [...operands, ...Array.from({ length: row.scalars ?? 0 }, (_, i) => scalar(i))];
}

/** `expr` as a function of doubles; input number k is argument k. */
function numeric(expr: Expr, scalars: readonly number[] = []): (x: readonly number[]) => number {
  const run = compileJs(program("f64", [expr])), out = [0];
  return (x) => {
    run(x, scalars, out);
    return out[0];
  };
}

/** Where a row has a corner or a jump, per operand; samples keep away from these. */
const corners: Readonly<Record<string, (x: readonly number[], p: readonly number[]) => number>> = {
  abs: ([x]) => x,
  sign: ([x]) => x,
  floor: ([x]) => x - Math.round(x),
  ceil: ([x]) => x - Math.round(x),
  trunc: ([x]) => x - Math.round(x),
  round: ([x]) => x - 0.5 - Math.round(x - 0.5),
  remainder: ([x, y]) => x / y - Math.round(x / y),
  fmod: ([x, y]) => x / y - Math.round(x / y),
  floorDivide: ([x, y]) => x / y - Math.round(x / y),
  maximum: ([x, y]) => x - y,
  minimum: ([x, y]) => x - y,
  clamp: ([x, low, high]) => Math.min(Math.abs(x - low), Math.abs(x - high), Math.abs(low - high)),
  clampMin: ([x, low]) => x - low,
  clampMax: ([x, high]) => x - high,
  relu: ([x]) => x,
  relu6: ([x]) => Math.min(Math.abs(x), Math.abs(x - 6)),
  leakyRelu: ([x]) => x,
  elu: ([x]) => x,
  hardtanh: ([x], [low, high]) => Math.min(Math.abs(x - low), Math.abs(x - high)),
  threshold: ([x], [limit]) => x - limit,
  tan: ([x]) => Math.cos(x) / 10,
};

/** A random point where the row is smooth. */
function smoothPoint(row: Row): number[] {
  for (;;) {
    const point = Array.from({ length: row.arity }, () => 8 * random.uniform() - 4);
    if (positiveOnly.has(row.name)) point[0] = 0.1 + Math.abs(point[0]);
    if (row.name === "where") point[0] = Math.round(random.uniform());
    if (row.arity > 1 && Math.abs(point[1]) < 0.2) continue;
    const corner = corners[row.name]?.(point, parameters[row.name] ?? []) ?? 1;
    if (Math.abs(corner) > 1e-2 && Math.abs(point[0]) > 1e-2 || row.name === "where") return point;
  }
}

function slope(f: (x: readonly number[]) => number, at: readonly number[], i: number): number {
  const h = 1e-5 * Math.max(1, Math.abs(at[i]));
  const moved = (by: number): number => f(at.map((x, k) => k === i ? x + by : x));
  // Five points: the error is of fourth order, so that rounding and not the step is what limits it.
  return (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
}

function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  if (Object.is(actual, expected) || actual === expected) return;
  const off = Math.abs(actual - expected) / Math.max(1, Math.abs(expected));
  assert(off <= tolerance, `${what}: ${actual} instead of ${expected}`);
}

const rows = Object.values(table);

describe("the table", () => {
  it("names every row as it is found, and each has a witness", () => {
    for (const [name, row] of Object.entries(table)) assertStrictEquals(row.name, name);
    assertEquals(Object.keys(truth).sort(), Object.keys(table).sort());
  });

  for (const row of rows) {
    const leaves = leavesOf(row), given = parameters[row.name] ?? [];
    const f = numeric(row.formula(...leaves), given);
    // The derivative may name the result, as input number arity.
    const local = row.derivative(leaves, input(row.arity));

    it(`${row.name}: the formula is the definition`, () => {
      for (let n = 0; n < width(300, 100); n++) {
        const x = smoothPoint(row).map((v, i) =>
          n % 3 === 0 && i === 0 && !positiveOnly.has(row.name) ? 4 * v : v
        );
        assertNear(f(x), truth[row.name](...x, ...given), 1e-13, `${row.name}(${x})`);
      }
    });

    it(`${row.name}: the derivative is that of finite differences, and reads what it says`, () => {
      assertStrictEquals(local.length, row.arity);
      const read = [...new Set(local.flatMap((d) => d === null ? [] : usedInputs(d)))];
      const saves = read.length === 0 ? "none" : read.every((i) => i === row.arity) ? "output" : "inputs";
      assertStrictEquals(row.saves, saves);
      if (saves === "inputs") assert(!read.includes(row.arity), "reads inputs and the result");
      local.forEach((d, i) => {
        if (d === null) return;
        const derivative = numeric(d, given);
        for (let n = 0; n < 100; n++) {
          const x = smoothPoint(row);
          assertNear(derivative([...x, f(x)]), slope(f, x, i), 2e-8, `d${row.name}/dx${i}(${x})`);
        }
      });
    });

    it(`${row.name}: differentiating the formula gives the row's derivative, and the second one is right`, () => {
      local.forEach((d, i) => {
        if (d === null) return;
        const whole = substitute(d, [...leaves.slice(0, row.arity), row.formula(...leaves)]);
        const derivative = numeric(whole, given),
          symbolic = numeric(differentiate(row.formula(...leaves), i), given);
        for (let k = 0; k < row.arity; k++) {
          const second = numeric(differentiate(whole, k), given);
          for (let n = 0; n < 40; n++) {
            const x = smoothPoint(row);
            assertNear(symbolic(x), derivative(x), 1e-11, `symbolic d${row.name}/dx${i}(${x})`);
            assertNear(second(x), slope(derivative, x, k), 1e-7, `d²${row.name}/dx${i}dx${k}(${x})`);
          }
        }
      });
    });
  }

  it("has PyTorch's derivatives at corners", () => {
    const cases: [name: string, x: number[], expected: (number | null)[]][] = [
      ["relu", [0], [0]],
      ["relu6", [0], [0]],
      ["relu6", [6], [0]],
      ["abs", [0], [0]],
      ["sign", [0], [0]],
      ["leakyRelu", [0], [0.01]],
      ["elu", [0], [1.25]],
      ["hardtanh", [1.5], [0]],
      ["threshold", [0.375], [0]],
      ["maximum", [2, 2], [0.5, 0.5]],
      ["minimum", [2, 2], [0.5, 0.5]],
      ["maximum", [NaN, 2], [1, 1]],
      ["clamp", [1, 1, 2], [1, 0, 0]],
      ["clamp", [2, 1, 2], [1, 0, 0]],
      ["clamp", [1.5, 2, 1], [0, 0, 1]],
      ["clampMin", [1, 1], [1, 0]],
      ["clampMax", [1, 1], [1, 0]],
      ["pow", [0, 0], [0, 0]],
      ["pow", [0, 2], [0, 0]],
      ["pow", [0, 1], [1, 0]],
      ["pow", [-2, 3], [12, NaN]],
      ["sqrt", [0], [Infinity]],
      ["log", [0], [Infinity]],
      ["sigmoid", [0], [0.25]],
      ["silu", [0], [0.5]],
      ["where", [0, 5, 6], [null, 0, 1]],
    ];
    for (const [name, x, expected] of cases) {
      const row = table[name], leaves = leavesOf(row), given = parameters[name] ?? [];
      const y = numeric(row.formula(...leaves), given)(x);
      const found = row.derivative(leaves, input(row.arity)).map((d) =>
        d && numeric(d, given)([...x, y]) + 0
      );
      assertEquals(found, expected, `${name} at ${x}`);
    }
  });

  it("stays differentiable at 0 where the function is smooth, however often", () => {
    // sigmoid' = 1/4, sigmoid'' = 0, sigmoid''' = -1/8; softplus'' = 1/4, silu'' = 1/2, silu''' = 0.
    const derivatives = (expr: Expr): number[] => {
      const values: number[] = [];
      for (let e = expr, n = 0; n < 3; n++) values.push(numeric(e = differentiate(e, 0), [1, 20])([0]) + 0);
      return values;
    };
    const x = input(0);
    assertEquals(derivatives(table.sigmoid.formula(x)), [0.25, 0, -0.125]);
    assertEquals(derivatives(table.softplus.formula(x, scalar(0), scalar(1))), [0.5, 0.25, 0]);
    assertEquals(derivatives(table.silu.formula(x)), [0.5, 0.5, 0]);
    assertEquals(derivatives(table.sinh.formula(x)), [1, 0, 1]);
  });

  it("is accurate where a naive formula would overflow or cancel", () => {
    const at = (name: string, ...x: number[]): number =>
      numeric(table[name].formula(...leavesOf(table[name])), parameters[name])(x);
    assertNear(at("sigmoid", -700) / Math.exp(-700), 1, 1e-13, "sigmoid(-700)");
    assertStrictEquals(at("sigmoid", 1000), 1);
    assertStrictEquals(at("sigmoid", -1000), 0);
    assertStrictEquals(at("logSigmoid", -1000), -1000);
    assertNear(at("logSigmoid", 50) / -Math.exp(-50), 1, 1e-13, "logSigmoid(50)");
    assertNear(at("softplus", -100) * 1.5 / Math.exp(-150), 1, 1e-12, "softplus(-100)");
    assertNear(at("mish", -700) / (-700 * Math.exp(-700)), 1, 1e-12, "mish(-700)");
    assertStrictEquals(at("mish", 1000), 1000);
    assertStrictEquals(at("geluTanh", 1e200), 1e200);
    assertNear(at("sinh", 1e-20) / 1e-20, 1, 1e-15, "sinh(1e-20)");
    assert(Object.is(at("sinh", -0), -0));
    assertNear(at("sinh", -709.9) / -Math.exp(709.9 - Math.LN2), 1, 1e-12, "sinh(-709.9)");
    assertNear(at("hypot", 3e200, 4e200) / 5e200, 1, 1e-15, "hypot");
    assertStrictEquals(at("hypot", -Infinity, NaN), Infinity);
    assertStrictEquals(at("hypot", 0, 0), 0);
    assertStrictEquals(at("lerp", 0.1, 0.3, 1), 0.3);
    // 1 / 0.1 rounds to 10, though 0.1 is a little more than a tenth.
    assertStrictEquals(at("floorDivide", 1, 0.1), 9);
    assertStrictEquals(at("floorDivide", -7, 2), -4);
    assertStrictEquals(at("floorDivide", 1, 0), Infinity);
    assertStrictEquals(at("remainder", -7, 3), 2);
    assertStrictEquals(at("remainder", 7, -3), -2);
    assertStrictEquals(at("fmod", -7, 3), -1);
  });
});

describe("differentiate", () => {
  it("drops what a branch not taken would have brought in", () => {
    const x = input(0),
      safe = table.where.formula(table.gt.formula(x, constant(0)), table.sqrt.formula(x), constant(0));
    assertStrictEquals(numeric(differentiate(safe, 0))([-1]), 0);
    assertStrictEquals(numeric(differentiate(safe, 0))([4]), 0.25);
  });

  it("gives the constant 0 for what does not depend on the input", () => {
    assertEquals(differentiate(table.mul.formula(input(1), scalar(0)), 0), constant(0));
    assertEquals(differentiate(table.floor.formula(input(0)), 0), constant(0));
  });
});

describe("chain", () => {
  it("makes a mask's choice last", () => {
    const relu = table.relu.derivative([input(1)], input(1))[0] as Expr;
    const gradient = numeric(chain(input(0), relu));
    assertStrictEquals(gradient([Infinity, 0]), 0);
    assertStrictEquals(gradient([NaN, 0]), 0);
    assertStrictEquals(gradient([3, 2]), 3);
  });

  it("passes the gradient itself through a derivative of 1, and divides where the derivative is 1 / y", () => {
    assertEquals(chain(input(0), constant(1)), input(0));
    assertEquals(simplify(chain(input(0), constant(-1))), table.neg.formula(input(0)));
    assertEquals(
      chain(input(0), table.log.derivative([input(1)], input(2))[0] as Expr),
      table.div.formula(input(0), input(1)),
    );
  });
});
