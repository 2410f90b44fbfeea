/**
 * What runs in the page of `webgpu_browser_test.ts`: the conformance suite, then GPT-2 against its recorded results.
 *
 * @module
 */
import { GPT2, initWebGPU, noGrad, optim } from "../../mod.ts";
import { openWebGpu } from "../../src/backends/webgpu/open.ts";
import { requestGpuAdapter } from "../../src/platform/gpu.ts";
import { conformance } from "../backend_conformance.ts";
import { it, type Outcome, runAll, shareOf } from "./test_runner.ts";
import { assertEquals, assertStrictEquals } from "@std/assert";

interface Golden {
  prompts: Record<"single" | "batch", { ids: number[][]; last_logits: number[][] }>;
  greedy: { new_ids: number[] };
  training: { loss_before: number; loss_after_step: number[] };
}

function near(actual: ArrayLike<number>, expected: readonly number[], tolerance: number, what: string): void {
  assertStrictEquals(actual.length, expected.length);
  expected.forEach((e, i) => {
    if (!(Math.abs(actual[i] - e) <= tolerance)) throw new Error(`${what} ${i} is ${actual[i]}, not ${e}`);
  });
}

async function declareGoldens(): Promise<void> {
  const answer = await fetch("/tiny/golden.json");
  if (!answer.ok) return;
  const golden = await answer.json() as Golden, folder = new URL("/tiny/", location.href);
  it("GPT-2: the recorded logits and greedy tokens", async () => {
    using model = await GPT2.load(folder, { device: "webgpu" });
    const { ids, last_logits } = golden.prompts.batch;
    const logits = noGrad(() => model.forward(ids, { lastOnly: true }));
    near(await logits.data() as Float32Array, last_logits.flat(), 2e-4, "logit");
    const { ids: tokens } = await model.completion(golden.prompts.single.ids[0], { maxNewTokens: 40 });
    assertEquals(tokens, golden.greedy.new_ids);
  });
  it("GPT-2: the recorded steps of AdamW", async () => {
    using model = await GPT2.load(folder, { device: "webgpu" });
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0.01 }),
      losses: number[] = [];
    for (let step = 0; step < 6; step++) {
      optimizer.zeroGrad();
      const loss = model.loss(golden.prompts.batch.ids);
      losses.push(await loss.item());
      loss.backward();
      optimizer.step();
    }
    near(losses, [golden.training.loss_before, ...golden.training.loss_after_step], 1e-4, "loss");
  });
}

/** Runs every `parts`th test of the suite, and all of GPT-2. */
async function main(
  parts: number,
): Promise<{ adapter: string; outcomes: Outcome[] } | { missing: string }> {
  const { adapter, reason } = await requestGpuAdapter();
  if (adapter === null) return { missing: reason };
  const backend = await openWebGpu(adapter);
  shareOf(parts);
  conformance("webgpu in a page", () => backend, { subnormals: false });
  shareOf(1);
  await initWebGPU();
  it("GPT-2: the bundled model continues as on the cpu", async () => {
    const folder = new URL("/bundled/", location.href), options = { maxNewTokens: 12, doSample: false };
    using here = await GPT2.load(folder, { device: "cpu" });
    using there = await GPT2.load(folder, { device: "webgpu" });
    assertStrictEquals(await there.complete("ROMEO:", options), await here.complete("ROMEO:", options));
  });
  await declareGoldens();
  return { adapter: adapter.info?.description || adapter.info?.vendor || "", outcomes: await runAll() };
}

(globalThis as unknown as { run: typeof main }).run = main;
