/**
 * The families behind `CausalLM`, and the formats their weights come in.
 *
 * All of it is imported by name: a bundler leaves it out of a page that names no `CausalLM`, which it cannot do with what is
 * imported when it is asked for.
 *
 * @module
 */
import { byteSize, isQuantized } from "../core/dtype.ts";
import { DeviceError, OptionError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import { sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { onAllRanks } from "../core/on_all_ranks.ts";
import type { Family, ModelSizes } from "../models/family.ts";
import { familyOf, familyOfConfig } from "../models/registry.ts";
import type { CausalNetwork } from "../models/mod.ts";
import type { LayerOptions } from "../nn/mod.ts";
import { layerOptions } from "../nn/options.ts";
import type { Openable } from "../platform/platform.ts";
import { backendOf } from "../tensor/mod.ts";
import { ggufTokenizer } from "../text/gguf_tokenizer.ts";
import type { CausalLM } from "./causal_lm.ts";
import { companionsOfGguf } from "./companions.ts";
import { type Gguf, openGguf } from "./gguf.ts";
import { ggufJson, type GgufSource, ggufSource } from "./gguf_source.ts";
import { isFirstGguf, isGguf } from "./gguf_text.ts";
import {
  changesOf,
  checkLoad,
  demandConfig,
  loadFromFolder,
  type Make,
  modelFrom,
  openModel,
} from "./load_model.ts";
import type { LoadOptions } from "./load_options.ts";
import { demandNoHub, type GivenFiles } from "./model_folder.ts";
import { checkTokenizer } from "./model_generation.ts";

const size = whole(1),
  sizesTable: OptionTable<ModelSizes> = {
    vocabSize: required(size),
    contextLength: required(size),
    width: required(size),
    layers: required(size),
    heads: required(size),
    kvHeads: size,
    innerWidth: size,
    endTokenId: whole(0),
  };
const sizeOptions: OptionTable<LayerOptions & { dropout?: number }> = {
  ...layerOptions,
  dropout: number({ from: 0, below: 1 }),
};

type Options = LoadOptions<Readonly<Record<string, unknown>>>;

/** The class of the models, which says itself what it needs of this file. */
export type ModelClass = new (network: CausalNetwork, family: Family<object, CausalNetwork>) => CausalLM;

/** Makes a model of a family. */
function makeOf(Model: ModelClass, family: Family): Make<object, CausalLM> {
  return (config, place) => new Model(family.network(config, place), family as Family<object, CausalNetwork>);
}

/** Refuses a model that its device cannot hold, before the first of its weights is made. */
function demandRoom(where: string, family: Family<object>, config: object, place: LayerOptions): void {
  const { name, maxMemory, capacity = Infinity } = backendOf(place.device),
    room = Math.min(maxMemory, capacity);
  // A block of q4 takes 4.5 bits a weight.
  const least = isQuantized(place.dtype ?? "f32") ? 4.5 / 8 : byteSize(place.dtype ?? "f32", 1);
  const expected = family.expected(config);
  let parameters = 0;
  for (const tensor of expected.names()) {
    parameters += sizeOf(expected.shape(tensor)!);
    if (parameters * least > room) {
      throw new DeviceError(
        `${where}: a ${family.title} of these sizes has more than ${
          counted(parameters, "parameter")
        }, expected at most ` +
          `${
            Math.floor(room / least)
          }, which ${name} can hold; take a smaller width, fewer layers, or fewer tokens`,
      );
    }
  }
}

/** See `CausalLM.fromConfig`. */
export function fromConfig(
  Model: ModelClass,
  config: Readonly<Record<string, unknown>>,
  options: LayerOptions,
): CausalLM {
  checkOptions("CausalLM.fromConfig", options, layerOptions);
  const family = familyOfConfig(config, "config") as Family<object>, parsed = family.parse(config, "config");
  demandRoom("CausalLM.fromConfig", family, parsed, options);
  return makeOf(Model, family)(parsed, options);
}

/** See `CausalLM.fromSizes`. */
export function fromSizes(
  Model: ModelClass,
  type: string,
  sizes: ModelSizes,
  options: LayerOptions & { dropout?: number },
): CausalLM {
  const { dropout, ...place } = checkOptions("CausalLM.fromSizes", options, sizeOptions);
  const given = checkOptions("CausalLM.fromSizes", sizes, sizesTable);
  const family = familyOf(type, "CausalLM.fromSizes") as Family<object>;
  const config = family.parse(family.sized(given), "CausalLM.fromSizes", family.dropout(dropout ?? 0));
  const { kvHeads } = given;
  if (kvHeads !== undefined && (config as { kvHeads?: number }).kvHeads !== kvHeads) {
    throw new OptionError(
      `CausalLM.fromSizes: ${type} has as many heads of keys as of queries; leave kvHeads ${kvHeads} out`,
    );
  }
  demandRoom("CausalLM.fromSizes", family, config, place);
  return makeOf(Model, family)(config, place);
}

/** See `CausalLM.load`. */
export async function loadAny(
  Model: ModelClass,
  where: string | URL | GivenFiles | Openable,
  options: Options,
): Promise<CausalLM> {
  const given = checkLoad("CausalLM.load", options), { distributed, device = "cpu" } = given;
  const ranks = distributed?.size ?? 1;
  if (ranks > 1 && isGguf(where)) {
    throw onAllRanks(
      new OptionError("CausalLM.load: a GGUF is not split over ranks; convert it to a folder of safetensors"),
    );
  }
  if (ranks > 1 && device !== "cpu") {
    throw onAllRanks(
      new OptionError(`CausalLM.load: device is "${device}", and layers are split over ranks on "cpu" alone`),
    );
  }
  if (isGguf(where)) demandNoHub(where, given);
  if (isGguf(where)) return await loadGguf(Model, await openGguf(where), given);
  const open = await openModel(where as string | URL | GivenFiles, given);
  if (open.json === null && ranks === 1) {
    const alone = await open.folder.only?.(isFirstGguf);
    if (alone) return await loadGguf(Model, await openGguf(alone), given);
  }
  const whole = familyOfConfig(demandConfig(open), `${open.folder.name}/config.json`) as Family<object>;
  const family = distributed?.part(whole) ?? whole;
  const load = (): Promise<CausalLM> => loadFromFolder(open, family, given, makeOf(Model, family));
  return await (distributed?.patiently(load) ?? load());
}

/** A model from a GGUF, which is closed. */
async function loadGguf(Model: ModelClass, file: Gguf, options: Options): Promise<CausalLM> {
  try {
    const [where] = file.files, json = await ggufJson(file);
    const family = familyOfConfig(json, where) as Family<object>;
    const config = family.parse(json, where, changesOf(family, options), options.onWarning);
    const { onWarning: warn = console.warn } = options;
    const source = ggufSource(file, config, family.expected(config), family.title, warn);
    const tokenizer = ggufTokenizer(file.metadata, where);
    const matrices = file.names.map((name) => file.info(name)).filter(({ shape }) => shape.length > 1);
    const types = new Set<string>(matrices.map(({ dtype }) => dtype));
    const model = await modelFrom(source, types, family, config, options, makeOf(Model, family));
    tellOfWidened(where, model, source, options);
    model.tokenizer = checkTokenizer(tokenizer, model.vocabSize, where, options.onWarning);
    const { eos } = family.ends(config);
    model.generationConfig = eos === null ? {} : { eosTokenId: eos as number | number[] };
    model.companions = companionsOfGguf(file.metadata, where, model.tokenizer);
    return model;
  } finally {
    await file.close();
  }
}

/** Says once which blocks the device does not multiply with, and so holds as numbers. */
function tellOfWidened(
  where: string,
  { device }: CausalLM,
  { widened }: GgufSource,
  { dtype, onWarning = console.warn }: Options,
): void {
  if (widened.size === 0 || dtype !== undefined) return;
  onWarning(
    `${where}: matrices of ${
      [...widened].join(", ")
    } are held as f32 on ${device} and take more memory than the file; ` +
      'load with { dtype: "q8" } or "q4" to hold them in blocks',
  );
}
