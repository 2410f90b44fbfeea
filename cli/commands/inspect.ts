/**
 * `ferrotype inspect`: what is in a safetensors or GGUF file, from its header alone.
 *
 * @module
 */
import { FormatError, type GgufValue, openGguf, openSafetensors, type Safetensors } from "../../mod.ts";
import { currentPath, isDirectory, joinPath } from "../../src/platform/platform.ts";
import type { Command } from "../command.ts";
import { formatBytes, print, printJson } from "../output.ts";

/** Opens a safetensors file, an index, or the weights in a model's folder. */
export async function openWeights(where: string): Promise<Safetensors> {
  if (/^https?:/.test(where) || !await isDirectory(where)) return await openSafetensors(where);
  for (const name of ["model.safetensors", "model.safetensors.index.json"]) {
    const path = currentPath(joinPath(where, name));
    if (path !== null) return await openSafetensors(joinPath(where, name));
  }
  throw new FormatError(`${where} holds neither model.safetensors nor model.safetensors.index.json`);
}

/** A tensor as it is shown. */
interface Shown {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly file: string;
}

/** What is shown of a file. */
interface Contents {
  readonly infos: readonly Shown[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly bytesRead: number;
}

/** A note of a GGUF file: long lists, such as a vocabulary, by their length. */
function noteOf(value: GgufValue): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object") return value;
  return value.length > 16 ? `${value.length} entries` : Array.from(value as ArrayLike<unknown>, String);
}

/** Looks at a file or a model's folder. */
async function contentsOf(where: string): Promise<Contents> {
  if (where.endsWith(".gguf")) {
    await using file = await openGguf(where);
    return {
      infos: file.names.map((name) => ({ ...file.info(name), dtype: file.info(name).type })),
      metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, noteOf(value)])),
      bytesRead: file.bytesRead,
    };
  }
  await using file = await openWeights(where);
  return {
    infos: file.names.map((name) => file.info(name)),
    metadata: file.metadata,
    bytesRead: file.bytesRead,
  };
}

/** The command. */
export const inspect: Command = {
  name: "inspect",
  usage: "FILE|DIR|URL",
  summary: "Lists names, dtypes, shapes and sizes of a safetensors or GGUF file, reading its header alone.",
  positionals: [1, 1],
  options: {},
  async run(values, positionals) {
    const { infos, metadata, bytesRead } = await contentsOf(positionals[0]);
    const bytes = infos.reduce((sum, t) => sum + t.byteLength, 0);
    const parameters = infos.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
    if (values.flag("json")) {
      return await printJson({
        tensors: infos.map(({ name, dtype, shape, byteLength, file: where }) => ({
          name,
          dtype,
          shape,
          bytes: byteLength,
          file: where,
        })),
        metadata,
        parameters,
        bytes,
        bytes_read: bytesRead,
      });
    }
    const wide = Math.max(...infos.map((t) => t.name.length), 4);
    for (const t of infos) {
      await print(
        `${t.name.padEnd(wide)}  ${t.dtype.padEnd(5)} ${`[${t.shape.join(", ")}]`.padEnd(18)} ${
          formatBytes(t.byteLength)
        }`,
      );
    }
    for (const [name, value] of Object.entries(metadata)) await print(`# ${name}: ${value}`);
    await print(
      `${infos.length} tensors, ${parameters.toLocaleString("en")} numbers, ${formatBytes(bytes)}; read ${
        formatBytes(bytesRead)
      }`,
    );
  },
};
