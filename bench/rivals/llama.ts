/**
 * llama.cpp through node-llama-cpp, with the binary for CPUs that comes with it.
 *
 * @module
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Prepare } from "./host.ts";
import { promptIds } from "./random.ts";

// deno-lint-ignore no-explicit-any -- loaded at run time, without its types
const models = new Map<string, any>();

/** Tasks "prefill" and "decode": model (a GGUF file), prompt, tokens, threads. */
export const prepare: Prepare = async (_rival, task, { model: path, prompt, tokens, threads }, modules) => {
  const { getLlama, LlamaLogLevel } = await import(
    pathToFileURL(join(modules, "node-llama-cpp/dist/index.js")).href
  );
  let model = models.get(path);
  if (!model) {
    const llama = await getLlama({
      gpu: false,
      build: "never",
      logLevel: LlamaLogLevel.error,
      maxThreads: 0,
    });
    models.set(path, model = await llama.loadModel({ modelPath: path, gpuLayers: 0 }));
  }
  const context = await model.createContext({
    contextSize: 1024,
    batchSize: 512,
    sequences: 1,
    threads: { ideal: threads, min: threads },
  });
  const sequence = context.getSequence(), ids = promptIds(prompt);
  return async () => {
    await sequence.clearHistory();
    let start = performance.now(), filled = 0, made = 0;
    for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
      if (made++ === 0) {
        filled = (performance.now() - start) / 1e3;
        start = performance.now();
      }
      if (made >= tokens) break;
    }
    return task === "prefill" ? filled : (performance.now() - start) / 1e3 / (tokens - 1);
  };
};
