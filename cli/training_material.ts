/**
 * What a run learns from: windows of a text, or examples. What is held out of it judges the model.
 *
 * @module
 */
import { stdin } from "node:process";
import { buffer } from "node:stream/consumers";
import {
  type CausalLM,
  type DataSource,
  evaluate,
  evaluateExamples,
  exampleBatches,
  openExamples,
  randomBatches,
  type Tensor,
} from "../mod.ts";
import { openBytes } from "../src/platform/platform.ts";
import { UsageError } from "./command.ts";
import { counted, note } from "./output.ts";
import { splitText } from "./text.ts";
import type { RunSettings } from "./train_settings.ts";

/** What a run learns from, for its model. */
export interface Material<B = unknown> {
  /** How much is learned from and held out, in words. */
  readonly amount: string;
  /** Batches from the beginning. */
  data(): DataSource<B>;
  /** The loss of a batch while training. */
  loss(batch: B): Tensor;
  /** The loss of what is held out; null where that is nothing. */
  readonly judge: (() => Promise<number>) | null;
  /** The digest of the file. */
  readonly sha256: string;
  /** Closes the file. */
  close(): Promise<void>;
}

const many = (n: number): string => n.toLocaleString("en");

/** Windows of a text. @throws {UsageError} for one that is too short. */
export function textMaterial(
  model: CausalLM,
  settings: RunSettings,
  { text, path, sha256 }: { text: string; path: string; sha256: string },
): Material<Tensor> {
  const [train, rest] = splitText(text, settings["val-fraction"]), tokenizer = model.tokenizer!;
  const ids = Int32Array.from(tokenizer.encode(train)), held = Int32Array.from(tokenizer.encode(rest));
  const { "block-size": blockSize, "batch-size": batchSize, seed } = settings;
  if (ids.length <= blockSize) {
    throw new UsageError(
      `train: ${path} has ${
        counted(ids.length, "token")
      } to learn from, and a window of --block-size ${blockSize} holds ` +
        `${blockSize + 1}; take a smaller --block-size, or a longer text`,
    );
  }
  const shuffle = settings.shuffle as "random" | "epoch";
  const objective = { labelSmoothing: settings["label-smoothing"], zLoss: settings["z-loss"] };
  return {
    amount: `${counted(ids.length, "token")} to learn from, ${many(held.length)} held out`,
    data: () => randomBatches(ids, { batchSize, blockSize, seed, shuffle }),
    loss: (batch) => model.loss(batch, undefined, objective),
    // What is held out is judged by the plain cross-entropy.
    judge: held.length > 1 ? async () => (await evaluate(model, held, { blockSize, batchSize })).loss : null,
    sha256,
    close: () => Promise.resolve(),
  };
}

/** Examples in a file of JSON lines, or on standard input for `-`. */
export async function exampleMaterial(
  model: CausalLM,
  settings: RunSettings,
  path: string,
): Promise<Material> {
  const source = path === "-" ? openBytes(await buffer(stdin), "standard input") : path;
  const { "block-size": blockSize, "batch-size": batchSize, pack, seed } = settings;
  const all = await openExamples(source, { model, trainOnPrompt: settings["train-on-prompt"] });
  const held = Math.floor(all.length * settings["val-fraction"]), cut = all.length - held;
  const onWarning = (message: string): void => void note(`warning: ${message}`);
  const sizes = { batchSize, blockSize, pack, onWarning }, learned = all.slice(0, cut), rest = all.slice(cut);
  const objective = { labelSmoothing: settings["label-smoothing"], zLoss: settings["z-loss"] };
  const material: Material<{ loss(of: CausalLM, objective: object): Tensor }> = {
    amount: `${many(cut)} examples to learn from, ${many(held)} held out`,
    data: () => exampleBatches(learned, { ...sizes, seed }),
    loss: (batch) => batch.loss(model, objective),
    judge: held ? async () => (await evaluateExamples(model, rest, sizes)).loss : null,
    sha256: all.sha256,
    close: () => all.close(),
  };
  return material as Material;
}
