/** Steps over a key-value cache, written the ordinary way and compiled: one program, whatever the number of positions. */
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  add,
  arange,
  type AttentionOptions,
  compile,
  type DeviceName,
  type DType,
  manualSeed,
  nn,
  noGrad,
  randn,
  scaledDotProductAttention,
  ShapeError,
  type Tensor,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

/** What a layer does with a cache. */
type Attend = (cache: nn.KVCache, q: Tensor, k: Tensor, v: Tensor) => Tensor;

const attendWith = (options: AttentionOptions): Attend => (cache, q, k, v) =>
  noGrad(() => {
    const seen = cache.append(k, v);
    return scaledDotProductAttention(q, seen.keys, seen.values, options);
  });

/** A case: batch, heads, heads of keys, width, new positions at a time, dtype of the cache, options. */
type Case = [number, number, number, number, number, DType, AttentionOptions];

const cases: readonly Case[] = [
  [1, 2, 2, 32, 1, "f32", { isCausal: true }],
  [2, 3, 3, 7, 1, "f32", { isCausal: true }],
  [1, 4, 2, 8, 1, "f32", { isCausal: true }],
  [1, 2, 2, 32, 1, "f16", { isCausal: true, scale: 0.3 }],
  [2, 2, 2, 32, 1, "bf16", {}],
  [1, 2, 1, 5, 3, "f32", { isCausal: true, softcap: 2 }],
  [2, 2, 2, 6, 2, "f16", {}],
  [1, 2, 2, 8, 2, "f32", { isCausal: true, window: 3 }],
];

function ofStep([batch, heads, groups, width, count]: Case, seed: number, device: DeviceName): Tensor[] {
  const like = (heads: number, seed: number): Tensor => randn([batch, heads, count, width], { seed, device });
  return [like(heads, 3 * seed), like(groups, 3 * seed + 1), like(groups, 3 * seed + 2)];
}

function cacheOf([batch, , groups, width, , dtype]: Case, device: DeviceName): nn.KVCache {
  return new nn.KVCache(batch, groups, 13, width, { dtype, device });
}

const tolerance = { atol: 2e-4, rtol: 2e-3 };

describe("a compiled step that appends to a cache and attends to it", () => {
  eachDevice((device) => {
    for (const one of cases) {
      if (device === "reference" && one[5] !== "f32") continue;
      it(`is one program: ${JSON.stringify(one)}`, async () => {
        const attend = attendWith(one[6]), count = one[4];
        using own = cacheOf(one, device);
        using other = cacheOf(one, device);
        using step = compile((q: Tensor, k: Tensor, v: Tensor) => attend(own, q, k, v));
        for (let i = 0; own.length + count <= 13; i++) {
          const parts = ofStep(one, i, device) as [Tensor, Tensor, Tensor];
          const found = await numbersOf(step(...parts));
          assertClose(found, await numbersOf(attend(other, ...parts)), `step ${i}`, tolerance);
          assertStrictEquals(own.length, other.length);
          // A text that is given up in the middle, and what it left behind.
          if (i === 2) { for (const cache of [own, other]) cache.truncate(count); }
        }
        assertStrictEquals(step.traces, 1);
        assertClose(await numbersOf(own.keys), await numbersOf(other.keys), "keys", tolerance);
        const parts = ofStep(one, 9, device) as [Tensor, Tensor, Tensor], full = own.length;
        assertThrows(() => step(...parts), ShapeError, "holds 13 positions");
        assertStrictEquals(own.length, full);
      });
    }

    it("sees past what is no number behind the last position", async () => {
      for (const one of cases.slice(0, 3)) {
        using cache = cacheOf(one, device);
        const bad = tensor([NaN], { device }).expand([one[0], one[2], 4, one[3]]),
          attend = attendWith(one[6]);
        noGrad(() => cache.append(bad, bad));
        cache.truncate(0);
        using step = compile((q: Tensor, k: Tensor, v: Tensor) => attend(cache, q, k, v));
        for (let i = 0; i < 3; i++) {
          const found = await numbersOf(step(...ofStep(one, i, device) as [Tensor, Tensor, Tensor]));
          assertEquals(found.filter(Number.isNaN), []);
        }
      }
    });

    it("is right where the function asks how many positions there are, and then has a program for each", async () => {
      const one = cases[0], random = new Generator(4);
      const functions: Attend[] = [
        (cache, q, k, v) => attendWith(one[6])(cache, q, k, v).mul(cache.length),
        (cache, q, k, v) => attendWith(one[6])(cache, q.mul(cache.length + 1), k, v),
        (cache, _q, k, v) => noGrad(() => cache.append(k, v).keys.sum(2)),
        (cache, _q, k, v) =>
          noGrad(() => arange(cache.append(k, v).values.shape[2], { device }).add(k.sum())),
        (cache, q, k, v) => noGrad(() => q.add(cache.append(k, v).keys.size)),
        (cache, q, k, v) =>
          noGrad(() => {
            const { keys, values } = cache.append(k, v);
            return scaledDotProductAttention(q, keys.add(0), values.mul(1), one[6]);
          }),
      ];
      for (const [i, f] of functions.entries()) {
        using own = cacheOf(one, device);
        using other = cacheOf(one, device);
        using step = compile((q: Tensor, k: Tensor, v: Tensor) => f(own, q, k, v));
        for (let round = 0; round < 10; round++) {
          if (random.uniform() < 0.3) {
            const left = random.integer(0, own.length + 1);
            for (const cache of [own, other]) cache.truncate(left);
          }
          const parts = ofStep(one, round, device) as [Tensor, Tensor, Tensor];
          assertClose(
            await numbersOf(step(...parts)),
            await numbersOf(f(other, ...parts)),
            `function ${i}, round ${round}`,
            tolerance,
          );
          assertStrictEquals(own.length, other.length);
        }
      }
    });

    it("takes a layer as it is, several times in one function, and positions as data", async () => {
      manualSeed(2);
      using layer = new nn.CausalSelfAttention(16, 2, { device }).eval();
      const [own, other] = [1, 2].map(() => [1, 2].map(() => new nn.KVCache(1, 2, 12, 8, { device })));
      const twice = (caches: nn.KVCache[], x: Tensor): Tensor =>
        noGrad(() => {
          const at = caches[0].positions(1);
          const y = layer.forward(layer.forward(x, caches[0]), caches[1]);
          // The same cache once more: two positions in one run.
          return add(layer.forward(y, caches[0]), at);
        });
      using step = compile((x: Tensor) => twice(own, x));
      for (let i = 0; i < 5; i++) {
        const x = randn([1, 1, 16], { seed: i, device });
        assertClose(await numbersOf(step(x)), await numbersOf(twice(other, x)), `step ${i}`, tolerance);
        assertEquals(own.map(({ length }) => length), [2 * i + 2, i + 1]);
      }
      assertStrictEquals(step.traces, 1);
      for (const cache of [...own, ...other]) cache.dispose();
    });
  }, onWebGpu);
});
