/**
 * The same model held in two ways: how well each predicts a text, how fast it writes, and what it writes.
 *
 * @module
 */
import type { CausalLM } from "../../src/runtime/causal_lm.ts";
import type { GPT2 } from "../../src/runtime/gpt2.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { libraryOptions } from "./choices.ts";
import { readingOf } from "./reading.ts";
import type { Side, WriteOptions } from "./messages.ts";

/** Judges a model by a text, then lets it go on with a prompt. */
export async function sideOf(
  model: GPT2 | CausalLM,
  judged: string,
  prompt: string,
  options: WriteOptions,
  signal: AbortSignal,
): Promise<Side> {
  const { ids, text: known } = readingOf(model, judged),
    blockSize = Math.min(model.contextLength, Math.max(1, ids.length - 1));
  const { loss, tokens } = await evaluate(model, ids, {
    blockSize,
    stride: Math.max(1, blockSize >> 1),
    batchSize: 1,
    signal,
  });
  // The first token is given, not predicted.
  const letters = [...known].length - [...model.tokenizer!.decode([ids[0]])].length;
  const seen = prompt && readingOf(model, prompt).seen;
  const asked = { ...libraryOptions(options), signal };
  // The first time, kernels are made; the second counts.
  await model.completion(seen, asked);
  const started = performance.now();
  const { text, ids: made } = await model.completion(seen, asked);
  return {
    dtype: model.dtype,
    bytes: model.parameters().reduce((sum, { storage: { buffer } }) => sum + buffer.byteLength, 0),
    bitsPerLetter: loss * tokens / Math.LN2 / Math.max(1, letters),
    tokensPerSecond: 1e3 * made.length / (performance.now() - started),
    text,
  };
}
