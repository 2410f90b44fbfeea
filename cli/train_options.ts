/**
 * The options of `ferrotype train` that make a run what it is: what each may be, and what it says of itself.
 *
 * @module
 */
import { either, type Kind, kind, number, oneOf, someText, whole } from "../src/core/kinds.ts";
import { optimizers, optimizersWith } from "./train_optimizers.ts";
import type { Options } from "./command.ts";

/** Sizes of a vocabulary: 0 for characters, or room for all 256 bytes and what ends a text. */
export const vocabularySize: Kind = either(whole(257), kind("0", (x) => x === 0));

function oneOfNumbers(...values: readonly number[]): Kind {
  return { ...oneOf(...values), read: (text) => /^\d+$/.test(text) ? Number(text) : text };
}

/** Schedules: after the warm-up all end at min-lr but constant and noam, which falls with the root of the steps. */
const scheduleNames = ["cosine", "linear", "constant", "step", "exponential", "noam", "wsd"] as const;

/** The options that make a run what it is. */
export const runOptions: Options = {
  init: { value: "MODEL", help: "begin from this model's weights and tokenizer (fine-tuning)" },
  family: {
    value: "NAME",
    kind: someText,
    help: "kind of model: gpt2, llama, qwen3 and others that are read (default gpt2)",
  },
  lora: {
    value: "RANK",
    kind: whole(1, 65_536),
    help: "with --init: the model stays as it is, and an adapter of this rank learns beside it",
  },
  "lora-alpha": {
    value: "A",
    kind: number({ above: 0 }),
    help: "what the adapter counts, over its rank (default: twice the rank)",
  },
  "lora-targets": {
    value: "A,B",
    kind: someText,
    help:
      "layers that it stands beside, by the ends of their names, or all-linear (default: queries and values)",
  },
  "lora-dropout": {
    value: "P",
    kind: number({ from: 0, to: 0.99 }),
    help: "dropout of what goes into the adapter (default 0)",
  },
  rslora: { help: "the adapter counts alpha over the root of its rank" },
  dora: { help: "the adapter learns the lengths of rows apart" },
  "n-layer": { value: "N", kind: whole(1, 65_536), help: "blocks (default 4)" },
  "n-head": { value: "N", kind: whole(1), help: "attention heads (default 4)" },
  "n-kv-head": {
    value: "N",
    kind: whole(1),
    help: "heads of keys and values, in families that have fewer of them (default: n-head)",
  },
  "n-embd": { value: "N", kind: whole(1), help: "width (default 128)" },
  "n-inner": { value: "N", kind: whole(1), help: "inner width of the MLP (default: as the family has it)" },
  "block-size": {
    value: "N",
    kind: whole(2),
    help: "tokens the model looks back on (default 128, or all that --init MODEL takes where that is less)",
  },
  dropout: { value: "P", kind: number({ from: 0, to: 0.99 }), help: "dropout while training (default 0)" },
  "vocab-size": {
    value: "N",
    kind: vocabularySize,
    help: "tokens of a byte-level BPE; 0: characters (default 0)",
  },
  "batch-size": { value: "N", kind: whole(1), help: "sequences in a batch (default 16)" },
  "micro-batch": {
    value: "N",
    kind: { ...either(whole(1), oneOf("auto")), read: (text) => /^\d+$/.test(text) ? Number(text) : text },
    help:
      "rows of a batch that are in memory at once, a divisor of batch-size; auto: as many as memory holds (default: all)",
  },
  "gradient-checkpointing": {
    help:
      "keep nothing of a layer but what went into it, and compute it again going back: slower, in less memory",
  },
  "grad-accum": { value: "N", kind: whole(1, 65_536), help: "batches to a step (default 1)" },
  steps: { value: "N", kind: whole(1), help: "steps of the whole run (default 2000)" },
  optimizer: {
    value: "NAME",
    kind: oneOf(...Object.keys(optimizers)),
    help: `${Object.keys(optimizers).join(", ")} (default adamw)`,
  },
  "optimizer-bits": {
    value: "N",
    kind: oneOfNumbers(8, 32),
    help:
      "bits of each number that the optimizer remembers of large parameters: 8 is a quarter of the memory (default 32)",
  },
  momentum: {
    value: "M",
    kind: number({ from: 0, to: 0.99999 }),
    help: `momentum of ${optimizersWith("momentum").join(", ")} (default: ${
      optimizersWith("momentum").map((name) => optimizers[name].momentum).join(", ")
    })`,
  },
  lr: {
    value: "R",
    kind: number({ from: 0 }),
    help: `highest learning rate (default: ${
      Object.entries(optimizers).map(([name, { lr }]) => `${name} ${lr}`).join(", ")
    }; with --init a tenth, with --lora a fifth; a tenth of that for dpo)`,
  },
  "min-lr": {
    value: "R",
    kind: number({ from: 0 }),
    help: "learning rate at the end (default: a tenth of lr)",
  },
  warmup: {
    value: "N",
    kind: whole(0),
    help: "steps in which the rate rises (default: a twentieth of steps)",
  },
  schedule: {
    value: "NAME",
    kind: oneOf(...scheduleNames),
    help: `how the rate falls: ${scheduleNames.join(", ")} (default cosine)`,
  },
  "weight-decay": {
    value: "W",
    kind: number({ from: 0 }),
    help: "decay of matrices (default: adamw, muon 0.1, lion 1, others and --lora 0)",
  },
  beta2: {
    value: "B",
    kind: number({ from: 0, to: 0.99999 }),
    help: `second beta of ${optimizersWith("beta2").join(", ")} (default 0.99)`,
  },
  clip: { value: "N", kind: number({ from: 0 }), help: "largest gradient norm; 0: no clipping (default 1)" },
  "label-smoothing": {
    value: "P",
    kind: number({ from: 0, to: 1 }),
    help: "how much of each target is spread evenly over the vocabulary while training (default 0)",
  },
  "z-loss": {
    value: "C",
    kind: number({ from: 0 }),
    help: "adds C times the square of the logarithm of what softmax divides by to the loss (default 0)",
  },
  ema: {
    value: "D",
    kind: number({ from: 0, below: 1 }),
    help:
      "average the weights, D of it staying at a step (0.999); the average is what is judged and written (default: none)",
  },
  shuffle: {
    value: "HOW",
    kind: oneOf("random", "epoch"),
    help: "random: windows anywhere in the text; epoch: each once before any comes again (default random)",
  },
  objective: {
    value: "NAME",
    kind: oneOf("cross-entropy", "dpo"),
    help:
      'dpo: with --data of {"prompt", "chosen", "rejected"}, the chosen answer becomes likelier than the other (default cross-entropy)',
  },
  beta: {
    value: "B",
    kind: number({ above: 0 }),
    help: "with --objective dpo: more, the less the model may move from where it began (default 0.1)",
  },
  pack: { help: "with --data: as many examples in a row as fit, each of which sees itself alone" },
  "train-on-prompt": { help: "with --data: prompts and what users say are learned too" },
  seed: { value: "N", kind: whole(0), help: "of weights, batches and dropout (default 1337)" },
  "val-fraction": {
    value: "F",
    kind: number({ from: 0, to: 0.9 }),
    help: "the end of the text that is held out (default 0.1)",
  },
  "eval-every": {
    value: "N",
    kind: whole(1),
    help: "steps between evaluations (default: a tenth of steps)",
  },
  patience: {
    value: "N",
    kind: whole(1),
    help: "stop after N evaluations in a row of which none was better (default: all steps are done)",
  },
  "min-delta": {
    value: "D",
    kind: number({ from: 0 }),
    help: "by how much a held-out loss has to be lower to be better for --patience (default 0)",
  },
  "save-every": {
    value: "N",
    kind: whole(1),
    help: "steps between checkpoints (default: eval-every)",
  },
  deterministic: {
    help: "the same bits on every runtime and machine, without fused instructions and BLAS: slower",
  },
  zero: {
    value: "N",
    kind: oneOfNumbers(0, 1, 2),
    help:
      "under mpirun or srun: 1 divides the optimizer's states over ranks, 2 the gradients too (default 0)",
  },
  wire: {
    value: "TYPE",
    kind: oneOf("f32", "bf16"),
    help:
      "what gradients are sent as between ranks; bf16 is half the bytes; numbers and sums are rounded, by at most 2^-8 of each (default f32)",
  },
  precision: {
    value: "TYPE",
    kind: oneOf("f32", "bf16", "f16"),
    help:
      "what is computed in while training: with bf16 or f16 activations take half the memory, and weights learn in f32 (default f32)",
  },
  qat: {
    value: "TYPE",
    kind: oneOf("q8", "q4", "ternary"),
    help:
      "learn for these blocks: steps and evaluations compute with what convert --dtype q8 or q4 writes; ternary (-1, 0, 1 times a scale a row) is written as q4",
  },
  dtype: {
    value: "TYPE",
    kind: oneOf("f32", "f16", "bf16"),
    help: "how the model is stored, whatever it learned in (default f32)",
  },
};
