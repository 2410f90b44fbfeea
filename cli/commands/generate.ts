/**
 * `ferrotype generate`: continues a text.
 *
 * @module
 */
import type { CausalLM, Distributed, GenerateOptions, GenerationResult } from "../../mod.ts";
import { CancelledError } from "../../src/core/errors.ts";
import { someText } from "../../src/core/kinds.ts";
import { findLauncher } from "../../src/platform/mpi_launcher.ts";
import { hardwareConcurrency, onStop, residentMemory, writeText } from "../../src/platform/platform.ts";
import { resolveOptions, setThreads } from "../../src/runtime/speaking.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { generationFlags, readGeneration } from "../generation.ts";
import { deviceIdle, loadModel, modelOptions, parseIds } from "../model.ts";
import { counted, note, print, printJson, printPart, redirectOutput } from "../output.ts";
import { demandCalledAlike } from "../ranks.ts";
import { readText } from "../text.ts";

async function promptOf(values: Values, positionals: readonly string[]): Promise<string | number[]> {
  const ids = values.text("prompt-ids");
  if (ids !== undefined) {
    if (positionals.length) throw new UsageError("give a PROMPT or --prompt-ids, not both");
    return parseIds(ids);
  }
  if (positionals.length && positionals[0] !== "-") return positionals[0];
  const text = await readText("-");
  if (!text) throw new UsageError("there is no prompt: give one as an argument or on standard input");
  return text;
}

/** The command. */
export const generate: Command = {
  name: "generate",
  usage: "[PROMPT] [options]",
  summary: "Continues PROMPT (or standard input) with a language model.",
  details:
    "Started by mpirun or srun --mpi=…, its ranks hold the model together, each a part of the layers, and rank 0 prints: for a folder of\n" +
    "safetensors, on the cpu.",
  ranks: "launched",
  positionals: [0, 1],
  options: {
    ...modelOptions,
    "prompt-ids": { value: "1,2,3", help: "the prompt as token ids" },
    ...generationFlags(),
    stop: {
      value: "TEXT",
      kind: someText,
      multiple: true,
      help: "end before this text (may be given again)",
    },
  },
  idle: [
    ...deviceIdle,
    { option: "logprobs", when: ({ json }) => !json, because: "they are told with --json only" },
  ],
  async run(values, positionals) {
    const ranks = findLauncher() === null ? null : await join(values);
    if (ranks !== null && ranks.size > 1) return await amongRanks(values, positionals, ranks);
    const prompt = await promptOf(values, positionals);
    const controller = new AbortController();
    const remove = onStop(() => controller.abort());
    try {
      const loaded = await loadModel(values, controller.signal);
      await answer(values, prompt, { ...readGeneration(values), signal: controller.signal }, loaded);
    } finally {
      remove();
    }
  },
};

async function join(values: Values): Promise<Distributed> {
  const { distributed } = await import("../../mod.ts");
  await distributed.init();
  demandCalledAlike(distributed, generate, values);
  const { size, onThisHost } = distributed;
  // Ranks of one host share its processors.
  if (!values.has("threads") && size > 1) {
    await setThreads(Math.max(1, Math.floor(hardwareConcurrency() / onThisHost)));
  }
  return distributed;
}

/** All ranks do the same: rank 0 says what is asked, and prints. */
async function amongRanks(values: Values, positionals: readonly string[], ranks: Distributed): Promise<void> {
  if (values.has("lora")) {
    throw ranks.common(
      new UsageError(
        "generate: --lora: adapters are not split over ranks; start one rank, or give as --model a folder that a program made with " +
          "model.mergeAdapter() and model.save(DIR)",
      ),
    );
  }
  const device = values.text("device") ?? "cpu";
  if (device !== "cpu") {
    throw ranks.common(
      new UsageError(
        `generate: --device ${device}: layers are split over ranks on the cpu alone; leave it out`,
      ),
    );
  }
  if (values.has("max-time")) {
    throw ranks.common(new UsageError("generate: --max-time ends ranks at different tokens; leave it out"));
  }
  const isFirst = ranks.rank === 0;
  const asked = isFirst ? await ranks.patiently(() => promptOf(values, positionals)) : "";
  const { prompt, drawn } = JSON.parse(
    ranks.ofFirst(JSON.stringify({ prompt: asked, drawn: Math.floor(Math.random() * 2 ** 32) })),
  );
  const silent = isFirst
    ? () => {}
    : redirectOutput((stream, text) => stream === "stdout" ? Promise.resolve(true) : writeText(stream, text));
  try {
    const loaded = await loadModel(values, undefined, ranks);
    const options = readGeneration(values);
    // Ranks draw the same; where nothing is drawn, a seed would be refused.
    const draws = resolveOptions(options, loaded.model.generationConfig).doSample;
    await answer(values, prompt, draws ? { seed: drawn, ...options } : options, loaded);
  } finally {
    silent();
  }
}

