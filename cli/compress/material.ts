/**
 * The text that commands compress a model by: its beginning is learned from, its end judges.
 *
 * @module
 */
import { type CausalLM, evaluate, randomBatches, type Tensor } from "../../mod.ts";
import type { DataSource } from "../../mod.ts";
import { number, whole } from "../../src/core/kinds.ts";
import { type Options, UsageError, type Values } from "../command.ts";
import { counted } from "../output.ts";
import { readText, splitText } from "../text.ts";

/** Options of the text and of training on it. */
export const materialOptions: Options = {
  "block-size": {
    value: "N",
    kind: whole(2),
    help: "tokens in a window (default 128, or all that the model takes)",
  },
  "batch-size": { value: "N", kind: whole(1), help: "windows in a batch (default 16)" },
  "val-fraction": {
    value: "F",
    kind: number({ above: 0, to: 0.9 }),
    help: "the end of the text that is held out (default 0.1)",
  },
  seed: { value: "N", kind: whole(0), help: "of the windows (default 1337)" },
};

/** A text as ids. */
export interface CompressionText {
  /** What is learned from. */
  readonly ids: Int32Array;
  /** What judges. */
  readonly held: Int32Array;
  readonly blockSize: number;
  readonly batchSize: number;
  readonly seed: number;
}

/** Reads it. @throws {UsageError} for one that is too short for a window, or a model that reads no text. */
export async function readMaterial(
  command: string,
  values: Values,
  path: string,
  model: CausalLM,
  name: string,
): Promise<CompressionText> {
  const { tokenizer } = model;
  if (!tokenizer) throw new UsageError(`${command}: ${name} has no tokenizer to read ${path} with`);
  const blockSize = values.number("block-size") ?? Math.min(128, model.contextLength);
  if (blockSize > model.contextLength) {
    throw new UsageError(
      `${command}: --block-size is ${blockSize}, expected at most the ${model.contextLength} positions of ${name}`,
    );
  }
  const [train, rest] = splitText(await readText(path), values.number("val-fraction") ?? 0.1);
  const ids = Int32Array.from(tokenizer.encode(train)), held = Int32Array.from(tokenizer.encode(rest));
  if (ids.length <= blockSize || held.length < 2) {
    throw new UsageError(
      `${command}: ${path} has ${
        counted(ids.length, "token")
      } to learn from and ${held.length} held out, expected more than the ` +
        `${blockSize} of --block-size and at least 2; take a longer text, or a smaller --block-size`,
    );
  }
  const batchSize = values.number("batch-size") ?? 16, seed = values.number("seed") ?? 1337;
  return { ids, held, blockSize, batchSize, seed };
}

/** Batches of it. */
export function batchesOf({ ids, batchSize, blockSize, seed }: CompressionText): DataSource<Tensor> {
  return randomBatches(ids, { batchSize, blockSize, seed });
}

/** The held-out loss of a model, in nats a token. */
export async function heldLoss(
  model: CausalLM,
  { held, blockSize, batchSize }: CompressionText,
): Promise<number> {
  return (await evaluate(model, held, { blockSize, batchSize })).loss;
}
