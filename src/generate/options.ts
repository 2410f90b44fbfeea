/**
 * What one may ask of generation, with the names and defaults of Hugging Face's GenerationConfig.
 *
 * Nothing is ignored: an option that does not exist, or that the others make meaningless, is an error.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { LanguageModelCache } from "./model.ts";

/** Changes logits in place, given all ids so far (prompt and new): a penalty, a constraint. */
export type LogitsProcessor = (ids: readonly number[], logits: Float32Array) => void;

/** Options of generation. */
export interface GenerateOptions {
  /** How many tokens to make at most. Default 20 (Hugging Face's max_length), or the model's generation_config.json. */
  maxNewTokens?: number;
  /** How many before an end-of-text token may come. Default 0. */
  minNewTokens?: number;
  /** Draw at random instead of taking the likeliest. Default: true when a sampling option is given, else false. */
  doSample?: boolean;
  /** Divides the logits; above 1 is wilder. 0 is greedy. Default 1. */
  temperature?: number;
  /** Keep the k likeliest when sampling; 0 keeps all. Default 50. */
  topK?: number;
  /** Keep the likeliest that together reach this probability (Holtzman et al. 2019). Default 1: all. */
  topP?: number;
  /** Drop those below this fraction of the likeliest's probability (Nguyen et al. 2024). Default 0: none. */
  minP?: number;
  /** Divides positive logits of tokens seen before, multiplies negative ones (Keskar et al. 2019). Default 1. */
  repetitionPenalty?: number;
  /** Makes sampling reproducible. Default: from the process's generator. */
  seed?: number;
  /** Texts that end generation; they are cut off. They may span tokens. */
  stop?: string | readonly string[];
  /** Beams of beam search; 1 is none. */
  numBeams?: number;
  /** Tokens that end the text. Default: the model's. An empty list: none. */
  eosTokenId?: number | readonly number[] | null;
  /** Ends generation with a CancelledError. */
  signal?: AbortSignal;
  /** Hears each token as it is chosen, before its text is complete. */
  onToken?: (id: number) => void;
  /** Further changes to the logits, after the built-in penalties and before sampling. */
  logitsProcessors?: readonly LogitsProcessor[];
  /**
   * What happens when the model's positions are used up: "slide" (default) goes on from the later half of the text so
   * far, computed afresh; "error" throws.
   */
  contextOverflow?: "slide" | "error";
  /**
   * A cache of the model (`model.createCache()`) to go on from, and to keep: the prompt is what follows the text it
   * holds, and afterwards it holds the prompt and the new tokens too. Not with beam search. Default: one of its own.
   */
  cache?: LanguageModelCache;
}

/** Options with every default filled in. */
export interface ResolvedOptions extends
  Required<
    Omit<GenerateOptions, "seed" | "stop" | "eosTokenId" | "signal" | "onToken" | "cache">
  > {
  /** The seed of sampling; undefined draws from the process's generator. */
  seed: number | undefined;
  /** Texts that end generation; none is an empty list. */
  stop: readonly string[];
  /** Tokens that end the text; none is an empty list. */
  eosTokenId: readonly number[];
  /** Ends generation with a CancelledError. */
  signal: AbortSignal | undefined;
  /** Hears each token. */
  onToken: ((id: number) => void) | undefined;
  /** A cache that is kept by the caller. */
  cache: LanguageModelCache | undefined;
}

/** Options that a file can hold. */
const fileNames = [
  "maxNewTokens",
  "minNewTokens",
  "doSample",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "stop",
  "numBeams",
  "eosTokenId",
] as const satisfies readonly (keyof GenerateOptions)[];

const names: readonly string[] = [
  ...fileNames,
  "seed",
  "signal",
  "onToken",
  "logitsProcessors",
  "contextOverflow",
  "cache",
] satisfies (keyof GenerateOptions)[];

/** Options that act when sampling, and the value of each that changes nothing. */
const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0 } as const;
const samplingNames = Object.keys(sampling) as (keyof typeof sampling)[];

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * The options in a `generation_config.json`. Its other entries, which speak to other programs, are passed over.
 */
export function generationDefaults(json: unknown): GenerateOptions {
  if (typeof json !== "object" || json === null) return {};
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const own = name === "stop_strings" ? "stop" : camel(name);
    if ((fileNames as readonly string[]).includes(own) && value !== null) found[own] = value;
  }
  return found as GenerateOptions;
}

/** The entries of a `generation_config.json` for the options in `defaults`. */
export function generationJson(defaults: GenerateOptions): Record<string, unknown> {
  const given = fileNames.filter((name) => defaults[name] !== undefined);
  return Object.fromEntries(given.map((name) => {
    return [
      name === "stop" ? "stop_strings" : name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
      defaults[name],
    ];
  }));
}

/** Why the caller's options exclude sampling, or null. */
function notSampling(given: GenerateOptions): string | null {
  if (given.doSample === false) return "doSample: false";
  if (given.temperature === 0) return "temperature: 0";
  return (given.numBeams ?? 1) > 1 ? `numBeams: ${given.numBeams}` : null;
}

