/**
 * The figures of this library on this machine, each beside the machine's own limit measured in the same moment.
 *
 * The limits are kernels that only multiply and add in registers, or only read, through the same engine
 * (`backends/cpu/limits.ts`). The folder `bench` in the repository measures more, and rivals too.
 *
 * @module
 */
import { Limits } from "../backends/cpu/limits.ts";
import { throwIfAborted } from "../core/errors.ts";
import { abortSignal, flag, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { readyToHold } from "../ops/blocks.ts";
import { linear, manualSeed, matmul, randint, randn, randomState, setRandomState } from "../ops/mod.ts";
import { AdamW } from "../optim/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { cpuBackend } from "./cpu.ts";
import { GPT2 } from "./gpt2.ts";

/**
 * One figure.
 *
 * @category Devices
 */
export interface Figure {
  /** What was done. */
  name: string;
  /** The median of its speeds, or of its times. */
  value: number;
  /** "…/s" is a speed. */
  unit: string;
  /** What the machine could do at most, in the same unit. */
  limit?: {
    /** What limits it. */
    name: string;
    /** The median. */
    value: number;
    /** The median of the ratios that were measured next to each other. */
    share: number;
  };
}

/**
 * Options of {@link benchmark}.
 *
 * @category Devices
 */
export interface BenchmarkOptions {
  /** Rounds of which the median is taken. Default 7. */
  rounds?: number;
  /** Leaves out GPT-2 124M, which takes 2 GB of memory and most of the time. */
  small?: boolean;
  /** Ends it between two measurements. */
  signal?: AbortSignal;
}

const benchmarkOptions: OptionTable<BenchmarkOptions> = {
  rounds: whole(1),
  small: flag,
  signal: abortSignal,
};

/** What is measured: `amount` of the unit in a run, and the limit in the unit. */
interface Case {
  readonly name: string;
  readonly unit: string;
  readonly amount: number;
  readonly limit?: { readonly name: string; readonly measure: () => number };
  /** Gives the seconds itself where only a part of it counts. */
  run(): unknown;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Seconds of one run, in at least 50 ms of runs. */
async function secondsOf(run: () => unknown): Promise<number> {
  const all: number[] = [];
  const until = performance.now() + 50;
  do {
    const start = performance.now(), given = await run();
    all.push(typeof given === "number" ? given : (performance.now() - start) / 1e3);
  } while (performance.now() < until);
  return median(all);
}

async function measure(
  { name, unit, amount, limit, run }: Case,
  { rounds = 7, signal }: BenchmarkOptions,
): Promise<Figure> {
  await secondsOf(run);
  const values: number[] = [], limits: number[] = [];
  for (let round = 0; round < rounds; round++) {
    throwIfAborted(signal, "benchmark");
    const before = limit?.measure() ?? 0;
    const seconds = await secondsOf(run);
    values.push(unit.endsWith("/s") ? amount / seconds : amount * seconds);
    if (limit) limits.push((before + limit.measure()) / 2);
  }
  const figure: Figure = { name, value: median(values), unit };
  if (limit) {
    const share = median(values.map((value, i) => value / limits[i]));
    figure.limit = { name: limit.name, value: median(limits), share };
  }
  return figure;
}

/**
 * Measures the cpu device: products, quantised products, dispatch, and GPT-2 124M with random weights decoding, reading a
 * prompt and training. Gives each figure when it is there; half a minute in all.
 *
 * @throws {CancelledError} when `signal` was aborted.
 * @category Devices
 */
export function benchmark(options: BenchmarkOptions = {}): AsyncGenerator<Figure> {
  return figures(checkOptions("benchmark", options, benchmarkOptions));
}

async function* figures(options: BenchmarkOptions): AsyncGenerator<Figure> {
  const backend = cpuBackend(), { engine } = backend, limits = new Limits(engine), { blas } = engine;
  await engine.ready();
  backend.tune();
  const wasEnabled = blas.enabled, random = randomState();
  const device = "cpu", one = (name: string, measure: () => number): Case["limit"] => ({ name, measure });
  const peak = (per: number): Case["limit"] =>
    one("multiply-add in registers", () => limits.multiplyAdd() / per);
  const reading = (bytes: number): Case["limit"] => one("reading the weights", () => limits.read() / bytes);
  for (let i = 0; i < 20; i++) limits.multiplyAdd(); // until the engine has compiled it for speed
  const measured = (item: Case): Promise<Figure> => measure(item, options);
  try {
    manualSeed(1);
    const library = blas.name?.split(" ")[0];
    const ways: [string, boolean][] = library ? [["", false], [`, by ${library}`, true]] : [["", false]];
    for (const [m, k, n] of [[1024, 1024, 1024], [512, 768, 3072]]) {
      const a = randn([m, k], { device }), b = randn([k, n], { device });
      for (const [how, native] of ways) {
        blas.enabled = native;
        yield await measured({
          name: `product [${m},${k}]×[${k},${n}], f32${how}`,
          unit: "GFLOP/s",
          amount: 2 * m * n * k / 1e9,
          ...(native ? {} : { limit: peak(1e9)! }),
          run: () => noGrad(() => tidy(() => void matmul(a, b))),
        });
      }
      a.dispose();
      b.dispose();
    }
    blas.enabled = wasEnabled;
    await readyToHold(["q8"]);
    const x = randn([512, 768], { device }),
      full = randn([3072, 768], { device }),
      w = full.to({ dtype: "q8" });
    full.dispose();
    for (const [how, native] of ways) {
      blas.enabled = native;
      yield await measured({
        name: `product [512,768]×[768,3072], q8${how}`,
        unit: "GOP/s",
        amount: 2 * 512 * 768 * 3072 / 1e9,
        ...(native ? {} : { limit: one("dot products in registers", () => limits.dot() / 1e9)! }),
        run: () => noGrad(() => tidy(() => void linear(x, w))),
      });
    }
    blas.enabled = wasEnabled;
    x.dispose();
    w.dispose();

    yield await measured({
      name: "a job to the threads and back",
      unit: "µs",
      amount: 1e6,
      run: () => limits.dispatch(),
    });
    if (!options.small) yield* gpt2Figures(measured, peak, reading, ways, (on) => blas.enabled = on);
  } finally {
    blas.enabled = wasEnabled;
    setRandomState(random);
    limits.dispose();
  }
}

async function* gpt2Figures(
  measured: (item: Case) => Promise<Figure>,
  peak: (per: number) => Case["limit"],
  reading: (bytes: number) => Case["limit"],
  ways: readonly [string, boolean][],
  useBlas: (on: boolean) => void,
): AsyncGenerator<Figure> {
  const config = { residPdrop: 0, embdPdrop: 0, attnPdrop: 0, eosTokenId: null };
  const model = new GPT2(config, { device: "cpu" }), { vocabSize, nEmbd, nLayer } = model.config;
  try {
    const body = 2 * 12 * nLayer * nEmbd * nEmbd, head = 2 * vocabSize * nEmbd; // operations a token
    const ids = (count: number): number[] =>
      Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabSize);
    model.eval();
    const prompt = ids(8);
    yield await measured({
      name: "GPT-2 124M, f32: decode",
      unit: "tokens/s",
      amount: 1,
      limit: reading(2 * (body + head))!, // four bytes for every two operations
      async run() {
        const { ids, decodeMilliseconds } = await model.completion(prompt, {
          maxNewTokens: 16,
          doSample: false,
        });
        return decodeMilliseconds / 1e3 / (ids.length - 1);
      },
    });
    const long = ids(512);
    for (const [how, native] of ways) {
      useBlas(native);
      yield await measured({
        name: `GPT-2 124M, f32: a prompt of 512 tokens${how}`,
        unit: "tokens/s",
        amount: long.length,
        ...(native ? {} : { limit: peak(body + head / long.length)! }),
        async run() {
          const { prefillMilliseconds } = await model.completion(long, {
            maxNewTokens: 1,
            doSample: false,
            cachePrompt: false, // else only the first round would compute it
          });
          return prefillMilliseconds / 1e3;
        },
      });
    }
    model.train();
    const optimizer = new AdamW(model.parameters(), { lr: 1e-4 });
    const batch = randint(0, vocabSize, [4, 65], { device: "cpu" });
    for (const [how, native] of ways) {
      useBlas(native);
      yield await measured({
        name: `GPT-2 124M, f32: a training step of 4 × 64 tokens${how}`,
        unit: "tokens/s",
        amount: 256,
        ...(native ? {} : { limit: peak(3 * (body + head))! }),
        async run() {
          const loss = tidy(() => {
            optimizer.zeroGrad();
            const loss = model.loss(batch);
            loss.backward();
            optimizer.step();
            return loss.detach();
          });
          await loss.item();
          loss.dispose();
        },
      });
    }
    batch.dispose();
    optimizer.dispose();
  } finally {
    model.dispose();
  }
}
