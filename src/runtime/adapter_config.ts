/**
 * `adapter_config.json`, as PEFT writes it: what an adapter counts, layer by layer, and what of it is not read here.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { demand, demandObject } from "../core/json.ts";
import * as kinds from "../core/kinds.ts";
import { counted, show } from "../core/show.ts";
import type { Lora } from "../nn/lora.ts";

/** What a configuration says. */
export interface AdapterConfig {
  /** For layers of which nothing else is said. */
  readonly options: Lora["options"];
  /** The rank of a layer, by transformers' name of it. */
  rank(module: string): number;
  /** Its alpha. */
  alpha(module: string): number;
  /** The field by which PEFT would have no adapter beside the layer, with what it says; null where it has one. */
  leavesOut(module: string): string | null;
}

type Json = Readonly<Record<string, unknown>>;

/** Fields that would change what is computed, with the values that change nothing. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  bias: ["none"],
  modules_to_save: [],
  layer_replication: [],
  lora_bias: [false],
  trainable_token_indices: [],
  target_parameters: [],
  use_qalora: [false],
  alora_invocation_tokens: [],
  use_bdlora: [],
  arrow_config: [],
};

/** Ways to begin that also change the model's own weights, which then are not those of the base. */
const changingBase = /^(pissa|olora|corda|loftq)/;

/** Fields that say how it was trained, or where its layers are, which their names say too. */
const known = new Set([
  ...["alpha_pattern", "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying"],
  ...[
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
  ],
  ...[
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
  ],
  ...["peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config"],
  ...["target_modules", "task_type", "use_dora", "use_rslora", "lora_ga_config", "_custom_modules"],
]);

const isEmpty = (x: unknown): boolean =>
  x === undefined || x === null || (Array.isArray(x) && x.length === 0) ||
  (typeof x === "object" && Object.keys(x).length === 0);

/** The first entry of a pattern table that means `module`, as PEFT looks it up; `missing` where none does. */
function byPattern(entries: readonly (readonly [RegExp, number])[], module: string, missing: number): number {
  return entries.find(([pattern]) => pattern.test(module))?.[1] ?? missing;
}

/** Characters of a pattern, and patterns: what a regular expression may cost is bounded by both. */
const mostPattern = 300, mostPatterns = 4096;

/** Paths, with classes and choices at most: nothing that a search could go wrong in. */
const isPath = (text: string): boolean =>
  text.length <= mostPattern && /^\^?(?:\.\*|[\w.|\\()[\]-])*\$?$/.test(text) && text.split("*").length <= 4;

function patternsOf(json: Json, field: string, of: kinds.Kind, where: string): (readonly [RegExp, number])[] {
  const entries = Object.entries(demandObject(json[field] ?? {}, `${where}: ${field}`));
  if (entries.length > mostPatterns) {
    throw new FormatError(
      `${where}: ${field} has ${
        counted(entries.length, "entry", "entries")
      }, expected at most ${mostPatterns}`,
    );
  }
  return entries.map(([text, value]) => {
    const number = demand(value, of, `${where}: ${field} of ${show(text)}`) as number;
    if (!isPath(text)) {
      throw new FormatError(`${where}: ${field} has ${show(text)}, expected the end of a layer's path`);
    }
    try {
      return [new RegExp(`^(?:.*\\.)?(?:${text})$`), number] as const;
    } catch (cause) {
      throw new FormatError(`${where}: ${field} has ${show(text)}, which is no pattern`, { cause });
    }
  });
}

const listOfText: kinds.Kind = kinds.listOf(kinds.someText, "a list of names");
const aLayer = kinds.whole(0);

/** Whether names of modules, by their ends, or a pattern of whole paths mean a module; null where that is not known. */
function namesIn(value: unknown, where: string): ((module: string) => boolean) | null {
  if (isEmpty(value)) return null;
  if (typeof value !== "string") {
    const names = demand(value, listOfText, where) as string[];
    return (module) => names.some((name) => module === name || module.endsWith(`.${name}`));
  }
  // What Python's patterns mean and cost beyond this is not known here: the names of tensors say where layers are.
  if (value === "all-linear" || !isPath(value)) return null;
  try {
    const pattern = new RegExp(`^(?:${value})$`);
    return (module) => pattern.test(module);
  } catch {
    return null;
  }
}

/** The number of a module's block, as PEFT finds it; null where it has none. */
function blockOf(module: string, names: readonly string[]): number | null {
  for (const name of names.length ? names : ["[^.]*"]) {
    const found = new RegExp(`^.*\\.${name}\\.(\\d+)\\.`).exec(module);
    if (found) return Number(found[1]);
  }
  return null;
}

