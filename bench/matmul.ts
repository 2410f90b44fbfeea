/**
 * Speed of matrix multiplication on the cpu device, beside the peak of this machine measured in the same moment.
 *
 *     deno run -A bench/matmul.ts [threads] [filter] [--deterministic] [--cpu]
 *
 * `--cpu` takes the processor's time instead of the clock's, for one thread on a machine that others use too.
 *
 * Each line: shape, best and median GFLOP/s of short rounds, and the median share of a kernel that only multiplies and
 * adds in registers, run right before each round. Products of few rows are measured in GB/s of b instead, against a
 * kernel that only reads.
 *
 * @module
 */
import process from "node:process";
import { Worker } from "node:worker_threads";
import { type Emit, Engine } from "../src/backends/cpu/engine.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { matmul } from "../src/backends/cpu/kernels/matmul.ts";
import "../src/backends/kernels/quantized.ts";
import type { View } from "../src/backends/contract.ts";
import { byteSize, type DType } from "../src/core/dtype.ts";

const words = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const threads = Number(words[0] ?? 2), filter = words[1] ?? "";

const engine = new Engine({
  threads,
  deterministic: process.argv.includes("--deterministic"),
  platform: {
    hardwareConcurrency: threads,
    canBlock: true,
    spawnWorker(source, data, onError) {
      const text = `const { workerData } = require("node:worker_threads"); (${source})(workerData);`;
      const worker = new Worker(text, { eval: true, workerData: data });
      worker.unref();
      worker.on("error", onError);
      return { terminate: () => void worker.terminate() };
    },
  },
});

/** 12 chains of multiply-add, 1000 turns an item: 96,000 operations. */
const peak: Emit = (m, { fma }) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const chain = m.function("chain", { export: false });
  const sums = chain.localArray("v128", 12),
    x = chain.local("v128"),
    y = chain.local("v128"),
    i = chain.local("i32");
  chain.f32x4(1e-9);
  chain.set(x);
  chain.f32x4(0.5);
  chain.set(y);
  chain.forRange(i, 0, 1000, 1, () => {
    for (const sum of sums) {
      if (!fma) chain.get(sum);
      chain.get(x);
      chain.get(y);
      if (fma) chain.get(sum);
      if (!fma) chain.op("f32x4.mul");
      chain.op(fma ? "f32x4.relaxed_madd" : "f32x4.add");
      chain.set(sum);
    }
  });
  chain.i32(engine.args + 16368);
  sums.forEach((sum, k) => {
    chain.get(sum);
    if (k > 0) chain.op("f32x4.add");
  });
  chain.store("v128.store", 0, 4);
  const item = f.local("i32");
  f.forRange(item, f.params[1], f.params[2], 1, () => f.call(chain));
};

/** Reads 64 kB an item. */
const read: Emit = (m) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const block = m.function("block", { params: ["i32"], export: false });
  const [at] = block.params;
  const sums = block.localArray("v128", 8), i = block.local("i32");
  block.forRange(i, 0, 512, 1, () => {
    sums.forEach((sum, k) => {
      block.get(sum);
      block.get(at);
      block.load("v128.load", 16 * k, 4);
      block.op("v128.or");
      block.set(sum);
    });
    block.increment(at, 128);
  });
  block.i32(engine.args + 16352);
  sums.forEach((sum, k) => {
    block.get(sum);
    if (k > 0) block.op("v128.or");
  });
  block.store("v128.store", 0, 4);
  const item = f.local("i32");
  f.forRange(item, f.params[1], f.params[2], 1, () => {
    f.get(f.params[0]);
    f.get(item);
    f.i32(65536);
    f.op("i32.mul");
    f.op("i32.add");
    f.call(block);
  });
};

const cpuTime = process.argv.includes("--cpu");
const now = (): number => cpuTime ? process.cpuUsage().user / 1e3 : performance.now();

function seconds(work: () => void): number {
  const start = now();
  work();
  return (now() - start) / 1e3;
}

const ramp = (view: View): void => {
  const { pointer, byteLength } = view.buffer as CpuBuffer;
  if (view.dtype === "f32") {
    for (let i = 0; i < byteLength / 4; i++) engine.f32[pointer / 4 + i] = ((i % 97) - 48) / 97;
  } else engine.u8.fill(0x3c, pointer, pointer + byteLength);
};

