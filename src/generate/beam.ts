/**
 * Beam search: several texts grow side by side, and the likeliest whole ones win.
 *
 * As in Hugging Face: enough candidates are looked at that the beams can go on when all of them end, and the rows of
 * the key-value cache are copied to follow their beams. In groups (diverse beam search, Vijayakumar et al. 2016) one group
 * after the other chooses, and tokens that earlier ones chose at this step cost something. With `doSample` candidates
 * are drawn, without replacement, instead of taken.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { FerrotypeError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { counted } from "../core/show.ts";
import { defaultGenerator } from "../ops/mod.ts";
import { noGrad } from "../tensor/mod.ts";
import { Finished } from "./finished.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { demandNumbers, demandScores, explained, namesOf } from "./no_choice.ts";
import type { LogitsProcessor, ResolvedOptions } from "./options.ts";
import { buildProcessors } from "./processors/build.ts";
import { toLogProbabilities } from "./processors/warpers.ts";
import type { TokensResult } from "./sequence.ts";

interface Beam {
  readonly ids: readonly number[];
  readonly score: number;
  /** The row of the cache that holds its text but for the last token. */
  readonly row: number;
}

interface Candidate {
  readonly beam: number;
  readonly id: number;
  readonly score: number;
}

/** Beams that choose together, and their finished texts. */
interface Group {
  beams: Beam[];
  readonly finished: Finished;
  done: boolean;
}

/** The `count` largest of `rank` over all beams and tokens, best first; none that is −∞. */
function best(
  scores: readonly Float32Array[],
  beams: readonly Beam[],
  count: number,
  rank: (score: number) => number,
): Candidate[] {
  const list: (Candidate & { rank: number })[] = [];
  scores.forEach((row, beam) => {
    for (let id = 0; id < row.length; id++) {
      const score = beams[beam].score + row[id];
      if (score === -Infinity) continue;
      const own = rank(score);
      if (!(own > (list.length === count ? list[count - 1].rank : -Infinity))) continue;
      let at = list.length;
      while (at > 0 && own > list[at - 1].rank) at--;
      list.splice(at, 0, { beam, id, score, rank: own });
      if (list.length > count) list.pop();
    }
  });
  return list;
}

/** Two caches that take turns: beams that change places are copied from one to the other. */
class Turns<C extends LanguageModelCache> {
  /** What the beams go on from. */
  now: C;
  #other: C | null = null;
  readonly #model: LanguageModel<C>;

  constructor(model: LanguageModel<C>, first: C) {
    this.#model = model;
    this.now = first;
  }