/** What was loaded. */
interface Loaded {
  readonly model: CausalLM;
  readonly name: string;
  readonly device: string;
  readonly loadMs: number;
}

/** Continues the prompt and prints what the call asks for. */
async function answer(
  values: Values,
  prompt: string | number[],
  options: GenerateOptions,
  { model, name, device, loadMs }: Loaded,
): Promise<void> {
  // The model's own file may ask for several, too.
  const several = resolveOptions(options, model.generationConfig).numReturnSequences > 1;
  if (values.flag("json")) {
    const of = { model: name, device, dtype: model.dtype, loadMs };
    const results = several
      ? await model.completions(prompt, options)
      : [await model.completion(prompt, options)];
    const [first] = results;
    return await printJson({
      ...report(first, of),
      ...(several ? { sequences: results.map(({ ids, text }) => ({ ids, text })) } : {}),
    });
  }
  if (several) {
    const before = typeof prompt === "string" ? prompt : "";
    for (const { text, ids } of await model.completions(prompt, options)) {
      await print(model.tokenizer ? `${before}${text}\n` : ids.join(","));
    }
    return;
  }
  if (!model.tokenizer) {
    const result = await model.completion(prompt, options);
    return await print(result.ids.join(","));
  }
  const result = await stream(typeof prompt === "string" ? prompt : "", model.generate(prompt, options));
  if (values.flag("verbose")) await note(speeds(result, loadMs));
}

/** Prints the prompt when there is something behind it, pieces as they come, then ends the line. */
async function stream(
  prompt: string,
  pieces: AsyncGenerator<string, GenerationResult>,
): Promise<GenerationResult> {
  try {
    for (let before = prompt;; before = "") {
      const step = await pieces.next();
      await printPart(before + (step.done ? "\n" : step.value));
      if (step.done) return step.value;
    }
  } catch (error) {
    if (error instanceof CancelledError) await printPart("\n");
    throw error;
  }
}

function rates(result: GenerationResult): { prefill: number; decode: number } {
  const after = result.ids.length - 1;
  return {
    prefill: result.prefillMilliseconds > 0 ? result.promptIds.length / result.prefillMilliseconds * 1000 : 0,
    decode: after > 0 && result.decodeMilliseconds > 0 ? after / result.decodeMilliseconds * 1000 : 0,
  };
}

function report(
  result: GenerationResult,
  of: { model: string; device: string; dtype: string; loadMs: number },
): Record<string, unknown> {
  const { prefill, decode } = rates(result);
  return {
    model: of.model,
    device: of.device,
    dtype: of.dtype,
    prompt_ids: result.promptIds,
    ids: result.ids,
    text: result.text,
    finish_reason: result.finishReason,
    ...(result.logprobs ? { logprobs: result.logprobs } : {}),
    timings: {
      load_ms: of.loadMs,
      prefill_ms: result.prefillMilliseconds,
      prefill_tokens_per_second: prefill,
      decode_tokens_per_second: decode,
    },
  };
}

function speeds(result: GenerationResult, loadMs: number): string {
  const { prefill, decode } = rates(result), memory = residentMemory();
  return `loaded in ${loadMs.toFixed(0)} ms; prompt ${counted(result.promptIds.length, "token")} at ${
    prefill.toFixed(0)
  }/s; ` +
    `${counted(result.ids.length, "new token")} at ${decode.toFixed(0)}/s; ended by ${result.finishReason}` +
    (memory === undefined ? "" : `; ${(memory / 1e6).toFixed(0)} MB of memory`);
}