function matrix(
  leading: readonly number[],
  rows: number,
  columns: number,
  transposed: boolean,
  dtype: DType = "f32",
): View {
  const count = leading.reduce((x, y) => x * y, 1), bytes = byteSize(dtype, count * rows * columns);
  const shape = [...leading, rows, columns];
  const strides = [...leading.map(() => rows * columns), ...(transposed ? [1, rows] : [columns, 1])];
  const buffer: CpuBuffer = { pointer: engine.heap.allocate(bytes), byteLength: bytes };
  const view = { buffer, dtype, shape, strides, offset: 0 };
  ramp(view);
  return view;
}

const median = (values: number[]): number => values.toSorted((x, y) => x - y)[values.length >> 1];

function measure(name: string, run: () => void, amount: number, unit: string, limit: () => number): void {
  if (!name.includes(filter)) return;
  for (let i = 0; i < 3; i++) run();
  const once = Math.max(1e-7, seconds(run));
  const repeats = Math.max(1, Math.round(0.01 / once));
  for (const until = performance.now() + 60; performance.now() < until;) run();
  const speeds: number[] = [], shares: number[] = [];
  for (let round = 0; round < 9; round++) {
    const before = limit();
    const speed = amount * repeats / seconds(() => {
      for (let i = 0; i < repeats; i++) run();
    }) / 1e9;
    const most = (before + limit()) / 2;
    speeds.push(speed);
    shares.push(speed / most);
  }
  console.log(
    `${name.padEnd(44)} ${Math.max(...speeds).toFixed(1).padStart(6)} ${
      median(speeds).toFixed(1).padStart(6)
    } ${unit}  ` +
      `${(100 * median(shares)).toFixed(1).padStart(5)} %  (${
        (amount / median(speeds) / 1e3).toFixed(1)
      } µs)`,
  );
}

/** 12 chains of products of bytes or of 16-bit words, whichever the device uses here; 1000 turns an item. */
const fastBytes = engine.context.relaxed;
const dotOperations = 12_000 * (fastBytes ? 32 : 16);
const dots: Emit = (m) => {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const chain = m.function("chain", { export: false });
  const sums = chain.localArray("v128", 12),
    x = chain.local("v128"),
    y = chain.local("v128"),
    i = chain.local("i32");
  chain.i8x16(3);
  chain.set(x);
  chain.i8x16(5);
  chain.set(y);
  chain.forRange(i, 0, 1000, 1, () => {
    for (const sum of sums) {
      chain.get(fastBytes ? x : sum); // products of the same two vectors would be taken out of the loop
      chain.get(y);
      if (!fastBytes) chain.op("i32x4.dot_i16x8_s");
      chain.get(sum);
      chain.op(fastBytes ? "i32x4.relaxed_dot_i8x16_i7x16_add_s" : "i32x4.add");
      chain.set(sum);
    }
  });
  chain.i32(engine.args + 16368);
  sums.forEach((sum, k) => {
    chain.get(sum);
    if (k > 0) chain.op("i32x4.add");
  });
  chain.store("v128.store", 0, 4);
  const item = f.local("i32");
  f.forRange(item, f.params[1], f.params[2], 1, () => f.call(chain));
};

const ready = await engine.ready();
const dotKernel = engine.kernel("bench dot", dots);
const dotSpeed = (): number =>
  peakItems * dotOperations / seconds(() => engine.run(dotKernel, peakItems, 4)) / 1e9;
const peakKernel = engine.kernel("bench peak", peak), readKernel = engine.kernel("bench read", read);
const peakItems = 60 * ready;
const peakSpeed = (): number =>
  peakItems * 96_000 / seconds(() => engine.run(peakKernel, peakItems, 4)) / 1e9;
const area = engine.heap.allocate(256 << 20);
engine.u8.fill(1, area, area + (256 << 20));
const readSpeed = (): number => (64 << 20) / seconds(() => engine.run(readKernel, 1024, 4, area)) / 1e9;
for (let i = 0; i < 200; i++) {
  peakSpeed();
  dotSpeed();
}
for (let i = 0; i < 20; i++) readSpeed();
console.log(`${ready} threads; peak ${peakSpeed().toFixed(1)} GFLOP/s, read ${readSpeed().toFixed(1)} GB/s`);

