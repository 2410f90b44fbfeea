/**
 * Decoders of the LLaMA kind against results that PyTorch computed in float64: logits, loss, gradients, five steps of
 * AdamW, greedy tokens; with a cache, padded, and from files of both formats.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import {
  FormatError,
  type Gguf,
  noGrad,
  openGguf,
  openSafetensors,
  optim,
  type Tensor,
  tidy,
} from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import type { CausalDecoder } from "../src/models/decoder/causal.ts";
import { decoderConfig, decoderNetwork, familyOf } from "../src/models/registry.ts";
import { ggufJson, ggufSource } from "../src/runtime/gguf_source.ts";
import { readWeights } from "../src/runtime/read_weights.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { dataPath } from "./_data.ts";
import { families } from "./_families.ts";
import { eachDevice } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

interface Golden {
  prompts: Record<"single" | "batch" | "long", { ids: number[][]; last_logits: number[][] }>;
  full_logits: { logits: number[][][] };
  greedy: { ids: number[] };
  loss: { value: number; grads: Record<string, { shape: number[]; l2: number; first8: number[] }> };
  training: { loss_after_step: number[] };
}

const json = (...path: string[]) => JSON.parse(readFileSync(dataPath("families", ...path), "utf8"));

/** The family's model with the weights of its file, as f32. */
async function load(family: string, device: DeviceName): Promise<CausalDecoder> {
  const model = decoderNetwork(decoderConfig(json(family, "config.json")), { device });
  await using file = await openSafetensors(dataPath("families", family, "model.safetensors"));
  const weights: Record<string, Tensor> = {};
  for (const name of file.names) weights[name] = await file.tensor(name, { dtype: "f32", device });
  model.loadStateDict(weights);
  for (const weight of Object.values(weights)) weight.dispose();
  return model;
}

/** The network in a GGUF; `missing` is what its notes do not say. */
async function networkFromGguf(file: Gguf, missing: object = {}): Promise<CausalDecoder> {
  const config = decoderConfig({ ...await ggufJson(file), ...missing });
  const model = decoderNetwork(config, { device: "cpu" });
  const expected = familyOf(config.family, "").expected(config);
  await readWeights(model, ggufSource(file, config, expected, config.family, console.warn), { dtype: "f32" });
  return model;
}

async function near(actual: Tensor, expected: number[], tolerance: number, what: string): Promise<void> {
  const values = await actual.data() as Float32Array;
  assertStrictEquals(values.length, expected.length, what);
  let worst = 0;
  expected.forEach((e, i) => worst = Math.max(worst, Math.abs(values[i] - e) || 0));
  assert(worst <= tolerance, `${what}: off by ${worst}`);
}

eachDevice((device) => {
  const tolerance = device === "webgpu" ? 2e-4 : 2e-5;
  describe("decoders", () => {
    // What the oracle computes, it computes on every runtime alike.
    for (const family of device === "reference" ? width(families, ["llama3"]) : families) {
      it(`${family}: logits, loss, gradients and steps as recorded`, async () => {
        const golden: Golden = json(family, "golden.json");
        using model = await load(family, device);
        model.eval();
        for (const [name, { ids, last_logits }] of Object.entries(golden.prompts)) {
          using logits = noGrad(() => model.forward(ids, { lastOnly: true }));
          await near(logits, last_logits.flat(), tolerance, `${family} ${name}`);
        }
        using all = noGrad(() => model.forward(golden.prompts.single.ids));
        await near(all, golden.full_logits.logits.flat(2), tolerance, `${family}, all logits`);
        model.train();
        const { ids } = golden.prompts.batch;
        const loss = model.loss(ids);
        loss.backward();
        assert(Math.abs(await loss.item() - golden.loss.value) < tolerance / 2, `${family}: loss`);
        const parameters = new Map(model.namedParameters());
        assertEquals([...parameters.keys()].sort(), Object.keys(golden.loss.grads).sort());
        for (const [name, { shape, first8 }] of Object.entries(golden.loss.grads)) {
          const grad = parameters.get(name)!.grad!;
          assertEquals([...grad.shape], shape);
          await near(
            tidy(() => grad.flatten().slice([0, first8.length])),
            first8,
            tolerance,
            `${family}: ∂${name}`,
          );
        }
        // Adam makes whole steps of gradients that are nearly zero, whose rounding decides where they go: gemma3 has one of
        // 1.2e-7, and without fused multiply-add (Bun) gradients are off by 4.5e-7 at most, but the loss by 6.7e-5.
        const stepTolerance = runtimeName() === "bun" ? Math.max(tolerance, 1e-4) : tolerance;
        const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 });
        for (const [step, expected] of golden.training.loss_after_step.entries()) {
          optimizer.zeroGrad();
          tidy(() => model.loss(ids).backward());
          optimizer.step();
          using after = noGrad(() => model.loss(ids));
          assert(
            Math.abs(await after.item() - expected) < stepTolerance,
            `${family}: step ${step + 1}: ${await after.item()}`,
          );
        }
        optimizer.dispose();
      });

      it(`${family}: greedy tokens with a cache, and a padded batch`, async () => {
        const golden: Golden = json(family, "golden.json"), [prompt] = golden.prompts.single.ids;
        using model = await load(family, device);
        model.eval();
        using cache = model.createCache(1, prompt.length + 32);
        const ids: number[] = [];
        for (let next = prompt; ids.length < golden.greedy.ids.length; next = [ids.at(-1)!]) {
          using best = noGrad(() => tidy(() => model.forward(next, { cache, lastOnly: true }).argmax(-1)));
          ids.push(await best.item());
        }
        assertEquals(ids, golden.greedy.ids);
        // A shorter text beside a longer one gives what it gives alone.
        const padded = [[0, 0, 0, ...prompt.slice(3)], prompt],
          mask = [[0, 0, 0, ...prompt.slice(3).map(() => 1)], prompt.map(() => 1)];
        using both = noGrad(() => model.forward(padded, { attentionMask: mask, lastOnly: true }));
        using alone = noGrad(() => model.forward(prompt.slice(3), { lastOnly: true }));
        await near(
          tidy(() => both.slice(0)),
          [...await alone.data() as Float32Array],
          tolerance,
          `${family}: padded`,
        );
      });
    }
  });
}, onWebGpu);

