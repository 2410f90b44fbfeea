/**
 * Families × what can be done with them, each cell tried as it is printed: `deno run -A tests/families.ts [FAMILY…]`.
 *
 * A cell is a figure where there is one (how far logits are from those they should be), "same" where they are so to the bit, or
 * "yes"; what fails says so, and then the command ends with 1. Each is a model that is loaded and run: from a folder, a GGUF, its
 * parts and an address that gives ranges; on each device; in steps, compiled ones, behind padding, from guesses and a kept prefix. Where recorded results of PyTorch are there, they are the judge; models of other families are
 * fresh, and the `reference` device judges.
 *
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  CausalLM,
  convertToGguf,
  initReference,
  initWebGPU,
  noGrad,
  optim,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { familyNames } from "../src/models/registry.ts";

import { dataPath } from "./_data.ts";
import { byRange, splitGguf } from "./_gguf_files.ts";

const prompt = [3, 14, 15, 9, 26, 5];
const sizes = { vocabSize: 96, contextLength: 64, width: 64, layers: 2, heads: 2 };
const recorded: Readonly<Record<string, string>> = {
  gpt2: "../gpt2-tiny",
  llama: "llama3",
  gemma3_text: "gemma3",
};

/** The recorded folder of a family, or null. */
function goldenFolder(family: string): string | null {
  const folder = dataPath("families", recorded[family] ?? family);
  return existsSync(join(folder, "golden.json")) ? folder : null;
}

/** Logits of the last position of a text. */
async function lastLogits(model: CausalLM, ids: readonly number[]): Promise<Float32Array> {
  using logits = noGrad(() => model.forward([ids], { lastOnly: true }));
  return await logits.data() as Float32Array;
}

/** The largest difference. @throws {Error} when it is more than `most`. */
function near(a: ArrayLike<number>, b: ArrayLike<number>, most: number): string {
  let off = 0;
  for (let i = 0; i < a.length; i++) off = Math.max(off, Math.abs(a[i] - b[i]) || 0);
  if (a.length !== b.length || !(off <= most)) throw new Error(`off by ${off}`);
  return off === 0 ? "same" : off.toExponential(0);
}

const equal = (a: readonly number[], b: readonly number[]): string => {
  if (a.join() !== b.join()) throw new Error(`${a} is not ${b}`);
  return "yes";
};

/** What is tried of a model in `folder`, whose last logits are `expected`. */
const columns: Readonly<
  Record<string, (folder: string, expected: ArrayLike<number>, ids: number[]) => Promise<string>>
> = {
  safetensors: on("cpu", 2e-5),
  async GGUF(folder, expected, ids) {
    const file = join(folder, "model.gguf");
    await convertToGguf(folder, file, { dtype: "f32" });
    using model = await CausalLM.load(file, { device: "cpu" });
    return near(await lastLogits(model, ids), expected, 1e-4);
  },
  async split(folder, expected, ids) {
    const parts = mkdtempSync(join(folder, "parts-"));
    using model = await CausalLM.load(await splitGguf(join(folder, "model.gguf"), parts), { device: "cpu" });
    return near(await lastLogits(model, ids), expected, 1e-4);
  },
  async Range(folder, expected, ids) {
    return await byRange(join(folder, "model.gguf"), async (address) => {
      using model = await CausalLM.load(address, { device: "cpu" });
      return near(await lastLogits(model, ids), expected, 1e-4);
    });
  },
  reference: on("reference", 2e-5),
  webgpu: on("webgpu", 2e-4),
  async cached(folder, expected, ids) {
    using model = await CausalLM.load(folder, { device: "cpu" }), cache = model.createCache(1, ids.length);
    let logits = new Float32Array();
    for (const id of ids) {
      using row = noGrad(() => model.forward([[id]], { cache, lastOnly: true }));
      logits = await row.data() as Float32Array<ArrayBuffer>;
    }
    return near(logits, expected, 4e-5);
  },
  /** Steps are programs, and deterministic ones give the bits of the plain pass. */
  async compiled(folder, _, ids) {
    return await exactly(folder, async (model) => {
      const cache = model.createCache(1, ids.length), known = await lastLogits(model, ids);
      let logits = new Float32Array();
      for (const id of ids) {
        using row = noGrad(() => model.forward([[id]], { cache, lastOnly: true }));
        logits = (await row.data()).slice() as Float32Array<ArrayBuffer>;
      }
      if (cache.steps.size !== 1) throw new Error("steps that are no programs");
      cache.dispose();
      return near(logits, known, 0);
    });
  },
  async padded(folder, _, ids) {
    return await exactly(folder, async (model) => {
      const rows = [[0, 0, ...ids.slice(2)], ids],
        mask = [[0, 0, ...ids.slice(2).map(() => 1)], ids.map(() => 1)];
      using both = noGrad(() => model.forward(rows, { attentionMask: mask, lastOnly: true }));
      const found = await both.data() as Float32Array;
      near(found.subarray(model.vocabSize), await lastLogits(model, ids), 0);
      return near(found.subarray(0, model.vocabSize), await lastLogits(model, ids.slice(2)), 0);
    });
  },
  async speculative(folder, _, ids) {
    return await exactly(folder, async (model) => {
      const known = await tokensOf(model, ids);
      same(await tokensOf(model, ids, { promptLookupNumTokens: 3 }), known);
      return same(await tokensOf(model, ids, { assistantModel: model, numAssistantTokens: 3 }), known);
    });
  },
  async prefix(folder, _, short) {
    // A prompt is worth keeping from some length on.
    const ids = Array.from({ length: 50 }, (_, i) => short[(i * i + i) % short.length]);
    return await exactly(folder, async (model) => {
      const known = await tokensOf(model, ids, { cachePrompt: false });
      same(await tokensOf(model, ids), known);
      const before = model.prefixes?.reused ?? 0;
      same(await tokensOf(model, ids), known);
      if (!((model.prefixes?.reused ?? 0) > before)) throw new Error("nothing of the prompt was reused");
      return "same";
    });
  },
  async batched(folder, _, ids) {
    using model = await CausalLM.load(folder, { device: "cpu" });
    const options = { doSample: false, maxNewTokens: 8, eosTokenId: null }, short = ids.slice(1, 4);
    const [a, b] = await model.completeBatch([ids, short], options);
    equal(a.ids, (await model.completion(ids, options)).ids);
    return equal(b.ids, (await model.completion(short, options)).ids);
  },
  async trained(folder) {
    using model = await CausalLM.load(folder, { dtype: "f32", device: "cpu" });
    using optimizer = new optim.AdamW(model.train().parameters(), { lr: 3e-3 });
    const text = [Array.from({ length: 24 }, (_, i) => 5 + (i * i) % 7)], losses: number[] = [];
    for (let step = 0; step < 6; step++) {
      const loss = tidy(() => {
        const loss = model.loss(text);
        loss.backward();
        return loss.detach();
      });
      losses.push(await loss.item());
      loss.dispose();
      optimizer.step();
      optimizer.zeroGrad();
    }
    if (!(losses.at(-1)! < losses[0])) throw new Error(`losses ${losses}`);
    return `${losses[0].toFixed(2)} → ${losses.at(-1)!.toFixed(2)}`;
  },
  q8: held("q8"),
  q4: held("q4"),
};

