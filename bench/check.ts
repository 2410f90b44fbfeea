/**
 * A few kernels on one thread beside this machine's own limits, with floors that only a kernel gone wrong falls below:
 * `deno run -A bench/check.ts`, on any runtime. A second or two; the exit status is 1 where one falls below.
 *
 * Time is the processor's, not the clock's, so that neighbours on a loaded machine take little part in it. Some do: who shares
 * a core's caches and ports slows a kernel that loads more than one that stays in registers.
 *
 * @module
 */
import process from "node:process";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { cpuFeatures } from "../src/backends/cpu/features.ts";
import { attention } from "../src/backends/cpu/kernels/attention.ts";
import { matmul } from "../src/backends/cpu/kernels/matmul.ts";
import { softmax } from "../src/backends/cpu/kernels/softmax.ts";
import type { View } from "../src/backends/contract.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { Limits } from "../src/backends/cpu/limits.ts";

/** One kernel. */
export interface Check {
  readonly name: string;
  /** The best of some rounds, as a share of the limit. */
  readonly share: number;
  /** What it must reach. */
  readonly least: number;
}

/** Seconds of processor time that `work` takes. */
function seconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return Math.max(1, user + system) / 1e6;
}

/** Measures all of them, on an engine of one thread without a BLAS. */
export function check(): Check[] {
  const engine = new Engine({ threads: 1 }), limits = new Limits(engine, seconds);
  const view = (...shape: number[]): View => {
    const count = shape.reduce((a, b) => a * b, 1), pointer = engine.heap.allocate(4 * count);
    const buffer: CpuBuffer = { pointer, byteLength: 4 * count };
    for (let i = 0; i < count; i++) engine.f32[pointer / 4 + i] = ((i % 97) - 48) / 97;
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    return { buffer, dtype: "f32", shape, strides, offset: 0 };
  };
  const transposed = (x: View): View => ({
    ...x,
    shape: x.shape.toReversed(),
    strides: x.strides.toReversed(),
  });
  const results: Check[] = [];
  /** `amount` a run, in what `limit` counts. */
  const measure = (
    name: string,
    least: number,
    amount: number,
    limit: () => number,
    run: () => void,
  ): void => {
    let repeats = 1;
    while (
      repeats < 1 << 20 && seconds(() => {
          for (let i = 0; i < repeats; i++) run();
        }) < 0.008
    ) repeats *= 2;
    let share = 0;
    for (let round = 0; round < 7; round++) {
      const before = limit();
      const speed = amount * repeats / seconds(() => {
        for (let i = 0; i < repeats; i++) run();
      });
      share = Math.max(share, speed / Math.max(before, limit()));
    }
    results.push({ name, share, least });
  };
  const peak = (): number => limits.multiplyAdd(), read = (): number => limits.read();
  for (let i = 0; i < 5; i++) peak();

  const a = view(256, 768), b = view(768, 768), out = view(256, 768), row = view(1, 768);
  measure("product [256,768]×[768,768]", 0.4, 2 * 256 * 768 * 768, peak, () => matmul(engine, a, b, out));
  measure(
    "product [256,768]×[768,768]ᵀ",
    0.35,
    2 * 256 * 768 * 768,
    peak,
    () => matmul(engine, a, transposed(b), out),
  );
  const head = view(16384, 768), logits = view(1, 16384);
  measure(
    "one row × [768,16384]",
    0.3,
    4 * 16384 * 768,
    read,
    () => matmul(engine, row, transposed(head), logits),
  );
  const [q, k, v, mixed] = Array.from({ length: 4 }, () => view(1, 4, 256, 64));
  measure(
    "causal attention, 256 positions",
    0.2,
    4 * 4 * 64 * 256 * 257 / 2,
    peak,
    () => attention(engine, q, k, v, mixed, null, 0.125, true),
  );
  const x = view(2048, 1024), y = view(2048, 1024);
  measure("softmax [2048,1024]", 0.07, 8 * 2048 * 1024, read, () => softmax(engine, x, y, false));
  limits.dispose();
  return results;
}

/** Whether floors make sense here: they are those of an engine with relaxed SIMD. */
export function checkReason(): string | null {
  const { relaxedSimd } = cpuFeatures();
  return relaxedSimd.available ? null : relaxedSimd.reason ?? "there is no relaxed SIMD";
}

if (import.meta.main) {
  const results = check();
  for (const { name, share, least } of results) {
    const verdict = share >= least ? "" : "   TOO SLOW";
    console.log(
      `${name.padEnd(36)}${(100 * share).toFixed(1).padStart(6)} % of the limit, ≥ ${
        (100 * least).toFixed(0)
      } %${verdict}`,
    );
  }
  process.exit(results.some(({ share, least }) => share < least) ? 1 : 0);
}
