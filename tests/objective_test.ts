/**
 * What training asks beside the cross-entropy - label smoothing and a z-loss - against its formulas in plain numbers.
 */
import { assert, assertAlmostEquals, assertThrows } from "@std/assert";
import { CausalLM, crossEntropy, manualSeed, nllLoss, noGrad, OptionError, tensor } from "../mod.ts";
import { describe, it } from "./_suite.ts";

type Reduction = "mean" | "sum" | "none";

/** By PyTorch's definition, the z-loss counting as its row does. */
function expected(
  rows: number[][],
  targets: number[],
  smoothing: number,
  z: number,
  weight: number[],
  reduction: Reduction,
): number[] {
  let total = 0;
  const losses = rows.map((row, i) => {
    if (targets[i] === -100) return 0;
    const lse = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)), w = weight[targets[i]];
    const even = row.reduce((sum, x, c) => sum + weight[c] * (lse - x), 0) / row.length;
    total += w;
    return (1 - smoothing) * w * (lse - row[targets[i]]) + smoothing * even + z * w * lse ** 2;
  });
  if (reduction === "none") return losses;
  const sum = losses.reduce((a, b) => a + b, 0);
  return [reduction === "sum" ? sum : sum / total];
}

describe("the objective of training", () => {
  it("is cross-entropy with label smoothing and a z-loss by their formulas", async () => {
    let seed = 12345;
    const random = (): number => (seed = (seed * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
    for (let round = 0; round < 40; round++) {
      const classes = 2 + Math.floor(random() * 7), count = 1 + Math.floor(random() * 6);
      const rows = Array.from(
        { length: count },
        () => Array.from({ length: classes }, () => 8 * random() - 4),
      );
      const targets = rows.map((_, i) => i > 0 && random() < 0.3 ? -100 : Math.floor(random() * classes));
      const smoothing = round % 3 ? random() : 0,
        zLoss = round % 4 ? random() : 0,
        isWeighted = round % 2 > 0;
      const weight = rows[0].map(() => isWeighted ? 0.1 + random() : 1);
      for (const reduction of ["mean", "sum", "none"] as const) {
        using x = tensor(rows), ids = tensor(targets, { dtype: "i32" }), w = tensor(weight);
        using loss = crossEntropy(x, ids, {
          reduction,
          labelSmoothing: smoothing,
          zLoss,
          ...(isWeighted ? { weight: w } : {}),
        });
        const got = Array.from(await loss.data(), Number);
        expected(rows, targets, smoothing, zLoss, weight, reduction).forEach((want, i) =>
          assertAlmostEquals(got[i], want, 1e-4 * (1 + Math.abs(want)), `round ${round}, ${reduction}`)
        );
      }
    }
  });

  it("is a model's, and plain where nothing is asked", async () => {
    manualSeed(3);
    const sizes = { vocabSize: 11, contextLength: 8, width: 8, layers: 1, heads: 2 };
    using model = await CausalLM.fromSizes("gpt2", sizes);
    const ids = [[1, 2, 3, 4, 5]], next = [2, 3, -100, 5, 6];
    const logits = noGrad(() => model.forward(ids)).reshape(5, 11),
      flat = Array.from(await logits.data(), Number);
    const rows = next.map((_, i) => flat.slice(11 * i, 11 * i + 11));
    for (const [labelSmoothing, zLoss] of [[0, 0], [0.1, 0], [0, 0.5], [0.2, 0.01]]) {
      const got = await noGrad(() => model.loss(ids, [next], { labelSmoothing, zLoss })).item();
      const [want] = expected(rows, next, labelSmoothing, zLoss, Array(11).fill(1), "mean");
      assertAlmostEquals(got, want, 1e-5);
    }
    const plain = await noGrad(() => model.loss(ids)).item();
    assert(plain === await noGrad(() => model.loss(ids, undefined, { labelSmoothing: 0, zLoss: 0 })).item());
  });

  it("refuses what it is not", () => {
    const x = tensor([[1, 2]]), ids = tensor([0], { dtype: "i32" });
    for (const zLoss of [-1, NaN, Infinity]) {
      assertThrows(() => crossEntropy(x, ids, { zLoss }), OptionError, "zLoss");
    }
    assertThrows(() => nllLoss(x, ids, { zLoss: 0.1 }), OptionError, "a z-loss belongs to crossEntropy");
  });
});
