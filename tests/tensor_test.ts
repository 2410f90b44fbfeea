/**
 * Making tensors, their dtypes and conversions, reading them, methods and functions.
 */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { DType } from "../src/core/dtype.ts";
import { ShapeError } from "../src/core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import * as F from "../src/ops/mod.ts";
import { type NestedArray, Tensor, tensor } from "../src/ops/mod.ts";
import { defaultDevice, setDefaultDevice, TensorBase } from "../src/tensor/mod.ts";
import { assertClose, eachDevice, numbersOf, testDevices } from "./_devices.ts";

const dtypes: readonly DType[] = ["bool", "u8", "i32", "i64", "f16", "bf16", "f32"];

eachDevice((device) => {
  describe("tensor", () => {
    const cases: [NestedArray, number[], DType][] = [
      [5, [], "f32"],
      [[1, 2.5], [2], "f32"],
      [[[1, 2, 3], [4, 5, 6]], [2, 3], "f32"],
      [[[[1], [2]]], [1, 2, 1], "f32"],
      [[true, false], [2], "bool"],
      [[1n, -(2n ** 40n)], [2], "i64"],
      [[1, true], [2], "f32"],
      [[], [0], "f32"],
      [[[], []], [2, 0], "f32"],
    ];
    for (const [data, shape, dtype] of cases) {
      it(`of ${dtype} ${JSON.stringify(shape)}`, async () => {
        const t = tensor(data, { device });
        assertEquals([t.shape, t.dtype, t.device], [shape, dtype, device]);
        assertEquals(await numbersOf(t), ([data] as NestedArray[]).flat(9).map(Number));
      });
    }

    it("takes typed arrays with their dtype, and a shape", async () => {
      const arrays: [ArrayBufferView, DType][] = [
        [new Float32Array([1, 2, 3, 4]), "f32"],
        [new Int32Array([1, 2, 3, 4]), "i32"],
        [new Int16Array([1, 2, 3, 4]), "i32"],
        [new Uint8Array([1, 2, 3, 4]), "u8"],
        [new BigInt64Array([1n, 2n, 3n, 4n]), "i64"],
        [new Float64Array([1, 2, 3, 4]), "f32"],
      ];
      for (const [data, dtype] of arrays) {
        const t = tensor(data, { device, shape: [2, 2] });
        assertEquals([t.dtype, t.shape], [dtype, [2, 2]]);
        assertEquals(await t.toArray(), [[1, 2], [3, 4]]);
      }
    });

    it("takes 16-bit floats as raw bits or rounds numbers", async () => {
      const bits = new Uint16Array([0x3c00, 0xc000]);
      assertEquals(await tensor(bits, { device, dtype: "f16" }).toArray(), [1, -2]);
      assertEquals(
        await tensor([1, -2, 0.1], { device, dtype: "f16" }).data(),
        new Uint16Array([0x3c00, 0xc000, 0x2e66]),
      );
      assertEquals(
        await tensor([1, -2, 0.1], { device, dtype: "bf16" }).data(),
        new Uint16Array([0x3f80, 0xc000, 0x3dcd]),
      );
    });

    it("copies: later changes of the array do not show", async () => {
      const data = new Float32Array([1, 2]), t = tensor(data, { device });
      data[0] = 9;
      assertEquals(await t.toArray(), [1, 2]);
    });

    it("makes bool of anything but 0", async () => {
      assertEquals(await numbersOf(tensor([0, 2, -1, NaN], { device, dtype: "bool" })), [0, 1, 1, 1]);
      assertEquals(await numbersOf(tensor(new Uint8Array([0, 7]), { device, dtype: "bool" })), [0, 1]);
    });
  });

  describe("other ways to make one", () => {
    it("zeros, ones, full, empty and their likes", async () => {
      for (const dtype of dtypes) {
        assertEquals(await F.zeros([2, 1], { device, dtype }).toArray(), [[0], [0]]);
        assertEquals(await F.ones([2], { device, dtype }).toArray(), [1, 1]);
        assertStrictEquals(F.empty([3], { device, dtype }).dtype, dtype);
      }
      assertEquals(await F.full([2], 7.5, { device }).toArray(), [7.5, 7.5]);
      assertStrictEquals(F.full([2], true, { device }).dtype, "bool");
      const like = F.onesLike(F.zeros([2], { device, dtype: "i64" }));
      assertEquals([like.dtype, like.device, await like.data()], [
        "i64",
        device,
        new BigInt64Array([1n, 1n]),
      ]);
      assertEquals(await F.zerosLike(like, { dtype: "f32" }).data(), new Float32Array(2));
    });

    it("arange, linspace, eye", async () => {
      assertEquals(await F.arange(4, { device }).data(), new Int32Array([0, 1, 2, 3]));
      assertEquals(await F.arange(2, 5, { device }).toArray(), [2, 3, 4]);
      assertEquals(await F.arange(5, 0, -2, { device }).toArray(), [5, 3, 1]);
      assertEquals(await F.arange(0, 1, 0.25, { device }).data(), new Float32Array([0, 0.25, 0.5, 0.75]));
      assertEquals(await F.arange(3, 3, { device }).toArray(), []);
      assertStrictEquals(F.arange(3, { device, dtype: "f16" }).dtype, "f16");
      assertEquals(await F.linspace(0, 1, 5, { device }).toArray(), [0, 0.25, 0.5, 0.75, 1]);
      assertEquals((await numbersOf(F.linspace(0.1, 0.7, 7, { device }))).at(-1), Math.fround(0.7));
      assertEquals(await F.linspace(3, 9, 1, { device }).toArray(), [3]);
      assertEquals(await F.eye(2, { device }).toArray(), [[1, 0], [0, 1]]);
      assertEquals(await F.eye(2, 3, { device, dtype: "bool" }).toArray(), [[1, 0, 0], [0, 1, 0]]);
    });
  });

  describe("random numbers", () => {
    it("are the same for the same seed, and stay in their range", async () => {
      const a = await F.rand([1000], { device, seed: 3 }).data() as Float32Array;
      assertEquals(await F.rand([1000], { device, seed: 3 }).data(), a);
      assertNotEquals(await F.rand([1000], { device, seed: 4 }).data(), a);
      assert(a.every((v) => v >= 0 && v < 1));
      const mean = a.reduce((s, v) => s + v, 0) / 1000;
      assert(Math.abs(mean - 0.5) < 0.05, `mean ${mean}`);
      const whole = await F.randint(-2, 3, [1000], { device, seed: 3 }).data() as Int32Array;
      assertEquals([...new Set(whole)].sort((a, b) => a - b), [-2, -1, 0, 1, 2]);
      const below = await numbersOf(F.randint(3, [100], { device, seed: 3 }));
      assertEquals([...new Set(below)].sort(), [0, 1, 2]);
      const between = await numbersOf(F.uniform([1000], -3, -1, { device, seed: 3 }));
      assert(between.every((v) => v >= -3 && v < -1));
    });

    it("follow the process's seed, and continue where they were", async () => {
      F.manualSeed(11);
      const first = await F.randn([5], { device }).data(), state = F.randomState();
      const second = await F.randn([5], { device }).data();
      F.setRandomState(state);
      assertEquals(await F.randn([5], { device }).data(), second);
      F.manualSeed(11);
      assertEquals(await F.randn([5], { device }).data(), first);
      assertNotEquals(first, second);
    });

    it("with a seed of their own leave the process's alone", async () => {
      F.manualSeed(5);
      const before = F.randomState();
      await F.rand([4], { device, seed: 1 }).data();
      assertEquals(F.randomState(), before);
    });

    it("drop as much as they should", async () => {
      F.manualSeed(2);
      const y = await numbersOf(F.dropout(F.ones([2000], { device }), 0.25));
      const dropped = y.filter((v) => v === 0).length;
      assert(Math.abs(dropped - 500) < 80, `${dropped} dropped`);
      assert(y.every((v) => v === 0 || Math.abs(v - 4 / 3) < 1e-6));
      const x = F.ones([4], { device });
      assertStrictEquals(F.dropout(x, 0.5, false), x);
      assertEquals(await numbersOf(F.dropout(x, 1)), [0, 0, 0, 0]);
    });
  });

  describe("dtypes", () => {
    // Row and column in the order of `dtypes`; as torch.promote_types.
    const promoted: DType[][] = [
      ["bool", "u8", "i32", "i64", "f16", "bf16", "f32"],
      ["u8", "u8", "i32", "i64", "f16", "bf16", "f32"],
      ["i32", "i32", "i32", "i64", "f16", "bf16", "f32"],
      ["i64", "i64", "i64", "i64", "f16", "bf16", "f32"],
      ["f16", "f16", "f16", "f16", "f16", "f32", "f32"],
      ["bf16", "bf16", "bf16", "bf16", "f32", "bf16", "f32"],
      ["f32", "f32", "f32", "f32", "f32", "f32", "f32"],
    ];
    it("promote as in PyTorch", async () => {
      for (const [i, a] of dtypes.entries()) {
        for (const [j, b] of dtypes.entries()) {
          const sum = F.maximum(F.ones([2], { device, dtype: a }), F.zeros([2], { device, dtype: b }));
          assertStrictEquals(sum.dtype, promoted[i][j], `${a} with ${b}`);
          assertEquals(await sum.toArray(), [1, 1]);
        }
      }
    });

    it("of a single number count only when they are of a higher kind", () => {
      const result = (a: DType, b: DType): DType =>
        F.add(F.ones([2], { device, dtype: a }), F.ones([], { device, dtype: b })).dtype;
      const cases: [DType, DType, DType][] = [
        ["f16", "f32", "f16"],
        ["i32", "i64", "i32"],
        ["u8", "i32", "u8"],
        ["bool", "i64", "i64"],
        ["i32", "f32", "f32"],
        ["i64", "f16", "f16"],
        ["f32", "i64", "f32"],
      ];
      for (const [a, b, c] of cases) assertStrictEquals(result(a, b), c, `${a} with one ${b}`);
    });

    it("meet plain numbers", () => {
      const result = (dtype: DType, x: number): DType => F.add(F.ones([2], { device, dtype }), x).dtype;
      assertEquals(dtypes.map((d) => result(d, 2)), ["i32", "u8", "i32", "i64", "f16", "bf16", "f32"]);
      assertEquals(dtypes.map((d) => result(d, 0.5)), ["f32", "f32", "f32", "f32", "f16", "bf16", "f32"]);
    });

    it("of results: comparisons are bool, division and roots are floats, sums of integers i64", () => {
      const i = F.ones([2], { device, dtype: "i32" }),
        u = F.ones([2], { device, dtype: "u8" }),
        h = F.ones([2], { device, dtype: "f16" });
      assertEquals([F.lt(i, 2).dtype, F.isnan(h).dtype, F.logicalNot(u).dtype], ["bool", "bool", "bool"]);
      assertEquals([F.div(i, 2).dtype, F.sqrt(i).dtype, F.div(h, 2).dtype, F.mean(i).dtype], [
        "f32",
        "f32",
        "f16",
        "f32",
      ]);
      assertEquals([F.sum(u).dtype, F.sum(i.gt(0)).dtype, F.sum(h).dtype, F.prod(u).dtype], [
        "i64",
        "i64",
        "f16",
        "i64",
      ]);
      assertEquals([F.argmax(h).dtype, F.sort(h).indices.dtype, F.cumsum(u, 0).dtype], [
        "i32",
        "i32",
        "i64",
      ]);
    });

    it("convert into each other", async () => {
      const kinds: Record<string, "float" | "integer"> = { f16: "float", bf16: "float", f32: "float" };
      const limits: Record<string, [number, number]> = {
        u8: [0, 255],
        i32: [-(2 ** 31), 2 ** 31 - 1],
        i64: [-(2 ** 63), 2 ** 63],
      };
      const stored = (v: number, dtype: DType): number =>
        dtype === "f16" ? fromF16(toF16(v)) : dtype === "bf16" ? fromBf16(toBf16(v)) : Math.fround(v);
      const expected = (v: number, from: DType, to: DType): number => {
        if (to === "bool") return v === 0 ? 0 : 1;
        if (kinds[to]) return stored(v, to);
        if (kinds[from]) {
          return Number.isNaN(v) ? 0 : Math.trunc(Math.min(Math.max(v, limits[to][0]), limits[to][1])) + 0;
        }
        if (to === "u8") return v & 255;
        return to === "i32" ? Number(BigInt.asIntN(32, BigInt(v))) : v;
      };
      for (const from of dtypes) {
        const values = kinds[from]
          ? [0, 1, -1, 0.5, -0.75, 3.7, -3.7, 300, 70000, 1e10, NaN, 2 ** -20].map((v) => stored(v, from))
          : {
            bool: [0, 1],
            u8: [0, 1, 200, 255],
            i32: [0, -1, 300, -70001, 2 ** 31 - 1],
            i64: [0, -1, 300, 2 ** 40 + 5],
          }[from as string] as number[];
        const t = tensor(values, { device, dtype: from });
        for (const to of dtypes) {
          assertEquals(
            await numbersOf(t.to({ dtype: to })),
            values.map((v) => expected(v, from, to)),
            `${from} to ${to}`,
          );
        }
      }
    });

    it("keep whole numbers beyond 2^24 whole", async () => {
      const big = tensor([16777217, -16777219], { device, dtype: "i32" });
      assertEquals(await F.where(tensor([1, 0], { device }), big, 0).toArray(), [16777217, 0]);
      assertEquals(await F.maskedFill(big, tensor([0, 1], { device }), 3).toArray(), [16777217, 3]);
      const wide = tensor([2n ** 60n, -1n], { device });
      assertEquals(await wide.add(wide).data(), new BigInt64Array([2n ** 61n, -2n]));
      assertEquals(await wide.sum().data(), new BigInt64Array([2n ** 60n - 1n]));
    });

    it("of half precision are averaged without overflow", async () => {
      const x = F.full([3000], 60, { device, dtype: "f16" });
      assertEquals([await x.mean().item(), x.mean().dtype], [60, "f16"]);
      assertStrictEquals(await x.var().item(), 0);
      const y = tensor([-200, 0, 200], { device, dtype: "f16" });
      assertStrictEquals(await y.var(null, { correction: 0 }).item(), 26672);
      assertClose(await numbersOf(F.layerNorm(y.mul(100), 3)), [-1.2247, 0, 1.2247], "layerNorm", {
        atol: 1e-3,
      });
      assertStrictEquals(F.softmax(y).dtype, "f16");
    });
  });

  describe("reading", () => {
    it("data, item, toArray", async () => {
      const t = tensor([[1, 2], [3, 4]], { device });
      assertEquals(await t.data(), new Float32Array([1, 2, 3, 4]));
      assertEquals(await t.transpose(0, 1).data(), new Float32Array([1, 3, 2, 4]));
      assertEquals(await t.slice(1).toArray(), [3, 4]);
      assertStrictEquals(await t.slice(-1, -1).item(), 4);
      assertStrictEquals(await tensor([7n], { device }).item(), 7);
      assertStrictEquals(await tensor(true, { device }).item(), 1);
      assertEquals(await F.zeros([2, 0], { device }).toArray(), [[], []]);
      await assertRejects(() => t.item(), ShapeError);
    });

    it("gives copies: writing to them changes nothing", async () => {
      const t = tensor([1, 2], { device }), data = await t.data();
      data[0] = 5;
      assertEquals(await t.toArray(), [1, 2]);
    });

    it("toString says what it is", () => {
      const t = tensor([[1, 2]], { device });
      assertStrictEquals(String(t), `Tensor [1, 2] f32 on ${device}`);
      t.dispose();
      assertStrictEquals(String(t), "Tensor [1, 2] f32 on nothing (disposed)");
    });
  });

  describe("to", () => {
    it("moves between devices, with the gradient coming back", async () => {
      for (const other of testDevices) {
        const x = tensor([[1, 2], [3, 4]], { device, requiresGrad: true });
        const moved = x.transpose(0, 1).to({ device: other });
        assertEquals([moved.device, await moved.toArray()], [other, [[1, 3], [2, 4]]]);
        moved.mul(tensor([[1, 2], [3, 4]], { device: other })).sum().backward();
        assertEquals([x.grad?.device, await x.grad?.toArray()], [device, [[1, 3], [2, 4]]]);
      }
    });

    it("gives itself where nothing changes", () => {
      const t = tensor([1], { device });
      assertStrictEquals(t.to({ device }), t);
      assertStrictEquals(t.to({ dtype: "f32" }), t);
    });

    it("converts and moves at once, also where one side has no f64", async () => {
      const wide = tensor([1 / 3], { device: "reference", dtype: "f64" });
      assertEquals(await wide.to({ device, dtype: "f32" }).data(), new Float32Array([1 / 3]));
      const t = tensor([1.5], { device }).to({ device: "reference", dtype: "f64" });
      assertEquals(await t.data(), new Float64Array([1.5]));
    });
  });
});

