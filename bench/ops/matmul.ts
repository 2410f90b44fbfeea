/**
 * f32 products: in WebAssembly beside the multiply-add peak of the same engine, and by the machine's BLAS beside what
 * the library does alone.
 *
 * @module
 */
import type { CpuBuffer } from "../../src/backends/cpu/buffer.ts";
import type { Engine } from "../../src/backends/cpu/engine.ts";
import { matmul } from "../../src/backends/cpu/kernels/matmul.ts";
import type { View } from "../../src/backends/contract.ts";
import { runtimeName } from "../../src/platform/platform.ts";
import type { Bench, Group, Limit, Row, Subject } from "../harness.ts";

/** A matrix of small numbers in the heap of an engine. */
export function matrix(engine: Engine, rows: number, columns: number): View {
  const byteLength = 4 * rows * columns, pointer = engine.heap.allocate(byteLength);
  const numbers = engine.f32.subarray(pointer / 4, pointer / 4 + rows * columns);
  for (let i = 0; i < numbers.length; i++) numbers[i] = ((i % 97) - 48) / 97;
  const buffer: CpuBuffer = { pointer, byteLength };
  return { buffer, dtype: "f32", shape: [rows, columns], strides: [columns, 1], offset: 0 };
}

/** Gives matrices back. */
export function release(engine: Engine, ...views: View[]): void {
  for (const { buffer } of views) engine.heap.release((buffer as CpuBuffer).pointer);
}

/** What the library does with its own threads, as a limit. */
async function libraryAlone(bench: Bench, m: number, n: number, k: number): Promise<Limit | null> {
  const path = /\(([^()]+)\)$/.exec(bench.engine.blas.name ?? "")?.[1];
  if (!path) return null;
  const job = bench.rivals.job("the library alone", "gemm", { m, n, k, path, threads: bench.engine.threads });
  if (await job.prepare() !== null) return null;
  const operations = 2 * m * n * k / 1e9;
  return { name: "the library alone", measure: async () => operations / await job.seconds(30) };
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { engine, single } = bench;
  const bun = runtimeName() === "bun";
  for (
    const [m, n, k, rival] of [
      [1024, 1024, 1024, true],
      [512, 3072, 768, true],
      [64, 3072, 768, true],
      [16, 3072, 768, false],
    ] as const
  ) {
    const operations = 2 * m * n * k / 1e9, large = m >= 512;
    const shapes = [[m, k], [k, n], [m, n]] as const;
    const [a, b, out] = shapes.map(([rows, columns]) => matrix(engine, rows, columns));
    const [a1, b1, out1] = shapes.map(([rows, columns]) => matrix(single.engine, rows, columns));
    const subjects: Subject[] = [
      {
        name: "WebAssembly",
        before: () => bench.useBlas(false),
        run: () => matmul(engine, a, b, out),
        limit: bench.peak(),
        ...(large ? { share: bun ? 0.88 : 0.92, versus: { "onnxruntime-web": 1.8 } } : {}),
      },
      {
        name: "one thread",
        run: () => matmul(single.engine, a1, b1, out1),
        limit: { name: "multiply-add in registers", measure: () => single.limits.multiplyAdd() / 1e9 },
      },
    ];
    bench.useBlas(true);
    if (engine.blas.available) {
      const limit = await libraryAlone(bench, m, n, k);
      subjects.push({
        name: "BLAS",
        before: () => bench.useBlas(true),
        run: () => matmul(engine, a, b, out),
        ...(limit ? { limit } : {}),
        ...(large ? { share: 0.95 } : {}),
      });
    }
    const { threads } = engine, options = { m, n, k, threads };
    yield {
      name: `[${m},${k}]×[${k},${n}]`,
      unit: "GFLOP/s",
      amount: operations,
      subjects,
      rivals: rival
        ? ["onnxruntime-node", "onnxruntime-web", "jax-js", "tfjs-wasm"].map((name) =>
          bench.rivals.job(name, "gemm", options)
        )
        : [],
      pairs: threads === 2 && large ? [{ fast: "WebAssembly", slow: "one thread", least: 1.9 }] : [],
      ...(engine.blas.problem ? { note: `no BLAS: ${engine.blas.problem}` } : {}),
    };
    bench.useBlas(true);
    release(engine, a, b, out);
    release(single.engine, a1, b1, out1);
  }
}

/** Products. */
export const group: Group = { name: "f32 products", rows };
