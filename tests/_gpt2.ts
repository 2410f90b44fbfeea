/**
 * What the GPT-2 tests share: the recorded tiny model, its golden results, folders to try things in.
 *
 * @module
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DeviceName, GPT2, type GPT2Config, type LoadOptions } from "../mod.ts";
import { dataPath, readDataJson } from "./_data.ts";

/** The folder of the tiny model. */
export const tinyFolder: string = dataPath("gpt2-tiny");

/** A parameter as the golden file tells it. */
export interface GoldenParameter {
  shape: number[];
  l2: number;
  first8: number[];
}

/** `golden.json`. */
export interface Golden {
  prompts: Record<"single" | "batch" | "full_context", { ids: number[][]; last_logits: number[][] }>;
  full_logits: { logits: number[][][] };
  loss: { value: number; grads: Record<string, GoldenParameter> };
  greedy: { new_ids: number[] };
  training: { loss_before: number; loss_after_step: number[]; params_after: Record<string, GoldenParameter> };
}

/** The recorded results. */
export function readGolden(): Golden {
  return readDataJson<Golden>("gpt2-tiny", "golden.json");
}

/** The recorded model. */
export function loadTiny(options: LoadOptions = {}): Promise<GPT2> {
  return GPT2.load(tinyFolder, options);
}

/** At least `length` characters that a model writes from line ends, drawn as it thinks them likely. */
export async function writtenBy(model: GPT2, length: number): Promise<string> {
  const options = { maxNewTokens: model.contextLength - 1, temperature: 1, topK: 0 };
  let text = "";
  for (let seed = 1; text.length < length; seed++) {
    text += `\n${await model.complete("\n", { ...options, seed })}`;
  }
  return text;
}

/** Calls `use` with a new folder, which is gone afterwards. */
export async function inFolder<T>(use: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-test-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Puts the recorded configuration (with `changes`) and one of its files of weights into `folder`. */
export function makeFolder(
  folder: string,
  changes: Record<string, unknown> = {},
  weights: string | null = "model.safetensors",
): string {
  const config = readDataJson<Record<string, unknown>>("gpt2-tiny", "config.json");
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...changes }));
  if (weights) copyFileSync(dataPath("gpt2-tiny", ...weights.split("/")), join(folder, "model.safetensors"));
  return folder;
}

/** A model of a few thousand fresh parameters. */
export function smallModel(config: Partial<GPT2Config> = {}, options: { device?: DeviceName } = {}): GPT2 {
  const sizes = { vocabSize: 11, nPositions: 16, nEmbd: 8, nLayer: 2, nHead: 2, initializerRange: 0.5 };
  return new GPT2({ ...sizes, ...config }, options).eval();
}

/** Throws unless every number lies within `tolerance` of the expected one; `what` is named in the message. */
export function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} numbers instead of ${expected.length}`);
  }
  for (let i = 0; i < expected.length; i++) {
    if (Math.abs(actual[i] - expected[i]) <= tolerance) continue;
    throw new Error(`${what}: number ${i} is ${actual[i]} instead of ${expected[i]}`);
  }
}
