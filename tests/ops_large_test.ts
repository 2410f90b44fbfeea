/**
 * Views of more elements than 32 bits count: memory is repeated, so they cost nothing, and every result is the one that
 * follows from the factor. The reference device looks at elements one by one, and is left out.
 */
import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { DeviceName } from "../src/backends/contract.ts";
import type { DType } from "../src/core/dtype.ts";
import { DeviceError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

/** A small tensor seen as a huge one: random axes repeat it, 2^31 to 2^46 elements in all. */
interface Huge {
  readonly small: Tensor;
  readonly view: Tensor;
  /** Which axes of the view only repeat. */
  readonly repeats: readonly boolean[];
}

function huge(random: Generator, dtype: DType, device: DeviceName): Huge {
  const rank = random.integer(1, 4), repeats = Array.from({ length: rank }, () => random.uniform() < 0.5);
  repeats[random.integer(0, rank)] = true;
  const count = repeats.filter((repeat) => repeat).length;
  const shape = repeats.map((repeat) =>
    repeat ? Math.floor(2 ** ((31 + 15 * random.uniform()) / count)) + 1 : random.integer(1, 5)
  );
  const own = shape.map((n, d) => repeats[d] ? 1 : n), size = own.reduce((a, b) => a * b, 1);
  const values = Array.from(
    { length: size },
    () => dtype === "bool" ? random.integer(0, 2) : random.integer(-4, 5),
  );
  const small = tensor(Float64Array.from(values), { dtype, device, shape: own });
  return { small, view: small.expand(shape), repeats };
}

const times = (view: Tensor, axes: readonly number[], { repeats }: Huge): number =>
  axes.reduce((n, d) => repeats[d] ? n * view.shape[d] : n, 1);

function declare(device: DeviceName): void {
  it("sums, means, extremes and products are those of what is repeated", async () => {
    const random = new Generator(1);
    for (let round = 0; round < 60; round++) {
      const dtype = (["f32", "f32", "f16", "bf16", "i32"] as const)[random.integer(0, 5)];
      const all = huge(random, dtype, device), { small, view } = all, { shape } = view;
      // Results are small tensors when every repeated axis is reduced.
      const axes = shape.map((_, d) => d).filter((d) => all.repeats[d] || random.uniform() < 0.5);
      const n = times(view, axes, all), what = `${dtype} [${shape}] over ${axes}`;
      const sums = await numbersOf(F.sum(small.to({ dtype: "f32" }), axes));
      if (dtype === "i32") {
        assertEquals(await numbersOf(view.sum(axes)), sums.map((x) => Number(BigInt(x) * BigInt(n))), what);
      } else {
        const store = dtype === "f16" ? 65504 : Infinity;
        const clipped = sums.map((x) => Math.abs(x * n) > store ? Math.sign(x) * Infinity : x * n);
        assertClose(await numbersOf(view.sum(axes)), clipped, what, { rtol: 2 ** -7 });
      }
      assertClose(
        await numbersOf(view.mean(axes)),
        await numbersOf(small.to({ dtype: "f32" }).mean(axes)),
        what,
        { rtol: 2 ** -7, atol: dtype === "f32" ? 1e-6 : 1e-2 },
      );
      assertEquals(await numbersOf(view.max(axes)), await numbersOf(small.max(axes)), what);
      assertEquals(await numbersOf(view.min(axes)), await numbersOf(small.min(axes)), what);
      const signs = small.sign(), factors = signs.expand([...shape]).prod(axes);
      const parity = (await numbersOf(signs.prod(axes))).map((x) => n % 2 === 0 ? x * x : x);
      assertEquals(await numbersOf(factors), parity, what);
      const ends = axes[random.integer(0, axes.length)];
      if (axes.length === 1) {
        assertEquals(await numbersOf(view.argmax(ends)), await numbersOf(small.argmax(ends)), what);
      }
    }
  });

  it("sums of i64 wrap at 64 bits and keep every digit before", async () => {
    const n = 2 ** 51 - 1, x = tensor([1n, -3n, 12_345_678_901n], { device });
    const sums = await x.expand([n, 3]).sum(0).data();
    const expected = [1n, -3n, 12_345_678_901n].map((v) => BigInt.asIntN(64, v * BigInt(n)));
    assertEquals([...sums as BigInt64Array], expected);
  });

  it("gradients of such sums arrive in what was repeated", async () => {
    const n = 2 ** 33, x = tensor([1, -2, 3], { device, requiresGrad: true });
    x.expand([n, 3]).sum().backward();
    x.expand([n, 3]).mean().backward();
    assertClose(await numbersOf(x.grad!), [n + 1 / 3, n + 1 / 3, n + 1 / 3], "gradient");
  });

  it("products whose sums repeat one product, and epilogues after them", async () => {
    const n = 2 ** 33 + 1, a = tensor([[2], [-3]], { device }), b = tensor([[5, 0.5]], { device });
    const bias = tensor([1, 2 ** 34], { device });
    const product = F.affine(a.expand([2, n]), b.expand([n, 2]), bias);
    assertClose(
      await numbersOf(product),
      [10 * n + 1, n + 2 ** 34, -15 * n + 1, -1.5 * n + 2 ** 34],
      "product",
    );
    const [i, j] = [a, b].map((t) => t.to({ dtype: "i32" }));
    assertEquals(await numbersOf(i.expand([2, n]).matmul(j.expand([n, 2]))), [10, 0, -15, 0].map((x) => x));
  });

  it("positions beyond 32 bits are found, and those that are not there named", async () => {
    const n = device === "webgpu" ? 2 ** 31 - 1 : 2 ** 33, x = tensor([[7, 8, 9]], { device }).expand([n, 3]);
    const at = (index: bigint): Tensor => tensor([[index, index, index]], { device });
    assertEquals(await numbersOf(x.gather(0, at(BigInt(n) - 1n))), [7, 8, 9]);
    assertEquals(await numbersOf(x.gather(0, at(-BigInt(n)))), [7, 8, 9]);
    assertEquals(await numbersOf(x.slice([n - 2, n - 1])), [7, 8, 9]);
    await assertRejects(
      async () => await x.gather(0, at(BigInt(n))).data(),
      ShapeError,
      `index ${n} is outside`,
    );
  });

  it("what would have to be stored is refused with the bytes it asks for", () => {
    const x = tensor([1, 2], { device }).expand([2 ** 33, 2]);
    for (
      const f of [
        () => x.add(1),
        () => x.cumsum(0),
        () => x.softmax(0),
        () => x.sort(0),
        () => x.reshape(-1).neg(),
      ]
    ) {
      const { message } = assertThrows(f, DeviceError);
      assertStrictEquals(message.includes("68719476736 bytes"), true, message);
    }
  });

  it("argmax looks along an axis of more than 2^24 floats", async () => {
    const n = 2 ** 24 + 5, x = F.zeros([n], { device });
    for (const at of [3, 2 ** 24, n - 2]) {
      using place = x.slice([at, at + 1]);
      F.copyInto(tensor([1 + at], { device }), place);
      assertStrictEquals(await x.argmax().item(), at);
    }
    x.dispose();
  });
}

describe("views of more elements than 32 bits count, on cpu", () => declare("cpu"));
onWebGpu(declare);
