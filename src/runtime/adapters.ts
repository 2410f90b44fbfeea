/**
 * Adapters in files: PEFT's `adapter_config.json` and `adapter_model.safetensors`, and those of llama.cpp in a GGUF.
 *
 * Loaded when an adapter is: a model without one is as large as it was.
 *
 * @module
 */
import { type DType, isFloat } from "../core/dtype.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape, sameShape, type Shape } from "../core/shape.ts";
import { show } from "../core/show.ts";
import { openFiles, SafetensorsFile } from "../files/mod.ts";
import { hubOptions } from "../hub/options.ts";
import type { Family } from "../models/family.ts";
import type { CausalNetwork } from "../models/mod.ts";
import type * as Adapters from "../nn/lora.ts";
import type { AdapterSet, Lora, LoraLayer } from "../nn/lora.ts";
import type { Tensor } from "../ops/tensor.ts";
import type { Openable } from "../platform/platform.ts";
import { adapterConfigJson, readAdapterConfig } from "./adapter_config.ts";
import { isFirstGguf, isGguf } from "./gguf_text.ts";
import { jsonFile } from "./model_files.ts";
import { demandNoHub, type FolderOptions, type GivenFiles, openFolder, readJson } from "./model_folder.ts";
import type { readInto, tensorToSave } from "./safetensors.ts";
import type { writeBeside } from "./save_weights.ts";

/**
 * Options of `loadAdapter`; all but the first two concern repositories on a hub.
 *
 * @category Models
 */
