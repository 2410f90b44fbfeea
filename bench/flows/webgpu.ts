/**
 * GPT-2 on the webgpu device beside what the adapter could do at best, measured here: decoding and prefill in f32 and f16,
 * a step of training, a large product. Times are those of the GPU's own clock where it has one ("timestamp-query").
 *
 * On a real GPU the model is 124M and shares of the limits are asked for; on a processor in disguise a small one runs, to see
 * that all of it works. Needs a runtime with WebGPU: Deno, or Node and Bun with the npm package "webgpu".
 *
 * @module
 */
import {
  argmax,
  GPT2,
  type GPT2Config,
  initWebGPU,
  manualSeed,
  matmul,
  noGrad,
  rand,
  reshape,
  type Tensor,
  tidy,
} from "../../mod.ts";
import type { WebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { WebGpuLimits } from "../../src/backends/webgpu/limits.ts";
import { requestGpuAdapter } from "../../src/platform/gpu.ts";
import { layOutWeights } from "../../src/models/layout.ts";
import { gpt2Config } from "../../src/models/gpt2/config.ts";
import { backendOf } from "../../src/tensor/mod.ts";
import type { Bench, Group, Limit, Row } from "../harness.ts";
import { promptIds } from "../rivals/random.ts";
import { weightBytes } from "./decode.ts";
import { stepper } from "./train.ts";

const device = "webgpu", small = { nLayer: 2, nHead: 4, nEmbd: 256, vocabSize: 2048, nPositions: 256 };

/** Multiplications and additions of one token: of the blocks, and of the output layer. */
function operationsOf({ nLayer, nEmbd, vocabSize }: GPT2Config): { blocks: number; head: number } {
  return { blocks: 2 * nLayer * 12 * nEmbd * nEmbd, head: 2 * vocabSize * nEmbd };
}

/** Greedy tokens behind a prompt, all recorded without a look at any: each is the next one's input on the device. */
async function decode(model: GPT2, prompt: number[], tokens: number, limits: WebGpuLimits): Promise<number> {
  using cache = model.createCache(1, prompt.length + tokens);
  const next = (ids: Tensor | number[][]): Tensor =>
    noGrad(() => tidy(() => argmax(reshape(model.forward(ids, { cache, lastOnly: true }), [-1]), -1, true)));
  let id = next([prompt]);
  await id.item();
  const seconds = await limits.seconds(() => {
    for (let i = 0; i < tokens; i++) {
      const before = id;
      id = next(reshape(before, [1, 1]));
      before.dispose();
    }
  });
  await id.item();
  id.dispose();
  return seconds / tokens;
}

async function* rows(bench: Bench): AsyncGenerator<Row> {
  await initWebGPU();
  const { adapter } = await requestGpuAdapter(), { gpu } = backendOf(device) as WebGpuBackend;
  const limits = await WebGpuLimits.open(gpu), { software } = gpu, { quick } = bench.settings;
  const read = (bytes: number): Limit => ({
    name: `reading ${(bytes / 1e6).toFixed(0)} MB`,
    measure: async () => await limits.read() / bytes,
  });
  const peak = (type: "f32" | "f16", per: number): Limit => ({
    name: `${type} multiply-add in registers`,
    measure: async () => await limits.multiplyAdd(type) / per,
  });
  const wanted = (share: number): { share?: number } => software ? {} : { share };
  const name = adapter?.info?.description || adapter?.info?.vendor || "an adapter without a name";
  const note = `${name}; ${limits.byClock ? "its own clock" : "no timestamp-query: time as it passes here"}`;
  const config = software ? small : {}, text = software ? "a small GPT-2" : "GPT-2 124M";
  const kinds = gpu.device.features.has("shader-f16") ? ["f32", "f16"] as const : ["f32"] as const;
  try {
    for (const type of kinds) {
      yield {
        name: `${type} multiply-add in registers`,
        unit: "GFLOP/s",
        amount: 1,
        subjects: [{ name: "the adapter", run: async () => 1e9 / await limits.multiplyAdd(type) }],
        note,
      };
    }
    yield {
      name: "reading memory",
      unit: "GB/s",
      amount: 1,
      subjects: [{ name: "the adapter", run: async () => 1e9 / await limits.read() }],
    };
    const n = software ? 256 : 4096;
    using a = rand([n, n], { device }), b = rand([n, n], { device });
    yield {
      name: `[${n},${n}]×[${n},${n}], f32`,
      unit: "GFLOP/s",
      amount: 2 * n ** 3 / 1e9,
      subjects: [{
        name: "WebGPU",
        run: () => limits.seconds(() => matmul(a, b).dispose()),
        limit: peak("f32", 1e9),
        ...wanted(0.3),
      }],
    };
    for (const dtype of kinds) {
      manualSeed(1);
      const model = noGrad(() => new GPT2({ ...config, eosTokenId: null }, { device, dtype }));
      model.eval();
      layOutWeights(model);
      const { blocks, head } = operationsOf(model.config), bytes = weightBytes(model);
      const tokens = quick || software ? 8 : 48, count = software ? 64 : 512;
      const idsOf = (n: number): number[] => promptIds(n).map((id) => id % model.config.vocabSize);
      const prompt = idsOf(8);
      const ids = [idsOf(count)];
      yield {
        name: `${text}, decode, ${dtype}`,
        unit: "tokens/s",
        amount: 1,
        subjects: [
          {
            name: "WebGPU",
            run: () => decode(model, prompt, tokens, limits),
            limit: read(bytes),
            ...wanted(0.5),
          },
          {
            name: "as generated, with ids read",
            run: async () => {
              const options = { maxNewTokens: tokens, doSample: false };
              const { ids, decodeMilliseconds } = await model.completion(prompt, options);
              return decodeMilliseconds / 1e3 / (ids.length - 1);
            },
          },
        ],
      };
      yield {
        name: `${text}, prefill, ${dtype}, ${count} tokens`,
        unit: "tokens/s",
        amount: count,
        subjects: [{
          name: "WebGPU",
          run: async () => {
            using cache = model.createCache(1, count);
            let logits: Tensor | null = null;
            const seconds = await limits.seconds(() => {
              logits = noGrad(() => model.forward(ids, { cache, lastOnly: true }));
            });
            (logits as Tensor | null)?.dispose();
            return seconds;
          },
          limit: peak(dtype, blocks + head / count),
          ...wanted(0.3),
        }],
      };
      model.dispose();
    }
    const batch = 4, time = software ? 32 : 256, { run, dispose } = stepper(config, batch, time, device);
    const { blocks, head } = operationsOf(gpt2Config(config));
    yield {
      name: `${text}, a step of AdamW, f32, batch ${batch} of ${time}`,
      unit: "tokens/s",
      amount: batch * time,
      subjects: [{ name: "WebGPU", run: () => limits.seconds(run), limit: peak("f32", 3 * (blocks + head)) }],
    };
    dispose();
  } finally {
    limits.dispose();
  }
}

/** GPT-2 on WebGPU. */
export const group: Group = { name: "GPT-2 on WebGPU", rows };
