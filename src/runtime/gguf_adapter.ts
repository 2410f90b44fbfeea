/**
 * LoRA adapters in a GGUF, as llama.cpp's `convert_lora_to_gguf.py` writes them: `blk.0.attn_q.weight.lora_a` and `lora_b`.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { show } from "../core/show.ts";
import { GgufFile } from "../files/gguf/reader.ts";
import { ggufArchitecture, ggufWeight } from "../models/gguf.ts";
import type { Openable } from "../platform/platform.ts";
import type { Adapted, Offers, Source } from "./adapters.ts";
import { openGgufParts } from "./gguf_file.ts";

/**
 * Opens an adapter.
 * @throws {FormatError} for a GGUF that is none of this model.
 */
export async function readGgufAdapter(model: Adapted, what: Openable): Promise<Source> {
  const file = await openGgufParts(what, (parts) => new GgufFile(parts));
  try {
    return sourceOf(model, file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

function sourceOf({ network, family, lora }: Adapted, file: GgufFile): Source {
  const [where] = file.files, { metadata } = file;
  const note = (key: string): unknown => metadata.get(key);
  const architecture = ggufArchitecture(family.type);
  const said = { "general.type": "adapter", "adapter.type": "lora", "general.architecture": architecture };
  for (const [key, value] of Object.entries(said)) {
    if (note(key) === value) continue;
    throw new FormatError(
      `${where}: ${key} is ${show(note(key))}, expected ${show(value)} for an adapter of this model`,
    );
  }
  const alpha = note("adapter.lora.alpha");
  if (typeof alpha !== "number" || !(alpha > 0)) {
    throw new FormatError(`${where}: adapter.lora.alpha is ${show(alpha)}, expected a number above 0`);
  }
  const layers = new Map<string, Offers>(), used = new Set<string>();
  for (const [path, layer] of lora.adaptableLayers(network)) {
    const weight = ggufWeight(`${path}.weight`, network.config, architecture), offers: Offers = {};
    const [, to] = lora.widthsOf(layer);
    for (const key of ["A", "B"] as const) {
      const name = `${weight.name}.lora_${key.toLowerCase()}`;
      if (!file.has(name)) continue;
      used.add(name);
      const { shape } = file.info(name), { rows, columns, rest } = weight;
      if (rest) {
        throw new FormatError(
          `${where}: ${name} changes ${path}, which is two matrices in a GGUF; no adapter of it is read from one`,
        );
      }
      offers[key] = {
        name,
        shape,
        async read(target) {
          const bytes = await file.view(name).read("f32"), given = bytes.slice();
          // The converter turns rows of queries and keys into pairs, and so those of B.
          if (key === "B" && rows) {
            const width = bytes.length / to;
            for (let i = 0; i < to; i++) {
              given.set(bytes.subarray(rows(i) * width, (rows(i) + 1) * width), i * width);
            }
          }
          // And columns of a matrix's inputs are those of A.
          if (key === "A" && columns) {
            const wide = shape[1], size = bytes.length / shape[0] / wide;
            for (let i = 0; i < shape[0] * wide; i++) {
              const from = (i - i % wide + columns.order(i % wide)) * size;
              given.set(bytes.subarray(from, from + size), i * size);
            }
          }
          target.backend.upload(target.buffer, 0, given);
        },
      };
    }
    if (offers.A || offers.B) layers.set(path, offers);
  }
  const rankOf = (path: string): number => layers.get(path)?.A?.shape[0] ?? 1;
  const rank = layers.size ? rankOf([...layers.keys()][0]) : 1;
  return {
    where,
    options: { rank, alpha, dropout: 0, rslora: false, dora: false },
    layers,
    unexpected: file.names.filter((name) => !used.has(name)),
    rank: () => null,
    alpha: () => alpha,
    close: () => file.close(),
  };
}
