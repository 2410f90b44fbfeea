/**
 * What one may ask of generation, with the names and defaults of Hugging Face's GenerationConfig.
 *
 * Nothing is ignored: an option that does not exist, or that the others make meaningless, is an error.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";

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
}

/** Options with every default filled in. */
export interface ResolvedOptions extends
  Required<
    Omit<GenerateOptions, "seed" | "stop" | "eosTokenId" | "signal" | "onToken">
  > {
  seed: number | undefined;
  stop: readonly string[];
  eosTokenId: readonly number[];
  signal: AbortSignal | undefined;
  onToken: ((id: number) => void) | undefined;
}

const names: readonly (keyof GenerateOptions)[] = [
  "maxNewTokens",
  "minNewTokens",
  "doSample",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "seed",
  "stop",
  "numBeams",
  "eosTokenId",
  "signal",
  "onToken",
  "logitsProcessors",
  "contextOverflow",
];

const sampling = ["temperature", "topK", "topP", "minP"] as const;

/** How many single-letter changes make one word of another. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** The entry of `list` that `word` was probably meant to be. */
export function nearest(word: string, list: readonly string[]): string {
  const score = (w: string): number => distance(word.toLowerCase(), w.toLowerCase());
  return [...list].sort((a, b) => score(a) - score(b))[0];
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The entries of a `generation_config.json` that are options here. Others describe other models and are passed over. */
export function generationDefaults(json: unknown): GenerateOptions {
  if (typeof json !== "object" || json === null) return {};
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const own = name === "stop_strings" ? "stop" : camel(name);
    if ((names as readonly string[]).includes(own) && value !== null) found[own] = value;
  }
  return found as GenerateOptions;
}

/**
 * Fills in defaults and checks. `defaults` are the model's own (generation_config.json); what the caller says wins.
 *
 * @throws {OptionError} for an unknown name (with the nearest known one), an impossible value, or options that
 * contradict each other.
 */
export function resolveOptions(options: GenerateOptions, defaults: GenerateOptions = {}): ResolvedOptions {
  for (const name of Object.keys(options)) {
    if (!(names as readonly string[]).includes(name)) {
      throw new OptionError(`generate: there is no option "${name}"; did you mean "${nearest(camel(name), names)}"?`);
    }
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as GenerateOptions;
  const wantsSampling = sampling.some((name) => given[name] !== undefined) && given.temperature !== 0;
  if (given.doSample === false && wantsSampling) {
    const which = sampling.filter((name) => given[name] !== undefined).join(", ");
    throw new OptionError(`generate: ${which} only act when sampling; leave out doSample: false, or leave them out`);
  }
  // Greedy by the caller's word leaves the model's own sampling defaults aside.
  const base = given.doSample === false || given.temperature === 0
    ? Object.fromEntries(Object.entries(defaults).filter(([k]) => !(sampling as readonly string[]).includes(k)))
    : defaults;
  const all: GenerateOptions = { ...base, ...given };
  const o: ResolvedOptions = {
    maxNewTokens: all.maxNewTokens ?? 20,
    minNewTokens: all.minNewTokens ?? 0,
    doSample: given.temperature === 0 ? false : given.doSample ?? (wantsSampling || (defaults.doSample ?? false)),
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
  demand(typeof o.doSample === "boolean", "doSample", "true or false");
  demand(o.temperature >= 0 && Number.isFinite(o.temperature), "temperature", "a number from 0");
  demand(o.temperature > 0 || !o.doSample, "temperature", "a number above 0 when doSample is true; 0 is greedy");
  demand(count(o.topK, 0), "topK", "a whole number from 0 (0 keeps all)");
  demand(o.topP > 0 && o.topP <= 1, "topP", "a number above 0, up to 1");
  demand(o.minP >= 0 && o.minP <= 1, "minP", "a number from 0 to 1");
  demand(o.repetitionPenalty > 0 && Number.isFinite(o.repetitionPenalty), "repetitionPenalty", "a number above 0");
  demand(o.seed === undefined || (Number.isSafeInteger(o.seed) && o.seed >= 0), "seed", "a whole number from 0");
  demand(o.stop.every((s) => typeof s === "string" && s.length > 0), "stop", "texts of at least one character");
  demand(count(o.numBeams, 1), "numBeams", "a whole number from 1");
  demand(o.eosTokenId.every((id) => count(id, 0)), "eosTokenId", "token ids");
  demand(["slide", "error"].includes(o.contextOverflow), "contextOverflow", `"slide" or "error"`);
  if (o.numBeams > 1 && o.doSample) {
    throw new OptionError("generate: numBeams above 1 takes the likeliest text; leave out the sampling options with it");
  }
}
