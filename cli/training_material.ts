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
  distributed,
  epochBatches,
  evaluate,
  evaluateExamples,
  evaluatePreferences,
  exampleBatches,
  type Examples,
  openExamples,
  openPreferences,
  preferenceBatches,
  randomBatches,
  type Tensor,
} from "../mod.ts";
import { FormatError } from "../src/core/errors.ts";
import { type ByteSource, openBytes } from "../src/platform/platform.ts";
import { UsageError } from "./command.ts";
import { counted, formatBytes, LiveLine, note } from "./output.ts";
import { splitText } from "./text.ts";
import type { RunSettings } from "./train_settings.ts";

/** How a model does. */
export interface Judgement {
  readonly loss: number;
  /** In what part of the pairs it prefers the chosen answer, where there are pairs. */
  readonly accuracy?: number;
}

/** What a run learns from, for its model. */
export interface Material<B = unknown> {
  /** How much is learned from and held out, in words. */
  readonly amount: string;
  /** Batches from the beginning. */
  data(): DataSource<B>;
  /** The loss of a batch while training. */
  loss(batch: B): Tensor;
  /** How the model does on what is held out; null where that is nothing. */
  readonly judge: (() => Promise<Judgement>) | null;
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
  const [ids, held] = [train, rest].map((part) => {
    try {
      return Int32Array.from(tokenizer.encode(part));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      // Where it is in the file, not in this part of it.
      const [, at] = /at position (\d+)/.exec(error.message) ?? [], before = part === rest ? train.length : 0;
      const said = error.message.replace(`at position ${at}`, `at position ${Number(at) + before}`);
      throw new FormatError(`${path}: ${said}`, { cause: error });
    }
  });
  const { "block-size": blockSize, "batch-size": batchSize, seed } = settings;
  if (ids.length <= blockSize) {
    throw new UsageError(
      `train: ${path} has ${
        counted(ids.length, "token")
      } to learn from, and a window of --block-size ${blockSize} holds ` +
        `${blockSize + 1}; take a smaller --block-size, or a longer text`,
    );
  }
  const batches = settings.shuffle === "epoch" ? epochBatches : randomBatches;
  const objective = { labelSmoothing: settings["label-smoothing"], zLoss: settings["z-loss"] };
  return {
    amount: `${counted(ids.length, "token")} to learn from, ${many(held.length)} held out`,
    data: () => batches(ids, { batchSize, blockSize, seed }),
    loss: (batch) => model.loss(batch, undefined, objective),
    // What is held out is judged by the plain cross-entropy.
    judge: held.length > 1 ? () => evaluate(model, held, { blockSize, batchSize }) : null,
    sha256,
    close: () => Promise.resolve(),
  };
}

/** Says the first warning: the same is found by every evaluation again. */
function sayOnce(): (message: string) => void {
  let isSaid = false;
  return (message) => {
    if (!isSaid && distributed.rank === 0) void note(`warning: ${message}`);
    isSaid = true;
  };
}

/** Shows on a terminal how much of a file was gone through, which takes its time where that is large. */
async function goingThrough<T>(
  path: string,
  open: (onProgress: (progress: { loaded: number; total: number }) => void) => Promise<T>,
): Promise<T> {
  const line = new LiveLine();
  let shown = Promise.resolve();
  try {
    return await open(({ loaded, total }) => {
      if (!line.on || distributed.rank > 0 || loaded === total && loaded < 2 ** 21) return;
      shown = shown.then(() =>
        line.show(`going through ${path}: ${formatBytes(loaded)} of ${formatBytes(total)}`)
      );
    });
  } finally {
    await shown;
    await line.end();
  }
}

async function sourceAt(path: string): Promise<string | ByteSource> {
  return path === "-" ? openBytes(await buffer(stdin), "standard input") : path;
}

/** What of a file is learned from, and its end, which is held out. */
function halves<T>(all: Examples<T>, settings: RunSettings): {
  learned: Examples<T>;
  rest: Examples<T>;
  amount: string;
  held: number;
} {
  const held = Math.floor(all.length * settings["val-fraction"]), cut = all.length - held;
  const what = settings.objective === "dpo" ? "pairs" : "examples";
  const amount = `${many(cut)} ${what} to learn from, ${many(held)} held out`;
  const learned = all.slice(0, cut), rest = all.slice(cut), blockSize = settings["block-size"];
  for (const [part, use] of [[learned, "to learn from"], [rest, "held out"]] as const) {
    if (part.length === 0 || part.fit(blockSize)) continue;
    const other = part === rest ? ", or another --val-fraction" : "";
    throw new UsageError(
      `train: of the ${
        counted(part.length, what.slice(0, -1))
      } ${use}, cut to --block-size ${blockSize}, nothing is left to learn; ` +
        `take a larger --block-size${other}`,
    );
  }
  return { learned, rest, amount, held };
}

/** Preferences in a file of JSON lines; `reference` is the model as it began, where it has no adapter to be without. */
export async function preferenceMaterial(
  model: CausalLM,
  settings: RunSettings,
  path: string,
  reference: CausalLM | null,
): Promise<Material> {
  const { "block-size": blockSize, "batch-size": batchSize, seed, beta } = settings;
  const source = await sourceAt(path);
  const all = await goingThrough(path, (onProgress) => openPreferences(source, { model, onProgress }));
  const sizes = { batchSize, blockSize, onWarning: sayOnce() },
    { learned, rest, amount, held } = halves(all, settings);
  const dpo = { beta: beta!, ...(reference ? { reference } : {}) };
  const material: Material<{ loss(of: CausalLM, options: object): Tensor }> = {
    amount,
    data: () => preferenceBatches(learned, { ...sizes, seed }),
    loss: (batch) => batch.loss(model, dpo),
    judge: held ? () => evaluatePreferences(model, rest, { ...sizes, ...dpo }) : null,
    sha256: all.sha256,
    async close() {
      await all.close();
      reference?.dispose();
    },
  };
  return material as Material;
}

/** Examples in a file of JSON lines, or on standard input for `-`. */
export async function exampleMaterial(
  model: CausalLM,
  settings: RunSettings,
  path: string,
): Promise<Material> {
  const { "block-size": blockSize, "batch-size": batchSize, pack, seed } = settings;
  const source = await sourceAt(path), trainOnPrompt = settings["train-on-prompt"];
  const all = await goingThrough(
    path,
    (onProgress) => openExamples(source, { model, trainOnPrompt, onProgress }),
  );
  const sizes = { batchSize, blockSize, pack, onWarning: sayOnce() },
    { learned, rest, amount, held } = halves(all, settings);
  const objective = { labelSmoothing: settings["label-smoothing"], zLoss: settings["z-loss"] };
  const material: Material<{ loss(of: CausalLM, objective: object): Tensor }> = {
    amount,
    data: () => exampleBatches(learned, { ...sizes, seed }),
    loss: (batch) => batch.loss(model, objective),
    judge: held ? () => evaluateExamples(model, rest, sizes) : null,
    sha256: all.sha256,
    close: () => all.close(),
  };
  return material as Material;
}
