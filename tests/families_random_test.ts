/**
 * Families with configurations that no recorded folder has, seeded: against a computation in float64 that shares nothing with
 * the library (`_decoder_truth.ts`), on the cpu and the reference device, with a cache, and as a GGUF, whole, in parts and by ranges.
 */
import { assert, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { CausalLM, convertToGguf, initReference, noGrad } from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { functions, truth, Weights } from "./_decoder_truth.ts";
import { byRange, splitGguf } from "./_gguf_files.ts";
import { inFolder } from "./_gpt2.ts";
import { type Config, randomConfig, randomFamilies, vocab, writeFamily } from "./_random_families.ts";
import { width } from "./_width.ts";

const time = 11;

/** How far the logits of a model are from the truth, in parts of the largest of them. */
async function off(
  where: string | URL,
  device: DeviceName,
  ids: number[],
  known: Float64Array[],
): Promise<number> {
  using model = await CausalLM.load(where, { device, onWarning: () => {} });
  const most = Math.max(1, ...known.flatMap((row) => Array.from(row, Math.abs)));
  let worst = 0;
  const compare = (found: Float32Array, rows: readonly Float64Array[]): void =>
    rows.forEach((row, t) =>
      row.forEach((x, i) => worst = Math.max(worst, Math.abs(found[t * row.length + i] - x)))
    );
  {
    using logits = noGrad(() => model.forward([ids]));
    compare(await logits.data() as Float32Array, known);
  }
  // In two pieces and a step, through a cache; not where angles change with the length of the text.
  if (!JSON.stringify((model.config as { json?: unknown }).json ?? {}).includes("longrope")) {
    using cache = model.createCache(1, ids.length);
    for (const [from, to] of [[0, 4], [4, ids.length - 1], [ids.length - 1, ids.length]]) {
      using logits = noGrad(() => model.forward([ids.slice(from, to)], { cache }));
      compare(await logits.data() as Float32Array, known.slice(from, to));
    }
  }
  return worst / most;
}

async function check(config: Config, seed: number, ggufToo: boolean): Promise<void> {
  const ids = Array.from({ length: time }, (_, t) => (seed * 7 + t * t * 3 + 5 * t) % vocab);
  const weights = new Weights(seed), known = truth(config, ids, weights), what = JSON.stringify(config);
  await inFolder(async (folder) => {
    const where = join(folder, "model");
    await writeFamily(where, config, weights);
    // A delta network makes what it reads of length 1, and with that what was rounded of a faint one.
    const most = "linear_num_key_heads" in config ? 1e-4 : 1e-5;
    for (const device of ["cpu", "reference"] as const) {
      const found = await off(where, device, ids, known);
      assert(found < most, `${device}: off by ${found} of the largest logit, seed ${seed}: ${what}`);
    }
    if (!ggufToo) return;
    const path = join(folder, "model.gguf");
    try {
      await convertToGguf(where, path, { dtype: "f32", onWarning: () => {} });
    } catch (error) {
      // What a GGUF cannot say is refused in words.
      assert(/keep it as safetensors|GGUF/.test((error as Error).message), (error as Error).message);
      return;
    }
    const near = async (as: string, from: string | URL): Promise<void> => {
      const found = await off(from, "cpu", ids, known);
      assert(
        found < Math.max(2e-5, most),
        `${as}: off by ${found} of the largest logit, seed ${seed}: ${what}`,
      );
    };
    await near("GGUF", path);
    await near("GGUF in parts", await splitGguf(path, folder, 2));
    await byRange(path, (address) => near("GGUF by ranges", address));
  });
}

initReference();

describe("families of configurations at random", () => {
  const seeds = Number(process.env.RANDOM_FAMILIES ?? width(3, 1));
  for (const family of randomFamilies) {
    it(`${family}: logits are those of float64, as a folder and as a GGUF`, async () => {
      for (let seed = 1; seed <= seeds; seed++) await check(randomConfig(family, seed), seed, seed % 2 === 1);
    });
  }

  it("gpt2: every activation that transformers has by name", async () => {
    for (const name of Object.keys(functions)) {
      const config = { ...randomConfig("gpt2", 3), n_layer: 1, activation_function: name };
      await check(config, 11, false);
    }
    assertStrictEquals(Object.keys(functions).length, 20);
  });
});
