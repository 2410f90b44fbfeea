/**
 * The plan of a training step of the page's GPT, as `compile` prints it. Loaded when it is asked for.
 *
 * @module
 */
import { randomState, setRandomState, type Tensor, zeros } from "../../src/ops/mod.ts";
import { AdamW } from "../../src/optim/mod.ts";
import type { GPT2 } from "../../src/runtime/gpt2.ts";
import { compile } from "../../src/tensor/mod.ts";

/** Every operation of one step over [batch, time] ids, a line each; nothing of the model changes. */
export function stepPlan(model: GPT2, batch: number, time: number): string {
  const random = randomState(), learns = model.training;
  model.train();
  using optimizer = new AdamW(model.parameters());
  using step = compile((ids: Tensor, targets: Tensor, lr: number) => {
    const loss = model.loss(ids, targets);
    loss.backward();
    optimizer.step({ lr });
    optimizer.zeroGrad();
    return loss.detach();
  });
  using ids = zeros([batch, time], { dtype: "i32" });
  using targets = zeros([batch, time], { dtype: "i32" });
  try {
    const plan = step.plan(ids, targets, 1e-3);
    // What the passes make of it is for those who tune it.
    return plan.slice(0, plan.search(/\n(?! {2})/));
  } finally {
    model.train(learns);
    setRandomState(random);
  }
}
