/**
 * `ferrotype generate`: continues a text.
 *
 * @module
 */
import { CancelledError, type GenerateOptions, type GenerationResult } from "../../mod.ts";
import { onStop, residentMemory } from "../../src/platform/platform.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { loadModel, modelOptions, parseIds } from "../model.ts";
import { note, print, printJson, printPart } from "../output.ts";
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

function optionsOf(values: Values, signal: AbortSignal): GenerateOptions {
  const names = {
    "max-new-tokens": "maxNewTokens",
    temperature: "temperature",
    "top-k": "topK",
    "top-p": "topP",
    "min-p": "minP",
    "typical-p": "typicalP",
    "repetition-penalty": "repetitionPenalty",
    "frequency-penalty": "frequencyPenalty",
    "presence-penalty": "presencePenalty",
    "no-repeat-ngram-size": "noRepeatNgramSize",
    seed: "seed",
    "num-beams": "numBeams",
    "length-penalty": "lengthPenalty",
    "num-return-sequences": "numReturnSequences",
    logprobs: "logprobs",
    "max-time": "maxTime",
    "penalty-alpha": "penaltyAlpha",
  } as const;
  const options: Record<string, unknown> = { signal };
  for (const [option, name] of Object.entries(names)) {
    if (values.has(option)) options[name] = values.number(option);
  }
  if (values.has("cache-dtype")) options.cacheDType = values.text("cache-dtype");
  if (values.has("stop")) options.stop = values.texts("stop");
  return options as GenerateOptions;
}

/** The command. */
export const generate: Command = {
  name: "generate",
  usage: "[PROMPT] [options]",
  summary: "Continues PROMPT (or standard input) with a GPT-2.",
  positionals: [0, 1],
  options: {
    ...modelOptions,
    "prompt-ids": { value: "1,2,3", help: "the prompt as token ids" },
    "max-new-tokens": {
      short: "n",
      value: "N",
      type: "integer",
      min: 0,
      help: "how many tokens to make at most",
    },
    temperature: {
      value: "T",
      type: "number",
      min: 0,
      help: "wildness; 0 takes the likeliest token each time",
    },
    "top-k": { value: "K", type: "integer", min: 0, help: "draw from the K likeliest tokens (0: all)" },
    "top-p": {
      value: "P",
      type: "number",
      min: 0,
      max: 1,
      help: "draw from the likeliest that together reach P",
    },
    "min-p": {
      value: "P",
      type: "number",
      min: 0,
      max: 1,
      help: "drop tokens less likely than P times the likeliest",
    },
    "repetition-penalty": {
      value: "R",
      type: "number",
      min: 0,
      help: "above 1 makes repetition less likely",
    },
    "typical-p": {
      value: "P",
      type: "number",
      min: 0,
      max: 1,
      help: "draw from the tokens of most typical surprise that together reach P",
    },
    "frequency-penalty": {
      value: "X",
      type: "number",
      help: "a token's logit loses X for each time it came",
    },
    "presence-penalty": { value: "X", type: "number", help: "a token's logit loses X when it came" },
    "no-repeat-ngram-size": {
      value: "N",
      type: "integer",
      min: 0,
      help: "no N tokens in a row appear twice",
    },
    seed: { value: "N", type: "integer", min: 0, help: "makes the result reproducible" },
    stop: { value: "TEXT", multiple: true, help: "end before this text (may be given again)" },
    "num-beams": { value: "N", type: "integer", min: 1, help: "beam search with N beams" },
    "length-penalty": {
      value: "X",
      type: "number",
      help: "beams are scored by their log-probability over length to the power of X (default 1)",
    },
    "num-return-sequences": {
      value: "N",
      type: "integer",
      min: 1,
      help: "so many texts: draws (of seed, seed + 1, …), or the best beams",
    },
    logprobs: {
      value: "N",
      type: "integer",
      min: 0,
      help: "with --json, log-probabilities of the tokens and of the N likeliest at their places",
    },
    "penalty-alpha": {
      value: "A",
      type: "number",
      min: 0,
      max: 1,
      help: "contrastive search: of --top-k candidates the one that says something new (0.6 is usual)",
    },
    "cache-dtype": {
      value: "DTYPE",
      choices: ["f32", "f16", "bf16", "q8"],
      help: "store keys and values so (default f32); eval --cache-dtype tells what it costs",
    },
    "max-time": { value: "S", type: "number", min: 0, help: "begin no token after S seconds" },
  },
  async run(values, positionals) {
    const prompt = await promptOf(values, positionals);
    const controller = new AbortController();
    const remove = onStop(() => controller.abort());
    try {
      const { model, name, device, loadMs } = await loadModel(values, controller.signal);
      const options = optionsOf(values, controller.signal);
      if (options.logprobs !== undefined && !values.flag("json")) {
        throw new UsageError("--logprobs are told with --json only");
      }
      const several = (options.numReturnSequences ?? 1) > 1;
      if (values.flag("json")) {
        const of = { model: name, device, dtype: model.wte.weight.dtype, loadMs };
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
    } finally {
      remove();
    }
  },
};

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
  return `loaded in ${loadMs.toFixed(0)} ms; prompt ${result.promptIds.length} tokens at ${
    prefill.toFixed(0)
  }/s; ` +
    `${result.ids.length} new tokens at ${decode.toFixed(0)}/s; ended by ${result.finishReason}` +
    (memory === undefined ? "" : `; ${(memory / 1e6).toFixed(0)} MB of memory`);
}
