/**
 * What a model's folder is made of, whatever its family: configuration, weights, defaults of generation, tokenizer.
 *
 * @module
 */
import { type DType, isK, isQuantized } from "../core/dtype.ts";
import { OptionError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import type { TensorToSave } from "../files/mod.ts";
import { generationJson } from "../generate/generation_config.ts";
import type { Family } from "../models/family.ts";
import type { CausalNetwork } from "../models/mod.ts";
import { digestNote } from "../models/notes.ts";
import { depthOf, heldUnder, matrixPlaces } from "../nn/matrices.ts";
import { tellUnquantized } from "../nn/quantized.ts";
import { tokenizerBeside } from "./companions.ts";
import { type SaveOptions, saveOptions } from "./load_options.ts";
import { matrixToSave, storedDType } from "./matrices.ts";
import { type FolderContents, jsonFile } from "./model_files.ts";
import { tensorToSave } from "./safetensors.ts";
import type { TextModel } from "./text_model.ts";

/** A matrix as several of so many rows each; its values are asked for once, with the first of them. */
function apart(whole: TensorToSave, names: readonly string[]): TensorToSave[] {
  const [rows, columns] = whole.shape;
  let left = names.length, all: Promise<Uint8Array> | null = null;
  return names.map((name, i) => ({
    ...whole,
    name,
    shape: [rows / names.length, columns],
    async bytes() {
      all ??= Promise.resolve(whole.bytes());
      const bytes = await all, size = bytes.length / names.length;
      if (--left === 0) all = null;
      return bytes.slice(i * size, (i + 1) * size);
    },
  }));
}

/** The files of a model; `what` asks for them. */
export function contentsOf<N extends CausalNetwork>(
  model: TextModel<N>,
  family: Family<N["config"], N>,
  what: string,
  options: SaveOptions,
): FolderContents {
  const { dtype, shardSize, onWarning = console.warn } = checkOptions(what, options, saveOptions);
  const { config } = model, plain: { name: string; depth: number; held: string }[] = [];
  const places = new Map(matrixPlaces(model.network).map((place) => [place.weight, place]));
  if (model.adapter !== null && !model.isMerged) {
    throw new OptionError(
      `${what}: adapter ${
        JSON.stringify(model.adapter)
      } is in use and no part of the weights; mergeAdapter() puts it into ` +
        "them, setAdapter(null) leaves it out, and saveAdapter(dir) writes it alone",
    );
  }
  // Parts of adapters are parameters of the model, but not of its family.
  const expected = family.expected(config);
  const own = model.namedParameters().filter(([name]) => expected.shape(name) !== undefined);
  const tensors = own.flatMap(([name, p]) => {
    const own = family.checkpointName(name, config), pieces = family.pieces?.(name, config);
    const place = places.get(p);
    if (!place) return [tensorToSave(own, p)];
    const made = matrixToSave(own, p, heldUnder(dtype ?? p.dtype, place), place.isTurned);
    if (
      p.shape.length === 2 && dtype && isQuantized(dtype) && !place.isTable &&
      !isQuantized(made.dtype as DType)
    ) {
      plain.push({ name: own, depth: depthOf(place), held: made.dtype });
    }
    return pieces ? apart(made, pieces.map((piece) => family.checkpointName(piece, config))) : [made];
  });
  const widened = new Set(dtype ? [] : model.parameters().map((p) => p.dtype).filter(isK));
  if (widened.size > 0) {
    onWarning(
      `${what}: blocks of ${[...widened].join(", ")} are written as f32, for safetensors has none such; ` +
        'give { dtype: "q8" } or "q4" for a smaller file',
    );
  }
  if (dtype) tellUnquantized(what, dtype, plain, onWarning);
  const blocks = tensors.map((t) => t.dtype).find((d) => isQuantized(d as DType));
  const stored = (blocks ?? (dtype && !isQuantized(dtype) ? dtype : storedDType(model.dtype))) as DType;
  const { bos, eos } = family.ends(config), json = family.json(config, stored);
  const beside = [
    jsonFile("config.json", (digest: string) => ({ ...json, [digestNote]: digest })),
    jsonFile("generation_config.json", {
      ...(bos === null ? {} : { bos_token_id: bos }),
      ...(eos === null ? {} : { eos_token_id: eos }),
      ...generationJson(model.generationConfig),
    }),
  ];
  const { tokenizer, companions } = model;
  if (tokenizer) beside.push(...tokenizerBeside(tokenizer, companions, model.contextLength));
  return {
    tensors,
    weights: { metadata: { format: "pt" }, ...(shardSize === undefined ? {} : { shardSize }) },
    beside,
  };
}
