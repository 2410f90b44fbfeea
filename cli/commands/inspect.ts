/**
 * `ferrotype inspect`: what is in a safetensors file, from its header alone.
 *
 * @module
 */
import { FormatError, openSafetensors, type Safetensors } from "../../mod.ts";
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

/** The command. */
export const inspect: Command = {
  name: "inspect",
  usage: "FILE|DIR|URL",
  summary: "Lists names, dtypes, shapes and sizes of a safetensors file, reading its header alone.",
  positionals: [1, 1],
  options: {},
  async run(values, positionals) {
    await using file = await openWeights(positionals[0]);
    const infos = file.names.map((name) => file.info(name));
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
        metadata: file.metadata,
        parameters,
        bytes,
        bytes_read: file.bytesRead,
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
    for (const [name, value] of Object.entries(file.metadata)) await print(`# ${name}: ${value}`);
    await print(
      `${infos.length} tensors, ${parameters.toLocaleString("en")} numbers, ${formatBytes(bytes)}; read ${
        formatBytes(file.bytesRead)
      }`,
    );
  },
};