function without(options: GenerateOptions, left: readonly string[]): GenerateOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !left.includes(name)));
}

/**
 * Fills in defaults and checks. `defaults` are the model's own (generation_config.json); what the caller says wins,
 * and leaves aside those of them that contradict it.
 *
 * @throws {OptionError} for an unknown name (with the nearest known one), an impossible value, or options that
 * contradict each other.
 */
export function resolveOptions(options: GenerateOptions, defaults: GenerateOptions = {}): ResolvedOptions {
  for (const name of Object.keys(options)) {
    if (!names.includes(name)) {
      throw new OptionError(
        `generate: there is no option "${name}"; did you mean "${nearest(camel(name), names)}"?`,
      );
    }
  }
  const given = Object.fromEntries(
    Object.entries(options).filter(([, v]) => v !== undefined),
  ) as GenerateOptions;
  const asked = samplingNames.filter((name) => given[name] !== undefined), excluded = notSampling(given);
  const idle = asked.filter((name) =>
    given[name] !== sampling[name] && !(name === "temperature" && given[name] === 0)
  );
  if (excluded !== null && idle.length) {
    throw new OptionError(
      `generate: ${idle.join(", ")} only act when sampling, which ${excluded} excludes; leave one out`,
    );
  }
  const samples = excluded === null && (given.doSample ?? asked.length > 0);
  const base = excluded !== null
    ? without(defaults, ["doSample", ...samplingNames])
    : samples
    ? without(defaults, ["numBeams"])
    : defaults;
  const all: GenerateOptions = { ...base, ...given };
  const maxNewTokens = all.maxNewTokens ?? 20;
  const o: ResolvedOptions = {
    maxNewTokens,
    minNewTokens: given.minNewTokens ?? Math.min(base.minNewTokens ?? 0, maxNewTokens),
    doSample: given.doSample ?? (samples || (base.doSample ?? false)),
    temperature: all.temperature ?? 1,
    topK: all.topK ?? 50,
    topP: all.topP ?? 1,
    minP: all.minP ?? 0,
    repetitionPenalty: all.repetitionPenalty ?? 1,
    seed: all.seed,
    stop: all.stop === undefined ? [] : typeof all.stop === "string" ? [all.stop] : all.stop,
    numBeams: all.numBeams ?? 1,
    eosTokenId: all.eosTokenId === undefined || all.eosTokenId === null
      ? []
      : typeof all.eosTokenId === "number"
      ? [all.eosTokenId]
      : all.eosTokenId,
    signal: all.signal,
    onToken: all.onToken,
    logitsProcessors: all.logitsProcessors ?? [],
    contextOverflow: all.contextOverflow ?? "slide",
    cache: all.cache,
  };
  check(o);
  return o;
}

function check(o: ResolvedOptions): void {
  const demand = (ok: boolean, name: keyof ResolvedOptions, expected: string): void => {
    if (!ok) throw new OptionError(`generate: ${name} is ${JSON.stringify(o[name])}, expected ${expected}`);
  };
  const count = (n: number, least: number): boolean => Number.isInteger(n) && n >= least;
  demand(count(o.maxNewTokens, 0), "maxNewTokens", "a whole number from 0");
  demand(count(o.minNewTokens, 0), "minNewTokens", "a whole number from 0");
  demand(o.minNewTokens <= o.maxNewTokens, "minNewTokens", `at most maxNewTokens ${o.maxNewTokens}`);
  demand(typeof o.doSample === "boolean", "doSample", "true or false");
  demand(o.temperature >= 0 && Number.isFinite(o.temperature), "temperature", "a number from 0");
  demand(
    o.temperature > 0 || !o.doSample,
    "temperature",
    "a number above 0 when doSample is true; 0 is greedy",
  );
  demand(count(o.topK, 0), "topK", "a whole number from 0 (0 keeps all)");
  demand(o.topP > 0 && o.topP <= 1, "topP", "a number above 0, up to 1");
  demand(o.minP >= 0 && o.minP <= 1, "minP", "a number from 0 to 1");
  demand(
    o.repetitionPenalty > 0 && Number.isFinite(o.repetitionPenalty),
    "repetitionPenalty",
    "a number above 0",
  );
  demand(
    o.seed === undefined || (Number.isSafeInteger(o.seed) && o.seed >= 0),
    "seed",
    "a whole number from 0",
  );
  demand(
    Array.isArray(o.stop) && o.stop.every((s) => typeof s === "string" && s.length > 0),
    "stop",
    "texts of at least one character",
  );
  demand(count(o.numBeams, 1), "numBeams", "a whole number from 1");
  demand(Array.isArray(o.eosTokenId) && o.eosTokenId.every((id) => count(id, 0)), "eosTokenId", "token ids");
  demand(["slide", "error"].includes(o.contextOverflow), "contextOverflow", `"slide" or "error"`);
  if (o.numBeams === 1) return;
  if (o.doSample) {
    throw new OptionError(
      "generate: numBeams above 1 takes the likeliest text and does not sample; leave one out",
    );
  }
  if (o.cache) throw new OptionError("generate: numBeams above 1 makes caches of its own; leave cache out");
}
