/**
 * A model from its files, whatever its family: what they say is checked before anything of the model's size is made.
 *
 * @module
 */
import { type DType, isK, isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { checkTogether } from "../files/mod.ts";
import { matchNames } from "../models/checkpoint.ts";
import { inPieces } from "../models/decoder/experts.ts";
import type { Family } from "../models/family.ts";
import { layOutWeights } from "../models/layout.ts";
import type { CausalNetwork } from "../models/mod.ts";
import { digestNote } from "../models/notes.ts";
import { depthOf, matrixPlaces } from "../nn/matrices.ts";
import { init, type LayerOptions } from "../nn/mod.ts";
import { tellUnquantized } from "../nn/quantized.ts";
import { readyToHold } from "../ops/blocks.ts";
import { readyDevice } from "./choose_device.ts";
import { companionsIn } from "./companions.ts";
import { type LoadOptions, loadOptions } from "./load_options.ts";
import { type GivenFiles, type ModelFolder, openFolder, readJson } from "./model_folder.ts";
import { checkTokenizer, generationOf } from "./model_generation.ts";
import { readWeights, safetensorsSource, type WeightSource } from "./read_weights.ts";
import type { TextModel } from "./text_model.ts";
import { tokenizerOf } from "./tokenizer.ts";
import { openWeights } from "./weights.ts";

/** Makes the model around a network of a configuration. */
export type Make<C, M> = (config: C, options: LayerOptions) => M;

/** A folder of a model, and what its config.json says. */
export interface OpenModel {
  readonly folder: ModelFolder;
  /** Null when there is no config.json. */
  readonly json: Readonly<Record<string, unknown>> | null;
}

/** Checks the options of a load. */
export function checkLoad<C extends object>(what: string, options: LoadOptions<C>): LoadOptions<C> {
  return checkOptions(what, options as LoadOptions, loadOptions) as LoadOptions<C>;
}

/** Opens a model's folder, wherever it is. */
export async function openModel(
  where: string | URL | GivenFiles,
  { dtype: _, device: _d, config: _c, dropout: _p, onProgress, onWarning: _w, ...rest }: LoadOptions<object>,
): Promise<OpenModel> {
  const folder = await openFolder(where, {
    ...rest,
    ...(onProgress ? { onDownload: (file) => onProgress({ phase: "download", ...file }) } : {}),
  });
  const json = await readJson(folder, "config.json");
  if (json !== null && (typeof json !== "object" || Array.isArray(json))) {
    throw new FormatError(`${folder.name}/config.json: expected an object with the model's configuration`);
  }
  return { folder, json: json as OpenModel["json"] };
}

/** @throws {FormatError} saying that a folder is none of a model. */
export function demandConfig({ folder, json }: OpenModel): Readonly<Record<string, unknown>> {
  if (json === null) throw new FormatError(`${folder.name} holds no config.json; it is not a model's folder`);
  return json;
}

/** What the options change of a config.json. */
export function changesOf<C>(
  family: Family<C>,
  { config, dropout }: LoadOptions<object>,
): Readonly<Record<string, unknown>> {
  return { ...(dropout === undefined ? {} : family.dropout(dropout)), ...config };
}

/** The model in a folder of safetensors. */
export async function loadFromFolder<C extends object, N extends CausalNetwork, M extends TextModel<N>>(
  open: OpenModel,
  family: Family<C, N>,
  options: LoadOptions<object>,
  make: Make<C, M>,
): Promise<M> {
  const { folder } = open, json = demandConfig(open), where = `${folder.name}/config.json`;
  const config = family.parse(json, where, changesOf(family, options), options.onWarning);
  const generation = await generationOf(folder, {
    settings: family.generation(config),
    vocabSize: family.vocabSize(config),
    eos: family.ends(config).eos,
  }, options.onWarning);
  const file = await openWeights(folder);
  try {
    const noted = json[digestNote];
    checkTogether(where, typeof noted === "string" ? noted : null, "the weights", file.digest);
    // Before anything of the model's size is made.
    const offered = file.names.map((name) => file.info(name));
    const nameOf = (name: string): string | null => family.parameterName(name, config);
    const { onWarning: warn = console.warn } = options;
    const { title, outer } = family;
    const piecesOf = (name: string): readonly string[] => family.pieces?.(name, config) ?? [name];
    const expected = inPieces(family.expected(config), piecesOf);
    const names = matchNames(offered, expected, nameOf, title, folder.name, warn, outer);
    const stored = new Set<string>([...names.values()].map((name) => file.info(name).dtype));
    const source = safetensorsSource(file, names, folder.name, piecesOf);
    const model = await modelFrom(source, stored, family, config, options, make);
    try {
      const tokenizer = await tokenizerOf(folder);
      model.tokenizer = checkTokenizer(tokenizer, model.vocabSize, folder.name, options.onWarning);
      model.generationConfig = generation;
      model.companions = await companionsIn(folder, model.tokenizer);
    } catch (error) {
      model.dispose();
      throw error;
    }
    return model;
  } finally {
    await file.close();
  }
}

/** The matrices that are not in blocks, tables apart. */
function plainMatrices<C extends object>(
  { network }: TextModel,
  { checkpointName }: Family<C>,
  config: C,
): { name: string; depth: number; held: string }[] {
  return matrixPlaces(network)
    .filter(({ weight, isTable }) => !isTable && weight.shape.length === 2 && !isQuantized(weight.dtype))
    .map((place) => ({
      name: checkpointName(place.name, config),
      depth: depthOf(place),
      held: place.weight.dtype,
    }));
}

const isKName = (dtype: string): boolean => isK(dtype as DType);

/** A model with the weights of a source, of which some are `stored` as these. */
export async function modelFrom<C extends object, N extends CausalNetwork, M extends TextModel<N>>(
  source: WeightSource,
  stored: ReadonlySet<string>,
  family: Family<C, N>,
  config: C,
  options: LoadOptions<object>,
  make: Make<C, M>,
): Promise<M> {
  const { onWarning: warn = console.warn } = options;
  const { device, choice } = await readyDevice(options.device, family, config);
  // Blocks of 256 take the place of q4, which is as large as most of them and fits every row that they do.
  const isLike = (dtype: string): boolean =>
    stored.has(dtype) || (dtype === "q4" && [...stored].some(isKName));
  const like = (["q8", "q4", "f16", "bf16"] as const).find(isLike);
  const dtype: DType = options.dtype ?? like ?? "f32";
  await readyToHold([dtype, ...stored]);
  const model = init.withoutInit(() => make(config, { ...(device ? { device } : {}), dtype }));
  try {
    await readWeights(model.network, source, options as LoadOptions);
    if (model.parameters().some((p) => isQuantized(p.dtype))) {
      for (const p of model.parameters()) if (p.requiresGrad) p.requiresGrad_(false);
    }
    if (options.dtype !== undefined && isQuantized(options.dtype)) {
      tellUnquantized(source.name, options.dtype, plainMatrices(model, family, config), warn);
    }
    layOutWeights(model.network);
    model.deviceChoice = choice;
    return model.eval();
  } catch (error) {
    model.dispose();
    throw error;
  }
}
