/**
 * `ferrotype convert`: another dtype, other shards, the same model.
 *
 * @module
 */
import { oneOf, size, whole } from "../../src/core/kinds.ts";
import {
  CausalLM,
  convertToGguf,
  copySafetensors,
  type DType,
  exportOnnx,
  gptq,
  inspectOnnx,
  openSafetensors,
  type SaveSafetensorsOptions,
} from "../../mod.ts";
import { isDirectory, onStop, readDir, stat } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { counted, formatBytes, LiveLine, note, printJson } from "../output.ts";
import { isStream } from "../place.ts";
import { readText } from "../text.ts";
import { isGguf, openWeights } from "./inspect.ts";

/** What matrices of a GGUF are written as. */
const ggufDTypes: readonly string[] = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k", "q6_k"];

/** What the library calls its own kinds of blocks, and a GGUF calls otherwise. */
const alsoCalled: Readonly<Record<string, string>> = { q8: "q8_0", q4: "q4_0" };

/** What a copy is made of, and what becomes of it. */
type Way = "model" | "file" | "model to GGUF" | "GGUF" | "ONNX" | "ONNX folder";

/** What is asked for. @throws {UsageError} for what cannot come of `from`. */
async function wayOf(
  from: string,
  to: string,
  dtype: string | undefined,
  hasShards: boolean,
  format: string | undefined,
  hasContribOps: boolean,
): Promise<Way> {
  const isFolder = await isDirectory(from), toGguf = /\.gguf$/i.test(to) && !await isDirectory(to);
  const fromGguf = !isFolder && await isGguf(from),
    isOnnxFile = /\.onnx$/i.test(to) && !await isDirectory(to);
  if (isOnnxFile || format === "onnx") {
    if (!isFolder && !fromGguf) {
      throw new UsageError(
        `convert: ONNX is made of a model's folder or a GGUF, which say what ${from} alone does not; name one`,
      );
    }
    if (hasShards) {
      throw new UsageError("convert: --shard-size is for safetensors; ONNX is written as one file");
    }
    if (
      dtype !== undefined && !["f32", "f16", "bf16", ...hasContribOps ? ["q8", "q4"] : []].includes(dtype)
    ) {
      throw new UsageError(
        `convert: --dtype ${dtype} is none of f32, f16, bf16, which ONNX is written in${
          dtype === "q8" || dtype === "q4" ? "; with --contrib-ops it is, for ONNX Runtime" : ""
        }`,
      );
    }
    return isOnnxFile ? "ONNX" : "ONNX folder";
  }
  if (!isFolder && !fromGguf && toGguf) {
    throw new UsageError(
      `convert: a GGUF is made of a model's folder, whose config.json says what ${from} alone does not; name the folder`,
    );
  }
  if (toGguf && hasShards) {
    throw new UsageError("convert: --shard-size is for safetensors; a GGUF is written as one file");
  }
  const isGgufOnly = dtype !== undefined && ggufDTypes.includes(dtype) &&
    !["f32", "f16", "bf16"].includes(dtype);
  if (!toGguf && isGgufOnly) {
    throw new UsageError(
      `convert: --dtype ${dtype} is what a GGUF holds, and ${to} is none; name a file that ends in .gguf, or give q8 or q4`,
    );
  }
  if (toGguf) return isFolder ? "model to GGUF" : "GGUF";
  return isFolder || fromGguf ? "model" : "file";
}

