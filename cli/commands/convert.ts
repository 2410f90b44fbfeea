/**
 * `ferrotype convert`: another dtype, other shards, the same model.
 *
 * @module
 */
import { oneOf } from "../../src/core/kinds.ts";
import {
  CausalLM,
  copySafetensors,
  type DType,
  openSafetensors,
  type SaveSafetensorsOptions,
} from "../../mod.ts";
import { isDirectory, readDir, stat } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { formatBytes, note, printJson } from "../output.ts";
import { openWeights } from "./inspect.ts";

/** Bytes from `500MB`, `2GB` or a plain number. */
function parseSize(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*(k|M|G)?B?$/i.exec(text);
  if (!found) throw new UsageError(`--shard-size is a size such as 500MB or 2GB, not "${text}"`);
  const bytes = Number(found[1]) * { k: 1e3, m: 1e6, g: 1e9, "": 1 }[(found[2] ?? "").toLowerCase() as "k"];
  if (!(bytes >= 1)) throw new UsageError(`--shard-size must be at least one byte, not "${text}"`);
  return bytes;
}

/** @throws {UsageError} where `to` cannot be what comes of `from`, and where something there would be lost. */
async function checkPlace(from: string, isModel: boolean, to: string, force: boolean): Promise<void> {
  const found = await stat(to), isFolder = found?.isDirectory === true;
  if (isModel ? !isFolder && (found || /\.(safetensors|gguf)$/i.test(to)) : isFolder) {
    const [one, other] = isModel ? ["a model's folder", "a file"] : ["a file", "a folder"];
    throw new UsageError(
      `convert: ${from} is ${one}, and so is what comes of it; ${to} is ${other}; name another`,
    );
  }
  // An open stream of this process is written to, whatever it is: a shell has put it there.
  if (force || /^\/(dev\/(std(out|err)|fd\/)|proc\/self\/fd\/)/.test(to)) return;
  // What is neither a file nor a folder is written through: a device, a pipe.
  if (isFolder ? (await readDir(to)).length === 0 : found?.isFile !== true) return;
  throw new UsageError(
    `convert: ${to} ${
      isFolder ? "holds files" : "is there"
    } already; give --force to replace it, or name another`,
  );
}

interface Copied {
  bytes: number;
  files: number;
}

async function copyModel(from: string, to: string, options: SaveSafetensorsOptions): Promise<Copied> {
  using model = await CausalLM.load(from, { onWarning: (message) => void note(message) });
  await model.save(to, options);
  await using written = await openWeights(to);
  const infos = written.names.map((name) => written.info(name));
  return {
    bytes: infos.reduce((sum, { byteLength }) => sum + byteLength, 0),
    files: new Set(infos.map(({ file }) => file)).size,
  };
}

async function copyFile(from: string, to: string, options: SaveSafetensorsOptions): Promise<Copied> {
  await using file = await openSafetensors(from);
  const { bytes, files } = await copySafetensors(file, to, options);
  return { bytes, files: files.length };
}

/** The command. */
export const convert: Command = {
  name: "convert",
  usage: "IN OUT [options]",
  summary: "Copies a model folder or a safetensors file in another dtype or in shards.",
  positionals: [2, 2],
  options: {
    dtype: {
      value: "TYPE",
      kind: oneOf("f32", "f16", "bf16", "q8", "q4"),
      help: "store matrices as f32, f16, bf16, or in blocks of q8 or q4 (default: unchanged)",
    },
    "shard-size": { value: "SIZE", help: "largest file, such as 500MB (default: one file)" },
    force: { help: "replace what is at OUT already" },
  },
  async run(values, [from, to]) {
    const dtype = values.text("dtype") as DType | undefined, size = values.text("shard-size");
    const options = { ...(dtype ? { dtype } : {}), ...(size ? { shardSize: parseSize(size) } : {}) };
    if (from === "" || to === "") {
      throw new UsageError(`convert: ${from === "" ? "IN" : "OUT"} is a path, not ""`);
    }
    const isModel = await isDirectory(from);
    await checkPlace(from, isModel, to, values.flag("force"));
    const { bytes, files } = isModel ? await copyModel(from, to, options) : await copyFile(from, to, options);
    if (values.flag("json")) {
      return await printJson({ in: from, out: to, dtype: dtype ?? null, bytes, files });
    }
    await note(
      `wrote ${to} (${formatBytes(bytes)} of weights in ${files === 1 ? "one file" : `${files} files`})`,
    );
  },
};