/** By which field PEFT leaves a module out. */
function leavesOutOf(json: Json, where: string): AdapterConfig["leavesOut"] {
  const of = (field: string): string => `${where}: ${field}`,
    said = (x: string): string => `${x} ${show(json[x])}`;
  const targets = namesIn(json.target_modules, of("target_modules"));
  const excluded = namesIn(json.exclude_modules, of("exclude_modules"));
  const { layers_to_transform: which, layers_pattern: pattern } = json;
  const blocks = isEmpty(which) ? null : Array.isArray(which)
    ? demand(
      which,
      kinds.listOf(aLayer, "a list of numbers of layers"),
      of("layers_to_transform"),
    ) as number[]
    : [demand(which, aLayer, of("layers_to_transform")) as number];
  const names = isEmpty(pattern) || pattern === ""
    ? []
    : demand(typeof pattern === "string" ? [pattern] : pattern, listOfText, of("layers_pattern")) as string[];
  const isKnown = names.every((name) => /^\w+$/.test(name)), whole = json.target_modules;
  return (module) => {
    if (excluded?.(module)) return said("exclude_modules");
    if (targets && !targets(module)) return said("target_modules");
    // Of modules that are named in full, or by a pattern, PEFT has those of all blocks.
    if (!blocks || !isKnown || !Array.isArray(whole) || whole.includes(module)) return null;
    const block = blockOf(module, names);
    return block !== null && blocks.includes(block) ? null : said("layers_to_transform");
  };
}

/**
 * Reads a configuration.
 * @throws {FormatError} for another kind of adapter, and for a field that changes what is computed and is
 * not honoured. `warn` hears of fields that nothing is known of.
 */
export function readAdapterConfig(
  given: unknown,
  where: string,
  warn: (message: string) => void,
): AdapterConfig {
  const json: Json = demandObject(given, where);
  const read = <T>(field: string, of: kinds.Kind, missing?: T): T =>
    json[field] === undefined || json[field] === null
      ? missing !== undefined ? missing : demand(json[field], of, `${where}: ${field}`) as T
      : demand(json[field], of, `${where}: ${field}`) as T;
  const type = read("peft_type", kinds.someText, "LORA");
  if (type !== "LORA") {
    throw new FormatError(`${where}: peft_type is ${show(type)}, and adapters of type "LORA" alone are read`);
  }
  for (const [field, values] of Object.entries(neutral)) {
    const value = json[field];
    if (isEmpty(value) || values.includes(value) || value === false) continue;
    throw new FormatError(
      `${where}: ${field} is ${show(value)}, which is not honoured here; merge it with PEFT`,
    );
  }
  const begin = json.init_lora_weights;
  if (typeof begin === "string" && changingBase.test(begin)) {
    throw new FormatError(
      `${where}: init_lora_weights is ${
        show(begin)
      }, which changed the base model's weights too; convert the adapter with ` +
        "PEFT (save_pretrained with path_initial_model_for_weight_conversion)",
    );
  }
  for (const [field, value] of Object.entries(json)) {
    if (known.has(field) || Object.hasOwn(neutral, field) || isEmpty(value) || value === false) continue;
    warn(`${where}: nothing is known here of ${field} ${show(value)}; it is passed over`);
  }
  const aRank = kinds.whole(1, 65_536), anAlpha = kinds.number({ above: 0 });
  const rank = read<number>("r", aRank), alpha = read<number>("lora_alpha", anAlpha, 8);
  const ranks = patternsOf(json, "rank_pattern", aRank, where);
  const alphas = patternsOf(json, "alpha_pattern", anAlpha, where);
  return {
    options: {
      rank,
      alpha,
      dropout: read("lora_dropout", kinds.number({ from: 0, below: 1 }), 0),
      rslora: read("use_rslora", kinds.flag, false),
      dora: read("use_dora", kinds.flag, false),
    },
    rank: (module) => byPattern(ranks, module, rank),
    alpha: (module) => byPattern(alphas, module, alpha),
    leavesOut: leavesOutOf(json, where),
  };
}

/** What PEFT reads of an adapter whose layers transformers calls `modules`, each with its rank and alpha. */
export function adapterConfigJson(
  { rank, alpha, dropout, rslora, dora }: Lora["options"],
  modules: readonly { readonly path: string; readonly rank: number; readonly alpha: number }[],
  options: {
    readonly fanInFanOut: boolean;
    readonly baseModel: string | null;
    /** The paths of all layers that there are. */
    readonly all: readonly string[];
  },
): Record<string, unknown> {
  const other = (of: "rank" | "alpha", usual: number): Record<string, number> =>
    Object.fromEntries(modules.filter((m) => m[of] !== usual).map((m) => [m.path, m[of]]));
  return {
    alpha_pattern: other("alpha", alpha),
    auto_mapping: null,
    base_model_name_or_path: options.baseModel,
    bias: "none",
    fan_in_fan_out: options.fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: alpha,
    lora_dropout: dropout,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: other("rank", rank),
    revision: null,
    target_modules: targetsOf(modules.map(({ path }) => path), options.all),
    task_type: "CAUSAL_LM",
    use_dora: dora,
    use_rslora: rslora,
  };
}

const lastOf = (path: string): string => path.slice(path.lastIndexOf(".") + 1);

/** The ends of paths that mean these layers: their last names, where no layer of the name is left out, or more of the path. */
function targetsOf(paths: readonly string[], all: readonly string[]): string[] {
  const has = new Set(paths);
  const isWhole = (last: string): boolean => all.every((path) => lastOf(path) !== last || has.has(path));
  return [
    ...new Set(paths.map((path) => {
      const last = lastOf(path);
      return isWhole(last) ? last : /\.\d+\.(.*)$/.exec(path)?.[1] ?? path;
    })),
  ].sort();
}