function product(
  name: string,
  leading: readonly number[],
  m: number,
  n: number,
  k: number,
  { ta = false, tb = false, dtype = "f32" as DType } = {},
): void {
  const full = `${name} ${[...leading, ""].join("·")}[${m},${k}]${ta ? "ᵀ" : ""}×[${k},${n}]${tb ? "ᵀ" : ""}${
    dtype === "f32" ? "" : " " + dtype
  }`;
  if (!full.includes(filter)) return;
  const count = leading.reduce((x, y) => x * y, 1);
  const a = matrix(leading, m, k, ta),
    b = matrix(leading, k, n, tb, dtype),
    out = matrix(leading, m, n, false);
  const run = (): void => matmul(engine, a, b, out);
  if (dtype === "q8" || dtype === "q4") measure(full, run, 2 * count * m * n * k, "GOP/s", dotSpeed);
  else if (m <= 4) {
    measure(full, run, count * byteSize(dtype, n * k), "GB/s", readSpeed);
  } else measure(full, run, 2 * count * m * n * k, "GFLOP/s", peakSpeed);
  for (const view of [a, b, out]) engine.heap.release((view.buffer as CpuBuffer).pointer);
}

product("square", [], 1024, 1024, 1024);
product("mlp", [], 512, 3072, 768);
product("prefill", [], 64, 3072, 768);
for (const m of [5, 6, 8, 12, 16, 24, 48]) product("prefill", [], m, 3072, 768);
for (const c of [64, 128, 384]) {
  product("train", [], 768, 3 * c, c);
  product("train", [], 768, 4 * c, c);
  product("dx", [], 768, c, 4 * c, { tb: true });
  product("dw", [], c, 4 * c, 768, { ta: true });
}
product("train", [], 8192, 768, 768);
product("vocabulary", [], 256, 50257, 768, { tb: true });
product("dx", [], 256, 768, 3072, { tb: true });
product("dw", [], 768, 768, 4096, { ta: true });
product("head", [], 768, 65, 128, { tb: true });
product("head dx", [], 768, 128, 65);
product("head dw", [], 128, 65, 768, { ta: true });
product("attention qk", [48], 64, 64, 32, { tb: true });
product("attention pv", [48], 64, 32, 64);
product("attention qk", [12], 512, 512, 64, { tb: true });
product("attention pv", [12], 512, 64, 512);
product("tiny", [], 8, 8, 8);
product("tiny", [], 2, 8, 8);
product("decode", [], 1, 3072, 768);
product("decode", [], 1, 768, 3072);
product("decode", [], 1, 3072, 768, { tb: true });
product("decode", [], 1, 50257, 768, { tb: true });
product("decode", [], 1, 50257, 768, { tb: true, dtype: "bf16" });
product("decode", [], 4, 50257, 768, { tb: true });

/** The matrices of one token of GPT-2 124M, one after the other, all of them read once. */
function token(m: number, tb: boolean, dtype: DType): void {
  const name = `gpt2 token, ${m} row${m > 1 ? "s" : ""}, ${tb ? "[out, in]" : "[in, out]"} ${dtype}`;
  if (!name.includes(filter)) return;
  const layer: [number, number][] = [[768, 2304], [768, 768], [768, 3072], [3072, 768]];
  const shapes = [...Array.from({ length: 12 }, () => layer).flat(), [768, 50257] as [number, number]];
  const work = shapes.map(([k, n]) => ({
    a: matrix([], m, k, false),
    b: matrix([], k, n, tb, dtype),
    out: matrix([], m, n, false),
  }));
  const bytes = shapes.reduce((sum, [k, n]) => sum + byteSize(dtype, k * n), 0);
  measure(name, () => work.forEach(({ a, b, out }) => matmul(engine, a, b, out)), bytes, "GB/s", readSpeed);
  for (const { a, b, out } of work) {
    for (const view of [a, b, out]) engine.heap.release((view.buffer as CpuBuffer).pointer);
  }
}
for (const dtype of ["f32", "bf16", "f16", "q8", "q4"] as const) {
  for (const m of [1, 4, 16]) token(m, true, dtype);
  if (dtype === "f32" || dtype === "bf16") { for (const m of [1, 4, 16]) token(m, false, dtype); }
}
for (const dtype of ["q8", "q4"] as const) product("prefill", [], 512, 3072, 768, { tb: true, dtype });