describe("devices", () => {
  it("have a default", () => {
    const before = defaultDevice();
    setDefaultDevice("reference");
    assertStrictEquals(tensor([1]).device, "reference");
    setDefaultDevice(before);
    assertStrictEquals(tensor([1]).device, before);
  });

  it("give the same bits for the same seed", async () => {
    const bits = async (make: (device: "cpu" | "reference") => Tensor): Promise<void> => {
      assertEquals(await make("cpu").data(), await make("reference").data());
    };
    await bits((device) => F.rand([257], { device, seed: 42 }));
    await bits((device) => F.randn([257], { device, seed: 42 }));
    await bits((device) => F.randn([33], { device, seed: 42, dtype: "bf16" }));
    await bits((device) => F.randint(0, 1000, [64], { device, seed: 42 }));
  });
});

describe("methods", () => {
  it("are also functions, and take the tensor first", () => {
    const own = [
      "constructor",
      "ndim",
      "data",
      "item",
      "toArray",
      "to",
      "requiresGrad",
      "requiresGrad_",
      "backward",
      "toString",
    ];
    const names = new Set<string>();
    for (
      let level: object = Tensor.prototype;
      level !== TensorBase.prototype;
      level = Object.getPrototypeOf(level)
    ) {
      for (const name of Object.getOwnPropertyNames(level)) names.add(name);
    }
    for (const name of own) names.delete(name);
    assert(names.size > 100, `${names.size} methods`);
    for (const name of names) {
      assertStrictEquals(
        typeof (F as Record<string, unknown>)[name === "view" ? "reshape" : name],
        "function",
        name,
      );
    }
  });

  it("give what the functions give", async () => {
    const x = tensor([[1, -2, 3], [0.5, 4, -1]], { device: "cpu" });
    const pairs: [Tensor, Tensor][] = [
      [x.add(1), F.add(x, 1)],
      [x.var(1, { correction: 0 }), F.var(x, 1, { correction: 0 })],
      [x.view(3, 2), F.reshape(x, [3, 2])],
      [x.permute([1, 0]), F.permute(x, [1, 0])],
      [x.gelu("tanh"), F.gelu(x, { approximate: "tanh" })],
      [x.clamp(0), F.clamp(x, 0)],
      [x.where(1, 2), F.where(x, 1, 2)],
      [x.t(), F.transpose(x, 0, 1)],
      [x.sum(null, true), F.sum(x, null, { keepdim: true })],
    ];
    for (const [method, f] of pairs) {
      assertEquals([method.shape, await method.toArray()], [f.shape, await f.toArray()]);
    }
  });
});
