/**
 * How time and memory grow: attention with the length of the text, products with their size, training with batch and
 * width; and which GPT-2 fits into the 4 GiB that a WebAssembly memory with 32-bit addresses holds (a larger one runs too,
 * and copies a part of its weights for every token).
 *
 * @module
 */
import { noGrad, randn, scaledDotProductAttention, tidy } from "../../mod.ts";
import type { Engine } from "../../src/backends/cpu/engine.ts";
import { matmul } from "../../src/backends/cpu/kernels/matmul.ts";
import type { Bench, Group, Row } from "../harness.ts";
import { matrix, release } from "../ops/matmul.ts";
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

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { engine } = bench, { quick } = bench.settings;
  bench.useBlas(false);
  for (let time = 256; time <= (quick ? 2048 : 16384); time *= 2) {
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
    };
    for (const t of [q, k, v]) t.dispose();
  }
  for (let size = 64; size <= (quick ? 512 : 2048); size *= 2) {
    const [a, b, out] = Array.from({ length: 3 }, () => matrix(engine, size, size));
    yield {
      name: `product of ${size}³`,
      unit: "GFLOP/s",
      amount: 2 * size ** 3 / 1e9,
      subjects: [{ name: "WebAssembly", run: () => matmul(engine, a, b, out), limit: bench.peak() }],
    };
    release(engine, a, b, out);
  }
  for (const [width, batch] of [[128, 4], [128, 12], [128, 48], [256, 12], [512, 12]]) {
    const config = { nLayer: 4, nHead: width / 32, nEmbd: width, nPositions: 64, vocabSize: 65 };
    const { run, dispose } = stepper(config, batch, 64);
    const operations = 3 * 2 * (4 * 12 * width * width + 65 * width);
    yield {
      name: `training step, 4 layers, width ${width}, batch ${batch} of 64`,
      unit: "tokens/s",
      amount: batch * 64,
      subjects: [{ name: "WebAssembly", run, limit: bench.peak(operations) }],
    };
    dispose();
  }
  bench.useBlas(true);
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

/** Growth. */
export const group: Group = { name: "growth", rows };
