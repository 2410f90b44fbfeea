/**
 * Grouped heads in a decoding step: what a group gives is what each query gives by itself, to the bit.
 */
import { assertEquals } from "@std/assert";
import { type DType, manualSeed, randn, reshape, slice, type Tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { attentionRows } from "../src/ops/attention_rows.ts";
import { copyInto, empty } from "../src/ops/mod.ts";
import { noGrad, tidy } from "../src/tensor/mod.ts";
import { describe, it } from "./_suite.ts";

const device = "cpu" as const;

/** A cache of random positions. */
function held(groups: number, capacity: number, width: number, dtype: DType): Tensor {
  const out = empty([1, groups, capacity, width], { dtype, device });
  copyInto(randn(out.shape, { device }), out);
  return out;
}

describe("a step's attention with grouped heads", () => {
  it("gives what each query gives by itself, whatever the cache is stored as, for several texts", async () => {
    const random = new Generator(15);
    manualSeed(15);
    for (let i = 0; i < 24; i++) {
      const groups = random.integer(1, 5), share = random.integer(2, 9), rows = random.integer(1, 4);
      const width = 32 * random.integer(1, 4), capacity = random.integer(3, 70), heads = groups * share;
      const dtype = (["f32", "f16", "bf16", "q8"] as const)[i % 4];
      const lengths = Array.from({ length: rows }, () => random.integer(0, capacity));
      const found = noGrad(() =>
        tidy(() => {
          const [q, k, v] = [heads, groups, groups].map((n) => randn([rows, n, width], { device }));
          const keys = lengths.map(() => held(groups, capacity, width, dtype));
          const values = lengths.map(() => held(groups, capacity, width, dtype));
          const options = {
            scale: 0.2,
            ...i % 3 ? {} : { window: random.integer(1, 40) },
            ...i % 5 ? {} : { softcap: 3 },
          };
          const found = attentionRows(q, k, v, keys, values, lengths, options);
          const all = reshape(found, [rows, groups, share, width]);
          const each = Array.from({ length: share }, (_, s) => {
            const one = slice(reshape(q, [rows, groups, share, width]), null, null, s);
            return [slice(all, null, null, s), attentionRows(one, k, v, keys, values, lengths, options)];
          });
          return each;
        })
      );
      for (const [actual, expected] of found) {
        assertEquals(await actual.data(), await expected.data(), `${dtype} ${groups} × ${share}`);
        actual.dispose();
        expected.dispose();
      }
    }
  });
});
