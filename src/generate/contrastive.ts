/**
 * Contrastive search (Su et al. 2022, "A Contrastive Framework for Neural Text Generation"): of the k likeliest tokens the
 * one that is both likely and unlike what came before,
 *
 *     argmax (1 − α) · p(token) − α · max over earlier positions of cos(h(token), h(position)),
 *
 * h being what comes out of the model's last layer norm, as in Hugging Face. The candidates go through the model together,
 * each in a row of the cache; the rows then all take over the position of the one that was chosen.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { OptionError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { slice, type Tensor } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { explained } from "./no_choice.ts";
import type { ResolvedOptions } from "./options.ts";
import { Sequence, type TokensResult, type TokenStep } from "./sequence.ts";

/** Rows of `width` numbers, each of length 1. */
function unitRows(data: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: data.length / width }, (_, i) => {
    const row = data.slice(i * width, (i + 1) * width);
    const length = Math.sqrt(dot(row, row)) || 1;
    return row.map((x) => x / length);
  });
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

async function read(t: Tensor): Promise<Float32Array> {
  const data = await t.data() as Float32Array;
  t.dispose();
  return data;
}

/** Continues `prompt`, token by token. */
export async function* contrastiveSteps<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  const { maxNewTokens, penaltyAlpha: alpha, topK } = options, dtype = options.cacheDType;
  const { contextLength } = model, capacity = prompt.length + maxNewTokens;
  if (!model.hidden || !model.logits) {
    throw new OptionError(
      "generate: penaltyAlpha needs a model that tells its hidden states (hidden, logits)",
    );
  }
  if (capacity > contextLength) {
    throw new ShapeError(
      `generate: contrastive search does not slide: ${
        counted(prompt.length, "token")
      } of prompt and ${maxNewTokens} new ones are ` +
        `more than the model's ${counted(contextLength, "position")}; ask for fewer`,
    );
  }
  const through = (ids: number[][], into: C): Tensor => noGrad(() => model.hidden!(ids, { cache: into }));
  const logitsOf = (hidden: Tensor, row: number): Promise<Float32Array> =>
    read(noGrad(() => tidy(() => model.logits!(slice(hidden, [row, row + 1], [-1, null])))));
  const sequence = new Sequence(prompt, options), breathe = breather();
  let cache = model.createCache(1, capacity, { dtype });
  try {
    if (!sequence.isDue()) return sequence.result();
    let started = performance.now();
    const begun = through([[...prompt]], cache), width = begun.shape[2];
    let logits = await logitsOf(begun, 0);
    const states = unitRows(await read(begun), width), rows = Math.min(topK, logits.length);
    const wide = model.createCache(rows, capacity, { dtype });
    wide.copyRows(cache, new Array<number>(rows).fill(0));
    cache.dispose();
    cache = wide;
    while (sequence.isDue()) {
      await breathe();
      throwIfAborted(options.signal, "generate");
      const { ids, chances, details } = sequence.candidates(logits, rows);
      // Where fewer are possible, the likeliest fills the rows.
      const hidden = through(Array.from({ length: rows }, (_, i) => [ids[i] ?? ids[0]]), cache);
      const here = unitRows(await hidden.data() as Float32Array, width);
      let chosen = 0, best = -Infinity;
      for (let i = 0; i < ids.length; i++) {
        let likeness = -1;
        for (const state of states) likeness = Math.max(likeness, dot(state, here[i]));
        const score = (1 - alpha) * chances[i] - alpha * likeness;
        if (score > best) [best, chosen] = [score, i];
      }
      states.push(here[chosen]);
      cache.copyRows(cache, new Array<number>(rows).fill(chosen), cache.length - 1);
      logits = await logitsOf(hidden, chosen);
      hidden.dispose();
      const id = ids[chosen], known = details?.(id), now = performance.now();
      sequence.push(id, known);
      yield { id, milliseconds: now - started, ...(known ? { details: known } : {}) };
      started = performance.now();
    }
    return sequence.result();
  } catch (error) {
    throw await explained(error, model, sequence.text);
  } finally {
    cache.dispose();
  }
}
