/**
 * What `pipeline_test.ts` runs on several ranks, and alone: models that are split, and what they say. The arguments: models' folders as
 * JSON, and a file to write to.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { CausalLM, distributed, type GenerateOptions, noGrad, setThreads, tidy } from "../mod.ts";

/** What a rank found of a model. */
export interface Found {
  readonly parameters: number;
  readonly ids: number[][];
  /** Bytes of weights that were read. */
  readonly bytes: number;
  /** Programs of steps: a rank's part of one is compiled. */
  readonly programs: number;
  /** What it says to what a part of a model cannot tell. */
  readonly refused: string;
}

const prompt = [3, 1, 4, 1, 5];
/** Ways to generate: greedy, sampled, several texts, beams, contrastive search. */
const ways: readonly GenerateOptions[] = [
  { maxNewTokens: 8, temperature: 0 },
  { maxNewTokens: 8, temperature: 1.5, seed: 7, repetitionPenalty: 1.1 },
  { maxNewTokens: 5, temperature: 1, seed: 3, numReturnSequences: 3 },
  { maxNewTokens: 5, numBeams: 3 },
  { maxNewTokens: 5, penaltyAlpha: 0.6, topK: 4 },
];

/** Loads each, over ranks where there are several, and generates in every way. */
export async function look(folders: readonly string[]): Promise<Found[]> {
  await setThreads(1);
  await distributed.init();
  const found: Found[] = [];
  for (const folder of folders) {
    let bytes = 0;
    const model = await CausalLM.load(folder, {
      ...{ distributed, onWarning: () => {} },
      onProgress: ({ total }) => bytes = total,
    });
    const parameters = model.numParameters(), ids: number[][] = [];
    for (const way of ways) {
      ids.push(
        ...(await model.completions(prompt, { ...way, eosTokenId: [] } as GenerateOptions)).map((
          { ids },
        ) => [...ids]),
      );
    }
    const cache = model.network.createCache();
    noGrad(() =>
      tidy(() => void [[prompt], [[2]], [[2]]].map((ids) => model.network.forward(ids, { cache })))
    );
    let refused = "";
    try {
      model.network.loss([prompt]).dispose();
    } catch (error) {
      refused = (error as Error).message;
    }
    found.push({ parameters, ids, bytes, programs: cache.steps.size, refused });
    cache.dispose();
    model.dispose();
  }
  return found;
}

if (import.meta.main) {
  const [folders, out] = process.argv.slice(2), found = await look(JSON.parse(folders));
  writeFileSync(`${out}.${distributed.rank}.json`, JSON.stringify(found));
  await distributed.destroy();
}
