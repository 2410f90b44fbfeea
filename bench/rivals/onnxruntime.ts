/**
 * ONNX Runtime, native (onnxruntime-node) or in WebAssembly (onnxruntime-web).
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Prepare } from "./host.ts";
import { matmulModel } from "./onnx_model.ts";
import { promptIds, random } from "./random.ts";

interface Tensor {
  readonly data: Float32Array;
}

/** The part of its interface that is used. */
interface Ort {
  readonly env: { wasm: { numThreads: number; wasmPaths: string } };
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, shape: number[]) => Tensor;
  readonly InferenceSession: {
    create(model: string | Uint8Array, options: Record<string, unknown>): Promise<{
      run(inputs: Record<string, Tensor>): Promise<Record<string, Tensor>>;
      release(): Promise<void>;
    }>;
  };
}

/** A model of a file, and the sizes of its inputs; "rate" is 16,000 samples a second. */
interface ModelOptions {
  readonly path: string;
  readonly inputs: Readonly<Record<string, number[] | "rate">>;
}

async function load(rival: string, modules: string, threads: number): Promise<Ort> {
  if (rival === "onnxruntime-node") return createRequire(join(modules, "x.js"))("onnxruntime-node") as Ort;
  const folder = join(modules, "onnxruntime-web/dist/");
  const ort = await import(pathToFileURL(join(folder, "ort.node.min.mjs")).href) as Ort;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = folder;
  return ort;
}

/** Task "gemm": m, n, k, threads; b is the model's. Task "model": path, inputs (sizes by name), threads. Tasks "prefill" and "decode": model, layers, prompt, tokens, threads. */
export const prepare: Prepare = async (rival, task, options, modules) => {
  const { threads } = options;
  const ort = await load(rival, modules, threads);
  const provider = rival === "onnxruntime-node" ? "cpu" : "wasm";
  const open = (model: string | Uint8Array) =>
    ort.InferenceSession.create(model, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      graphOptimizationLevel: "all",
    });
  if (task === "gemm") {
    const { m, n, k } = options;
    const session = await open(matmulModel(m, k, n, random(k * n)));
    const a = new ort.Tensor("float32", random(m * k), [m, k]);
    return () => session.run({ a });
  }
  if (task === "model") {
    const { path, inputs } = options as unknown as ModelOptions;
    const session = await open(provider === "wasm" ? new Uint8Array(readFileSync(path)) : path);
    const given = Object.fromEntries(
      Object.entries(inputs).map(([name, sizes]) => {
        if (sizes === "rate") return [name, new ort.Tensor("int64", BigInt64Array.of(16000n), [])];
        return [name, new ort.Tensor("float32", random(sizes.reduce((a, b) => a * b, 1)), sizes)];
      }),
    );
    return () => session.run(given);
  }
  const { model, layers, heads, prompt, tokens } = options;
  const session = await open(provider === "wasm" ? new Uint8Array(readFileSync(model)) : model);
  const ids = (list: number[]): Tensor =>
    new ort.Tensor("int64", BigInt64Array.from(list, BigInt), [1, list.length]);
  const caches = Array.from({ length: layers }, (_, i) => [`key.${i}`, `value.${i}`]).flat();
  return async () => {
    const past: Record<string, Tensor> = {};
    for (const name of caches) {
      past[`past.${name}`] = new ort.Tensor("float32", new Float32Array(0), [1, heads, 0, 64]);
    }
    let feed: number[] = promptIds(prompt), start = performance.now(), filled = 0;
    for (let i = 0; i < tokens; i++) {
      const results = await session.run({ ids: ids(feed), ...past });
      const logits = results.logits.data;
      let best = 0;
      for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
      for (const name of caches) past[`past.${name}`] = results[`present.${name}`];
      feed = [best];
      if (i === 0) {
        filled = (performance.now() - start) / 1e3;
        start = performance.now();
      }
    }
    return task === "prefill" ? filled : (performance.now() - start) / 1e3 / (tokens - 1);
  };
};
