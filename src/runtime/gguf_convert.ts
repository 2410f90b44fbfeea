/**
 * Models as GGUF files: from a Hugging Face folder of any family, or from another GGUF.
 *
 * What the file gets is settled from configuration and header alone, and is checked before a byte is written; weights pass
 * through one tensor at a time.
 *
 * @module
 */
import { demandNoMore, demandPath } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import type { JsonObject } from "../core/json.ts";
import { callback, oneOf } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import {
  type GgufNotes,
  type GgufTensorToSave,
  type GgufType,
  ggufTypes,
  isBlockType,
  planGguf,
  typeForRows,
} from "../files/gguf/mod.ts";
import type { SafetensorsFile } from "../files/mod.ts";
import { inPieces, matchNames } from "../models/checkpoint.ts";
import { ggufArchitecture, ggufShapes, ggufWeight } from "../models/gguf.ts";
import { type ArchitectureNotes, architectureNotes } from "../models/gguf_notes.ts";
import { nestedText } from "../models/nested.ts";
import { familyOfConfig } from "../models/registry.ts";
import { isHttp, stat, writeFileAtomic } from "../platform/platform.ts";
import { openGguf } from "./gguf.ts";
import { bytesFor, type Passing, toSave } from "./gguf_passing.ts";
import { textNotes } from "./gguf_text_notes.ts";
import { openFolder, readJson } from "./model_folder.ts";
import { openWeights } from "./weights.ts";

/**
 * Options of {@link convertToGguf}.
 *
 * @category Files
 */
export interface ConvertToGgufOptions {
  /**
   * What matrices are written as: f32, f16, bf16, q8_0, q4_0, q4_k or q6_k. Vectors, norms and position embeddings are f32, as
   * llama.cpp wants them; rows that fill no blocks become what llama.cpp makes of them. Default: as they are held.
   */
  dtype?: string;
  /** Another type for some matrices, by the name in the file; of those without one `dtype` counts. */
  typeOf?: (name: string) => GgufType | undefined;
  /** Hears, in a line each, what the file does not keep, and what llama.cpp does not heed. */
  onWarning?: (message: string) => void;
}

/** What can be asked for. */
export const ggufDTypes: readonly string[] = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"];

const convertOptions: OptionTable<ConvertToGgufOptions> = {
  dtype: oneOf(...ggufDTypes),
  typeOf: callback,
  onWarning: callback,
};

/** `general.file_type` of llama.cpp. */
const fileTypes: Readonly<Partial<Record<GgufType, number>>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q8_0: 7,
  Q4_K: 14,
  Q6_K: 18,
  BF16: 32,
};

/** Names the tensors whose rows fill no blocks, in a line. */
function tellSmaller(
  list: readonly { name: string; type: GgufType }[],
  wanted: GgufType | undefined,
  warn: (text: string) => void,
): void {
  if (wanted === undefined) return;
  const kinds = Map.groupBy(list.filter(({ type }) => type !== wanted && type !== "F32"), ({ type }) => type);
  for (const [type, tensors] of kinds) {
    const [first] = tensors, more = tensors.length > 1 ? ` and ${tensors.length - 1} more` : "";
    warn(
      `rows of ${first.name}${more} fill no blocks of ${wanted} (${
        counted(ggufTypes[wanted].values, "value")
      }), and became ${type}`,
    );
  }
}

/** What is held as f32 whatever is asked for, as llama.cpp wants it: vectors, norms, taps, and positions. */
function isPlain(name: string, shape: Shape): boolean {
  return shape.length < 2 || !name.endsWith(".weight") ||
    /(?:_norm|_gate_inp|_gate_inp_shexp|^position_embd|\.shortconv\.conv|\.ssm_conv1d)\.weight$/.test(name);
}

/** What a tensor is asked to be, by its name. */
type Wanted = (name: string) => GgufType | undefined;

function typeFor(name: string, shape: Shape, held: GgufType, asked: Wanted): GgufType {
  if (isPlain(name, shape)) return "F32";
  const wanted = asked(name);
  return wanted === undefined ? held : typeForRows(wanted, shape.at(-1)!);
}

