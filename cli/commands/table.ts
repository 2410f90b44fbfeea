/**
 * The commands by name, each loaded when it is called for: who generates a text does not wait for what trains and serves.
 *
 * @module
 */
import type { Command } from "../command.ts";

/** How each command is loaded, in the order that help lists them (`mod.ts`). */
export const loaders: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["generate", async () => (await import("./generate.ts")).generate],
  ["chat", async () => (await import("./chat.ts")).chat],
  ["serve", async () => (await import("./serve.ts")).serve],
  ["batch", async () => (await import("./batch.ts")).batch],
  ["train", async () => (await import("./train.ts")).train],
  ["sweep", async () => (await import("./sweep.ts")).sweep],
  ["eval", async () => (await import("./eval.ts")).evalCommand],
  ["explain", async () => (await import("./explain.ts")).explain],
  ["logits", async () => (await import("./logits.ts")).logits],
  ["tokenize", async () => (await import("./tokenize.ts")).tokenize],
  ["tokenizer train", async () => (await import("./tokenize.ts")).tokenizerTrain],
  ["inspect", async () => (await import("./inspect.ts")).inspect],
  ["convert", async () => (await import("./convert.ts")).convert],
  ["prune", async () => (await import("./prune.ts")).prune],
  ["distill", async () => (await import("./distill.ts")).distill],
  ["run", async () => (await import("./run.ts")).runCommand],
  ["tabular train", async () => (await import("./tabular_train.ts")).tabularTrain],
  ["tabular predict", async () => (await import("./tabular_predict.ts")).tabularPredict],
  ["tabular inspect", async () => (await import("./tabular_inspect.ts")).tabularInspect],
  ["tabular explain", async () => (await import("./tabular_explain.ts")).tabularExplain],
  ["pull", async () => (await import("./pull.ts")).pull],
  ["list", async () => (await import("./pull.ts")).list],
  ["rm", async () => (await import("./pull.ts")).rm],
  ["bench", async () => (await import("./bench.ts")).bench],
  ["doctor", async () => (await import("./doctor.ts")).doctor],
  ["completions", async () => (await import("./mod.ts")).commands.at(-1)!],
]);