/** @throws {UsageError} where `to` cannot be what comes of `from`, and where something there would be lost. */
async function checkPlace(from: string, way: Way, to: string, force: boolean): Promise<void> {
  const found = await stat(to),
    isFolder = found?.isDirectory === true,
    isModel = way === "model" || way === "ONNX folder";
  if (isModel ? !isFolder && (found || /\.safetensors$/i.test(to)) : isFolder) {
    const [one, other] = isModel ? ["a model's folder", "a file"] : ["a file", "a folder"];
    const isGguf = isModel && !await isDirectory(from);
    if (way === "ONNX") throw new UsageError(`convert: ${to} is a folder; name a file that ends in .onnx`);
    throw new UsageError(
      isGguf
        ? `convert: of the GGUF ${from} a model's folder is made, or a file that ends in .gguf; ${to} is a file; name another`
        : `convert: ${from} is ${one}, and so is what comes of it; ${to} is ${other}; name another`,
    );
  }
  if (force || isStream(to)) return;
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

const onWarning = (message: string): void => void note(message);

/** Puts the matrices of `model` into q4, fitted to the text at `path`. */
async function calibrate(model: CausalLM, path: string): Promise<void> {
  const text = await readText(path);
  if (!model.tokenizer) {
    throw new UsageError("convert: the model has no tokenizer to read the text of --calibrate with");
  }
  const line = new LiveLine(), ids = model.tokenizer.encode(text);
  const whole = model.contextLength + 1;
  if (ids.length < Math.min(whole, 33)) {
    throw new UsageError(
      `convert: ${path} has ${
        counted(ids.length, "token")
      }, which say little of what the model reads; take a longer text`,
    );
  }
  const controller = new AbortController(), remove = onStop(() => controller.abort());
  try {
    await gptq(model, ids, {
      signal: controller.signal,
      onProgress: ({ done, total, name }) => void line.show(`${done} of ${total} matrices: ${name}`),
    });
  } finally {
    remove();
    await line.end();
  }
}

async function copyModel(
  from: string,
  to: string,
  { dtype, ...rest }: SaveSafetensorsOptions,
  calibration: string | undefined,
): Promise<Copied> {
  using model = await CausalLM.load(from, { onWarning });
  if (calibration !== undefined) await calibrate(model, calibration);
  // What was fitted is written as it is.
  const options = dtype === undefined || calibration !== undefined ? rest : { dtype, ...rest };
  await model.save(to, { ...options, onWarning });
  await using written = await openWeights(to);
  const infos = written.names.map((name) => written.info(name));
  return {
    bytes: infos.reduce((sum, { byteLength }) => sum + byteLength, 0),
    files: new Set(infos.map(({ file }) => file)).size,
  };
}

async function copyFile(from: string, to: string, options: SaveSafetensorsOptions): Promise<Copied> {
  await using file = await openSafetensors(from);
  const { bytes, files } = await copySafetensors(file, to, { ...options, onWarning });
  return { bytes, files: files.length };
}

async function copyGguf(from: string, to: string, dtype: string | undefined): Promise<Copied> {
  const options = {
    ...(dtype ? { dtype: alsoCalled[dtype] ?? dtype } : {}),
    onWarning,
  };
  return { bytes: await convertToGguf(from, to, options), files: 1 };
}

async function copyOnnx(
  from: string,
  to: string,
  dtype: string | undefined,
  opset: number | undefined,
  contribOps: boolean,
): Promise<Copied> {
  using model = await CausalLM.load(from, { onWarning, ...dtype ? { dtype: dtype as DType } : {} });
  await exportOnnx(model, to, {
    ...opset === undefined ? {} : { opsetVersion: opset },
    ...contribOps ? { contribOps } : {},
  });
  const path = /\.onnx$/i.test(to) ? to : `${to}/onnx/model.onnx`;
  const { tensors } = await inspectOnnx(path);
  return {
    bytes: tensors.reduce((sum, { byteLength }) => sum + byteLength, 0),
    files: await stat(`${path}_data`) ? 2 : 1,
  };
}

/** The command. */
export const convert: Command = {
  name: "convert",
  usage: "IN OUT [options]",
  summary: "Copies a model in another dtype or format: a model folder, a safetensors file, a GGUF, ONNX.",
  positionals: [2, 2],
  options: {
    dtype: {
      value: "TYPE",
      kind: oneOf(...new Set(["f32", "f16", "bf16", "q8", "q4", ...ggufDTypes])),
      help:
        "store matrices as f32, f16, bf16, or in blocks of q8 or q4; in OUT.gguf also q8_0, q4_0, q4_k, q6_k (default: unchanged)",
    },
    calibrate: {
      value: "TEXTFILE",
      help:
        "with --dtype q4: round weights so that they fit what flows through them when the model reads this text (GPTQ)",
    },
    format: {
      value: "FORMAT",
      kind: oneOf("onnx"),
      help:
        "onnx: OUT becomes a folder as transformers.js reads it; OUT.onnx is the graph alone without being told",
    },
    opset: {
      value: "N",
      kind: whole(18, 23),
      help: "of ONNX: the version of its operators, 18 to 23 (default 18); 23 has attention in one",
    },
    "contrib-ops": {
      help:
        "of ONNX: use ONNX Runtime's own operators (com.microsoft): q8 and q4 as they are, attention with its cache in one",
    },
    "shard-size": { value: "SIZE", kind: size, help: "largest file, such as 500MB (default: one file)" },
    force: { help: "replace what is at OUT already; without it that is refused" },
  },
  idle: [{
    option: "calibrate",
    when: ({ dtype }) => dtype !== "q4",
    because: "weights are fitted in blocks of --dtype q4 alone",
  }],
  async run(values, [from, to]) {
    const dtype = values.text("dtype"), shardSize = values.number("shard-size");
    if (from === "" || to === "") {
      throw new UsageError(`convert: ${from === "" ? "IN" : "OUT"} is a path, not ""`);
    }
    const options = {
      ...(dtype ? { dtype: dtype as DType } : {}),
      ...(shardSize === undefined ? {} : { shardSize }),
    };
    const format = values.text("format"), opset = values.number("opset");
    const contribOps = values.flag("contrib-ops");
    const way = await wayOf(from, to, dtype, shardSize !== undefined, format, contribOps);
    if ((opset !== undefined || contribOps) && way !== "ONNX" && way !== "ONNX folder") {
      throw new UsageError(
        `convert: --${
          contribOps ? "contrib-ops" : "opset"
        } is for ONNX; name a file that ends in .onnx, or give --format onnx`,
      );
    }
    if (format !== undefined && way === "ONNX") {
      throw new UsageError(
        `convert: --format makes a folder, and ${to} is a file's name; leave one of them out`,
      );
    }
    const calibration = values.text("calibrate");
    if (calibration !== undefined && way !== "model") {
      throw new UsageError(
        `convert: --calibrate runs the model, so IN is a model's folder, a repository or a GGUF, and OUT a folder of safetensors; ${
          way === "file"
            ? `${from} is a file of weights alone`
            : `${to} would be another format; make a folder first`
        }`,
      );
    }
    await checkPlace(from, way, to, values.flag("force"));
    const { bytes, files } = way === "model"
      ? await copyModel(from, to, options, calibration)
      : way === "file"
      ? await copyFile(from, to, options)
      : way === "ONNX" || way === "ONNX folder"
      ? await copyOnnx(from, to, dtype, opset, contribOps)
      : await copyGguf(from, to, dtype);
    if (values.flag("json")) {
      return await printJson({ in: from, out: to, dtype: dtype ?? null, bytes, files });
    }
    await note(
      `wrote ${to} (${formatBytes(bytes)} of weights in ${counted(files, "file")})`,
    );
  },
};
