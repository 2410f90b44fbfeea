/**
 * What raises an error because of the values it was given raises it in a program too, in the same words, fused or not, in every
 * run; and the next run with good values is as ever.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { it } from "node:test";
import * as F from "../mod.ts";
import { compile, type DType, full, ones, type Tensor, tensor } from "../mod.ts";
import { eachDevice } from "./_devices.ts";

type Run = (x: Tensor, y: Tensor & number) => Tensor;
type Arguments = [Tensor, Tensor | number];

interface Case {
  readonly f: Run;
  readonly good: Arguments;
  readonly bad: Arguments;
}

function cases(device: F.DeviceName): Record<string, Case> {
  const integers = (values: F.NestedArray, dtype: DType = "i32"): Tensor => tensor(values, { dtype, device });
  const table: Record<string, Case> = {};
  const divisors = { whole: [[1, 2], [3, 0]], good: [[1, 2], [3, 4]] };
  for (const dtype of ["i32", "i64", "u8"] as const) {
    for (const name of ["floorDivide", "remainder", "fmod"] as const) {
      const x = integers([[6, 7], [8, 9]], dtype);
      const good = integers(divisors.good, dtype), bad = integers(divisors.whole, dtype);
      table[`${name} of ${dtype}`] = { f: (x, y) => x[name](y), good: [x, good], bad: [x, bad] };
      table[`${name} of ${dtype} in a chain`] = {
        f: (x, y) => x.add(1)[name](y.mul(1).t()).mul(2).sum(),
        good: [x, good],
        bad: [x, bad],
      };
      table[`${name} of ${dtype} that nobody reads`] = {
        f: (x, y) => (x[name](y), x.mul(2)),
        good: [x, good],
        bad: [x, bad],
      };
      table[`${name} of ${dtype} by a constant`] = {
        f: (x, y) => x[name](y === 1 ? good : bad),
        good: [x, 1],
        bad: [x, 2],
      };
      table[`${name} of ${dtype} by a number`] = { f: (x, y) => x[name](y), good: [x, 3], bad: [x, 0] };
    }
  }
  const numbers: Record<string, Run> = {
    add: (x, n) => x.add(n),
    mul: (x, n) => x.mul(n).add(1),
    eq: (x, n) => x.eq(n),
    clamp: (x, n) => x.clamp(n),
    maskedFill: (x, n) => x.maskedFill(x.gt(0), n),
    where: (x, n) => F.where(x.gt(0), n, x),
    full: (x, n) => full([2], n, { dtype: "i32", device }).add(x),
    tensor: (x, n) => tensor([0, n], { dtype: "i32", device }).add(x),
    randint: (x, n) => F.randint(n > 100 ? 0 : 1, n, [2], { dtype: "i32", device }).add(x),
  };
  for (const [name, f] of Object.entries(numbers)) {
    table[`${name}, a number`] = { f, good: [integers([1, 2]), 5], bad: [integers([1, 2]), 2 ** 40] };
  }
  const floats: Record<string, Run> = {
    full: (x, n) => full([2], n, { device }).add(x),
    tensor: (x, n) => tensor([0, n], { device }).add(x),
    maskedFill: (x, n) => x.maskedFill(x.gt(0), n).mul(2),
  };
  for (const [name, f] of Object.entries(floats)) {
    table[`${name}, a float`] = { f, good: [ones([2], { device }), 0.5], bad: [ones([2], { device }), 1e39] };
  }
  table["pow of integers"] = { f: (x, n) => x.pow(n), good: [integers([2]), 3], bad: [integers([2]), -3] };
  const dims: Record<string, Run> = {
    sum: (x, n) => x.sum(n),
    cumsum: (x, n) => x.cumsum(n),
    softmax: (x, n) => x.softmax(n),
    argmax: (x, n) => x.argmax(n),
    select: (x, n) => x.select(0, n),
  };
  for (const [name, f] of Object.entries(dims)) {
    table[`dim of ${name}`] = { f, good: [ones([2, 3], { device }), 1], bad: [ones([2, 3], { device }), 7] };
  }
  const x = ones([4, 3], { device }), good = integers([[0], [2]]);
  for (const bad of [integers([[0], [4]]), integers([[-7], [1]])]) {
    const ids: Record<string, Run> = {
      gather: (x, k) => x.t().gather(1, k),
      indexSelect: (x, k) => F.indexSelect(x, 0, k.flatten()),
      scatterAdd: (x, k) => F.scatterAdd(x.t(), 1, k, ones([2, 1], { device })),
      embedding: (x, k) => F.embedding(k, x).mul(2),
      oneHot: (_, k) => F.oneHot(k, 4).add(1),
      crossEntropy: (x, k) => F.crossEntropy(x.t().slice([0, 2]), k.flatten()),
    };
    for (const [name, f] of Object.entries(ids)) {
      table[`${name} of ${String(bad.shape)}, ${Object.keys(table).length}`] = {
        f,
        good: [x, good],
        bad: [x, bad],
      };
    }
  }
  return table;
}

async function outcome(f: (...args: never[]) => Tensor, args: Arguments): Promise<unknown> {
  try {
    const t = f(...args as unknown as never[]);
    return Array.from(await t.data() as ArrayLike<unknown>);
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

eachDevice((device) => {
  it("an error of values is the same in a program", async () => {
    for (const [name, { f, good, bad }] of Object.entries(cases(device))) {
      const expected = await outcome(f, bad), isRandom = name.startsWith("randint");
      assertMatch(String(expected), /^(DType|Shape|Option)Error: /, name);
      const right = await outcome(f, good);
      for (const optimize of [true, false]) {
        using compiled = compile(f as never, { optimize }) as F.Compiled<never[], Tensor>;
        // In the first run, when it was traced, and again and again: each time some more of it is captured.
        for (const args of [bad, good, bad, good, good, good, good, bad, bad, good]) {
          const found = await outcome(compiled, args);
          if (args === bad) assertEquals(found, expected, `${name}, optimize: ${optimize}`);
          else if (!isRandom) assertEquals(found, right, `${name}, optimize: ${optimize}`);
        }
      }
    }
  });
});