/** Runs `run` with the model in deterministic mode. */
async function exactly(folder: string, run: (model: CausalLM) => Promise<string>): Promise<string> {
  useDeterministicAlgorithms(true);
  try {
    using model = await CausalLM.load(folder, { device: "cpu" });
    return await run(model);
  } finally {
    useDeterministicAlgorithms(false);
  }
}

/** Tokens that follow and all that is known of them, as text. */
async function tokensOf(model: CausalLM, ids: number[], more: object = {}): Promise<string> {
  const options = { doSample: false, maxNewTokens: 6, eosTokenId: null, logprobs: 2, ...more };
  const { ids: found, logprobs } = await model.completion(ids, options);
  return JSON.stringify([found, logprobs]);
}

function same(a: string, b: string): string {
  if (a !== b) throw new Error(`${a} is not ${b}`);
  return "same";
}

function on(device: DeviceName, most: number) {
  return async (folder: string, expected: ArrayLike<number>, ids: number[]): Promise<string> => {
    if (device === "webgpu" && !await gpu) return "–";
    using model = await CausalLM.load(folder, { device });
    return near(await lastLogits(model, ids), expected, most);
  };
}

/** Held in blocks (where sums run over whole ones of 32): as far from floats of the same values as products of blocks may be. */
function held(dtype: "q8" | "q4") {
  return async (folder: string, _: ArrayLike<number>, ids: number[]): Promise<string> => {
    using model = await CausalLM.load(folder, { dtype, device: "cpu" });
    const blocks = join(folder, dtype);
    await model.save(blocks);
    using floats = await CausalLM.load(blocks, { dtype: "f32", device: "cpu" });
    const found = await lastLogits(model, ids), expected = await lastLogits(floats, ids);
    return near(found, expected, 0.1 * Math.max(...Array.from(expected, Math.abs)));
  };
}

const gpu = initWebGPU().then(() => true, () => false);
initReference();
const wide = Math.max(...familyNames.map((name) => name.length));
const line = (cells: readonly string[]): void =>
  console.log(cells.map((cell, i) => cell.padEnd(i === 0 ? wide : 11)).join("  ").trimEnd());
line(["family", ...Object.keys(columns), "judge"]);
const asked = process.argv.slice(2);
let failed = 0;
for (const family of familyNames.filter((name) => asked.length === 0 || asked.includes(name))) {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-families-")), golden = goldenFolder(family);
  try {
    let expected: ArrayLike<number>, ids = prompt;
    if (golden) {
      const { prompts } = JSON.parse(readFileSync(join(golden, "golden.json"), "utf8"));
      [ids] = prompts.single.ids;
      [expected] = prompts.single.last_logits;
      using model = await CausalLM.load(golden, { device: "cpu", onWarning: () => {} });
      await model.save(folder);
    } else {
      using model = await CausalLM.fromSizes(family, sizes, { device: "reference" });
      expected = await lastLogits(model.eval(), ids);
      await model.save(folder);
    }
    const cells: string[] = [], without = new Set<string>();
    for (const [name, attempt] of Object.entries(columns)) {
      try {
        cells.push(await attempt(folder, expected, ids));
      } catch (error) {
        if (/^no GGUF of the family/.test((error as Error).message)) without.add(name);
        if (without.has(name)) {
          for (const other of ["GGUF", "split", "Range"]) without.add(other);
          cells.push("–");
          continue;
        }
        failed++;
        cells.push("FAILED");
        console.error(`${family}, ${name}: ${(error as Error).message}`);
      }
    }
    line([family, ...cells, golden ? "PyTorch" : "reference"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
if (failed > 0) process.exit(1);
