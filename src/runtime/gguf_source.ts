/**
 * A model in a GGUF: what the notes describe as a config.json would, and the weights under its parameters' names.
 *
 * @module
 */
import { byteSize, type DType, isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import { isBlockType } from "../files/gguf/mod.ts";
import { type ExpectedTensors, tellUnused } from "../models/checkpoint.ts";
import { ggufConfig, ggufShape, type GgufWeight, ggufWeight } from "../models/gguf.ts";
import { add, copyInto, indexSelect, reshape, type Tensor, tensor, transpose } from "../ops/mod.ts";
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
  return { rope_type: "longrope", short_factor: await list(short), long_factor: await list(long), ...rest };
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

/** Reads blocks as they lie in the file, or numbers made blocks; each row has its own, and rows may be held in another order. */
async function readBlocks(file: Gguf, { name, rows }: GgufWeight, target: Tensor): Promise<void> {
  const { backend, buffer, dtype, size } = target, view = file.view(name), length = byteSize(dtype, size);
  const memory = rows ? undefined : backend.mapped?.(buffer);
  if (memory) return void await view.read(dtype, memory.subarray(0, length));
  const bytes = await view.read(dtype), count = view.shape[0], width = length / count;
  if (!rows) return backend.upload(buffer, 0, bytes);
  const ordered = new Uint8Array(length);
  for (let row = 0; row < count; row++) {
    const from = rows(row) * width;
    ordered.set(bytes.subarray(from, from + width), row * width);
  }
  backend.upload(buffer, 0, ordered);
}

/** Reads a parameter's values into it. */
async function readWeight(file: Gguf, weight: GgufWeight, target: Tensor): Promise<void> {
  const { name, rows, plus, transposed, flat } = weight;
  if (isQuantized(target.dtype) && !plus && isTurned(target) === (transposed ?? false)) {
    return await readBlocks(file, weight, target);
  }
  using stored = await file.tensor(name, { dtype: target.dtype, device: target.device });
  noGrad(() =>
    tidy(() => {
      let values = stored;
      if (rows) {
        const index = tensor(Int32Array.from({ length: stored.shape[0] }, (_, row) => rows(row)), {
          device: target.device,
        });
        values = indexSelect(values, 0, index);
      }
      if (plus) values = add(values, plus);
      // Blocks lie in memory as in the file, and the model sees their transpose.
      if (transposed) values = transpose(values, 0, 1);
      if (flat) values = reshape(values, target.shape);
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
    const wanted = ggufShape(shape, weight);
    if (!file.has(weight.name)) missing.push(`${weight.name} ${formatShape(wanted)}`);
    else if (!sameShape(file.info(weight.name).shape, wanted)) {
      wrong.push(
        `${weight.name} is ${formatShape(file.info(weight.name).shape)}, expected ${formatShape(wanted)}`,
      );
    }
    // A hostile count of layers is not followed to its end.
    if (missing.length > file.names.length) break;
  }
  const used = new Set([...[...weights.values()].map(({ name }) => name), ...factorNames]);
  const others = missing.length ? [] : file.names.filter((name) => !used.has(name));
  const unexpected = others.filter((name) =>
    /^(?:blk|token_embd|position_embd|output|output_norm)\./.test(name)
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
    bytesOf: (parameter) => file.info(of(parameter).name).byteLength,
    heldAs: (parameter, made) => heldAs(file.info(of(parameter).name), made),
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