const heldTypes: Readonly<Record<string, GgufType>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  f64: "F64",
  q8: "Q8_0",
  q4: "Q4_0",
};

/** Rows that are written, by those that are held, where `rows` says the reverse. */
function reversed(rows: (row: number) => number, count: number): Int32Array {
  const out = new Int32Array(count);
  for (let row = 0; row < count; row++) out[rows(row)] = row;
  return out;
}

/** The bytes of tensors of a file, one behind the other. */
async function stackedBytes(file: SafetensorsFile, names: readonly string[]): Promise<Uint8Array> {
  const [first] = names, { dtype, byteLength } = file.info(first);
  if (names.length === 1) return await file.view(first).bytes();
  const out = new Uint8Array(names.length * byteLength);
  // Experts that are not held as the first of them are made so.
  for (const [i, name] of names.entries()) {
    out.set(await file.view(name).read(dtype as "f32"), i * byteLength);
  }
  return out;
}

/** Of which kind the model in a folder is, and its tensors and notes. */
function described(
  json: JsonObject,
  file: SafetensorsFile,
  where: string,
  { of: asked, warn }: Asked,
): { architecture: ArchitectureNotes; tensors: Passing[]; vocabSize: number } {
  const configName = `${where}/config.json`, family = familyOfConfig(json, configName);
  const config = family.parse(json, configName, {}, warn),
    offered = file.names.map((name) => file.info(name));
  const nameOf = (name: string): string | null => family.parameterName(name, config);
  const piecesOf = (parameter: string): readonly string[] =>
    family.pieces?.(parameter, config) ?? [parameter];
  const expected = inPieces(family.expected(config), piecesOf);
  const names = matchNames(offered, expected, nameOf, family.title, where, warn, family.outer);
  const tensors = [...family.expected(config).names()].flatMap((parameter): Passing[] => {
    const given = piecesOf(parameter).map((piece) => names.get(piece)!), [first] = given;
    const { dtype, transposed = false, shape: stored } = file.info(first);
    // Blocks lie in a file as they are multiplied; pieces are of one that no file has.
    const shape = given.length === 1 ? stored : family.expected(config).shape(parameter)!;
    const held = heldTypes[dtype], own = ggufWeight(parameter, config, ggufArchitecture(family.type));
    const turned = (own.transposed ?? false) !== transposed;
    const rows = own.rows ? reversed(own.rows, shape[0]) : null;
    let at = 0;
    return ggufShapes(shape, { ...own, transposed: turned }).map(([name, written]) => {
      const from = at;
      at += written[0];
      return {
        name,
        shape: written,
        held,
        type: typeFor(name, written, held === "F64" ? "F32" : held, asked),
        bytes: () => stackedBytes(file, given),
        transposed: turned,
        ...(rows ? { rows: own.rest ? rows.subarray(from, at) : rows } : {}),
        ...(own.plus ? { plus: -own.plus } : {}),
        ...(own.columns ? { columns: reversed(own.columns.order, written[1]) } : {}),
        ...(own.map ? { map: own.map.back } : {}),
      };
    });
  });
  return {
    architecture: architectureNotes(family.type, config),
    tensors,
    vocabSize: family.vocabSize(config),
  };
}

/** `general.file_type` and what goes with it: by what was asked for, or by what most values are held as. */
function typeNotes(
  tensors: readonly { type: GgufType; shape: Shape }[],
  wanted: GgufType | undefined,
): GgufNotes {
  const sizes = new Map<GgufType, number>();
  for (const { type, shape } of tensors) sizes.set(type, (sizes.get(type) ?? 0) + sizeOf(shape));
  const [most] = [...sizes].sort((a, b) => b[1] - a[1])[0] ?? ["F32"];
  const type = fileTypes[wanted ?? most];
  return {
    ...(type === undefined ? {} : { "general.file_type": type }),
    ...([...sizes.keys()].some(isBlockType) ? { "general.quantization_version": 2 } : {}),
  };
}

async function write(
  path: string | URL,
  tensors: readonly GgufTensorToSave[],
  notes: GgufNotes,
): Promise<number> {
  await writeFileAtomic(path, planGguf(tensors, notes).chunks());
  return tensors.reduce((sum, { type, shape }) => sum + bytesFor(type, sizeOf(shape)), 0);
}

