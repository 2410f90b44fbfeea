/**
 * Weights as q8 and q4: made from tensors, multiplied, picked from, read back.
 */
import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import {
  type DeviceName,
  DTypeError,
  embedding,
  linear,
  memory,
  noGrad,
  randn,
  type Tensor,
  tensor,
} from "../mod.ts";
import { dequantizeQ4, dequantizeQ8, quantizeQ4, quantizeQ8 } from "../src/core/quantize.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";

const formats = [["q8", quantizeQ8, dequantizeQ8, 34], ["q4", quantizeQ4, dequantizeQ4, 18]] as const;

/** A matrix of random numbers, its blocks and their values. */
async function weight(rows: number, columns: number, device: DeviceName, format: typeof formats[number]) {
  const [dtype, quantize, dequantize, blockBytes] = format;
  const x = randn([rows, columns], { device }), values = await x.data() as Float32Array;
  const blocks = new Uint8Array(values.length / 32 * blockBytes), rounded = new Float32Array(values.length);
  quantize(values, blocks);
  dequantize(blocks, rounded);
  return { x, dtype, blocks, rounded };
}

describe("quantised tensors", () => {
  eachDevice((device) => {
    for (const format of formats) {
      const [dtype] = format;
      it(`are made from matrices of floats: ${dtype}`, async () => {
        const { x, blocks, rounded } = await weight(5, 96, device, format);
        const q = x.to({ dtype });
        assert.equal(q.dtype, dtype);
        assert.deepEqual(q.shape, [5, 96]);
        assert.deepEqual(await q.data(), blocks);
        assert.deepEqual(await q.to({ dtype: "f32" }).data(), rounded);
        // Half precision is widened first; a view is made row-major first.
        const half = x.to({ dtype: "bf16" });
        assert.deepEqual(
          await half.to({ dtype }).data(),
          await half.to({ dtype: "f32" }).to({ dtype }).data(),
        );
        const turned = tensor(await x.data(), { shape: [5, 96], device }).transpose(0, 1).contiguous()
          .transpose(0, 1);
        assert.equal(turned.isContiguous, false);
        assert.deepEqual(await turned.to({ dtype }).data(), blocks);
        assert.deepEqual(await x.slice([2, 4]).to({ dtype }).data(), await q.slice([2, 4]).data());
      });

      it(`go to the other device as they are: ${dtype}`, async () => {
        const { x, blocks } = await weight(6, 64, device, format);
        const other = device === "cpu" ? "reference" : "cpu", q = x.to({ dtype });
        assert.deepEqual(await q.to({ device: other }).data(), blocks);
        const moved = q.transpose(0, 1).to({ device: other });
        assert.deepEqual([moved.device, moved.shape], [other, [64, 6]]);
        assert.deepEqual(await moved.transpose(0, 1).data(), blocks);
      });

      it(`give rows as floats, also while they serve products: ${dtype}`, async () => {
        // 19 rows: two panels of eight, and three rows beside them.
        const { x, rounded, blocks } = await weight(19, 64, device, format);
        const q = x.to({ dtype });
        const ids = [[0, 18, 7, 8], [15, 16, -1, 3]];
        const expected = ids.flat().flatMap((
          id,
        ) => [...rounded.subarray((id + 19) % 19 * 64).subarray(0, 64)]);
        const pick = (type: "i32" | "i64"): Tensor => embedding(tensor(ids, { dtype: type, device }), q);
        const first = pick("i32");
        assert.deepEqual([first.dtype, first.shape], ["f32", [2, 4, 64]]);
        assert.deepEqual(await numbersOf(first), expected);
        for (let time = 0; time < 2; time++) {
          const product = linear(tensor([new Array(64).fill(1)], { device }), q);
          const sums = Array.from(
            { length: 19 },
            (_, r) => rounded.subarray(r * 64, r * 64 + 64).reduce((a, b) => a + b, 0),
          );
          assertClose(await numbersOf(product), sums, "row sums", { atol: 0.05, rtol: 0.01 });
          assert.deepEqual(await numbersOf(pick("i64")), expected);
        }
        // Some rows of the table, and columns, which go through floats.
        const part = embedding(tensor([9, 0, -1], { dtype: "i32", device }), q.slice([3, 14]));
        assert.deepEqual(
          await numbersOf(part),
          [12, 3, 13].flatMap((id) => [...rounded.subarray(id * 64, id * 64 + 64)]),
        );
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        const columns = q.transpose(0, 1).indexSelect(0, tensor([33, 2], { dtype: "i32", device }));
        assert.deepEqual(
          await numbersOf(columns),
          [33, 2].flatMap((c) => Array.from({ length: 19 }, (_, r) => rounded[r * 64 + c])),
        );
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        assert.deepEqual(await q.to({ dtype: "f32" }).data(), rounded);
        linear(tensor([new Array(64).fill(1)], { device }), q).dispose();
        assert.deepEqual(await q.data(), blocks);
        assert.throws(
          () => embedding(tensor([19], { dtype: "i32", device }), q),
          /19 is outside \[-19, 18\]/,
        );
      });
    }

    it("refuse what blocks cannot hold", () => {
      const say = (make: () => unknown, pattern: RegExp): void => {
        assert.throws(make, (e) => e instanceof DTypeError && pattern.test(e.message));
      };
      say(
        () => randn([4, 33], { device }).to({ dtype: "q8" }),
        /q8 holds matrices .* multiple of 32, not \[4, 33\]/,
      );
      say(() => randn([64], { device }).to({ dtype: "q4" }), /q4 holds matrices/);
      say(() => randn([2, 2, 32], { device }).to({ dtype: "q4" }), /q4 holds matrices/);
      say(
        () => tensor(new Int32Array(32), { shape: [1, 32], device }).to({ dtype: "q8" }),
        /i32 does not become q8/,
      );
      using x = tensor(new Float32Array(32).fill(NaN), { shape: [1, 32], device });
      const before = memory()[device]?.buffers;
      say(() => x.to({ dtype: "q8" }), /hold NaN/);
      assert.equal(memory()[device]?.buffers, before);
    });

    it("pass no gradient, and say so", () => {
      const q = randn([8, 32], { device }).to({ dtype: "q8" });
      const x = randn([2, 32], { device, requiresGrad: true });
      assert.throws(() => linear(x, q), /no gradient passes through q8 weights; load the model in f32/);
      assert.deepEqual(noGrad(() => linear(x, q)).shape, [2, 8]);
      assert.throws(() => q.add(1), /q8 weights take part in matrix products only/);
    });
  });
});
