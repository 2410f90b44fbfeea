/**
 * Generation with models of every family: whatever way tokens are computed, they are those of the plain forward pass.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { CausalLM, noGrad } from "../mod.ts";
import { dataPath } from "./_data.ts";
import { families } from "./_families.ts";
import { eachDevice } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

interface Golden {
  prompts: Record<"single" | "batch" | "long", { ids: number[][] }>;
  greedy: { ids: number[] };
}

const goldenOf = (family: string): Golden =>
  JSON.parse(readFileSync(dataPath("families", family, "golden.json"), "utf8"));

/** Logits of the last position of a text, without a cache. */
async function plain(model: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  using logits = noGrad(() => model.forward([ids], { lastOnly: true }));
  return await logits.data() as Float32Array;
}

/** How far two lists of numbers are apart, at most. */
function apart(a: Float32Array, b: Float32Array): number {
  assertStrictEquals(a.length, b.length);
  let most = 0;
  a.forEach((x, i) => most = Math.max(most, Math.abs(x - b[i])));
  return most;
}

const greedy = { doSample: false, eosTokenId: null } as const;

eachDevice((device) => {
  // Of few rows at once, products are summed in another order than of many.
  const close = { reference: 1e-6, cpu: 1e-5, webgpu: 1e-4 }[device];
  describe("models of every family", () => {
    // A GPU that is played by a processor takes a minute for all of them; so two are tried there, which have windows, caps and two kinds of angles.
    const few = ["gemma2", "gemma3"];
    const some = device === "cpu"
      ? width(families, ["gemma3"])
      : device === "reference"
      ? width(["llama3"], [])
      : few;
    for (const family of some) {
      it(`${family}: steps, alone and together, are the plain forward pass`, async () => {
        const golden = goldenOf(family), [prompt] = golden.prompts.single.ids;
        using model = await CausalLM.load(dataPath("families", family), { device });
        assertEquals(
          model.family,
          JSON.parse(readFileSync(dataPath("families", family, "config.json"), "utf8")).model_type,
        );
        // Texts of unequal length, each in its cache; one that is long enough for windows to close and angles to change.
        const texts = [prompt, prompt.slice(0, 3), [...golden.prompts.long.ids[0]], prompt.slice(2)];
        const more = 4;
        const room = (text: readonly number[]) => Math.min(model.contextLength, text.length + more + 2);
        const caches = texts.map((text) => model.createCache(1, room(text)));
        const alone = texts.map((text) => model.createCache(1, room(text)));
        for (const [i, text] of texts.entries()) {
          for (const cache of [caches[i], alone[i]]) {
            noGrad(() => model.forward([text.slice(0, -1)], { cache, lastOnly: true })).dispose();
          }
        }
        for (let step = 0; step < more; step++) {
          const ids = texts.map((text) => text.at(-1)!);
          using rows = noGrad(() => model.forward(ids.map((id) => [id]), { cache: caches }));
          const all = await rows.data() as Float32Array, width = model.vocabSize;
          for (const [i, text] of texts.entries()) {
            const row = all.slice(i * width, (i + 1) * width);
            using one = noGrad(() => model.forward([[ids[i]]], { cache: alone[i], lastOnly: true }));
            assertStrictEquals(
              apart(row, await one.data() as Float32Array),
              0,
              `${family}: row ${i} of step ${step}`,
            );
            const known = await plain(model, text), off = apart(row, known);
            assert(off <= close, `${family}: row ${i} of step ${step} is off by ${off}`);
            assertStrictEquals(caches[i].length, text.length);
            text.push(known.indexOf(Math.max(...known)));
          }
        }
        // All of them are programs, where the device captures, whatever windows and caps there are.
        if (device !== "reference") {
          assert(alone.every(({ steps }) => steps.size === 1), `${family}: steps that are no programs`);
        }
        for (const cache of [...caches, ...alone]) cache.dispose();
        const [looked] = model.attentions([prompt], { layers: [model.layers - 1] });
        assertEquals(looked.shape, [1, model.heads, prompt.length, prompt.length]);
        const ones = await looked.sum(-1).data() as Float32Array;
        assert(ones.every((sum) => Math.abs(sum - 1) < 1e-4), `${family}: rows of attentions sum to ${ones}`);
        looked.dispose();
      });

      // Ways to come by tokens are the same for all families; caps and windows are in gemma2.
      if (device === "webgpu" && family !== "gemma2") continue;
      it(`${family}: greedy tokens, however they are come by`, async () => {
        const golden = goldenOf(family), [prompt] = golden.prompts.single.ids, { ids } = golden.greedy;
        using model = await CausalLM.load(dataPath("families", family), { device });
        const options = { ...greedy, maxNewTokens: ids.length };
        const tokens = async (more: object) => (await model.completion(prompt, { ...options, ...more })).ids;
        assertEquals(await tokens({}), ids, "with a cache");
        assertEquals(await tokens({}), ids, "again");
        assertEquals(await tokens({ numBeams: 1, promptLookupNumTokens: 4 }), ids, "guesses of the text");
        assertEquals(
          await tokens({ assistantModel: model, numAssistantTokens: 3 }),
          ids,
          "guesses of a model",
        );
        assertEquals(await tokens({ penaltyAlpha: 1e-9, topK: 2 }), ids, "contrastive");
        const several = [prompt, prompt.slice(1), golden.prompts.batch.ids[0], prompt];
        const batch = await model.completeBatch(several, options);
        assertEquals([batch[0].ids, batch[3].ids], [ids, ids], "in a batch");
        for (const [i, text] of several.entries()) {
          assertEquals(batch[i].ids, (await model.completion(text, options)).ids, `text ${i} of a batch`);
        }
        const [best] = await model.completions(prompt, { ...options, maxNewTokens: 6, numBeams: 3 });
        assertStrictEquals(best.ids.length, 6);
        using cache = model.createCache();
        const first = await model.completion(prompt, { ...options, maxNewTokens: 5, cache });
        const rest = await model.completion([], { ...options, maxNewTokens: ids.length - 5, cache });
        assertEquals([...first.ids, ...rest.ids], ids, "in two parts");
      });
    }
  });
}, onWebGpu);
