/**
 * What might stand at a place of a text: the model's own probabilities, and what the visitor's settings make of them.
 *
 * @module
 */
import { argmaxOf } from "../../src/generate/sampler.ts";
import { resolveOptions } from "../../src/generate/options.ts";
import { buildProcessors } from "../../src/generate/processors/build.ts";
import { probabilities } from "../../src/generate/processors/warpers.ts";
import type { CausalLM } from "../../src/runtime/causal_lm.ts";
import type { GPT2 } from "../../src/runtime/gpt2.ts";
import { noGrad } from "../../src/tensor/mod.ts";
import { tokenText } from "./lens.ts";
import { readingOf, windowAt } from "./reading.ts";
import type { Choices, WriteOptions } from "./messages.ts";

/** Options as the library takes them: those of sampling only where something is drawn. */
export function libraryOptions(options: WriteOptions): object {
  const { seed, temperature, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff, stop, ...rest } = options;
  const sampling = temperature === 0
    ? { doSample: false }
    : { seed, temperature, topK, topP, minP, typicalP, epsilonCutoff, etaCutoff };
  return { ...rest, ...sampling, ...(stop.length ? { stop } : {}) };
}

/** After a prompt and the ids that were written behind it, the `most` likeliest tokens. */
export async function choicesAt(
  model: GPT2 | CausalLM,
  prompt: string,
  made: readonly number[],
  options: WriteOptions,
  most: number,
): Promise<Choices> {
  const start = readingOf(model, prompt).seen, ids = [...start, ...made];
  const held = windowAt(start.length, made.length, model.contextLength);
  const resolved = resolveOptions(libraryOptions(options), model.generationConfig);
  using last = noGrad(() => model.forward([ids.slice(-held)], { lastOnly: true }));
  const logits = Float32Array.from(await last.to({ dtype: "f32" }).data() as Float32Array);
  const before = probabilities(logits);
  for (const process of buildProcessors(resolved, start.length)) process(ids, logits);
  const after = resolved.doSample ? probabilities(logits) : new Float64Array(logits.length);
  if (!resolved.doSample) after[argmaxOf(logits)] = 1;
  const found = [...before.keys()].sort((a, b) => before[b] - before[a] || a - b).slice(0, most);
  return {
    choices: found.map((id) => ({ id, text: tokenText(model, id), before: before[id], after: after[id] })),
    possible: after.reduce((sum, p) => sum + (p > 0 ? 1 : 0), 0),
  };
}
