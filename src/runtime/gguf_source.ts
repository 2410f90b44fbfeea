/**
 * A model in a GGUF: what the notes describe as a config.json would, and the weights under its parameters' names.
 *
 * @module
 */
import { type DType, isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import type { ExpectedTensors } from "../models/checkpoint.ts";
import { ggufConfig, type GgufWeight, ggufWeight } from "../models/gguf.ts";
import { add, copyInto, indexSelect, type Tensor, tensor, toDType, transpose } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
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

/** What a config.json would say of the model in a file. @throws {FormatError} for an architecture that is not known. */
export async function ggufJson(file: Gguf): Promise<Record<string, unknown>> {
  const [where] = file.files, json = ggufConfig(file.metadata, file.names, where);
  const original = json.original_max_position_embeddings ?? json.max_position_embeddings;
  const scaling = await scalingOf(file, original);
  return scaling === null ? json : { ...json, rope_scaling: scaling };
}

/** Reads a parameter's values into it. */
async function readWeight(
  file: Gguf,
  { name, rows, plus, transposed }: GgufWeight,
  target: Tensor,
): Promise<void> {
  using stored = await file.tensor(name, { dtype: target.dtype, device: target.device });
  noGrad(() =>
    tidy(() => {
      let values = stored;
      if (rows) {
        // Rows of blocks are picked as floats, and are the same blocks again: each row's scales are its own.
        const index = tensor(Int32Array.from({ length: stored.shape[0] }, (_, row) => rows(row)), {
          device: target.device,
        });
        values = indexSelect(isQuantized(values.dtype) ? toDType(values, "f32") : values, 0, index);
      }
      if (plus) values = add(values, plus);
      // Blocks lie in memory as in the file, and the model sees their transpose.
      if (transposed) values = transpose(values, 0, 1);
      copyInto(values, target);
    })
  );
}

/**
 * The weights of a file, for a network that expects these.
 *
 * @throws {FormatError} listing tensors that are missing, misshapen, or of no parameter.
 */
export function ggufSource(file: Gguf, config: unknown, expected: ExpectedTensors): WeightSource {
  const [where] = file.files, architecture = String(file.metadata.get("general.architecture"));
  const weights = new Map<string, GgufWeight>(), missing: string[] = [], wrong: string[] = [];
  for (const parameter of expected.names()) {
    const weight = ggufWeight(parameter, config, architecture), shape = expected.shape(parameter)!;
    weights.set(parameter, weight);
    const wanted = weight.transposed ? [...shape].reverse() : shape;
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
  const unexpected = missing.length ? [] : file.names.filter((name) => !used.has(name));
  const complaints = Object.entries({ missing, unexpected, wrong }).filter(([, list]) => list.length > 0)
    .map(([what, list]) => `${what}: ${list.slice(0, 20).join(", ")}${list.length > 20 ? " and more" : ""}`);
  if (complaints.length > 0) {
    throw new FormatError(
      `${where} does not hold the model that its notes describe; ${complaints.join("; ")}`,
    );
  }
  const of = (parameter: string): GgufWeight => weights.get(parameter)!;
  return {
    name: where,
    bytesOf: (parameter) => file.info(of(parameter).name).byteLength,
    heldAs: (parameter, made) => heldAs(file.view(of(parameter).name), made),
    read: (parameter, target) => readWeight(file, of(parameter), target),
  };
}

/** Blocks that the kernels read are held as they are, others as numbers. */
function heldAs({ info }: { info: { type: string; dtype: DType } }, made: DType): DType {
  const blocks = ggufBlocks[info.type];
  if (blocks !== undefined) return isQuantized(made) ? blocks : "f32";
  return info.dtype === "f16" || info.dtype === "bf16" ? info.dtype : "f32";
}

/** The types of blocks that are this library's own. */
export const ggufBlocks: Readonly<Record<string, DType>> = { Q8_0: "q8", Q4_0: "q4" };
