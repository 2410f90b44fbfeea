/**
 * Options of `ferrotype train` that have no effect beside others, and why.
 *
 * @module
 */
import { findLauncher } from "../src/platform/mpi_launcher.ts";
import type { Idle } from "../src/core/options.ts";
import { optimizersWith } from "./train_optimizers.ts";
import type { Given } from "./command.ts";

const shape = ["family", "n-layer", "n-head", "n-kv-head", "n-embd", "n-inner", "vocab-size"] as const;
const ofLora = ["lora-alpha", "lora-targets", "lora-dropout", "rslora", "dora"] as const;
const hasNo = (setting: "momentum" | "beta2") => ({ optimizer = "adamw", resume }: Given): boolean =>
  !resume && !optimizersWith(setting).includes(optimizer as string);

/** Options of a run that have no effect beside others. */
export const runIdle: readonly Idle<Given>[] = [
  { option: shape, when: ({ init }) => init !== undefined, because: "it is the model's own with --init" },
  {
    option: ofLora,
    when: ({ lora, resume }) => !resume && lora === undefined,
    because: "there is no --lora RANK",
  },
  {
    option: "lora",
    when: ({ init, resume }) => !resume && init === undefined,
    because: "an adapter stands beside a trained model, which --init MODEL names",
  },
  {
    option: ["dropout", "dtype"],
    when: ({ lora }) => lora !== undefined,
    because: "the model stays as it is with --lora, whose own dropout is --lora-dropout",
  },
  {
    option: "qat",
    when: ({ lora }) => lora !== undefined,
    because: "the model stays as it is with --lora, and an adapter has no blocks",
  },
  {
    option: "qat",
    when: ({ device }) => device === "webgpu",
    because: "weights are rounded on the cpu; take --device cpu",
  },
  {
    option: "dtype",
    when: ({ qat }) => qat !== undefined,
    because: ({ qat }) =>
      qat === "ternary"
        ? "what --qat ternary learned is written as q4, which holds it exactly"
        : `--qat ${qat} learned to be rounded from f32; convert --dtype ${qat} does that`,
    unless: "f32",
  },
  ...(["momentum", "beta2"] as const).map((option): Idle<Given> => ({
    option,
    when: hasNo(option),
    because: ({ optimizer = "adamw" }) => `--optimizer ${optimizer} has none`,
  })),
  {
    option: "min-lr",
    when: ({ schedule }) => schedule === "constant" || schedule === "noam",
    because: ({ schedule }) =>
      schedule === "noam"
        ? "--schedule noam falls with the root of the steps"
        : "the rate of --schedule constant does not fall",
  },
  {
    option: ["eval-every", "patience"],
    when: (given) => given["val-fraction"] === 0,
    because: "--val-fraction 0 holds nothing out",
  },
  ...([["zero", 0], ["wire", "f32"]] as const).map(([option, unless]): Idle<Given> => ({
    option,
    when: () => findLauncher() === null,
    because: "one process trains alone; mpirun -n 2 or srun starts ranks",
    unless,
  })),
  {
    option: "zero",
    when: ({ precision, zero }) => precision === "f16" && zero === 2,
    because: "with --precision f16 every rank looks at all gradients; take --zero 1, or bf16",
  },
  {
    option: "optimizer-bits",
    when: ({ optimizer = "adamw", momentum, resume }) =>
      !resume && (optimizer === "adafactor" || optimizer === "sgd" && momentum === 0),
    because: ({ optimizer }) =>
      optimizer === "sgd"
        ? "sgd without --momentum remembers nothing"
        : "adafactor remembers a number a row and a column",
    unless: 32,
  },
  {
    option: "zero",
    when: (given) => given["optimizer-bits"] === 8 && (given.zero as number) > 0,
    because: "it divides what is remembered in 32 bits, and --optimizer-bits is 8",
  },
  {
    option: "micro-batch",
    when: ({ deterministic }) => deterministic === true,
    because: "--deterministic cuts a batch into parts of its own, the same on every machine",
  },
  {
    option: "objective",
    when: ({ data, resume }) => !resume && data === undefined,
    because: "there is no --data FILE",
    unless: "cross-entropy",
  },
  {
    option: "beta",
    when: ({ objective, resume }) => !resume && objective !== "dpo",
    because: "there is no --objective dpo",
  },
  {
    option: ["pack", "train-on-prompt", "label-smoothing", "z-loss"],
    when: ({ objective }) => objective === "dpo",
    because: "--objective dpo compares two answers, a row each",
  },
  {
    option: ["pack", "train-on-prompt"],
    when: ({ data, resume }) => !resume && data === undefined,
    because: "there is no --data FILE",
  },
  {
    option: "shuffle",
    when: ({ data }) => data !== undefined,
    because: "examples come once an epoch, in another order each",
  },
  {
    option: "min-delta",
    when: ({ patience, resume }) => !resume && patience === undefined,
    because: "there is no --patience N",
  },
  {
    option: ["deterministic", "mfu"],
    when: ({ device }) => device === "webgpu" || device === "reference",
    because: "it belongs to the cpu device",
  },
  {
    option: "stop-after",
    when: ({ resume, steps = 2000, "stop-after": after }) => !resume && (after as number) > (steps as number),
    because: "the run has fewer steps",
  },
];
