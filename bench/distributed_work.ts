/**
 * What `distributed.ts` has one process or several ranks do, a line of JSON on standard output by rank 0:
 * `distributed_work.ts reduce`, `distributed_work.ts step baby|gpt2 THREADS STEPS`, `distributed_work.ts bits`.
 *
 * @module
 */
import process from "node:process";
import {
  distributed,
  GPT2,
  manualSeed,
  optim,
  randomBatches,
  setThreads,
  Trainer,
  useDeterministicAlgorithms,
  zeros,
} from "../mod.ts";
import { Timeline } from "../src/distributed/timeline.ts";

/** Elements of the all-reduce: 500 MB, the gradients of GPT-2 124M. */
export const reducedElements = 125_000_000;
/** How often it is measured. */
export const reduceRounds = 5;

/** Models of which steps are measured: their sizes, and the whole batch. */
export const models = {
  baby: {
    title: "nanoGPT's baby model, 12 × 64",
    config: { vocabSize: 65, nPositions: 256, nEmbd: 384, nLayer: 6, nHead: 6 },
    batch: 12,
    time: 64,
  },
  gpt2: { title: "GPT-2 124M, 4 × 128", config: {}, batch: 4, time: 128 },
} as const;

/** What a step of a process, or of ranks together, took, in milliseconds. */
export interface StepResult {
  step: number;
  /** Of it, forward and backward. */
  compute: number;
  /** Bytes of the gradients, and in how many pieces they are sent. */
  bytes: number;
  buckets: number;
  /** The share of the communication that nobody waited for; null for one process. */
  hidden: number | null;
}

/** The middle one. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

async function reduce(): Promise<number> {
  const t = zeros([reducedElements]), times: number[] = [];
  for (let i = 0; i <= reduceRounds; i++) {
    await distributed.barrier();
    const started = performance.now();
    await distributed.allReduce(t);
    times.push(performance.now() - started);
  }
  // The first touches the memory.
  return median(times.slice(1));
}

async function step(name: keyof typeof models, steps: number): Promise<StepResult> {
  const { config, batch, time } = models[name], at: number[] = [];
  manualSeed(1);
  const model = new GPT2({ ...config, residPdrop: 0, embdPdrop: 0, attnPdrop: 0 });
  const ids = Int32Array.from({ length: 100_000 }, (_, i) => (i * 7919 + (i >> 4)) % model.config.vocabSize);
  const trainer = new Trainer({
    model,
    data: randomBatches(ids, { batchSize: batch, blockSize: time, seed: 1 }),
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-4 }),
    steps,
    reportEvery: 1,
    onStep: () => void at.push(performance.timeOrigin + performance.now()),
    distributed,
    trace: true,
  });
  await trainer.run();
  // The first steps learn in which order gradients come, and take memory.
  const skipped = Math.min(3, steps >> 1), from = at[skipped - 1] * 1000, timeline = new Timeline(0);
  timeline.events.push(...trainer.traceEvents().filter(({ pid, ts }) => pid === 0 && ts >= from));
  const spans = (tid: number, name: RegExp): number[] =>
    timeline.events.filter((e) => e.tid === tid && name.test(e.name)).map(({ dur }) => dur / 1000);
  return {
    step: median(at.slice(skipped).map((end, i) => end - at[i + skipped - 1])),
    compute: median(spans(0, /^forward/)),
    bytes: 4 * model.numParameters(),
    buckets: spans(1, /^reduce/).length / (steps - skipped),
    hidden: distributed.size > 1 ? timeline.hidden() : null,
  };
}

/** Losses and a fingerprint of the weights after some steps in fixed parts. */
async function bits(): Promise<string> {
  useDeterministicAlgorithms(true);
  manualSeed(7);
  const model = new GPT2({ vocabSize: 65, nPositions: 32, nEmbd: 48, nLayer: 2, nHead: 3 });
  const ids = Int32Array.from({ length: 20_000 }, (_, i) => (i * i * 31 + (i >> 3)) % 65),
    losses: number[] = [];
  await new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 8, blockSize: 32, seed: 2 }),
    optimizer: new optim.AdamW(model.parameters(), { lr: 1e-3 }),
    steps: 20,
    clip: 1,
    reportEvery: 1,
    onStep: ({ loss }) => void losses.push(loss),
    distributed,
    parts: 4,
  }).run();
  let hash = 0;
  for (const p of model.parameters()) {
    for (const word of new Uint32Array(((await p.data()) as Float32Array).slice().buffer)) {
      hash = Math.imul(hash, 31) + word | 0;
    }
  }
  return `${losses.at(-1)} ${(hash >>> 0).toString(16)}`;
}

if (import.meta.main ?? /distributed_work\.[jt]s$/.test(process.argv[1] ?? "")) {
  const [, , what, name, threads = "1", steps = "6"] = process.argv;
  await setThreads(Number(threads));
  await distributed.init({ timeout: 600 });
  const found = what === "reduce"
    ? await reduce()
    : what === "bits"
    ? await bits()
    : await step(name as keyof typeof models, Number(steps));
  const isFirst = distributed.rank === 0;
  await distributed.destroy();
  if (isFirst) console.log(JSON.stringify(found));
  process.exit(0);
}
