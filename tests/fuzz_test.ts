/**
 * Some random programs of `deno task fuzz`, on every runtime: a number of them, not a time, so that what is tested does not
 * depend on the machine. What the task itself promises is tested with programs that are made to fail.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { after, describe, it } from "node:test";
import { openFuzzDevice } from "./fuzz/device.ts";
import { Twins } from "./fuzz/execute.ts";
import { closureOf, formatProgram, type FuzzProgram } from "./fuzz/program.ts";
import { operations } from "./fuzz/operations.ts";
import { runRandomProgram } from "./fuzz/programs.ts";
import { eq, logicalNot, onesLike, type Tensor, where, zerosLike } from "../src/ops/mod.ts";
import { tidy } from "../src/tensor/mod.ts";
import { width } from "./_width.ts";

/** Programs of each seed and mode. */
const programs = width(200, 100);

describe("random programs", () => {
  for (const [seed, mode] of [[20_001, "fast"], [20_002, "deterministic"]] as const) {
    it(`compute on the cpu device (${mode}) what the reference device computes, and leave its memory in order`, async () => {
      const device = await openFuzzDevice(mode), kinds = new Set<string>();
      after(() => device.dispose());
      for (let index = 0; index < programs; index++) {
        const { failure, done } = await runRandomProgram(seed, index, device.name);
        for (const op of done.keys()) kinds.add(op);
        if (failure) {
          throw new Error(
            `program ${index} of seed ${seed}: ${failure.problem}\n${formatProgram(failure.program)}`,
          );
        }
        assertStrictEquals(device.check(index % 64 === 0), null, `program ${index} of seed ${seed}`);
      }
      const missing = Object.keys(operations).filter((op) => !kinds.has(op));
      assert(missing.length < 20, `never done: ${missing}`);
    });
  }

  it("are told by their seed and number alone", async () => {
    const device = await openFuzzDevice("fast");
    after(() => device.dispose());
    const runs = [];
    for (let i = 0; i < 2; i++) runs.push([...(await runRandomProgram(5, 17, device.name)).done]);
    assert(runs[0].length > 0);
    assertEquals(runs[0], runs[1]);
  });
});

describe("a device that answers late", () => {
  it("gives 0 for integers divided by 0, and is held to the reference device in all else", async () => {
    const device = await openFuzzDevice("fast"), table = operations as Record<string, typeof operations.fmod>;
    after(() => device.dispose());
    const a = { dtype: "i32", shape: [4], values: [7, -7, 9, 0], requiresGrad: false } as const;
    const b = { ...a, values: [0, 2, -4, 0] };
    for (const op of ["floorDivide", "remainder", "fmod"]) {
      const real = operations[op];
      /** What is said where the device takes zeros for `by`, and `then` is what becomes of the result. */
      const judged = async (isLate: boolean, then: (q: Tensor, isZero: Tensor) => Tensor) =>
        await tidy(async () => {
          const twins = new Twins(device.name, isLate);
          for (const leaf of [a, b]) twins.leaf(leaf);
          table[op] = {
            ...real,
            run([x, y], params) {
              if (x.device === "reference") return real.run([x, y], params);
              const isZero = eq(y, 0);
              return then(real.run([x, where(isZero, onesLike(y), y)], params), isZero);
            },
          };
          try {
            return await twins.step({ op, args: [0, 1], params: ["t"] }, null);
          } finally {
            table[op] = real;
          }
        });
      const documented = (q: Tensor, isZero: Tensor): Tensor => where(isZero, zerosLike(q), q);
      assertStrictEquals(await judged(true, documented), null, op);
      assert((await judged(false, documented))?.includes("no quotient by 0"), op);
      assert(
        (await judged(true, (q, isZero) => where(isZero, onesLike(q), q)))?.startsWith("element 0 is 1"),
        op,
      );
      assert(
        (await judged(true, (q, isZero) => documented(q, isZero).add(logicalNot(isZero))))?.startsWith(
          "element 1",
        ),
        op,
      );
    }
  });
});

describe("a program that fails", () => {
  const program: FuzzProgram = {
    leaves: [
      { dtype: "f32", shape: [2], values: [1, -0], requiresGrad: false },
      { dtype: "i32", shape: [1], values: [3], requiresGrad: true },
      { dtype: "f32", shape: [2], values: [NaN, 2], requiresGrad: false },
    ],
    steps: [
      { op: "neg", args: [1], params: [] },
      { op: "add", args: [0, 2], params: ["t"] },
      { op: "slice", args: [4], params: [[[null, 1, -1]]] },
    ],
  };

  it("is cut down to what its last step needs, and printed as code", () => {
    const least = closureOf(program, 2);
    assertEquals(least.leaves.map(({ values }) => values), [[1, -0], [NaN, 2]]);
    assertEquals(least.steps.map(({ op, args }) => [op, ...args]), [["add", 0, 1], ["slice", 2]]);
    assertEquals(formatProgram(least).split("\n"), [
      'const v0 = tensor(Float64Array.of(1, -0), { shape: [2], dtype: "f32", device });',
      'const v1 = tensor(Float64Array.of(NaN, 2), { shape: [2], dtype: "f32", device });',
      'const v2 = add(v0, v1, "t");',
      "const v3 = slice(v2, [[null, 1, -1]]);",
    ]);
  });

  it("is one whose numbers differ, whose gradients do, or that is refused on one device only", async () => {
    const device = await openFuzzDevice("fast");
    after(() => device.dispose());
    const x = { dtype: "f32", shape: [3], values: [1, 2, 4], requiresGrad: false } as const;
    const { exp } = operations;
    const judged = async (run: typeof exp.run): Promise<string | null> =>
      await tidy(async () => {
        const twins = new Twins(device.name);
        twins.leaf(x);
        const table = operations as Record<string, typeof exp>;
        table.exp = { ...exp, run };
        try {
          return await twins.step({ op: "exp", args: [0], params: [] }, null);
        } finally {
          table.exp = exp;
        }
      });
    assertStrictEquals(await judged(exp.run), null);
    const wrong = await judged((args) =>
      args[0].device === "cpu" ? args[0].exp().mul(1.00001) : args[0].exp()
    );
    assert(wrong?.startsWith("element 0 is 2.718"), String(wrong));
    const refused = await judged((args) => args[0].device === "cpu" ? args[0].reshape(2) : args[0]);
    assert(refused?.includes("the tested device throws ShapeError"), String(refused));
    const foreign = await judged(() => {
      throw new TypeError("x is undefined");
    });
    assert(foreign?.includes("TypeError: x is undefined"), String(foreign));
  });
});
