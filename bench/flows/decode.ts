/**
 * GPT-2 124M, one text, one token after the other: bound by reading all weights for every token.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { type DType, GPT2 } from "../../mod.ts";
import type { Bench, Group, Row } from "../harness.ts";
import { gpt2Gguf, gpt2Onnx, loadGpt2 } from "../gpt2.ts";
import type { RivalJob } from "../harness.ts";
import { promptIds } from "../rivals/random.ts";

/** Bytes of weights that a token reads: all but the positions. */
export function weightBytes(model: GPT2): number {
  const bits: Partial<Record<DType, number>> = { f32: 32, f16: 16, bf16: 16, q8: 8.5, q4: 4.5 };
  let sum = 0;
  for (const [name, { dtype, shape }] of model.namedParameters()) {
    if (!name.includes("wpe")) sum += shape.reduce((a, b) => a * b, 1) * (bits[dtype] ?? 32) / 8;
  }
  return sum;
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  const tokens = bench.settings.quick ? 12 : 48, prompt = promptIds(8), { rivals } = bench;
  const { threads } = bench.engine;
  const wants: Record<string, { share: number; versus: Record<string, number> }> = {
    f32: { share: 0.94, versus: { "onnxruntime-node": 1.2, "onnxruntime-web": 1.3 } },
    bf16: { share: 0.82, versus: { "llama.cpp f16, 1 thread": 1.4, "llama.cpp f16": 1.4 } },
    q8: { share: 0.85, versus: { "llama.cpp q8_0, 1 thread": 1.8, "llama.cpp q8_0": 1.8 } },
    q4: { share: 0.62, versus: { "llama.cpp q4_0, 1 thread": 1.8, "llama.cpp q4_0": 1.8 } },
  };
  for (const dtype of ["f32", "bf16", "q8", "q4"] as const) {
    const jobs: RivalJob[] = [];
    if (bench.settings.rivals) {
      if (dtype === "f32") {
        const options = { model: await gpt2Onnx(), layers: 12, heads: 12, prompt: 8, tokens, threads };
        jobs.push(
          ...["onnxruntime-node", "onnxruntime-web"].map((name) => rivals.job(name, "decode", options)),
        );
      }
      const type = ({ f32: "f32", bf16: "f16", q8: "q8_0", q4: "q4_0" } as const)[dtype];
      const model = await gpt2Gguf(type);
      for (const count of threads > 1 ? [1, threads] : [1]) {
        const label = `llama.cpp ${type}${count === 1 ? ", 1 thread" : ""}`;
        jobs.push(rivals.job("llama.cpp", "decode", { model, prompt: 8, tokens, threads: count }, label));
      }
      if (dtype !== "bf16") {
        const options = { model, prompt: 8, tokens, threads };
        jobs.push(rivals.job("wllama", "decode", options, `wllama ${type} (Chromium)`));
      }
    }
    const model = await loadGpt2(dtype);
    if (typeof model === "string") {
      yield { name: dtype, unit: "tokens/s", amount: 1, subjects: [], failed: model };
      continue;
    }
    const bytes = weightBytes(model);
    yield {
      name: dtype,
      unit: "tokens/s",
      amount: 1,
      subjects: [{
        name: "WebAssembly",
        run: async () => {
          const { ids, decodeMilliseconds } = await model.completion(prompt, {
            maxNewTokens: tokens,
            doSample: false,
          });
          return decodeMilliseconds / 1e3 / (ids.length - 1);
        },
        limit: { ...bench.read(bytes), name: `reading ${(bytes / 1e6).toFixed(0)} MB` },
        ...wants[dtype],
      }],
      rivals: jobs,
      ...(bench.settings.rivals && dtype === "q8"
        ? { note: "not compared: PyTorch int8, and onnxruntime with quantised weights, which need Python" }
        : {}),
    };
    model.dispose();
    rivals.endAll();
  }
}

/** The model that comes with the package: everything is in the cache, and what counts is what stands between the kernels. */
async function* small(): AsyncGenerator<Row> {
  const tokens = 120, folder = fileURLToPath(new URL("../../web/models/shakespeare", import.meta.url));
  for (const dtype of ["bf16", "q8"] as const) {
    const model = await GPT2.load(folder, { dtype });
    yield {
      name: `the bundled model of 1.8 M parameters, ${dtype}`,
      unit: "tokens/s",
      amount: 1,
      subjects: [{
        name: "WebAssembly",
        run: async () => {
          const { ids, decodeMilliseconds } = await model.completion("ROMEO:", {
            maxNewTokens: tokens,
            temperature: 0.8,
            seed: 1,
          });
          return decodeMilliseconds / 1e3 / (ids.length - 1);
        },
        atLeast: 5000,
      }],
    };
    model.dispose();
  }
}

/** One token at a time. */
export const group: Group = {
  name: "GPT-2 124M, decode",
  async *rows(bench) {
    yield* rows(bench);
    yield* small();
  },
};