/** What is asked for of all, what of each, and who hears of what is not kept. */
interface Asked {
  readonly wanted: GgufType | undefined;
  readonly of: Wanted;
  readonly warn: (message: string) => void;
}

async function folderToGguf(
  where: string | URL,
  path: string | URL,
  asked: Asked,
): Promise<number> {
  const { wanted, warn } = asked;
  const folder = await openFolder(where), json = await readJson(folder, "config.json") as JsonObject | null;
  if (json === null) throw new FormatError(`${folder.name} holds no config.json; it is not a model's folder`);
  const file = await openWeights(folder);
  try {
    const { architecture, tensors, vocabSize } = described(json, file, folder.name, asked);
    for (const message of architecture.warnings) warn(message);
    tellSmaller(tensors, wanted, warn);
    const vectors = [...architecture.vectors].map(([name, x]): GgufTensorToSave => ({
      name,
      type: "F32",
      shape: [x.length],
      bytes: () => new Uint8Array(x.buffer),
    }));
    return await write(path, [...vectors, ...tensors.map(toSave)], {
      "general.architecture": architecture.architecture,
      "general.type": "model",
      "general.name": folder.name.replace(/[\\/]+$/, "").split(/[\\/]/).at(-1)!,
      ...architecture.notes,
      ...typeNotes(tensors, wanted),
      ...await textNotes(folder, (nestedText(json, "")?.json ?? json) as JsonObject, vocabSize, warn),
    });
  } finally {
    await file.close();
  }
}

async function ggufToGguf(
  where: string | URL,
  path: string | URL,
  { wanted, of, warn }: Asked,
): Promise<number> {
  await using file = await openGguf(where);
  let isChanged = false;
  const tensors = file.names.map((name): Passing => {
    const { type: held, shape } = file.info(name);
    const isWeight = isBlockType(held) || held === "F32" || held === "F16" || held === "BF16";
    const type = isWeight && of(name) !== undefined ? typeFor(name, shape, held, of) : held;
    isChanged ||= type !== held;
    return { name, shape, held, type, bytes: () => file.view(name).bytes() };
  });
  tellSmaller(tensors, wanted, warn);
  const kept = Object.entries(file.notes).filter(([key]) => !/^split\.|^general\.alignment$/.test(key));
  const about = isChanged ? typeNotes(tensors, wanted) : {};
  return await write(path, tensors.map(toSave), { ...Object.fromEntries(kept), ...about });
}

/**
 * Writes a model as a GGUF that llama.cpp reads: a Hugging Face folder (or a repository's name, or a URL) of GPT-2 or any
 * family of decoders, with its tokenizer and chat template, or another GGUF, of which a first part means all. The file
 * appears whole or not at all; weights pass through one tensor at a time.
 *
 * The names and notes: https://github.com/ggml-org/llama.cpp, `convert_hf_to_gguf.py`.
 *
 * @returns the bytes of its tensors.
 * @throws {FormatError} for what is no such model, and for one that llama.cpp would compute otherwise.
 * @throws {OptionError} for an `onWarning` that is no function, and options that do not exist, or values that they do
 *   not take.
 * @throws {FerrotypeError} for a place that cannot be written.
 * @category Files
 */
export async function convertToGguf(
  where: string | URL,
  path: string | URL,
  options: ConvertToGgufOptions = {},
): Promise<number> {
  demandNoMore(arguments, 3, "convertToGguf");
  const { dtype, typeOf, onWarning: warn = () => {} } = checkOptions(
    "convertToGguf",
    options,
    convertOptions,
  );
  demandPath("convertToGguf", where);
  demandPath("convertToGguf", path);
  const wanted = dtype?.toUpperCase() as GgufType | undefined;
  const asked: Asked = { wanted, of: (name) => typeOf?.(name) ?? wanted, warn };
  // A model is a folder, or a repository's name; what is one file is a GGUF.
  const isFile = /\.gguf(?:[?#].*)?$/i.test(String(where)) ||
    (!isHttp(where) && (await stat(where))?.isFile === true);
  return await (isFile ? ggufToGguf : folderToGguf)(where, path, asked);
}
