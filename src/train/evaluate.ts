/**
 * How well a language model predicts a text: every token but the first is predicted once.
 *
 * Windows overlap when the stride is smaller than the block: then each token counts in the first window that has it,
 * where it is predicted from at least blockSize − stride tokens before it. The last window is moved back to end with
 * the text.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { breather } from "../core/breathe.ts";
import { FerrotypeError, OptionError, throwIfAborted } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import { counted } from "../core/show.ts";
import type { CacheDType } from "../models/mod.ts";
import type { Module } from "../nn/mod.ts";
import { readyToHold } from "../ops/blocks.ts";
import { crossEntropy, reshape, slice, type Tensor, tensor } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { type TokenIds, windows } from "./batches.ts";

/**
 * A model that gives logits [batch, time, vocab] for ids [batch, time].
 *
 * @category Training
 */
export interface LogitsModel extends Module {
  /** The logits; with a cache, of ids that follow what it holds. */
  forward(ids: Tensor, options?: { cache?: never }): Tensor;
  /** Memory for keys and values, which `cacheDType` asks for. */
  createCache?(batch: number, capacity: number, options: { dtype: CacheDType }): Disposable;
}

/**
 * Options of {@link evaluate}.
 *
 * @category Training
 */
export interface EvaluateOptions {
  /** Tokens a prediction may look back on, at most what the model takes. */
  blockSize: number;
  /** From one window's beginning to the next one's, 1 to blockSize. Default blockSize. */
  stride?: number;
  /** Windows at once. Default 8. */
  batchSize?: number;
  /** The text's length in bytes, for bits per byte. */
  bytes?: number;
  /** Keys and values go through a cache that stores them so, as they do in generation. Default: there is none. */
  cacheDType?: CacheDType;
  /** Stops between two batches, with a CancelledError. */
  signal?: AbortSignal;
  /** Called after each batch with the windows done and all there are. */
  onProgress?: (progress: { done: number; total: number }) => void;
}

const evaluateOptions: OptionTable<EvaluateOptions> = {
  blockSize: required(kinds.whole(1)),
  stride: kinds.whole(1),
  batchSize: kinds.whole(1),
  bytes: kinds.number({ from: 0 }),
  cacheDType: kinds.oneOf("f32", "f16", "bf16", "q8"),
  signal: kinds.abortSignal,
  onProgress: kinds.callback,
};

/**
 * What {@link evaluate} found.
 *
 * @category Training
 */
export interface Evaluation {
  /** The mean cross-entropy of a token, in nats. */
  loss: number;
  /** e to the loss. */
  perplexity: number;
  /** Bits for each byte of the text, when its length was given. */
  bitsPerByte?: number;
  /** How many tokens were predicted. */
  tokens: number;
}

/** Runs `f` with the model in evaluation mode, and puts every part back as it was. */
export async function evaluating<T>(model: Module, f: () => T | Promise<T>): Promise<T> {
  const before = model.namedModules().map(([, module]) => [module, module.training] as const);
  model.eval();
  try {
    return await f();
  } finally {
    for (const [module, training] of before) module.training = training;
  }
}

/** One window: where it begins, and its first target that counts. */
interface Window {
  readonly start: number;
  readonly skip: number;
}

function plan(count: number, blockSize: number, stride: number): Window[] {
  const found: Window[] = [];
  // Position of the next target to count.
  for (let next = 1; next < count;) {
    const start = Math.min(found.length * stride, Math.max(0, count - 1 - blockSize));
    found.push({ start, skip: next - start - 1 });
    next = start + blockSize + 1;
  }
  return found;
}

/**
 * Loss, perplexity and bits per byte of `model` on a text given as ids.
 * @throws {OptionError} for fewer than two ids, or a stride outside 1 to blockSize.
 * @throws {CancelledError} by `signal`.
 * @throws {FerrotypeError} for a loss that is NaN, naming the weight that is no number where there is one.
 * @throws {DTypeError} for a dtype of which keys and values are not kept.
 * @category Training
 */
export async function evaluate(
  model: LogitsModel,
  ids: TokenIds,
  options: EvaluateOptions,
): Promise<Evaluation> {
  demandNoMore(arguments, 3, "evaluate");
  const { blockSize, stride = blockSize, batchSize = 8, bytes, cacheDType, signal, onProgress } =
    checkOptions(
      "evaluate",
      options,
      evaluateOptions,
    );
  if (stride > blockSize) {
    throw new OptionError(
      `evaluate: stride is ${stride}, expected at most blockSize ${blockSize}: tokens between blocks would be left out`,
    );
  }
  if (cacheDType && !model.createCache) {
    throw new OptionError(
      "evaluate: cacheDType belongs to models with a cache, and this one has no createCache",
    );
  }
  if (ids.length < 2) {
    throw new OptionError(`evaluate: a text of ${counted(ids.length, "token")} has nothing to predict`);
  }
  await readyToHold([cacheDType]);
  const all = plan(ids.length, blockSize, stride), length = Math.min(blockSize + 1, ids.length);
  const sum = await evaluating(model, async () => {
    const breathe = breather();
    let sum = 0;
    for (let at = 0; at < all.length; at += batchSize) {
      await breathe();
      throwIfAborted(signal, "evaluate");
      const batch = all.slice(at, at + batchSize);
      const loss = noGrad(() => tidy(() => lossOf(model, ids, batch, length, cacheDType)));
      sum += await loss.item();
      loss.dispose();
      if (Number.isNaN(sum)) throw await noLoss(model);
      onProgress?.({ done: at + batch.length, total: all.length });
    }
    return sum;
  });
  const tokens = ids.length - 1, loss = sum / tokens;
  const result: Evaluation = { loss, perplexity: Math.exp(loss), tokens };
  if (bytes !== undefined) result.bitsPerByte = sum / Math.LN2 / bytes;
  return result;
}

/** Why a loss is NaN. */
async function noLoss(model: LogitsModel): Promise<FerrotypeError> {
  const { whyIn } = await import("../nn/flaw.ts");
  return new FerrotypeError(`evaluate: the loss is NaN: ${await whyIn(model.namedParameters())}`);
}

/** The sum of the losses of the targets that count. */
function lossOf(
  model: LogitsModel,
  ids: TokenIds,
  batch: readonly Window[],
  length: number,
  dtype: CacheDType | undefined,
): Tensor {
  const device = model.parameters()[0]?.device, width = length - 1;
  const targets = new Int32Array(batch.length * width);
  batch.forEach(({ start, skip }, row) => {
    for (let i = 0; i < width; i++) targets[row * width + i] = i < skip ? -100 : ids[start + 1 + i];
  });
  const whole = windows(ids, batch.map(({ start }) => start), length, device);
  const inputs = slice(whole, null, [0, -1]);
  using cache = dtype === undefined ? null : model.createCache!(batch.length, width, { dtype });
  const logits = cache ? model.forward(inputs, { cache: cache as never }) : model.forward(inputs);
  const flat = reshape(logits, [batch.length * width, -1]);
  return crossEntropy(flat, tensor(targets, { device: flat.device }), {
    reduction: "sum",
    ignoreIndex: -100,
  });
}
