/**
 * Integers: what adds up to more than 32 bits, and numbers that an integer dtype does not hold. Right, or a DTypeError that
 * names the number; never something else.
 */
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { type DType, rangeOf } from "../src/core/dtype.ts";
import { DTypeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { eachDevice } from "./_devices.ts";
import { it } from "./_suite.ts";
import { onWebGpu } from "./_webgpu.ts";

const whole = ["i32", "u8", "bool"] as const;
const pick = <T>(random: Generator, list: readonly T[]): T => list[random.integer(0, list.length)];

eachDevice((device) => {
  it("sums, products and running sums are those of whole numbers", async () => {
    const random = new Generator(314);
    for (let round = 0; round < 60; round++) {
      const dtype = pick(random, whole), n = random.integer(0, 40);
      const values = Array.from({ length: n }, () => {
        if (dtype === "bool") return BigInt(random.integer(0, 2));
        if (dtype === "u8") return BigInt(random.integer(0, 256));
        return BigInt(pick(random, [2 ** 31 - 1, -(2 ** 31), random.integer(-(2 ** 31), 2 ** 31)]));
      });
      const x = F.tensor(values.map(Number), { dtype, device });
      assertEquals(
        await x.sum().data(),
        BigInt64Array.of(values.reduce((a, b) => a + b, 0n)),
        `sum ${dtype}`,
      );
      const product = BigInt.asIntN(64, values.reduce((a, b) => a * b, 1n));
      assertEquals(await x.prod().data(), BigInt64Array.of(product), `prod ${dtype}`);
      let sum = 0n;
      assertEquals(await x.cumsum(0).data(), BigInt64Array.from(values, (v) => sum += v), `cumsum ${dtype}`);
      const ones = values.filter((v) => v !== 0n).length;
      assertEquals(await F.any(x).item(), ones > 0 ? 1 : 0);
      assertEquals(await F.all(x).item(), ones === n ? 1 : 0);
    }
    assertEquals(
      await F.sum(F.ones([1], { dtype: "u8", device }).mul(255).expand([2 ** 24 + 1]), 0).item(),
      255 * (2 ** 24 + 1),
    );
  });

  it("a number that the dtype does not hold is named", () => {
    const random = new Generator(2718);
    for (let round = 0; round < 200; round++) {
      const dtype = pick(random, ["u8", "i32"] as const), [least, greatest] = rangeOf(dtype)!.map(Number);
      const far = 1 + Math.floor(random.uniform() * 10 ** random.integer(0, 12));
      const value = random.uniform() < 0.5 ? greatest + far : least - far;
      const x = F.tensor([1, 2, 3], { dtype, device }), mask = F.tensor([true, false, true], { device });
      const uses: [string, () => unknown][] = [
        ...(["add", "sub", "mul", "maximum", "minimum", "remainder", "floorDivide", "fmod", "pow"] as const)
          .map((
            name,
          ): [string, () => unknown] => [name, () => F[name](x, value)]),
        ["maskedFill", () => F.maskedFill(x, mask, value)],
        ["where", () => F.where(mask, x, value)],
        ["where", () => F.where(mask, value, x)],
        ["full", () => F.full([2], value, { dtype, device })],
        [value > 0 ? "clampMin" : "clampMax", () => value > 0 ? F.clamp(x, value) : F.clamp(x, null, value)],
      ];
      const [name, use] = pick(random, uses),
        error = assertThrows(use, DTypeError, undefined, `${name} ${value}`);
      assertMatch(
        error.message,
        new RegExp(`^${name}: .* is ${value}, and ${dtype} holds`.replaceAll("+", "\\+")),
      );
    }
  });

  it("a bound beyond all numbers of the dtype bounds nothing; a comparison may ask with one", async () => {
    const random = new Generator(99);
    for (const dtype of ["u8", "i32", "i64"] as const satisfies readonly DType[]) {
      const values = Array.from({ length: 20 }, () => random.integer(0, 256)),
        x = F.tensor(values, { dtype, device });
      assertEquals((await x.clamp(-1e30, 1e30).toArray() as number[]).map(Number), values);
      assertEquals(
        (await x.clamp(7, 1e30).toArray() as number[]).map(Number),
        values.map((v) => Math.max(v, 7)),
      );
    }
    assertEquals(await F.tensor([1, 255], { dtype: "u8", device }).lt(300).toArray(), [1, 1]);
  });

  it("division by 0 and negative powers of integers are errors", () => {
    const random = new Generator(5);
    for (let round = 0; round < 40; round++) {
      const dtype = pick(random, ["u8", "i32", "i64"] as const),
        name = pick(random, ["floorDivide", "remainder", "fmod"] as const);
      const x = F.tensor([4, 5, 6], { dtype, device }), at = random.integer(0, 3);
      assertThrows(() => F[name](x, 0), DTypeError, "no quotient by 0");
      assertThrows(() => F.pow(x, dtype === "u8" ? -300 : -1 - round), DTypeError);
      if (device === "webgpu") continue;
      const divisor = F.tensor([1, 2, 3].map((v, i) => i === at ? 0 : v), { dtype, device });
      assertThrows(() => F[name](x, divisor), DTypeError, `element ${at} of the divisor`);
    }
  });
}, onWebGpu);
