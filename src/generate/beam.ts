/**
 * Beam search: several texts grow side by side, and the likeliest whole one wins.
 *
 * As in Hugging Face with its defaults (`length_penalty` 1, `early_stopping` false): a finished text scores its sum
 * of log-probabilities divided by its number of new tokens, twice as many candidates as beams are looked at, and the
 * search ends when no growing text can beat the worst of the finished ones. Each step's winners may descend from any
 * beam, so their keys and values are computed afresh from the ids when the order of beams changes.
 *
 * @module
 */
import { ShapeError, throwIfAborted } from "../core/errors.ts";
import { noGrad } from "../tensor/mod.ts";
import type { ResolvedOptions } from "./options.ts";
import { buildProcessors } from "./processors.ts";
import type { Cache, LanguageModel, TokensResult, TokenStep } from "./tokens.ts";

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

/** The `count` best continuations over all beams, best first. */
function best(scores: readonly Float32Array[], beams: readonly Beam[], count: number): Candidate[] {
  const list: Candidate[] = [];
  scores.forEach((row, beam) => {
    for (let id = 0; id < row.length; id++) {
      const score = beams[beam].score + row[id];
      if (list.length === count && !(score > list[count - 1].score)) continue;
      let at = list.length;
      while (at > 0 && score > list[at - 1].score) at--;
      list.splice(at, 0, { beam, id, score });
      if (list.length > count) list.pop();
    }
  });
  return list;
}

/** Continues `prompt` with the likeliest text found; its tokens come all at once, at the end. */
export async function* beamSearch<C extends Cache>(
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
  const processors = buildProcessors(options, prompt.length);
  let beams: Beam[] = [{ ids: [...prompt], score: 0 }];
  const finished: { ids: number[]; score: number; ended: boolean }[] = [];
  const finish = (ids: number[], score: number, ended: boolean): void => {
    finished.push({ ids, score: score / Math.max(1, ids.length - prompt.length), ended });
    finished.sort((a, b) => b.score - a.score);
    finished.length = Math.min(finished.length, numBeams);
  };
  for (let made = 1; made <= maxNewTokens; made++) {
    throwIfAborted(options.signal, "generate");
    const cache = model.createCache(beams.length, beams[0].ids.length);
    const rows: Float32Array[] = [];
    try {
      const logits = noGrad(() => model.forward(beams.map((b) => b.ids), { cache, lastOnly: true }));
      const data = await logits.data() as Float32Array, width = data.length / beams.length;
      logits.dispose();
      beams.forEach((beam, i) => {
        const row = data.slice(i * width, (i + 1) * width);
        toLogProbabilities(row);
        for (const process of processors) process(beam.ids, row);
        rows.push(row);
      });
    } finally {
      cache.dispose();
    }
    const next: Beam[] = [];
    best(rows, beams, 2 * numBeams).forEach(({ beam, id, score }, rank) => {
      const ids = [...beams[beam].ids, id];
      // An ended text only counts when it ranks among the beams, as in Hugging Face.
      if (eosTokenId.includes(id)) {
        if (rank < numBeams) finish(ids, score, true);
      } else if (next.length < numBeams) next.push({ ids, score });
    });
    beams = next;
    if (!beams.length) break;
    if (finished.length === numBeams && beams[0].score / made <= finished[numBeams - 1].score) {
      beams = [];
      break;
    }
  }
  for (const beam of beams) finish(beam.ids, beam.score, false);
  const winner = finished[0], ids = winner.ids.slice(prompt.length);
  const milliseconds = (performance.now() - started) / Math.max(1, ids.length);
  for (const id of ids) {
    options.onToken?.(id);
    yield { id, milliseconds };
  }
  return { ids, finishReason: winner.ended ? "eos" : "length" };
}
