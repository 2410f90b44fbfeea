/**
 * Lesson 5: a GPT-2 learns a rhyme by heart, from the first weight to a folder that `transformers` reads.
 *
 * `ferrotype train` does the same for a file of your own, with evaluations, checkpoints and resuming.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CharTokenizer, GPT2, manualSeed, optim, randomBatches, Trainer } from "../mod.ts";

const rhyme = "Jack and Jill went up the hill to fetch a pail of water.\n" +
  "Jack fell down and broke his crown, and Jill came tumbling after.\n";

manualSeed(1);
const tokenizer = CharTokenizer.from(rhyme), ids = tokenizer.encode(rhyme.repeat(4));
const model = new GPT2({
  vocabSize: tokenizer.vocabSize,
  nPositions: 32,
  nEmbd: 48,
  nLayer: 2,
  nHead: 4,
  residPdrop: 0,
  embdPdrop: 0,
  attnPdrop: 0,
});
model.tokenizer = tokenizer;

const steps = 200;
const trainer = new Trainer({
  model,
  data: randomBatches(ids, { batchSize: 8, blockSize: 32, seed: 1 }),
  optimizer: new optim.AdamW(model.parameters(), { lr: 0.005, weightDecay: 0.01 }),
  schedule: optim.schedules.cosine({ lr: 0.005, warmup: 10, steps, minLr: 0.0005 }),
  steps,
  clip: 1,
  reportEvery: 50,
  onStep: ({ step, loss }) => console.log(`step ${step}: loss ${loss.toFixed(3)}`),
});
await trainer.run();

const folder = mkdtempSync(join(tmpdir(), "ferrotype-lesson-"));
try {
  await model.save(folder);
  console.log(readdirSync(folder).sort().join(" "));
  using again = await GPT2.load(folder);
  console.log(`Jack and Jill${await again.complete("Jack and Jill", { maxNewTokens: 44 })}`);
} finally {
  rmSync(folder, { recursive: true });
}
