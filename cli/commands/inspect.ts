/**
 * `ferrotype inspect`: what is in a safetensors, GGUF or ONNX file, from its header alone.
 *
 * @module
 */
import {
  FormatError,
  type GgufValue,
  inspectOnnx,
  openGguf,
  openSafetensors,
  type Safetensors,
} from "../../mod.ts";
import { currentPath, isDirectory, joinPath, openSource } from "../../src/platform/platform.ts";
import type { Command } from "../command.ts";
import { counted, formatBytes, print, printJson } from "../output.ts";

/** Opens a safetensors file, an index, or the weights in a model's folder. */
export async function openWeights(where: string): Promise<Safetensors> {
  if (/^https?:/.test(where) || !await isDirectory(where)) return await openSafetensors(where);
  for (const name of ["model.safetensors", "model.safetensors.index.json"]) {
    const path = currentPath(joinPath(where, name));
    if (path !== null) return await openSafetensors(joinPath(where, name));
  }
  throw new FormatError(`${where} holds neither model.safetensors nor model.safetensors.index.json`);
}

/** Whether what lies there is a GGUF: by its name, or where that tells nothing by its first bytes. */
export async function isGguf(where: string): Promise<boolean> {
  const name = where.replace(/[?#].*$/, "");
  if (/\.gguf$/i.test(name)) return true;
  if (/\.(safetensors|json)$/i.test(name)) return false;
  if (!/^https?:/i.test(where) && await isDirectory(where)) return false;
  const source = await openSource(where);
  try {
    const mark = await source.read(0, Math.min(4, source.size));
    return String.fromCharCode(...mark) === "GGUF";
  } finally {
    await source.close();
  }
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
  readonly format: "safetensors" | "gguf";
  /** Of a GGUF, its version. */
  readonly version?: number;
  readonly infos: readonly Shown[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly bytesRead: number;
}

/** A list of notes is shown whole up to this length, of longer ones the first entries. */
const longestList = 16, firstEntries = 4;

/** A note of a GGUF file as JSON has it: long lists, such as a vocabulary, by their length and first entries. */
function noteOf(value: GgufValue): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value !== "object") return value;
  const list = value as ArrayLike<GgufValue>, { length } = list;
  const shown = Array.from(
    { length: length > longestList ? firstEntries : length },
    (_, i) => noteOf(list[i]),
  );
  return length > longestList ? { length, first: shown } : shown;
}

/** Looks at a file or a model's folder. */
async function contentsOf(where: string): Promise<Contents> {
  if (await isGguf(where)) {
    await using file = await openGguf(where);
    return {
      format: "gguf",
      version: file.version,
      infos: file.names.map((name) => ({ ...file.info(name), dtype: file.info(name).type })),
      metadata: Object.fromEntries([...file.metadata].map(([key, value]) => [key, noteOf(value)])),
      bytesRead: file.bytesRead,
    };
  }
  await using file = await openWeights(where);
  return {
    format: "safetensors",
    infos: file.names.map((name) => file.info(name)),
    metadata: file.metadata,
    bytesRead: file.bytesRead,
  };
}

/** What a file says, on a line of its own: nothing in it moves the cursor or colours a terminal. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (c) => JSON.stringify(c).slice(1, -1));
}

const longestNote = 200;

/** A note on one line, cut where it is long. */
function noteText(value: unknown): string {
  const one = (entry: unknown): string => typeof entry === "string" ? JSON.stringify(entry) : String(entry);
  const { length, first } = (value ?? {}) as { length?: number; first?: unknown[] };
  const text = typeof value === "string"
    ? value
    : Array.isArray(value)
    ? `[${value.map(one).join(", ")}]`
    : first !== undefined
    ? `[${first.map(one).join(", ")}, … ${length!.toLocaleString("en")} in all]`
    : String(value);
  return text.length > longestNote
    ? `${text.slice(0, longestNote)}… (${counted(text.length, "character")})`
    : text;
}

/** An ONNX model: what it takes and gives, its operators, its tensors. */
async function showGraph(where: string, json: boolean): Promise<void> {
  const { tensors, ...rest } = await inspectOnnx(where);
  const parameters = tensors.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
  const bytes = tensors.reduce((sum, t) => sum + t.byteLength, 0);
  if (json) {
    return await printJson({
      format: "onnx",
      ...rest,
      tensors: tensors.map(({ name, type, shape, byteLength }) => ({ name, type, shape, bytes: byteLength })),
      parameters,
      bytes,
    });
  }
  for (const [what, edges] of [["in", rest.inputs], ["out", rest.outputs]] as const) {
    for (const { name, type, shape } of edges) {
      await print(
        plain(
          `${what.padEnd(4)}${name}  ${type} ${shape ? `[${shape.map((n) => n ?? "?").join(", ")}]` : ""}`,
        ),
      );
    }
  }
  for (const t of tensors) {
    await print(plain(`${t.name}  ${t.type} [${t.shape.join(", ")}] ${formatBytes(t.byteLength)}`));
  }
  const kinds = Object.entries(rest.operators).sort((a, b) => b[1] - a[1]);
  await print(plain(`# operators: ${kinds.map(([name, n]) => `${name} ${n}`).join(", ")}`));
  await print(
    plain(`# opsets: ${Object.entries(rest.opsets).map(([d, n]) => `${d || "ai.onnx"} ${n}`).join(", ")}`),
  );
  await print(
    `${counted(tensors.length, "tensor")}, ${counted(parameters, "number")}, ${formatBytes(bytes)}`,
  );
}

/** The command. */
export const inspect: Command = {
  name: "inspect",
  usage: "FILE|DIR|URL",
  summary:
    "Lists names, dtypes, shapes and sizes of a safetensors, GGUF or ONNX file, reading its header alone.",
  positionals: [1, 1],
  options: {},
  async run(values, positionals) {
    if (/\.onnx$/i.test(positionals[0].replace(/[?#].*$/, ""))) {
      return await showGraph(positionals[0], values.flag("json"));
    }
    const { infos, metadata, bytesRead, ...kind } = await contentsOf(positionals[0]);
    const bytes = infos.reduce((sum, t) => sum + t.byteLength, 0);
    const parameters = infos.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
    const files = [...new Set(infos.map(({ file }) => file))];
    if (values.flag("json")) {
      return await printJson({
        ...kind,
        tensors: infos.map(({ name, dtype, shape, byteLength, file: where }) => ({
          name,
          dtype,
          shape,
          bytes: byteLength,
          file: where,
        })),
        metadata,
        files,
        parameters,
        bytes,
        bytes_read: bytesRead,
      });
    }
    const wide = infos.reduce((most, t) => Math.max(most, plain(t.name).length), 4);
    for (const t of infos) {
      await print(
        `${plain(t.name).padEnd(wide)}  ${t.dtype.padEnd(6)} ${`[${t.shape.join(", ")}]`.padEnd(18)} ${
          formatBytes(t.byteLength)
        }`,
      );
    }
    for (const [name, value] of Object.entries(metadata)) {
      await print(`# ${plain(name)}: ${plain(noteText(value))}`);
    }
    const inFiles = files.length > 1 ? ` in ${counted(files.length, "file")}` : "";
    await print(
      `${counted(infos.length, "tensor")}, ${counted(parameters, "number")}, ${
        formatBytes(bytes)
      }${inFiles}; read ${formatBytes(bytesRead)}`,
    );
  },
};
