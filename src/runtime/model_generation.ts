/**
 * What a model's folder says of how it wants to generate.
 *
 * @module
 */
import { FormatError, OptionError } from "../core/errors.ts";
import { counted, listed, show } from "../core/show.ts";
import { slicer, type Steps } from "../core/steps.ts";
import { constrainedSoon } from "../generate/constraint/known.ts";
import { asInFile, generationDefaults, idleFields, strangersIn } from "../generate/generation_config.ts";
import { checkVocabulary } from "../generate/given.ts";
import type { GenerateOptions, ResolvedOptions } from "../generate/mod.ts";
import type { Tokenizer } from "../text/mod.ts";
import { type ModelFolder, readJson } from "./model_folder.ts";

/**
 * Fields of ids that no text could follow where they name none of the model's tokens. Ending at one that cannot come, leaving
 * it out or making it likelier is no matter, and only said.
 */
const feltFields = ["forcedBosTokenId", "forcedEosTokenId"];

/**
 * A model's own defaults for generation. Folders of before 2023 have no generation_config.json, and say in config.json what
 * it would.
 *
 * @throws {FormatError} for a field that changes tokens and cannot be honoured, or a value it cannot have.
 */
export async function generationOf(
  folder: ModelFolder,
  { settings, vocabSize, eos }: {
    readonly settings: Readonly<Record<string, unknown>>;
    readonly vocabSize: number;
    readonly eos: number | readonly number[] | null;
  },
  warn: (message: string) => void = console.warn,
): Promise<GenerateOptions> {
  const name = "generation_config.json", json = await readJson(folder, name);
  const where = `${folder.name}/${json === null ? "config.json" : name}`;
  let own: GenerateOptions;
  try {
    own = generationDefaults(json ?? settings, where);
    checkVocabulary(own, vocabSize, where, feltFields, asInFile);
  } catch (error) {
    // What would be a caller's mistake elsewhere is the file's here.
    if (!(error instanceof OptionError)) throw error;
    throw new FormatError(error.message, { cause: error });
  }
  const strangers = json === null ? [] : strangersIn(json);
  for (const [name, advice] of strangers) {
    if (advice === undefined) continue;
    warn(`${where}: there is no field ${show(name)}, so it is passed over; ${advice}`);
  }
  const others = strangers.flatMap(([name, advice]) => advice === undefined ? [show(name)] : []);
  if (others.length > 0) {
    warn(
      `${where}: ${
        others.length === 1
          ? `there is no field ${others[0]}, so it is`
          : `there are no fields ${listed(others)}, so they are`
      } passed over`,
    );
  }
  const { cache_config: bits } = (json ?? {}) as { cache_config?: unknown };
  // Of few bits alone is it heard by Hugging Face, too, and that is refused.
  if (typeof bits === "object" && bits !== null && Object.keys(bits).length > 0) {
    warn(`${where}: cache_config has no effect; say how keys and values are stored as cacheDType`);
  }
  const all = { ...eos === null ? {} : { eosTokenId: eos as number | number[] }, ...own };
  for (const sentence of idleFields(all, vocabSize)) warn(`${where}: ${sentence}`);
  return all;
}

/** Options that add to the result, and change nothing of the text. */
const besideText = ["outputScores", "outputLogits", "returnDictInGenerate"];

/**
 * For what gives less than a whole result: `gives` says so, and what gives that.
 * @throws {OptionError} for an option that adds to a result; `logprobs` are told to `onToken`, too.
 */
export function demandNothingBeside(what: string, options: GenerateOptions, gives: string): void {
  const given = options as Readonly<Record<string, unknown>> | null;
  const idle = besideText.find((name) => given?.[name] === true) ??
    (typeof given?.logprobs === "number" && given.onToken === undefined ? "logprobs" : undefined);
  if (idle === undefined) return;
  const hear = idle === "logprobs" ? ", or hear them with onToken" : "";
  throw new OptionError(`${what}: ${idle} has no effect because ${gives}${hear}`);
}

/** @throws {OptionError} for a prompt that is no list of ids. */
export function demandIds(prompt: unknown): void {
  if (Array.isArray(prompt) || prompt instanceof Int32Array) return;
  throw new OptionError(`generate: the prompt is ${show(prompt)}, expected a text or a list of token ids`);
}

/** The tokenizer; warns of one that makes tokens which the model does not have: it belongs to another one. */
export function checkTokenizer(
  tokenizer: Tokenizer | null,
  vocabSize: number,
  where: string,
  warn: (message: string) => void = console.warn,
): Tokenizer | null {
  if (tokenizer === null || tokenizer.vocabSize <= vocabSize) return tokenizer;
  warn(
    `${where}: the tokenizer has ${
      counted(tokenizer.vocabSize, "token")
    } and the model ${vocabSize}, so it was made for another ` +
      "model, and what it reads and writes here may mean nothing",
  );
  return tokenizer;
}

/** @throws {OptionError} for prompts that are no list. */
export function demandList(prompts: unknown, what = "generate"): void {
  if (Array.isArray(prompts)) return;
  throw new OptionError(
    `${what}: the ${what === "embed" ? "texts" : "prompts"} are ${
      show(prompts)
    }, expected a list of texts or of lists of token ids`,
  );
}

/**
 * Prompts that are ready to be continued, all with the same options.
 *
 * @category Generation
 */
export interface Prepared {
  /** The ids of each. */
  promptIds: number[][];
  /** What is asked for, settled. */
  options: ResolvedOptions;
}

/** Prepares prompts, a slice in each turn of the event loop. `read` reads any of them at once, or takes the ids it became. */
export async function prepareAll(
  prompts: readonly (string | readonly number[])[],
  options: ResolvedOptions,
  tokenizer: Tokenizer | null,
  read: (prompt: string | readonly number[], encoded?: number[]) => number[],
): Promise<Prepared> {
  const all = function* (): Steps<number[][]> {
    const found: number[][] = [];
    for (const prompt of prompts) {
      yield 1 + prompt.length;
      const steps = typeof prompt === "string" && prompt !== ""
        ? tokenizer?.encodeSteps?.(prompt)
        : undefined;
      found.push(steps ? read(prompt, yield* steps) : read(prompt));
    }
    return found;
  };
  return {
    promptIds: await slicer.run(all(), options.signal),
    options: await constrainedSoon(options, tokenizer, options.signal),
  };
}
