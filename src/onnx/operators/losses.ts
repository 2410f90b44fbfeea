/**
 * Losses.
 *
 * @module
 */
import * as f from "../../ops/mod.ts";
import type { Tensor } from "../../ops/mod.ts";
import type { Call, OperatorTable, Result, Results } from "../call.ts";
import { valueOf } from "../values.ts";

/** The negative of each target's logarithm in x [batch, classes, …]. */
function negativeLikelihood(c: Call, x: Tensor, target: Tensor, weight: Tensor | null): Tensor {
  const how = c.text("reduction", "mean", ["none", "mean", "sum"]), wide = f.toDType(target, "i64");
  const skipped = c.said("ignore_index") ? f.eq(wide, c.int("ignore_index", 0)) : null;
  const at = skipped ? f.where(skipped, f.zerosLike(wide), wide) : wide;
  const picked = f.squeeze(f.gather(x, 1, f.unsqueeze(at, 1)), 1);
  let share = weight
    ? f.reshape(f.indexSelect(weight, 0, f.reshape(at, [-1])), at.shape)
    : f.onesLike(picked);
  if (skipped) share = f.where(skipped, f.zerosLike(share), share);
  const loss = f.mul(f.neg(picked), share);
  if (how === "none") return loss;
  return how === "sum" ? f.sum(loss) : f.div(f.sum(loss), f.sum(share));
}

function likelihood(c: Call): Result {
  return valueOf(negativeLikelihood(c, c.t(0), c.t(1), c.maybe(2)), c.type(0));
}

function crossEntropy(c: Call): Results {
  const log = f.logSoftmax(c.t(0), 1);
  return [valueOf(negativeLikelihood(c, log, c.t(1), c.maybe(2)), c.type(0)), valueOf(log, c.type(0))];
}

/** The operators. */
export const lossOperators: OperatorTable = {
  NegativeLogLikelihoodLoss: { since: [12, 13, 22], run: likelihood },
  SoftmaxCrossEntropyLoss: { since: [12, 13], run: crossEntropy },
};
