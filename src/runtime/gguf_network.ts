/**
 * A decoder from a GGUF: what the notes describe, with the weights of the file.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, sameShape } from "../core/shape.ts";
import type { CausalDecoder } from "../models/decoder/causal.ts";
import type { DecoderConfig, DecoderLayerConfig } from "../models/decoder/config.ts";
import { type GgufWeight, ggufWeight } from "../models/gguf.ts";
import { decoderConfig, decoderNetwork } from "../models/registry.ts";
import { init, type LayerOptions, type RopeScaling } from "../nn/mod.ts";
import { add, copyInto, indexSelect, type Tensor, tensor, toDType } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import type { Gguf } from "./gguf.ts";

/** Factors of angles that stand among the tensors: Llama 3's (already worked out), LongRoPE's. */
async function scalingOf(file: Gguf, config: DecoderConfig, original: unknown): Promise<RopeScaling | null> {
  const list = async (name: string): Promise<number[]> => {
    using factors = await file.tensor(name, { dtype: "f32" });
    return Array.from(await factors.data() as Float32Array);
  };
  if (file.has("rope_freqs.weight")) return { ropeType: "factors", factors: await list("rope_freqs.weight") };
  if (!file.has("rope_factors_long.weight")) return null;
  return {
    ropeType: "longrope",
    longFactor: await list("rope_factors_long.weight"),
    shortFactor: await list("rope_factors_short.weight"),
    originalMaxPositionEmbeddings: typeof original === "number" ? original : config.maxPositions,
  };
}

/** The configuration with `scaling` in the place of its own. */
function withScaling(config: DecoderConfig, scaling: RopeScaling | null): DecoderConfig {
  if (scaling === null) return config;
  const made = new Map<DecoderLayerConfig["rotary"], DecoderLayerConfig["rotary"]>();
  for (const { rotary } of config.layers) if (rotary) made.set(rotary, { ...rotary, scaling });
  return {
    ...config,
    layers: config.layers.map((layer) => ({ ...layer, rotary: made.get(layer.rotary) ?? null })),
  };
}

/** Reads a parameter's values into it. */
async function readWeight(file: Gguf, { name, rows, plus }: GgufWeight, target: Tensor): Promise<void> {
  const { shape } = file.info(name);
  if (!sameShape(shape, target.shape)) {
    throw new FormatError(
      `${file.files[0]}: ${name} is ${formatShape(shape)}, expected ${formatShape(target.shape)}`,
    );
  }
  using stored = await file.tensor(name, { dtype: target.dtype, device: target.device });
  noGrad(() =>
    tidy(() => {
      let values = stored;
      if (rows) {
        // Rows of blocks are picked as floats, and are the same blocks again: each row's scales are its own.
        const index = tensor(Int32Array.from({ length: shape[0] }, (_, row) => rows(row)), {
          device: target.device,
        });
        values = indexSelect(isQuantized(values.dtype) ? toDType(values, "f32") : values, 0, index);
      }
      if (plus) values = add(values, plus);
      copyInto(values, target);
    })
  );
}

/** The network that `described` (see `ggufConfig`) says, with the file's weights, held as they are in the file where that can be. */
export async function networkFromGguf(
  file: Gguf,
  described: Record<string, unknown>,
  options: LayerOptions = {},
): Promise<CausalDecoder> {
  const [where] = file.files, read = decoderConfig(described, where);
  const config = withScaling(read, await scalingOf(file, read, described.original_max_position_embeddings));
  const model = init.withoutInit(() => decoderNetwork(config, options));
  try {
    const architecture = String(file.metadata.get("general.architecture"));
    const missing: string[] = [];
    for (const [name, parameter] of model.namedParameters()) {
      const weight = ggufWeight(name, config, architecture);
      if (!file.has(weight.name)) missing.push(weight.name);
      else if (missing.length === 0) await readWeight(file, weight, parameter);
    }
    if (missing.length > 0) {
      throw new FormatError(`${where}: there is no tensor ${missing.slice(0, 5).join(", ")}`);
    }
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