export interface LoadAdapterOptions extends Omit<FolderOptions, "onDownload"> {
  /** What it is called from now on. Default "default". */
  name?: string;
  /** Hears of fields that nothing is known of. Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

/**
 * Options of `saveAdapter`.
 *
 * @category Models
 */
export interface SaveAdapterOptions {
  /** Which. Default: the one in use. */
  name?: string;
  /** What the files say the adapter belongs to: a hub repository or a path. Default: nothing. */
  baseModel?: string;
}

const { onDownload: _, ...folderOptions } = hubOptions;
const loadOptions: OptionTable<LoadAdapterOptions> = {
  ...folderOptions,
  name: kinds.kind(
    "a name of 1 to 512 characters",
    (x) => typeof x === "string" && x !== "" && x.length <= 512,
  ),
  onWarning: kinds.callback,
};
const saveOptions: OptionTable<SaveAdapterOptions> = { name: kinds.someText, baseModel: kinds.someText };

/**
 * A model, as far as its adapters are concerned, with what works on tensors: a page that loads a model has that at hand, and
 * would fetch it a second time with this module.
 */
export interface Adapted {
  readonly network: CausalNetwork;
  readonly family: Family<object>;
  readonly lora: typeof Adapters;
  readonly withoutInit: <T>(f: () => T) => T;
  readonly readInto: typeof readInto;
  readonly tensorToSave: typeof tensorToSave;
  readonly writeBeside: typeof writeBeside;
  /** Reads a GGUF, where the model's class knows them. */
  readonly openGguf: ((model: Adapted, what: Openable) => Promise<Source>) | null;
}

/** A tensor of a file, by what it is for a layer. */
export interface Offer {
  readonly name: string;
  readonly shape: Shape;
  read(target: Tensor): Promise<void>;
}

/** What a file has for one layer. */
export interface Offers {
  A?: Offer;
  B?: Offer;
  magnitude?: Offer;
}

/** An adapter as its file describes it, whatever the format. */
export interface Source {
  readonly where: string;
  readonly options: Lora["options"];
  /** What there is, by the layer's path. */
  readonly layers: ReadonlyMap<string, Offers>;
  readonly unexpected: readonly string[];
  rank(path: string): number | null;
  alpha(path: string): number;
  close(): Promise<void>;
}

const files = { config: "adapter_config.json", weights: "adapter_model.safetensors" } as const;

/** PEFT's names of tensors: the module, what it is, and perhaps a name of the adapter's. */
const peftName =
  /^(?:base_model\.model\.)?(.+)\.(?:lora_(A|B)(?:\.[^.]+)?\.weight|lora_(magnitude)_vector(?:\.weight)?)$/;

/** What a folder of PEFT's holds. */
async function peftSource(
  model: Adapted,
  where: string | URL | GivenFiles,
  { name: _, onWarning = console.warn, ...options }: LoadAdapterOptions,
): Promise<Source | Openable> {
  const folder = await openFolder(where, options), json = await readJson(folder, files.config);
  if (json === null) {
    const alone = await folder.only?.(isFirstGguf);
    if (alone) return alone;
    throw new FormatError(`${folder.name} holds no ${files.config}; it is not an adapter's folder`);
  }
  const config = readAdapterConfig(json, `${folder.name}/${files.config}`, onWarning);
  const source = await folder.open(files.weights);
  if (!source) {
    throw new FormatError(
      `${folder.name} holds no ${files.weights}; other weight files are not read, convert adapter_model.bin with PEFT`,
    );
  }
  const file = new SafetensorsFile(await openFiles(source));
  const layers = new Map<string, Offers>(), unexpected: string[] = [];
  const { family, network, readInto } = model, adaptable = model.lora.adaptableLayers(network);
  const modules = new Map<string, string>();
  for (const name of file.names) {
    const [, module, matrix, magnitude] = peftName.exec(name) ?? [];
    const own = module && family.parameterName(`${module}.weight`, network.config);
    const path = own?.replace(/\.weight$/, "");
    if (!path || !adaptable.has(path)) {
      unexpected.push(name);
      continue;
    }
    const { shape, dtype } = file.info(name), offers = layers.get(path) ?? {};
    const key = magnitude ? "magnitude" : matrix as "A" | "B";
    if (!isFloat(dtype as DType)) unexpected.push(`${name} of ${dtype}`);
    else if (offers[key]) unexpected.push(`${name} (the file also has ${offers[key].name})`);
    else offers[key] = { name, shape, read: (target) => readInto(file, name, target) };
    layers.set(path, offers);
    modules.set(path, module);
  }
  for (const module of modules.values()) {
    const field = config.leavesOut(module);
    if (field === null) continue;
    await file.close();
    throw new FormatError(
      `${folder.name}/${files.config}: ${field} leaves ${module} out, of which ${files.weights} has tensors; PEFT would pass over them: ` +
        "correct the field, or leave the tensors out",
    );
  }
  return {
    where: folder.name,
    options: config.options,
    layers,
    unexpected,
    rank: (path) => config.rank(modules.get(path) as string),
    alpha: (path) => config.alpha(modules.get(path) as string),
    close: () => file.close(),
  };
}

/** At most so many names in a message. */
const mostListed = 20;

/**
 * The rank of each layer.
 * @throws {FormatError} listing what is missing, unexpected and misshapen, before anything is made.
 */
function checkOffers({ network, lora }: Adapted, source: Source): Map<string, number> {
  const adaptable = lora.adaptableLayers(network), ranks = new Map<string, number>();
  const missing: string[] = [], wrong: string[] = [], { dora } = source.options;
  for (const [path, offers] of source.layers) {
    const [from, to] = lora.widthsOf(adaptable.get(path)!);
    const rank = source.rank(path) ?? offers.A?.shape[0] ?? offers.B?.shape[1] ?? 1;
    const wanted: readonly [keyof Offers, Shape][] = [
      ["A", [rank, from]],
      ["B", [to, rank]],
      ...(dora || offers.magnitude ? [["magnitude", [to]] as [keyof Offers, Shape]] : []),
    ];
    for (const [key, shape] of wanted) {
      const offer = offers[key];
      if (!offer) missing.push(`lora_${key} ${formatShape(shape)} of ${path}`);
      else if (!sameShape(offer.shape, shape)) {
        wrong.push(`${offer.name} is ${formatShape(offer.shape)}, expected ${formatShape(shape)}`);
      } else if (key === "magnitude" && !dora) wrong.push(`${offer.name} is there, though use_dora is false`);
    }
    if (rank > 65_536) wrong.push(`${path} has a rank of ${rank}, expected at most 65536`);
    ranks.set(path, rank);
  }
  const complaints = Object.entries({ missing, unexpected: source.unexpected, wrong })
    .filter(([, list]) => list.length)
    .map(([what, list]) =>
      `${what}: ${list.slice(0, mostListed).join(", ")}${list.length > mostListed ? " and more" : ""}`
    );
  if (complaints.length) {
    throw new FormatError(
      `${source.where} does not hold an adapter for this ${network.constructor.name}; ${
        complaints.join("; ")
      }`,
    );
  }
  if (!source.layers.size) throw new FormatError(`${source.where} holds no tensor of an adapter`);
  return ranks;
}

/**
 * What a GGUF holds.
 * @throws {FormatError} where the model's class reads none.
 */
async function ggufSource(model: Adapted, what: Openable): Promise<Source> {
  if (model.openGguf) return await model.openGguf(model, what);
  throw new FormatError(
    "loadAdapter: this model was not made by CausalLM, which alone reads adapters in a GGUF; load it with CausalLM.load, or " +
      "give a folder of PEFT's",
  );
}

/** Reads an adapter and puts it beside the model's layers. See `TextModel.loadAdapter`. */
export async function loadAdapter(
  model: Adapted,
  where: string | URL | GivenFiles | Openable,
  options: LoadAdapterOptions,
): Promise<Lora> {
  const given = checkOptions("loadAdapter", options, loadOptions), { name = "default" } = given;
  const { network, lora, withoutInit } = model;
  const demandFree = (): AdapterSet => {
    const set = lora.adaptersOf(network) ?? new lora.AdapterSet();
    if (!set.all.has(name)) return set;
    throw new OptionError(
      `loadAdapter: the model has an adapter ${
        show(name)
      } already; give this one another name, or deleteAdapter that`,
    );
  };
  demandFree();
  if (isGguf(where)) demandNoHub(where, given);
  const found = isGguf(where) ? where : await peftSource(model, where as string | URL | GivenFiles, given);
  const isSource = typeof found === "object" && "layers" in found;
  const source = isSource ? found : await ggufSource(model, found);
  const parts = new Map<string, LoraLayer>();
  try {
    const ranks = checkOffers(model, source), layers = lora.adaptableLayers(network);
    const { dropout, rslora, dora } = source.options;
    for (const [path, { A, B, magnitude }] of source.layers) {
      const rank = ranks.get(path)!, scale = lora.scaleOf({ rank, alpha: source.alpha(path), rslora });
      const part = withoutInit(() =>
        new lora.LoraLayer(layers.get(path)!, { rank, alpha: source.alpha(path), scale, dropout, dora })
      );
      parts.set(path, part);
      await A!.read(part.lora_A);
      await B!.read(part.lora_B);
      if (magnitude) await magnitude.read(part.lora_magnitude_vector as Tensor);
    }
    const adapter = new lora.Lora(name, source.options, parts).train(network.training);
    demandFree().add(network, adapter);
    return adapter;
  } catch (error) {
    for (const part of parts.values()) part.dispose();
    throw error;
  } finally {
    await source.close();
  }
}

/** Writes an adapter as PEFT does. See `TextModel.saveAdapter`. */
export async function saveAdapter(
  { network, family, lora, tensorToSave, writeBeside }: Adapted,
  dir: string | URL,
  options: SaveAdapterOptions,
): Promise<void> {
  const { name, baseModel = null } = checkOptions("saveAdapter", options, saveOptions);
  const set = lora.adaptersOf(network);
  const adapter = name === undefined ? set?.active : (set ?? new lora.AdapterSet()).get("saveAdapter", name);
  if (!adapter) {
    throw new OptionError(
      "saveAdapter: no adapter is in use; choose one with setAdapter(name), or say { name }",
    );
  }
  const stem = (path: string): string => `base_model.model.${family.modulePath(path)}`;
  const tensors = [...adapter.layers].flatMap(([path, part]) => [
    tensorToSave(`${stem(path)}.lora_A.weight`, part.lora_A),
    tensorToSave(`${stem(path)}.lora_B.weight`, part.lora_B),
    ...(part.lora_magnitude_vector
      ? [tensorToSave(`${stem(path)}.lora_magnitude_vector`, part.lora_magnitude_vector)]
      : []),
  ]);
  const layers = lora.adaptableLayers(network),
    isTurned = (path: string): boolean => lora.isTurned(layers.get(path));
  const modules = [...adapter.layers].map(([path, { options: { rank, alpha } }]) => ({
    path: family.modulePath(path),
    rank,
    alpha,
  }));
  const json = adapterConfigJson(adapter.options, modules, {
    fanInFanOut: [...adapter.layers.keys()].every(isTurned),
    baseModel,
    all: [...layers.keys()].map((path) => family.modulePath(path)),
  });
  const weights = { fileName: files.weights, metadata: { format: "pt" } };
  await writeBeside(dir, tensors, weights, [jsonFile(files.config, json)]);
}
