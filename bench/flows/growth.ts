/**
 * How time and memory grow: attention and decoding with the length of the text, products with their size and with threads, decoding
 * with the texts of a batch and with the size of the model, serving with clients, training with batch and width; and which GPT-2 fits into the 4 GiB that a WebAssembly memory with 32-bit addresses holds (a larger one runs too,
 * and copies a part of its weights for every token).
 *
 * @module
 */
import { GPT2, type GPT2Config, noGrad, randn, scaledDotProductAttention, tidy } from "../../mod.ts";
import { Engine } from "../../src/backends/cpu/engine.ts";
import { matmul } from "../../src/backends/cpu/kernels/matmul.ts";
import { canBlock, hardwareConcurrency, spawnWorker } from "../../src/platform/platform.ts";
import type { Bench, Group, Row } from "../harness.ts";
import { matrix, release } from "../ops/matmul.ts";
import { loadGpt2 } from "../gpt2.ts";
import { gpt2WithTokenizer } from "../load/server.ts";
import { request, serve } from "./serve.ts";
import { stepper } from "./train.ts";

/** The most bytes that `run` holds at a time beyond those held before. */
function peakBytes({ heap }: Engine, run: () => void): number {
  const { allocate, scratch, release } = heap;
  let live = 0, most = 0;
  const count = (take: (bytes: number) => number) => (bytes: number): number => {
    live += bytes;
    most = Math.max(most, live);
    return take.call(heap, bytes);
  };
  Object.assign(heap, {
    allocate: count(allocate),
    scratch: count(scratch),
    release(pointer: number) {
      live -= heap.sizeOf(pointer);
      release.call(heap, pointer);
    },
  });
  try {
    run();
  } finally {
    for (const name of ["allocate", "scratch", "release"]) Reflect.deleteProperty(heap, name);
  }
  return most;
}

/** Causal attention over longer and longer texts. */
async function* attention(bench: Bench): AsyncGenerator<Row> {
  const { engine, settings } = bench;
  for (let time = 256; time <= (settings.quick ? 2048 : 16384); time *= 2) {
    const [q, k, v] = Array.from({ length: 3 }, () => randn([1, 12, time, 64]));
    const run = (): void =>
      noGrad(() => tidy(() => void scaledDotProductAttention(q, k, v, { isCausal: true })));
    run();
    const bytes = peakBytes(engine, run);
    yield {
      name: `causal attention, 12 heads of 64, ${time} positions`,
      unit: "GFLOP/s",
      amount: 2 * 2 * 12 * 64 * time * (time + 1) / 2 / 1e9,
      subjects: [{ name: "WebAssembly", run, limit: bench.peak() }],
      note: `${(bytes / 1e6).toFixed(2)} MB of memory, ${(bytes / time).toFixed(0)} bytes a position`,
      curve: { name: "causal attention, 12 heads of 64", along: "positions", at: time },
    };
    for (const t of [q, k, v]) t.dispose();
  }
}

/** Larger and larger products. */
async function* products(bench: Bench): AsyncGenerator<Row> {
  const { engine, settings } = bench;
  for (let size = 64; size <= (settings.quick ? 512 : 2048); size *= 2) {
    const [a, b, out] = Array.from({ length: 3 }, () => matrix(engine, size, size));
    yield {
      name: `product of ${size}³`,
      unit: "GFLOP/s",
      amount: 2 * size ** 3 / 1e9,
      subjects: [{ name: "WebAssembly", run: () => matmul(engine, a, b, out), limit: bench.peak() }],
      curve: { name: "a product of n³", along: "n", at: size },
    };
    release(engine, a, b, out);
  }
}

/** One product by more and more threads: ideally as threads^-1. */
async function* threads(): AsyncGenerator<Row> {
  const most = hardwareConcurrency(), size = 1024;
  for (let count = 1; count <= most; count = count < most ? Math.min(2 * count, most) : count + 1) {
    const engine = new Engine({
      threads: count,
      platform: { hardwareConcurrency: most, canBlock: canBlock(), spawnWorker },
    });
    await engine.ready();
    engine.blas.enabled = false;
    const [a, b, out] = Array.from({ length: 3 }, () => matrix(engine, size, size));
    yield {
      name: `product of ${size}³, ${count} of ${most} threads`,
      unit: "GFLOP/s",
      amount: 2 * size ** 3 / 1e9,
      subjects: [{ name: "WebAssembly", run: () => matmul(engine, a, b, out) }],
      curve: { name: `a product of ${size}³`, along: "threads", at: count },
    };
    release(engine, a, b, out);
    engine.dispose();
  }
}

/** Training steps of larger and larger batches, and of wider and wider models. */
async function* training(bench: Bench): AsyncGenerator<Row> {
  const kinds: readonly [name: string, along: string, sizes: readonly [width: number, batch: number][]][] = [
    ["a training step of width 128", "batch", [1, 2, 4, 12, 24, 48].map((batch) => [128, batch])],
    ["a training step, batch 12 of 64", "width", [32, 64, 128, 256, 512].map((width) => [width, 12])],
  ];
  for (const [curve, along, sizes] of kinds) {
    for (const [width, batch] of sizes) {
      const config = { nLayer: 4, nHead: width / 32, nEmbd: width, nPositions: 64, vocabSize: 65 };
      const { run, dispose } = stepper(config, batch, 64);
      yield {
        name: `training step, 4 layers, width ${width}, batch ${batch} of 64${
          along === "width" ? "" : " (batch)"
        }`,
        unit: "tokens/s",
        amount: batch * 64,
        subjects: [{
          name: "WebAssembly",
          run,
          limit: bench.peak(3 * 2 * (4 * 12 * width * width + 65 * width)),
        }],
        curve: { name: curve, along, at: along === "width" ? width : batch },
      };
      dispose();
    }
  }
}