describe("decoders from GGUF", () => {
  // llama.cpp does not keep what Gemma 2 and 3 divide queries by, nor the windows of Mistral and Phi-3.
  const missing: Record<string, object> = {
    gemma2: { query_pre_attn_scalar: 10 },
    gemma3: { query_pre_attn_scalar: 10 },
    mistral: { model_type: "mistral", sliding_window: 5 },
    phi3: { sliding_window: 6 },
  };
  for (const family of families) {
    it(`${family}: the same logits`, async () => {
      const golden: Golden = json(family, "golden.json");
      await using file = await openGguf(dataPath("families", `${family}.gguf`));
      using model = await networkFromGguf(file, missing[family]);
      model.eval();
      for (const [name, { ids, last_logits }] of Object.entries(golden.prompts)) {
        using logits = noGrad(() => model.forward(ids, { lastOnly: true }));
        await near(logits, last_logits.flat(), 4e-5, `${family} ${name}`);
      }
    });
  }

  it("q8 and K types give what their dequantised weights give", async () => {
    for (const name of ["llama-256-q4_k_m", "llama-256-iq4_nl"]) {
      const path = dataPath("quants", `${name}.gguf`);
      if (!existsSync(path)) continue;
      const golden = JSON.parse(readFileSync(dataPath("quants", `${name}.golden.json`), "utf8")) as Golden;
      await using file = await openGguf(path);
      using model = await networkFromGguf(file);
      model.eval();
      for (const [prompt, { ids, last_logits }] of Object.entries(golden.prompts)) {
        using logits = noGrad(() => model.forward(ids, { lastOnly: true }));
        await near(logits, last_logits.flat(), 1e-4, `${name} ${prompt}`);
      }
    }
  });
});

describe("the registry of families", () => {
  it("names a family that it does not know, and a field that is wrong", () => {
    const good = json("qwen3", "config.json");
    const fails = (values: object, text: string) =>
      assertThrows(() => decoderConfig({ ...good, ...values }), FormatError, text);
    fails({ model_type: "qwen9" }, '"qwen9"');
    fails({ num_key_value_heads: 3 }, "num_key_value_heads is 3");
    fails({ hidden_act: "sin" }, 'hidden_act is "sin"');
    fails({ vocab_size: "many" }, "vocab_size");
    fails({ rope_scaling: { rope_type: "linear" } }, "rope_scaling: factor is missing");
    fails({ num_hidden_layers: 0 }, "num_hidden_layers");
  });

  it("reads both spellings of positions alike", () => {
    const old = json("llama3", "config.json"), { rope_scaling, rope_theta, ...rest } = old;
    const now = { ...rest, rope_parameters: { rope_theta, ...rope_scaling } };
    const { json: _, ...read } = decoderConfig(now), { json: _j, ...known } = decoderConfig(old);
    assertEquals(read, known);
  });
});
