/**
 * llama.cpp in a process of its own (node-llama-cpp from `tests/rivals`, which runs on Node): greedy tokens of GGUF files.
 *
 * ```
 * node tests/_llama_cpp.ts PATH_OF_NODE_LLAMA_CPP '[{"path":"a.gguf","ids":[1,2],"count":8}]'
 * ```
 *
 * @module
 */
import process from "node:process";
import { pathToFileURL } from "node:url";

/** A file, a prompt, and how many tokens are wanted. */
export interface LlamaCppTask {
  readonly path: string;
  readonly ids: readonly number[];
  readonly count: number;
}

/** What this uses of node-llama-cpp. */
interface Package {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<Model> }>;
  readonly LlamaLogLevel: { readonly error: unknown };
}
interface Model {
  createContext(options: object): Promise<Context>;
  dispose(): Promise<void>;
}
interface Context {
  getSequence(): { evaluate(ids: readonly number[], options: object): AsyncIterable<number> };
  dispose(): Promise<void>;
}

async function main([entry, tasks]: readonly string[]): Promise<void> {
  const { getLlama, LlamaLogLevel }: Package = await import(pathToFileURL(entry).href);
  const llama = await getLlama({
    gpu: false,
    build: "never",
    logLevel: LlamaLogLevel.error,
    maxThreads: 1,
  });
  for (const { path, ids, count } of JSON.parse(tasks) as LlamaCppTask[]) {
    const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
    const context = await model.createContext({
      contextSize: ids.length + count,
      batchSize: ids.length + count,
      sequences: 1,
      threads: 1,
      flashAttention: false,
      // Its own default rounds keys and values to f16.
      experimentalKvCacheKeyType: "F32",
      experimentalKvCacheValueType: "F32",
    });
    const made: number[] = [];
    for await (const id of context.getSequence().evaluate(ids, { temperature: 0, yieldEogToken: true })) {
      made.push(id);
      if (made.length >= count) break;
    }
    console.log(`tokens ${JSON.stringify(made)}`);
    await context.dispose();
    await model.dispose();
  }
  process.exit(0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main(process.argv.slice(2));
