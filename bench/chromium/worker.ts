/**
 * The library in a worker of a page: does what the bench outside asks for, and answers with seconds or with a limit.
 *
 * @module
 */
import { GPT2, manualSeed, noGrad } from "../../mod.ts";
import { layOutWeights } from "../../src/models/layout.ts";
import { Limits } from "../../src/backends/cpu/limits.ts";
import { matmul } from "../../src/backends/cpu/kernels/matmul.ts";
import type { View } from "../../src/backends/contract.ts";
import { cpuBackend } from "../../src/runtime/cpu.ts";
import { matrix } from "../ops/matmul.ts";
import { promptIds } from "../rivals/random.ts";
import { askOnnx, type OnnxQuestion } from "./onnx.ts";

/** What is asked for. */
export type Question =
  | { task: "start" }
  | { task: "limit"; name: "multiplyAdd" | "read" }
  | { task: "matmul"; m: number; n: number; k: number; milliseconds: number }
  | { task: "decode" | "prefill"; tokens: number }
  | OnnxQuestion;

const { engine } = cpuBackend();
const limits = new Limits(engine);
const matrices = new Map<string, View[]>();
let model: GPT2 | null = null;

/** Seconds of one run, the middle of those that fit into so many milliseconds. */
function seconds(run: () => void, milliseconds: number): number {
  const all: number[] = [], start = performance.now();
  do {
    const before = performance.now();
    run();
    all.push((performance.now() - before) / 1e3);
  } while (performance.now() - start < milliseconds);
  return all.toSorted((a, b) => a - b)[all.length >> 1];
}

async function answer(question: Question): Promise<number> {
  switch (question.task) {
    case "start":
      return await engine.ready();
    case "limit":
      return limits[question.name]();
    case "matmul": {
      const { m, n, k, milliseconds } = question, key = `${m} ${n} ${k}`;
      let made = matrices.get(key);
      if (made === undefined) {
        matrices.set(key, made = [[m, k], [k, n], [m, n]].map(([r, c]) => matrix(engine, r, c)));
      }
      const [a, b, out] = made;
      return seconds(() => matmul(engine, a, b, out), milliseconds);
    }
    case "onnx":
      return await askOnnx(question, await engine.ready());
    case "decode":
    case "prefill": {
      if (model === null) {
        manualSeed(1);
        model = noGrad(() => new GPT2({ eosTokenId: null }));
        layOutWeights(model.eval());
      }
      const decode = question.task === "decode";
      const prompt = promptIds(decode ? 8 : question.tokens);
      const { ids, decodeMilliseconds, prefillMilliseconds } = await model.completion(prompt, {
        maxNewTokens: decode ? question.tokens : 1,
        doSample: false,
        cachePrompt: false, // else only the first round would compute it
      });
      return decode ? decodeMilliseconds / 1e3 / (ids.length - 1) : prefillMilliseconds / 1e3;
    }
  }
}

globalThis.addEventListener("message", async ({ data }: MessageEvent<Question>) => {
  try {
    globalThis.postMessage({ value: await answer(data) });
  } catch (error) {
    globalThis.postMessage({ error: String(error) });
  }
});