/** Seconds of a token of `texts` texts together, behind `positions` of their own. */
async function tokenSeconds(model: GPT2, positions: number, texts = 1): Promise<number> {
  const prompts = Array.from(
    { length: texts },
    (_, i) => Array.from({ length: positions }, (_, j) => (i + 7 * j) % 64),
  );
  const steps = 8,
    [{ decodeMilliseconds }] = await model.completeBatch(prompts, {
      maxNewTokens: steps + 1,
      maxBatch: texts,
      doSample: false,
    });
  return decodeMilliseconds / 1e3 / steps;
}

/** A token behind more and more positions, of more and more texts together, and of larger and larger models. */
async function* decoding({ settings }: Bench): AsyncGenerator<Row> {
  const model = (config: Partial<GPT2Config>): GPT2 =>
    new GPT2({ nLayer: 4, nHead: 4, nEmbd: 256, vocabSize: 1024, eosTokenId: null, ...config });
  const row = (
    name: string,
    at: number,
    [curve, along]: readonly [string, string],
    run: () => Promise<number>,
    texts = 1,
  ): Row => ({
    name,
    unit: "tokens/s",
    amount: texts,
    subjects: [{ name: "WebAssembly", run }],
    curve: { name: curve, along, at },
  });
  const most = settings.quick ? 2048 : 8192, long = model({ nPositions: most + 16 });
  for (let positions = 32; positions <= most; positions *= 4) {
    const what = ["a token of a model of 4 layers of 256", "positions"] as const;
    yield row(`decode behind ${positions} positions`, positions, what, () => tokenSeconds(long, positions));
  }
  for (let texts = 1; texts <= 32; texts *= 2) {
    const what = ["a token each of texts together, 4 layers of 256", "texts"] as const;
    yield row(`decode ${texts} texts together`, texts, what, () => tokenSeconds(long, 16, texts), texts);
  }
  long.dispose();
  for (const [nLayer, nEmbd] of [[2, 64], [4, 128], [4, 256], [6, 384], [8, 512], [12, 768]]) {
    const one = model({ nLayer, nEmbd, nHead: nEmbd / 64, nPositions: 64 });
    const size = one.parameters().reduce((sum, { size }) => sum + size, 0);
    const what = ["a token of a model in f32", "parameters"] as const;
    yield row(`decode with ${(size / 1e6).toFixed(2)} M parameters`, size, what, () => tokenSeconds(one, 16));
    one.dispose();
  }
}

/** More and more clients of one server, of which 16 are computed together. */
async function* clients({ settings }: Bench): AsyncGenerator<Row> {
  await gpt2WithTokenizer();
  const model = await loadGpt2("q8"), tokens = settings.quick ? 8 : 16;
  if (typeof model === "string") {
    yield { name: "clients", unit: "tokens/s", amount: 1, subjects: [], failed: model };
    return;
  }
  const server = await serve(model);
  let seed = 0;
  try {
    for (let count = 1; count <= 32; count *= 2) {
      yield {
        name: `GPT-2 124M, q8, ${tokens} tokens a request, ${count === 1 ? "1 client" : `${count} clients`}`,
        unit: "tokens/s",
        amount: tokens,
        subjects: [{
          name: "WebAssembly",
          async run() {
            const started = performance.now();
            await Promise.all(Array.from({ length: count }, () => request(server.url, tokens, seed++)));
            return (performance.now() - started) / 1e3 / count;
          },
        }],
        curve: {
          name: "a request each of clients together, 124M in q8",
          along: "clients",
          at: count,
          runs: count,
        },
      };
    }
  } finally {
    await server.stop();
    model.dispose();
  }
}

/** Which GPT-2 fits. */
function* sizes(): Generator<Row> {
  for (
    const [name, layers, width] of [["small", 12, 768], ["medium", 24, 1024], ["large", 36, 1280], [
      "XL",
      48,
      1600,
    ]] as const
  ) {
    const matrices = 12 * layers * width * width + 50257 * width, rest = 1024 * width + 13 * layers * width;
    const cache = 2 * layers * width * 1024 * 4;
    const sizes = ([["f32", 4], ["bf16", 2], ["q8", 34 / 32], ["q4", 18 / 32]] as const).map(
      ([dtype, bytes]) => {
        const all = matrices * bytes + rest * 4 + cache;
        return `${dtype} ${(all / 1e9).toFixed(2)} GB${
          all < 4 * 2 ** 30 ? "" : " (beyond the heap: in part outside, copied in when used)"
        }`;
      },
    );
    yield {
      name: `GPT-2 ${name}, weights and a cache of 1,024 positions`,
      unit: "",
      amount: 1,
      subjects: [],
      note: sizes.join(", "),
    };
  }
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  bench.useBlas(false);
  yield* attention(bench);
  yield* products(bench);
  yield* threads();
  yield* training(bench);
  yield* decoding(bench);
  yield* clients(bench);
  bench.useBlas(true);
  yield* sizes();
}

/** Growth. */
export const group: Group = { name: "growth", rows };
