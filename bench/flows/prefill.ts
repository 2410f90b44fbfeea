/**
 * GPT-2 124M reading a prompt: bound by arithmetic.
 *
 * @module
 */
import { forwardOperations, gpt2Gguf, gpt2Onnx, headOperations, loadGpt2 } from "../gpt2.ts";
import type { Bench, Group, RivalJob, Row, Subject } from "../harness.ts";
import { promptIds } from "../rivals/random.ts";

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const { rivals, engine } = bench, { threads } = engine;
  for (const dtype of ["f32", "q8"] as const) {
    const model = await loadGpt2(dtype);
    if (typeof model === "string") {
      yield { name: dtype, unit: "tokens/s", amount: 1, subjects: [], failed: model };
      continue;
    }
    for (const length of [64, 512]) {
      const prompt = promptIds(length);
      const jobs: RivalJob[] = [];
      if (bench.settings.rivals) {
        const options = { layers: 12, heads: 12, prompt: length, tokens: 1, threads };
        if (dtype === "f32") {
          const onnx = await gpt2Onnx();
          for (const name of ["onnxruntime-node", "onnxruntime-web"]) {
            jobs.push(rivals.job(name, "prefill", { ...options, model: onnx }));
          }
        }
        const type = dtype === "f32" ? "f32" : "q8_0", gguf = await gpt2Gguf(type);
        jobs.push(rivals.job("llama.cpp", "prefill", { ...options, model: gguf }, `llama.cpp ${type}`));
        jobs.push(rivals.job("wllama", "prefill", { ...options, model: gguf }, `wllama ${type} (Chromium)`));
      }
      // Operations a token, attention left out: with 512 positions it is another 3 %.
      const operations = forwardOperations + headOperations / length;
      const run = async (): Promise<number> => {
        const { prefillMilliseconds } = await model.completion(prompt, {
          maxNewTokens: 1,
          doSample: false,
          cachePrompt: false, // else only the first round would compute it
        });
        return prefillMilliseconds / 1e3;
      };
      const long = length === 512;
      const wanted = dtype === "f32"
        ? { share: 0.85, versus: { "onnxruntime-web": 1.8 } }
        : { share: 0.65, versus: { "llama.cpp q8_0": 1.7 } };
      const subjects: Subject[] = [{
        name: "WebAssembly",
        before: () => bench.useBlas(false),
        run,
        limit: dtype === "f32" ? bench.peak(operations) : bench.dot(operations),
        ...(long ? wanted : {}),
      }];
      bench.useBlas(true);
      if (engine.blas.available) {
        subjects.push({
          name: "BLAS",
          before: () => bench.useBlas(true),
          run,
          ...(long
            ? { versus: dtype === "f32" ? { "onnxruntime-node": 1.15 } : { "llama.cpp q8_0": 1.5 } }
            : {}),
        });
      }
      yield { name: `${dtype}, ${length} tokens`, unit: "tokens/s", amount: length, subjects, rivals: jobs };
      bench.useBlas(true);
      rivals.endAll();
    }
    model.dispose();
  }
}

/** Reading a prompt. */
export const group: Group = { name: "GPT-2 124M, prefill", rows };
