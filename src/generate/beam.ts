/**
 * Beam search: several texts grow side by side, and the likeliest whole one wins.
 *
 * As in Hugging Face with its defaults (`length_penalty` 1, `early_stopping` false): a finished text scores its sum
 * of log-probabilities divided by its number of new tokens, enough candidates are looked at that the beams can go on
 * when all of them end, and the search ends when no growing text can beat the worst of the finished ones. The rows of
 * the key-value cache are copied to follow their beams.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { FerrotypeError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { noGrad } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import type { ResolvedOptions } from "./options.ts";
import { buildProcessors } from "./processors.ts";
import type { TokensResult, TokenStep } from "./tokens.ts";

interface Beam {
  ids: number[];
  score: number;
}

interface Candidate {
  beam: number;
  id: number;
  score: number;
}

/** ln softmax in place. */
function toLogProbabilities(logits: Float32Array): void {
  let top = -Infinity, total = 0;
  for (const v of logits) if (v > top) top = v;
  for (const v of logits) total += Math.exp(v - top);
  const shift = top + Math.log(total);
  for (let i = 0; i < logits.length; i++) logits[i] -= shift;
}

/** The `count` best continuations over all beams, best first; none that is excluded. */
function best(scores: readonly Float32Array[], beams: readonly Beam[], count: number): Candidate[] {
  const list: Candidate[] = [];
  scores.forEach((row, beam) => {
    for (let id = 0; id < row.length; id++) {
      const score = beams[beam].score + row[id];
      if (!(score > (list.length === count ? list[count - 1].score : -Infinity))) continue;
      let at = list.length;
      while (at > 0 && score > list[at - 1].score) at--;
      list.splice(at, 0, { beam, id, score });
      if (list.length > count) list.pop();
    }
  });
  return list;
}

/** A cache whose rows are those of `cache` named by `rows`; `cache` itself when that changes nothing. */
function follow<C extends LanguageModelCache>(model: LanguageModel<C>, cache: C, rows: readonly number[]): C {
  if (rows.length === cache.batch && rows.every((row, i) => row === i)) return cache;
  const next = model.createCache(rows.length, cache.capacity);
  next.copyRows(cache, rows);
  cache.dispose();
  return next;
}

/** The finished texts, best first, at most `most` of them. */
class Finished {
  readonly list: { ids: number[]; score: number; ended: boolean }[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** Adds new ids whose log-probabilities sum to `sum`. */
  add(ids: number[], sum: number, ended: boolean): void {
    this.list.push({ ids, score: sum / Math.max(1, ids.length), ended });
    this.list.sort((a, b) => b.score - a.score);
    this.list.length = Math.min(this.list.length, this.#most);
  }

  /** Whether a text of this score can no longer get in. */
  isBeyond(score: number): boolean {
    return this.list.length === this.#most && score <= this.list[this.#most - 1].score;
  }
}

/** Continues `prompt` with the likeliest text found; its tokens come all at once, at the end. */
export async function* beamSearch<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  const { numBeams, maxNewTokens, eosTokenId } = options, started = performance.now();
  if (prompt.length + maxNewTokens > model.contextLength + 1) {
    throw new ShapeError(
      `generate: beam search does not slide: ${prompt.length} tokens of prompt and ${maxNewTokens} new ones are more ` +
        `than the model's ${model.contextLength} positions`,
    );
  }
  const processors = buildProcessors(options, prompt.length), breathe = breather();
  const wanted = numBeams * (1 + Math.max(1, eosTokenId.length));
  const finished = new Finished(numBeams);
  let beams: Beam[] = [{ ids: [...prompt], score: 0 }], rows = [0];
  let cache = model.createCache(1, Math.max(1, prompt.length + maxNewTokens - 1));
  try {
    for (let made = 1; made <= maxNewTokens; made++) {
      await breathe();
      throwIfAborted(options.signal, "generate");
      cache = follow(model, cache, rows);
      const feed = beams.map((beam) => beam.ids.slice(cache.length));
      const logits = noGrad(() => model.forward(feed, { cache, lastOnly: true }));
      const data = await logits.data() as Float32Array, width = data.length / beams.length;
      logits.dispose();
      const scores = beams.map((beam, i) => {
        const row = data.subarray(i * width, (i + 1) * width);
        toLogProbabilities(row);
        for (const process of processors) process(beam.ids, row);
        return row;
      });
      const next: Beam[] = [], from: number[] = [];
      best(scores, beams, wanted).forEach(({ beam, id, score }, rank) => {
        const ids = [...beams[beam].ids, id];
        // An ended text only counts when it ranks among the beams, as in Hugging Face.
        if (eosTokenId.includes(id)) {
          if (rank < numBeams) finished.add(ids.slice(prompt.length), score, true);
        } else if (next.length < numBeams) {
          next.push({ ids, score });
          from.push(beam);
        }
      });
      beams = next;
      rows = from;
      if (beams.length && finished.isBeyond(beams[0].score / made)) beams = [];
      if (!beams.length) break;
    }
  } finally {
    cache.dispose();
  }
  for (const beam of beams) finished.add(beam.ids.slice(prompt.length), beam.score, false);
  if (!finished.list.length) {
    throw new FerrotypeError(
      "generate: every token is excluded (or the logits are NaN); loosen the constraints",
    );
  }
  const { ids, ended } = finished.list[0];
  const milliseconds = (performance.now() - started) / Math.max(1, ids.length);
  for (const id of ids) {
    options.onToken?.(id);
    yield { id, milliseconds };
  }
  return { ids, finishReason: ended ? "eos" : "length" };
}
