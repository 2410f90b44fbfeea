/**
 * `ferrotype explain`: what a model does for one token, or in one training step, as the program that is run.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import { type CausalLM, compile, optim, type Tensor, zeros } from "../../mod.ts";
import { type Command, UsageError } from "../command.ts";
import { deviceIdle, loadModel, modelOptions } from "../model.ts";
import { counted, print, printJson } from "../output.ts";

/** The program of a training step over [batch, time] ids. */
function trainingPlan(model: CausalLM, batch: number, time: number): string {
  model.train();
  using optimizer = new optim.AdamW(model.parameters());
  using step = compile((ids: Tensor, lr: number) => {
    const loss = model.loss(ids);
    loss.backward();
    optimizer.step({ lr });
    optimizer.zeroGrad();
    return loss.detach();
  });
  using ids = zeros([batch, time], { dtype: "i32", device: model.device });
  return step.plan(ids, 1e-3);
}

/** The command. */
export const explain: Command = {
  name: "explain",
  usage: "[--model DIR] [--train] [options]",
  summary: "Prints the program of a decoding step, or of a training step.",
  details:
    "One line an operation: what was asked for, what each pass made of it, what is done in each run, and in which " +
    "memory. %4 is a temporary, $0 an argument, @7 a tensor of the model, #3 a constant, n2 a number of the run.",
  positionals: [0, 0],
  options: {
    ...modelOptions,
    train: { help: "a training step: forward, backward, AdamW" },
    "batch-size": { value: "N", kind: whole(1, 4096), help: "with --train: texts (default 4)" },
    "block-size": {
      value: "N",
      kind: whole(2, 65536),
      help: "with --train: ids of each (default 64, or as many as the model has positions)",
    },
  },
  idle: [
    {
      option: ["batch-size", "block-size"],
      when: ({ train }) => !train,
      because: "a decoding step is of one id; it says how large a step of --train is",
    },
    {
      option: "train",
      when: ({ dtype }) => dtype === "q8" || dtype === "q4",
      because: "blocks of q8 and q4 do not learn",
    },
    ...deviceIdle,
  ],
  async run(values) {
    const isTraining = values.flag("train"),
      batch = values.number("batch-size"),
      time = values.number("block-size");
    const { model, name, device } = await loadModel(values);
    if (time !== undefined && time > model.contextLength) {
      throw new UsageError(
        `explain: --block-size is ${time}, expected at most the ${
          counted(model.contextLength, "position")
        } of ${name}`,
      );
    }
    const plan = isTraining
      ? trainingPlan(model, batch ?? 4, time ?? Math.min(64, model.contextLength))
      : model.stepPlan();
    if (values.flag("json")) return await printJson({ model: name, device, plan: plan.split("\n") });
    await print(plan);
  },
};
