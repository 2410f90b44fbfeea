/**
 * A model in a GGUF: what the notes describe as a config.json would, and the weights under its parameters' names.
 *
 * @module
 */
import { blockValues, byteSize, type DType, isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import { isBlockType } from "../files/gguf/mod.ts";
import { convertBytes } from "../files/mod.ts";
import { type ExpectedTensors, tellUnused } from "../models/checkpoint.ts";
import { ggufConfig, ggufShapes, type GgufWeight, ggufWeight } from "../models/gguf.ts";
import { add, copyInto, empty, indexSelect, reshape, type Tensor, tensor, transpose } from "../ops/mod.ts";
import { isTurned, noGrad, tidy } from "../tensor/mod.ts";
import type { Gguf } from "./gguf.ts";
import type { WeightSource } from "./read_weights.ts";

/** Factors of angles that stand among the tensors. */
const factorNames = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/** The `rope_scaling` that a file's tensors say: Llama 3's factors, already worked out, or LongRoPE's. */
async function scalingOf(file: Gguf, original: unknown): Promise<Record<string, unknown> | null> {
  const list = async (name: string): Promise<number[]> => {
    using factors = await file.tensor(name, { dtype: "f32", device: "cpu" });
    return Array.from(await factors.data() as Float32Array);
  };
  const [fixed, short, long] = factorNames, rest = { original_max_position_embeddings: original };
  if (file.has(fixed)) {
    // One list for texts of any length.
    const factors = await list(fixed);
    return {
      rope_type: "longrope",
      short_factor: factors,
      long_factor: factors,
      attention_factor: 1,
      ...rest,
    };
  }
  if (!file.has(long)) return null;
  return {
    rope_type: "longrope",
    short_factor: await list(short),
    long_factor: await list(long),
    attention_factor: file.metadata.get(
      `${file.metadata.get("general.architecture")}.rope.scaling.attn_factor`,
    ),
    ...rest,
  };
}

/**
 * What a config.json would say of the model in a file.
 * @throws {FormatError} for an architecture that is not known.
 */
export async function ggufJson(file: Gguf): Promise<Record<string, unknown>> {
  const [where] = file.files, json = ggufConfig(file.metadata, file.names, where);
  const original = json.original_max_position_embeddings ?? json.max_position_embeddings;
  const scaling = await scalingOf(file, original);
  return scaling === null ? json : { ...json, rope_scaling: scaling };
}

/**
 * Reads blocks as they lie in the file, or numbers made blocks. Each row has its own, and rows may be held in another order, and so
 * may columns where whole blocks stay side by side.
 */
async function readBlocks(file: Gguf, weight: GgufWeight, target: Tensor): Promise<void> {
  const { name, rows, columns, rest } = weight, { backend, buffer, dtype, size, shape } = target;
  const length = byteSize(dtype, size), view = file.view(name);
  const memory = rows || columns || rest ? undefined : backend.mapped?.(buffer);
  if (memory) return void await view.read(dtype, memory.subarray(0, length));
  const bytes = new Uint8Array(length);
  const own = await view.read(dtype);
  bytes.set(own);
  if (rest) bytes.set(await file.view(rest.name).read(dtype), own.length);
  let ordered = bytes;
  if (rows) ordered = inOrder(bytes, shape[0], rows);
  if (columns) {
    const values = isQuantized(dtype) ? blockValues(dtype) : 1, each = shape[1] / values;
    ordered = inOrder(ordered, shape[0] * each, (i) => {
      const row = Math.floor(i / each);
      return row * each + columns.order(i % each * values) / values;
    });
  }
  backend.upload(buffer, 0, ordered);
}

/** `count` pieces of equal length; piece i is piece `of(i)` of `bytes`. */
function inOrder(bytes: Uint8Array, count: number, of: (i: number) => number): Uint8Array<ArrayBuffer> {
  const width = bytes.length / count, out = new Uint8Array(bytes.length);
  for (let i = 0; i < count; i++) {
    const from = of(i) * width;
    out.set(bytes.subarray(from, from + width), i * width);
  }
  return out;
}

/** Whether whole blocks of `dtype` stay side by side where columns are held in another order. */
const isWhole = ({ columns }: GgufWeight, dtype: DType): boolean =>
  !columns || !isQuantized(dtype) || columns.run % blockValues(dtype) === 0;

/** Reads numbers, and makes what `target` is of them where its blocks are cut otherwise than those of the file. */
async function readApart(file: Gguf, weight: GgufWeight, target: Tensor): Promise<void> {
  using floats = empty(target.shape, { dtype: "f32", device: "cpu" });
  await readBlocks(file, weight, floats);
  const values = await floats.data() as Float32Array;
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const made = new Uint8Array(byteSize(target.dtype, target.size));
  convertBytes("f32", target.dtype, raw, made, `tensor "${weight.name}" of ${file.files[0]}`);
  target.backend.upload(target.buffer, 0, made);
}

/** Reads a parameter's values into it. */
async function readWeight(file: Gguf, weight: GgufWeight, target: Tensor): Promise<void> {
  const { name, rows, plus, transposed, flat, stacked, columns, rest, map } = weight;
  if (!isWhole(weight, target.dtype)) return await readApart(file, weight, target);
  const isPlain = isQuantized(target.dtype) && !plus && isTurned(target) === (transposed ?? false);
  if (isPlain || columns || rest) return await readBlocks(file, weight, target);
  using stored = await file.tensor(name, { dtype: target.dtype, device: target.device });
  const given = map ? Float32Array.from(await stored.data() as Float32Array, map.to) : null;
  noGrad(() =>
    tidy(() => {
      let values = given ? tensor(given, { shape: stored.shape, device: target.device }) : stored;
      if (rows) {
        const index = tensor(Int32Array.from({ length: values.shape[0] }, (_, row) => rows(row)), {
          device: target.device,
        });
        values = indexSelect(values, 0, index);
      }
      if (plus) values = add(values, plus);
      // Blocks lie in memory as in the file, and the model sees their transpose.
      if (transposed) values = transpose(values, 0, 1);
      if (flat !== undefined || stacked !== undefined) values = reshape(values, target.shape);
      copyInto(values, target);
    })
  );
}

/** Weights from a GGUF. */
export interface GgufSource extends WeightSource {
  /** Types of blocks that were read as numbers. */
  readonly widened: ReadonlySet<string>;
}

/**
 * The weights of a file, for a network that expects these. `warn` hears of tensors beside them, which are not used.
 *
 * @throws {FormatError} listing tensors that are missing, misshapen, or of no parameter.
 */
export function ggufSource(
  file: Gguf,
  config: unknown,
  expected: ExpectedTensors,
  title: string,
  warn: (message: string) => void,
): GgufSource {
  const [where] = file.files, architecture = String(file.metadata.get("general.architecture"));
  const weights = new Map<string, GgufWeight>(), missing: string[] = [], wrong: string[] = [];
  for (const parameter of expected.names()) {
    const weight = ggufWeight(parameter, config, architecture), shape = expected.shape(parameter)!;
    weights.set(parameter, weight);
    for (const [name, wanted] of ggufShapes(shape, weight)) {
      if (!file.has(name)) missing.push(`${name} ${formatShape(wanted)}`);
      else if (!sameShape(file.info(name).shape, wanted)) {
        wrong.push(`${name} is ${formatShape(file.info(name).shape)}, expected ${formatShape(wanted)}`);
      }
    }
    // A hostile count of layers is not followed to its end.
    if (missing.length > file.names.length) break;
  }
  const names = [...weights.values()].flatMap(({ name, rest }) => rest ? [name, rest.name] : [name]);
  const used = new Set([...names, ...factorNames]);
  const others = missing.length ? [] : file.names.filter((name) => !used.has(name));
  const guessing = file.metadata.get(`${architecture}.nextn_predict_layers`);
  const last = Number(file.metadata.get(`${architecture}.block_count`)) - (Number(guessing) || 0);
  // Layers behind the last one guess further tokens.
  const isGuessing = (name: string): boolean => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1) >= last;
  const unexpected = others.filter((name) =>
    /^(?:blk|token_embd|position_embd|output|output_norm)\./.test(name) && !isGuessing(name)
  );
  const complaints = Object.entries({ missing, unexpected, wrong }).filter(([, list]) => list.length > 0)
    .map(([what, list]) => `${what}: ${list.slice(0, 20).join(", ")}${list.length > 20 ? " and more" : ""}`);
  if (complaints.length > 0) {
    throw new FormatError(
      `${where} does not hold the model that its notes describe; ${complaints.join("; ")}`,
    );
  }
  const unused = others.filter((name) => !unexpected.includes(name)).map((name) => file.info(name));
  tellUnused(unused, title, where, warn);
  const of = (parameter: string): GgufWeight => weights.get(parameter)!, widened = new Set<string>();
  return {
    name: where,
    widened,
    bytesOf(parameter) {
      const { name, rest } = of(parameter);
      return file.info(name).byteLength + (rest ? file.info(rest.name).byteLength : 0);
    },
    heldAs(parameter, made) {
      const weight = of(parameter), held = heldAs(file.info(weight.name), made);
      // Two matrices of one parameter may be of two types, and blocks cut by the order of columns are made anew.
      const isAlike = !weight.rest || file.info(weight.rest.name).dtype === file.info(weight.name).dtype;
      if (isAlike && isWhole(weight, held)) return held;
      return isQuantized(held) && isWhole(weight, "q8") ? "q8" : "f32";
    },
    read(parameter, target) {
      const weight = of(parameter), { type } = file.info(weight.name);
      if (isBlockType(type) && !isQuantized(target.dtype)) widened.add(type);
      return readWeight(file, weight, target);
    },
  };
}

/** Blocks that the kernels read are held as they are, others as numbers. */
function heldAs({ dtype }: { dtype: DType }, made: DType): DType {
  if (isQuantized(dtype)) return isQuantized(made) ? dtype : "f32";
  return dtype === "f16" || dtype === "bf16" ? dtype : "f32";
}
