/**
 * The ends of what dtypes, numbers and memory hold: what does not fit is refused by name, before memory is taken, and never
 * stored as something else.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { it } from "node:test";
import { DeviceError, DTypeError, OptionError, ShapeError } from "../src/core/errors.ts";
import type { DType } from "../src/core/dtype.ts";
import { Generator } from "../src/core/random.ts";
import { memory } from "../src/tensor/mod.ts";
import * as F from "../src/ops/mod.ts";
import { type NestedArray, type Tensor, tensor } from "../src/ops/mod.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

const ranges: readonly (readonly [dtype: DType, least: bigint, greatest: bigint])[] = [
  ["i64", -(2n ** 63n), 2n ** 63n - 1n],
  ["i32", -(2n ** 31n), 2n ** 31n - 1n],
  ["u8", 0n, 255n],
];

eachDevice((device) => {
  it("keeps every whole number that a dtype holds, and refuses every other by its place", async () => {
    const random = new Generator(1);
    for (const [dtype, least, greatest] of ranges) {
      for (let round = 0; round < 100; round++) {
        const span = Number(greatest - least),
          near = BigInt(Math.floor(Math.min(span, 2 ** 53) * random.uniform()));
        const inside = [least, greatest, least + near, greatest - near];
        const stored = await tensor(inside, { dtype, device }).data();
        assertEquals(Array.from(stored as ArrayLike<number | bigint>, BigInt), inside);
        const far = 1n + BigInt(random.integer(0, 2 ** 40)),
          wrong = random.uniform() < 0.5 ? least - far : greatest + far;
        const row = random.integer(0, 3), column = random.integer(0, 2);
        const lists = [[0n, 1n], [2n, 3n], [4n, 5n]];
        lists[row][column] = wrong;
        const { message } = assertThrows(() => tensor(lists, { dtype, device }), DTypeError);
        assertStrictEquals(
          message.startsWith(`tensor: data[${row}][${column}] is ${wrong}, and ${dtype} holds`),
          true,
          message,
        );
      }
    }
  });

  it("takes no NaN, infinity or number beyond the range for a whole one, in lists, arrays and constants", () => {
    for (const [dtype] of ranges) {
      for (const wrong of [NaN, Infinity, -Infinity, 1e300, -1e19, dtype === "i64" ? 2 ** 63 : 2 ** 32]) {
        const all: (() => Tensor)[] = [
          () => tensor(wrong, { dtype, device }),
          () => tensor([[[wrong]]], { dtype, device }),
          () => tensor(Float64Array.of(1, wrong), { dtype, device }),
          () => F.full([2], wrong, { dtype, device }),
          () => F.pad(F.zeros([2], { dtype, device }), [1, 1], { value: wrong }),
          () => F.scatter(F.zeros([2], { dtype, device }), 0, tensor([0], { dtype: "i32", device }), wrong),
        ];
        for (const f of all) {
          assertMatch(assertThrows(f, DTypeError).message, new RegExp(`and ${dtype} holds whole`));
        }
      }
    }
    assertThrows(() => tensor(2n ** 64n, { device }), DTypeError, "18446744073709551616, and i64 holds");
  });

  it("cuts fractions, keeps truth, and rounds floats", async () => {
    assertEquals(await numbersOf(tensor([3.9, -3.9, 0.5], { dtype: "i32", device })), [3, -3, 0]);
    assertEquals(await numbersOf(tensor([255.9], { dtype: "u8", device })), [255]);
    assertEquals(await numbersOf(tensor([NaN, 0, 2n ** 70n], { dtype: "bool", device })), [1, 0, 1]);
    assertEquals(await numbersOf(F.full([1], 65519, { dtype: "f16", device })), [65504]);
  });

  it("refuses a finite number that would become an infinity, and takes infinities, in every constructor", async () => {
    const first = { f16: 65520, bf16: 2 ** 128 - 2 ** 119, f32: 2 ** 128 - 2 ** 103 } as const;
    const makers: Record<string, (x: number, dtype: DType) => Tensor> = {
      "a number": (x, dtype) => tensor(x, { dtype, device }),
      "lists": (x, dtype) => tensor([[0, 1], [1, x]], { dtype, device }),
      "an array": (x, dtype) => tensor(new Float64Array([0, x]), { dtype, device }),
      "a bigint": (x, dtype) =>
        tensor([0n, Number.isFinite(x) ? BigInt(Math.round(x)) : x], { dtype, device }),
      "full": (x, dtype) => F.full([2], x, { dtype, device }),
      "linspace": (x, dtype) => F.linspace(0, x, 1 + Number(Number.isFinite(x)), { dtype, device }),
      "arange": (x, dtype) =>
        Number.isFinite(x) ? F.arange(0, 1.5 * x, x, { dtype, device }) : tensor([x], { dtype, device }),
      "maskedFill": (x, dtype) =>
        F.zeros([2], { dtype, device }).maskedFill(tensor([false, true], { device }), x),
      "where": (x, dtype) => F.where(tensor([true], { device }), x, F.zeros([1], { dtype, device })),
    };
    for (const [dtype, x] of Object.entries(first) as [keyof typeof first, number][]) {
      for (const [name, make] of Object.entries(makers)) {
        for (const value of [x, 1.01 * x, -x, 1e300]) {
          const { message } = assertThrows(() => make(value, dtype), DTypeError);
          assertMatch(
            message,
            new RegExp(`^\\w+: .* is -?[\\d.e+]+, and the largest number of ${dtype} is`),
            name,
          );
        }
        const largest = 0.999 * x;
        assert(Number.isFinite((await numbersOf(make(largest, dtype))).at(-1)), `${name} of ${largest}`);
        if (name === "linspace") continue;
        for (const value of [Infinity, -Infinity]) {
          assertEquals((await numbersOf(make(value, dtype))).at(-1), value, name);
        }
      }
    }
  });

  it("at the limits: what the table beside DType says", async () => {
    const of = (values: NestedArray, dtype: DType): Tensor => tensor(values, { dtype, device });
    const rows: readonly (readonly [Tensor, readonly number[]])[] = [
      [of([3e9, -3e9, NaN, 1.9, -1.9, Infinity], "f32").to({ dtype: "i32" }), [
        2 ** 31 - 1,
        -(2 ** 31),
        0,
        1,
        -1,
        2 ** 31 - 1,
      ]],
      [of([300, -1, NaN, 1.9], "f32").to({ dtype: "u8" }), [255, 0, 0, 1]],
      [of([300, -1, 256], "i32").to({ dtype: "u8" }), [44, 255, 0]],
      [of([2n ** 31n, 2n ** 32n + 5n], "i64").to({ dtype: "i32" }), [-(2 ** 31), 5]],
      [of([65520, -1e6], "f32").to({ dtype: "f16" }), [Infinity, -Infinity]],
      [of([0, NaN, 0.1], "f32").to({ dtype: "bool" }), [0, 1, 1]],
      [of([2 ** 31 - 1], "i32").add(1), [-(2 ** 31)]],
      [of([65536, 3], "i32").mul(65536), [0, 196608]],
      [of([2], "i32").pow(33), [0]],
      [of([250], "u8").add(of([10], "u8")), [4]],
      [of([-(2 ** 31)], "i32").neg(), [-(2 ** 31)]],
      [F.matmul(of([[65536]], "i32"), of([[65536]], "i32")), [0]],
      [of([2 ** 31 - 1, 1], "i32").sum(), [2 ** 31]],
      [of([1, -1, 0], "i32").div(0), [Infinity, -Infinity, NaN]],
      [of([3e38], "f32").mul(10), [Infinity]],
      [of([65504], "f16").add(of([65504], "f16")), [Infinity]],
    ];
    for (const [i, [found, expected]] of rows.entries()) {
      if (device === "webgpu") break;
      assertEquals(await numbersOf(found), expected, `row ${i}`);
    }
  });

  it("refuses a number that the integers it meets do not hold, but bounds beyond them", async () => {
    const x = tensor([1, 2], { dtype: "i32", device });
    for (const f of [() => x.add(3e9), () => x.lt(3e9), () => x.maximum(-3e9), () => x.mul(-(2 ** 31) - 1)]) {
      assertMatch(assertThrows(f, DTypeError).message, /an operand is -?\d+, and i32 holds/);
    }
    assertEquals(await numbersOf(x.clamp(-1e12, 1e12)), [1, 2]);
    assertEquals(await numbersOf(x.add(0.5)), [1.5, 2.5]);
  });

  it("gives i64 as numbers only where numbers hold them", async () => {
    for (const v of [2n ** 53n, -(2n ** 53n), 2n ** 62n, 0n]) {
      assertStrictEquals(await tensor(v, { device }).item(), Number(v));
    }
    for (const v of [2n ** 53n + 1n, -(2n ** 53n) - 1n, 2n ** 63n - 1n]) {
      await assertRejects(() => tensor(v, { device }).item(), DTypeError, `item: ${v} has more digits`);
      await assertRejects(() => tensor([[1n, v]], { device }).toArray(), DTypeError, `toArray: ${v} has`);
      assertEquals(await tensor([v], { device }).data(), BigInt64Array.of(v));
    }
  });

  it("counts without losing a digit, or refuses", async () => {
    const near = 2 ** 31 - 2;
    const counted = F.arange(near, near + 4, { device });
    assertEquals([counted.dtype, ...await numbersOf(counted)], ["i64", near, near + 1, near + 2, near + 3]);
    assertStrictEquals(F.arange(near, near + 2, { device }).dtype, "i32");
    assertThrows(() => F.arange(2 ** 53 - 1, 2 ** 53 + 2, { device }), OptionError, "a number does not hold");
    assertThrows(
      () => F.arange(-1, 3, { dtype: "u8", device }),
      DTypeError,
      "arange: element 0 is -1, and u8 holds",
    );
    assertThrows(() => F.randint(2 ** 40, [2], { device }), OptionError, "is not a number of i32");
    const large = await numbersOf(F.randint(2 ** 40, [200], { device, dtype: "i64", seed: 1 }));
    assertStrictEquals(large.some((x) => x > 2 ** 32), true);
    assertEquals(await numbersOf(F.arange(0, 70_000, { device, dtype: "f32" }).slice([65_534, 65_538])), [
      65534,
      65535,
      65536,
      65537,
    ]);
    for (const shape of [[2 ** 32, 0], [1e6, 1e6, 0]]) {
      const none = F.zeros(shape, { device });
      await assertRejects(() => none.toArray(), ShapeError, "has no value, and would be");
    }
    // One element, seen as many: nothing is read or copied before it is refused.
    for (const shape of [[2 ** 26 + 1], [2 ** 20, 2 ** 20], [2 ** 13, 2 ** 13 + 1]]) {
      const many = F.zeros([1], { dtype: "u8", device }).expand(shape);
      await assertRejects(
        () => many.toArray(),
        ShapeError,
        `has ${many.size} elements, and lists hold 67108864`,
      );
    }
    assertEquals(await F.zeros([2, 0, 2 ** 20], { device }).toArray(), [[], []]);
    assertEquals(await F.eye(2, 3, { device, dtype: "bool" }).toArray(), [[1, 0, 0], [0, 1, 0]]);
    assertEquals(await F.eye(3, 1, { device }).toArray(), [[1], [0], [0]]);
    assertEquals(F.eye(0, 3, { device }).shape, [0, 3]);
    assertClose(await numbersOf(F.linspace(0, 1, 5, { device })), [0, 0.25, 0.5, 0.75, 1], "linspace");
  });

  it("names a class id that is none, whatever the loss, its options and the dtype of ids", async () => {
    const logits = tensor([[1, 2, 3], [3, 4, 9]], { device }), late = device === "webgpu";
    for (const dtype of ["i32", "i64"] as const) {
      for (const wrong of [3, -1, -101, ...dtype === "i64" ? [2 ** 32, -(2 ** 32), 2 ** 40 + 1] : []]) {
        const ids = tensor([0, wrong], { dtype, device }), weight = F.ones([3], { device });
        const losses: Record<string, () => Tensor> = {
          oneHot: () => F.oneHot(ids, 3),
          crossEntropy: () => F.crossEntropy(logits, ids),
          "crossEntropy with weights": () => F.crossEntropy(logits, ids, { weight }),
          "crossEntropy smoothed": () => F.crossEntropy(logits, ids, { labelSmoothing: 0.1 }),
          nllLoss: () => F.nllLoss(logits.logSoftmax(1), ids),
        };
        for (const [name, f] of Object.entries(losses)) {
          const { message } = await assertRejects(async () => await f().data(), ShapeError);
          const expected = `${name.split(" ")[0]}: target ${wrong} is none of the 3 classes`;
          if (!late) assertStrictEquals(message.startsWith(expected), true, `${name}: ${message}`);
        }
      }
      const ignored = tensor([0, -7], { dtype, device });
      assertClose(
        await numbersOf(F.crossEntropy(logits, ignored, { ignoreIndex: -7 })),
        await numbersOf(F.crossEntropy(logits.slice([0, 1]), tensor([0], { dtype, device }))),
        "ignored",
      );
    }
    const far = tensor([0, 2 ** 40], { dtype: "i64", device });
    assertClose(
      await numbersOf(F.crossEntropy(logits, far, { ignoreIndex: 2 ** 40 })),
      [2.4076059644443806],
      "ignored beyond 32 bits",
    );
    assertThrows(
      () => F.crossEntropy(logits, tensor([0, 1], { dtype: "i32", device }), { ignoreIndex: 2 ** 40 }),
      OptionError,
    );
    assertEquals(await F.oneHot(tensor([[1], [0]], { dtype: "i32", device }), 2).toArray(), [[[0, 1]], [[
      1,
      0,
    ]]]);
    assertEquals(F.oneHot(F.zeros([0], { dtype: "i64", device }), 4).shape, [0, 4]);
    for (const classes of [-1, 1.5, NaN]) {
      assertThrows(
        () => F.oneHot(tensor([0], { dtype: "i32", device }), classes),
        ShapeError,
        "oneHot: classes is",
      );
    }
  });

  it("refuses sizes that memory does not hold with the bytes they ask for, and takes none", () => {
    const before = memory()[device], index = tensor([1], { dtype: "i32", device });
    const asked: Record<string, () => Tensor> = {
      arange: () => F.arange(1e12, { device, dtype: "f32" }),
      linspace: () => F.linspace(0, 1, 1e12, { device }),
      zeros: () => F.zeros([1e6, 1e6], { device }),
      ones: () => F.ones([1e12], { device }),
      full: () => F.full([1e6, 1e6], 3, { device }),
      empty: () => F.empty([1e12], { device }),
      eye: () => F.eye(1e6, { device }),
      rand: () => F.rand([1e12], { device }),
      randn: () => F.randn([1e6, 1e6], { device, seed: 1 }),
      randint: () => F.randint(9, [1e12], { device }),
      oneHot: () => F.oneHot(index, 1e12),
      pad: () => F.pad(F.zeros([1], { device }), [0, 1e12 - 1]),
      repeat: () => F.repeat(F.zeros([2], { device }), [5e11]),
      outer: () => F.outer(F.zeros([1], { device }).expand([1e6]), F.zeros([1], { device }).expand([1e6])),
    };
    for (const [name, f] of Object.entries(asked)) {
      const { message } = assertThrows(f, DeviceError, undefined, name);
      assertMatch(message, /4000000000000 bytes/, `${name}: ${message}`);
    }
    index.dispose();
    assertStrictEquals(memory()[device].bytes <= before.bytes + 4096, true);
  });

  it("refuses shapes that cannot be counted, nested too deep, or that hold themselves", () => {
    const itself: unknown[] = [];
    itself[0] = itself;
    let deep: NestedArray = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    for (const list of [itself as NestedArray, deep]) {
      assertThrows(() => tensor(list, { device }), ShapeError, "nested more than 64 deep");
    }
    const one = F.zeros([1, 1], { device });
    const shapes: (() => unknown)[] = [
      () => F.zeros([2 ** 27, 2 ** 27], { device }),
      () => F.arange(0, 1e300, 0.5, { device }),
      () => F.rand([1e200, 1e200], { device }),
      () => one.expand([2 ** 27, 2 ** 27]),
      () => one.expand([2 ** 40, 1]).unsqueeze(0).expand([2 ** 20, 2 ** 40, 1]),
      () => one.expand([2 ** 40, 1]).split(1),
    ];
    for (const f of shapes) assertThrows(f, ShapeError);
    assertEquals(F.zeros([0, 2 ** 40], { device }).shape, [0, 2 ** 40]);
  });
}, onWebGpu);