  /** From now on its rows are those named by `rows`. */
  follow(rows: readonly number[]): void {
    const { now } = this;
    if (rows.length === now.batch && rows.every((row, i) => row === i)) return;
    if (this.#other?.batch !== rows.length) {
      this.#other?.dispose();
      this.#other = this.#model.createCache(rows.length, now.capacity, { dtype: now.dtype });
    }
    this.#other.copyRows(now, rows);
    [this.now, this.#other] = [this.#other, now];
  }

  dispose(): void {
    this.now.dispose();
    this.#other?.dispose();
  }
}

/** One step of one group; `penalty` is what each token costs for having been chosen by earlier groups. */
function step(
  group: Group,
  rows: readonly Float32Array[],
  processors: readonly LogitsProcessor[],
  penalty: ReadonlyMap<number, number>,
  options: ResolvedOptions,
  start: number,
  random: Generator | null,
): void {
  const { eosTokenId, numBeams, numBeamGroups } = options, size = numBeams / numBeamGroups;
  const scores = group.beams.map((beam, i) => {
    const row = rows[i];
    if (!options.removeInvalidValues) demandNumbers(row, beam.ids.length - start);
    toLogProbabilities(row);
    for (const [id, cost] of penalty) row[id] -= cost;
    for (const process of processors) {
      process(beam.ids, row);
      demandScores(row, process, beam.ids.length - start);
    }
    return row;
  });
  const count = size * (1 + Math.max(1, eosTokenId.length));
  // The largest of log-probabilities with Gumbel noise are a draw without replacement (Kool et al. 2019).
  const noisy = (score: number): number => score - Math.log(-Math.log(random!.uniform() || 1e-12));
  const chosen = best(scores, group.beams, count, random ? noisy : (score) => score);
  if (random) chosen.sort((a, b) => b.score - a.score);
  const next: Beam[] = [];
  chosen.forEach(({ beam, id, score }, rank) => {
    const from = group.beams[beam], ids = [...from.ids, id];
    // An ended text only counts when it ranks among the beams, as in Hugging Face.
    if (eosTokenId.includes(id)) {
      if (rank < size) group.finished.add(ids.slice(start), score, true);
    } else if (next.length < size) next.push({ ids, score, row: from.row });
  });
  group.beams = next;
  group.done = !next.length || group.finished.isDone(next[0].score, next[0].ids.length - start);
}

/** Continues `prompt`: the likeliest texts found, the best first, `numReturnSequences` of them. */
export async function beamSearch<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): Promise<TokensResult[]> {
  const { numBeams, numBeamGroups, maxNewTokens } = options, start = prompt.length;
  if (start + maxNewTokens > model.contextLength + 1) {
    throw new ShapeError(
      `generate: beam search does not slide: ${
        counted(start, "token")
      } of prompt and ${maxNewTokens} new ones are more ` +
        `than the model's ${counted(model.contextLength, "position")}; ask for fewer`,
    );
  }
  const processors = buildProcessors(options, start), breathe = breather();
  const random = !options.doSample
    ? null
    : options.seed === undefined
    ? defaultGenerator()
    : new Generator(options.seed);
  const deadline = performance.now() + 1e3 * (options.maxTime ?? Infinity);
  const groups = Array.from({ length: numBeamGroups }, (): Group => ({
    beams: [{ ids: [...prompt], score: 0, row: 0 }],
    finished: new Finished(numBeams / numBeamGroups, options),
    done: false,
  }));
  const first = model.createCache(1, Math.max(1, start + maxNewTokens - 1), { dtype: options.cacheDType });
  const turns = new Turns(model, first);
  try {
    for (let made = 0; made < maxNewTokens; made++) {
      await breathe();
      throwIfAborted(options.signal, "generate");
      const growing = groups.filter(({ done }) => !done);
      if (!growing.length || performance.now() >= deadline) break;
      const beams = growing.flatMap((group) => group.beams);
      // At the first step all groups have the same row.
      const rows = made === 0 ? [0] : beams.map(({ row }) => row);
      turns.follow(rows);
      const cache = turns.now;
      const feed = (made === 0 ? beams.slice(0, 1) : beams).map(({ ids }) => ids.slice(cache.length));
      const logits = noGrad(() => model.forward(feed, { cache, lastOnly: true }));
      const data = await logits.data() as Float32Array, width = data.length / feed.length;
      logits.dispose();
      const penalty = new Map<number, number>();
      let at = 0;
      for (const group of growing) {
        const own = group.beams.map((beam, i): Beam => ({ ...beam, row: made === 0 ? 0 : at + i }));
        const from = own.map(({ row }) => data.slice(row * width, (row + 1) * width));
        at += own.length;
        group.beams = own;
        step(group, from, processors, penalty, options, start, random);
        if (options.diversityPenalty > 0) {
          for (const { ids } of group.beams) {
            const id = ids[ids.length - 1];
            penalty.set(id, (penalty.get(id) ?? 0) + options.diversityPenalty);
          }
        }
      }
    }
  } catch (error) {
    throw await explained(error, model, groups[0].beams[0]?.ids ?? prompt);
  } finally {
    turns.dispose();
  }
  for (const { beams, done, finished } of groups) {
    if (!done) { for (const beam of beams) finished.add(beam.ids.slice(start), beam.score, false); }
  }
  const all = groups.flatMap(({ finished }) => finished.list).sort((a, b) => b.score - a.score);
  if (!all.length) {
    throw new FerrotypeError(
      `generate: every token is excluded in every beam: ${namesOf(processors)} left none; loosen them`,
    );
  }
  return all.slice(0, options.numReturnSequences).map(({ ids, ended }) => ({
    ids,
    finishReason: ended ? "eos" : "length",
  }));
}
